"""What exports and servers state, as the values that a Post holds. What can't be is None, or a ValueError."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from html.parser import HTMLParser
from typing import Any

from dateutil import parser as dateparser

from hashtag_photos.records import storable

_BEFORE_ADDRESS = re.compile(r"[\s|,;]+(?=https?://)")
_BETWEEN_NAMES = re.compile(r"[|;\n]")
_SIDE_BY_SIDE = re.compile(r"(['\"])\s+(['\"])")
_DIVIDERS = frozenset(" \t\n|,;")
_SECONDS = re.compile(r"\d{9,13}(\.\d+)?")
_ROUNDED = re.compile(r"\d([.,]\d+)?[eE]\+\d\d")
_COUNT = re.compile(r"(-?(?:\d+|\d{1,3}(?:,\d{3})+))(?:\.0*)?")  # 1.234 and 3,5 could be more than one number
_OFFSET = re.compile(r"\b(?:GMT|UTC)\s*([+-])(\d\d?)(?::?(\d\d))?\b")
_FIRST_YEAR, _LAST_YEAR = 1990, 2100  # before the web, and after anybody's time: not when a post was made
_TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_X_TIME = "%a %b %d %H:%M:%S %z %Y"  # Tue Apr 22 17:55:01 +0000 2014


def empty(value: Any) -> bool:
    """Whether a cell or a member says nothing."""
    if isinstance(value, str):
        return not value or value.isspace() or value.strip() in ("[]", "{}")
    return value is None or value in ([], {}, ()) or (isinstance(value, float) and math.isnan(value))


def media_items(media: Any) -> list[Any]:
    """A cell of media as a list: a list or an object as JSON or Python writes them, or addresses divided by blanks,
    commas, `;` or `|`."""
    if isinstance(media, str):
        media = media.strip()
        if media[:1] in ("[", "{"):
            return media_items(literal(media))
        if _DIVIDERS.isdisjoint(media):
            return [media] if media else []
        divider = _BEFORE_ADDRESS if "://" in media else _BETWEEN_NAMES
        media = [part.strip(" |,;\n\t") for part in divider.split(media)]
    if isinstance(media, Mapping):
        keys = media.get("media_keys")
        media = [{"media_key": key} for key in keys] if isinstance(keys, list) else [media]
    if isinstance(media, list | tuple):
        return [item for item in media if not empty(item)]
    if media is None:
        return []
    raise ValueError(f"media: neither an address nor a list of them: {media!r}")


def literal(text: str) -> Any:
    """A list or an object as JSON writes it, or as Python does."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        try:  # numpy leaves out the commas between texts, which Python would join
            return ast.literal_eval(_SIDE_BY_SIDE.sub(r"\1, \2", text))
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise ValueError(f"not a list of addresses: {text[:60]!r}") from None


def stated_time(value: Any) -> tuple[datetime | None, str | None]:
    """A stated time as UTC, or what is wrong with it. A time without a zone is taken as UTC.

    What leaves something open (a day without a year, 05/04/2014, a zone by a name that several have) is no time: it
    would be filled in from the day or the machine of the run.
    """
    if value is None:
        return None, None
    try:
        if isinstance(value, datetime):
            time = value
        elif isinstance(value, bool):
            raise ValueError
        elif isinstance(value, (int, float)) or _SECONDS.fullmatch(str(value)):
            number = float(value)
            time = datetime.fromtimestamp(number / 1000 if number > 1e11 else number, UTC)
        else:
            time = _parsed_time(str(value))
        if time.tzinfo is not UTC:
            time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        if not _FIRST_YEAR <= time.year <= _LAST_YEAR:
            raise ValueError
        return time, None
    except (ValueError, OverflowError, OSError):
        return None, f"not a time, or not a certain one: {str(value)[:60]}"


def _parsed_time(text: str) -> datetime:
    with suppress(ValueError):
        return datetime.fromisoformat(text)
    with suppress(ValueError):
        return datetime.strptime(text, _X_TIME)  # noqa: DTZ007  the format has a zone
    # JavaScript's GMT-0500 is five hours west; what parses dates takes it as POSIX does, for five hours east
    text = _OFFSET.sub(lambda m: f"{m[1]}{m[2]:0>2}:{m[3] or '00'}", text).partition(" (")[0]
    readings: set[datetime] = set()
    for default in (datetime(2001, 1, 1), datetime(2004, 12, 31)):  # noqa: DTZ001  what is missing shows by them
        for order in ({}, {"dayfirst": True}, {"yearfirst": True}, {"dayfirst": True, "yearfirst": True}):
            with suppress(ValueError):
                readings.add(dateparser.parse(text, default=default, tzinfos=_zone, **order))
    if len(readings) != 1:
        raise ValueError(text)
    (time,) = readings
    return time


