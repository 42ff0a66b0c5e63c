"""Near-duplicates: which images are the same picture. Plain arrays in, plain arrays out.

Two images are *alike* if the whole of one has a hash near that of the whole of the other, or of a window of it (see
images.WINDOWS), if their vectors don't speak against it, and if no part of their thumbnails does (thumbnails.py). How
far vectors may be apart is measured against what lies between unrelated images of the same run and model: models differ
in it (0.2 to 0.8 is a usual cosine of two unrelated images).

So the same picture is one that was saved again, resized, made brighter or darker, given more or less contrast, cut by
2.5 or 5 % on all sides, framed in a border of 5 %, or given a strip of text of 10 % above or below. What the strip says
is not compared: a picture and its copies with two strips are one. Others are: other words in the same layout, another
caption upon the same template, something small elsewhere, a crop on one side, a mirror image. Of a burst or a pan those
are one in which nothing moved by more than a small part of a pixel of the thumbnail, which has 32x32: what differs by
less than a shade or two of one of these, such as two dates in small print, is not seen.

Images that are alike make no chain. A group is a star: a centre, the image with most others alike, and images that are
each alike to the centre. (Greedy star clustering: Aslam, Pelekhov and Rus 2004, J. Graph Algorithms Appl. 8:95.) Single
linkage, where each need only be alike to some other one, glues a corpus together as it grows: with n images, n^2 pairs
can be wrong. A group depends on all images: when more come, another one may be the centre, and an image that is alike
to the old one alone is then of another group, or of none.

Up to `EXACT` images all pairs are looked at. Of more, pairs are found by sorting: in each of 16 tables all windows by
some of the bits of their hash, drawn from those that edits move least, each compared with those next to it
(locality-sensitive hashing: Indyk and Motwani 1998). A pair has a chance in each table, for each pair of its windows.
First those are joined that are all but the same, then what stands is compared by all windows, in turns: the images of a
centre that is joined to another are held against the new centre itself, and stand alone again if they are not alike. So
no group is wider than a star.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from hashtag_photos.thumbnails import Grey, same, same_plain, same_window

Hashes = npt.NDArray[np.uint64]
Shares = npt.NDArray[np.float32]
Vectors = npt.NDArray[np.float16] | npt.NDArray[np.int8]
Bits = npt.NDArray[np.uint16]
Numbers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]
Shared = TypeVar("Shared")
Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

RULE = 2  # another number groups anew what was grouped by this one

BITS = 256
NEAR = 51  # bits of 256 that may differ
SURE = 26  # up to so many, vectors may be far apart
FAR_VECTORS = 0.8  # of the distance between unrelated images, for hashes within SURE
NEAR_VECTORS = 0.6  # beyond
FLAT = 0.5  # of one shade (images.one_shade): a screenshot of text, whose words are hardly seen in a hash
FLAT_NEAR = 14  # bits for those: of recompressed and resized pictures 99 in 100 are within, other words mostly not
PLAIN = 0.95  # of one shade: the hash says little
TIED = 112  # bits set, of 256, below which frequencies tie at nothing, and it says as little. It has 128 otherwise
SAME_VECTORS = 0.02  # for plain pictures, whose hashes must be the same
UNRELATED = 0.5  # 1 - cosine of unrelated images where there are too few to measure it
_ENOUGH = 50  # pairs to measure it by
_SAMPLED = 4_096

EXACT = 2_000
_STABLE = 64  # bits of the first word, the lowest frequencies
_COARSE = 16  # bits of it that may differ; of a pair within NEAR few have more
_SIMPLE_TURNS = 2  # that look at whole pictures alone, all but the same, and leave few of those that many posted
_TURNS = 5
_FEW = 1_000  # a turn that joins less than one of so many is the last
_PAIRS = 8_192  # that are compared as one item of work
_BLOCK = 65_536  # pairs or entries at once: they stay in a core's cache
_LOOKED_AT = 512


@dataclass(frozen=True)
class _Search:
    """How pairs are looked for: in how many tables, each entry of a bucket beside how many, and with how many bits."""

    tables: int = 16
    beside: int = 32
    near: int = NEAR


_SIMPLE = _Search(tables=4, beside=8, near=12)


class Each(Protocol):
    """Gives the outcomes of `work` in the order of the items. `shared` and the items are never changed; who works on
    them may be elsewhere."""

    def __call__(
        self, work: Callable[[Shared, Item], Outcome], shared: Shared, items: Iterable[Item]
    ) -> Iterator[Outcome]: ...


def one_by_one(work: Callable[[Shared, Item], Outcome], shared: Shared, items: Iterable[Item]) -> Iterator[Outcome]:
    """The work done here, one item after the other."""
    return (work(shared, item) for item in items)


def near_duplicates(
    hashes: Hashes,
    shades: Shares,
    thumbnails: Grey,
    vectors: Vectors,
    *,
    each: Each = one_by_one,
    progress: Callable[[int, int], None] | None = None,
) -> Numbers:
    """Per image the index of its group's first image.

    `hashes` is (n, windows, 4), images.window_hashes as numbers; `shades` (n,), images.one_shade;
    `thumbnails` (n, side, side); `vectors` (n, dimension), of any length, also as `rounded` has them. An image whose
    vector is all zeros, or has values that are no numbers, is a group of its own. The order of
    the images decides only between two that could equally be a centre, and, of more than EXACT, which of many next to
    each other are compared; `threads` decides nothing.
    """
    if not (
        len(hashes) == len(vectors) == len(shades) == len(thumbnails)
        and hashes.ndim == 3
        and hashes.dtype == np.uint64
        and vectors.ndim == 2
    ):
        raise ValueError(
            "hashes are (n, windows, 4) of uint64, shades (n,), thumbnails (n, side, side), vectors (n, dimension)"
        )
    corpus = _Corpus(hashes, shades, thumbnails, vectors)
    centre = np.arange(len(hashes))
    for turn in range(_TURNS):
        standing = np.flatnonzero((centre == np.arange(len(centre))) & corpus.usable)
        simple = turn < _SIMPLE_TURNS and len(standing) > EXACT
        first, second = _alike_pairs(corpus, standing, simple, each, progress if turn == _SIMPLE_TURNS else None)
        who, whose = _stars(first, second, np.bincount(centre, minlength=len(centre)))
        _join(corpus, centre, who, whose, each)
        if not simple and len(who) * _FEW <= len(standing):
            break
    lowest = np.full(len(centre), len(centre))
    np.minimum.at(lowest, centre, np.arange(len(centre)))
    return np.asarray(lowest[centre], dtype=np.int64)


class _Corpus:
    """The images, and what alike means for two of them."""

    def __init__(self, hashes: Hashes, shades: Shares, thumbnails: Grey, vectors: Vectors) -> None:
        self.hashes = hashes
        self._thumbnails = thumbnails
        self._vectors = vectors
        self._lengths = np.zeros(len(vectors), dtype=np.float32)
        for begin in range(0, len(vectors), _PAIRS):
            rows = slice(begin, begin + _PAIRS)
            self._lengths[rows] = np.linalg.norm(vectors[rows].astype(np.float32), axis=1)
        self.usable = np.isfinite(self._lengths) & (self._lengths > 0)
        self._plain = (shades >= PLAIN) | (np.bitwise_count(hashes).sum(axis=2).min(axis=1, initial=BITS) < TIED)
        self._near = np.where(self._plain, 0, np.where(shades >= FLAT, FLAT_NEAR, NEAR)).astype(np.uint16)
        self.unrelated = self._unrelated()

    def alike(self, first: Numbers, second: Numbers, each: Each) -> Booleans:
        """For pairs of images, by number: (pairs,)."""
        begins = range(0, len(first), _PAIRS)
        blocks = ((first[begin : begin + _PAIRS], second[begin : begin + _PAIRS]) for begin in begins)
        return np.concatenate([np.empty(0, dtype=np.bool_), *each(_Corpus._alike, self, blocks)])

    def _alike(self, pairs: tuple[Numbers, Numbers]) -> Booleans:
        first, second = pairs
        near = np.minimum(self._near[first], self._near[second])
        whole, windows, own, its = closest(self.hashes[first], self.hashes[second])
        bits = np.minimum(whole, windows)
        result = (bits <= near) & self.usable[first] & self.usable[second]
        plain = self._plain[first] | self._plain[second]
        left = np.flatnonzero(result)
        apart = self._apart(first[left], second[left]) / self.unrelated
        limit = np.where(bits[left] <= SURE, FAR_VECTORS, NEAR_VECTORS)
        result[left] = apart <= np.where(plain[left], SAME_VECTORS, limit)
        for begin in range(0, len(first), _LOOKED_AT):  # few at once: they stay in a core's cache
            left = begin + np.flatnonzero(result[begin : begin + _LOOKED_AT])
            one, other = self._thumbnails[first[left]], self._thumbnails[second[left]]
            # as they lie upon each other best, and no other way: else what differs would be moved out of sight
            parts = ~plain[left] & (windows[left] < whole[left])
            seen = ~plain[left] & ~parts
            seen[seen] = same(one[seen], other[seen])
            seen[parts] = same_window(one[parts], other[parts], own[left][parts], its[left][parts])
            seen[plain[left]] = same_plain(one[plain[left]], other[plain[left]])
            result[left] = seen
        return np.asarray(result)

    def _apart(self, first: Numbers, second: Numbers) -> npt.NDArray[np.float32]:
        """1 - cosine."""
        one, other = self._vectors[first].astype(np.float32), self._vectors[second].astype(np.float32)
        lengths = self._lengths[first] * self._lengths[second]
        return np.asarray(1 - np.einsum("ij,ij->i", one, other) / lengths, dtype=np.float32)

    def _unrelated(self) -> float:
        """The median of 1 - cosine over pairs of images whose hashes have nothing in common."""
        some = np.flatnonzero(self.usable)
        some = some[np.linspace(0, len(some) - 1, min(len(some), _SAMPLED)).astype(np.int64)]
        # each with three others, a fixed number of places on
        steps = [step for step in (1, len(some) // 3, len(some) // 2) if 0 < step < len(some)]
        first, second = np.tile(some, len(steps)), np.concatenate([np.roll(some, step) for step in steps] or [some])
        whole, windows, _, _ = closest(self.hashes[first], self.hashes[second])
        foreign = np.minimum(whole, windows) > BITS // 4
        first, second = first[foreign], second[foreign]
        if len(first) < _ENOUGH:
            return UNRELATED
        blocks = range(0, len(first), _PAIRS)
        apart = np.concatenate([self._apart(first[at : at + _PAIRS], second[at : at + _PAIRS]) for at in blocks])
        return max(float(np.median(apart)), 1e-3)  # float16 tells no less


def rounded(vectors: npt.NDArray[np.float16]) -> npt.NDArray[np.int8]:
    """Vectors, (n, dimension), in a byte a value, each with its own scale: half the memory, for cosines to 1e-3.

    Of one that has values that are no numbers, all are 0.
    """
    values = vectors.astype(np.float32)
    most = np.abs(values).max(axis=1, keepdims=True, initial=0)
    usable = np.isfinite(most) & (most > 0)
    scaled = np.where(usable, values, 0) * (127 / np.where(usable, most, 1))
    return np.asarray(np.rint(scaled).astype(np.int8))


def closest(one: Hashes, other: Hashes) -> tuple[Bits, Bits, Numbers, Numbers]:
    """How many bits differ between the whole pictures; how many between the whole of one and a window of the other,
    where they are nearest; and which windows these are of the one and the other, 0 being the whole.

    (pairs, windows, 4) twice -> (pairs,) each.
    """
    whole = np.bitwise_count(one[:, 0] ^ other[:, 0]).sum(axis=1, dtype=np.uint16)
    best = np.full(len(one), BITS, dtype=np.uint16)
    own, its = np.zeros(len(one), dtype=np.int64), np.zeros(len(one), dtype=np.int64)
    for window in range(1, one.shape[1]):
        for of_one, of_other in ((window, 0), (0, window)):
            differ = np.bitwise_count(one[:, of_one] ^ other[:, of_other]).sum(axis=1, dtype=np.uint16)
            nearer = differ < best
            best[nearer], own[nearer], its[nearer] = differ[nearer], of_one, of_other
    return whole, best, own, its


def _alike_pairs(
    corpus: _Corpus, images: Numbers, simple: bool, each: Each, progress: Callable[[int, int], None] | None
) -> tuple[Numbers, Numbers]:
    """Pairs of some images that are alike, each once, the lower number first."""
    n = len(images)
    if n <= EXACT:
        first, second = np.triu_indices(n, 1)
    else:
        hashes = corpus.hashes[images, :1] if simple else corpus.hashes[images]
        first, second = _neighbours(hashes, _SIMPLE if simple else _Search(), each, progress)
    first, second = images[first], images[second]
    alike = corpus.alike(first, second, each)
    return first[alike], second[alike]


def _neighbours(
    hashes: Hashes, search: _Search, each: Each, progress: Callable[[int, int], None] | None
) -> tuple[Numbers, Numbers]:
    """Pairs of images with two windows within NEAR bits, as far as the tables find them."""
    n = len(hashes)
    chance = np.random.default_rng(0)
    # the first bit, the mean, says nothing
    drawn = ((search, chance.permutation(np.arange(1, _STABLE))) for _ in range(search.tables))
    pairs: Numbers = np.empty(0, dtype=np.int64)
    for done, found in enumerate(each(_table, hashes, drawn), start=1):
        pairs = np.union1d(pairs, found)
        if progress:
            progress(done, search.tables)
    return np.divmod(pairs, n)


def _table(hashes: Hashes, drawn: tuple[_Search, Numbers]) -> Numbers:
    """Pairs (the lower image times the number of images, plus the higher) of one table, by the bits drawn for it."""
    (n, windows, words), (search, bits) = hashes.shape, drawn
    entries = hashes.reshape(n * windows, words)
    place = max(1, int(len(entries) - 1).bit_length())
    kept = min(64 - place, len(bits))
    bucket = np.uint64(kept - min(kept, max(8, len(entries).bit_length() - 3)) + place)
    keys = np.empty(len(entries), dtype=np.uint64)
    for begin in range(0, len(entries), _BLOCK):
        word = np.ascontiguousarray(entries[begin : begin + _BLOCK, 0])
        key = np.zeros_like(word)
        for bit in bits[:kept].tolist():
            key = (key << np.uint64(1)) | ((word >> np.uint64(_shift(bit))) & np.uint64(1))
        keys[begin : begin + _BLOCK] = key << np.uint64(place) | np.arange(begin, begin + len(word), dtype=np.uint64)
    keys.sort()
    entry = (keys & np.uint64((1 << place) - 1)).astype(np.int64)
    keys >>= bucket
    coarse = entries[:, 0][entry]
    image = entry // windows
    found = []
    for begin in range(0, len(keys), _BLOCK):
        at = np.arange(begin, min(begin + _BLOCK, len(keys)))
        for beside in range(1, search.beside + 1):
            at = at[: np.searchsorted(at, len(keys) - beside)]
            at = at[keys[at] == keys[at + beside]]
            if not len(at):
                break
            near = at[np.bitwise_count(coarse[at] ^ coarse[at + beside]) <= _COARSE]
            near = near[image[near] != image[near + beside]]
            one, other = entry[near], entry[near + beside]
            near = np.bitwise_count(entries[one] ^ entries[other]).sum(axis=1) <= search.near
            one, other = one[near] // windows, other[near] // windows
            found.append(np.minimum(one, other) * n + np.maximum(one, other))
    return np.unique(np.concatenate(found)) if found else np.empty(0, dtype=np.int64)


def _shift(bit: int) -> int:
    """Where the bit stands in a word of eight bytes, each of which begins with its highest bit."""
    return 8 * (bit // 8) + 7 - bit % 8


def _stars(first: Numbers, second: Numbers, sizes: Numbers) -> tuple[Numbers, Numbers]:
    """Whom to join to which centre, by number: centres are taken by how many images they bring together, the lower
    number first; each takes those next to it that no other took before."""
    nodes, place = np.unique(np.concatenate([first, second]), return_inverse=True)
    one, other = place[: len(first)], place[len(first) :]
    start, end = np.concatenate([one, other]), np.concatenate([other, one])
    order = np.lexsort((end, start))
    start, end = start[order], end[order]
    weight = sizes[nodes] + np.bincount(start, weights=sizes[nodes][end], minlength=len(nodes)).astype(np.int64)
    begins = np.searchsorted(start, np.arange(len(nodes) + 1)).tolist()
    taken = np.full(len(nodes), -1)
    for node in np.lexsort((nodes, -weight)).tolist():
        if taken[node] < 0:
            taken[node] = node
            near = end[begins[node] : begins[node + 1]]
            taken[near[taken[near] < 0]] = node
    joined = taken != np.arange(len(nodes))
    return nodes[joined], nodes[taken[joined]]


def _join(corpus: _Corpus, centre: Numbers, who: Numbers, whose: Numbers, each: Each) -> None:
    """Join the groups of some centres to those of others: of their images those that are alike to the new centre. The
    others stand alone again, until the next turn."""
    new = np.full(len(centre), -1)
    new[who] = whose
    moved = np.flatnonzero(new[centre] >= 0)
    target = new[centre[moved]]
    alike = corpus.alike(moved, target, each)
    centre[moved] = np.where(alike, target, moved)
