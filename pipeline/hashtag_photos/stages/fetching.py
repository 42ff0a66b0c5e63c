"""What a process of the download stage does with its share of the hosts: fetch, verify, keep, tell what became of it.

It is a process of its own so that several cores can be used, and so that a decoder that crashes on a stranger's bytes
takes nothing else with it. It is told its job by one line of JSON on standard input, whose end tells it to stop, and
answers with lines of JSON on standard output. It reads no tables and imports nothing heavy: about 40 MB each.
"""

from __future__ import annotations

import asyncio
import base64
import heapq
import json
import mmap
import os
import sqlite3
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from hashtag_photos.errors import StorageError
from hashtag_photos.http import Fetched, Fetcher, FetchError, Limits, Local, Request, fetcher
from hashtag_photos.images import ImageError, inspect
from hashtag_photos.imagestore import FILES, SHARD_BYTES, SHARDS, ImageStore, Layout, Place
from hashtag_photos.manners import LaterError, Manners
from hashtag_photos.records import PhotoStatus
from hashtag_photos.storage import Storage

_OPEN_HOSTS = 256  # hosts that are being visited at a time
_MOST_HOSTS = 2048  # and those that are waited for
_LOOK_AGAIN_SECONDS = 0.25
_READ_ROWS = 64
_SETTLED_AT_ONCE = {FILES: 128, SHARDS: 4_096}  # images that are made durable together
_UNSETTLED = {FILES: 384, SHARDS: 6_144}  # that may wait for it, or to be looked at
_UNSETTLED_BYTES = 2 * SHARD_BYTES
_STATUS_SECONDS = 0.25
_LEAVE_SECONDS = 5.0
_CELL = struct.Struct("<q")

Emit = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class Job:
    """A share of the work: the hosts of `share` in the worklist, and how they are to be visited.

    `suspects` is a file in which the addresses stand whose images are being decoded at this moment: who sees the
    process crash finds them there. Where not `verify`, bytes are kept as they come: for measurements alone.
    """

    worklist: str
    run: str
    layout: Layout
    incoming: str
    suspects: str
    share: int = 0
    shares: int = 1
    threads: int = 1
    local: Local
    limits: Limits
    manners: Manners
    placeholders: dict[str, str] = field(default_factory=dict)
    log: bool = False
    verify: bool = True

    def to_json(self) -> str:
        """As one line."""
        facts = asdict(self)
        facts["local"] = {"files": [str(each) for each in self.local.files], "routes": dict(self.local.routes)}
        return json.dumps(facts)


def job_from_json(line: str) -> Job:
    """The job that a line states."""
    facts = json.loads(line)
    local = Local(files=tuple(map(Path, facts["local"]["files"])), routes=facts["local"]["routes"])
    layout = Layout(**facts["layout"])
    limits = Limits(**{**facts["limits"], "ports": tuple(facts["limits"]["ports"])})
    return Job(**{**facts, "layout": layout, "local": local, "limits": limits, "manners": Manners(**facts["manners"])})


async def work(job: Job, storage: Storage, emit: Emit) -> None:
    """Do a job; every address of the share ends in an outcome that is emitted, images among them once they are durable.

    Cancelled, it still tells of what it had. Raises StorageError if the run folder can't be written.
    """

    def log(request: Request) -> None:
        emit({"request": {**asdict(request), "time": request.time.isoformat()}})

    with (
        closing(sqlite3.connect(f"{Path(job.worklist).as_uri()}?mode=ro", uri=True)) as worklist,
        ThreadPoolExecutor(job.threads) as verifiers,
        ThreadPoolExecutor(1) as settling,
        _suspects(job) as decoding,
    ):
        memory = Path(job.incoming) / f"kept-{job.share}.sqlite"
        keeper = _Keeper(ImageStore(storage, job.layout, memory=memory), settling, emit)
        async with fetcher(
            Path(job.incoming),
            job.local,
            job.limits,
            job.manners,
            elsewhere=job.shares,
            name=f"{job.share}-",
            log=log if job.log else None,
        ) as fetch:
            try:
                async with asyncio.TaskGroup() as tasks:
                    reporting = tasks.create_task(_report(fetch, emit))
                    keeping = tasks.create_task(keeper.run())
                    await _visit_all(job, worklist, _Hand(job, fetch, keeper, verifiers, decoding, emit))
                    keeper.finish()
                    await keeping
                    reporting.cancel()
            except BaseException:  # told to leave, or a full disk: what is had is kept
                with suppress(StorageError):
                    keeper.leave()
                raise
            emit(_status(fetch))


