"""Numbers as people read them."""

from __future__ import annotations


def many(count: int, noun: str) -> str:
    """A count with its noun."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def percent(share: float | None, digits: int = 1) -> str:
    """A share for people."""
    return "–" if share is None else f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"
