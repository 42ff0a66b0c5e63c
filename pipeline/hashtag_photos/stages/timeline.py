"""How the shares went over time: bins of the posts' times (UTC), and the shares of the classes in each.

The unit of a share is the post: each post's 1 is divided evenly among its photos, so that the shares of a bin add up to
1 (as `posts` in stages/units.py). The interval takes the groups of near-duplicates within a bin as clusters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hashtag_photos.estimate import wilson
from hashtag_photos.run import Run
from hashtag_photos.stages.joined import Joined, join
from hashtag_photos.stages.shown import Scored, scored, shown

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Bins of time without holes: bin i goes from `edges[i]` to before `edges[i + 1]`, each a `unit` long ("day").

    Edges are in UTC. Without any time there is nothing: no unit and no edges.
    """

    unit: str
    edges: tuple[datetime, ...]


@dataclass(frozen=True, kw_only=True)
class BinTally:
    """What there is of one bin, from `start` to before `end` (ISO 8601, UTC).

    `posts_collected` are all posts of that time, with `attachments`, of which so many could be `had`; `posts` those
    with a picture that was classified. `new_pictures` are distinct pictures that no post showed before.
    """

    start: str
    end: str
    posts_collected: int
    posts: int
    attachments: int
    had: int
    new_pictures: int


@dataclass(frozen=True, kw_only=True)
class TimeTally:
    """One class in one bin. Of the bin's `posts_total` with a picture, `posts` show the class.

    `share` is of these posts, each divided evenly among its pictures, so that shares add up to 1; None where there are
    none. `low` and `high` are its 95 % Wilson interval at the effective size, near-duplicates being clusters. Of the
    bin's new pictures, `new_pictures` are of the class, by the label of the image that stands for each.
    """

    start: str
    label: str
    posts: int
    posts_total: int
    share: float | None
    low: float
    high: float
    new_pictures: int


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """The classes over time: `bins` in order and without holes, and of each bin a row per class in `rows`.

    All posts collected are in one of the bins, or `timeless` (they state no time, or none that is certain), or so far
    from the others that they are `before` or `after` all bins. `unit` is how long a bin is, in words: "3 hours",
    "week"; it is "" where no post states its time, and there are no bins.
    """

    unit: str
    bins: tuple[BinTally, ...]
    rows: tuple[TimeTally, ...]
    timeless: int
    before: int
    after: int


