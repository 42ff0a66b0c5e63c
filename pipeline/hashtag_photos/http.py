"""Manners and guards of every request to the outside.

Addresses come from strangers and are fetched by a machine inside somebody's network. So: only http and https, no
credentials, and no connection to anything but a public address. The address is checked at the moment of connecting, on
the very socket address that is connected to, on every hop: names, redirects, odd spellings of numbers and names that
resolve differently the second time all pass through there.

It knows nothing of pictures, runs or tables.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit
from urllib.request import url2pathname

import aiohttp
import tenacity

from hashtag_photos.records import PhotoStatus
from hashtag_photos.storage import storage_error

_CHUNK = 1 << 16
_ASCII = "".join(map(chr, range(33, 127)))
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))  # RFC 6052, RFC 8215
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")  # RFC 4291 section 2.4: all that IANA hands out
# IETF protocol assignments (RFC 6890) and the 6to4 relays of old (RFC 7526), which `ipaddress` counts as global
_IPV4_SPECIAL = (ipaddress.ip_network("192.0.0.0/24"), ipaddress.ip_network("192.88.99.0/24"))


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

    max_bytes counts after decompression; connections is how many downloads run at once.
    """

    connections: int = 16
    connections_per_host: int = 8
    connect_timeout: float = 10.0
    read_timeout: float = 20.0
    total_timeout: float = 120.0
    max_bytes: int = 50 << 20
    max_redirects: int = 5
    attempts: int = 3
    backoff: float = 0.5

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value <= 0 and name != "max_redirects":
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
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.http_status = http_status


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
    if any(ip in network for network in _NAT64):
        embedded = ipaddress.IPv4Address(ip.packed[-4:])
    if embedded is not None:
        return is_public(str(embedded))
    return ip.is_global and ip in _GLOBAL_UNICAST


