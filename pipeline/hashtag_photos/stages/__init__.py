"""The stages of a run. Each reads tables of the run folder and appends one; a finished one, run again, does nothing.

They print nothing: who wants to watch passes `progress`.
"""

from __future__ import annotations

import os
from typing import Protocol


class Progress(Protocol):
    """Called with the stage's name, how many items are done, how many there are (None if unknown), while something is
    waited for a note what and why, and what else there is to say of its speed."""

    def __call__(self, stage: str, done: int, total: int | None, note: str = "", detail: str = "") -> None: ...


def silent(stage: str, done: int, total: int | None, note: str = "", detail: str = "") -> None:
    """A Progress that shows nothing."""


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
