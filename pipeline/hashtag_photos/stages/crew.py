"""The processes of a download on one machine: who starts them, hears them, and what is done when one dies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, Queue
from typing import IO, Any, Protocol

import hashtag_photos
from hashtag_photos.errors import RunError, StorageError
from hashtag_photos.records import PhotoStatus
from hashtag_photos.stages import cores
from hashtag_photos.stages.fetching import Job, read_suspects
from hashtag_photos.stages.worklist import Worklist, mark_done

_MOST_PROCESSES = 4
_CORES_A_PROCESS = 4  # one fetches more than so many decode
_ADDRESSES_A_PROCESS = 500  # fewer are not worth a second one's start
_TICK_SECONDS = 0.25
_LAST_WORDS_SECONDS = 5.0
_CRASHES = 3  # of a share, that no image explains


class Listener(Protocol):
    """Who is told what becomes of addresses."""

    def add(self, address: int, outcome: dict[str, Any]) -> None:
        """What became of an address. It can be told twice, if who told it died before it knew that it was heard."""
        ...

    def done(self) -> Iterator[int]:
        """The addresses of which is known what became of them."""
        ...

    def status(self, share: int, received: int, waiting: list[tuple[str, str, float]]) -> None:
        """What a share received so far, in bytes, and the hosts that it waits for: name, why, seconds."""
        ...

    def flush_if_due(self) -> None:
        """Something was said, or some time has passed: what is due can be written."""
        ...


def jobs_here(worklist: Worklist, job: Job) -> list[Job]:
    """A job shared out among as many processes as are useful on this machine."""
    have = cores()
    useful = min(1 + worklist.addresses // _ADDRESSES_A_PROCESS, worklist.hosts, _MOST_PROCESSES)
    busy = max(1, have // _CORES_A_PROCESS) if job.verify else have
    shares = min(busy, useful)
    worklist.share_out(shares)
    threads = max(1, have // shares)
    return [
        replace(job, share=share, shares=shares, suspects=f"{job.suspects}-{share}", threads=threads)
        for share in range(shares)
    ]


def visit(jobs: Sequence[Job], listener: Listener, log: Callable[[Any], None]) -> Generator[None]:
    """Have jobs done, by a process each; it yields whenever somebody was heard, and a few times a second.

    Closed before its end, it has the processes leave and hears what they had still to say. Raises StorageError if the
    run folder can't be written, RunError if a process dies again and again.
    """
    crew = _Crew(jobs, listener, log)
    try:
        yield from crew.work()
    finally:
        crew.end()


class _Crew:
    """The processes, by the number of their share."""

    def __init__(self, jobs: Sequence[Job], listener: Listener, log: Callable[[Any], None]) -> None:
        self._listener = listener
        self._log = log
        self._jobs = {job.share: job for job in jobs}
        self._said: Queue[tuple[int, dict[str, Any] | None]] = Queue(1_000)
        self._processes: dict[int, subprocess.Popen[str]] = {}
        self._threads: list[threading.Thread] = []
        self._crashes: Counter[tuple[str, int]] = Counter()

    def work(self) -> Iterator[None]:
        """Have all shares done."""
        for job in self._jobs.values():
            self._start(job)
        left = len(self._jobs)
        while left:
            self._listener.flush_if_due()
            try:
                share, said = self._said.get(timeout=_TICK_SECONDS)
            except Empty:
                yield
                continue
            if said is None:
                self._died(share)
            elif "address" in said:
                self._listener.add(said.pop("address"), said)
            elif "request" in said:
                self._log(said["request"])
            elif "bytes" in said:
                self._listener.status(share, said["bytes"], said["waiting"])
            elif "storage" in said:
                raise StorageError(said["storage"], subject=said["subject"])
            else:
                left -= 1
            yield

    def end(self) -> None:
        """Have the processes leave, and hear what they had still to say; nothing is written meanwhile."""
        for process in self._processes.values():
            _close(process.stdin)
        last = time.monotonic() + _LAST_WORDS_SECONDS
        while any(thread.is_alive() for thread in self._threads) or not self._said.empty():
            if time.monotonic() > last:
                for process in self._processes.values():
                    process.kill()
            with suppress(Empty):
                _, said = self._said.get(timeout=0.05)
                if said and "address" in said:
                    self._listener.add(said.pop("address"), said)
                elif said and "request" in said:
                    self._log(said["request"])
        for process in self._processes.values():
            process.wait()

    def _start(self, job: Job) -> None:
        package = str(Path(hashtag_photos.__file__).parents[1])
        paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "hashtag_photos.stages.fetching"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,  # Ctrl-C is for this process, which ends the others
        )
        self._processes[job.share] = process
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError):  # it may be killed before it listens
            process.stdin.write(job.to_json() + "\n")
            process.stdin.flush()
        self._threads.append(threading.Thread(target=self._listen, args=[job.share, process.stdout], daemon=True))
        self._threads[-1].start()

    def _listen(self, share: int, lines: IO[str]) -> None:
        ended = False
        with lines:
            for line in lines:
                if line.endswith("\n"):  # else it was killed while it spoke
                    said = json.loads(line)
                    ended = ended or "end" in said or "storage" in said
                    self._said.put((share, said))
        if not ended:
            self._said.put((share, None))

    def _died(self, share: int) -> None:
        """A process is gone: start another in its place. An image on which it died twice is not tried again."""
        process, job = self._processes[share], self._jobs[share]
        code = process.wait()
        _close(process.stdin)
        if code > 0:
            raise RunError(
                f"{job.run}: a process of the download failed; why stands above, or in the log of the Ray worker. What "
                "was had is kept: the same command goes on from here",
                subject=job.run,
            )
        how = f"signal {-code}"
        suspects = read_suspects(Path(job.suspects))
        for address in suspects:
            self._crashes["address", address] += 1
            if len(suspects) == 1 and self._crashes["address", address] > 1:
                reason = f"the process that decoded it was killed twice, by {how}"
                outcome = {"status": PhotoStatus.BROKEN, "reason": reason, "fetched_at": datetime.now(UTC)}
                self._listener.add(address, outcome)
        if not suspects:
            self._crashes["share", share] += 1
            if self._crashes["share", share] >= _CRASHES:
                raise RunError(
                    f"{job.run}: a process of the download was killed {_CRASHES} times, by {how}; is "
                    "there memory enough? What was had is kept: the same command goes on from here",
                    subject=job.run,
                )
        mark_done(Path(job.worklist), self._listener.done())
        self._jobs[share] = replace(job, threads=1)  # then there is one suspect at a time
        self._start(self._jobs[share])


def _close(pipe: IO[str] | None) -> None:
    with suppress(BrokenPipeError):
        if pipe:
            pipe.close()
