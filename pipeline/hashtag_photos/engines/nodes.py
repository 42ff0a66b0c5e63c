"""The machines of a Ray cluster, and what each must have and see to work for a run.

It is checked when one is first met, and once more in each process that does work, since machines come and go meanwhile.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hashtag_photos.errors import HashtagPhotosError, RunError
from hashtag_photos.run import Run, software
from hashtag_photos.storage import TEMPORARY_PREFIX, Storage

_WITNESS = f"{TEMPORARY_PREFIX}seen-by-all"


@dataclass(frozen=True)
class Node:
    """A machine of the cluster that does work."""

    id: str
    address: str
    cpus: int
    gpus: int


@dataclass(frozen=True)
class Fit:
    """The driver's versions of what decides a result, and, for work in a run folder, what a file there says."""

    software: tuple[tuple[str, str], ...]
    where: str = ""
    token: str = ""

    def check(self) -> None:
        """Raise RunError, which names this machine, if it has other versions or doesn't see the folder."""
        if problem := _problem(self):
            raise RunError(problem, subject=address())


def versions() -> Fit:
    """What work needs that has to do with no run folder."""
    return Fit(tuple(sorted(software().items())))


@contextmanager
def in_folder(run: Run) -> Iterator[Fit]:
    """What work in a run's folder needs, as long as this is open."""
    token = uuid.uuid4().hex
    run.storage.write(_WITNESS, lambda file: file.write(token.encode()))
    try:
        yield Fit(versions().software, location(run), token)
    finally:
        run.storage.remove(_WITNESS)


def check(fit: Fit) -> HashtagPhotosError | None:
    """A task that tells whether a node fits."""
    try:
        fit.check()
    except RunError as error:
        return error
    return None


def location(run: Run) -> str:
    """A run's folder as other machines may see it."""
    return str(run.storage.local or run.location)


def address() -> str:
    """Of the machine that this is."""
    import ray

    return str(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]


def cause_of(error: Any) -> BaseException:
    """What a task raised, given Ray's error that says so, as it would be raised here; with the traceback from there."""
    cause: BaseException = error.cause or error
    if cause is not error and not isinstance(cause, HashtagPhotosError):
        cause.add_note(str(error))
    return cause


@lru_cache(maxsize=8)
def _problem(fit: Fit) -> str | None:
    """What is wrong here, if anything; found out once in each process."""
    ours, theirs = software(), dict(fit.software)
    differ = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    if differ:
        told = ", ".join(
            f"{name} {ours.get(name, 'not at all')} instead of {theirs.get(name, 'none')}" for name in differ
        )
        return (
            f"{address()}, a node of the Ray cluster, has {told}: results would hang on which node computed what; "
            "install the same there as here"
        )
    if not fit.where:
        return None
    try:
        storage = Storage(fit.where)
        if storage.exists(_WITNESS) and storage.read(_WITNESS) == fit.token.encode():
            return None
        why = ""
    except HashtagPhotosError as error:
        why = f" ({error})"
    return (
        f"{address()}, a node of the Ray cluster, doesn't see the run folder {fit.where}{why}: choose one that all "
        "nodes share with --run, such as an s3:// address"
    )
