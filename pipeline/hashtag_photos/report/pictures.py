"""What the report says of single pictures: their label and probabilities, how often they were seen, and where first.

A picture is a group of near-duplicate images, named by the one that stands for it, whose label it has. What posts say
of it, its alternative text among it, and links to them, are left out where people are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from hashtag_photos.labels import LabelSet
from hashtag_photos.run import Run
from hashtag_photos.stages.classify import scores_path
from hashtag_photos.stages.group import groups_path
from hashtag_photos.stages.tally import Tally
from hashtag_photos.tables import GROUPS, probability_column, scores_schema
from hashtag_photos.words import plain

if TYPE_CHECKING:
    import duckdb

_LINKS = 3
_LONGEST_TEXT, _LONGEST_NAME = 300, 60  # characters
_WORDS = r"[^\pC\pZ]"  # what isn't blank
_FILE = re.compile(r"file:.*/([^/?#]+)")

# Photos that count
_PHOTOS = """
    CREATE TABLE photo AS
    SELECT source, post_id, position, sha256, format FROM photos SEMI JOIN scores USING (sha256) WHERE status = 'ok'
"""
# All images that count, and of which picture each is: as in stages/units.py
_IMAGES = """
    CREATE TABLE image AS
    WITH named AS (
        SELECT sha256, min(format) AS format, coalesce(any_value(picture), sha256) AS named
        FROM photo LEFT JOIN grouped USING (sha256) GROUP BY sha256
    ),
    standing AS (
        SELECT named, coalesce(min(sha256) FILTER (sha256 = named), min(sha256)) AS picture FROM named GROUP BY named
    )
    SELECT sha256, picture, format FROM named JOIN standing USING (named)
"""
# Those in more than one post, with the posts that show any of their images
_SHARED = """
    CREATE TABLE shared AS
    WITH often AS (SELECT picture FROM photo JOIN image USING (sha256) GROUP BY picture HAVING count(*) > 1),
    seen AS (
        SELECT DISTINCT picture, source, post_id FROM photo JOIN image USING (sha256) SEMI JOIN often USING (picture)
    )
    SELECT picture AS sha256, count(*) AS posts FROM seen GROUP BY picture HAVING posts > 1
