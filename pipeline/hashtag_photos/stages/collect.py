"""Stage 1: sources -> the posts table.

A post is had when its key (source, id) stands in the table; the first one had stays. What a source has yielded and
where it can go on from (its bookmark) are written together: posts first, so that a kill in between asks for a page
twice and loses none. A source that ended before its end is marked incomplete, with the reason.
"""

from __future__ import annotations

import csv
import gc
import hmac
import io
import itertools
import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from tempfile import SpooledTemporaryFile
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from hashtag_photos.errors import RunError, UsageError
from hashtag_photos.records import Incomplete, Post, Rejected, same_picture, storable
from hashtag_photos.run import Run
from hashtag_photos.sources import Source
from hashtag_photos.sources.people import without_people
from hashtag_photos.sources.visit import Bookmark, Stopped, Visit
from hashtag_photos.stages import Progress, silent
from hashtag_photos.tables import POSTS, posts_table

PART_ROWS = 50_000
PART_SECONDS = 30.0  # at most so much is asked for again after a kill
MAX_WAIT = 3600.0
_CHUNK_ROWS = 2_000
_POSTS_AT_ONCE = 10_000  # that are read
_LOOK_ROWS = 500  # how often it is looked whether there is something to write or to show
_INTERRUPTED = "interrupted: run it again to go on"
_AHEAD = timedelta(days=1)  # clocks and time zones differ by that much


@dataclass(frozen=True, kw_only=True)
class Collected:
    """Counts of the collect stage: posts new and had before, repeats of a key, what is no post; what is incomplete."""

    new: int
    had: int
    repeated: int
    rejected: int
    incomplete: tuple[Incomplete, ...] = ()
    skipped: bool = False


def collect(
    run: Run,
    *sources: Source,
    limit: int | None = None,
    max_wait: float = MAX_WAIT,
    keep_authors: bool | None = None,
    progress: Progress = silent,
) -> Collected:
    """Append the posts of sources to a run, those that it hasn't got yet. A source that is new to the run is added.

    `limit` is how many posts of each source the run may have in all: asked again with a larger one, it goes on.
    `max_wait` is how many seconds may be waited between two answers of a server that limits its rate. Authors are
    stored as pseudonyms, by a key of this run, unless `keep_authors`.

    Raises SourceError for an unusable source, before anything is written, RunConflictError if the run was asked
    another `keep_authors`, and UsageError for a limit or a wait that is none. A source that ends early does not raise:
    it is among `incomplete`.
    """
    return begin(run, *sources, limit=limit, max_wait=max_wait, keep_authors=keep_authors, progress=progress)()


def begin(
    run: Run,
    *sources: Source,
    limit: int | None = None,
    max_wait: float = MAX_WAIT,
    keep_authors: bool | None = None,
    progress: Progress = silent,
) -> Callable[[], Collected]:
    """The first half of `collect`: have each source's first answer, and write nothing. What it returns does the rest.

    Raises what `collect` raises.
    """
    if not sources:
        raise UsageError("there is no source to collect from")
    if limit is not None and limit < 1:
        raise UsageError(f"the limit must be at least 1, not {limit}", subject=limit)
    if max_wait < 0:
        raise UsageError(f"the longest wait must be 0 seconds or more, not {max_wait}", subject=max_wait)
    run.check(keep_authors=keep_authors)
    before = run.stages.get("collect", {})
    had = run.count("posts")
    lost = bool(before) and before["posts"] is not None and before["posts"] != had
    records = {_key(each["asked"]): each for each in before.get("sources", ())}
    to_ask = [
        source for source in sources if lost or not _finished(records.get(_key(source.asked())), source.state(), limit)
    ]
    if not to_ask:
        return lambda: _collected(before, new=0, had=had, skipped=True)
    for source in to_ask:
        source.check()
    collections = [_Collection(run, source, limit, max_wait, progress, afresh=lost) for source in to_ask]
    for each in collections:
        each.begin()

    def go_on() -> Collected:
        with run.writing():
            if lost:
                _forget_other(run, sources)
            run.ask(keep_authors=bool(run.asked.get("keep_authors", keep_authors)))
            run.ask_also(sources=[source.asked() for source in sources])
            authors = None if run.asked["keep_authors"] else _Pseudonyms(run)
            for each in collections:
                each.announce()
            with closing(_Known(run)) as known, _rare_garbage_collection():
                for each in collections:
                    each.go(known, authors)
                run.compact("posts")
                return _collected(run.stages["collect"], new=known.count - had, had=had)

    return go_on


