"""The stages of a run. Each reads tables of the run folder and appends one; a finished one, run again, does nothing.

They print nothing: who wants to watch passes `progress`, which is called with (stage, done, total).
"""

from __future__ import annotations

from collections.abc import Callable

#: called with the stage's name, how many items are done, and how many there are (None if unknown)
Progress = Callable[[str, int, int | None], None]


def silent(stage: str, done: int, total: int | None) -> None:
    """A Progress that shows nothing."""
