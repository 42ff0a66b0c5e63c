"""Files that appear whole or not at all, in a local folder or in an object store.

Everything goes through pyarrow's file systems. Where the folder is local, a file is written under a temporary name in
its own folder, synced, and renamed, and the folder is synced too, so that neither a reader nor a power cut sees half of
one. An object store shows an object once its upload is complete, so there the bytes are gathered and sent at once.

It knows nothing of posts or pictures.
"""

from __future__ import annotations

import ctypes
import errno
import filecmp
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from hashtag_photos.errors import StorageError

if TYPE_CHECKING:
    from pyarrow import fs as pafs

TEMPORARY_PREFIX = ".tmp-"  # pyarrow's datasets ignore names that begin with a dot


class Storage:
    """A folder at a path or an `s3://`, `gs://` address. Paths given to its methods are relative, with slashes."""

    def __init__(self, location: str | os.PathLike[str]) -> None:
        self.location = os.fspath(location)
        if "://" in self.location:
            from pyarrow import fs as pafs

            try:
                fs, self.root = pafs.FileSystem.from_uri(self.location)
            except (OSError, ValueError) as error:
                raise StorageError(f"{self.location}: {_first_line(error)}", subject=self.location) from error
            self.fs = fs
            is_local = isinstance(fs, pafs.LocalFileSystem)
        else:
            self.root, is_local = str(Path(self.location).expanduser().resolve()), True
        try:
            self.root.encode()
        except UnicodeEncodeError:
            raise StorageError(
                f"{self.location!r} is no name in UTF-8: choose another run folder with --run", subject=location
            ) from None
        #: the folder on this machine, or None in an object store
        self.local = Path(self.root) if is_local else None

    @cached_property
    def fs(self) -> pafs.FileSystem:
        """pyarrow's file system, whose paths `path` gives."""
        from pyarrow import fs as pafs  # 60 MB, which a process that only moves files into a local folder needn't have

        return pafs.LocalFileSystem()

    def path(self, relative: str) -> str:
        """The path that `self.fs` understands."""
        return f"{self.root}/{relative}"

    def check_writable(self) -> None:
        """Raise StorageError if it can be told, without writing, that nothing can be written here."""
        if self.local is not None:
            with self._explained(""):
                nearest = next(path for path in (self.local, *self.local.parents) if path.exists())
            error: type[OSError] = PermissionError if nearest.is_dir() else NotADirectoryError
            if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
                raise storage_error(error(), str(self.local))

    def exists(self, relative: str) -> bool:
        """Whether the file stands there, whole."""
        with self._explained(relative):
            return bool(self.fs.get_file_info(self.path(relative)).is_file)

    def names(self, relative: str = "") -> list[str]:
        """Names of the files and folders directly below, sorted; none if there is no such folder."""
        from pyarrow import fs as pafs

        selector = pafs.FileSelector(self.path(relative).rstrip("/"), allow_not_found=True)
        with self._explained(relative):
            return sorted(info.base_name for info in self.fs.get_file_info(selector))

    def read(self, relative: str) -> bytes:
        """The bytes of a file."""
        with self._explained(relative), self.fs.open_input_stream(self.path(relative)) as stream:
            return cast(bytes, stream.read())

    def open(self, relative: str) -> BinaryIO:
        """A file opened for reading, seekable."""
        return cast(BinaryIO, self.fs.open_input_file(self.path(relative)))

    def write(self, relative: str, fill: Callable[[IO[bytes]], object], *, private: bool = False) -> None:
        """Have `fill` write a file, which appears, or replaces an older one, only once it is whole and durable.

        A private one can be read by this user alone, where the folder is local.
        """
        self._put(relative, fill, private=private)

    def update(self, relative: str, content: bytes | Callable[[IO[bytes]], object]) -> bool:
        """Write a file unless it already holds just this; whether it was written.

        What is too large to be held is filled in, as by `write`.
        """
        if callable(content):
            return self._put(relative, content, unless_same=True)
        if self.exists(relative) and self.read(relative) == content:
            return False
        self.write(relative, lambda file: file.write(content))
        return True

    def _put(
        self, relative: str, fill: Callable[[IO[bytes]], object], *, private: bool = False, unless_same: bool = False
    ) -> bool:
        with self._explained(relative):
            if self.local is not None:
                target = self.local / relative
                target.parent.mkdir(parents=True, exist_ok=True)
                temporary = target.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{target.name}")
                try:
                    mode = 0o600 if private else 0o666
                    with open(temporary, "wb", opener=lambda path, flags: os.open(path, flags, mode)) as file:
                        fill(file)
                    if unless_same and target.exists() and filecmp.cmp(temporary, target, shallow=False):
                        temporary.unlink()
                        return False
                    self._publish(temporary, target)
                except BaseException:
                    temporary.unlink(missing_ok=True)
                    raise
            else:
                with tempfile.SpooledTemporaryFile(max_size=64 << 20) as spooled:
                    fill(cast(IO[bytes], spooled))
                    spooled.seek(0)
                    if unless_same and self.exists(relative):
                        with self.open(relative) as before:
                            if _same(cast(IO[bytes], spooled), before):
                                return False
                        spooled.seek(0)
                    self._send(cast(IO[bytes], spooled), relative)
            return True

    def remove(self, relative: str) -> None:
        """Delete a file; nothing where there is none."""
        if self.exists(relative):
            with self._explained(relative):
                self.fs.delete_file(self.path(relative))

    def adopt(self, files: Sequence[tuple[Path, str]]) -> None:
        """Move finished local files in, each to its place, and return once all are durable.

        Where the same stands already it is left; one of another size was damaged since, and is replaced.
        """
        with self._explained(files[0][1] if files else ""):
            if self.local is not None:
                self._adopt_by_renaming(self.local, files)
                return
            for file, relative in files:
                if self.fs.get_file_info(self.path(relative)).size != file.stat().st_size:
                    with file.open("rb") as source:
                        self._send(source, relative)
                file.unlink()

    def _adopt_by_renaming(self, local: Path, files: Sequence[tuple[Path, str]]) -> None:
        _sync_all([file for file, _ in files])
        changed = set()
        for file, relative in files:
            target = os.path.join(local, relative)  # noqa: PTH118  there are thousands a second
            with suppress(FileNotFoundError):
                if os.stat(target).st_size == os.stat(file).st_size:  # noqa: PTH116
                    os.unlink(file)  # noqa: PTH108
                    continue
            folder = os.path.dirname(target)  # noqa: PTH120
            if folder not in changed and not os.path.exists(folder):  # noqa: PTH110
                Path(folder).mkdir(parents=True, exist_ok=True)
                changed.add(os.path.dirname(folder))  # noqa: PTH120
            os.replace(file, target)  # noqa: PTH105
            changed.add(folder)
        _sync_all(sorted(changed))

    @contextmanager
    def incoming(self) -> Iterator[Path]:
        """A local folder for files in the making; in a local run below it, so that `adopt` is a rename."""
        with self._explained("images"):
            if self.local is not None:
                (self.local / "images").mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=self.local and self.local / "images"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what a killed process left half-written. Only for who holds the run's lock."""
        if self.local is None:
            return
        for leftover in self.local.rglob(f"{TEMPORARY_PREFIX}*"):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)

    def _send(self, source: IO[bytes], relative: str) -> None:
        path = self.path(relative)
        try:
            stream = self.fs.open_output_stream(path)
        except FileNotFoundError:  # a file system that has folders; object stores only have names
            self.fs.create_dir(path.rpartition("/")[0], recursive=True)
            stream = self.fs.open_output_stream(path)
        with stream:
            shutil.copyfileobj(source, stream, 4 << 20)

    @contextmanager
    def _explained(self, relative: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise storage_error(error, f"{self.location}/{relative}") from error

    @staticmethod
    def _publish(temporary: Path, target: Path) -> None:
        _sync(temporary)
        temporary.replace(target)
        _sync(target.parent)


def storage_error(error: OSError, path: str) -> StorageError:
    """What an OSError on `path` means for the user, and what to do."""
    if error.errno == errno.ENOSPC or "No space left" in str(error):
        what = "the disk is full: free some space, then run the same command again; what was had is kept"
    elif isinstance(error, PermissionError) or error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        what = "can't be written: choose a run folder that you may write to, with --run"
    elif isinstance(error, FileExistsError | NotADirectoryError):
        what = "a file stands where the run folder should be: choose another with --run"
    else:
        what = f"{error.strerror or _first_line(error)}; choose another run folder with --run"
    return StorageError(f"{path}: {what}", subject=path)


def _same(one: IO[bytes], other: IO[bytes]) -> bool:
    """Whether two files hold the same from where they stand."""
    while True:
        some = one.read(4 << 20)
        if some != other.read(4 << 20):
            return False
        if not some:
            return True


def _sync(path: str | Path) -> None:
    """Have a file's bytes, or a folder's names, on the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _sync_all(paths: Sequence[str | Path]) -> None:
    """Have all of these files and folders, which are on one file system, on the disk."""
    if len(paths) < _MANY or not hasattr(_LIBC, "syncfs"):
        for path in paths:
            _sync(path)
        return
    opened = os.open(paths[0], os.O_RDONLY)
    try:
        if _LIBC.syncfs(opened):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(paths[0]))
    finally:
        os.close(opened)


_MANY = 8  # from here on one call for the whole file system is cheaper than one for each (Linux)
_LIBC = ctypes.CDLL(None, use_errno=True)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
