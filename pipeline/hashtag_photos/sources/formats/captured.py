"""What the readers of captured websites share: Zeeschuimer's captures, and the files that 4CAT makes of them.

4CAT stores a platform's item as it came, with the capture's own members beside it as `__import_meta`. Zeeschuimer's
envelope is brought into that shape, so that a post is the same post whichever of the two files it is read from.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from hashtag_photos.records import Attachment
from hashtag_photos.sources.fields import count, dig, stated_time, text

META = "__import_meta"


def collected_at(record: Mapping[str, Any]) -> datetime | None:
    """When the item was captured, where the file says it."""
    return stated_time(dig(record, META, "timestamp_collected"))[0]


def made_at(value: Any) -> tuple[datetime | None, str | None]:
    """A time in seconds, or what is wrong with it. 0 is how it is written that nobody knows: it isn't 1970."""
    return stated_time(None if value in (0, "0", "") else value)


def sure_id(value: Any) -> str | None:
    """A post's number as text, if every digit of it is sure: one that a browser held as a number has lost its last."""
    if not isinstance(value, str):
        value = str(value) if isinstance(value, int) and value < 2**53 else ""
    return value if value.isdigit() and value.isascii() and value[0] != "0" else None


def inner(value: Any, *path: str | int) -> Mapping[str, Any]:
    """The object at a path; an empty one if there is none."""
    found = dig(value, *path)
    return found if isinstance(found, dict) else {}


def listed(value: Any, *path: str | int) -> list[Any]:
    """The list at a path; an empty one if there is none."""
    found = dig(value, *path)
    return found if isinstance(found, list) else []


def web(value: Any) -> str:
    """An address on the web, or "" for anything else: the picture is then one of the post that can't be had."""
    address = value.strip() if isinstance(value, str) else ""
    return address if address.startswith(("https://", "http://")) else ""


def stated_count(value: Any) -> int | None:
    """A count; -1 is how platforms and 4CAT write that they don't tell it."""
    number = count(value)
    return number if number is None or number >= 0 else None


def picture(url: Any, *, alt: Any = None, kind: str | None = None, width: Any = None, height: Any = None) -> Attachment:
    """A picture of a post, from whatever its platform says of it."""
    return Attachment(url=web(url), alt=text(alt), kind=kind, width=_pixels(width), height=_pixels(height))


def _pixels(value: Any) -> int | None:
    number = stated_count(value)
    return number if number and number < 2**31 else None
