"""What several tests share: real servers on 127.0.0.1, pictures made on the spot, the command as a process."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

from hashtag_photos import sources
from hashtag_photos.http import Local
from hashtag_photos.records import Attachment, Post

if TYPE_CHECKING:
    from object_store import Store

# a shell that starts a job in the background has it ignore Ctrl-C, which some tests press
signal.signal(signal.SIGINT, signal.default_int_handler)

# on a busy machine anything takes long once
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

REPOSITORY = Path(__file__).parent.parent
SAMPLE = REPOSITORY / "pipeline/hashtag_photos/sources/sample"
#: what the tests' posts link to; a route leads from it to the test's own server
ORIGIN = "http://server.invalid"

Answer = Callable[[BaseHTTPRequestHandler], None]


def picture(color: str | tuple[int, int, int] = "teal", size: tuple[int, int] = (48, 32), **options: Any) -> bytes:
    """An encoded picture, JPEG unless `format` says otherwise."""
    out = io.BytesIO()
    Image.new(options.pop("mode", "RGB"), size, color).save(out, options.pop("format", "JPEG"), **options)
    return out.getvalue()


def until(what: Callable[[], object], seconds: float = 60) -> None:
    """Wait for something to become true."""
    last = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < last, "it never came to be"
        time.sleep(0.01)


@dataclass
class Server:
    """A web server on 127.0.0.1 that answers by path, and counts what it was asked."""

    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    base: str = ""

    @property
    def local(self) -> Local:
        return Local(routes={ORIGIN: self.base})

    def serve(self, path: str, body: bytes, *, status: int = 200, **headers: str) -> str:
        """Answer a path with these bytes; its address."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            for name, value in {"Content_Type": "image/jpeg", "Content_Length": str(len(body)), **headers}.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.end_headers()
            handler.wfile.write(body)

        self.answers[path] = answer
        return ORIGIN + path


@contextmanager
def web_server(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """A web server on 127.0.0.1 while this is open; its address."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_address[1]}"
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


@contextmanager
def picture_server() -> Iterator[Server]:
    """A server while this is open."""
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            server.asked.append(self.path)
            try:
                answer = server.answers.get(self.path)
                if answer is None:
                    self.send_error(404)
                else:
                    answer(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    with web_server(Handler) as server.base:
        yield server


@pytest.fixture
def server() -> Iterator[Server]:
    with picture_server() as server:
        yield server


@dataclass(frozen=True)
class Listed:
    """A source for tests: posts from a list, whose pictures a test's server has."""

    urls: tuple[tuple[str, ...], ...]
    base: str

    @property
    def title(self) -> str:
        return "a test's posts"

    @property
    def recognised(self) -> None:
        return None

    def asked(self) -> dict[str, Any]:
        return {"kind": "listed", "urls": self.urls, "base": self.base}

    def check(self) -> None:
        pass

    def state(self) -> str:
        return str(hash(self))

    def size(self) -> int:
        return len(self.urls)

    def posts(self, visit: object = None) -> Iterator[Post]:
        for number, urls in enumerate(self.urls):
            yield Post(source="test", id=str(number), attachments=tuple(Attachment(url=url) for url in urls))

    @contextmanager
    def local(self) -> Iterator[Local]:
        yield Local(routes={ORIGIN: self.base})


@pytest.fixture
def listed(server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Listed]:
    """Posts with these attachments, served by the test's server: listed(["/a.jpg", "/b.jpg"], [])."""
    monkeypatch.setitem(sources._KINDS, "listed", lambda urls, base: Listed(tuple(map(tuple, urls)), base))

    def make(*posts: list[str]) -> Listed:
        addresses = tuple(tuple(ORIGIN + url if url.startswith("/") else url for url in urls) for urls in posts)
        return Listed(addresses, server.base)

    return make


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """The address of an object store on 127.0.0.1."""
    from object_store import moto_server  # which takes servers from here

    with moto_server() as address:
        yield address


@pytest.fixture
def s3(moto: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A new bucket, and an environment in which `s3://` leads there and to nobody else: s3.at("run")."""
    from object_store import new_bucket

    return new_bucket(moto, monkeypatch)


def outside_make() -> dict[str, str]:
    """The environment as it is in a shell, also where the tests themselves were started by make."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}


def command(*words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the installed command `hashtag-photos`."""
    program = Path(sys.executable).with_name("hashtag-photos")
    return subprocess.run([program, *words], cwd=cwd, env=outside_make(), capture_output=True, text=True, timeout=240)