async def _visit_all(job: Job, worklist: sqlite3.Connection, hand: _Hand) -> None:
    """Visit the hosts of a share, the largest first, and some hundred of them at a time that are not waited for."""
    visits: set[asyncio.Task[None]] = set()

    async def visit(host: int, addresses: int) -> None:
        left = _Left(_addresses(worklist, host))
        async with asyncio.TaskGroup() as hands:
            for _ in range(min(job.manners.connections_per_host, addresses)):
                hands.create_task(hand.take(left))

    hosts = worklist.execute(
        "SELECT id, addresses FROM host WHERE share = ? ORDER BY addresses DESC, name", [job.share]
    ).fetchall()
    async with asyncio.TaskGroup() as tasks:
        for host, addresses in hosts:
            while len(visits) - len(list(hand.fetch.waiting())) >= _OPEN_HOSTS or len(visits) >= _MOST_HOSTS:
                await asyncio.wait(visits, timeout=_LOOK_AGAIN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            visits.add(task := tasks.create_task(visit(host, addresses)))
            task.add_done_callback(visits.discard)


class _Left:
    """What is left of a host's addresses, those among them that are to be asked later."""

    def __init__(self, addresses: Iterator[tuple[int, str]]) -> None:
        self._addresses = addresses
        self._later: list[tuple[float, int, str, tuple[str, int]]] = []

    async def next(self) -> tuple[int, str, tuple[str, int] | None] | None:
        """The next address, as soon as there is one, and where to go on with it; None when none is left."""
        while True:
            now = time.monotonic()
            if self._later and self._later[0][0] <= now:
                return heapq.heappop(self._later)[1:]
            if (found := next(self._addresses, None)) is not None:
                return (*found, None)
            if not self._later:
                return None
            await asyncio.sleep(self._later[0][0] - now)

    def put_back(self, number: int, url: str, later: LaterError) -> None:
        """Have an address again, later."""
        heapq.heappush(self._later, (time.monotonic() + later.seconds, number, url, later.place))


@dataclass(frozen=True)
class _Hand:
    """What is done with an address: fetch it, look at what came, hand it to be kept."""

    job: Job
    fetch: Fetcher
    keeper: _Keeper
    verifiers: ThreadPoolExecutor
    decoding: _Suspects
    emit: Emit

    async def take(self, left: _Left) -> None:
        """Do so with each that is left of a host; several hands share one list."""
        while (found := await left.next()) is not None:
            number, url, place = found
            try:
                fetched = await self.fetch.fetch(url, place)
            except LaterError as later:
                left.put_back(number, url, later)
                continue
            except FetchError as error:
                what = {"status": error.status, "reason": error.reason, "http_status": error.http_status}
                self.emit({"address": number, **_now(), **what})
                continue
            await self.keeper.room(fetched.size)
            if self.job.verify:
                look = asyncio.get_running_loop().run_in_executor
                seen = await look(self.verifiers, _look, self.job, fetched, number, self.decoding)
            else:
                seen = _look(self.job, fetched, number, self.decoding)
            self.keeper.keep(number, fetched.size, *seen)


async def _report(fetch: Fetcher, emit: Emit) -> None:
    while True:
        await asyncio.sleep(_STATUS_SECONDS)
        emit(_status(fetch))


def _addresses(worklist: sqlite3.Connection, host: int) -> Iterator[tuple[int, str]]:
    """The addresses of a host, read a few at a time: nobody has all of them in memory."""
    last = -1
    while rows := worklist.execute(
        "SELECT id, url FROM address WHERE host = ? AND id > ? AND NOT done ORDER BY id LIMIT ?",
        [host, last, _READ_ROWS],
    ).fetchall():
        yield from rows
        last = rows[-1][0]


def _look(
    job: Job, fetched: Fetched, number: int, decoding: _Suspects
) -> tuple[dict[str, Any], tuple[Path, str, str] | None]:
    """What fetched bytes are, and, if they are an image that is wanted, its file, sha256 and format."""
    outcome: dict[str, Any] = {name: getattr(fetched, name) for name in ("sha256", "size", "http_status", "final_url")}
    outcome |= _now()
    try:
        if fetched.sha256 in job.placeholders:
            raise ImageError(PhotoStatus.PLACEHOLDER, job.placeholders[fetched.sha256])
        if not job.verify:
            return {**outcome, "status": PhotoStatus.OK}, (fetched.path, fetched.sha256, "BYTES")
        with fetched.path.open("rb") as file, decoding.on(number):
            image = inspect(file)
    except ImageError as error:
        fetched.path.unlink()
        return {**outcome, "status": error.status, "reason": error.reason}, None
    except MemoryError:
        fetched.path.unlink()
        return {**outcome, "status": PhotoStatus.UNSUPPORTED, "reason": "not enough memory here to decode it"}, None
    facts = {**asdict(image), "thumbnail": base64.b64encode(image.thumbnail).decode()}
    return {**outcome, "status": PhotoStatus.OK, **facts}, (fetched.path, fetched.sha256, image.format)


def _now() -> dict[str, str]:
    return {"fetched_at": datetime.now(UTC).isoformat()}


def _status(fetch: Fetcher) -> dict[str, Any]:
    return {"bytes": fetch.received, "waiting": list(fetch.waiting())}


#: a file with its sha256 and format, and what is told once it is durable
_Image = tuple[tuple[Path, str, str], dict[str, Any]]


class _Keeper:
    """Images on their way into the run folder, many at a time: one wait for the disk is enough for all.

    An outcome is told only once its image is durable.
    """

    def __init__(self, images: ImageStore, thread: ThreadPoolExecutor, emit: Emit) -> None:
        self._images = images
        self._thread = thread
        self._emit = emit
        self._waiting: list[_Image] = []
        self._waiting_bytes = 0
        self._settling: list[_Image] = []
        self._adopted: Future[list[Place | None]] | None = None
        self._unsettled = self._unsettled_bytes = 0
        self._freed = asyncio.Event()
        self._enough = asyncio.Event()
        self._finished = asyncio.Event()

    async def room(self, size: int) -> None:
        """Wait until there is room for one more image, of so many bytes."""
        most = _UNSETTLED[self._images.layout.store]
        while self._unsettled >= most or self._unsettled_bytes >= _UNSETTLED_BYTES:
            self._freed.clear()
            await self._freed.wait()
        self._unsettled += 1
        self._unsettled_bytes += size

    def keep(self, number: int, size: int, outcome: dict[str, Any], file: tuple[Path, str, str] | None) -> None:
        """Have an outcome told, once its file, if it has one, is durable."""
        outcome = {"address": number, **outcome}
        if file is None:
            self._leaves(size)
            self._emit(outcome)
            return
        self._waiting.append((file, outcome))
        self._waiting_bytes += size
        if len(self._waiting) >= _SETTLED_AT_ONCE[self._images.layout.store] or self._waiting_bytes >= SHARD_BYTES:
            self._enough.set()

    async def run(self) -> None:
        """Make durable what comes, until `finish`."""
        while self._waiting or not self._finished.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._enough.wait(), self._images.layout.settle_seconds)
            self._enough.clear()
            await self._settle()

    async def _settle(self) -> None:
        self._settling, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if self._settling:
            self._adopted = self._thread.submit(self._images.adopt, [file for file, _ in self._settling])
            await asyncio.wrap_future(self._adopted)
            self._tell(self._settling, self._adopted.result())
        self._settling = []

    def _tell(self, images: list[_Image], places: list[Place | None]) -> None:
        for (_, outcome), place in zip(images, places, strict=True):
            self._leaves(outcome["size"])
            self._emit({**outcome, "place": place} if place else outcome)

    def _leaves(self, size: int) -> None:
        self._unsettled -= 1
        self._unsettled_bytes -= size
        self._freed.set()

    def leave(self) -> None:
        """Make durable what is there, and tell it, at once: everything else was cancelled.

        Raises StorageError if that fails, or failed: a store that is away is not asked for the rest, too.
        """
        adopted = self._adopted
        if self._settling and adopted is not None and not adopted.cancelled():
            self._tell(self._settling, adopted.result())  # once it ends: it may be under way
        self._tell(self._waiting, self._thread.submit(self._images.adopt, [file for file, _ in self._waiting]).result())

    def finish(self) -> None:
        """Nothing more comes."""
        self._finished.set()
        self._enough.set()


