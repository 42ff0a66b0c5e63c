"""What is left to download, on disk: addresses by host, and the attachments that share each.

Tables are read a few rows at a time and put into a temporary SQLite file, so that memory doesn't grow with the run.
"""

from __future__ import annotations

import heapq
import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hashtag_photos.errors import StorageError
from hashtag_photos.http import host_of
from hashtag_photos.records import PhotoStatus
from hashtag_photos.run import Run
from hashtag_photos.tables import PHOTOS

KEY = ("source", "post_id", "position")
#: columns of a photo that its address alone decides
OUTCOME = tuple(name for name in PHOTOS.names if name not in (*KEY, "url", "attempt"))

_FEW = 5_000  # rows at a time
_ADDRESSES = """
    CREATE TABLE host (id INTEGER PRIMARY KEY, name, addresses, share);
    CREATE TABLE address (id INTEGER PRIMARY KEY, host, url, done DEFAULT 0)"""
_SCHEMA = f"""
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = OFF;
    CREATE TABLE tried (source, post_id, position, attempt, settled, PRIMARY KEY (source, post_id, position))
        WITHOUT ROWID;
    CREATE TABLE wanted (source, post_id, position, stated, url);
    {_ADDRESSES};
    CREATE TABLE attachment (address, source, post_id, position, url, attempt);
"""
_SORT = """
    DELETE FROM wanted WHERE EXISTS (SELECT 1 FROM tried
        WHERE (tried.source, tried.post_id, tried.position) = (wanted.source, wanted.post_id, wanted.position)
        AND tried.settled);
    CREATE INDEX wanted_url ON wanted (url);
    CREATE TABLE distinct_url AS SELECT url, host_of(url) AS host FROM wanted GROUP BY url;
    INSERT INTO host (name, addresses) SELECT host, count(*) FROM distinct_url GROUP BY host;
    INSERT INTO address (host, url) SELECT host.id, url FROM distinct_url JOIN host ON host.name = distinct_url.host
        ORDER BY random();  -- so that no bad ones stand in the way of the others each time
    DROP TABLE distinct_url;
    CREATE UNIQUE INDEX address_url ON address (url);
    CREATE INDEX address_host ON address (host, id);
    INSERT INTO attachment SELECT address.id, source, post_id, position, stated, coalesce(tried.attempt, 0) + 1
        FROM wanted JOIN address USING (url) LEFT JOIN tried USING (source, post_id, position);
    DROP TABLE wanted;
    DROP TABLE tried;
    CREATE INDEX attachment_address ON attachment (address);
"""


@dataclass(frozen=True)
class Again:
    """Which attachments are to be asked for again: those at some statuses, and those that a port blocked."""

    statuses: frozenset[str] = frozenset()
    ports: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.statuses or self.ports)

    def settles(self, status: str, reason: str | None) -> bool:
        """Whether an outcome stands, and is not to be asked for again."""
        if status == PhotoStatus.BLOCKED and (reason or "").startswith("port "):
            return not any((reason or "").startswith(f"port {port} ") for port in self.ports)
        return status not in self.statuses


def something_to_do(run: Run, again: Again) -> bool:
    """Whether a worklist could hold anything, as far as can be told at once."""
    if _asked_for(run) != attachments_of(run):  # more would hide some that are missing: the keys decide
        return True
    return bool(again) and any(
        not again.settles(status, reason)
        for batch in run.batches("photos", "status", "reason", rows=_FEW)
        for status, reason in _rows(batch.filter(pc.not_equal(batch.column("status"), PhotoStatus.OK.value)))
    )


