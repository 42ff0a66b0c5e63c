import asyncio
import gzip
import ipaddress
import os
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from conftest import ORIGIN, Server, picture
from hypothesis import given, settings
from hypothesis import strategies as st

from hashtag_photos.http import Fetched, FetchError, Limits, Local, Request, fetcher, host_of, is_public
from hashtag_photos.manners import Manners
from hashtag_photos.records import PhotoStatus

QUICK = Limits(read_timeout=0.5, total_timeout=1.5, max_bytes=100_000)
ONCE = Manners(attempts=1, backoff=0.01, patience=0, rate_per_host=1000)


def fetch(
    url: str, folder: Path, local: Local | None = None, limits: Limits = QUICK, manners: Manners = ONCE
) -> Fetched:
    async def one() -> Fetched:
        async with fetcher(folder, local or Local(), limits, manners) as fetching:
            return await fetching.fetch(url)

    folder.mkdir(exist_ok=True)
    return asyncio.run(one())


def refusal(
    url: str, folder: Path, local: Local | None = None, limits: Limits = QUICK, manners: Manners = ONCE
) -> FetchError:
    with pytest.raises(FetchError) as error:
        fetch(url, folder, local, limits, manners)
    assert not any(each.is_file() for each in folder.rglob("*")), "what could not be had left something behind"
    return error.value


Talk = Callable[[socket.socket], None]


@dataclass
class Raw:
    """A server that says what a test has it say, and counts who came."""

    port: int
    connections: int = 0
    heard: list[bytes] = field(default_factory=list)

    @property
    def local(self) -> Local:
        return Local(routes={ORIGIN: f"http://127.0.0.1:{self.port}"})


