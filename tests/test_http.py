import asyncio
import gzip
import ipaddress
import shutil
import socket
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from conftest import ORIGIN, Server, picture
from hypothesis import given
from hypothesis import strategies as st

from hashtag_photos.http import Fetched, FetchError, Limits, Local, fetcher, is_public
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

    return asyncio.run(one())


def refusal(
    url: str, folder: Path, local: Local | None = None, limits: Limits = QUICK, manners: Manners = ONCE
) -> FetchError:
    with pytest.raises(FetchError) as error:
        fetch(url, folder, local, limits, manners)
    assert not any(each.is_file() for each in folder.rglob("*")), "what could not be had left something behind"
    return error.value


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
        for _ in range(40):
            handler.wfile.write(b".")
            time.sleep(0.1)

    started = time.monotonic()
    assert refusal(_raw(server, "/a.jpg", drip), tmp_path, server.local).status is PhotoStatus.TIMEOUT
    assert time.monotonic() - started < 3.5


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