@contextmanager
def _rare_garbage_collection() -> Iterator[None]:
    """Posts hold no circles: looking for some among millions of them costs a tenth of the time."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


class _Collection:
    """One going-through of one source."""

    def __init__(
        self,
        run: Run,
        source: Source,
        limit: int | None,
        max_wait: float,
        progress: Progress,
        afresh: bool,
    ) -> None:
        self._run, self._source = run, source
        self._max_wait, self._progress = max_wait, progress
        before = _record_of(source, run)
        start = None if afresh else before["went_on"]
        # what was counted since the bookmark is asked for, and counted, again
        self._counts = dict(start["counts"]) if start else {"posts": 0, "repeated": 0, "rejected": 0}
        self._bookmark: Any = start and start["bookmark"]
        self._goes_on = start is not None
        self._record = before | {
            "title": source.title,
            "recognised": source.recognised,
            "limit": limit or before["limit"],
            "state": None,
            "complete": False,
            "reason": _INTERRUPTED,
            "went_on": start,
        }
        self._record.setdefault("begun", datetime.now(UTC).isoformat(timespec="seconds"))
        self._limit = cast("int | None", self._record["limit"])
        self._at_bookmark = dict(self._counts)
        self._state: str | None = None
        self._items: Iterator[Post | Rejected | Bookmark] = iter(())
        self._ended: Stopped | None = None
        self._writes = False
        self._flushing = False
        self._chunk: list[Post] = []
        self._chunks: list[pa.Table] = []
        self._flushed = time.monotonic()
        self._waited = 0.0  # seconds, since the source last yielded anything
        self._size: int | None = None

    def begin(self) -> None:
        """Have the source's first answer. Raises SourceError if it has none; nothing was written then."""
        self._state, self._size = self._source.state(), self._source.size()
        left = None if self._limit is None else self._limit - self._counts["posts"]
        self._given = items = iter(self._source.posts(Visit(bookmark=self._bookmark, limit=left, wait=self._wait)))
        try:
            if self._full:
                raise Stopped(_limited(self._limit))
            first = list(itertools.islice(items, 1))
        except Stopped as stopped:
            self._ended, first = stopped, []
        self._items = itertools.chain(first, items)

    def announce(self) -> None:
        """Have it stand in run.json that this source is not had yet, before any other is gone through."""
        self._save(None)

    def go(self, known: _Known, authors: _Pseudonyms | None) -> None:
        """Take what the source has."""
        self._known, self._authors, self._writes = known, authors, True
        known.forget_when()
        with closing(_Rejects(self._run, self._source.title, self._goes_on)) as self._rejects:
            end: dict[str, Any] = {"complete": True, "reason": None, "state": self._state}
            try:
                self._take_all()
            except Stopped as stopped:
                end = {"complete": False, "reason": stopped.reason}
            except BaseException:
                self._flush()  # Ctrl-C, or a fault of ours: what was had is kept
                raise
            finally:
                if isinstance(self._given, Generator):
                    self._given.close()
            self._flush()
            self._rejects.keep()
            self._record.update(end)
            self._save(known.count)
        self._progress("collect", self._counts["posts"], self._counts["posts"])

    def _take_all(self) -> None:
        if self._ended is not None:
            raise self._ended
        for number, item in enumerate(self._items, start=1):
            if isinstance(item, Bookmark):
                self._bookmark, self._at_bookmark = item.at, dict(self._counts)
                if self._full and item.more:
                    raise Stopped(_limited(self._limit))
            elif isinstance(item, Rejected):
                self._reject(item)
            elif self._limit is not None and self._full and not self._known.has(item):
                raise Stopped(_limited(self._limit))
            else:
                self._take(item)
            if number % _LOOK_ROWS == 0 or isinstance(item, Bookmark):
                self._waited = 0.0
                self._show()
                rows = len(self._chunk) + _CHUNK_ROWS * len(self._chunks)
                if rows >= PART_ROWS or time.monotonic() - self._flushed > PART_SECONDS:
                    self._flush()

    @property
    def _full(self) -> bool:
        return self._limit is not None and self._counts["posts"] >= self._limit

    def _take(self, post: Post) -> None:
        met = self._known.meet(post)
        if met is None or not met.now:
            self._counts["posts"] += 1
        if met is None:
            self._chunk.append(post)
            if len(self._chunk) >= _CHUNK_ROWS:
                self._pack()
        elif met.unlike and not post.partial:
            when = "again" if met.now else "now, unlike when it was collected,"
            self._reject(Rejected(line=post.line, reason=f"post {post.id} stands there {when} with {met.unlike}"))
        elif met.now:
            self._counts["repeated"] += 1

    def _table(self, posts: list[Post]) -> pa.Table:
        """Posts as they are stored: flagged where their time can't be, and without people unless they are kept."""
        now = datetime.now(UTC)
        instead: dict[str, list[Any]] = {"collected_at": [post.collected_at or now for post in posts]}
        late = [
            post.created_at is not None and post.created_at > collected_at + _AHEAD
            for post, collected_at in zip(posts, instead["collected_at"], strict=True)
        ]
        if any(late):
            marked = list(zip(posts, late, strict=True))
            instead["created_at"] = [None if wrong else post.created_at for post, wrong in marked]
            instead["time_problem"] = [
                f"after it was collected: {post.created_at}" if wrong else post.time_problem for post, wrong in marked
            ]
        if self._authors is not None:
            of = self._authors.of
            instead["author"] = [post.author and of(post.source, post.author) for post in posts]
            instead["extra"] = [post.extra and without_people(post.extra, post.author) for post in posts]
            instead["repost_of"] = [
                f"@{of(post.source, named[1:])}" if (named := post.repost_of or "").startswith("@") else post.repost_of
                for post in posts
            ]
        return posts_table(posts, **instead)

    def _reject(self, rejected: Rejected) -> None:
        self._counts["rejected"] += 1
        self._rejects.add(rejected)

    def _pack(self) -> None:
        if self._chunk:
            self._chunks.append(self._table(self._chunk))
            self._chunk.clear()

    def _flush(self) -> None:
        """Write what was had: posts, then what was rejected, then where to go on from."""
        if self._flushing:
            return  # interrupted in the middle: whether its part is written isn't known, and it is asked for again
        self._flushing = True
        self._pack()
        if self._chunks:
            self._run.append("posts", pa.concat_tables(self._chunks))
            self._chunks.clear()
        start = self._bookmark and {"bookmark": self._bookmark, "counts": self._at_bookmark}
        if self._record["went_on"] != start:
            self._record["went_on"] = start
            self._rejects.keep()
            self._save(None)
        self._flushed = time.monotonic()
        self._flushing = False

    def _save(self, posts: int | None) -> None:
        """Put the source's record into run.json, and how many posts there are in all, where that is sure."""
        self._record.update(self._counts)
        before = self._run.stages.get("collect", {}).get("sources", ())
        records = {_key(each["asked"]): dict(each) for each in before} | {_key(self._record["asked"]): self._record}
        _record(self._run, list(records.values()), posts)

    def _wait(self, seconds: float, why: str) -> None:
        self._waited += seconds
        if self._waited > self._max_wait:
            raise Stopped(f"{why}; it asks to wait {seconds:,.0f} s, and {self._max_wait:,.0f} s are allowed")
        if self._writes:
            self._flush()
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._show(f"{why}: going on in {left:,.0f} s")
            time.sleep(min(left, 1.0))
        self._show()

    def _show(self, note: str = "") -> None:
        done = self._counts["posts"]
        total = self._size and max(self._size, done)
        self._progress("collect", done, self._limit if total is None else total, note)