class Fetcher:
    """Fetches addresses to files, with the guards above. Use it through `fetcher()`."""

    def __init__(self, session: aiohttp.ClientSession, local: Local, limits: Limits, folder: Path) -> None:
        self._session = session
        self._local = local
        self._limits = limits
        self._folder = folder
        self._count = 0

    async def fetch(self, url: str) -> Fetched:
        """Have an address, as a file in the folder. Temporary failures are tried again, with growing pauses.

        Raises FetchError if it can't be had.
        """
        if url.startswith("file:"):
            return await asyncio.to_thread(self._copy, url, self._next_path())
        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(self._limits.attempts),
            wait=tenacity.wait_random_exponential(multiplier=self._limits.backoff, max=30),
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, FetchError) and error.status.temporary),
            reraise=True,
        )
        return await retrying(self._fetch_once, url)

    async def _fetch_once(self, url: str) -> Fetched:
        try:
            async with asyncio.timeout(self._limits.total_timeout):
                return await self._hops(url)
        except FetchError:
            raise
        except TimeoutError:
            raise FetchError(PhotoStatus.TIMEOUT, "no answer in time") from None
        except ValueError:  # aiohttp.InvalidURL among them, and names that are no host names
            raise FetchError(PhotoStatus.BAD_ADDRESS, "not an address that can be asked") from None
        except aiohttp.ClientPayloadError:
            raise FetchError(PhotoStatus.INTERRUPTED, "the connection ended before the file did") from None
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(getattr(error, "os_error", error), _BlockedAddressError):
                raise FetchError(PhotoStatus.BLOCKED, "leads to an address that is not public") from None
            raise FetchError(PhotoStatus.UNREACHABLE, _words(error)) from None

    async def _hops(self, url: str) -> Fetched:
        current = url
        for _ in range(self._limits.max_redirects + 1):
            async with self._session.get(self._route(current), allow_redirects=False) as response:
                location = response.headers.get("Location")
                if response.status in (301, 302, 303, 307, 308) and location:
                    # as browsers do: whatever bytes a server puts there, those outside ASCII are percent-encoded
                    current = urljoin(current, quote(location.encode("utf-8", "surrogateescape"), safe=_ASCII))
                    continue
                return await self._receive(response, current)
        raise FetchError(PhotoStatus.REFUSED, f"more than {self._limits.max_redirects} redirects")

    def _route(self, url: str) -> str:
        """What is really asked for an address, or FetchError if it may not be asked."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise FetchError(PhotoStatus.BAD_ADDRESS, "not an address that can be asked") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            what = f"{parts.scheme}: addresses are not asked" if parts.scheme else "no address"
            raise FetchError(PhotoStatus.BAD_ADDRESS, what)
        if parts.username is not None or parts.password is not None:
            raise FetchError(PhotoStatus.BLOCKED, "has a user name or password in the address")
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin in self._local.routes:
            return self._local.routes[origin] + url[len(origin) :]
        if port not in (None, 80, 443):
            raise FetchError(PhotoStatus.BLOCKED, f"port {port} is neither 80 nor 443")
        return url

    async def _receive(self, response: aiohttp.ClientResponse, url: str) -> Fetched:
        self._refuse_by_headers(response)
        digest, size, path = hashlib.sha256(), 0, self._next_path()
        try:
            with _Sink(path) as sink:
                async for chunk in response.content.iter_chunked(_CHUNK):
                    size += len(chunk)
                    if size > self._limits.max_bytes:
                        raise FetchError(PhotoStatus.TOO_LARGE, _too_many(self._limits.max_bytes), response.status)
                    digest.update(chunk)
                    sink.write(chunk)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return Fetched(
            path=path,
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
        if status == 429:
            raise FetchError(PhotoStatus.RATE_LIMITED, "the server answered 429: too many requests", status)
        if status >= 500:
            raise FetchError(PhotoStatus.SERVER_ERROR, f"the server answered {status} {response.reason}", status)
        if status != 200:
            raise FetchError(PhotoStatus.REFUSED, f"the server answered {status} {response.reason}", status)
        robots = ",".join(response.headers.getall("X-Robots-Tag", ())).lower()
        if "noai" in robots or "noimageai" in robots:
            raise FetchError(
                PhotoStatus.OPTED_OUT, f"the server asks machines to leave it: X-Robots-Tag: {robots}", status
            )
        if (response.content_length or 0) > self._limits.max_bytes:
            raise FetchError(PhotoStatus.TOO_LARGE, _too_many(self._limits.max_bytes), status)

    def _copy(self, url: str, target: Path) -> Fetched:
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
            raise FetchError(PhotoStatus.REFUSED, f"can't be read: {_words(error)}") from None
        digest, size = hashlib.sha256(), 0
        with opened, _Sink(target) as sink:
            while chunk := opened.read(1 << 20):
                digest.update(chunk)
                size += len(chunk)
                sink.write(chunk)
        return Fetched(path=target, sha256=digest.hexdigest(), size=size)

    def _next_path(self) -> Path:
        self._count += 1
        return self._folder / str(self._count)


@asynccontextmanager
async def fetcher(folder: Path, local: Local, limits: Limits) -> AsyncIterator[Fetcher]:
    """A Fetcher that leaves its files in `folder`."""
    served_here = {_socket_address(base) for base in local.routes.values()}

    def guarded_socket(address: Any) -> socket.socket:
        family, kind, protocol, _, place = address
        if place[:2] not in served_here and not is_public(place[0]):
            raise _BlockedAddressError()
        return socket.socket(family, kind, protocol)

    connector = aiohttp.TCPConnector(
        limit=limits.connections, limit_per_host=limits.connections_per_host, socket_factory=guarded_socket
    )
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=limits.connect_timeout, sock_read=limits.read_timeout)
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": f"hashtag-photos/{metadata.version('hashtag-photos')}", "Accept": "image/*,*/*;q=0.5"},
    ) as session:
        yield Fetcher(session, local, limits, folder)


class _Sink:
    """A file being written whose failures (a full disk) are the run folder's, and never taken for the network's."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> _Sink:
        try:
            self._file = self._path.open("wb", buffering=0)
        except OSError as error:
            raise storage_error(error, str(self._path)) from error
        return self

    def write(self, data: bytes) -> None:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise storage_error(error, str(self._path)) from error

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _socket_address(base: str) -> tuple[str, int]:
    parts = urlsplit(base)
    if not parts.hostname or not parts.port:
        raise ValueError(f"a route must lead to a host and a port, not to {base!r}")
    return parts.hostname, parts.port


def _too_many(max_bytes: int) -> str:
    return f"more than {max_bytes / (1 << 20):.0f} MiB"


def _words(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
