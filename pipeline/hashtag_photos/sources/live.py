"""What all searches of a live server have in common: what is asked, patience, and the end of cursors that have none.

A source asks through `Patience.answer`. A call says what went wrong in one of three words: Limited (wait so long),
Trouble (try again), Refused (it is no use). Before anything was had, what can't be mended is a SourceError, so that
nothing is written; later it is Stopped: what was had is kept, and the run is incomplete.
"""

from __future__ import annotations

import importlib
import ipaddress
import math
import re
import sqlite3
import time
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from importlib import metadata
from typing import Any, TypeVar
from urllib.parse import urlsplit

import tenacity

from hashtag_photos.errors import SourceError, UsageError
from hashtag_photos.http import Local
from hashtag_photos.sources.credentials import scrub
from hashtag_photos.sources.fields import stated_time
from hashtag_photos.sources.visit import Stopped, Visit

T = TypeVar("T")

TIMEOUT = 60.0  # seconds a server may take for an answer
_ATTEMPTS = 6
_BACKOFF = 0.5  # seconds, doubled each time
_YEAR = 366 * 86400.0
_STALE_PAGES = 20  # pages in a row without anything new are the end of a search that gives cursors for ever


class Limited(Exception):
    """The server asks to wait for so many seconds."""

    def __init__(self, seconds: float, reason: str) -> None:
        super().__init__(reason)
        self.seconds, self.reason = max(seconds, 1.0), scrub(reason)


class Trouble(Exception):
    """No answer, or none that can be used: asking again may help."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = scrub(reason)


class Refused(Exception):
    """An answer that no asking again changes."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = scrub(reason)


class Patience:
    """Asks until there is an answer, for one visit of one server."""

    def __init__(self, visit: Visit, name: str) -> None:
        self._visit, self._name = visit, name
        self._answered = False

    def answer(self, call: Callable[[], T], *, preparing: bool = False, refusable: bool = False) -> T:
        """What `call` returns in the end.

        Raises SourceError before the first answer and Stopped after it; one that only prepares, such as a login, is not
        the first. Where it is `refusable`, Refused comes as it is.
        """
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(_ATTEMPTS),
            wait=tenacity.wait_random_exponential(multiplier=_BACKOFF, max=20),
            retry=tenacity.retry_if_exception_type(Trouble),
            reraise=True,
        )
        while True:
            try:
                found = retrying(call)
            except Limited as limited:
                self._visit.wait(limited.seconds, f"{self._name}: {limited.reason}")
            except Trouble as trouble:
                raise self.end(f"{trouble.reason} (asked {_ATTEMPTS} times)") from None
            except Refused as refused:
                if refusable:
                    raise
                raise self.end(refused.reason) from None
            else:
                self._answered = self._answered or not preparing
                return found

    @property
    def begins(self) -> bool:
        """Whether nothing was had in this visit yet."""
        return not self._answered

    def end(self, reason: str) -> Exception:
        """What to raise if it is no use to go on."""
        reason = f"{self._name}: {reason}"
        return Stopped(reason) if self._answered else SourceError(reason, subject=self._name)


class Pages:
    """Holds that a search comes to an end. What was met is in a temporary database, on disk where it is much."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.execute("CREATE TABLE met (mark INTEGER PRIMARY KEY)")
        self._database.execute("BEGIN")
        self._stale = 0

    def turn(self, cursor: Any, ids: Iterable[str]) -> None:
        """A page with these posts was had, and `cursor` leads to the next. Raises Stopped if it leads in circles."""
        if not self._is_new(("cursor", str(cursor))):
            raise Stopped(f"{self._name}: the server leads back to a page that was had")
        new = [self._is_new(("post", each)) for each in ids]
        self._stale = 0 if any(new) else self._stale + 1
        if self._stale >= _STALE_PAGES:
            raise Stopped(f"{self._name}: the server gave {self._stale} pages in a row with nothing new")

    def close(self) -> None:
        self._database.close()

    def _is_new(self, thing: tuple[str, str]) -> bool:
        return self._database.execute("INSERT OR IGNORE INTO met VALUES (?)", (hash(thing),)).rowcount == 1


@dataclass(frozen=True, kw_only=True)
class Search:
    """A hashtag on a server. `since` and `until` are ISO times in UTC: from the one on, and before the other."""

    hashtag: str
    server: str
    since: str | None = None
    until: str | None = None

    kind = ""  # of the source, as run.json remembers it, and the optional dependency that it needs
    library = ""

    @property
    def name(self) -> str:
        """The server, for people."""
        return urlsplit(self.server).netloc or self.server

    @property
    def title(self) -> str:
        times = [f"{word} {_short(time)}" for word, time in (("from", self.since), ("before", self.until)) if time]
        return f"#{self.hashtag} on {self.name}" + (f", {' '.join(times)} UTC" if times else "")

    @property
    def recognised(self) -> None:
        return None

    def asked(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "hashtag": self.hashtag,
            "server": self.server,
            "since": self.since,
            "until": self.until,
        }

    def check(self) -> None:
        """Raise SourceError if the client library isn't there."""
        try:
            importlib.import_module(self.library)
        except ModuleNotFoundError:
            needed = " ".join(f"'{each}'" for each in _requirements(self.kind))
            raise SourceError(
                f"{self.kind} needs a package that isn't installed; install it with: pip install {needed}",
                subject=self.library,
            ) from None

    def state(self) -> str:
        return "a search that came to its end"  # is not asked again

    def size(self) -> None:
        return None

    def local(self) -> AbstractContextManager[Local]:
        """A server that the user named by an address of this machine or this network may be asked for its pictures."""
        parts = urlsplit(self.server)
        host = (parts.hostname or "").replace("localhost", "127.0.0.1")
        if parts.scheme != "http" or not _is_private(host):
            return nullcontext(Local())
        return nullcontext(Local(routes={self.server: f"http://{host}:{parts.port or 80}"}))

    def check_over(self) -> None:
        """Raise Stopped if the time that is asked for goes on: more posts may come."""
        if self.end is not None and self.end > datetime.now(UTC):
            raise Stopped(
                f"{self.name}: the time that is asked for was not over, on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
            )

    @property
    def first(self) -> datetime | None:
        """The first moment that is asked for."""
        return datetime.fromisoformat(self.since) if self.since else None

    @property
    def end(self) -> datetime | None:
        """The first moment that is not asked for any more."""
        return datetime.fromisoformat(self.until) if self.until else None

    def covers(self, time: datetime | None) -> bool:
        """Whether a post of this time is asked for; one whose time isn't known may be."""
        return time is None or ((self.first is None or time >= self.first) and (self.end is None or time < self.end))


