"""Guards of every request to the outside.

Addresses come from strangers and are fetched by a machine inside somebody's network. So: only http and https, no
credentials, and no connection to anything but a public address. The address is checked at the moment of connecting, on
the very socket address that is connected to, on every hop: names, redirects, odd spellings of numbers and names that
resolve differently the second time all pass through there. How hosts are treated is in manners.py.

It knows nothing of pictures, runs or tables.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import random
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit
from urllib.request import url2pathname

from hashtag_photos.manners import Doors, GivenUpError, HostFailure, LaterError, Manners
from hashtag_photos.records import PhotoStatus
from hashtag_photos.storage import storage_error
from hashtag_photos.words import first_line

if TYPE_CHECKING:
    import aiohttp

_PRODUCT = "hashtag-photos"
_READ_AHEAD = 1 << 15  # bytes a connection may hold while others are served
_LONGEST_REASON = 300
_ASCII = "".join(map(chr, range(33, 127)))
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052; where 64:ff9b:1::/48 embeds what, its network alone knows
_DOCUMENTATION = ipaddress.ip_network("3fff::/20")  # RFC 9637, which `ipaddress` learnt of late
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")  # RFC 4291 section 2.4: all that IANA hands out
# IETF protocol assignments (RFC 6890), the 6to4 relays of old (RFC 7526) and what Azure's machines are told their
# secrets by, all of which `ipaddress` counts as global
_IPV4_SPECIAL = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32")))
_SHORT_REST = 1.0  # seconds, which are waited at once
_KEEP_ALIVE = 5.0  # seconds; there may be thousands of hosts, and so many connections
# directives of X-Robots-Tag that have a colon of their own
_VALUED = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")


@dataclass(frozen=True, kw_only=True)
class Local:
    """What on this machine a source that the user chose may reach, against the rule that nothing here may be.

    `files` are folders below which file: addresses are read. `routes` sends an origin to a server that the source
    itself started, {"http://sample.invalid": "http://127.0.0.1:4711"}: that one socket address alone is then allowed.
    """

    files: tuple[Path, ...] = ()
    routes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Caps of one download. Times are seconds.

    max_bytes counts after decompression; connections is how many requests run at once in a process; total_timeout is
    for all hops together, without the time that manners take.
    """

    connections: int = 32
    connect_timeout: float = 10.0
    read_timeout: float = 20.0
    total_timeout: float = 120.0
    max_bytes: int = 50 << 20
    max_redirects: int = 5
    ports: tuple[int, ...] = (80, 443)

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name not in ("ports", "max_redirects") and not value > 0:
                raise ValueError(f"{name} must be more than 0, not {value}")


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A file that was had: where it lies now, and how it came."""

    path: Path
    sha256: str
    size: int
    http_status: int | None = None
    final_url: str | None = None
    content_type: str | None = None


class FetchError(Exception):
    """Why an address could not be had: a status, and a reason in words."""

    def __init__(self, status: PhotoStatus, reason: str, http_status: int | None = None) -> None:
        # a server's words may be of any length, move the cursor, or be no text at all
        reason = "".join(letter if letter.isprintable() else "\ufffd" for letter in reason[:_LONGEST_REASON])
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.http_status = http_status


class NoAnswerError(FetchError, HostFailure):
    """A failure for now, that may be its host's and not the address's alone."""

    def __init__(
        self, status: PhotoStatus, reason: str, http_status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(status, reason, http_status)
        self.retry_after = retry_after
        self.asked_to_wait = http_status in (429, 503)


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request, for the log: `hop` counts redirects, `size` is the bytes received, `seconds` is without waiting."""

    time: datetime
    url: str
    hop: int
    seconds: float
    http_status: int | None
    size: int
    status: str
    reason: str | None


@dataclass
class _Seen:
    """What was seen of an answer, whatever became of it."""

    http_status: int | None = None
    size: int = 0


