"""Files that appear whole or not at all, in a local folder or in an object store.

Everything goes through pyarrow's file systems. Where the folder is local, a file is written under a temporary name in
its own folder, synced, and renamed, and the folder is synced too, so that neither a reader nor a power cut sees half of
one. An object store (S3 and what speaks like it, Google Cloud Storage) shows an object once its upload is complete; so
there all bytes are had first and handed over by one call, since a stream that is closed early would show what it got.

Who asks an object store is told by the environment alone, never by an address:

    s3://   what the AWS SDK finds: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (AWS_SESSION_TOKEN), AWS_PROFILE, a
            machine's role; another server than Amazon's by AWS_ENDPOINT_URL, its region by AWS_REGION
    gs://   GOOGLE_APPLICATION_CREDENTIALS, gcloud's own login, a machine's role; an emulator by STORAGE_EMULATOR_HOST

It knows nothing of posts or pictures.
"""

from __future__ import annotations

import ctypes
import errno
import filecmp
import io
import mmap
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, cast
from urllib.parse import unquote, urlsplit

from filelock import FileLock, Timeout
from tenacity import retry, retry_if_exception_message, stop_after_attempt, wait_random_exponential

from hashtag_photos.errors import StorageError
from hashtag_photos.words import first_line

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from pyarrow import fs as pafs

TEMPORARY_PREFIX = ".tmp-"  # pyarrow's datasets ignore names that begin with a dot

_INCOMING = "hashtag-photos-"  # what is on its way into an object store, in this machine's folder for temporary files
_HELD = 64 << 20  # bytes of a file that are read into memory to be sent; more are mapped
_SENT_WHOLE = 5 << 20  # bytes; more go in parts
_READ_AT_ONCE = 1 << 20  # bytes: most images with one request
_SENT_AT_ONCE = 16  # objects
REQUESTS_AT_ONCE = 32  # to an object store: so many wait for answers together
_ATTEMPTS = 10  # at a request, with back-off up to 20 s: ninety seconds, where nobody answers
_HASTY_ATTEMPTS = 3
_CONNECT_SECONDS, _SILENT_SECONDS = 10, 30
_KEYS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; a server by AWS_ENDPOINT_URL, its region by "
    "AWS_REGION",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
}
_ADDRESS_AS_PATH = re.compile(rf"({'|'.join(_KEYS)}):/+(.*)", re.IGNORECASE)  # what a Path makes of one
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")

#: For what only reads: have it done again. A refusal is longer than a few bytes of a file, for which alone pyarrow has
#: room then, and it does not ask again. (A file in Python does, and is read by threads of Python alone: one of Arrow's
#: that is at it when the process ends takes the process down.)
until_answered = retry(
    retry=retry_if_exception_message(match="(?s).*Failed to flush response stream"),
    wait=wait_random_exponential(0.1, max=20),
    stop=lambda state: state.attempt_number >= _ATTEMPTS,
    reraise=True,
)


