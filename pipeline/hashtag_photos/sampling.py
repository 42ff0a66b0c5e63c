"""Which pictures people look at: a stratified random sample that can be extended and stopped early.

Pure functions of arrays. "Picture" is a near-duplicate group, named by the sha256 of its representative. All is
deterministic by the seed: the place of a picture in the random order of its stratum hangs on (seed, sha256) alone
("permanent random numbers", Ohlsson 1995, in Cox et al., Business Survey Methods, chapter 9).
"""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hashtag_photos.estimate import FEWEST_FOR_PREDICTIONS, Z_95, spreads

#: names of strata: class number / near or clear / size; pictures that hold much of the whole are a stratum of their own
LARGEST, GIANTS = "largest", "largest/giants"
LARGE = 2  # times the mean size, and more
MOST = 1 / 500  # of the sum of all sizes, and more: one of the largest, if it is large
RARE = 0.02  # of all pictures: classes predicted for fewer are one
FEW = 20  # pictures: fewer are no stratum of their own
NEAR = 1.5  # near the margin, as many times the effort
MINIMUM = 4  # labels a stratum gets first, if it has as many pictures


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The pictures that can be drawn, a row each, as in the SAMPLE table: sorted by (draw, stratum, rank)."""

    sha256: NDArray[np.str_]
    draw: NDArray[np.int32]  # in which draw it came into the frame: 1, 2...
    stratum: NDArray[np.str_]
    rank: NDArray[np.int64]  # place in its stratum's random order, from 0
    drawn: NDArray[np.bool_]  # rank < n_h
    position: NDArray[np.int64]  # place in the order of showing, -1 if not drawn

    @property
    def inclusion_probability(self) -> NDArray[np.float64]:
        """n_h / N_h of each row's stratum."""
        _, codes = np.unique(self.stratum, return_inverse=True)
        return (np.bincount(codes, weights=self.drawn) / np.bincount(codes))[codes]


def strata(
    predicted: NDArray[np.integer], margins: NDArray[np.floating], sizes: NDArray[np.floating], near: float
) -> NDArray[np.str_]:
    """Names of strata, one per picture, from (N,) each: class number, margin of the best class, size.

    The largest pictures are one stratum, or two if there are FEW or more; of the others, each class has large ones,
    those near the margin, and clear ones. Classes predicted for few pictures are taken together.
    """
    predicted = np.asarray(predicted)
    number, found = np.unique(predicted, return_inverse=True)
    rare = np.bincount(found) < max(RARE * len(predicted), FEW)
    classes = np.where(rare, "rest", number.astype(np.str_))[found]
    large = sizes > LARGE * sizes.mean()
    kinds = np.where(large, "large", np.where(margins < near, "near", "clear"))
    names = np.char.add(np.char.add(classes, "/"), kinds)
    largest = large & (sizes > sizes.sum() * MOST)
    names = np.where(largest, LARGEST, names)
    if largest.sum() >= FEW:  # those of them that hold half of what all of them hold are apart
        order = np.sort(sizes[largest])
        giant = order[np.searchsorted(order.cumsum(), order.sum() / 2)]
        names = np.where(largest & (sizes >= giant), GIANTS, names)
    # cells of a few pictures join the others of their class, so that labels are not scattered
    number, found, counts = np.unique(names, return_inverse=True, return_counts=True)
    few = (counts < FEW)[found] & ~largest
    return np.where(few, np.char.add(classes, "/clear"), names)


def effort(names: NDArray[np.str_], sizes: NDArray[np.floating]) -> NDArray[np.float64]:
    """How often each picture shall be drawn, relative to others: `draw` takes n_h in proportion to a stratum's sum.

    Half by number, half by size, since shares are published of both, and half as much again near the margin.
    """
    close = np.char.endswith(names, "/near")
    return np.asarray((0.5 + 0.5 * sizes / sizes.mean()) * np.where(close, NEAR, 1.0))


