"""Where a run's images are: files of their own, or tar shards with an index. Whoever keeps or opens one needn't know.

    files     images/ab/<sha256>.jpg; images/abc/<sha256>.jpg in runs that began in an object store
    shards    images/shard-<name>.tar of up to 256 MB, whose members are called <sha256>.jpg; the table images/index
              says of each image in which shard it is, where its bytes begin, and how many they are

WebDataset (https://github.com/webdataset/webdataset) and tar read the shards as they are; by the index one image is one
ranged read. A shard is written whole, then rows of the index refer to it, then rows of photos to its images: a crash
leaves behind a shard that nothing refers to, which the next tidying removes. Of an image's rows the last counts.

A shard is named by what is in it, so that many processes, on many machines, keep images without a word between them.
"""

from __future__ import annotations

import sqlite3
import tarfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import sha256 as _sha256
from io import BytesIO
from itertools import accumulate, groupby
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol, TypeVar

from hashtag_photos.errors import RunError, StorageError
from hashtag_photos.storage import Storage

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

FILES, SHARDS = STORES = ("files", "shards")
INDEX = "images/index"
SHARD_BYTES = 256_000_000
SMALL_BYTES = SHARD_BYTES // 8  # shards of less are merged

_EXTENSIONS = {"JPEG": "jpg", "MPO": "jpg", "TIFF": "tif", "HEIF": "heic"}
_DIGITS = {256: 2, 4096: 3}
_BLOCK = tarfile.BLOCKSIZE
_IDLE = 64  # shards that are kept open
_INDEX_ROWS = 50_000  # of the index, in memory at a time

#: the shard of an image, where in it its bytes begin, and how many they are
Place = tuple[str, int, int]
T = TypeVar("T")


class Tables(Protocol):
    """What the index is written to and read from: a run."""

    def append(self, table: str, rows: pa.Table) -> None: ...
    def batches(self, table: str, *columns: str, rows: int = ...) -> Iterator[pa.RecordBatch]: ...
    def compact(self, table: str) -> None: ...


def file_name(sha256: str, image_format: str) -> str:
    """What an image is called: its sha256, and an extension that says its format."""
    return f"{sha256}.{_EXTENSIONS.get(image_format, image_format.lower())}"


@dataclass(frozen=True)
class Layout:
    """How a run keeps its images: as `files` in so many folders, or in `shards`."""

    store: str = FILES
    folders: int = 256

    @property
    def settle_seconds(self) -> float:
        """How long an image waits for others, to be made durable together with them."""
        return 0.5 if self.store == FILES else 15.0

    def path(self, sha256: str, image_format: str) -> str:
        """Where an image that is a file of its own stands in the run folder."""
        return f"images/{sha256[: _DIGITS[self.folders]]}/{file_name(sha256, image_format)}"


