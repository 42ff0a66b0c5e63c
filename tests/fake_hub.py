"""A model hub on 127.0.0.1 that answers as the real one does: HEAD with commit, ETag and size, then GET.

It serves repositories at a commit, counts what it is asked, and can send other bytes than it states.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from conftest import outside_make, web_server

COMMIT = "1234567890abcdef1234567890abcdef12345678"


@dataclass
class Hub:
    """What the hub has, by `org/name` and file; `sent` are bytes that it sends in place of those that it states."""

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    sent: dict[str, bytes] = field(default_factory=dict)
    commit: str = COMMIT
    base: str = ""
    asked: list[str] = field(default_factory=list)


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub, while this is open; afterwards its port refuses."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            repository, _, rest = self.path.strip("/").partition("/resolve/")
            name = rest.partition("/")[2]
            content = hub.repositories.get(repository, {}).get(name)
            if content is None:
                code = "EntryNotFound" if repository in hub.repositories else "RepoNotFound"
                self.send_response(404 if repository in hub.repositories else 401)
                for header in (("X-Error-Code", code), ("X-Repo-Commit", hub.commit), ("Content-Length", "0")):
                    self.send_header(*header)
                self.end_headers()
                return
            sent = hub.sent.get(name, content)
            self.send_response(200)
            lfs = name.endswith((".safetensors", ".bin"))
            etag = hashlib.sha256(content).hexdigest() if lfs else hashlib.sha1(content).hexdigest()
            for key, value in {
                "X-Repo-Commit": hub.commit,
                "X-Linked-Etag" if lfs else "ETag": f'"{etag}"',
                "X-Linked-Size": len(content),
                "Content-Length": len(sent),
            }.items():
                self.send_header(key, str(value))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(sent)

        do_GET = do_HEAD

        def log_message(self, format: str, *args: object) -> None:
            pass

    with web_server(Handler) as hub.base:
        yield hub


def with_hub(hub: Hub, home: Path, *words: str | Path, code: str = "") -> subprocess.CompletedProcess[str]:
    """The command `hashtag-photos`, or some Python, on a machine whose hub this is, and whose cache is below `home`."""
    environment = {name: value for name, value in outside_make().items() if not name.startswith(("HF_", "HUGGING"))}
    environment |= {"HF_HOME": str(home), "HF_ENDPOINT": hub.base, "COLUMNS": "200"}
    program = [Path(sys.executable).with_name("hashtag-photos"), *words] if words else [sys.executable, "-c", code]
    return subprocess.run(program, cwd=home.parent, env=environment, capture_output=True, text=True, timeout=240)