@dataclass(frozen=True, slots=True)
class _Met:
    """A post that was met before: what was unlike then, and whether it was in this going-through."""

    unlike: str | None
    now: bool


class _Known:
    """The keys of the posts that the run has, each with a mark of its pictures and of when (and what) it is.

    They are in a temporary database of SQLite, which is in memory while it is small and on disk when it is not: memory
    stays flat however many posts there are.
    """

    def __init__(self, run: Run) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute("PRAGMA cache_size = -65536")  # KiB
        self._database.execute(
            "CREATE TABLE known (key BLOB PRIMARY KEY, shows INTEGER, is_ INTEGER, now INTEGER) WITHOUT ROWID"
        )
        self._database.execute("BEGIN")
        names = ["source", "id", "created_at", "text", "attachments"]
        for batch in run.batches("posts", *names, rows=_POSTS_AT_ONCE, schema=POSTS):
            columns = [batch.column(name).to_pylist() for name in names[:-1]]
            rows = zip(*columns, _urls(batch.column("attachments")), strict=True)
            self._database.executemany(
                "INSERT OR IGNORE INTO known VALUES (?, ?, ?, 0)", (_marks(*row) for row in rows)
            )
        (self.count,) = self._database.execute("SELECT count(*) FROM known").fetchone()

    def has(self, post: Post) -> bool:
        """Whether a post is known."""
        found = self._database.execute("SELECT 1 FROM known WHERE key = ?", (_digest(post.source, post.id),))
        return found.fetchone() is not None

    def meet(self, post: Post) -> _Met | None:
        """What is known of a post; from now on it is known."""
        urls = [each.url for each in post.attachments]
        key, shows, is_ = _marks(post.source, post.id, post.created_at, post.text, urls)
        if self._database.execute("INSERT OR IGNORE INTO known VALUES (?, ?, ?, 1)", (key, shows, is_)).rowcount:
            self.count += 1
            return None
        row = self._database.execute("SELECT shows, is_, now FROM known WHERE key = ?", (key,)).fetchone()
        if not row[2]:
            self._database.execute("UPDATE known SET now = 1 WHERE key = ?", (key,))
        other = "another time or text" if None not in (row[1], is_) and row[1] != is_ else None
        return _Met(unlike="other attachments" if row[0] != shows else other, now=bool(row[2]))

    def forget_when(self) -> None:
        """Begin another going-through: what was met before it was not met in it."""
        self._database.execute("UPDATE known SET now = 0 WHERE now = 1")

    def close(self) -> None:
        self._database.close()


