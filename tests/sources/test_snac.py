"""A search of a real Mastodon API: snac2, seeded through that API, pictures and all."""

import collections
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from conftest import REPOSITORY, command, picture
from mastodon import Mastodon

import hashtag_photos as hp
from hashtag_photos.run import Run
from hashtag_photos.tables import POSTS

SNAC = shutil.which("snac") or str(REPOSITORY / "build/snac/usr/bin/snac")
pytestmark = pytest.mark.skipif(
    not os.access(SNAC, os.X_OK), reason="snac2 is not here: scripts/get_snac.sh gets it from Debian's packages"
)
POSTED = 300


@dataclass
class Snac:
    base: str
    alts: list[str]  # of the pictures, each in one post


@pytest.fixture(scope="module")
def snac(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Snac]:
    """A server with 300 posts: two pictures in every third, one in every third, none in the others."""
    data = tmp_path_factory.mktemp("snac") / "data"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run(["init", str(data)], f"127.0.0.1\n{port}\n127.0.0.1:{port}\n\n\n")
    settings = json.loads((data / "server.json").read_text())
    settings |= {"protocol": "http", "num_threads": 16, "queue_timeout": 1, "queue_timeout_2": 1}
    (data / "server.json").write_text(json.dumps(settings))
    said = run(["adduser", str(data), "alice"], "")
    password = next(line.split()[-1] for line in said.splitlines() if "password" in line.lower())
    server = subprocess.Popen([SNAC, "httpd", str(data)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        base = f"http://127.0.0.1:{port}"
        alts = seed(base, password)
        yield Snac(base, alts)
    finally:
        server.terminate()
        server.wait(10)


def run(words: list[str], said: str) -> str:
    done = subprocess.run([SNAC, *words], input=said, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout + done.stderr


def patiently(call: Any) -> Any:
    """It takes a moment until the server is there, and it resets some connections."""
    for _ in range(20):
        try:
            return call()
        except Exception:  # noqa: BLE001  whatever the client makes of a reset
            time.sleep(0.05)
    return call()


def post_once(client: Mastodon, said: str, media: list[Any]) -> None:
    """Post, unless it was posted before the connection was reset."""
    if not any(
        said.split(" at ")[0] + " " in str(each["content"]) for each in client.timeline_hashtag("dike", limit=3)
    ):
        client.status_post(said, media_ids=media or None)


def seed(base: str, password: str) -> list[str]:
    with requests.Session() as session:
        session.headers["Connection"] = "close"  # fewer resets
        app = patiently(
            lambda: Mastodon.create_app(
                "seed", redirect_uris="urn:ietf:wg:oauth:2.0:oob", api_base_url=base, session=session
            )
        )
        client = Mastodon(client_id=app[0], client_secret=app[1], api_base_url=base, session=session)
        form = {"login": "alice", "passwd": password, "redir": "urn:ietf:wg:oauth:2.0:oob", "cid": app[0], "state": ""}
        code = patiently(lambda: session.post(f"{base}/oauth/x-snac-login", data=form, timeout=10).text.strip())
        patiently(lambda: client.log_in(code=code, redirect_uri="urn:ietf:wg:oauth:2.0:oob", scopes=["read", "write"]))
        alts = []
        for number in range(POSTED):
            media = []
            for which in range({0: 2, 1: 1, 2: 0}[number % 3]):
                name = f"p{number}-{which}.jpg"
                color = (number % 256, 80 * which, number // 256)
                body = picture(color, (40 + number % 7, 30))
                upload = partial(client.media_post, body, "image/jpeg", description=f"Picture {name}", file_name=name)
                media.append(patiently(upload))
                alts.append(f"Picture {name}")
            patiently(partial(post_once, client, f"Post {number} at the #dike", media))
        return alts


def test_every_post_once_and_every_picture(snac: Snac, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    done = hp.collect(run, hp.sources.mastodon("dike", snac.base))
    assert done.incomplete == ()
    rows = run.dataset("posts", POSTS).to_table().to_pylist()
    numbers = collections.Counter(int(row["text"].split()[1]) for row in rows)
    assert set(numbers) == set(range(POSTED))
    assert max(numbers.values()) == 1
    assert sorted(each["alt"] for row in rows for each in row["attachments"]) == sorted(snac.alts)
    assert {row["hashtags"][0].lower() for row in rows} == {"dike"}
    shown = [len(row["attachments"]) for row in sorted(rows, key=lambda row: int(row["text"].split()[1]))]
    assert shown == [2, 1, 0] * (POSTED // 3)
    downloaded = hp.download(run, manners=hp.Manners(backoff=0.01, attempts=6))
    assert (downloaded.attachments, downloaded.statuses) == (len(snac.alts), {"ok": len(snac.alts)})
    assert hp.collect(run, hp.sources.mastodon("dike", snac.base)).skipped


@pytest.mark.slow
def test_by_the_command_with_a_limit_and_on(snac: Snac, tmp_path: Path) -> None:
    words = ("--hashtag", "dike", "--source", f"mastodon:{snac.base}", "--model", "tiny")
    done = command("run", *words, "--limit", "50", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "runs/dike is new: #dike on 127.0.0.1" in done.stdout
    assert "collect    50 new posts, 50 in all" in done.stdout
    assert "INCOMPLETE #dike on 127.0.0.1" in done.stdout
    assert "it was asked for 50 posts, and there are more" in done.stdout
    tally = json.loads((tmp_path / "runs/dike/report/tally.json").read_text())
    assert tally["coverage"]["collected_completely"] is False
    assert "The posts are not all there" in (tmp_path / "runs/dike/report/report.html").read_text()
    done = command("run", *words, "--limit", "5000", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"collect    250 new posts, {POSTED} in all" in done.stdout
    assert "INCOMPLETE" not in done.stdout