class Worklist:
    """The attachments of a run that are to be asked for: those never asked, and those that are asked `again`."""

    def __init__(self, run: Run, folder: Path, again: Again) -> None:
        self.path = folder / "worklist.sqlite"
        self._run = run
        self._again = again
        self._database = sqlite3.connect(self.path)
        self._database.create_function("host_of", 1, host_of, deterministic=True)
        try:
            with _room_in(folder):
                self._database.executescript(_SCHEMA)
                if something_to_do(run, again):
                    self._read()
        except StorageError:
            self._database.close()
            raise
        self.attachments = self._one("SELECT count(*) FROM attachment")

    def __enter__(self) -> Worklist:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    @property
    def addresses(self) -> int:
        """How many are still to be asked for. They are numbered from 1."""
        return self._one("SELECT count(*) FROM address WHERE NOT done")

    @property
    def hosts(self) -> int:
        """Of how many hosts they are."""
        return self._one("SELECT count(DISTINCT host) FROM address WHERE NOT done")

    def known(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Addresses whose outcome is known for good from another post that was had before; they are then done."""
        columns = (*KEY, "attempt", "url", "status", "reason")
        later = {tuple(row[name] for name in columns[:4]) for row in superseded(self._run)}
        for batch in self._run.batches("photos", *columns[:5], *OUTCOME):
            places: dict[str, int] = {}
            for place, (*attempt, url, status, reason) in enumerate(_rows(batch.select(columns))):
                for_good = not PhotoStatus(status).temporary and self._again.settles(status, reason)
                if for_good and tuple(attempt) not in later:
                    places.setdefault(_asked_as(url), place)
            found = self._database.execute(
                "SELECT id, url FROM address WHERE NOT done AND url IN (SELECT value FROM json_each(?))",
                [json.dumps(list(places))],
            ).fetchall()
            for number, url in found:
                yield number, batch.slice(places[url], 1).select(OUTCOME).to_pylist()[0]
            self.mark_done(number for number, _ in found)

    def share_out(self, shares: int) -> None:
        """Give each host to one of so many shares, about as much of what is left to each."""
        loads = [(0, share) for share in range(shares)]
        given = []
        for host, addresses in self._database.execute(
            """SELECT host.id, count(*) AS addresses FROM host JOIN address ON address.host = host.id
            WHERE NOT address.done GROUP BY host.id ORDER BY addresses DESC, host.name"""
        ):
            load, share = heapq.heappop(loads)
            heapq.heappush(loads, (load + addresses, share))
            given.append((share, host))
        with _room_in(self.path.parent), self._database:
            self._database.executemany("UPDATE host SET share = ? WHERE id = ?", given)

    def sharing(self, address: int) -> list[dict[str, Any]]:
        """The attachments that share an address, as the columns of their rows that it doesn't decide."""
        names = (*KEY, "url", "attempt")
        found = self._database.execute(f"SELECT {', '.join(names)} FROM attachment WHERE address = ?", [address])
        return [dict(zip(names, row, strict=True)) for row in found]

    def mark_done(self, addresses: Iterable[int]) -> None:
        """Have addresses left out by whoever reads the list from now on."""
        with _room_in(self.path.parent):
            _mark_done(self._database, addresses)

    def share(self, share: int) -> Iterator[list[tuple[int, str, str]]]:
        """What is left of a share, a few at a time: each address by number, its host and its URL."""
        found = self._database.execute(
            """SELECT address.id, host.name, address.url FROM host JOIN address ON address.host = host.id
            WHERE host.share = ? AND NOT address.done ORDER BY address.id""",
            [share],
        )
        while rows := found.fetchmany(_FEW):
            yield rows

    def _read(self) -> None:
        with self._database:
            for batch in self._run.batches("photos", *KEY, "attempt", "status", "reason"):
                rows = ((*row[:4], self._again.settles(*row[4:])) for row in _rows(batch))
                # an attempt stands behind the one before it
                self._database.executemany("INSERT OR REPLACE INTO tried VALUES (?, ?, ?, ?, ?)", rows)
            for batch in self._run.batches("posts", "source", "id", "attachments"):
                self._database.executemany("INSERT INTO wanted VALUES (?, ?, ?, ?, ?)", _attachments(batch))
        self._database.executescript(_SORT)
        pa.default_memory_pool().release_unused()  # what was read isn't read again

    def _one(self, query: str) -> int:
        return int(self._database.execute(query).fetchone()[0])


def write_share(path: Path, addresses: Iterable[tuple[str, str]]) -> None:
    """A worklist of addresses that somebody else shared out, as host and URL, all of share 0; numbered from 1.

    Raises StorageError.
    """
    with _room_in(path.parent), closing(sqlite3.connect(path)) as database, database:
        database.executescript(f"PRAGMA synchronous = OFF; {_ADDRESSES}; CREATE TEMP TABLE given (host, url)")
        database.executemany("INSERT INTO given VALUES (?, ?)", addresses)
        database.executescript(
            """INSERT INTO host (name, addresses, share) SELECT host, count(*), 0 FROM given GROUP BY host;
            INSERT INTO address (id, host, url) SELECT given.rowid, host.id, url FROM given JOIN host
                ON host.name = given.host;
            CREATE INDEX address_host ON address (host, id)"""
        )


def mark_done(path: Path, addresses: Iterable[int]) -> None:
    """Have addresses of a worklist left out by whoever reads it from now on. Raises StorageError."""
    with _room_in(path.parent), closing(sqlite3.connect(path)) as database:
        _mark_done(database, addresses)


@contextmanager
def _room_in(folder: Path) -> Iterator[None]:
    """Tell of a full disk."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StorageError(
            f"{folder}: the list of what is left to download can't be kept there ({error}): free some space, then run "
            "the same command again",
            subject=folder,
        ) from error


def _mark_done(database: sqlite3.Connection, addresses: Iterable[int]) -> None:
    with database:
        database.executemany("UPDATE address SET done = 1 WHERE id = ?", ((each,) for each in addresses))


def attachments_of(run: Run) -> int:
    """How many attachments the posts of a run have."""
    return sum(
        pc.sum(batch.column("attachments").value_lengths()).as_py() or 0
        for batch in run.batches("posts", "attachments", rows=_FEW)
    )


def last_statuses(run: Run) -> dict[str, int]:
    """How many attachments stand at each status after their last attempt."""
    counts: Counter[str] = Counter()
    for batch in run.batches("photos", "status", rows=_FEW):
        counts.update({each["values"]: each["counts"] for each in batch.column("status").value_counts().to_pylist()})
    counts.subtract(row["status"] for row in superseded(run))
    return {status: count for status, count in sorted(counts.items()) if count}


def superseded(run: Run) -> Iterator[Mapping[str, Any]]:
    """Attempts after which there was another: their keys, attempts and statuses."""
    last: dict[tuple[Any, ...], int] = {}
    for batch in run.batches("photos", *KEY, "attempt", rows=_FEW):
        if _highest(batch) > 1:
            for row in _rows(batch.filter(pc.greater(batch.column("attempt"), 1))):
                last[row[:3]] = max(row[3], last.get(row[:3], 0))
    posts, columns = {post for _, post, _ in last}, (*KEY, "attempt", "status")
    for batch in run.batches("photos", *columns, rows=_FEW) if last else ():
        if not posts.isdisjoint(batch.column("post_id").to_pylist()):
            for row in _rows(batch):
                if row[3] < last.get(row[:3], 0):
                    yield dict(zip(columns, row, strict=True))


def _asked_for(run: Run) -> int:
    """How many attachments were asked for at least once."""
    return sum(
        pc.sum(pc.equal(batch.column("attempt"), 1)).as_py() or 0
        for batch in run.batches("photos", "attempt", rows=_FEW)
    )


def _highest(photos: pa.RecordBatch) -> int:
    return int(pc.max(photos.column("attempt")).as_py() or 0)


def _rows(batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _attachments(posts: pa.RecordBatch) -> Iterator[tuple[str, str, int, str, str]]:
    lists = posts.column("attachments")
    urls = iter(lists.flatten().field("url").to_pylist())
    columns = (posts.column("source").to_pylist(), posts.column("id").to_pylist(), lists.value_lengths().to_pylist())
    for source, post, length in zip(*columns, strict=True):
        for position in range(length):
            url = next(urls)
            yield source, post, position, url, _asked_as(url)


def _asked_as(url: str) -> str:
    """The part of an address that a server sees, the same however its scheme and host are spelled."""
    scheme, colon, rest = url.partition("://")
    if not colon or scheme.lower() not in ("http", "https"):
        return url
    origin, slash, path = rest.partition("#")[0].partition("/")
    return f"{scheme.lower()}://{origin if '@' in origin else origin.lower()}{slash}{path}"