@contextmanager
def listening(talk: Talk | bytes, address: str = "127.0.0.1", port: int = 0) -> Iterator[Raw]:
    """Say these bytes to whoever asks, or have a function do the talking, and hang up."""
    open_ones: list[socket.socket] = []

    def answer(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            heard = connection.recv(1 << 16)
            if heard:
                raw.heard.append(heard)
                if isinstance(talk, bytes):
                    connection.sendall(talk)
                else:
                    talk(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                raw.connections += 1
                open_ones.append(connection)
                threading.Thread(target=answer, args=[connection], daemon=True).start()

    with socket.create_server((address, port)) as listener:
        raw = Raw(listener.getsockname()[1])
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield raw
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        for each in open_ones:
            each.close()


def reset(connection: socket.socket) -> None:
    """Cut a connection, as a machine does that knows nothing of it."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


OK = b"HTTP/1.1 200 OK\r\n"


def test_what_is_had_is_what_was_served(server: Server, tmp_path: Path) -> None:
    body = picture()
    fetched = fetch(server.serve("/a.jpg", body), tmp_path, server.local)
    assert fetched.path.read_bytes() == body
    assert (fetched.size, fetched.http_status, fetched.final_url) == (len(body), 200, f"{ORIGIN}/a.jpg")


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (404, PhotoStatus.GONE),
        (410, PhotoStatus.GONE),
        (403, PhotoStatus.REFUSED),
        (204, PhotoStatus.REFUSED),
        (429, PhotoStatus.RATE_LIMITED),
        (500, PhotoStatus.SERVER_ERROR),
        (503, PhotoStatus.SERVER_ERROR),
    ],
)
def test_answers_become_statuses(server: Server, tmp_path: Path, answer: int, status: PhotoStatus) -> None:
    error = refusal(server.serve("/a.jpg", b"", status=answer), tmp_path, server.local)
    assert (error.status, error.http_status) == (status, answer)


def test_temporary_failures_are_tried_again_and_permanent_ones_not(server: Server, tmp_path: Path) -> None:
    body = picture()
    url = server.serve("/later.jpg", body)
    good = server.answers["/later.jpg"]
    server.serve("/later.jpg", b"", status=503)
    bad = server.answers["/later.jpg"]
    server.answers["/later.jpg"] = lambda handler: (bad if len(server.asked) < 3 else good)(handler)
    manners = Manners(attempts=3, backoff=0.01)
    assert fetch(url, tmp_path, server.local, manners=manners).size == len(body)
    assert len(server.asked) == 3
    with pytest.raises(FetchError):
        fetch(f"{ORIGIN}/none.jpg", tmp_path, server.local, manners=manners)
    assert server.asked.count("/none.jpg") == 1


def test_servers_that_ask_machines_to_stay_away_are_left_alone(server: Server, tmp_path: Path) -> None:
    url = server.serve("/a.jpg", picture(), X_Robots_Tag="noindex, noai")
    assert refusal(url, tmp_path, server.local).status is PhotoStatus.OPTED_OUT


def test_a_stated_length_over_the_cap_is_not_fetched(server: Server, tmp_path: Path) -> None:
    url = server.serve("/a.jpg", b"", Content_Length=str(10**9))
    assert refusal(url, tmp_path, server.local).status is PhotoStatus.TOO_LARGE


def _raw(server: Server, path: str, answer: Callable[[BaseHTTPRequestHandler], None]) -> str:
    server.answers[path] = answer
    return ORIGIN + path


def test_an_endless_body_is_cut_at_the_cap(server: Server, tmp_path: Path) -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        while True:
            handler.wfile.write(bytes(10_000))

    assert refusal(_raw(server, "/a.jpg", endless), tmp_path, server.local).status is PhotoStatus.TOO_LARGE


def test_the_cap_holds_after_decompression(server: Server, tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    assert len(bomb) < QUICK.max_bytes
    url = server.serve("/a.jpg", bomb, Content_Encoding="gzip")
    assert refusal(url, tmp_path, server.local).status is PhotoStatus.TOO_LARGE


def test_a_body_shorter_than_stated_is_interrupted(server: Server, tmp_path: Path) -> None:
    def short(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "5000")
        handler.end_headers()
        handler.wfile.write(b"abc")
        handler.close_connection = True

    assert refusal(_raw(server, "/a.jpg", short), tmp_path, server.local).status is PhotoStatus.INTERRUPTED


def test_a_silent_server_times_out(server: Server, tmp_path: Path) -> None:
    url = _raw(server, "/a.jpg", lambda handler: time.sleep(1.2))
    assert refusal(url, tmp_path, server.local).status is PhotoStatus.TIMEOUT


def test_a_dripping_server_times_out_in_total(server: Server, tmp_path: Path) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "5000")
        handler.end_headers()
        for _ in range(200):
            handler.wfile.write(b".")
            time.sleep(0.1)

    started = time.monotonic()
    assert refusal(_raw(server, "/a.jpg", drip), tmp_path, server.local).status is PhotoStatus.TIMEOUT
    assert time.monotonic() - started < 15, "and not after the 20 s that it drips"


def test_redirects_are_followed_and_limited(server: Server, tmp_path: Path) -> None:
    body = picture()
    server.serve("/b.jpg", body)
    once = server.serve("/a.jpg", b"", status=302, Location="/b.jpg")
    assert fetch(once, tmp_path, server.local).final_url == f"{ORIGIN}/b.jpg"
    shutil.rmtree(tmp_path / "1")
    loop = server.serve("/loop", b"", status=301, Location="/loop")
    assert "redirects" in refusal(loop, tmp_path, server.local).reason
    assert server.asked.count("/loop") == QUICK.max_redirects + 1


@pytest.mark.parametrize("inner", ["http://127.0.0.1/", "http://169.254.169.254/latest/meta-data", "http://[::1]/"])
def test_a_redirect_to_inside_is_refused(server: Server, tmp_path: Path, inner: str) -> None:
    url = server.serve("/a.jpg", b"", status=302, Location=inner)
    assert refusal(url, tmp_path, server.local).status is PhotoStatus.BLOCKED


@pytest.mark.parametrize("inner", ["file:///etc/passwd", "ftp://example.org/x"])
def test_a_redirect_to_another_scheme_is_refused(server: Server, tmp_path: Path, inner: str) -> None:
    url = server.serve("/a.jpg", b"", status=302, Location=inner)
    assert refusal(url, tmp_path, server.local).status is PhotoStatus.BAD_ADDRESS


def test_an_inner_address_is_refused_in_any_spelling(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its port, and where the port is allowed by itself, at the moment of connecting."""
    port = int(server.base.rpartition(":")[2])
    for host in ("127.0.0.1", "localhost", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "[::ffff:127.0.0.1]"):
        error = refusal(f"http://{host}:{port}/a.jpg", tmp_path)
        assert error.status in (PhotoStatus.BLOCKED, PhotoStatus.BAD_ADDRESS)
        error = refusal(f"http://{host}/a.jpg", tmp_path)
        assert error.status in (PhotoStatus.BLOCKED, PhotoStatus.BAD_ADDRESS), (host, error.reason)
    assert server.asked == []


def test_nothing_connects_to_an_inner_address_also_where_its_port_is_allowed(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hashtag_photos.http import Fetcher

    monkeypatch.setattr(Fetcher, "_route", lambda self, url: url)
    for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]"):
        assert refusal(server.base.replace("127.0.0.1", host), tmp_path).status is PhotoStatus.BLOCKED
    assert server.asked == []


def test_a_name_that_resolves_to_inside_is_refused(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address that is connected to is what is checked, so a resolver that changes its mind gains nothing."""
    port = int(server.base.rpartition(":")[2])

    def resolve(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert refusal("http://innocent.example/a.jpg", tmp_path).status is PhotoStatus.BLOCKED
    assert server.asked == []


def test_a_route_allows_its_own_server_and_no_other(server: Server, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        url = server.serve("/a.jpg", b"", status=302, Location=f"http://127.0.0.1:{other.getsockname()[1]}/")
        assert refusal(url, tmp_path, server.local).status is PhotoStatus.BLOCKED


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("", PhotoStatus.BAD_ADDRESS),
        ("no address", PhotoStatus.BAD_ADDRESS),
        ("javascript:alert(1)", PhotoStatus.BAD_ADDRESS),
        ("data:image/png;base64,AAAA", PhotoStatus.BAD_ADDRESS),
        ("http://", PhotoStatus.BAD_ADDRESS),
        ("http://[::1", PhotoStatus.BAD_ADDRESS),
        ("http://example.org:99999/", PhotoStatus.BAD_ADDRESS),
        ("http://user:secret@example.org/", PhotoStatus.BLOCKED),
        ("http://example.org:8080/", PhotoStatus.BLOCKED),
        ("http://nowhere.invalid/a.jpg", PhotoStatus.UNREACHABLE),
    ],
)
def test_addresses_that_can_not_be_asked(tmp_path: Path, url: str, status: PhotoStatus) -> None:
    assert refusal(url, tmp_path).status is status


def test_cookies_are_never_sent_back(server: Server, tmp_path: Path) -> None:
    seen: list[str | None] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        seen.append(handler.headers.get("Cookie"))
        handler.send_response(302 if handler.path == "/a.jpg" else 200)
        handler.send_header("Set-Cookie", "who=you")
        handler.send_header("Location", "/b.jpg")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    server.answers |= {"/a.jpg": answer, "/b.jpg": answer}
    fetch(f"{ORIGIN}/a.jpg", tmp_path, server.local)
    assert seen == [None, None]


def test_local_files_only_below_the_named_folder(tmp_path: Path) -> None:
    allowed, outside, incoming = tmp_path / "photos", tmp_path / "secret.jpg", tmp_path / "incoming"
    allowed.mkdir()
    incoming.mkdir()
    outside.write_bytes(b"secret")
    (allowed / "a b.jpg").write_bytes(b"mine")
    (allowed / "link.jpg").symlink_to(outside)
    local = Local(files=(allowed,))
    assert refusal((allowed / "a b.jpg").as_uri(), incoming).status is PhotoStatus.BLOCKED
    for bad in (outside, allowed / "link.jpg", allowed / ".." / "secret.jpg"):
        assert refusal(bad.absolute().as_uri(), incoming, local).status is PhotoStatus.BLOCKED
    assert refusal((allowed / "none.jpg").as_uri(), incoming, local).status is PhotoStatus.GONE
    assert refusal(allowed.as_uri(), incoming, local).status is PhotoStatus.NOT_AN_IMAGE
    assert fetch((allowed / "a b.jpg").as_uri(), incoming, local).path.read_bytes() == b"mine"


PRIVATE = [
    ipaddress.ip_network(block)
    for block in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
    )
]  # fmt: skip


@given(st.sampled_from(PRIVATE).flatmap(lambda net: st.integers(int(net[0]), int(net[-1]))))
def test_no_spelling_of_an_inner_address_is_public(number: int) -> None:
    v4 = ipaddress.IPv4Address(number)
    assert not is_public(str(v4))
    assert not is_public(f"::ffff:{v4}")
    assert not is_public(f"::{v4}")
    assert not is_public(str(ipaddress.IPv6Address((0x64FF9B << 96) + number))), "NAT64"
    assert not is_public(str(ipaddress.IPv6Address((0x2002 << 112) + (number << 80)))), "6to4"


@pytest.mark.parametrize("address", ["fec0::1", "::ffff:0:7f00:1", "5f00::1", "4000::1", "192.88.99.1"])
def test_addresses_that_nobody_hands_out(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "64:ff9b:1::1", "x"])
def test_inner_addresses_of_ipv6(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "64:ff9b::101:101"])
def test_public_addresses(address: str) -> None:
    assert is_public(address)


def test_limits_refuse_nonsense() -> None:
    with pytest.raises(ValueError, match="attempts"):
        Manners(attempts=0)


# --- answers that are none, or half of one ---

RUBBISH = {
    "no status line": b"hello there\r\n\r\n",
    "a picture and nothing else": b"\xff\xd8\xff\xe0 JFIF",
    "a status that is no number": b"HTTP/1.1 abc OK\r\n\r\n",
    "a length that is no number": OK + b"Content-Length: abc\r\n\r\nabc",
    "a negative length": OK + b"Content-Length: -3\r\n\r\nabc",
    "a length beyond all numbers": OK + b"Content-Length: " + b"9" * 400 + b"\r\n\r\nabc",
    "two lengths": OK + b"Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
    "a chunk of no size": OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    "a later chunk of no size": OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n-1\r\n\r\n0\r\n\r\n",
    "a chunk of any size": OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 30 + b"\r\nabc\r\n0\r\n\r\n",
    "a flood of headers": OK + b"".join(b"X-%d: y\r\n" % each for each in range(20_000)) + b"\r\n",
    "a header without end": OK + b"X: " + b"y" * 1_000_000 + b"\r\n\r\n",
    "a way of packing that was not offered": OK + b"Content-Encoding: br\r\nContent-Length: 3\r\n\r\nabc",
}


@pytest.mark.parametrize("answer", RUBBISH.values(), ids=RUBBISH)
def test_what_is_no_answer_is_a_status_and_a_reason_in_words(tmp_path: Path, answer: bytes) -> None:
    with listening(answer) as raw:
        error = refusal(f"{ORIGIN}/a.jpg", tmp_path, raw.local)
    assert error.status in (PhotoStatus.UNREACHABLE, PhotoStatus.INTERRUPTED)
    assert "400" not in error.reason, "no server said so"
    assert error.reason.isprintable()
    assert len(error.reason) <= 300


def _half_then(end: Talk) -> Talk:
    def talk(connection: socket.socket) -> None:
        connection.sendall(OK + b"Content-Length: 5000\r\n\r\n" + bytes(2500))
        end(connection)

    return talk


def _only_sending_ends(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_WR)
    connection.recv(1)


BREAKS: dict[str, tuple[Talk | bytes, PhotoStatus]] = {
    "before any answer": (b"", PhotoStatus.UNREACHABLE),
    "reset before any answer": (reset, PhotoStatus.UNREACHABLE),
    "within the headers": (OK + b"Content-Le", PhotoStatus.UNREACHABLE),
    "within the body": (_half_then(socket.socket.close), PhotoStatus.INTERRUPTED),
    "reset within the body": (_half_then(reset), PhotoStatus.INTERRUPTED),
    "half-closed within the body": (_half_then(_only_sending_ends), PhotoStatus.INTERRUPTED),
    "within a chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc", PhotoStatus.INTERRUPTED),
    "before the last chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", PhotoStatus.INTERRUPTED),
}


@pytest.mark.parametrize(("talk", "status"), BREAKS.values(), ids=BREAKS)
def test_connections_that_end_too_early(tmp_path: Path, talk: Talk | bytes, status: PhotoStatus) -> None:
    """They are no whole files, and known at once: nobody waits for the end of a timeout."""
    with listening(talk) as raw:
        error = refusal(f"{ORIGIN}/a.jpg", tmp_path, raw.local, Limits(read_timeout=30, total_timeout=30))
    assert error.status is status
    assert error.status.temporary
    assert "RawResponse" not in error.reason


def test_what_breaks_off_once_is_had_the_second_time(tmp_path: Path) -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(OK + b"Content-Length: 4\r\n\r\n" + (b"ab" if len(raw.heard) == 1 else b"abcd"))

    with listening(talk) as raw:
        fetched = fetch(f"{ORIGIN}/a.jpg", tmp_path, raw.local, manners=Manners(attempts=2, backoff=0.01))
    assert fetched.path.read_bytes() == b"abcd"


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"\r\nabc",  # the end of the connection is the end of the file
        OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n2;name=value\r\nbc\r\n0\r\nX-Trailer: y\r\n\r\n",
        OK + b"Content-Type: text/html\r\nContent-Length: 3\r\n\r\nabc",
        OK + b"Content-Type: \xff/\xfe;;\r\nContent-Length: 3\r\n\r\nabc",
        OK + b"Content-Length: 3\r\n" + b"".join(b"X-%d: y\r\n" % each for each in range(90)) + b"\r\nabc",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 20 + OK + b"Content-Length: 3\r\n\r\nabc",
        b"HTTP/1.0 200\r\nContent-Length: 3\r\n\r\nabc",
    ],
)
def test_whole_files_in_odd_clothes(tmp_path: Path, answer: bytes) -> None:
    with listening(answer) as raw:
        assert fetch(f"{ORIGIN}/a.jpg", tmp_path, raw.local).path.read_bytes() == b"abc"


def test_headers_that_drip_for_ever_time_out_in_total(tmp_path: Path) -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(OK)
        for number in range(600):
            connection.sendall(b"X-%d: y\r\n" % number if number < 60 else b"y")
            time.sleep(0.05)

    started = time.monotonic()
    with listening(talk) as raw:
        assert refusal(f"{ORIGIN}/a.jpg", tmp_path, raw.local).status is PhotoStatus.TIMEOUT
    assert time.monotonic() - started < 20, "and not after the 30 s that it talks"


def test_hops_share_one_time_in_total(server: Server, tmp_path: Path) -> None:
    def slow(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.4)
        handler.send_response(302)
        handler.send_header("Location", handler.path + "x")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    server.answers |= {"/" + "x" * each: slow for each in range(10)}
    limits = Limits(read_timeout=5, total_timeout=1, max_redirects=9)
    assert refusal(f"{ORIGIN}/", tmp_path, server.local, limits).status is PhotoStatus.TIMEOUT
    assert len(server.asked) <= 3


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 \xff\xfe\x1b[31m\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 503 \xff\xfe\x1b[31m\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 403 " + b"a" * 7000 + b"\r\nContent-Length: 0\r\n\r\n",
        OK + b"X-Robots-Tag: noai, \xff\xfe\x1b[31m\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_what_servers_say_is_text_and_short(tmp_path: Path, answer: bytes) -> None:
    """Reasons are written to tables and shown in terminals."""
    with listening(answer) as raw:
        reason = refusal(f"{ORIGIN}/a.jpg", tmp_path, raw.local).reason
    assert reason.isprintable()
    assert reason.encode()
    assert len(reason) <= 300


@pytest.mark.parametrize(
    "stated",
    [
        "Wed, 21 Oct 99999999999999999999 07:28:00 GMT",
        "Wed, 21 Oct 2015 07:28:00 +99999999999999999999",
        "9" * 4000,
        "-1",
        "1.5",
        "soon",
        "",
    ],
)
def test_a_retry_after_that_means_nothing_breaks_nothing(server: Server, tmp_path: Path, stated: str) -> None:
    answer = f"HTTP/1.1 503 Busy\r\nRetry-After: {stated}\r\nContent-Length: 0\r\n\r\n"
    with listening(answer.encode()) as raw:
        error = refusal(f"{ORIGIN}/a.jpg", tmp_path, raw.local)
    assert (error.status, error.http_status) == (PhotoStatus.SERVER_ERROR, 503)


# --- caps ---


def test_a_file_of_just_the_cap_is_had_and_one_more_byte_is_not(server: Server, tmp_path: Path) -> None:
    limits = Limits(max_bytes=1000)
    for folder, answer in (("stated", OK + b"Content-Length: %d\r\n\r\n"), ("not", OK + b"X-Length: %d\r\n\r\n")):
        with listening(answer % 1000 + bytes(1000)) as raw:
            assert fetch(f"{ORIGIN}/a.jpg", tmp_path / folder, raw.local, limits).size == 1000
        with listening(answer % 1001 + bytes(1001)) as raw:
            error = refusal(f"{ORIGIN}/a.jpg", tmp_path / f"{folder}-more", raw.local, limits)
        assert error.status is PhotoStatus.TOO_LARGE


@pytest.mark.parametrize("packed", ["gzip", "deflate"])
@pytest.mark.parametrize("stated", [True, False])
def test_the_cap_holds_for_every_way_of_packing(tmp_path: Path, packed: str, stated: bool) -> None:
    bomb = gzip.compress(bytes(30_000_000)) if packed == "gzip" else zlib.compress(bytes(30_000_000))
    length = b"Content-Length: %d\r\n" % len(bomb) if stated else b""
    with listening(OK + length + f"Content-Encoding: {packed}\r\n\r\n".encode() + bomb) as raw:
        assert refusal(f"{ORIGIN}/a.jpg", tmp_path, raw.local).status is PhotoStatus.TOO_LARGE


@pytest.mark.parametrize("packed", ["gzip, gzip", "br, gzip", "gzip,deflate"])
def test_what_is_packed_twice_is_never_unpacked_beyond_the_cap(tmp_path: Path, packed: str) -> None:
    bomb = gzip.compress(gzip.compress(bytes(50_000_000)))
    answer = OK + f"Content-Encoding: {packed}\r\nContent-Length: {len(bomb)}\r\n\r\n".encode() + bomb
    with listening(answer) as raw, suppress(FetchError):
        assert fetch(f"{ORIGIN}/a.jpg", tmp_path, raw.local).size <= QUICK.max_bytes
    assert sum(each.stat().st_size for each in tmp_path.rglob("*") if each.is_file()) <= QUICK.max_bytes


def test_packed_bytes_are_unpacked_and_what_is_not_packed_as_stated_is_told(tmp_path: Path) -> None:
    with listening(OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"abc" * 99)) as raw:
        assert fetch(f"{ORIGIN}/a.jpg", tmp_path / "a", raw.local).size == 297
    with listening(OK + b"Content-Encoding: gzip\r\n\r\n" + picture()) as raw:
        assert "packed" in refusal(f"{ORIGIN}/a.jpg", tmp_path / "b", raw.local).reason


def test_no_packing_is_asked_for(tmp_path: Path) -> None:
    with listening(OK + b"\r\nabc") as raw:
        fetch(f"{ORIGIN}/a.jpg", tmp_path, raw.local)
    assert b"\r\naccept-encoding: identity\r\n" in raw.heard[0].lower()


def test_an_endless_body_in_chunks_is_cut_at_the_cap(tmp_path: Path) -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"1000\r\n" + bytes(0x1000) + b"\r\n")

    with listening(talk) as raw:
        assert refusal(f"{ORIGIN}/a.jpg", tmp_path, raw.local).status is PhotoStatus.TOO_LARGE


@pytest.mark.parametrize("status", [302, 404, 403])
def test_the_endless_body_of_another_answer_is_not_read(server: Server, tmp_path: Path, status: int) -> None:
    sent = []

    def talk(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 %d x\r\nLocation: http://10.0.0.1/\r\n\r\n" % status)
        while len(sent) < 10_000:
            connection.sendall(bytes(10_000))
            sent.append(1)

    with listening(talk) as raw:
        refusal(f"{ORIGIN}/a.jpg", tmp_path, raw.local)
    assert len(sent) < 10_000


# --- redirects ---


def test_a_chain_of_just_the_limit_is_followed_and_none_longer(server: Server, tmp_path: Path) -> None:
    for number in range(6):
        server.serve(f"/{number}", b"", status=307, Location=f"/{number + 1}")
    server.serve("/6", b"abc")
    assert fetch(f"{ORIGIN}/1", tmp_path / "a", server.local).final_url == f"{ORIGIN}/6"
    server.asked.clear()
    error = refusal(f"{ORIGIN}/0", tmp_path / "b", server.local)
    assert (error.status, server.asked) == (PhotoStatus.REFUSED, [f"/{number}" for number in range(6)])


@pytest.mark.parametrize(
    ("location", "asked"),
    [
        (b"b", "/x/b"),
        (b"/b c.jpg", "/b%20c.jpg"),
        ("/bü☃.jpg".encode(), "/b%C3%BC%E2%98%83.jpg"),
        (b"/b\xfc", "/b%FC"),
        (b"/b%20c", "/b%20c"),
        (b"?b", "/x/a?b"),
        (b"../../../b", "/b"),
        (b"//server.invalid/b", "/b"),
        (b"http:b", "/x/b"),
        (b"HTTP://server.invalid/b", "/b"),
        (b"/b#c", "/b"),
        (b"  /b  ", "/b"),
    ],
)
def test_wherever_a_redirect_leads_it_is_followed_as_browsers_do(tmp_path: Path, location: bytes, asked: str) -> None:
    def talk(connection: socket.socket) -> None:
        answer = OK if len(raw.heard) > 1 else b"HTTP/1.1 302 x\r\nLocation: " + location + b"\r\n"
        connection.sendall(answer + b"Connection: close\r\nContent-Length: 0\r\n\r\n")

    with listening(talk) as raw:
        fetch(f"{ORIGIN}/x/a", tmp_path, raw.local)
    assert raw.heard[1].split()[1].decode() == asked


@pytest.mark.parametrize(
    ("location", "status"),
    [
        (b"", PhotoStatus.REFUSED),
        (b"//[b", PhotoStatus.BAD_ADDRESS),
        (b"http://server.invalid:x/b", PhotoStatus.BAD_ADDRESS),
        (b"javascript:alert(1)", PhotoStatus.BAD_ADDRESS),
        (b"FILE:///etc/passwd", PhotoStatus.BAD_ADDRESS),
        (b"gopher://server.invalid/", PhotoStatus.BAD_ADDRESS),
        (b"http://user:secret@server.invalid/b", PhotoStatus.BLOCKED),
        (b"http://@server.invalid/b", PhotoStatus.BLOCKED),
        (b"//user@server.invalid/b", PhotoStatus.BLOCKED),
        (b"http://server.invalid:8080/b", PhotoStatus.BLOCKED),
        (b"http://server.invalid:22/b", PhotoStatus.BLOCKED),
        (b"http://2130706433/b", PhotoStatus.BAD_ADDRESS),
        (b"http://0x7f.1/b", PhotoStatus.BLOCKED),
        (b"http://[::ffff:127.0.0.1]/b", PhotoStatus.BLOCKED),
        (b"http://[64:ff9b::7f00:1]/b", PhotoStatus.BLOCKED),
        (b"http://[fd00:ec2::254]/latest", PhotoStatus.BLOCKED),
        (b"http://100.100.100.200/latest", PhotoStatus.BLOCKED),
        (b"http://localhost/b", PhotoStatus.BLOCKED),
    ],
)
def test_redirects_that_are_not_followed(tmp_path: Path, location: bytes, status: PhotoStatus) -> None:
    with listening(b"HTTP/1.1 302 x\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n") as raw:
        assert refusal(f"{ORIGIN}/a", tmp_path, raw.local).status is status
    assert len(raw.heard) == 1


# --- addresses ---


def _spellings(v4: ipaddress.IPv4Address) -> tuple[str, ...]:
    number, (a, b, c, d) = int(v4), v4.packed
    return (
        str(v4),
        f"{number:#x}",
        f"{a:#x}.{b:#x}.{c:#x}.{d:#x}",
        f"{a:#o}.{b:#o}.{c:#o}.{d:#o}".replace("0o", "0"),
        f"{a}.{number & 0xFFFFFF}",
        f"{a}.{b}.{number & 0xFFFF}",
        f"{number}",
        f"{number:#o}".replace("0o", "0"),
        f"{a}\u3002{b}\uff0e{c}.{d}",
        str(v4).translate({48 + digit: 0xFF10 + digit for digit in range(10)}),
        f"[::ffff:{v4}]",
        f"[::ffff:{number >> 16:x}:{number & 0xFFFF:x}]",
        f"[::{v4}]",
        f"[64:ff9b::{v4}]",
        f"[64:ff9b:1::{v4}]",
        f"[2002:{number >> 16:x}:{number & 0xFFFF:x}::1]",
        f"[fe80::5efe:{v4}]",
    )


def test_no_spelling_of_an_inner_address_is_connected_to() -> None:
    """A server that listens everywhere on this machine hears of no request, and none is answered by anybody."""
    networks = [ipaddress.ip_network(block) for block in ("127.0.0.0/8", "0.0.0.0/32", *map(str, PRIVATE))]
    numbers = st.sampled_from(networks).flatmap(lambda net: st.integers(int(net[0]), int(net[-1])))

    with listening(OK + b"\r\nsecret", "0.0.0.0") as raw, tempfile.TemporaryDirectory() as folder:
        limits = Limits(ports=(raw.port,), connect_timeout=1, total_timeout=1)

        @settings(max_examples=40)
        @given(numbers)
        def no_way_in(number: int) -> None:
            async def ask() -> None:
                async with fetcher(Path(folder), Local(), limits, ONCE) as fetching:
                    for host in _spellings(ipaddress.IPv4Address(number)):
                        with pytest.raises(FetchError) as error:
                            await fetching.fetch(f"http://{host}:{raw.port}/")
                        assert error.value.status in (PhotoStatus.BLOCKED, PhotoStatus.BAD_ADDRESS), host

            asyncio.run(ask())

        no_way_in()
        assert raw.connections == 0


@pytest.mark.parametrize(
    "address",
    [
        "http://{}@127.0.0.1:{port}/",
        "http://public.example@127.0.0.1:{port}/",
        "http://127.0.0.1:{port}\\@public.example/",
        "http://public.example\\@127.0.0.1:{port}/",
        "http://public.example#@127.0.0.1:{port}/",
        "http://public.example?@127.0.0.1:{port}/",
        "http://127.0.0.1:{port}#@public.example/",
        "http://127.0.0.1:{port}?@public.example/",
        "http://127.0.0.1\t:{port}/",
        "http://\n127.0.0.1:{port}/",
        "ht\ntp://127.0.0.1:{port}/",
        "  http://127.0.0.1:{port}/",
        "http://127.0.0.1.:{port}/",
        "http://LocalHost:{port}/",
        "http://localhost.:{port}/",
        "http://\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3:{port}/",
        "http://\u2460\u2461\u2466.0.0.1:{port}/",
        "http://127%2e0.0.1:{port}/",
        "http://127.0.0.1%00.public.example:{port}/",
        "http://127.0.0.1\x00.public.example:{port}/",
        "http://[::1%25lo]:{port}/",
        "http://[::ffff:127.0.0.1%25lo]:{port}/",
        "http://[127.0.0.1]:{port}/",
        "http://[::]:{port}/",
        "http://0:{port}/",
        "http:127.0.0.1:{port}/",
        "http:/127.0.0.1:{port}/",
        "http:///127.0.0.1:{port}/",
        "http:\\\\127.0.0.1:{port}/",
        "http://127.0.0.1: {port}/",
        "http://127.0.0.1:+{port}/",
        "http://127.0.0.1:80:{port}/",
        "//127.0.0.1:{port}/",
        "127.0.0.1:{port}",
    ],
)
def test_no_odd_address_leads_inside(tmp_path: Path, address: str) -> None:
    with listening(OK + b"\r\nsecret") as raw:
        limits = Limits(ports=(80, raw.port), connect_timeout=1, total_timeout=2)
        error = refusal(address.replace("{port}", str(raw.port)), tmp_path, limits=limits)
        assert raw.connections == 0
    assert error.status in (PhotoStatus.BLOCKED, PhotoStatus.BAD_ADDRESS, PhotoStatus.UNREACHABLE)


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> str:
    """An address of this machine that stands for a public one."""
    try:
        socket.create_server(("127.0.0.2", 0)).close()
    except OSError:
        pytest.skip("only 127.0.0.1 is of this machine")
    monkeypatch.setattr("hashtag_photos.http.is_public", lambda address: address.startswith("127.0.0.2"))
    return "127.0.0.2"


def _resolve_to(monkeypatch: pytest.MonkeyPatch, port: int, *answers: list[str]) -> list[str]:
    """Names resolve to one list of addresses after the other, the last for ever; who was asked for."""
    asked: list[str] = []

    def resolve(host: str, *_: object, **__: object) -> list[tuple[Any, ...]]:
        asked.append(host)
        addresses = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


def test_a_name_that_moves_inside_is_not_followed_there(
    outside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked up once, connected to what was checked; the next time it leads inside, and is refused."""
    with listening(OK + b"\r\nabc", outside) as good, listening(OK + b"\r\nsecret", port=good.port) as inner:
        asked = _resolve_to(monkeypatch, good.port, [outside], ["127.0.0.1"])
        limits = Limits(ports=(good.port,))
        url = f"http://moving.example:{good.port}/a.jpg"
        assert fetch(url, tmp_path / "a", limits=limits).path.read_bytes() == b"abc"
        assert len(asked) == 1
        assert refusal(url, tmp_path / "b", limits=limits).status is PhotoStatus.BLOCKED
    assert (good.connections, inner.connections) == (1, 0)


@pytest.mark.parametrize("order", [("127.0.0.2", "127.0.0.1"), ("127.0.0.1", "127.0.0.2")])
def test_of_a_name_with_two_addresses_the_inner_one_is_never_taken(
    outside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: tuple[str, str]
) -> None:
    with listening(OK + b"\r\nsecret") as inner:
        _resolve_to(monkeypatch, inner.port, list(order))
        limits, url = Limits(ports=(inner.port,)), f"http://both.example:{inner.port}/a.jpg"
        error = refusal(url, tmp_path / "a", limits=limits)  # nobody listens outside
        assert error.status in (PhotoStatus.BLOCKED, PhotoStatus.UNREACHABLE)
        with listening(OK + b"\r\nabc", outside, inner.port):
            assert fetch(url, tmp_path / "b", limits=limits).path.read_bytes() == b"abc"
        assert inner.connections == 0


def test_ports_are_those_allowed(outside: str, tmp_path: Path) -> None:
    with listening(OK + b"\r\nabc", outside) as raw:
        url = f"http://{outside}:{raw.port}/a.jpg"
        error = refusal(url, tmp_path)
        assert (error.status, raw.connections) == (PhotoStatus.BLOCKED, 0)
        assert str(raw.port) in error.reason
        assert fetch(url, tmp_path, limits=Limits(ports=(raw.port,))).size == 3


def test_a_route_is_for_its_origin_alone(tmp_path: Path) -> None:
    with listening(OK + b"\r\nabc") as raw:
        for url in (f"{ORIGIN}:80/a", f"{ORIGIN}.example/a", f"https{ORIGIN[4:]}/a", f"http://127.0.0.1:{raw.port}/a"):
            assert refusal(url, tmp_path, raw.local).status in (PhotoStatus.UNREACHABLE, PhotoStatus.BLOCKED)
        assert raw.connections == 0


def test_a_proxy_of_the_environment_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would connect to what is not to be connected to."""
    with listening(OK + b"\r\nsecret") as proxy:
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert refusal("http://10.0.0.1/a.jpg", tmp_path).status is PhotoStatus.BLOCKED
        assert refusal("http://nowhere.invalid/a.jpg", tmp_path).status is PhotoStatus.UNREACHABLE
        assert proxy.connections == 0


def test_nothing_is_sent_that_a_server_could_know_somebody_by(
    outside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither cookies of an earlier answer, nor where one came from, nor passwords of this machine."""
    answer = OK + b"Set-Cookie: who=you; Path=/\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc"
    (tmp_path / "netrc").write_text("machine shop.example login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with listening(answer, outside) as raw:
        _resolve_to(monkeypatch, raw.port, [outside])

        async def twice() -> None:
            async with fetcher(tmp_path, Local(), Limits(ports=(raw.port,)), ONCE) as fetching:
                for _ in range(2):
                    await fetching.fetch(f"http://shop.example:{raw.port}/a.jpg")

        asyncio.run(twice())
    assert len(raw.heard) == 2
    for heard in raw.heard:
        headers = {line.partition(b":")[0].lower() for line in heard.split(b"\r\n")[1:-2]}
        assert headers == {b"host", b"user-agent", b"accept", b"accept-encoding"}


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://Example.ORG:8080/A", "example.org"),
        ("http://example.org./", "example.org"),
        ("http://user@example.org/", "example.org"),
        ("http://exa\tmple.org/", "example.org"),
        ("http://b\xfccher.example/", "xn--bcher-kva.example"),
        ("http://B\xdcCHER\u3002example/", "xn--bcher-kva.example"),
        ("http://\uff45xample.org\uff0e/", "example.org"),
        ("http://[2606:4700::1111]:80/", "2606:4700::1111"),
        ("http://", ""),
        ("http://[::1", ""),
        ("", ""),
        ("no address", ""),
        ("http://ex\u2100mple.org/", ""),
    ],
)
def test_a_host_has_one_name_however_it_is_spelt(url: str, host: str) -> None:
    assert host_of(url) == host


@given(st.text(max_size=40).map("http://".__add__) | st.text(max_size=40))
def test_any_text_has_a_host_or_none(text: str) -> None:
    assert not host_of(text).endswith(".")


METADATA = ["169.254.169.254", "fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd20:ce::254"]


@pytest.mark.parametrize("address", METADATA)
def test_what_clouds_tell_their_machines_secrets_by_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "::ffff:10.0.0.1%eth0",
        "2001::1",  # Teredo
        "2001:0:4136:e378:8000:63bf:f5ff:fffe",  # Teredo, of 10.0.0.1
        "fe80::5efe:101:101",  # ISATAP
        "2001:db8::1",
        "2001:10::1",
        "100::1",
        "ff0e::1",
        "64:ff9b:1:a00:0:100:101:101",  # 10.0.0.1 where the prefix is 48 bits long, whatever stands behind it
        "64:ff9b:1::101:101",
        "::1.1.1.1",
        "1.1.1",
        "0x1.1.1.1",
        "",
        "localhost",
    ],
)
def test_what_is_not_clearly_public_is_not(address: str) -> None:
    assert not is_public(address)