def _zone(name: str | None, offset: int | None) -> tzinfo | None:
    if offset is not None:
        return timezone(timedelta(seconds=offset))
    if name is None:
        return None
    if name in ("UTC", "GMT", "Z"):
        return UTC
    raise ValueError(name)


def text(value: Any) -> str | None:
    """A value as text; None for nothing, for blanks, and for lists and objects."""
    if isinstance(value, str):
        value = value.strip()
        return (value if value.isascii() else storable(value)) or None
    if value is None or isinstance(value, (dict, list)):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # an id that went through a spreadsheet
    return str(value)


def ident(value: Any) -> str | None:
    """An id as text. One that lost its last digits would make different posts one: better no post than a wrong one."""
    if value.__class__ is str and value.isdigit():
        return str(value)
    stated = str(value).strip()
    if not stated.isdigit() and stated.lower() in ("nan", "none", "null"):
        return None
    whole, _, zeros = stated.partition(".")
    floating = isinstance(value, float) or (zeros and not zeros.strip("0") and whole.isdigit())
    if _ROUNDED.fullmatch(stated) or (floating and abs(float(stated)) >= 2**53):
        raise ValueError(f"id {value} has lost its last digits, as in a spreadsheet: export again with ids as text")
    return text(value)


def count(value: Any) -> int | None:
    """A count of likes, pixels and the like, if it is one; 1,234 as people write it too."""
    if isinstance(value, str):
        return _count_of(value)
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, float):
        value = int(value) if math.isfinite(value) else None
    return value if isinstance(value, int) and abs(value) < 2**63 else None


@lru_cache(maxsize=100_000)
def _count_of(stated: str) -> int | None:
    match = _COUNT.fullmatch(stated.strip())
    number = int(match[1].replace(",", "")) if match and len(match[1]) < 30 else None
    return number if number is not None and number < 2**63 else None


def truth(value: Any) -> bool | None:
    """Yes or no, if it says so."""
    return value if value is None or isinstance(value, bool) else _TRUTHS.get(str(value).strip().lower())


def hashtags(value: Any) -> tuple[str, ...]:
    """Hashtags without their #, from a list of names or objects, or from a cell that joins them."""
    if isinstance(value, str):
        return _hashtags_of(value)
    if not isinstance(value, list):
        return ()
    return tuple(tag.lstrip("#") for item in value if (tag := text(named(item, "text", "tag", "name"))))


@lru_cache(maxsize=10_000)
def _hashtags_of(cell: str) -> tuple[str, ...]:
    if cell.lstrip().startswith("["):
        try:
            return hashtags(literal(cell))
        except ValueError:
            return ()
    return tuple(tag.lstrip("#") for tag in re.split(r"[\s,;|]+", cell) if tag)


def named(value: Any, *names: str) -> Any:
    """The first of these members that an object has; anything else as it is."""
    if not isinstance(value, Mapping):
        return value
    return next((value[name] for name in names if value.get(name)), None)


def dig(value: Any, *path: str | int) -> Any:
    """What lies at a path of member names and list positions, or None if the path ends before."""
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def joined(cell: Any) -> list[str]:
    """A cell of addresses joined by commas, which may themselves hold commas; a list as it is."""
    if isinstance(cell, list):
        return [each for each in cell if isinstance(each, str) and each]
    return [each for part in re.split(r",\s*(?=https?://)", text(cell) or "") if (each := part.strip())]


def beyond(record: Mapping[str, Any], *known: str) -> dict[str, Any]:
    """What a record says beyond the members that were read: kept with the post, so that nothing is lost."""
    read = frozenset(known)
    return {name: value for name, value in record.items() if name not in read and not empty(value)}


class _PlainText(HTMLParser):
    """Text of the simple HTML that posts are written in."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag == "br":
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("p", "div", "li", "blockquote"):
            self.parts.append("\n\n")


def plain(html: Any) -> str | None:
    """HTML as text: paragraphs and line breaks become empty lines and new lines."""
    if not isinstance(html, str):
        return None
    parser = _PlainText()
    parser.feed(html)
    parser.close()
    return text("".join(parser.parts))