class ImageStore:
    """A run's images. `open` is safe in threads; all else is for one thread at a time. Not to be pickled.

    Without `tables`, images can be kept and not opened: whoever has them is then to tell the run's own store where they
    are (`record`). `memory` is a file, of this process, by which it knows what it has put into shards already.
    """

    def __init__(
        self, storage: Storage, layout: Layout, tables: Tables | None = None, memory: Path | None = None
    ) -> None:
        self.layout = layout
        self._storage = storage
        self._tables = tables
        self._memory = memory
        self._index: _Index | None = None
        self._idle: list[tuple[str, BinaryIO]] = []
        self._lock = threading.Lock()

    def open(self, sha256: str, image_format: str) -> BinaryIO:
        """An image's bytes as served.

        Raises FileNotFoundError if they are gone, OSError if they are damaged, StorageError if an object store doesn't
        answer.
        """
        if self.layout.store == FILES:
            return self._storage.open(self.layout.path(sha256, image_format))
        index = self._known()
        try:
            return BytesIO(self._read(*index.place(sha256)))
        except (FileNotFoundError, StorageError):  # merged with others since the index was read, or come since
            newer = self._known(newer_than=index)
            if newer is index:
                raise
            return BytesIO(self._read(*newer.place(sha256)))

    def adopt(self, files: Sequence[tuple[Path, str, str]]) -> list[Place | None]:
        """Move finished local files in, given with sha256 and format, and return once all are durable.

        Returned is the place of each in a shard; `record` makes it known. Those that stay files have none.
        Raises StorageError.
        """
        if self.layout.store == FILES:
            self._storage.adopt([(file, self.layout.path(*image)) for file, *image in files])
            return [None] * len(files)
        with closing(sqlite3.connect(self._memory or ":memory:")) as memory:
            memory.execute(
                "CREATE TABLE IF NOT EXISTS kept (sha256 TEXT PRIMARY KEY, shard TEXT, offset INT, size INT)"
            )
            places = dict(_remembered(memory, (sha256 for _, sha256, _ in files)))
            new = sorted({sha256: (file, image_format) for file, sha256, image_format in files}.items())
            members = [
                _Member(sha256, file_name(sha256, image_format), file.stat().st_size)
                for sha256, (file, image_format) in new
                if sha256 not in places
            ]
            where = {sha256: file for sha256, (file, _) in new}
            for some in _shared_out(members, lambda member: member.size):
                written = self._write(some, (where[member.sha256].read_bytes() for member in some))
                places |= written
                with memory:
                    rows = ((sha256, *place) for sha256, place in written.items())
                    memory.executemany("INSERT INTO kept VALUES (?, ?, ?, ?)", rows)
        for file, _, _ in files:
            file.unlink()
        return [places[sha256] for _, sha256, _ in files]

    def record(self, places: Sequence[tuple[str, Place]]) -> None:
        """Have images, by sha256, found where `adopt` put them. Raises StorageError."""
        from hashtag_photos.tables import image_index_table

        if places:
            self._run().append(INDEX, image_index_table(places))
            self._index = None

    def tidy(self) -> None:
        """Merge small shards, and remove those that no row of the index refers to.

        Killed at any moment it leaves every image where a row says. Images of photos that the index doesn't know any
        more, as a part of it was lost, are found again. A shard that is gone or damaged is left as it is. For who holds
        the run's lock, while nobody adopts. Raises StorageError.
        """
        if self.layout.store == FILES:
            return
        there = [name for name in self._storage.names("images") if name.endswith(".tar")]
        self._drop(set(there) - self._known().images_of_shards().keys())
        index = self._known()
        images = index.images_of_shards()
        small = [name for name in there if name in images and images[name][1] < SMALL_BYTES]
        for some in _shared_out(small, lambda name: images[name][1]):
            if len(some) > 1:
                self._merge(index, {name: images[name][0] for name in some})
        self._run().compact(INDEX)

    def _drop(self, shards: Set[str]) -> None:
        """Remove shards that no row refers to; but what photos are of and is nowhere else becomes known again."""
        index = self._known()
        whole = {shard: held for shard in sorted(shards) if (held := self._members(shard))}
        lost = {
            member.sha256: (shard, offset, member.size)
            for shard, held in whole.items()
            for offset, member in held
            if index.find(member.sha256) is None
        }
        wanted: dict[str, Place] = {}
        for batch in self._run().batches("photos", "sha256") if lost else ():
            wanted |= {sha256: lost[sha256] for sha256 in batch.column(0).to_pylist() if sha256 in lost}
        self.record(list(wanted.items()))
        for shard in whole.keys() - {shard for shard, _, _ in wanted.values()}:
            self._storage.remove(f"images/{shard}")

    def _merge(self, index: _Index, shards: dict[str, int]) -> None:
        """Make one shard of those that are whole, given with how many images each is to have."""
        members: list[tuple[str, int, _Member]] = []
        for shard, images in list(shards.items()):
            own = [
                (shard, offset, member)
                for offset, member in self._members(shard)
                if index.find(member.sha256) == (shard, offset, member.size)
            ]
            if len(own) == images:
                members += own
            else:
                del shards[shard]
        if len(shards) < 2:
            return

        def contents() -> Iterator[bytes]:
            for shard, of_shard in groupby(members, lambda each: each[0]):  # one of them in memory at a time
                content = self._storage.read(f"images/{shard}")
                for _, offset, member in of_shard:
                    yield content[offset : offset + member.size]

        written = self._write([member for _, _, member in members], contents())
        self.record(list(written.items()))
        for shard in shards.keys() - {shard for shard, _, _ in written.values()}:
            self._storage.remove(f"images/{shard}")

    def _members(self, shard: str) -> list[tuple[int, _Member]]:
        """What a shard holds, each with where its bytes begin; nothing if it is damaged."""
        try:
            with tarfile.open(fileobj=BytesIO(self._storage.read(f"images/{shard}")), mode="r:") as tar:
                return [(each.offset_data, _Member(each.name.partition(".")[0], each.name, each.size)) for each in tar]
        except tarfile.TarError:
            return []

    def _write(self, members: Sequence[_Member], contents: Iterable[bytes]) -> dict[str, Place]:
        """Write a shard; the place of each of its images, by sha256."""
        name = f"shard-{_sha256(' '.join(each.name for each in members).encode()).hexdigest()[:32]}.tar"

        def fill(out: IO[bytes]) -> None:
            for member, content in zip(members, contents, strict=True):
                header = tarfile.TarInfo(member.name)
                header.size = member.size
                out.write(header.tobuf(tarfile.USTAR_FORMAT))
                out.write(content)
                out.write(bytes(-member.size % _BLOCK))
            out.write(bytes(2 * _BLOCK))

        self._storage.write(f"images/{name}", fill)
        begins = accumulate((_BLOCK + each.size + -each.size % _BLOCK for each in members), initial=_BLOCK)
        return {each.sha256: (name, begin, each.size) for each, begin in zip(members, begins, strict=False)}

    def _read(self, shard: str, offset: int, size: int) -> bytes:
        with self._opened(shard) as file:
            file.seek(offset)
            content = file.read(size)
        if len(content) < size:
            raise OSError(f"{self._storage.location}/images/{shard} is cut short")
        return content

    @contextmanager
    def _opened(self, shard: str) -> Iterator[BinaryIO]:
        """A shard, open for one thread; some stay open, since opening is a request of its own in an object store."""
        with self._lock:
            idle = next((place for place, (name, _) in enumerate(self._idle) if name == shard), None)
            file = None if idle is None else self._idle.pop(idle)[1]
        file = file or self._storage.open_for_ranges(f"images/{shard}")
        try:
            yield file
        except BaseException:
            file.close()
            raise
        with self._lock:
            self._idle.append((shard, file))
            longest = self._idle.pop(0)[1] if len(self._idle) > _IDLE else None
        if longest:
            longest.close()

    def _known(self, newer_than: _Index | None = None) -> _Index:
        """What the index says; read again if it has other parts than the one that is given."""
        with self._lock:
            if self._index is None or self._index is newer_than:
                parts = tuple(self._storage.names(INDEX))
                while self._index is None or parts != self._index.parts:
                    rows = self._run().batches(INDEX, "sha256", "shard", "offset", "size", rows=_INDEX_ROWS)
                    try:
                        self._index = _Index(parts, rows)
                    except RunError:
                        before, parts = parts, tuple(self._storage.names(INDEX))
                        if parts == before:  # it is damaged, and not merged while it was read
                            raise
            return self._index

    def _run(self) -> Tables:
        assert self._tables is not None, "an image store without a run's tables keeps images, and does nothing else"
        return self._tables