class Storage:
    """A folder at a path or an `s3://bucket/folder`, `gs://bucket/folder` address. Paths given to its methods are
    relative, with slashes. Any number of processes and machines may have one of the same folder.

    Making one asks nobody. Raises StorageError if there can be no such folder. A hasty one asks an object store a few
    times within seconds, and not for a minute and more: for what is as well left undone.
    """

    def __init__(self, location: str | os.PathLike[str], *, hasty: bool = False) -> None:
        self.location = os.fspath(location)
        self._attempts = _HASTY_ATTEMPTS if hasty else _ATTEMPTS
        self._store, sign, place = self.location.partition("://")
        if sign and self._store != "file":
            self.root = _bucket_and_folder(self._store, place)
            #: the folder on this machine, or None in an object store
            self.local: Path | None = None
        elif not sign and (meant := _ADDRESS_AS_PATH.match(self.location)):
            raise StorageError(
                f"{self.location} is no address: type {meant[1].lower()}://{meant[2]}, in Python as text and not as a "
                "Path, which takes a slash away",
                subject=self.location,
            )
        else:
            path = Path(unquote(urlsplit(self.location).path)) if sign else Path(self.location).expanduser()
            self.root = str(path.resolve())
            self.local = Path(self.root)
        try:
            self.root.encode()
        except UnicodeEncodeError:
            raise StorageError(
                f"{self.location!r} is no name in UTF-8: choose another run folder with --run", subject=location
            ) from None

    @cached_property
    def fs(self) -> pafs.FileSystem:
        """pyarrow's file system, whose paths `path` gives. Raises StorageError if an object store can't be asked."""
        if self.local is None:
            with self._explained(""):
                return self._client()
        from pyarrow import fs as pafs  # 60 MB, which a process that only moves files into a local folder needn't have

        return pafs.LocalFileSystem()

    def _client(self, *, in_parts: bool = False) -> pafs.FileSystem:
        return _client(self._store, self.root.partition("/")[0], self._attempts, in_parts)

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
            return
        bucket = self.root.partition("/")[0]
        with suppress(OSError):  # who may write below a folder need not be told of the bucket
            if self.fs.get_file_info(bucket).type.name == "NotFound":
                raise _no_bucket(f"{self._store}://{bucket}")

    def exists(self, relative: str) -> bool:
        """Whether the file stands there, whole."""
        with self._explained(relative):
            return bool(self.fs.get_file_info(self.path(relative)).is_file)

    def names(self, relative: str = "") -> list[str]:
        """Names of the files directly below, sorted; none if there is no such folder. Folders are named, too, but in
        Google's storage, which pyarrow asks for objects alone."""
        from pyarrow import fs as pafs

        selector = pafs.FileSelector(self.path(relative).rstrip("/"), allow_not_found=True)
        with self._explained(relative):
            return sorted(info.base_name for info in self.fs.get_file_info(selector))

    def stranger(self) -> str | None:
        """The name of a file or folder directly below, if there is any whose name doesn't begin with a dot."""
        from pyarrow import fs as pafs

        strangers = [name for name in self.names() if not name.startswith(".")]
        if self._store == "gs" and not strangers:
            selector = pafs.FileSelector(self.root, allow_not_found=True, recursive=True)  # all that is below
            with self._explained(""):
                below = [info.path.removeprefix(f"{self.root}/") for info in self.fs.get_file_info(selector)]
            strangers = sorted({path.partition("/")[0] for path in below if not path.startswith(".")})
        return strangers[0] if strangers else None

    def looks(self, relative: str) -> object:
        """What changes when a file does, to be compared; None if there is none."""
        with self._explained(relative):
            if self.local is not None:
                with suppress(FileNotFoundError):
                    found = (self.local / relative).stat()
                    return found.st_ino, found.st_size, found.st_mtime_ns
                return None
            info = self.fs.get_file_info(self.path(relative))
            return (info.size, info.mtime_ns) if info.is_file else None

    def changed(self, relative: str) -> dict[str, datetime]:
        """Names of the files directly below, and when each was written, by the clock of who keeps them."""
        from pyarrow import fs as pafs

        selector = pafs.FileSelector(self.path(relative), allow_not_found=True)
        with self._explained(relative):
            return {info.base_name: info.mtime for info in self.fs.get_file_info(selector) if info.is_file}

    @until_answered
    def read(self, relative: str) -> bytes:
        """The bytes of a file."""
        with self._explained(relative), self.fs.open_input_file(self.path(relative)) as file:
            return cast(bytes, file.read())  # as one request: its size is known

    def open(self, relative: str) -> BinaryIO:
        """A file opened for reading, seekable. Raises FileNotFoundError if there is none.

        An object store that can't be asked is a StorageError, here and in reading: it says nothing of the file.
        """
        if self.local is not None:
            return cast(BinaryIO, self.fs.open_input_file(self.path(relative)))
        return cast(BinaryIO, io.BufferedReader(_Remote(self, relative), _READ_AT_ONCE))

    def open_for_ranges(self, relative: str) -> BinaryIO:
        """As `open`, but each reading is a request, for what is asked and nothing more, of an object store."""
        return self.open(relative) if self.local is not None else cast(BinaryIO, _Remote(self, relative))

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
                with tempfile.TemporaryFile() as made:
                    fill(made)
                    made.seek(0)
                    if unless_same and self.exists(relative):
                        with self.open(relative) as before:
                            if _same(made, before):
                                return False
                    with ThreadPoolExecutor(1) as thread:  # which no Ctrl-C interrupts in the middle
                        thread.submit(self._send, made, relative).result()
            return True

    def remove(self, relative: str) -> None:
        """Delete a file; nothing where there is none."""
        with self._explained(relative), suppress(FileNotFoundError):
            self.fs.delete_file(self.path(relative))

    def adopt(self, files: Sequence[tuple[Path, str]]) -> None:
        """Move finished local files in, each to its place, and return once all are durable.

        Where the same stands already in a local folder it is left; one of another size was damaged since, and is
        replaced. To an object store all are sent, some at a time: to ask first would cost as much.
        """
        with self._explained(files[0][1] if files else ""):
            if self.local is not None:
                self._adopt_by_renaming(self.local, files)
                return
        if not files:
            return
        given_up = threading.Event()  # where one is refused for good, no other is begun: each would take as long

        def send(file: Path, relative: str) -> None:
            if given_up.is_set():
                return
            try:
                with self._explained(relative), file.open("rb") as source:
                    self._send(source, relative)
            except BaseException:
                given_up.set()
                raise
            file.unlink()

        with ThreadPoolExecutor(min(len(files), _SENT_AT_ONCE)) as threads:
            try:
                for each in [threads.submit(send, *each) for each in files]:
                    each.result()
            finally:
                given_up.set()

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
        if self.local is None:
            with _temporary_folder() as folder:
                yield folder
            return
        with self._explained("images"):
            (self.local / "images").mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=self.local / "images"))
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

    # the last answer to an upload in parts may be lost: asked again, the store knows of no such upload
    @retry(retry=retry_if_exception_message(match="(?s).*NO_SUCH_UPLOAD"), stop=stop_after_attempt(3), reraise=True)
    def _send(self, source: IO[bytes], relative: str) -> None:
        """Send a file to the object store by one call: a stream that gets less than all shows that, once closed."""
        source.seek(0)
        size = os.fstat(source.fileno()).st_size
        content = source.read() if size <= _HELD else mmap.mmap(source.fileno(), size, access=mmap.ACCESS_READ)
        with self._explained(""):
            fs = self._client(in_parts=size > _SENT_WHOLE)
        with fs.open_output_stream(self.path(relative)) as stream:
            stream.write(content)

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