def _marks(
    source: str, post_id: str, created_at: datetime | None, text: str | None, urls: Sequence[str]
) -> tuple[bytes, int, int | None]:
    """A post's key, a mark of its pictures, and one of what it is.

    Where a platform gives the ids, the same post has the same second; its text may be edited, and each server has
    copies of its pictures at addresses of its own. In an export without a platform, ids may be anybody's: there, texts
    (or times, where there is no text) and addresses are to be the same.
    """
    moment = None if created_at is None else int(created_at.timestamp())
    if source == "exported":
        return _digest(source, post_id), hash(tuple(map(same_picture, urls))), hash(text) if text else moment
    return _digest(source, post_id), len(urls), moment


def _digest(source: str, post_id: str) -> bytes:
    return blake2b(f"{source}\0{post_id}".encode("utf-8", "backslashreplace"), digest_size=16).digest()


def _urls(attachments: pa.Array) -> Iterator[list[str]]:
    """The addresses in a column of attachments, a list for each row."""
    addresses = iter(attachments.flatten().field("url").to_pylist())
    for length in pc.list_value_length(attachments).to_pylist():
        yield list(itertools.islice(addresses, length))


class _Pseudonyms:
    """Names for authors that are the same throughout a run, and say nothing without the run's key.

    The key is a file of its own, so that a run can be handed on without it. Without the key nobody can test whether a
    pseudonym is somebody's: an account's name is easy to guess, and its plain hash would be as good as the name.
    """

    FILE = "authors.key"

    def __init__(self, run: Run) -> None:
        if run.storage.exists(self.FILE):
            self._key = bytes.fromhex(run.storage.read(self.FILE).decode())
        elif run.count("posts"):
            raise RunError(
                f"{run.location}/{self.FILE} is gone: the same authors would get other pseudonyms than before; bring "
                "it back, or start again in another folder with --run",
                subject=self.FILE,
            )
        else:
            self._key = secrets.token_bytes(32)
            run.storage.write(self.FILE, lambda file: file.write(self._key.hex().encode()), private=True)
        self.of = lru_cache(maxsize=100_000)(self._of)

    def _of(self, source: str, author: str) -> str:
        """A pseudonym: 64 bits of HMAC-SHA256 (RFC 2104) of platform and name, as 16 hexadecimal digits."""
        return hmac.digest(self._key, storable(f"{source}\0{author}").encode(), "sha256").hex()[:16]


