"""The bundled sample: #myHarborPD, a made-up hashtag whose posts and pictures scripts/draw_scenes.py drew.

Its pictures are served by a real HTTP server on 127.0.0.1 while the run downloads, so that the whole downloader works
on them: dead links, a page that says it is a picture, one cut short, one far too large. truth.csv says what each
picture was drawn to show.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from hashtag_photos.http import Local
from hashtag_photos.records import Post, Rejected
from hashtag_photos.sources.exports import Exported
from hashtag_photos.sources.visit import Visit

HERE = Path(__file__).parent
HASHTAG = "myHarborPD"
ORIGIN = "http://sample.invalid"  # what the posts link to; .invalid never resolves (RFC 2606)


@dataclass(frozen=True)
class Sample:
    """The bundled sample."""

    @property
    def title(self) -> str:
        return f"the bundled sample #{HASHTAG}"

    @property
    def recognised(self) -> None:
        return None

    def asked(self) -> dict[str, Any]:
        return {"kind": "sample"}

    def check(self) -> None:
        self._export().check()

    def state(self) -> str:
        return self._export().state()

    def size(self) -> int | None:
        return self._export().size()

    def posts(self, visit: Visit = Visit()) -> Iterator[Post | Rejected]:  # noqa: B008  it is frozen
        return self._export().posts()

    @contextmanager
    def local(self) -> Iterator[Local]:
        server = _Server(("127.0.0.1", 0), partial(_Handler, directory=str(HERE / "www")))
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield Local(routes={ORIGIN: f"http://127.0.0.1:{server.server_address[1]}"})
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    @staticmethod
    def _export() -> Exported:
        return Exported(path=str(HERE / "posts.jsonl"))


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Quiet: a downloader that was interrupted, or that had enough, hangs up."""


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: what was asked for stands in the photos table."""


def sample() -> Sample:
    """The bundled sample: about 100 posts of #myHarborPD."""
    return Sample()