class _BlockedAddressError(OSError):
    """Raised at the moment of connecting; aiohttp wraps it. One text for all, so that a name with several bad addresses
    still ends as this error and not as a list of different ones."""

    def __init__(self) -> None:
        super().__init__("not a public address")


def is_public(address: str) -> bool:
    """Whether an IP address is of the public internet, also by what it embeds (IPv4-mapped, NAT64, 6to4)."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return ip.is_global and not ip.is_multicast and not any(ip in network for network in _IPV4_SPECIAL)
    embedded = ip.ipv4_mapped or ip.sixtofour
    if ip in _NAT64:
        embedded = ipaddress.IPv4Address(ip.packed[-4:])
    if embedded is not None:
        return is_public(str(embedded))
    return ip.is_global and ip in _GLOBAL_UNICAST and ip not in _DOCUMENTATION


def host_of(url: str) -> str:
    """The host of an address as a door has it: lower case, in ASCII, without port; empty if there is none."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    if not host.isascii():
        with suppress(UnicodeError):
            host = host.encode("idna").decode()
    return host.rstrip(".")


class Fetcher:
    """Fetches addresses to files, with the guards above. Use it through `fetcher()`."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        doors: Doors,
        files: _Files,
        local: Local,
        limits: Limits,
        manners: Manners,
        elsewhere: int,
        log: Callable[[Request], None] | None,
    ) -> None:
        self._session = session
        self._doors = doors
        self._files = files
        self._local = local
        self._limits = limits
        self._manners = manners
        self._elsewhere = elsewhere
        self._log = log
        self.received = 0  # bytes, of whatever became something or not

    async def fetch(self, url: str, place: tuple[str, int] | None = None) -> Fetched:
        """Have an address, as a file in the folder. Temporary failures are tried again, with growing pauses.

        Raises FetchError if it can't be had, and LaterError where a redirect leads to a host that rests: ask again
        then, with the `place` that it states.
        """
        if url.startswith("file:"):
            return await asyncio.to_thread(self._copy, url)
        tried, failed_at, failure = 0, time.monotonic(), None
        while True:
            try:
                return await self._follow(*(place or (url, 0)))
            except GivenUpError as given_up:
                status = given_up.last.status if isinstance(given_up.last, FetchError) else PhotoStatus.UNREACHABLE
                raise failure or FetchError(status, str(given_up)) from None
            except NoAnswerError as error:
                failure = error
            # a server that has everybody wait says nothing of this address, unless it had time for others since
            if not failure.asked_to_wait or failure.worked_at > failed_at:
                tried += 1
                if tried >= self._manners.attempts:
                    raise failure
                await asyncio.sleep(self._manners.backoff * 2 ** (tried - 1) * random.uniform(0.75, 1.25))
            failed_at = time.monotonic()

    def waiting(self) -> Iterator[tuple[str, str, float]]:
        """Hosts that are waited for: host, why, for how many seconds yet."""
        return self._doors.resting()

    async def _follow(self, current: str, first: int) -> Fetched:
        """One attempt, redirects followed. Raises FetchError, GivenUpError and LaterError."""
        left = self._limits.total_timeout
        for hop in range(first, self._limits.max_redirects + 1):
            asked = self._route(current)
            host = host_of(current)
            if hop and (rest := self._doors.rests(host)) > _SHORT_REST:
                raise LaterError(rest, (current, hop))
            door = self._doors.to(host) if hop == 0 else self._doors.to(host, processes=self._elsewhere)
            async with door.visit(self._doors.seats):
                begun = time.monotonic()
                answer = await self._logged(asked, current, hop, left)
                left -= time.monotonic() - begun
            if isinstance(answer, Fetched):
                return answer
            current = answer
        raise FetchError(PhotoStatus.REFUSED, f"more than {self._limits.max_redirects} redirects")

    async def _logged(self, asked: str, url: str, hop: int, seconds: float) -> Fetched | str:
        """`_request`, with a line in the log."""
        seen = _Seen()
        if self._log is None:
            return await self._request(asked, url, seconds, seen)
        moment, begun = datetime.now(UTC), time.monotonic()
        status, reason = "ok", None
        try:
            answer = await self._request(asked, url, seconds, seen)
            if not isinstance(answer, Fetched):
                status, reason = "redirect", f"to {answer}"
            return answer
        except FetchError as error:
            status, reason = error.status.value, error.reason
            raise
        finally:
            self._log(
                Request(
                    time=moment,
                    url=url,
                    hop=hop,
                    seconds=round(time.monotonic() - begun, 6),
                    http_status=seen.http_status,
                    size=seen.size,
                    status=status,
                    reason=reason,
                )
            )

    async def _request(self, asked: str, url: str, seconds: float, seen: _Seen) -> Fetched | str:
        """One request: the file, or the address that it is redirected to."""
        import aiohttp
        from aiohttp.http_exceptions import ContentEncodingError

        try:
            async with (
                asyncio.timeout(max(seconds, 0)),
                self._session.get(asked, allow_redirects=False) as response,
            ):
                seen.http_status = response.status
                location = response.headers.get("Location")
                if response.status in (301, 302, 303, 307, 308) and location:
                    # as browsers do: whatever bytes a server puts there, those outside ASCII are percent-encoded
                    return urljoin(url, quote(location.encode("utf-8", "surrogateescape"), safe=_ASCII))
                return await self._receive(response, url, seen)
        except FetchError:
            raise
        except TimeoutError:
            raise NoAnswerError(PhotoStatus.TIMEOUT, "no answer in time") from None
        except (aiohttp.ClientSSLError, ssl.SSLError) as error:  # before ValueError, which some of them are
            raise NoAnswerError(PhotoStatus.UNREACHABLE, f"no safe connection: {first_line(error)}") from None
        except ValueError:  # aiohttp.InvalidURL among them, and names that are no host names
            raise FetchError(PhotoStatus.BAD_ADDRESS, "not an address that can be asked") from None
        except aiohttp.ClientPayloadError as error:
            if isinstance(error.__cause__, ContentEncodingError):
                what = "what came is not packed as stated, or in a way that was not asked for"
                raise FetchError(PhotoStatus.INTERRUPTED, what) from None
            raise NoAnswerError(PhotoStatus.INTERRUPTED, "the connection ended before the file did") from None
        except aiohttp.ClientResponseError as error:
            what = f"not an answer in HTTP: {' '.join(error.message.split())}"
            raise NoAnswerError(PhotoStatus.UNREACHABLE, what) from None
        except aiohttp.ServerDisconnectedError:
            raise NoAnswerError(PhotoStatus.UNREACHABLE, "the server ended the connection without an answer") from None
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(getattr(error, "os_error", error), _BlockedAddressError):
                raise FetchError(PhotoStatus.BLOCKED, "leads to an address that is not public") from None
            raise NoAnswerError(PhotoStatus.UNREACHABLE, first_line(error)) from None

    def _route(self, url: str) -> str:
        """What is really asked for an address, or FetchError if it may not be asked."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise FetchError(PhotoStatus.BAD_ADDRESS, "not an address that can be asked") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            known = parts.scheme in ("", "http", "https")
            what = "no address with a host" if known else f"{parts.scheme}: addresses are not asked"
            raise FetchError(PhotoStatus.BAD_ADDRESS, what)
        if any(letter.isspace() or not letter.isprintable() for letter in parts.netloc):
            raise FetchError(PhotoStatus.BAD_ADDRESS, "no address with a host")
        if parts.username is not None or parts.password is not None:
            raise FetchError(PhotoStatus.BLOCKED, "has a user name or password in the address")
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin in self._local.routes:
            return self._local.routes[origin] + url[len(origin) :]
        if port is not None and port not in self._limits.ports:
            allowed = " or ".join(map(str, self._limits.ports))
            raise FetchError(PhotoStatus.BLOCKED, f"port {port} is not {allowed}: --ports {port} allows it")
        return url

    async def _receive(self, response: aiohttp.ClientResponse, url: str, seen: _Seen) -> Fetched:
        self._refuse_by_headers(response)
        digest, size, sink = hashlib.sha256(), 0, self._files.make()
        try:
            with sink:
                async for chunk in response.content.iter_any():
                    size += len(chunk)
                    seen.size = size
                    self.received += len(chunk)
                    if size > self._limits.max_bytes:
                        raise FetchError(PhotoStatus.TOO_LARGE, _too_many(self._limits.max_bytes), response.status)
                    digest.update(chunk)
                    sink.write(chunk)
        except BaseException:
            sink.path.unlink(missing_ok=True)
            raise
        return Fetched(
            path=sink.path,
            sha256=digest.hexdigest(),
            size=size,
            http_status=response.status,
            final_url=url,
            content_type=response.content_type,
        )

    def _refuse_by_headers(self, response: aiohttp.ClientResponse) -> None:
        status = response.status
        if status in (404, 410):
            raise FetchError(PhotoStatus.GONE, f"the server answered {status} {response.reason}", status)
        if status == 429 or status >= 500:
            wait = _seconds_to_wait(response.headers)
            asks = "" if wait is None else f", and asks to wait {wait:,.0f} s"
            if status == 429:
                reason = f"the server answered 429: too many requests{asks}"
                raise NoAnswerError(PhotoStatus.RATE_LIMITED, reason, status, wait)
            reason = f"the server answered {status} {response.reason}{asks}"
            raise NoAnswerError(PhotoStatus.SERVER_ERROR, reason, status, wait)
        if status in (408, 425):  # request timeout, too early
            raise NoAnswerError(PhotoStatus.SERVER_ERROR, f"the server answered {status} {response.reason}", status)
        if status != 200:
            raise FetchError(PhotoStatus.REFUSED, f"the server answered {status} {response.reason}", status)
        if self._manners.heed_opt_outs and (opt_out := _opted_out(response.headers)):
            raise FetchError(PhotoStatus.OPTED_OUT, f"the server asks machines to leave it: {opt_out}", status)
        if (response.content_length or 0) > self._limits.max_bytes:
            raise FetchError(PhotoStatus.TOO_LARGE, _too_many(self._limits.max_bytes), status)

    def _copy(self, url: str) -> Fetched:
        """A local file, if it lies below the folder that the user named, links followed."""
        if not self._local.files:
            raise FetchError(PhotoStatus.BLOCKED, "a local file; name the folder of local pictures with --files")
        source = Path(url2pathname(urlsplit(url).path))
        try:
            real = source.resolve(strict=True)
            if not any(real.is_relative_to(folder.resolve()) for folder in self._local.files):
                raise FetchError(PhotoStatus.BLOCKED, "a local file outside the named folder")
            if not real.is_file():
                raise FetchError(PhotoStatus.NOT_AN_IMAGE, "not a file")
            if real.stat().st_size > self._limits.max_bytes:
                raise FetchError(PhotoStatus.TOO_LARGE, _too_many(self._limits.max_bytes))
            opened = real.open("rb")
        except (FileNotFoundError, NotADirectoryError):
            raise FetchError(PhotoStatus.GONE, "no such file") from None
        except (OSError, RuntimeError, ValueError) as error:
            raise FetchError(PhotoStatus.REFUSED, f"can't be read: {first_line(error)}") from None
        digest, size, sink = hashlib.sha256(), 0, self._files.make()
        with opened, sink:
            while chunk := opened.read(1 << 20):
                digest.update(chunk)
                size += len(chunk)
                sink.write(chunk)
        return Fetched(path=sink.path, sha256=digest.hexdigest(), size=size)


