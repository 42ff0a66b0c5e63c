"""What the report says of single pictures: their label and probabilities, how often they were seen, and where first.

A picture is a group of near-duplicate images, named by the one that stands for it, whose label it has. What posts say
of it, its alternative text among it, and links to them, are left out where people are.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hashtag_photos.run import Run
from hashtag_photos.stages.joined import places
from hashtag_photos.stages.shown import Scored, scored
from hashtag_photos.stages.tally import Tally
from hashtag_photos.stages.units import IMAGES, PHOTOS
from hashtag_photos.tables import probability_column
from hashtag_photos.words import plain

_LINKS = 3
_LONGEST_TEXT, _LONGEST_NAME = 300, 60  # characters
_WORDS = r"[^\pC\pZ]"  # what isn't blank
_FILE = re.compile(r"file:.*/([^/?#]+)")
_ORDER = "ORDER BY created_at NULLS LAST, source, id"
_POST = ["source", "id", "url", "author", "created_at", "attachments"]


@dataclass(frozen=True, kw_only=True)
class Link:
    """A post that shows a picture: its address, None where it has none in http or https, and the host of it, or else
    the source. `file` is the name of the picture's file where there is no address and it came from this machine;
    `author` where the run keeps authors' names; `day` (UTC) where the post states its time.
    """

    url: str | None
    host: str
    file: str | None
    author: str | None
    day: str | None


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A picture, or one image of it, on the page.

    `data` is a small copy as a data: address, of `width` and `height` pixels, and `blurred` one of so few pixels that
    nobody is known by them; None and 0 where pictures are left out or the file can't be read. `probabilities` are of
    the classes by title, highest first. It has so many near-duplicate `images` (1 for an image by itself) in so many
    `posts`, the first of them at `first_seen` (ISO, UTC), None if none states its time. `links` are the first posts,
    and there are `more`. `alt` is the first alternative text that a post
    has for it, else its file's name or a plain one; it is `described` by people in the first case.
    """

    picture: str
    data: str | None
    blurred: str | None
    width: int
    height: int
    label: str
    title: str
    probabilities: tuple[tuple[str, float], ...]
    margin: float
    images: int
    posts: int
    first_seen: str | None
    alt: str
    described: bool
    links: tuple[Link, ...]
    more: int


