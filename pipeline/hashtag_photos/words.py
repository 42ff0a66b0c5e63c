"""Numbers as people read them, and text from outside so that it does nothing but say something."""

from __future__ import annotations

import unicodedata

_JOINERS = "\u200c\u200d"  # parts of words in some scripts, and of emoji
_OPENING, _CLOSING = "\u2066\u2067\u2068", "\u2069"  # isolates: what stands within turns nothing outside


def many(count: int, noun: str) -> str:
    """A count with its noun."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def percent(share: float | None, digits: int = 1) -> str:
    """A share for people."""
    return "–" if share is None else f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def plain(text: str, longest: int | None = None) -> str:
    """Text from outside in one line, cut to so many characters, without what can't be seen: control characters, and
    those of Unicode (general category Cf) that turn the direction of what follows, or hide in it."""
    line = " ".join(_without(text, kept="").split())
    return line if longest is None or len(line) <= longest else f"{line[: longest - 1]}…"


def harmless(text: str) -> str:
    """The same in its lines, and not cut. Isolates stay where each is closed: they turn nothing outside."""
    if text.isascii():
        return text
    depth = lowest = 0
    for each in text:
        depth += (each in _OPENING) - (each in _CLOSING)
        lowest = min(lowest, depth)
    return _without(text, kept="" if depth or lowest else _OPENING + _CLOSING)


def _without(text: str, kept: str) -> str:
    return "".join(
        each
        for each in text
        if each.isspace() or each in _JOINERS or each in kept or unicodedata.category(each) not in ("Cc", "Cf")
    )


def first_line(error: BaseException) -> str:
    """What an error says, in a line; its type if it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
