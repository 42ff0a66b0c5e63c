"""The run folder: what was asked, the tables that the stages append to, the images, and who may write.

    runs/mynypd/
      run.json                    what was asked, versions, models and label sets used, counts per stage
      authors.key                 what pseudonyms of authors are made with; not to be handed on
      rejected.csv                what sources held that could not be read as posts
      missing.csv                 attachments that could not be had, and why
      posts/part-*.parquet        one row per post
      photos/part-*.parquet       one row per attachment and attempt
      images/ab/abcd….jpg         the bytes as served, named by sha256; or shards of them: see imagestore.py
      embeddings/<model>/part-*.parquet    part-000003-000041.parquet stands for parts 3 to 41
      duplicates/<model>.parquet  which images are the same picture
      scores/<model>/<labels>.parquet, <labels>-robustness.parquet
      sample/<question>.parquet   which pictures people are to look at
      labels.csv                  what people said of them
      report/                     report.html, tally.json, numbers.csv, tally.csv, coverage.csv, photos.csv…

Making a Run touches nothing: the folder appears with the first thing written. "Done" is a key that stands in a table.
It knows the folder's layout, and nothing of how a row comes about.
"""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from hashtag_photos.errors import RunConflictError, RunError, RunLockedError, UsageError
from hashtag_photos.imagestore import FILES, SHARDS, STORES, ImageStore, Layout
from hashtag_photos.lease import Lease
from hashtag_photos.storage import Storage, is_outage, storage_error, until_answered
from hashtag_photos.tables import PHOTOS, POSTS
from hashtag_photos.words import first_line

if TYPE_CHECKING:
    import duckdb
    import pyarrow.dataset as pads

FORMAT = 1
_BATCH_ROWS = 1_000
_PATIENCE = 3.0  # seconds: of two that begin at the same time in an object store, both may give way at first
_FOLDERS_OF_OBJECTS = 4096  # object stores take so many requests a second for each beginning of a name
_PART = re.compile(r"part-(\d{6,})(?:-(\d{6,}))?\.parquet")
PART_ROWS = 100_000  # what parts are merged up to: 20 to 200 MB
_MANY_PARTS = 8  # fewer that could be one are left as they are: each merging writes all of their rows anew
_GROUP_ROWS = 10_000  # a row group of a merged part, which is what merging has in memory

_SECOND = dict.fromkeys(("model", "labels"), ", ask a second question beside it with the classify command")

# An attachment that was asked for more than once has several rows: the last attempt counts. Only those are looked up
# that were asked for again, if any was: a window over all rows takes ten times as long.
_PHOTOS = "CREATE VIEW photos AS SELECT * FROM photos_all"
_LATEST_PHOTOS = """
    CREATE VIEW photos AS SELECT photos_all.* FROM photos_all LEFT JOIN (
        SELECT source, post_id, position, max(attempt) AS last FROM photos_all WHERE attempt > 1 GROUP BY ALL
    ) USING (source, post_id, position) WHERE last IS NULL OR attempt = last
"""


