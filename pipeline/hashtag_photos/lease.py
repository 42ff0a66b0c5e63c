"""Who may write in an object store, which has no locks: claims, each an object of its own, that have to be renewed.

Who wants to write states a claim and then looks for others. An object is seen by whoever lists after it was written
(S3 and Google's storage promise that), so of two at least one sees the other, and gives way. A claim counts until its
process is known to be dead, where it ran on this machine, or until it was not renewed for a while, by the store's own
clock. Who could not renew in time states its claim anew, and gives way if somebody took over.

What is not prevented: a write that was under way when its process was stopped for minutes, and that arrives after
another one took over.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import secrets
import socket
import threading
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from hashtag_photos.errors import RunLockedError, StorageError
from hashtag_photos.storage import Storage

EXPIRES = timedelta(seconds=120)  # without a word
_SURE = 100.0  # seconds for which a claim holds without looking: the store's clock may count whole seconds only
_RENEWED_EVERY = 20.0  # seconds
_PATIENCE_WHEN_LATE = 5.0  # seconds
_PAUSE = 0.2, 1.0  # seconds, by chance, so that two that gave way to each other don't do so again
_STATED: set[str] = set()  # claims of this process, from when they are stated until they are withdrawn


class Lease:
    """The right to write below a folder of an object store. Nested calls of one object are fine, from any thread."""

    def __init__(self, storage: Storage, folder: str) -> None:
        self._storage = storage
        self._hasty = Storage(storage.location, hasty=True)  # for what is tried again soon, or as well left undone
        self._folder = folder
        self._name = f"{_machine()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._path = f"{folder}/{self._name}"
        self._depth = 0
        self._sure_until = 0.0
        self._lost = False
        self._guard = threading.Lock()
        self._changing = threading.Lock()  # whether it is held
        self._released = threading.Event()
        self._renewer: threading.Thread | None = None

    @property
    def is_locked(self) -> bool:
        """Whether it is held here."""
        return self._depth > 0

    def acquire(self, patience: float = 0.0) -> None:
        """Have the right, or raise RunLockedError if another process has it for longer than `patience` seconds.

        Raises StorageError if the store can't be asked.
        """
        with self._changing:
            if not self._depth:
                with self._guard:
                    self._state_anew(patience)
                self._lost = False
                self._released = threading.Event()
                self._renewer = threading.Thread(target=self._renew, args=[self._released], daemon=True)
                self._renewer.start()
            self._depth += 1

    def check(self) -> None:
        """Raise RunLockedError if another process took over, as it may when nothing was heard from this one."""
        with self._guard:
            if self._lost:
                raise self._taken_over()
            if _clock() >= self._sure_until:
                try:
                    self._state_anew(_PATIENCE_WHEN_LATE)
                except RunLockedError as error:
                    self._lost = True
                    raise self._taken_over() from error

    def release(self) -> None:
        """Give the right back, at the last of nested calls."""
        with self._changing:
            self._depth -= 1
            if self._depth or self._renewer is None:
                return
            self._released.set()
            self._renewer.join()  # a claim that arrives later would be nobody's
            self._withdraw()

    def _renew(self, released: threading.Event) -> None:
        while not released.wait(_RENEWED_EVERY):
            with self._guard, suppress(StorageError):  # if it goes on, `check` says so before anything is written
                begun = _clock()
                if self._lost or begun >= self._sure_until:
                    continue  # who wants to write looks whether somebody took over
                self._state(self._hasty)
                if _clock() < self._sure_until:
                    self._sure_until = begun + _SURE

    def _state(self, storage: Storage) -> None:
        _STATED.add(self._name)
        storage.write(self._path, lambda file: file.write(b"writes here\n"))

    def _withdraw(self) -> None:
        _STATED.discard(self._name)
        with suppress(StorageError):  # then it ends by itself, and for this process at once
            self._hasty.remove(self._path)

    def _state_anew(self, patience: float) -> None:
        last = time.monotonic() + patience
        while True:
            begun = _clock()
            try:
                self._state(self._storage)
                other = self._other()
            except BaseException:
                self._withdraw()
                raise
            if other is None:
                self._sure_until = begun + _SURE
                return
            self._withdraw()
            if time.monotonic() >= last:
                raise RunLockedError(
                    f"{self._storage.location} is being written by {_shown(other)}: wait until it ends, or, if its "
                    f"machine is gone, for {EXPIRES.total_seconds():.0f} seconds; or choose another folder with --run",
                    subject=self._storage.location,
                )
            time.sleep(random.uniform(*_PAUSE))

    def _other(self) -> str | None:
        """Another claim that counts; those that don't any more are removed, if there is none."""
        claims = self._storage.changed(self._folder)
        now = claims.pop(self._name, None)
        if now is None:
            return ""  # who removed this one took over just now
        over = [name for name, at in claims.items() if now - at > EXPIRES or _is_over(name)]
        alive = sorted(claims.keys() - set(over))
        if alive:
            return alive[0]
        for name in over:
            self._storage.remove(f"{self._folder}/{name}")
        return None

    def _taken_over(self) -> RunLockedError:
        return RunLockedError(
            f"{self._storage.location}: nothing was heard from this process for a while, and another one writes here "
            "now: nothing more is written by this one; the same command goes on once the other has ended",
            subject=self._storage.location,
        )


def _machine() -> str:
    """This machine's name, and what tells it from others of the same name, as containers and clones may be."""
    facts = [socket.gethostname()]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):  # where processes have the same numbers
        with suppress(OSError):
            facts.append(str(Path(path).readlink()) if Path(path).is_symlink() else Path(path).read_text())
    name = re.sub(r"[^A-Za-z0-9.]", "_", facts[0])[:60]
    return f"{name}-{hashlib.sha256(repr(facts).encode()).hexdigest()[:16]}"


def _is_over(name: str) -> bool:
    """Whether a claim is of a process of this machine that is no more, or was withdrawn in this one."""
    machine, _, rest = name.rpartition("-")[0].rpartition("-")
    if machine != _machine() or not rest.isdecimal():
        return False
    if int(rest) == os.getpid():
        return name not in _STATED
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except OSError:  # of another user
        return False
    return False


def _shown(name: str) -> str:
    if name.startswith(f"{_machine()}-{os.getpid()}-"):
        return "something else in this process"
    parts = name.rsplit("-", 3)
    return "another process" + (f" (number {parts[2]} on {parts[0]})" if len(parts) == 4 else "")


def _clock() -> float:
    """Seconds, those included in which this machine slept."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
