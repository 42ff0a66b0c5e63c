"""A Ray cluster does the work: downloads by streaming tasks of Ray Data, a share of the hosts each; all else by item.

The cluster is that of RAY_ADDRESS; without one, a local Ray starts, and ends with this process. Fetching tasks are not
retried by Ray, which matches what a repeated task gives by its place, and so would lose or double what comes in another
order: who asks is the driver, anew, for every address that has no outcome, whenever a worker is lost. What repeats
itself to the byte (`each`, vectors) is retried by Ray.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import pickle
import signal
import socket
import threading
import time
import traceback
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from hashtag_photos.engines.encoders import Floats, Models, RemoteEncoder
from hashtag_photos.engines.nodes import Fit, Node, address, cause_of, check, in_folder, versions
from hashtag_photos.errors import HashtagPhotosError, RunError, UsageError
from hashtag_photos.run import Run
from hashtag_photos.stages import cores
from hashtag_photos.stages.crew import Listener, visit
from hashtag_photos.stages.fetching import Job
from hashtag_photos.stages.worklist import Worklist, write_share
from hashtag_photos.storage import Storage
from hashtag_photos.words import first_line, many

if TYPE_CHECKING:
    import pyarrow as pa

    from hashtag_photos.models import ModelSpec

_MOST_THREADS = 4  # of a task that fetches: one fetches more than so many decode
_PATIENCE_SECONDS = 10.0
_SETTINGS = b"\0\0\0\4\0\0\0\0\0"  # of HTTP/2: what both sides begin with
_LOOK_SECONDS = 5.0  # between two looks whether there is room
_TELL_SECONDS = 0.2  # between two lists of a task, more where there are many: the driver hears a hundred a second
_TELL_AT_LAST_SECONDS = 10.0
_LISTS_A_SECOND = 100
_TELL_AT_ONCE = 500
_FRUITLESS = 3  # rounds in a row in which a worker was lost, and no address had an outcome

Shared = TypeVar("Shared")
Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


@dataclass(frozen=True)
class _Failed:
    """An error of ours on a worker, on its way to the driver."""

    error: HashtagPhotosError


class Ray:
    """The engine. Making one starts nothing. Raises UsageError if Ray isn't installed, or can't be used from here."""

    def __init__(self) -> None:
        if importlib.util.find_spec("ray") is None:
            raise UsageError("the engine ray needs Ray: pip install 'hashtag-photos[ray]'", subject="ray")
        self._address = os.environ.get("RAY_ADDRESS") or "local"
        if self._address.startswith("ray://"):
            raise UsageError(
                f"RAY_ADDRESS={self._address} is for Ray Client, which can't do this: run the command on a machine of "
                "the cluster, with RAY_ADDRESS=auto",
                subject=self._address,
            )
        if "://" in self._address:
            raise UsageError(
                f"RAY_ADDRESS={self._address} is not how a Ray cluster is named: give host and port of its head, such "
                "as 10.0.0.1:6379",
                subject=self._address,
            )
        self._fit: set[tuple[str, Fit]] = set()
        self._put: dict[int, Any] = {}
        self._models = Models(self)

    # The cluster

    def place(self) -> str:
        """See Engine."""
        nodes = self.nodes()
        gpus = sum(node.gpus for node in nodes)
        have = [many(len(nodes), "node"), many(sum(node.cpus for node in nodes), "CPU")]
        return f"on Ray: {', '.join([*have, many(gpus, 'GPU') if gpus else 'no GPU'])}"

    def nodes(self, fit: Fit | None = None) -> list[Node]:
        """The machines of the cluster that have CPUs, which is joined if it wasn't yet.

        Raises RunError if there is none, or if one of them isn't fit: by its versions, unless there is more to it.
        """
        ray = self._joined()
        nodes = [
            Node(
                each["NodeID"],
                each["NodeManagerAddress"],
                int(each["Resources"].get("CPU", 0)),
                int(each["Resources"].get("GPU", 0)),
            )
            for each in ray.nodes()
            if each["Alive"] and each["Resources"].get("CPU", 0) >= 1
        ]
        if not nodes:
            raise RunError(f"the Ray cluster at {self._address} has no machine with a CPU", subject=self._address)
        self._check(sorted(nodes, key=lambda node: node.id), fit or versions())
        return nodes

    def _joined(self) -> Any:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a run asks nobody but the hosts of its pictures
        # else Ray hides the GPUs from tasks that ask for none, and says that a later version won't
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        import ray

        if ray.is_initialized():
            return ray
        here: dict[str, Any] = {"num_cpus": cores(), "include_dashboard": False} if self._address == "local" else {}
        try:
            with _signals_kept():
                _answers(self._address)
                ray.init(
                    address=self._address,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    **here,
                )
        except (ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as error:
            reason = first_line(error)
            if self._address == "local":
                raise RunError(f"a local Ray can't be started: {reason}", subject="ray") from error
            raise RunError(
                f"the Ray cluster at RAY_ADDRESS={self._address} can't be joined ({reason}): start it, or leave "
                "RAY_ADDRESS out, and a local one starts",
                subject=self._address,
            ) from error
        _quiet()
        return ray

    def _check(self, nodes: list[Node], fit: Fit) -> None:
        """Hold what the nodes have and see against what they need, once for each."""
        import ray

        task = ray.remote(check)
        new = [node for node in nodes if (node.id, fit) not in self._fit]
        asked = [task.options(num_cpus=0, label_selector={"ray.io/node-id": node.id}).remote(fit) for node in new]
        for node, ref in zip(new, asked, strict=True):
            try:
                problem = ray.get(ref)
            except (ray.exceptions.RayError, ImportError) as error:
                reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
                raise RunError(
                    f"hashtag-photos can't be used on {node.address}, a node of the Ray cluster ({reason}): install "
                    f"version {dict(fit.software)['hashtag-photos']} there, as here",
                    subject=node.address,
                ) from error
            if problem:
                raise problem
            self._fit.add((node.id, fit))

    # Download

    def fetch(self, run: Run, worklist: Worklist, job: Job, listener: Listener, log: Callable[[Any], None]) -> None:
        """See Engine. Hosts are shared out among as many tasks as there are CPUs.

        Where sources are on this machine, so are the tasks.
        """
        with in_folder(run) as fit:
            self._fetch(run.location, fit, worklist, job, listener, log)

    def _fetch(
        self, run: str, fit: Fit, worklist: Worklist, job: Job, listener: Listener, log: Callable[[Any], None]
    ) -> None:
        first = fruitless = 0
        while left := worklist.addresses:
            nodes = self.nodes(fit)
            options: dict[str, Any] = {}
            if job.local.files or job.local.routes:
                import ray

                here = ray.get_runtime_context().get_node_id()
                nodes = [node for node in nodes if node.id == here]
                if not nodes:
                    raise RunError(
                        "the pictures are served from this machine, which has no CPUs in the Ray cluster: run the "
                        "command on one that has",
                        subject=run,
                    )
                options = {"label_selector": {"ray.io/node-id": here}}
            cpus = sum(node.cpus for node in nodes)
            shares = min(worklist.hosts, cpus)
            threads = min(cpus // shares, _MOST_THREADS, *(node.cpus for node in nodes))
            worklist.share_out(shares)
            options["num_cpus"] = threads
            _wait_for_cpus(listener, first, options)
            work = partial(_fetch, fit, replace(job, run=fit.where, shares=shares, threads=threads))
            lost = self._round(
                (_share(worklist, share) for share in range(shares)), work, listener, log, first, options
            )
            for share in range(shares):
                listener.status(first + share, 0, [])  # nobody waits any more
            first += shares
            worklist.mark_done(listener.done())
            if lost and worklist.addresses:
                told = f"a worker was lost ({first_line(lost)}); what it had not told is asked for again"
                listener.status(first, 0, [("the Ray cluster", told, 1.0)])
            fruitless = fruitless + 1 if worklist.addresses == left else 0
            if fruitless == _FRUITLESS:
                why = first_line(lost) if lost else "its tasks ended without a word"
                raise RunError(
                    f"{run}: {_FRUITLESS} times in a row the Ray cluster brought nothing ({why}); is there "
                    "memory enough? What was had is kept: the same command goes on from here",
                    subject=run,
                ) from lost

    def _round(
        self,
        blocks: Iterable[pa.Table],
        work: Callable[[pa.Table], Iterator[list[Any]]],
        listener: Listener,
        log: Callable[[Any], None],
        first: int,
        options: Mapping[str, Any],
    ) -> Exception | None:
        """Have shares asked for, until all are or a worker is lost: the error that told. They count from `first` on."""
        from ray.exceptions import RayError, RayTaskError

        try:
            for said in self.stream(blocks, work, **options):
                if "address" in said:
                    listener.add(said.pop("address"), said)
                elif "request" in said:
                    log(said["request"])
                elif "bytes" in said:
                    listener.status(first + said["share"], said["bytes"], said["waiting"])
                listener.flush_if_due()
        except RayTaskError:
            self.nodes()  # of a machine that joined since and can't even begin
            raise
        except RayError as error:
            return error
        return None

    def stream(
        self, blocks: Iterable[pa.Table], work: Callable[[pa.Table], Iterator[list[Any]]], **options: Any
    ) -> Iterator[Any]:
        """What `work` yields of each block, list by list, as it comes; it is done once, by a task a block.

        Errors of ours are raised as themselves, others of `work` as a RunError. Closed, it ends the tasks. Raises
        RayError if a worker is lost.
        """
        import ray
        import ray.data

        with warnings.catch_warnings():
            # of a way to say max_retries that Ray 2.64 takes away: pyproject.toml asks for an older one
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", ray.util.annotations.RayDeprecationWarning)
            context = ray.data.DataContext.get_current().copy()
            context.target_max_block_size = 1  # a list goes out when it is there
            context.max_errored_blocks = 0  # a worker that is lost is told of at once
            context.enable_progress_bars = False
            context.print_on_execution_start = False
            refs: list[Any] = [ray.put(block) for block in blocks]
            with ray.data.DataContext.current(context):
                data = ray.data.from_arrow_refs(refs).map_batches(
                    partial(_messages, work), batch_size=None, batch_format="pyarrow", max_retries=0, **options
                )
        batches: Any = iter(data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0))
        with contextlib.closing(batches):
            for batch in batches:
                for said in batch.column("said"):
                    for each in pickle.loads(said.as_buffer()):
                        if isinstance(each, _Failed):
                            raise each.error
                        yield each

    # Models

    def precision(self, device: str) -> str:
        """See Engine."""
        return self._models.precision(device)

    def encoder(self, model: ModelSpec, device: str) -> RemoteEncoder:
        """See Engine. The model is in actors of the cluster."""
        return self._models.encoder(model, device)

    def encode(
        self, run: Run, encoder: RemoteEncoder, images: pa.Table
    ) -> Iterator[list[tuple[tuple[str, str], Floats | Exception]]]:
        """See Engine."""
        return self._models.encode(run, encoder, images)

    # All else

    def each(self, work: Callable[[Shared, Item], Outcome], shared: Shared, items: Iterable[Item]) -> Iterator[Outcome]:
        """See Engine. `shared` stays in the cluster as long as it lives here.

        Tasks that nobody waits for any more come to their end: one that is cancelled in the moment it ends takes the
        driver with it (Ray 2.60: "Tried to complete task that was not pending").
        """
        import ray

        fit = versions()
        nodes = self.nodes(fit)
        task = ray.remote(_worked)
        sent = self._sent(shared)
        window = 2 * sum(node.cpus for node in nodes)
        waiting: deque[Any] = deque()
        left = iter(items)
        while True:
            while len(waiting) < window:
                try:
                    item = next(left)
                except StopIteration:
                    break
                waiting.append(task.remote(fit, work, sent, item))
            if not waiting:
                return
            try:
                outcome = ray.get(waiting.popleft())
            except ray.exceptions.RayError as error:
                self.nodes()  # of a machine that joined since and can't even begin
                if isinstance(error, ray.exceptions.RayTaskError):
                    raise cause_of(error) from None
                raise RunError(
                    f"the Ray cluster lost workers again and again ({first_line(error)}); is there memory enough? "
                    "What was had is kept: the same command goes on from here",
                    subject="ray",
                ) from error
            if isinstance(outcome, _Failed):
                raise outcome.error
            yield outcome

    def _sent(self, shared: Any) -> Any:
        """A reference to what is in the cluster, as long as it lives here."""
        import ray

        known = self._put.get(id(shared))
        if known is None:
            known = ray.put(shared)
            with suppress(TypeError):  # a tuple, a number: sent again the next time
                weakref.finalize(shared, self._put.pop, id(shared), None)
                self._put[id(shared)] = known
        return known


def _worked(fit: Fit, work: Callable[[Any, Any], Any], shared: Any, item: Any) -> Any:
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    try:
        fit.check()
        with threadpool_limits(1, user_api="blas"):  # as on the local engine, which has a thread for each core
            return work(shared, item)
    except HashtagPhotosError as error:
        return _Failed(error)


def _wait_for_cpus(listener: Listener, share: int, options: Mapping[str, Any]) -> None:
    """Return when the cluster has room for a task with these options; until then, say what is waited for."""
    import ray

    room = ray.remote(_nothing).options(**options).remote()
    waited = 0.0
    while not ray.wait([room], timeout=_LOOK_SECONDS)[0]:
        waited += _LOOK_SECONDS
        why = f"it had none to give for {waited:.0f} s"
        listener.status(share, 0, [("CPUs of the Ray cluster", why, _LOOK_SECONDS)])
    if waited:
        listener.status(share, 0, [])


def _nothing() -> None:
    pass


def _messages(work: Callable[[pa.Table], Iterator[list[Any]]], block: pa.Table) -> Iterator[pa.Table]:
    """On a worker: what is yielded as tables, an error of ours among it."""
    import pyarrow as pa

    def table(said: list[Any]) -> pa.Table:
        return pa.table({"said": pa.array([pickle.dumps(said)], pa.binary())})

    try:
        for said in work(block):
            yield table(said)
    except HashtagPhotosError as error:
        yield table([_Failed(error)])
    except Exception as error:  # noqa: BLE001  where it was and what it was is told in a line, the rest in a note
        failed = RunError(
            f"{address()}, a node of the Ray cluster, can't go on ({type(error).__name__}: {first_line(error)}). What "
            "was had is kept: the same command goes on from here",
            subject=address(),
        )
        failed.add_note(traceback.format_exc())
        yield table([_Failed(failed)])


def _share(worklist: Worklist, share: int) -> pa.Table:
    """The addresses of a share, of which a worker makes a worklist of its own."""
    import pyarrow as pa

    schema = pa.schema([("share", pa.int64()), ("number", pa.int64()), ("host", pa.string()), ("url", pa.string())])
    few = (
        pa.record_batch([pa.array(column) for column in zip(*((share, *row) for row in rows), strict=True)], schema)
        for rows in worklist.share(share)
    )
    return pa.Table.from_batches(few, schema)


def _fetch(fit: Fit, job: Job, addresses: pa.Table) -> Iterator[list[Any]]:
    """On a worker: do what a process of a local download does, by just such a process, and tell what it says."""
    fit.check()
    with Storage(job.run).incoming() as incoming:
        listed, suspects = incoming / "worklist.sqlite", incoming / "suspects"
        rows = (
            row
            for batch in addresses.to_batches(max_chunksize=10_000)
            for row in zip(batch.column("host").to_pylist(), batch.column("url").to_pylist(), strict=True)
        )
        write_share(listed, rows)
        seconds = min(max(_TELL_SECONDS, job.shares / _LISTS_A_SECOND), _TELL_AT_LAST_SECONDS)
        teller = _Teller(addresses.column("share")[0].as_py(), addresses.column("number").to_numpy(), seconds)
        asked = replace(job, share=0, worklist=str(listed), incoming=str(incoming), suspects=str(suspects))
        with contextlib.closing(visit([asked], teller, teller.request)) as work:
            for _ in work:
                if teller.due():
                    yield teller.take()
        yield teller.take()


class _Teller:
    """A listener on a worker: what is to be told to the driver, whose numbers of addresses are others."""

    def __init__(self, share: int, numbers: Any, seconds: float) -> None:
        self._share = share
        self._seconds = seconds
        self._numbers = numbers
        self._done = bytearray(len(numbers) + 1)
        self._said: list[dict[str, Any]] = []
        self._told = time.monotonic()

    def add(self, address: int, outcome: dict[str, Any]) -> None:
        if not self._done[address]:
            self._done[address] = 1
            self._said.append({"address": int(self._numbers[address - 1]), **outcome})

    def done(self) -> Iterator[int]:
        return (address for address, done in enumerate(self._done) if done)

    def status(self, share: int, received: int, waiting: list[tuple[str, str, float]]) -> None:
        self._said.append({"share": self._share, "bytes": received, "waiting": waiting})

    def request(self, said: Any) -> None:
        self._said.append({"request": said})

    def flush_if_due(self) -> None:
        pass

    def due(self) -> bool:
        return bool(self._said) and (len(self._said) >= _TELL_AT_ONCE or time.monotonic() - self._told > self._seconds)

    def take(self) -> list[dict[str, Any]]:
        said, self._said, self._told = self._said, [], time.monotonic()
        return said


def _answers(address: str) -> None:
    """Raise OSError if nobody answers there as Ray does, by HTTP/2, which takes Ray minutes to say."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal():
        with socket.create_connection((host.strip("[]"), int(port)), _PATIENCE_SECONDS) as there:
            if os.environ.get("RAY_USE_TLS", "0") in ("", "0"):
                there.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _SETTINGS)
                said = there.recv(4)
                if said[3:] != _SETTINGS[3:4]:
                    raise ConnectionError("what answers there is no Ray")


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray ends the process on SIGTERM; who started it has said what it is to do."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)


def _quiet() -> None:
    """Ray Data tells its log files of each step and each lost worker, and the console no more."""
    import ray.data  # it makes the handler

    for handler in logging.getLogger(ray.data.__name__).handlers:
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            handler.setLevel(logging.CRITICAL + 1)