class Run:
    """A run folder at a path or an `s3://…` address.

    Raises RunError if something else than a run stands there.
    """

    def __init__(self, location: str | os.PathLike[str]) -> None:
        self.storage = Storage(location)
        self.location = self.storage.location
        self.name = Path(self.storage.root).name
        self._lock: FileLock | Lease | None = None
        self._manifest = self._read_manifest()
        self._images: ImageStore | None = None

    def __repr__(self) -> str:
        return f"Run({self.location!r})"

    # What was asked, and what became of it: run.json

    @property
    def exists(self) -> bool:
        """Whether anything was written yet."""
        return bool(self._manifest)

    @property
    def asked(self) -> Mapping[str, Any]:
        """What this run was asked: sources, model, labels. Empty for a new run."""
        return cast(Mapping[str, Any], self._manifest.get("asked", {}))

    @property
    def stages(self) -> Mapping[str, Mapping[str, Any]]:
        """Counts per stage."""
        return cast(Mapping[str, Mapping[str, Any]], self._manifest.get("stages", {}))

    def used(self, kind: str, key: str) -> Mapping[str, Any] | None:
        """What run.json knows of a model (kind `models`) or a label set (kind `label_sets`) by its key."""
        return cast("Mapping[str, Any] | None", self._manifest.get(kind, {}).get(key))

    def check(self, **asked: Any) -> None:
        """Hold what is asked now against what was asked before; a value of None asks nothing.

        Raises RunConflictError if they contradict each other.
        """
        for name, value in asked.items():
            before = self.asked.get(name)
            if value is not None and before is not None and _plain(value) != before:
                raise RunConflictError(
                    f"{self.location} was asked with {name} {_short(before)} and is now asked with {name} "
                    f"{_short(_plain(value))}: leave {name} out to go on with it{_SECOND.get(name, '')}, "
                    "or choose another folder with --run",
                    subject=name,
                )

    def ask(self, **asked: Any) -> None:
        """Remember what is asked, as far as it was not asked before. Raises RunConflictError as `check` does."""
        self.check(**asked)
        new = {name: _plain(value) for name, value in asked.items() if value is not None and name not in self.asked}
        if new or not self.exists:
            self._update(asked={**self.asked, **new})

    def ask_also(self, **asked: list[Any]) -> None:
        """Add what isn't there yet to lists of what is asked."""
        longer = {}
        for name, values in asked.items():
            before = list(self.asked.get(name, ()))
            more = [value for value in _plain(values) if value not in before]
            if more:
                longer[name] = before + more
        if longer:
            self._update(asked={**self.asked, **longer})

    def record_stage(self, stage: str, **counts: Any) -> None:
        """Put what a stage has to say into run.json, unless it stands there already."""
        before = {name: value for name, value in self.stages.get(stage, {}).items() if name != "recorded"}
        if before != _plain(counts):
            self._update(stages={**self.stages, stage: {**counts, "recorded": _now()}})

    def record_used(self, kind: str, key: str, facts: Mapping[str, Any]) -> None:
        """Put what a model or label set was, to the last digit of its fingerprint, into run.json."""
        if self.used(kind, key) != _plain(facts):
            self._update(**{kind: {**self._manifest.get(kind, {}), key: facts}})

    # Tables

    def append(self, table: str, rows: pa.Table) -> None:
        """Add a part to a table (`posts`, `photos`, `embeddings/<model>`): it appears whole, or not at all.

        If this fails it may stand there all the same, as where an answer is lost on its way. So whoever wants to try
        again does so by `next_part`, asked once, and `write_table`; or looks for the keys.
        """
        if rows.num_rows:
            self.write_table(self.next_part(table), rows)

    def next_part(self, table: str) -> str:
        """Where the next part of a table is to stand."""
        last = max((each.last for each in _spans(self.storage.names(table))), default=0)
        return f"{table}/part-{last + 1:06d}.parquet"

    def compact(self, table: str) -> None:
        """Merge parts that follow each other and are small, into parts of up to PART_ROWS rows, in the same order.

        Where this is interrupted, or killed, the table holds the same: a merged part says by its name which ones it
        stands for, and readers pass these over until the next compaction removes them. They are removed at once
        otherwise, since who reads the folder with another tool would count their rows twice; who had begun to read
        them is told to begin again. Writes nothing where there is little to merge. Only for who holds the run's lock.
        """
        spans = _spans(self.storage.names(table))
        standing = _standing(spans)
        for each in set(spans) - set(standing):
            self.storage.remove(f"{table}/{each.name}")
        if len(standing) < _MANY_PARTS:
            return
        for few in _mergeable([(each, *self._shape(f"{table}/{each.name}")) for each in standing]):
            self._merge(table, few)
            for each in few:
                self.storage.remove(f"{table}/{each.name}")

    def _shape(self, path: str) -> tuple[int, pa.Schema]:
        """How many rows a part has, and of which columns."""
        with self.readable(path), self.storage.open(path) as file, pq.ParquetFile(file) as part:
            return part.metadata.num_rows, part.schema_arrow

    def _merge(self, table: str, few: Sequence[_Span]) -> None:
        def fill(file: IO[bytes]) -> None:
            writer, rows, waiting = None, 0, list[pa.RecordBatch]()
            for batch in chain(self._batches(table, [f"{table}/{each.name}" for each in few]), [None]):
                if batch is not None:
                    waiting.append(batch)
                    rows += len(batch)
                if waiting and (batch is None or rows >= _GROUP_ROWS):
                    group = pa.Table.from_batches(waiting)
                    writer = writer or pq.ParquetWriter(file, group.schema, **_options(group.schema))
                    writer.write_table(group)
                    rows, waiting = 0, []
            if writer:
                writer.close()

        self._still_ours()
        self.storage.write(f"{table}/part-{few[0].first:06d}-{few[-1].last:06d}.parquet", fill)

    def write_table(self, path: str, rows: pa.Table) -> None:
        """Write a Parquet file of its own, replacing an older one at once."""
        self._still_ours()
        self.storage.write(path, lambda file: pq.write_table(rows, file, **_options(rows.schema)))

    def dataset(self, table: str, schema: pa.Schema | None = None) -> pads.Dataset:
        """All parts of a table; columns that an older part lacks are null. Without a schema, that of the first part.

        Who reads it, or queries `database`, does so in a function that is `until_answered`; `batches` and `read_table`
        are so themselves.
        """
        import pyarrow.dataset as pads  # with pandas behind it, 45 MB

        parts = [self.storage.path(part) for part in self._parts(table)]
        if not parts:
            return pads.dataset((schema or pa.schema([])).empty_table())
        with self.readable(table):
            return pads.dataset(parts, schema=schema, filesystem=self.storage.fs, format="parquet")

    def count(self, table: str) -> int:
        """How many rows a table has."""
        with self.readable(table):
            return int(self.dataset(table).count_rows())

    def batches(
        self, table: str, *columns: str, rows: int = _BATCH_ROWS, schema: pa.Schema | None = None
    ) -> Iterator[pa.RecordBatch]:
        """All rows of a table in the order they were written, some columns of them, at most `rows` at a time. With a
        schema, columns that an older part lacks are null."""
        for batch in self._batches(table, self._parts(table), list(columns), rows):
            if schema is not None:
                for name in set(columns) - set(batch.schema.names):
                    batch = batch.append_column(name, pa.nulls(len(batch), schema.field(name).type))
                batch = batch.select(list(columns))
            yield batch

    def _batches(
        self, table: str, parts: Iterable[str], columns: list[str] | None = None, rows: int = _BATCH_ROWS
    ) -> Iterator[pa.RecordBatch]:
        for name in parts:
            with self.readable(table), self.storage.open_for_ranges(name) as file, pq.ParquetFile(file) as part:
                yield from part.iter_batches(rows, columns=columns, use_threads=False)

    def _parts(self, table: str) -> list[str]:
        """The parts' paths in the folder, in the order they were written, none that another one stands for."""
        return [f"{table}/{each.name}" for each in _standing(_spans(self.storage.names(table)))]

    def read_table(self, path: str, *columns: str) -> pa.Table | None:
        """A Parquet file of its own, or some columns of it, or None if it isn't there."""
        if not self.storage.exists(path):
            return None
        here = self.storage.local is not None  # else by this thread alone, as `until_answered` says
        with self.readable(path), self.storage.open(path) as file, pq.ParquetFile(file) as table:
            return table.read(list(columns) or None, use_threads=here)

    @until_answered
    def keys(self, table: str, schema: pa.Schema, *columns: str) -> set[tuple[Any, ...]]:
        """The keys that stand in a table, as tuples of these columns."""
        with self.readable(table):
            found = self.dataset(table, schema).to_table(columns=list(columns))
        return set(zip(*(found.column(name).to_pylist() for name in columns), strict=True))

    @contextmanager
    def database(self, **tables: pa.Table | pads.Dataset) -> Iterator[duckdb.DuckDBPyConnection]:
        """An in-memory DuckDB that sees `posts`, `photos_all`, `photos` (last attempts), and what else is given."""
        import duckdb

        # no OSError here: in the body it would be something else's, a socket's or an image's
        damage = (pa.ArrowInvalid, duckdb.InvalidInputException, duckdb.IOException)
        with duckdb.connect() as connection, self.readable("a table", damage):
            connection.execute("SET TimeZone = 'UTC'")
            connection.register("posts", self.dataset("posts", POSTS))
            photos = self.dataset("photos", PHOTOS)
            connection.register("photos_all", photos)
            asked_again = photos.count_rows(filter=pc.field("attempt") > 1)  # by the statistics of its parts
            connection.execute(_LATEST_PHOTOS if asked_again else _PHOTOS)
            for name, rows in tables.items():
                connection.register(name, rows)
            yield connection

    @contextmanager
    def readable(self, what: str, damage: tuple[type[Exception], ...] = (pa.ArrowInvalid, OSError)) -> Iterator[None]:
        """Have what goes wrong while a table is read raised as RunError, or as StorageError if the store is out."""
        try:
            yield
        except damage as error:
            if is_outage(error):
                raise storage_error(error, f"{self.location.rstrip('/')}/{what}") from error
            reason = first_line(error)
            if isinstance(error, FileNotFoundError) or "No such file" in reason:  # merged by the stage that ended now
                raise RunError(
                    f"{self.location}: {what} was written while it was read: run the same command again", subject=what
                ) from error
            raise RunError(
                f"{self.location}: {what} can't be read, a file may be damaged ({reason}); bring it back from a copy, "
                "or start again in another folder with --run",
                subject=what,
            ) from error

    # Images

    @property
    def images(self) -> ImageStore:
        """The images, kept as was settled when the first were had."""
        layout = Layout(self.asked.get("store", FILES), self.asked.get("image_folders", Layout.folders))
        if self._images is None or self._images.layout != layout:
            self._images = ImageStore(self.storage, layout, tables=self)
        return self._images

    def keep_images_as(self, store: str | None) -> None:
        """Settle how images are kept, as `files` or in `shards`, before the first are had; None goes on with what is.

        It stands in run.json, so that a folder that is copied elsewhere is read as it is. Raises UsageError if there is
        no such way, RunConflictError if images are kept in the other.
        """
        if store not in (None, *STORES):
            raise UsageError(f"images are kept as {' or '.join(STORES)}, not as {store!r}", subject=store)
        if "store" in self.asked:
            self.check(store=store)
        elif not self.storage.names("photos"):
            are_objects = self.storage.local is None and store != SHARDS
            self.ask(store=store or FILES, image_folders=_FOLDERS_OF_OBJECTS if are_objects else None)
        elif store == SHARDS:  # it is older than this choice
            raise RunConflictError(
                f"{self.location} keeps its images as files: leave store out to go on with it, or choose another "
                "folder with --run",
                subject="store",
            )

    # Who may write

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the folder's lock, in an object store a lease; nested calls in one process are fine.

        Raises RunLockedError if another process holds it. In an object store, what writes a table or run.json raises
        it, too, if another process took over since.
        """
        if self._lock is None:
            self._lock = self._own_lock()
        fresh = not self._lock.is_locked
        self._acquire(self._lock)
        try:
            if fresh:
                self._manifest = self._read_manifest()  # it may have changed since this Run was made
                self.storage.sweep()
            yield
        finally:
            self._lock.release()

    def _own_lock(self) -> FileLock | Lease:
        if self.storage.local is None:
            return Lease(self.storage, ".lock")
        return FileLock(self.storage.local / ".lock", timeout=0, thread_local=False)

    def _acquire(self, lock: FileLock | Lease) -> None:
        if isinstance(lock, Lease):
            lock.acquire(_PATIENCE)
            return
        try:
            Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            raise RunLockedError(
                f"{self.location} is being written by another process: wait until it ends, "
                "or choose another folder with --run",
                subject=self.location,
            ) from None
        except OSError as error:
            raise storage_error(error, self.location) from error

    def _still_ours(self) -> None:
        if isinstance(self._lock, Lease) and self._lock.is_locked:
            self._lock.check()

    # run.json itself

    def _read_manifest(self) -> dict[str, Any]:
        if not self.storage.exists("run.json"):
            stranger = self.storage.stranger()
            if stranger is not None:
                raise RunError(
                    f"{self.location} is not a run folder (it has no run.json, but {stranger!r}): "
                    "choose a new or empty folder with --run",
                    subject=self.location,
                )
            return {}
        try:
            manifest = json.loads(self.storage.read("run.json"))
            version = manifest["format"]
        except (ValueError, KeyError, TypeError):
            raise RunError(
                f"{self.location}/run.json can't be read: it was changed by hand or belongs to another program",
                subject=self.location,
            ) from None
        if version != FORMAT:
            raise RunError(
                f"{self.location} has run format {version}, this version reads {FORMAT}: "
                "use the hashtag-photos that made it",
                subject=self.location,
            )
        return cast(dict[str, Any], manifest)

    def _update(self, **changes: Any) -> None:
        with self.writing():
            manifest = {
                "format": FORMAT,
                "created": _now(),
                **self._manifest,
                **_plain(changes),
                "software": software(),
            }
            text = json.dumps(manifest, indent=2) + "\n"
            self._still_ours()
            self.storage.write("run.json", lambda file: file.write(text.encode()))
            self._manifest = manifest


class _Span(NamedTuple):
    """A part: the numbers of the first and the last one that it stands for."""

    first: int
    last: int
    name: str


def _spans(names: Iterable[str]) -> list[_Span]:
    """The parts among the files of a table."""
    found = filter(None, map(_PART.fullmatch, names))
    return [_Span(int(match[1]), int(match[2] or match[1]), match[0]) for match in found]


def _standing(spans: Iterable[_Span]) -> list[_Span]:
    """The parts that no other one stands for, in the order they were written."""
    standing: list[_Span] = []
    for each in sorted(spans, key=lambda span: (span.first, -span.last)):
        if not standing or each.last > standing[-1].last:
            standing.append(each)
    return standing


def _mergeable(parts: Iterable[tuple[_Span, int, pa.Schema]]) -> list[list[_Span]]:
    """Neighbours of the same columns with at most PART_ROWS rows together, where they are many.

    What was merged stays as it is the next time: rows add up, so the same neighbours don't fit together then, too.
    """
    groups: list[tuple[list[_Span], int, pa.Schema]] = []
    for span, rows, schema in parts:
        if groups and groups[-1][1] + rows <= PART_ROWS and groups[-1][2].equals(schema):
            groups[-1] = ([*groups[-1][0], span], groups[-1][1] + rows, schema)
        else:
            groups.append(([span], rows, schema))
    return [spans for spans, _, _ in groups if len(spans) >= _MANY_PARTS]


def _options(schema: pa.Schema) -> dict[str, Any]:
    """How a table is written as Parquet."""
    others = [each.name for each in schema if not pa.types.is_fixed_size_binary(each.type)]
    if len(others) == len(schema):
        return {"compression": "zstd"}
    # vectors are noise: compressing them, or looking for repeats, takes time and saves nothing
    return {"compression": dict.fromkeys(others, "zstd"), "use_dictionary": others, "write_statistics": others}


def software() -> dict[str, str]:
    """Versions of what decides a result."""
    names = (
        "hashtag-photos",
        "torch",
        "torchcodec",
        "torchvision",
        "open_clip_torch",
        "timm",
        "safetensors",
        "huggingface_hub",
        "pillow",
        "pyarrow",
        "duckdb",
        "numpy",
    )
    versions = {name: metadata.version(name) for name in names}
    for name in ("Mastodon.py", "atproto", "xdk", "pillow-heif", "transformers"):  # optional
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {"python": platform.python_version(), **versions}


def _plain(value: Any) -> Any:
    """As JSON would give it back, so that what was stored and what is asked compare equal."""
    return json.loads(json.dumps(value))


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
