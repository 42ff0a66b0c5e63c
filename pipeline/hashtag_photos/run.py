"""The run folder: what was asked, the tables that the stages append to, the images, and who may write.

    runs/mynypd/
      run.json                    what was asked, versions, models and label sets used, counts per stage
      authors.key                 what pseudonyms of authors are made with; not to be handed on
      rejected.csv                what sources held that could not be read as posts
      missing.csv                 attachments that could not be had, and why
      posts/part-*.parquet        one row per post
      photos/part-*.parquet       one row per attachment and attempt
      images/ab/abcd….jpg         the bytes as served, named by sha256
      embeddings/<model>/part-*.parquet
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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from hashtag_photos.errors import RunConflictError, RunError, RunLockedError
from hashtag_photos.records import image_path
from hashtag_photos.storage import Storage, storage_error
from hashtag_photos.tables import PHOTOS, POSTS

if TYPE_CHECKING:
    import duckdb
    import pyarrow.dataset as pads

FORMAT = 1
_BATCH_ROWS = 1_000
_PART = re.compile(r"part-(\d{6,})\.parquet")

_SECOND = dict.fromkeys(("model", "labels"), ", ask a second question beside it with the classify command")

# An attachment that was asked for more than once has several rows: the last attempt counts.
_LATEST_PHOTOS = """
    CREATE VIEW photos AS SELECT * FROM photos_all
    QUALIFY row_number() OVER (PARTITION BY source, post_id, position ORDER BY attempt DESC) = 1
"""


class Run:
    """A run folder at a path or an `s3://…` address.

    Raises RunError if something else than a run stands there.
    """

    def __init__(self, location: str | os.PathLike[str]) -> None:
        self.storage = Storage(location)
        self.location = self.storage.location
        self.name = Path(self.storage.root).name
        self._lock: FileLock | None = None
        self._manifest = self._read_manifest()

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
        """Add a part to a table (`posts`, `photos`, `embeddings/<model>`): it appears whole, or not at all."""
        if rows.num_rows:
            last = max(
                (int(match[1]) for name in self.storage.names(table) if (match := _PART.fullmatch(name))), default=0
            )
            self.write_table(f"{table}/part-{last + 1:06d}.parquet", rows)

    def write_table(self, path: str, rows: pa.Table) -> None:
        """Write a Parquet file of its own, replacing an older one at once."""
        options: dict[str, Any] = {"compression": "zstd"}
        if any(pa.types.is_fixed_size_binary(each.type) for each in rows.schema):
            # vectors are noise: compressing them, or looking for repeats, takes time and saves nothing
            others = [each.name for each in rows.schema if not pa.types.is_fixed_size_binary(each.type)]
            options = {
                "compression": dict.fromkeys(others, "zstd"),
                "use_dictionary": others,
                "write_statistics": others,
            }
        self.storage.write(path, lambda file: pq.write_table(rows, file, **options))

    def dataset(self, table: str, schema: pa.Schema | None = None) -> pads.Dataset:
        """All parts of a table; columns that an older part lacks are null. Without a schema, that of the first part."""
        import pyarrow.dataset as pads  # with pandas behind it, 45 MB

        parts = self._parts(table)
        if not parts:
            return pads.dataset((schema or pa.schema([])).empty_table())
        with self._readable(table):
            return pads.dataset(parts, schema=schema, filesystem=self.storage.fs, format="parquet")

    def batches(self, table: str, *columns: str, rows: int = _BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """All rows of a table in the order they were written, some columns of them, at most `rows` at a time."""
        for path in self._parts(table):
            with self._readable(table), self.storage.fs.open_input_file(path) as file, pq.ParquetFile(file) as part:
                yield from part.iter_batches(rows, columns=list(columns), use_threads=False)

    def _parts(self, table: str) -> list[str]:
        return [self.storage.path(f"{table}/{name}") for name in self.storage.names(table) if _PART.fullmatch(name)]

    def read_table(self, path: str) -> pa.Table | None:
        """A Parquet file of its own, or None if it isn't there."""
        if not self.storage.exists(path):
            return None
        with self._readable(path), self.storage.open(path) as file:
            return pq.read_table(file)

    def keys(self, table: str, schema: pa.Schema, *columns: str) -> set[tuple[Any, ...]]:
        """The keys that stand in a table, as tuples of these columns."""
        with self._readable(table):
            found = self.dataset(table, schema).to_table(columns=list(columns))
        return set(zip(*(found.column(name).to_pylist() for name in columns), strict=True))

    @contextmanager
    def database(self, **tables: pa.Table | pads.Dataset) -> Iterator[duckdb.DuckDBPyConnection]:
        """An in-memory DuckDB that sees `posts`, `photos_all`, `photos` (last attempts), and what else is given."""
        import duckdb

        # no OSError here: in the body it would be something else's, a socket's or an image's
        damage = (pa.ArrowInvalid, duckdb.InvalidInputException, duckdb.IOException)
        with duckdb.connect() as connection, self._readable("a table", damage):
            connection.execute("SET TimeZone = 'UTC'")
            connection.register("posts", self.dataset("posts", POSTS))
            connection.register("photos_all", self.dataset("photos", PHOTOS))
            connection.execute(_LATEST_PHOTOS)
            for name, rows in tables.items():
                connection.register(name, rows)
            yield connection

    @contextmanager
    def _readable(self, what: str, damage: tuple[type[Exception], ...] = (pa.ArrowInvalid, OSError)) -> Iterator[None]:
        try:
            yield
        except damage as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise RunError(
                f"{self.location}: {what} can't be read, a file may be damaged ({reason}); bring it back from a copy, "
                "or start again in another folder with --run",
                subject=what,
            ) from error

    # Images

    def open_image(self, sha256: str, image_format: str) -> BinaryIO:
        """An image's bytes as served. Raises OSError if they are gone."""
        return self.storage.open(image_path(sha256, image_format))

    # Who may write

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the folder's lock; nested calls in one process are fine. In an object store there is no lock.

        Raises RunLockedError if another process holds it.
        """
        if self.storage.local is None:
            yield
            return
        folder = self.storage.local
        if self._lock is None:
            self._lock = FileLock(folder / ".lock", timeout=0, thread_local=False)
        fresh = not self._lock.is_locked
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout:
            raise RunLockedError(
                f"{self.location} is being written by another process: wait until it ends, "
                "or choose another folder with --run",
                subject=self.location,
            ) from None
        except OSError as error:
            raise storage_error(error, self.location) from error
        try:
            if fresh:
                self._manifest = self._read_manifest()  # it may have changed since this Run was made
                self.storage.sweep()
            yield
        finally:
            self._lock.release()

    # run.json itself

    def _read_manifest(self) -> dict[str, Any]:
        if not self.storage.exists("run.json"):
            strangers = [name for name in self.storage.names() if not name.startswith(".")]
            if strangers:
                raise RunError(
                    f"{self.location} is not a run folder (it has no run.json, but {strangers[0]!r}): "
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
            self.storage.write("run.json", lambda file: file.write(text.encode()))
            self._manifest = manifest


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