@given(st.integers(0, 2**32 - 1))
def test_what_embeds_an_address_is_as_public_as_that(number: int) -> None:
    """Only what is public by itself, and so are its IPv4-mapped, NAT64 and 6to4 forms; the last have no other part."""
    v4 = ipaddress.IPv4Address(number)
    public = is_public(str(v4))
    assert public <= v4.is_global
    assert not (public and (v4.is_multicast or v4.is_reserved or v4.is_loopback or v4.is_link_local or v4.is_private))
    for base in ((0xFFFF << 32) + number, (0x64FF9B << 96) + number, (0x2002 << 112) + (number << 80)):
        assert is_public(str(ipaddress.IPv6Address(base))) == public


@given(st.integers(0, 2**128 - 1) | st.integers(0, 2**125 - 1).map(lambda low: low + (1 << 125)))
def test_public_addresses_of_ipv6_are_all_handed_out_ones(number: int) -> None:
    v6 = ipaddress.IPv6Address(number)
    if is_public(str(v6)):
        assert number >> 125 == 1 or number >> 32 in (0xFFFF, 0x64FF9B << 64)
        assert not (v6.is_private or v6.is_multicast or v6.is_link_local or v6.is_reserved) or v6.ipv4_mapped


# --- TLS ---


@dataclass
class Certificate:
    pem: Path

    @contextmanager
    def serving(self) -> Iterator[str]:
        """A server that has it; where."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.pem)

        def talk(connection: socket.socket) -> None:
            connection.sendall(OK + b"\r\nsecret")

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with suppress(OSError), context.wrap_socket(connection, server_side=True) as safe:
                    if safe.recv(1 << 16):
                        talk(safe)

        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=accept, daemon=True)
            thread.start()
            yield f"https://127.0.0.1:{listener.getsockname()[1]}"
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def certificate(folder: Path, *, name: str = "127.0.0.1", days: int = 1) -> Certificate:
    """A certificate signed by itself."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"{name} {days}")])
    names = x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(who, who, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([names]), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / f"{name}{days}.pem"
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return Certificate(path)


SAFE = "https://safe.invalid"


def test_a_server_that_vouches_for_itself_is_not_believed(tmp_path: Path) -> None:
    with certificate(tmp_path).serving() as base:
        error = refusal(f"{SAFE}/a.jpg", tmp_path / "incoming", Local(routes={SAFE: base}))
    assert error.status is PhotoStatus.UNREACHABLE
    assert "certificate" in error.reason
    assert "self" in error.reason


def test_nor_one_that_is_vouched_for_under_another_name_or_in_another_time(tmp_path: Path) -> None:
    """In a process of its own, which trusts these certificates; the right one is had, so that the others could be."""
    good = certificate(tmp_path)
    other, old = certificate(tmp_path, name="other.example"), certificate(tmp_path, days=-1)
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(b"".join(each.pem.read_bytes() for each in (good, other, old)))
    ask = f"""
import asyncio, sys
from pathlib import Path
from hashtag_photos.http import FetchError, Limits, Local, fetcher
from hashtag_photos.manners import Manners
async def main():
    for base in sys.argv[2:]:
        local = Local(routes={{"{SAFE}": base}})
        async with fetcher(Path(sys.argv[1]), local, Limits(), Manners(attempts=1)) as fetching:
            try:
                print("had", (await fetching.fetch("{SAFE}/a.jpg")).size)
            except FetchError as error:
                print(error.status.value, error.reason)
asyncio.run(main())
"""
    with good.serving() as first, other.serving() as second, old.serving() as third:
        told = subprocess.run(
            [sys.executable, "-c", ask, tmp_path, first, second, third],
            env={**os.environ, "SSL_CERT_FILE": str(trusted)}, capture_output=True, text=True, timeout=60, check=True,
        ).stdout.splitlines()  # fmt: skip
    assert told[0] == "had 6"
    assert told[1].startswith("unreachable")
    assert "certificate is not valid for" in told[1]
    assert told[2].startswith("unreachable")
    assert "certificate has expired" in told[2]


def test_a_safe_address_whose_server_speaks_plainly_is_unreachable(server: Server, tmp_path: Path) -> None:
    local = Local(routes={SAFE: server.base.replace("http:", "https:")})
    assert refusal(f"{SAFE}/a.jpg", tmp_path, local).status is PhotoStatus.UNREACHABLE


# --- the log ---


def test_the_log_tells_of_each_request(server: Server, tmp_path: Path) -> None:
    server.serve("/b.jpg", bytes(1234))
    server.serve("/a.jpg", b"moved", status=301, Location="/b.jpg")
    server.serve("/busy.jpg", b"busy", status=503)
    server.serve("/out.jpg", b"", status=302, Location="http://10.0.0.1/")
    server.serve("/large.jpg", bytes(QUICK.max_bytes + 1))
    requests: list[Request] = []

    async def all_of_them() -> None:
        async with fetcher(tmp_path, server.local, QUICK, ONCE, log=requests.append) as fetching:
            for path in ("/a.jpg", "/none.jpg", "/out.jpg", "/large.jpg", "/busy.jpg"):
                with suppress(FetchError):
                    await fetching.fetch(ORIGIN + path)

    asyncio.run(all_of_them())
    assert [
        (each.url.removeprefix(ORIGIN), each.hop, each.http_status, each.size, each.status) for each in requests
    ] == [
        ("/a.jpg", 0, 301, 0, "redirect"),
        ("/b.jpg", 1, 200, 1234, "ok"),
        ("/none.jpg", 0, 404, 0, "gone"),
        ("/out.jpg", 0, 302, 0, "redirect"),
        ("http://10.0.0.1/", 1, None, 0, "blocked"),
        ("/large.jpg", 0, 200, 0, "too_large"),
        ("/busy.jpg", 0, 503, 0, "server_error"),
    ]
    assert all(0 <= each.seconds < 30 and each.time.tzinfo for each in requests)


def test_the_log_tells_the_bytes_of_each_request_and_not_of_those_beside_it(server: Server, tmp_path: Path) -> None:
    def slow(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(2):
            handler.wfile.write(bytes(500))
            time.sleep(0.2)

    server.answers |= {f"/{number}": slow for number in range(4)}
    requests: list[Request] = []

    async def side_by_side() -> int:
        async with fetcher(tmp_path, server.local, QUICK, ONCE, log=requests.append) as fetching:
            await asyncio.gather(*(fetching.fetch(f"{ORIGIN}/{number}") for number in range(4)))
            return fetching.received

    assert asyncio.run(side_by_side()) == 4000
    assert [each.size for each in requests] == [1000] * 4
