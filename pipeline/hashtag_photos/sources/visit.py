"""What passes between a source and the collect stage while a source is gone through.

A source yields posts, a Rejected for what is none, and, if it can go on later from where it was, Bookmarks. It waits by
`Visit.wait`, so that what was had is safe before a long pause, and the pause is shown. It raises Stopped where it ends
before its end: that is no failure of the run, but the run is then incomplete and says why.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Everything yielded before this need not be asked for again by who begins at `at` (a JSON value; None for the
    beginning). `more` is whether it is sure that there is something after it."""

    at: Any
    more: bool = False


class Stopped(Exception):
    """A source ended before its end, for this reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _sleep(seconds: float, why: str) -> None:
    time.sleep(seconds)


@dataclass(frozen=True, kw_only=True)
class Visit:
    """How to go through a source: from which bookmark on, for how many posts at most, and how to wait.

    `wait(seconds, why)` returns when the time is over, or raises Stopped if that would be too long.
    """

    bookmark: Any = None
    limit: int | None = None
    wait: Callable[[float, str], None] = _sleep