class _Suspects:
    """Cells of a file, one for each image being decoded, that outlive a crash."""

    def __init__(self, cells: mmap.mmap, threads: int) -> None:
        self._cells = cells
        self._free: SimpleQueue[int] = SimpleQueue()
        for cell in range(threads):
            self._free.put(cell * _CELL.size)

    @contextmanager
    def on(self, number: int) -> Iterator[None]:
        """While an address's image is decoded. Address numbers begin with 1."""
        cell = self._free.get()
        _CELL.pack_into(self._cells, cell, number)
        try:
            yield
        finally:
            _CELL.pack_into(self._cells, cell, 0)
            self._free.put(cell)


@contextmanager
def _suspects(job: Job) -> Iterator[_Suspects]:
    size = _CELL.size * job.threads
    Path(job.suspects).write_bytes(bytes(size))
    with Path(job.suspects).open("r+b") as file, mmap.mmap(file.fileno(), size) as cells:
        yield _Suspects(cells, job.threads)


def read_suspects(path: Path) -> list[int]:
    """The addresses whose images were being decoded when the process died; they are told once."""
    try:
        cells = path.read_bytes()
    except FileNotFoundError:  # it was killed before it began
        return []
    path.unlink()
    return [number for (number,) in _CELL.iter_unpack(cells) if number]


