"""A run with pictures, scores and a sample, made without a model; servers of its page, in processes of their own."""

from __future__ import annotations

import csv
import hashlib
import hmac
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from conftest import outside_make, picture

from hashtag_photos.imagestore import Layout
from hashtag_photos.labels import LabelClass, LabelSet
from hashtag_photos.records import Attachment, Photo, PhotoStatus, Post
from hashtag_photos.run import Run
from hashtag_photos.stages.classify import scores_path
from hashtag_photos.stages.group import groups_path
from hashtag_photos.stages.sample import draw_sample
from hashtag_photos.tables import GROUPS, photos_table, posts_table, scores_schema

MODEL_KEY = "made-00000000"
PICTURES = 90
SECRET = "a text that nobody may see"
HOSTILE = "<script>window.hacked=1</script><img src=x onerror=window.hacked=2>\"'&amp;"
LABELS = LabelSet(
    name="friendly-or-force",
    title="Friendly, or conflict and force",
    question="What is happening in this picture?",
    margin=0.1,
    templates=("{}.",),
    classes=(
        LabelClass(name="friendly", title="Friendly", prompts=("a",)),
        LabelClass(name="conflict_and_force", title="Conflict and force", prompts=("b",)),
        LabelClass(name="neither", title="Neither", prompts=("c",)),
    ),
)
#: the same question, asked by whoever means harm
HOSTILE_LABELS = replace(
    LABELS, classes=tuple(replace(each, title=f"{HOSTILE} {each.name}") for each in LABELS.classes)
)
NAMES = LABELS.class_names


def color(number: int) -> tuple[int, int, int]:
    return (number * 53 % 256, number * 97 % 256, number * 151 % 256)


def make_run(folder: Path, drawn: int, text: Callable[[int], str] = lambda number: f"{SECRET} {number}") -> Run:
    """A run of PICTURES pictures of one color each, a post each, of which some are drawn."""
    run = Run(folder)
    run.ask(model="tiny")
    posts, photos, shas = [], [], []
    for number in range(PICTURES):
        content = picture(color(number), (64, 48))
        sha256 = hashlib.sha256(content).hexdigest()
        path = folder / Layout().path(sha256, "JPEG")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        shas.append(sha256)
        key: dict[str, Any] = {"source": "test", "url": f"https://secret.example/file-{number}.jpg"}
        posts.append(Post(source="test", id=str(number), text=text(number), attachments=(Attachment(url=key["url"]),)))
        photos.append(
            Photo(
                **key,
                post_id=str(number),
                position=0,
                status=PhotoStatus.OK,
                attempt=1,
                fetched_at=datetime(2026, 1, 1, tzinfo=UTC),
                sha256=sha256,
                size=len(content),
                format="JPEG",
                width=64,
                height=48,
                phash=f"{number:016x}",
            )
        )
    run.append("posts", posts_table(posts))
    run.append("photos", photos_table(photos))
    order = np.argsort(shas)
    random = np.random.default_rng(1)
    probabilities = random.dirichlet([1, 1, 1], len(shas))
    best = np.sort(probabilities, axis=1)
    columns = [
        pa.array([shas[at] for at in order]),
        pa.array([NAMES[at] for at in probabilities.argmax(axis=1)]),
        pa.array((best[:, -1] - best[:, -2]).astype(np.float32)),
        *(pa.array(probabilities[:, at].astype(np.float32)) for at in range(3)),
    ]
    for labels in (LABELS, HOSTILE_LABELS):
        run.write_table(scores_path(MODEL_KEY, labels.key), pa.table(columns, schema=scores_schema(NAMES)))
    run.write_table(groups_path(MODEL_KEY), pa.table([columns[0], columns[0]], schema=GROUPS))
    draw_sample(run, MODEL_KEY, LABELS, drawn)
    return Run(folder)


def stored(run: Run) -> list[dict[str, str]]:
    """The rows of labels.csv, as they stand there."""
    path = Path(run.location) / "labels.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def order(run: Run) -> list[str]:
    """The pictures that are asked, in their order, read from the table by other means."""
    path = f"sample/{LABELS.question_key}.parquet"
    table = run.read_table(path)
    assert table is not None
    drawn = [row for row in table.to_pylist() if row["drawn"]]
    return [row["sha256"] for row in sorted(drawn, key=lambda row: row["position"])]


_PROGRAM = """
import json
import sys
from hashtag_photos.errors import HashtagPhotosError
from hashtag_photos.review.server import serve
from hashtag_photos.review.session import Session
from hashtag_photos.run import Run
from hashtag_photos.labels import label_set_from_facts
folder, coder, settle, port, facts = sys.argv[1:]
labels = label_set_from_facts(json.loads(facts))
session = Session(Run(folder), "made-00000000", labels)
def ready(url):
    print(url, flush=True)
try:
    serve(session, coder=coder or None, settle=settle == "1", port=int(port), ready=ready)
except HashtagPhotosError as error:
    sys.exit(f"{type(error).__name__}: {error}")
print("ended", flush=True)
"""


@dataclass
class Page:
    """A server of the page, in a process of its own."""

    process: subprocess.Popen[str]
    url: str

    @property
    def base(self) -> str:
        return self.url.partition("/#")[0]

    @property
    def token(self) -> str:
        return self.url.partition("/#")[2]

    @property
    def port(self) -> int:
        return int(self.base.rpartition(":")[2])

    @cached_property
    def key(self) -> str:
        """What opens the server, as the page makes it of the token and of what the server said at its start."""
        start = json.loads(self.ask("GET", f"/api/proof?nonce={'0' * 64}", X_Review_Key=None)[2])["start"]
        return hmac.new(self.token.encode(), f"page {start}".encode(), "sha256").hexdigest()

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """What it leaves behind: exit status, and what else it printed."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err

    def ask(self, method: str, path: str, body: Any = None, **headers: str | None) -> tuple[int, dict[str, str], bytes]:
        """One request, as the page would make it but for these headers (None: leave it out)."""
        sent: dict[str, str | None] = {"Host": f"127.0.0.1:{self.port}"}
        if "X_Review_Key" not in headers:
            sent["X-Review-Key"] = self.key
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if content is not None:
            sent |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in sent.items():
                if value is not None:
                    connection.putheader(name, value)
            connection.endheaders(content)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()


class Pages:
    """Starts servers of a run's page, and ends all of them."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._started: list[subprocess.Popen[str]] = []

    def __call__(self, *, coder: str = "", settle: bool = False, port: int = 0, labels: LabelSet = LABELS) -> Page:
        words = [self.run.location, coder, "1" if settle else "0", str(port), json.dumps(asdict(labels))]
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**outside_make(), "OMP_NUM_THREADS": "1"},
        )
        self._started.append(process)
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            raise AssertionError(process.communicate(timeout=30)[1])
        return Page(process, url)

    def __enter__(self) -> Pages:
        return self

    def __exit__(self, *failure: object) -> None:
        for process in self._started:
            process.kill()
            process.communicate()