def draw(
    frame: Frame | None,
    pictures: Sequence[str],
    strata: NDArray[np.str_],
    n: int,
    seed: str,
    *,
    effort: NDArray[np.floating] | None = None,
) -> Frame:
    """The frame with n pictures drawn in all: a new one, or `frame` extended, in which nothing drawn is taken back.

    pictures, strata, effort: (N,) what the run holds now; those that `frame` knows keep their stratum and rank, the
    others form strata of their own, named "... (draw 2)" and so on. How many a stratum gives goes by the sum of its
    pictures' effort (1 each unless stated), but MINIMUM first; one at a time to the stratum that is furthest behind
    (Sainte-Lague's divisors), so that drawing n, then more, draws the same pictures as drawing all at once.
    If n is not more than what is drawn already, nothing more is drawn; if it is more than there are, all are.
    """
    names, strata = np.asarray(pictures, dtype=np.str_), np.asarray(strata, dtype=np.str_)
    wish = np.ones(len(names)) if effort is None else np.asarray(effort, dtype=np.float64)
    had = frame or _empty()
    new = ~np.isin(names, had.sha256)
    number = int(had.draw.max(initial=0)) + 1
    named = strata[new] if frame is None else np.char.add(strata[new], f" (draw {number})")
    everyone = np.concatenate([had.sha256, names[new]])
    if not len(everyone):
        return had
    stratum = np.concatenate([had.stratum, named])
    draws = np.concatenate([had.draw, np.full(new.sum(), number, dtype=np.int32)])
    drawn = np.concatenate([had.drawn, np.zeros(new.sum(), dtype=np.bool_)])
    position = np.concatenate([had.position, np.full(new.sum(), -1, dtype=np.int64)])
    efforts = _looked_up(everyone, names, wish)

    codes = np.unique(stratum, return_inverse=True)[1]
    order = np.lexsort((_random(f"{seed}/", everyone), codes, draws))
    everyone, stratum, draws, codes = everyone[order], stratum[order], draws[order], codes[order]
    drawn, position = drawn[order], position[order]
    first = np.unique(codes, return_index=True)[1]
    rank = np.arange(len(codes)) - first[codes]

    sizes = np.bincount(codes)
    before = np.bincount(codes[drawn], minlength=len(sizes))
    taken = _allocated(sizes, np.bincount(codes, weights=efforts[order]).astype(np.float64), before, n)
    chosen = rank < taken[codes]
    fresh = np.flatnonzero(chosen & ~drawn)
    jitter = _random(f"{seed}/place/", everyone[fresh])
    of = codes[fresh]
    place = (rank[fresh] - before[of] + jitter / 2.0**64) / (taken - before)[of]
    position[fresh[np.argsort(place, kind="stable")]] = position.max(initial=-1) + 1 + np.arange(len(fresh))
    return Frame(sha256=everyone, draw=draws, stratum=stratum, rank=rank, drawn=chosen, position=position)


def _empty() -> Frame:
    words = np.array([], dtype=np.str_)
    numbers = np.array([], dtype=np.int64)
    return Frame(
        sha256=words,
        draw=numbers.astype(np.int32),
        stratum=words,
        rank=numbers,
        drawn=numbers.astype(np.bool_),
        position=numbers,
    )


def _random(seed: str, names: NDArray[np.str_]) -> NDArray[np.uint64]:
    """A number per name, each of the 2^64 as likely as any other."""
    found = b"".join(hashlib.sha256((seed + name).encode()).digest()[:8] for name in names.tolist())
    return np.frombuffer(found, dtype=">u8").astype(np.uint64)


def _looked_up(everyone: NDArray[np.str_], names: NDArray[np.str_], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """values of names, for everyone; those without one (they are in another picture's group by now) get 0."""
    order = np.argsort(names)
    if not len(names):
        return np.zeros(len(everyone))
    at = np.minimum(np.searchsorted(names[order], everyone), len(names) - 1)
    return np.where(names[order][at] == everyone, values[order][at], 0.0)


def _allocated(
    sizes: NDArray[np.integer], efforts: NDArray[np.floating], had: NDArray[np.integer], n: int
) -> NDArray[np.int64]:
    """How many each stratum gives: n in all, none more than it has, none fewer than it gave (`had`)."""
    taken = had.astype(np.int64)
    missing = min(n, int(sizes.sum())) - int(taken.sum())

    def turn(h: int) -> tuple[bool, float, int]:
        return bool(taken[h] >= MINIMUM), -efforts[h] / (2 * taken[h] + 1), h

    heap = [turn(h) for h in range(len(sizes)) if taken[h] < sizes[h]]
    heapq.heapify(heap)
    for _ in range(missing):
        *_, h = heapq.heappop(heap)
        taken[h] += 1
        if taken[h] < sizes[h]:
            heapq.heappush(heap, turn(h))
    return taken


def plan(
    points: float,
    *,
    strata: NDArray[np.str_],
    effort: NDArray[np.floating],
    predictions: NDArray[np.floating],
    labelled: NDArray[np.integer] | None = None,
    labels: NDArray[np.floating] | None = None,
) -> int:
    """Labels needed in all for a half width of `points` percentage points of the widest class's share, of pictures.

    strata, effort: (N,) as for `draw`; predictions: (N, k); labelled (n,) with labels (n, k): what is known so far.
    Without labels the predictions are believed, but for 20 % at least that are taken to be wrong (estimate.spreads). At
    least 50, or all there are.
    """
    codes = np.unique(strata, return_inverse=True)[1]
    sizes = np.bincount(codes)
    efforts = np.bincount(codes, weights=effort).astype(np.float64)
    spread = spreads(strata=codes, predictions=predictions, labelled=labelled, labels=labels)
    least = np.zeros(len(sizes), dtype=np.int64)

    def reach(n: int) -> float:
        taken = np.maximum(_allocated(sizes, efforts, least, n), 0.5)
        variance = ((sizes**2 * np.maximum(1 / taken - 1 / sizes, 0))[:, None] * spread).sum(axis=0) / len(codes) ** 2
        return Z_95 * math.sqrt(float(variance.max())) * 100

    low, high = min(FEWEST_FOR_PREDICTIONS, len(codes)), len(codes)
    while low < high:
        middle = (low + high) // 2
        if reach(middle) <= points:
            high = middle
        else:
            low = middle + 1
    return low