class _Rejects:
    """rejected.csv: what sources hold that is no post, with source, line and reason."""

    FILE = "rejected.csv"
    COLUMNS = ("source", "line", "reason")

    def __init__(self, run: Run, source: str, goes_on: bool) -> None:
        self._storage, self._source = run.storage, storable(source)
        self._spool = cast(IO[str], SpooledTemporaryFile(1 << 20, "w+", encoding="utf-8", newline=""))  # noqa: SIM115
        self._rows = csv.writer(self._spool, lineterminator="\n")
        self._rows.writerow(self.COLUMNS)
        self._changed = False
        self._listed: set[tuple[str, str]] = set()  # what is asked for again is not listed again
        if self._storage.exists(self.FILE):
            with self._storage.open(self.FILE) as file:
                before = csv.DictReader(io.TextIOWrapper(file, encoding="utf-8", newline=""))
                for row in before:
                    if row.get("source") != self._source or goes_on:
                        self._rows.writerow([row.get(name) for name in self.COLUMNS])
                        if row.get("source") == self._source:
                            self._listed.add((row.get("line") or "", row.get("reason") or ""))
                    else:
                        self._changed = True

    def add(self, rejected: Rejected) -> None:
        """List one."""
        row = (str(rejected.line or ""), storable(rejected.reason))
        if row not in self._listed:
            self._rows.writerow([self._source, *row])
            self._changed = True

    def keep(self) -> None:
        """Have the file hold all that was listed up to now."""
        if self._changed:
            self._storage.write(self.FILE, self._fill)
            self._changed = False

    def _fill(self, file: IO[bytes]) -> None:
        self._spool.seek(0)
        while text := self._spool.read(1 << 20):
            file.write(text.encode())

    def close(self) -> None:
        self._spool.close()


def _key(asked: Mapping[str, Any]) -> str:
    """What tells one source from another, however it was remembered."""
    return json.dumps({name: value for name, value in asked.items() if value not in (None, {})}, sort_keys=True)


def _record(run: Run, records: list[dict[str, Any]], posts: int | None) -> None:
    """Put what the stage knows of its sources into run.json."""
    asked = {_key(each) for each in run.asked.get("sources", ())}
    run.record_stage(
        "collect",
        posts=posts,
        repeated=sum(each["repeated"] for each in records),
        rejected=sum(each["rejected"] for each in records),
        complete=all(each["complete"] for each in records) and asked <= {_key(each["asked"]) for each in records},
        sources=records,
    )


def leave_out(run: Run, source: Source, reason: str) -> None:
    """Have it stand in run.json that a source could not be asked now, unless it was had."""
    records = [dict(each) for each in run.stages.get("collect", {}).get("sources", ())]
    known = [each for each in records if _key(each["asked"]) == _key(source.asked())]
    if not known:
        new = _record_of(source, run) | {"title": source.title, "recognised": None, "state": None}
        known = [new | {"posts": 0, "repeated": 0, "rejected": 0, "complete": False}]
        records += known
    if not known[0]["complete"]:
        known[0]["reason"] = reason
        with run.writing():
            _record(run, records, None)


def _forget_other(run: Run, sources: tuple[Source, ...]) -> None:
    """Posts that were had are gone from the run: sources that are not asked now are to be asked again."""
    now = {_key(source.asked()) for source in sources}
    records = [dict(each) for each in run.stages["collect"].get("sources", ())]
    for each in records:
        if _key(each["asked"]) not in now:
            each |= {"complete": False, "reason": "posts that were had are gone: run it again", "went_on": None}
    _record(run, records, None)


def _record_of(source: Source, run: Run) -> dict[str, Any]:
    """What the run remembers of a source."""
    for each in run.stages.get("collect", {}).get("sources", ()):
        if _key(each["asked"]) == _key(source.asked()):
            return dict(each)
    return {"asked": source.asked(), "limit": None, "went_on": None}


def _finished(record: Mapping[str, Any] | None, state: str | None, limit: int | None) -> bool:
    """Whether there is nothing to ask of a source any more."""
    if record is None:
        return False
    if record["complete"]:
        return state is not None and record["state"] == state
    if record["limit"] is None or record["reason"] != _limited(record["limit"]):
        return False
    return bool(record["posts"] >= (limit or record["limit"]))


def _limited(limit: int | None) -> str:
    return f"it was asked for {limit:,} posts, and there are more"


def _collected(record: Mapping[str, Any], *, new: int, had: int, skipped: bool = False) -> Collected:
    return Collected(
        new=new,
        had=had,
        repeated=record["repeated"],
        rejected=record["rejected"],
        incomplete=tuple(
            Incomplete(source=each["title"], reason=each["reason"])
            for each in record["sources"]
            if not each["complete"]
        ),
        skipped=skipped,
    )