def clean_hashtag(hashtag: str) -> str:
    """A hashtag without its #. Raises UsageError for what can't be one."""
    cleaned = unicodedata.normalize("NFC", hashtag.strip().lstrip("#＃"))
    # vowel signs and the joiners of some scripts are no letters, and parts of words all the same
    if not cleaned or not all(each.isalnum() or each in "_·・\u200c\u200d" or _is_mark(each) for each in cleaned):
        raise UsageError(f"{hashtag!r} is not a hashtag: letters, digits and _ without blanks", subject=hashtag)
    return cleaned


def _is_mark(letter: str) -> bool:
    return unicodedata.category(letter).startswith("M")


def same_hashtag(one: str, other: str) -> bool:
    """Whether two hashtags are the same, however they are written."""
    return _folded(one) == _folded(other)


def _folded(hashtag: str) -> str:
    return unicodedata.normalize("NFKC", hashtag.lstrip("#＃")).casefold()


def moment(value: str | date | None, name: str) -> str | None:
    """A time as ISO in UTC. A day is its beginning for `since`, and the end of it for `until`: the day is asked for.

    Raises UsageError for what is no time.
    """
    if value is None:
        return None
    whole_day = not isinstance(value, datetime)
    try:
        if isinstance(value, str):
            whole_day = _is_day(value.strip())
            time = datetime.fromisoformat(value.strip())
        else:
            time = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day, tzinfo=UTC)
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        if whole_day and name == "until":
            time += timedelta(days=1)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{name}: {value!r} is not a day like 2014-04-22, or a time like 2014-04-22T17:00:00Z", subject=value
        ) from None
    return time.isoformat()


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def period(since: str | date | None, until: str | date | None) -> dict[str, str | None]:
    """Both ends of the time that is asked for. Raises UsageError if it is no time, or none is left."""
    first, end = moment(since, "since"), moment(until, "until")
    if first and end and first >= end:
        raise UsageError(f"since {since} is not before until {until}", subject=since)
    return {"since": first, "until": end}


def server_address(server: str) -> str:
    """A server's address from its name. Raises UsageError for what is none, and for http beyond this network."""
    address = server.strip().rstrip("/")
    if "://" not in address:
        address = f"https://{address}"
    try:
        parts = urlsplit(address)
    except ValueError:
        raise UsageError(f"{server!r} is not the name of a server, such as mastodon.social", subject=server) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.username or parts.query:
        raise UsageError(f"{server!r} is not the name of a server, such as mastodon.social", subject=server)
    if parts.scheme == "http" and not _is_private(parts.hostname):
        raise UsageError(f"{server}: passwords and tokens are sent by https only", subject=server)
    return address


def _requirements(extra: str) -> list[str]:
    """What an optional dependency stands for."""
    listed = (each.partition(";") for each in metadata.requires("hashtag-photos") or ())
    return [name.strip() for name, _, marker in listed if re.search(rf"extra == ['\"]{extra}['\"]", marker)]


def _is_private(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return False


def _short(time: str) -> str:
    return time.replace("T00:00:00", "").replace("+00:00", "").replace("T", " ")


def what_failed(error: BaseException) -> str:
    """Why there was no answer, in words, from what a library wraps around the operating system's error."""
    import socket
    import ssl

    cause: BaseException | None = error
    while cause is not None:
        for kind, words in (
            (socket.gaierror, "no such server, or no network"),
            (ssl.SSLCertVerificationError, "its certificate is not valid"),
            (ConnectionRefusedError, "it refuses the connection"),
            (ConnectionError, "the connection was lost"),
            (TimeoutError, f"none within {TIMEOUT:.0f} s"),
        ):
            if isinstance(cause, kind):
                return words
        cause = getattr(cause, "reason", None) or cause.__cause__ or cause.__context__
        cause = cause if isinstance(cause, BaseException) else None
    return type(error).__name__


def seconds_to_wait(headers: Mapping[str, str]) -> float:
    """How long a server that limits its rate asks to wait, as it says it: by Retry-After (RFC 9110 section 10.2.3), or
    by the moment at which its limit ends, which is of its own clock; a minute if it says nothing."""
    named = {name.lower(): value for name, value in headers.items()}
    now = _moment(named.get("date")) or time.time()
    after = named.get("retry-after", "")
    seconds = float(after) if after.strip().isdigit() else (_moment(after) or math.nan) - now
    for name in ("x-rate-limit-reset", "ratelimit-reset", "x-ratelimit-reset"):
        if not math.isfinite(seconds):
            seconds = (_moment(named.get(name)) or math.nan) - now + 1
    return seconds if math.isfinite(seconds) and seconds < _YEAR else 60.0


def _moment(stated: str | None) -> float | None:
    """A moment as servers state it, in seconds since 1970."""
    time, _ = stated_time(stated or None)
    return None if time is None else time.timestamp()