@asynccontextmanager
async def fetcher(
    folder: Path,
    local: Local,
    limits: Limits,
    manners: Manners,
    *,
    elsewhere: int = 1,
    name: str = "",
    log: Callable[[Request], None] | None = None,
) -> AsyncIterator[Fetcher]:
    """A Fetcher that leaves its files in `folder`, under names that begin with `name`.

    `elsewhere` is how many processes may be led to the same host by redirects; `log` is told of each request.
    """
    import aiohttp  # 12 MB, which the process that only hands out the work needn't have

    served_here = {_socket_address(base) for base in local.routes.values()}

    def guarded_socket(address: Any) -> socket.socket:
        family, kind, protocol, _, place = address
        if place[:2] not in served_here and not is_public(place[0]):
            raise _BlockedAddressError()
        return socket.socket(family, kind, protocol)

    # doors limit the connections; names are looked up in threads, of which a slow name server may hold many
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE, socket_factory=guarded_socket)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(limits.connections))
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=limits.connect_timeout, sock_read=limits.read_timeout)
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        cookie_jar=aiohttp.DummyCookieJar(),
        read_bufsize=_READ_AHEAD,
        headers={
            "User-Agent": user_agent(manners.contact),
            "Accept": "image/*,*/*;q=0.5",
            "Accept-Encoding": "identity",
        },
    ) as session:
        doors = Doors(manners, limits.connections)
        yield Fetcher(session, doors, _Files(folder, name), local, limits, manners, elsewhere, log)