class _Member(NamedTuple):
    """An image in a shard."""

    sha256: str
    name: str
    size: int


class _Index:
    """Where each image is, in 28 bytes an image. The first half of a sha256 (128 bits) is enough to tell them apart."""

    def __init__(self, parts: tuple[str, ...], batches: Iterable[pa.RecordBatch]) -> None:
        import numpy as np

        self.parts = parts
        numbers: dict[str, int] = {}
        columns: list[list[npt.NDArray[Any]]] = [
            [np.empty((0, 2), np.uint64)],
            *([np.empty(0, np.uint32)] for _ in "123"),
        ]
        for batch in batches:
            sha256, shard, offset, size = batch.columns
            shard = shard.dictionary_encode()
            own = [numbers.setdefault(name, len(numbers)) for name in shard.dictionary.to_pylist()]
            columns[0].append(_halves(sha256))
            columns[1].append(np.array(own, np.uint32)[_numbers(shard.indices)])
            columns[2].append(_numbers(offset).astype(np.uint32))
            columns[3].append(_numbers(size).astype(np.uint32))
        halves = np.concatenate(columns[0])
        order = np.argsort(halves[:, 0], kind="stable")  # rows of an image stay in the order they were written
        high, low = halves[order, 0], halves[order, 1]
        last = np.append((high[1:] != high[:-1]) | (low[1:] != low[:-1]), np.ones(min(len(order), 1), bool))
        self._high, self._low, order = high[last], low[last], order[last]
        self._shard, self._offset, self._size = (np.concatenate(each)[order] for each in columns[1:])
        self._names = list(numbers)

    def find(self, sha256: str) -> Place | None:
        """Where an image is; None if it is nowhere."""
        import numpy as np

        high, low = np.uint64(int(sha256[:16], 16)), np.uint64(int(sha256[16:32], 16))
        for at in range(*(int(np.searchsorted(self._high, high, side)) for side in ("left", "right"))):
            if self._low[at] == low:
                return self._names[self._shard[at]], int(self._offset[at]), int(self._size[at])
        return None

    def place(self, sha256: str) -> Place:
        """Where an image is. Raises FileNotFoundError if it is nowhere."""
        found = self.find(sha256)
        if found is None:
            raise FileNotFoundError(f"{INDEX} knows no image {sha256}")
        return found

    def images_of_shards(self) -> dict[str, tuple[int, int]]:
        """Of each shard that is referred to, how many images it has, and how many bytes they are."""
        import numpy as np

        images = np.bincount(self._shard, minlength=len(self._names)).tolist()
        sizes = np.bincount(self._shard, weights=self._size, minlength=len(self._names)).tolist()
        return {name: (count, int(size)) for name, count, size in zip(self._names, images, sizes, strict=True) if count}