class _Unit(NamedTuple):
    """How long a bin is: `step`, counted from `origin`, whose resolution it has."""

    name: str
    step: np.timedelta64
    origin: np.datetime64

    def number(self, time: np.datetime64) -> int:
        """Of the bin that a time is in."""
        return int((time.astype(self.origin.dtype) - self.origin) // self.step)

    def start(self, number: int) -> datetime:
        """Of the bin with a number, in UTC."""
        start = (self.origin + number * self.step).astype("datetime64[us]").astype(datetime)
        return cast(datetime, start).replace(tzinfo=UTC)


def _unit(name: str, count: int, of: str, origin: str = "1970-01-01") -> _Unit:
    step = np.timedelta64(count, cast(Any, of))
    return _Unit(name, step, np.datetime64(origin, cast(Any, of)))


#: the narrowest first
_UNITS = (
    _unit("15 minutes", 15, "m"),
    _unit("hour", 1, "h"),
    _unit("3 hours", 3, "h"),
    _unit("6 hours", 6, "h"),
    _unit("12 hours", 12, "h"),
    _unit("day", 1, "D"),
    _unit("week", 7, "D", "1969-12-29"),  # a Monday
    _unit("month", 1, "M"),
    _unit("quarter", 3, "M"),
    _unit("year", 1, "Y"),
)
_MOST_BINS, LEAST_BINS = 60, 4
_POSTS_IN_A_BIN = 10  # with a picture, on average, where that leaves bins enough
_STRAYS, _FEWEST_WITH_STRAYS = 0.01, 20  # of so many posts on, this share may be strays, or one, on either side


def common_axis(*runs: Run) -> Axis:
    """One axis for all posts of these runs: the narrowest unit that makes at most 60 bins, in which 10 posts with
    pictures stand on average; but no unit so wide that it makes fewer than 4 bins while a narrower one makes more.

    It is chosen without the first and the last 1 % of the posts of each run, or one post of 20 or more, so that a stray
    post from years before does not decide it; what is that far out is in a bin if there is room, and else left out.
    Where no post has a picture, all posts count. Years can be more than 60.
    """
    return axis_of(*map(join, runs))


def axis_of(*runs: Joined) -> Axis:
    """The same for runs that were joined already."""
    tables = [table for run in runs if len(table := _times(run))]
    if not tables:
        return Axis(unit="", edges=())
    each = [table.column("created_at").to_numpy().astype("datetime64[us]") for table in tables]
    times, pictured = np.concatenate(each), np.concatenate([table.column("pictured").to_numpy() for table in tables])
    lows, highs = zip(*map(_central, each), strict=True)
    low, high = min(lows), max(highs)
    counting = np.count_nonzero(pictured & (low <= times) & (times <= high)) or len(times)

    def bins(unit: _Unit, first: np.datetime64 = low, last: np.datetime64 = high) -> int:
        return unit.number(last) - unit.number(first) + 1

    def fits(unit: _Unit) -> bool:
        return bins(unit) <= min(_MOST_BINS, counting / _POSTS_IN_A_BIN)

    enough = [unit for unit in _UNITS if bins(unit) >= LEAST_BINS] or [_UNITS[0]]
    unit = next(filter(fits, enough), enough[-1])
    first, last = times.min(), times.max()
    if bins(unit, first, last) > _MOST_BINS:
        first, last = (first, high) if bins(unit, first, high) <= _MOST_BINS else (low, last)
    if bins(unit, first, last) > _MOST_BINS:
        first, last = low, high
    numbers = range(unit.number(first), unit.number(last) + 2)
    return Axis(unit=unit.name, edges=tuple(map(unit.start, numbers)))


def _times(run: Joined) -> pa.Table:
    """When posts were made, and which of them have a picture that could be had, whatever was made of it since."""
    times = run.of_posts("created_at")
    pictured = np.zeros(len(times), np.bool_)
    pictured[run.post[run.had]] = True
    return times.append_column("pictured", pa.array(pictured)).drop_null()


def _central(times: npt.NDArray[np.datetime64]) -> tuple[np.datetime64, np.datetime64]:
    """The first and the last time of those between the strays."""
    strays = max(1, int(len(times) * _STRAYS)) if len(times) >= _FEWEST_WITH_STRAYS else 0
    low, high = np.partition(times, (strays, len(times) - 1 - strays))[[strays, -1 - strays]]
    return low, high


def timeline_of(run: Run, model_key: str, labels_key: str, *, axis: Axis | None = None) -> Timeline:
    """The classes over time, along the run's own axis if no other is given.

    Raises RunError if the label set was not asked of the model.
    """
    found = scored(run, model_key, labels_key)
    with shown(found) as database:
        return over_time(database, found, axis or axis_of(found.joined))


def over_time(database: duckdb.DuckDBPyConnection, found: Scored, axis: Axis) -> Timeline:
    """The same from the tables of `stages.shown.shown`."""
    ((timeless,),) = database.execute("SELECT count(*) FROM post WHERE created_at IS NULL").fetchall()
    if not axis.edges:
        return Timeline(unit="", bins=(), rows=(), timeless=timeless, before=0, after=0)
    bins = len(axis.edges) - 1
    database.register("edges", pa.table({"bin": np.arange(bins + 1, dtype=np.int32), "edge": pa.array(axis.edges)}))
    database.execute(
        """CREATE TABLE timed AS SELECT post, attachments, coalesce(bin, -1) AS bin
        FROM post ASOF LEFT JOIN edges ON created_at >= edge WHERE created_at IS NOT NULL"""
    )
    collected = {bin: counts for bin, *counts in database.execute(_COLLECTED).fetchall()}
    had, posts, showing = (dict(_pairs(database, query)) for query in (_HAD, _POSTS, _SHOWING))
    new = dict(_pairs(database, _NEW))
    shares = _shares(database.sql(_WEIGHTS).to_arrow_table(), bins, len(found.names))
    database.execute("DROP TABLE timed")
    starts = [f"{edge:%Y-%m-%dT%H:%M:%SZ}" for edge in axis.edges]
    return Timeline(
        unit=axis.unit,
        bins=tuple(
            BinTally(
                start=starts[bin],
                end=starts[bin + 1],
                posts_collected=collected.get(bin, (0, 0))[0],
                posts=posts.get((bin,), 0),
                attachments=collected.get(bin, (0, 0))[1],
                had=had.get((bin,), 0),
                new_pictures=sum(new.get((bin, label), 0) for label in found.names),
            )
            for bin in range(bins)
        ),
        rows=tuple(
            TimeTally(
                start=starts[bin],
                label=label,
                posts=showing.get((bin, label), 0),
                posts_total=posts.get((bin,), 0),
                **asdict(shares[bin][place]),
                new_pictures=new.get((bin, label), 0),
            )
            for bin in range(bins)
            for place, label in enumerate(found.names)
        ),
        timeless=timeless,
        before=collected.get(-1, (0, 0))[0],
        after=collected.get(bins, (0, 0))[0],
    )


_COLLECTED = "SELECT bin, count(*), sum(attachments)::BIGINT FROM timed GROUP BY bin"
_HAD = "SELECT bin, count(*) FROM had JOIN timed USING (post) GROUP BY bin"
_POSTS = "SELECT bin, count(*) FROM timed SEMI JOIN showing USING (post) GROUP BY bin"
_SHOWING = "SELECT bin, label, count(*) FROM showing JOIN timed USING (post) GROUP BY bin, label"
_NEW = """
    SELECT bin, label, count(*) FROM images
    JOIN (SELECT picture, min(bin) AS bin FROM shown JOIN timed USING (post) GROUP BY picture) USING (picture)
    WHERE stands GROUP BY bin, label
"""
# Photos by bin, picture, label, and how many photos their posts have: integers, which add up the same in any order.
_WEIGHTS = """
    SELECT bin, picture, enum_code(label) AS label, divided, count(*) AS photos
    FROM shown JOIN timed USING (post)
    GROUP BY ALL ORDER BY ALL
"""


def _pairs(database: duckdb.DuckDBPyConnection, query: str) -> Iterator[tuple[tuple[Any, ...], int]]:
    """Counts by what is before them in the rows of a query."""
    return ((tuple(key), count) for *key, count in database.execute(query).fetchall())


@dataclass(frozen=True)
class _Share:
    share: float | None
    low: float
    high: float


def _shares(photos: pa.Table, bins: int, labels: int) -> list[list[_Share]]:
    """The share of each label in each bin, from the rows of _WEIGHTS."""
    bin, picture, label = (photos.column(name).to_numpy().astype(np.int64) for name in ("bin", "picture", "label"))
    weight = photos.column("photos").to_numpy() / photos.column("divided").to_numpy()
    inside = (bin >= 0) & (bin < bins)
    bin, picture, label, weight = (each[inside] for each in (bin, picture, label, weight))
    held = np.bincount(bin * labels + label, weight, minlength=bins * labels).reshape(bins, labels)
    begins = np.flatnonzero(np.diff(bin, prepend=-1) | np.diff(picture, prepend=-1))  # of each picture in its bin
    clusters = np.add.reduceat(weight, begins) if len(begins) else weight
    total = held.sum(axis=1)
    squares = np.bincount(bin[begins], clusters * clusters, minlength=bins)
    rows: list[list[_Share]] = []
    for whole, square, of_labels in zip(total.tolist(), squares.tolist(), held.tolist(), strict=True):
        effective = whole * whole / square if square else 0.0
        rows.append([])
        for each in of_labels:
            share = min(each / whole, 1.0) if whole else None
            low, high = wilson((share or 0.0) * effective, effective)
            rows[-1].append(_Share(share, low, high))
    return rows