def main() -> None:
    """The process."""
    with suppress(ImportError, ValueError, OSError):  # not on Windows; thousands of hosts are thousands of connections
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    job = job_from_json(sys.stdin.readline())

    out, lock = sys.stdout, threading.Lock()

    def emit(message: dict[str, Any]) -> None:
        with lock:
            out.write(json.dumps(message) + "\n")
            if "bytes" in message:
                out.flush()

    async def until_told() -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None

        def leave_when_told() -> None:
            sys.stdin.read()  # ends when the stage ends, killed or not
            with suppress(RuntimeError):  # it has just ended
                loop.call_soon_threadsafe(task.cancel)
            time.sleep(_LEAVE_SECONDS)
            os._exit(1)

        threading.Thread(target=leave_when_told, daemon=True).start()
        await work(job, Storage(job.run), emit)

    try:
        asyncio.run(until_told())
        emit({"end": True})
    except asyncio.CancelledError:
        pass
    except BaseException as error:
        error = first_of(error)
        if isinstance(error, BrokenPipeError):  # nobody listens any more: the stage was killed
            os._exit(0)
        if not isinstance(error, StorageError):
            raise error from None
        emit({"storage": str(error), "subject": str(error.subject)})
    with suppress(BrokenPipeError):
        out.flush()
    os._exit(0)  # threads that wait for a name server are waited for by nobody


def first_of(error: BaseException) -> BaseException:
    """The error that a group of errors began with."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


if __name__ == "__main__":
    main()