def _numbers(column: pa.Array) -> npt.NDArray[Any]:
    """A column without nulls; pyarrow's own way to numpy loads pandas."""
    import numpy as np

    _, values = column.buffers()
    return np.frombuffer(
        values, f"<i{column.type.bit_width // 8}", len(column), column.offset * column.type.bit_width // 8
    )


def _halves(sha256: pa.StringArray) -> npt.NDArray[np.uint64]:
    """The first and the second 64 bits of sums written in hexadecimal: (images, 2)."""
    import numpy as np

    _, _, letters = sha256.buffers()
    codes = np.frombuffer(letters, np.uint8, 64 * len(sha256), 64 * sha256.offset).reshape(-1, 64)[:, :32]
    digits = (codes & 15) + 9 * (codes >> 6)  # letters are those with the bit of 64
    return np.ascontiguousarray(digits[:, ::2] << 4 | digits[:, 1::2]).view(">u8").astype(np.uint64)


def _remembered(memory: sqlite3.Connection, images: Iterable[str]) -> Iterator[tuple[str, Place]]:
    for sha256 in images:
        for shard, offset, size in memory.execute("SELECT shard, offset, size FROM kept WHERE sha256 = ?", [sha256]):
            yield sha256, (shard, offset, size)


def _shared_out(items: Iterable[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """Items in their order, in groups that fit into a shard each."""
    group: list[T] = []
    total = 0
    for item in items:
        if group and total + size(item) > SHARD_BYTES:
            yield group
            group, total = [], 0
        group.append(item)
        total += size(item)
    if group:
        yield group