class _Remote(io.RawIOBase):
    """An object as a file to read. Raises FileNotFoundError if there is none, else StorageError."""

    def __init__(self, storage: Storage, relative: str) -> None:
        self._where = f"{storage.location}/{relative}"
        with self._explained():
            self._file = storage.fs.open_input_file(storage.path(relative))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    @until_answered
    def readinto(self, buffer: WriteableBuffer) -> int:
        with self._explained():
            return int(self._file.readinto(buffer))

    @until_answered
    def readall(self) -> bytes:
        """The rest as one request; else it would be one for each 8 KiB."""
        with self._explained():
            return cast(bytes, self._file.read())

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise storage_error(error, self._where) from error


def storage_error(error: Exception, path: str) -> StorageError:
    """What an error on `path`, an OSError or what one was wrapped in, means for the user, and what to do."""
    reason = getattr(error, "strerror", None) or first_line(error)
    store = path.partition("://")[0]
    if getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error):
        what = "the disk is full: free some space, then run the same command again; what was had is kept"
        if store in _KEYS:
            what = f"the disk of {tempfile.gettempdir()} is full: free some space there, or name another folder in " + (
                "TMPDIR, then run the same command again; what was had is kept"
            )
    elif store in _KEYS and re.search("NO_SUCH_BUCKET|bucket does not exist|Bucket '.*' not found", str(error)):
        return _no_bucket("/".join(path.split("/")[:3]))
    elif store in _KEYS:
        what = f"{reason}. {_what_to_do(error, store)}"
    elif isinstance(error, PermissionError) or getattr(error, "errno", None) in (
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
    ):
        what = "can't be written: choose a run folder that you may write to, with --run"
    elif isinstance(error, FileExistsError | NotADirectoryError):
        what = "a file stands where the run folder should be: choose another with --run"
    else:
        what = f"{reason}; choose another run folder with --run"
    return StorageError(f"{path}: {what}", subject=path)


def _no_bucket(address: str) -> StorageError:
    return StorageError(f"{address}: there is no such bucket: make it, or choose another with --run", subject=address)


def _what_to_do(error: Exception, store: str) -> str:
    if isinstance(error, FileNotFoundError):
        return "It was removed just now, or its bucket was: run the same command again"
    if _REFUSED.search(str(error)):
        return (
            f"Who asks, and where, is told by the environment ({_KEYS[store]}): check that, whether the key is still "
            "good, and what it may do in this bucket"
        )
    return "What was had is kept: run the same command again later"


