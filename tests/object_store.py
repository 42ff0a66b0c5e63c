"""Object stores on 127.0.0.1 (moto's server; an emulator of Google's storage), and a proxy in front of them that
misbehaves by a plan, and counts."""

from __future__ import annotations

import http.client
import random
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

import pytest
from conftest import web_server

_MOTO = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
_GOOGLE = """
import http.server, sys
http.server.HTTPServer = http.server.ThreadingHTTPServer  # else one connection at a time
from gcp_storage_emulator.server import create_server
server = create_server("127.0.0.1", 0, in_memory=True, default_bucket="bucket")
server.start()
print(server._api._httpd.server_port, flush=True)
sys.stdin.read()
"""
# as long as Amazon's: longer than some pieces of tables
_UNAVAILABLE = (
    b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>%s</Code><Message>by the plan</Message><RequestId>4442587FB7D0A2F9</RequestId><HostId>"""
    + b"Uuag1LuByRx9e6j5Onimru9pO4ZVKnJ2" * 6
    + b"</HostId></Error>"
)
_CODES = {
    301: b"PermanentRedirect", 400: b"ExpiredToken", 403: b"AccessDenied", 404: b"NoSuchUpload",
    409: b"OperationAborted", 500: b"InternalError", 503: b"SlowDown",
}  # fmt: skip
FAULTS = ("500", "503", "cut before", "cut after", "cut in the middle", "late")


@dataclass
class Proxy:
    """In front of an object store. Each request misbehaves or not by the seed, its own words, and how often it came,
    and so whatever the order in which requests come; `refuse` says which are refused for good, and with what."""

    base: str = ""
    share: float = 0.0
    seed: int = 8
    refuse: Callable[[str, str], int | None] = lambda method, path: None
    asked: list[tuple[str, str]] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    came: Counter[tuple[str, str]] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fault(self, method: str, path: str) -> str:
        """What happens to a request now: one of FAULTS, a status, or nothing."""
        with self.lock:
            self.asked.append((method, path))
            refused = self.refuse(method, path)
            if refused:
                return str(refused)
            self.came[method, path] += 1
            chance = random.Random(f"{self.seed} {method} {path} {self.came[method, path]}")
            what = chance.choice(FAULTS) if chance.random() < self.share else ""
            self.done[what] += 1
            return what

    def fault_of_piece(self, method: str, path: str, piece: str) -> str:
        """The same, for who asks by what piece of an object is wanted (its header Range)."""
        return self.fault(method, path)


@dataclass
class Store:
    """A bucket of its own for a test, which the environment leads to."""

    address: str
    bucket: str
    monkeypatch: pytest.MonkeyPatch

    def at(self, folder: str) -> str:
        """The address of a folder."""
        return f"s3://{self.bucket}/{folder}"

    @contextmanager
    def behind(self, proxy: Proxy) -> Iterator[Proxy]:
        """Have everything asked by way of a proxy while this is open."""
        with web_server(_handler(proxy, self.address)) as proxy.base, self.monkeypatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", proxy.base)
            patch.setenv("STORAGE_EMULATOR_HOST", proxy.base)
            yield proxy


def _handler(proxy: Proxy, upstream: str) -> type[BaseHTTPRequestHandler]:
    address = upstream.removeprefix("http://")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        ahead: http.client.HTTPConnection | None = None

        def pass_on(self) -> None:
            body = self.body()
            what = proxy.fault_of_piece(self.command, self.path, self.headers.get("Range", ""))
            if what == "late":
                time.sleep(0.2)
            if what == "cut before":
                self.close_connection = True
                return
            if what.isdecimal():
                self.answer(int(what), {"Content-Type": "application/xml"}, _UNAVAILABLE % _CODES[int(what)])
                return
            status, headers, content = self.upstream(body)
            if what == "cut after":
                self.close_connection = True
                return
            if "Location" in headers:
                headers["Location"] = headers["Location"].replace(upstream, proxy.base)
            self.answer(status, headers, content, cut=what == "cut in the middle")

        def body(self) -> bytes:
            if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            content = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return content

        def upstream(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
            self.ahead = self.ahead or http.client.HTTPConnection(address)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _OURS}
            self.ahead.request(self.command, self.path, body, {**headers, "Content-Length": str(len(body))})
            answer = self.ahead.getresponse()
            kept = {
                name: value for name, value in answer.getheaders() if name.lower() not in _OURS - {"content-length"}
            }
            return answer.status, kept, answer.read()

        def answer(self, status: int, headers: dict[str, str], content: bytes, *, cut: bool = False) -> None:
            if self.command != "HEAD":
                headers = {name: value for name, value in headers.items() if name.lower() != "content-length"}
                headers["Content-Length"] = str(len(content))
            with suppress(BrokenPipeError, ConnectionResetError):
                self.send_response_only(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content[: len(content) // 2] if cut else content)
            if cut:
                self.close_connection = True

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = pass_on

        def finish(self) -> None:
            with suppress(OSError):
                super().finish()
            if self.ahead:
                self.ahead.close()

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


_OURS = {"host", "content-length", "transfer-encoding", "connection", "expect", "server", "date"}


@contextmanager
def server_process(code: str) -> Iterator[str]:
    """A server, which says its port, while this is open; its address."""
    words = [sys.executable, "-c", code]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def moto_server() -> AbstractContextManager[str]:
    """moto's server while this is open; its address."""
    return server_process(_MOTO)


@contextmanager
def google_emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An emulator of Google's storage, with an empty bucket `bucket`, to which `gs://` leads while this is open."""
    with server_process(_GOOGLE) as address, monkeypatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", address)
        yield address


_BUCKETS = iter(range(1_000_000))


def new_bucket(moto: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A new bucket, and an environment in which `s3://` leads there and to nobody else."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ENDPOINT_URL": moto,
        "AWS_ACCESS_KEY_ID": "tester",
        "AWS_SECRET_ACCESS_KEY": "tester's key",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = f"bucket-{next(_BUCKETS)}"
    urllib.request.urlopen(urllib.request.Request(f"{moto}/{bucket}", method="PUT"), timeout=30).close()
    return Store(moto, bucket, monkeypatch)
