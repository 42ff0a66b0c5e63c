"""The stages of a run. Each reads tables of the run folder and appends one; a finished one, run again, does nothing.

They print nothing: who wants to watch passes `progress`.
"""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called with the stage's name, how many items are done, how many there are (None if unknown), and, while nothing
    moves, a note why not."""

    def __call__(self, stage: str, done: int, total: int | None, note: str = "") -> None: ...


def silent(stage: str, done: int, total: int | None, note: str = "") -> None:
    """A Progress that shows nothing."""