def user_agent(contact: str | None) -> str:
    """What servers are told of who asks."""
    product = f"{_PRODUCT}/{metadata.version('hashtag-photos')}"
    return f"{product} (+{contact})" if contact else product


def _opted_out(headers: Mapping[str, str]) -> str | None:
    """The header by which a server asks machines to leave a file alone, if there is one.

    X-Robots-Tag with noai or noimageai, for all or for us by name (its form is that of the robots meta tag, with
    the name of a robot before a colon), and the TDM Reservation Protocol of the W3C's community group.
    """
    for value in headers.getall("X-Robots-Tag", ()):  # type: ignore[attr-defined]
        meant = True
        for directive in value.lower().split(","):
            robot, colon, rest = directive.strip().partition(":")
            robot = robot.strip()
            if colon and robot not in _VALUED and " " not in robot:  # else it is of a date, which may have a comma
                meant, directive = robot in ("*", _PRODUCT), rest
            if meant and {"noai", "noimageai"} & set(directive.replace(";", " ").split()):
                return f"X-Robots-Tag: {value}"
    if headers.get("TDM-Reservation", "").strip() == "1":
        return "TDM-Reservation: 1"
    return None


def _seconds_to_wait(headers: Mapping[str, str]) -> float | None:
    """Retry-After as seconds: a number of them, or a date by the server's own clock (RFC 9110, section 10.2.3)."""
    stated = headers.get("Retry-After", "").strip()
    if stated.isdecimal():
        return float(stated[:9])
    moment, now = _moment(stated), _moment(headers.get("Date", "")) or datetime.now(UTC)
    return max(0.0, (moment - now).total_seconds()) if moment else None


def _moment(stated: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(stated)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class _Sink:
    """A file being written whose failures (a full disk) are the run folder's, and never taken for the network's."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise storage_error(error, str(path)) from error

    def __enter__(self) -> _Sink:
        return self

    def write(self, data: bytes) -> None:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise storage_error(error, str(self.path)) from error

    def __exit__(self, *_: object) -> None:
        self._file.close()


class _Files:
    """New files of a folder, spread over several below it: making one in a folder waits for all that rename in it."""

    _FOLDERS = 64

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._count = 0

    def make(self) -> _Sink:
        """A new file."""
        self._count += 1
        folder = self._folder / f"{self._name}{self._count % self._FOLDERS}"
        if self._count <= self._FOLDERS:
            try:
                folder.mkdir(exist_ok=True)
            except OSError as error:
                raise storage_error(error, str(folder)) from error
        return _Sink(folder / str(self._count))


def _socket_address(base: str) -> tuple[str, int]:
    parts = urlsplit(base)
    if not parts.hostname or not parts.port:
        raise ValueError(f"a route must lead to a host and a port, not to {base!r}")
    return parts.hostname, parts.port


def _too_many(max_bytes: int) -> str:
    return f"more than {max_bytes / (1 << 20):.0f} MiB"