# what no further attempt changes; to a question for a file alone, S3 answers 400 without a word if a key has expired
_REFUSED = re.compile(
    "ACCESS_DENIED|INVALID_ACCESS_KEY|SIGNATURE|TIME_TOO_SKEWED|PERMISSION_DENIED|UNAUTHENTICATED|ExpiredToken|"
    r"InvalidToken|AuthorizationHeaderMalformed|status (30[17]|40[13])|status 400\).*: No response body"
)


def is_outage(error: Exception) -> bool:
    """Whether an error, also one by way of something else, says that an object store could not be asked."""
    said = str(error)
    return bool(re.search("AWS Error|google::cloud::Status", said)) and not re.search("NO_SUCH_KEY|NOT_FOUND", said)


def _bucket_and_folder(store: str, place: str) -> str:
    """`bucket/folder` of an object store's address."""
    if store not in _KEYS:
        raise StorageError(
            f"a run folder is a path, or an address that begins with s3:// or gs://, not with {store}://",
            subject=store,
        )
    bucket, _, folder = place.rstrip("/").partition("/")
    if re.search("[@?#]", place) or ":" in bucket:  # the address itself is not shown: a key may be in it
        raise StorageError(
            f"an address is {store}://bucket/folder and nothing else: no keys, no servers, no parameters; these are "
            f"told by the environment ({_KEYS[store]})",
            subject=store,
        )
    if not _BUCKET.fullmatch(bucket) or {"", ".", ".."} & set(folder.split("/") if folder else ()):
        raise StorageError(
            f"{store}://{place} is no address of a folder, such as {store}://bucket/runs/mine", subject=place
        )
    return f"{bucket}/{folder}".rstrip("/")


def _client(store: str, bucket: str, attempts: int, in_parts: bool) -> pafs.FileSystem:
    """Who asks an object store; one for all folders that are asked alike. To send a file in parts takes another."""
    if store == "gs":
        return _google(os.environ.get("STORAGE_EMULATOR_HOST"), attempts)
    server = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if server is None:
        return _amazon(_region_of(bucket), None, attempts, in_parts)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    return _amazon(region, server, attempts, in_parts)


@cache
def _region_of(bucket: str) -> str:
    from pyarrow import fs as pafs

    return cast(str, pafs.resolve_s3_region(bucket))


@cache
def _amazon(region: str, server: str | None, attempts: int, in_parts: bool) -> pafs.FileSystem:
    import pyarrow as pa
    from pyarrow import fs as pafs

    pa.set_io_thread_count(max(pa.io_thread_count(), REQUESTS_AT_ONCE))
    elsewhere = _server(server, "AWS_ENDPOINT_URL") if server else {}
    return pafs.S3FileSystem(
        region=region,
        connect_timeout=_CONNECT_SECONDS,
        request_timeout=_SILENT_SECONDS,
        retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=attempts),
        # delayed, a small object is one request and not three; but where parts can't be begun, nothing would be sent,
        # and shown
        allow_delayed_open=not in_parts,
        **elsewhere,
    )


@cache
def _google(server: str | None, attempts: int) -> pafs.FileSystem:
    import pyarrow as pa
    from pyarrow import fs as pafs

    pa.set_io_thread_count(max(pa.io_thread_count(), REQUESTS_AT_ONCE))
    elsewhere = {"anonymous": True, **_server(server, "STORAGE_EMULATOR_HOST")} if server else {}
    return pafs.GcsFileSystem(retry_time_limit=timedelta(seconds=12 * attempts), **elsewhere)


def _server(address: str, variable: str) -> dict[str, str]:
    parts = urlsplit(address if "://" in address else f"http://{address}")
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.path.strip("/"):
        raise StorageError(f"{variable} is to be an address such as https://s3.example.org:9000", subject=variable)
    return {"scheme": parts.scheme, "endpoint_override": parts.netloc}


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """A folder among this machine's temporary files. Those of processes that were killed go first."""
    try:
        for lock in Path(tempfile.gettempdir()).glob(f"{_INCOMING}*.lock"):
            with suppress(Timeout, OSError), FileLock(lock, timeout=0):
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                lock.unlink()
        opened, name = tempfile.mkstemp(prefix=_INCOMING, suffix=".lock")
        os.close(opened)
        mine, folder = Path(name), Path(name).with_suffix("")
        lock_held = FileLock(mine)
        lock_held.acquire()
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise storage_error(error, tempfile.gettempdir()) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        mine.unlink(missing_ok=True)
        lock_held.release()


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