"""


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

    def __init__(self, database: duckdb.DuckDBPyConnection, tally: Tally, labels: LabelSet, *, named: bool) -> None:
        """`named` is whether the run keeps authors' names."""
        self._database, self._named = database, named
        self._classes = {each.name: each.title for each in labels.classes}
        self._titles = {each.label: each.title for each in tally.classes}

    def typical(self, label: str, most: int) -> list[str]:
        """Those of a class with its highest probability."""
        return self._first(label, f"{probability_column(label)} DESC", most) if label in self._classes else []

    def doubtful(self, label: str, most: int) -> list[str]:
        """Those of a class with the smallest margin."""
        return self._first(label, "margin", most)

    def shared(self, label: str, most: int) -> list[str]:
        """Those of a class in the most posts, among those in more than one."""
        rows = self._database.execute(
            f"""SELECT sha256 FROM shared JOIN standing USING (sha256) WHERE label = $label
            ORDER BY posts DESC, sha256 LIMIT {most}""",
            {"label": label},
        ).fetchall()
        return [sha256 for (sha256,) in rows]

    def drawn(self, most: int) -> list[str]:
        """So many pictures drawn at random, sorted by name. Each has the same chance, and the draw is always the same.

        It goes by a hash of their names: these are no draw themselves, since a group is named by its smallest.
        """
        rows = self._database.execute(
            f"SELECT sha256 FROM standing ORDER BY sha256(sha256), sha256 LIMIT {most}"
        ).fetchall()
        return sorted(sha256 for (sha256,) in rows)

    def members(self, pictures: Sequence[str], most: int) -> dict[str, list[str]]:
        """Images of pictures, at most so many each: the one that stands for it, then those in the most photos."""
        self._want(pictures)
        order = "sha256 = picture DESC, photos DESC, sha256"
        found: dict[str, list[str]] = {}
        for picture, sha256 in self._database.execute(
            f"""WITH counted AS (
                SELECT picture, sha256, count(*) AS photos FROM photo JOIN image USING (sha256)
                SEMI JOIN wanted ON name = picture GROUP BY ALL
            )
            SELECT picture, sha256 FROM counted
            QUALIFY row_number() OVER (PARTITION BY picture ORDER BY {order}) <= {most} ORDER BY picture, {order}"""
        ).fetchall():
            found.setdefault(picture, []).append(sha256)
        return found

    def formats(self, images: Sequence[str]) -> dict[str, str]:
        """The formats of images, by sha256."""
        self._want(images)
        return dict(
            self._database.execute("SELECT sha256, format FROM image SEMI JOIN wanted ON name = sha256").fetchall()
        )

    def shown(self, names: Sequence[str], *, alone: bool = False, authors: bool = True) -> dict[str, Shown]:
        """What there is to say of pictures, or `alone` of single images, by sha256; without their pixels.

        Without `authors`, nothing that posts say is in it: no names, no addresses, no alternative texts. What doesn't
        count in this run (any more) isn't in it.
        """
        database, key = self._database, "sha256" if alone else "picture"
        self._want(names)
        images = dict(
            database.execute(
                f"SELECT name, count(*) FROM image JOIN wanted ON name = image.{key} GROUP BY name"
            ).fetchall()
        )
        database.execute(
            f"""CREATE OR REPLACE TABLE seen AS
            WITH showing AS (
                SELECT name, source, post_id AS id, min(position) AS position
                FROM photo JOIN image USING (sha256) JOIN wanted ON name = image.{key} GROUP BY ALL
            )
            SELECT name, source, id, url, author, created_at,
                attachments[position + 1].alt AS alt, attachments[position + 1].url AS file
            FROM showing JOIN posts USING (source, id)"""
        )
        order = "ORDER BY created_at NULLS LAST, source, id"
        counted = {
            name: facts
            for name, *facts in database.execute(
                f"""SELECT name, count(*), strftime(min(created_at), '%Y-%m-%dT%H:%M:%SZ'),
                first(alt {order}) FILTER (regexp_matches(alt, '{_WORDS}')) FROM seen GROUP BY name"""
            ).fetchall()
        }
        links: dict[str, list[Link]] = {}
        if authors:
            for name, *facts in database.execute(
                f"""SELECT name, url, source, file, author, strftime(created_at, '%Y-%m-%d') FROM seen
                QUALIFY row_number() OVER (PARTITION BY name {order}) <= {_LINKS} {order}"""
            ).fetchall():
                links.setdefault(name, []).append(self._link(*facts))
        chances = ", ".join(map(probability_column, self._classes))
        found = {}
        for name, label, margin, *probabilities in database.execute(
            f"""SELECT sha256, label, margin, {chances} FROM scores
            SEMI JOIN wanted ON name = sha256 SEMI JOIN seen ON seen.name = sha256"""
        ).fetchall():
            posts, first_seen, alt = counted[name]
            described = plain(alt or "", _LONGEST_TEXT) if authors else ""
            of_post = links.get(name, [])
            file = of_post[0].file if of_post else None
            ranked = sorted(zip(self._classes.values(), probabilities, strict=True), key=lambda each: -each[1])
            found[name] = Shown(
                picture=name,
                data=None,
                blurred=None,
                width=0,
                height=0,
                label=label,
                title=self._titles.get(label, label),
                probabilities=tuple(ranked),
                margin=margin,
                images=images[name],
                posts=posts,
                first_seen=first_seen,
                alt=described or (f"File {file}" if file else f"Picture {name[:12]}"),
                described=bool(described),
                links=tuple(of_post),
                more=posts - len(of_post),
            )
        return {name: found[name] for name in names if name in found}

    def _want(self, names: Sequence[str]) -> None:
        self._database.register("wanted", pa.table({"name": pa.array(names, pa.string())}))

    def _first(self, label: str, order: str, most: int) -> list[str]:
        rows = self._database.execute(
            f"SELECT sha256 FROM standing WHERE label = $label ORDER BY {order}, sha256 LIMIT {most}", {"label": label}
        ).fetchall()
        return [sha256 for (sha256,) in rows]

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


@contextmanager
def counted_pictures(run: Run, tally: Tally, labels: LabelSet) -> Iterator[Pictures]:
    """The pictures that count in a tally of this run, while this is open."""
    scores = run.read_table(scores_path(tally.model_key, tally.labels_key))
    grouped = run.read_table(groups_path(tally.model_key))
    with run.database(
        scores=scores if scores is not None else scores_schema(labels.class_names).empty_table(),
        grouped=grouped if grouped is not None else GROUPS.empty_table(),
    ) as database:
        database.execute(_PHOTOS)
        database.execute(_IMAGES)
        database.execute("CREATE TABLE standing AS SELECT * FROM scores SEMI JOIN image ON scores.sha256 = picture")
        database.execute(_SHARED)
        yield Pictures(database, tally, labels, named=bool(run.asked.get("keep_authors")))


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