class Pictures:
    """The pictures that count in a tally, to be asked for by what they are."""

    def __init__(self, found: Scored, tally: Tally, *, named: bool) -> None:
        """`named` is whether the run keeps authors' names."""
        self._found, self._units, self._named = found, found.units, named
        self._classes = {each.name: each.title for each in found.labels.classes}
        self._titles = {each.label: each.title for each in tally.classes}

    def typical(self, label: str, most: int) -> list[str]:
        """Those of a class with its highest probability."""
        return self._first(label, probability_column(label), most, highest=True) if label in self._classes else []

    def doubtful(self, label: str, most: int) -> list[str]:
        """Those of a class with the smallest margin."""
        return self._first(label, "margin", most)

    def shared(self, label: str, most: int) -> list[str]:
        """Those of a class in the most posts, among those in more than one."""
        number, posts = self._of_class(label), self._posts
        number = number[posts[self._units.picture_of[number]] > 1]
        ranked = number[np.argsort(-posts[self._units.picture_of[number]], kind="stable")]
        return self._names(ranked[:most])

    def drawn(self, most: int) -> list[str]:
        """So many pictures drawn at random, sorted by name. Each has the same chance, and the draw is always the same.

        It goes by a hash of their names: these are no draw themselves, since a group is named by its smallest.
        """
        return sorted(heapq.nsmallest(most, self._units.pictures, lambda name: sha256(name.encode()).digest()))

    def members(self, pictures: Sequence[str], most: int) -> dict[str, list[str]]:
        """Images of pictures, at most so many each: the one that stands for it, then those in the most photos."""
        of, _ = self._wanted(pictures, alone=False)
        number = np.flatnonzero(of >= 0)
        photos = self._units.image_weights[PHOTOS][number]
        found: dict[str, list[str]] = {}
        for at in np.lexsort((-photos, ~self._found.stands[number], of[number])):
            some = found.setdefault(pictures[of[number[at]]], [])
            if len(some) < most:
                some += self._names(number[at : at + 1])
        return found

    def formats(self, images: Sequence[str]) -> dict[str, str]:
        """The formats of images, by sha256."""
        of, photo = self._wanted(images, alone=True)
        joined, found = self._found.joined, dict[str, str]()
        rows = joined.photo[joined.had[photo]]
        of_photo = joined.of_photos("format").column(0).take(pa.array(rows)).to_pylist()
        for number, each in zip(of[self._found.image[photo]].tolist(), of_photo, strict=True):
            found[images[number]] = min(each, found.get(images[number], each))
        return found

    def shown(self, names: Sequence[str], *, alone: bool = False, authors: bool = True) -> dict[str, Shown]:
        """What there is to say of pictures, or `alone` of single images, by sha256; without their pixels.

        Without `authors`, nothing that posts say is in it: no names, no addresses, no alternative texts. What doesn't
        count in this run (any more) isn't in it.
        """
        import duckdb

        of, photo = self._wanted(names, alone=alone)
        images = np.bincount(of[of >= 0], minlength=len(names)).tolist()
        with duckdb.connect() as database:
            database.execute("SET TimeZone = 'UTC'")
            database.register("seen", self._seen(of, photo))
            counted = {
                number: facts
                for number, *facts in database.execute(
                    f"""SELECT number, count(*), strftime(min(created_at), '%Y-%m-%dT%H:%M:%SZ'),
                    first(alt {_ORDER}) FILTER (regexp_matches(alt, '{_WORDS}')) FROM seen GROUP BY number"""
                ).fetchall()
            }
            links: dict[int, list[Link]] = {}
            if authors:
                for number, *facts in database.execute(
                    f"""SELECT number, url, source, file, author, strftime(created_at, '%Y-%m-%d') FROM seen
                    QUALIFY row_number() OVER (PARTITION BY number {_ORDER}) <= {_LINKS} {_ORDER}"""
                ).fetchall():
                    links.setdefault(number, []).append(self._link(*facts))
        found = {}
        for number, (label, margin, *probabilities) in self._scores(names).items():
            if number not in counted:
                continue
            posts, first_seen, alt = counted[number]
            described = plain(alt or "", _LONGEST_TEXT) if authors else ""
            of_post = links.get(number, [])
            file = of_post[0].file if of_post else None
            ranked = sorted(zip(self._classes.values(), probabilities, strict=True), key=lambda each: -each[1])
            found[names[number]] = Shown(
                picture=names[number],
                data=None,
                blurred=None,
                width=0,
                height=0,
                label=label,
                title=self._titles.get(label, label),
                probabilities=tuple(ranked),
                margin=margin,
                images=images[number],
                posts=posts,
                first_seen=first_seen,
                alt=described or (f"File {file}" if file else f"Picture {names[number][:12]}"),
                described=bool(described),
                links=tuple(of_post),
                more=posts - len(of_post),
            )
        return found

    @cached_property
    def _posts(self) -> npt.NDArray[np.int64]:
        """How many posts show each picture, (pictures,)."""
        found = self._found
        counts = found.image >= 0
        picture = self._units.picture_of[found.image[counts]]
        post = found.joined.post[found.joined.had[counts]]
        posts = len(found.joined.first)
        pairs = np.unique(picture * posts + post)
        return np.bincount(pairs // posts, minlength=len(self._units.pictures)).astype(np.int64)

    def _of_class(self, label: str) -> npt.NDArray[np.int64]:
        """The places of images that stand for a picture of a class."""
        found = self._found
        of_class = found.label_of == (found.names.index(label) if label in found.names else -1)
        return np.flatnonzero(found.stands & of_class)

    def _first(self, label: str, column: str, most: int, *, highest: bool = False) -> list[str]:
        number = self._of_class(label)
        value = self._found.scores.column(column).take(pa.array(self._found.score[number])).to_numpy()
        return self._names(number[np.argsort(-value if highest else value, kind="stable")[:most]])

    def _names(self, images: npt.NDArray[np.integer]) -> list[str]:
        return cast("list[str]", self._units.images.take(pa.array(images)).to_pylist())

    def _wanted(self, names: Sequence[str], *, alone: bool) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Of each of `units.images` that counts, (images,), the place in `names` of its picture, or `alone` its own, -1
        where that is not among them; and the photos of these, as places in `joined.had`."""
        units = self._units
        place = places(pa.array(names, pa.string()), units.images)
        known = np.flatnonzero(place >= 0)
        if alone:
            of = np.full(len(units.images), -1)
            of[place[known]] = known
        else:
            known = known[self._found.stands[place[known]]]
            of_picture = np.full(len(units.pictures), -1)
            of_picture[units.picture_of[place[known]]] = known
            of = of_picture[units.picture_of]
        of[units.image_weights[IMAGES] == 0] = -1
        return of, np.flatnonzero(np.append(of, -1)[self._found.image] >= 0)  # the last is that of no image

    def _seen(self, of: npt.NDArray[np.int64], photo: npt.NDArray[np.int64]) -> pa.Table:
        """Which of what is wanted is seen in which posts, and what each says; of several photos there by the first."""
        joined = self._found.joined
        number, attachment = of[self._found.image[photo]], joined.had[photo]
        posts = len(joined.first)
        _, first = np.unique(number * posts + joined.post[attachment], return_index=True)
        number, attachment = number[first], attachment[first]
        post = joined.post[attachment]
        row, of_row = np.unique(post, return_inverse=True)
        says = joined.posts_at(row, *_POST)
        position = (attachment - joined.first[post]).tolist()
        shown = [
            attachments[at]
            for attachments, at in zip(
                says.column("attachments").take(pa.array(of_row)).to_pylist(), position, strict=True
            )
        ]
        told = says.drop_columns(["attachments"]).take(pa.array(of_row))
        return (
            told.append_column("number", pa.array(number))
            .append_column("alt", pa.array([each["alt"] for each in shown], pa.string()))
            .append_column("file", pa.array([each["url"] for each in shown], pa.string()))
        )

    def _scores(self, names: Sequence[str]) -> dict[int, tuple[Any, ...]]:
        """Label, margin and the classes' probabilities of images, by their place in `names`, in its order."""
        place = places(pa.array(names, pa.string()), self._units.images)
        known = np.flatnonzero(place >= 0)
        columns = ["label", "margin", *map(probability_column, self._classes)]
        rows = self._found.scores.select(columns).take(pa.array(self._found.score[place[known]]))
        values = zip(*(column.to_pylist() for column in rows.columns), strict=True)
        return dict(zip(known.tolist(), values, strict=True))

    def _link(self, url: str | None, source: str, file: str, author: str | None, day: str | None) -> Link:
        host = _host(url or "")
        own = _FILE.fullmatch(file) if not host else None
        return Link(
            url=url if host else None,
            host=plain(host or source, _LONGEST_NAME),
            file=plain(unquote(own[1]), _LONGEST_TEXT) or None if own else None,
            author=plain(author, _LONGEST_NAME) or None if author and self._named else None,
            day=day,
        )


def counted_pictures(run: Run, tally: Tally) -> Pictures:
    """The pictures that count in a tally of this run. Raises RunError if its tables can't be read."""
    found = scored(run, tally.model_key, tally.labels_key)
    return Pictures(found, tally, named=bool(run.asked.get("keep_authors")))


def _host(url: str) -> str:
    """The host of an address in http or https; empty for any other, and for one that programs read differently."""
    if url != plain(url) or "\\" in url or " " in url:
        return ""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return ""
    return host if parts.scheme in ("http", "https") and "@" not in parts.netloc else ""
