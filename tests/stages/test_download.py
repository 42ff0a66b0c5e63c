import asyncio
import csv
import errno
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from conftest import ORIGIN, Answer, Listed, Server, picture, until
from object_store import Store
from PIL import Image

from hashtag_photos import sources, storage
from hashtag_photos.errors import RunError, StorageError, UsageError
from hashtag_photos.http import Limits, Local
from hashtag_photos.imagestore import Layout
from hashtag_photos.manners import Manners
from hashtag_photos.records import Attachment, Post
from hashtag_photos.run import Run
from hashtag_photos.stages import crew, fetching
from hashtag_photos.stages import download as stage
from hashtag_photos.stages.collect import collect
from hashtag_photos.stages.download import download
from hashtag_photos.stages.worklist import write_share
from hashtag_photos.storage import Storage
from hashtag_photos.tables import posts_table

QUICK: dict[str, Any] = {
    "limits": Limits(read_timeout=1),
    "manners": Manners(attempts=1, backoff=0.01, patience=0, rate_per_host=1000),
}
ONE_BY_ONE = Manners(connections_per_host=1, rate_per_host=1000, attempts=1)
FILES: dict[str, dict[str, Any]] = {
    "jpeg": {"format": "JPEG"},
    "progressive": {"format": "JPEG", "progressive": True},
    "png": {"format": "PNG"},
    "webp": {"format": "WEBP", "lossless": True},
    "gif": {"format": "GIF"},
}
with_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes by /proc")
as_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounts a file system")


def had(run: Run) -> dict[tuple[str, int], dict[str, Any]]:
    """Last rows of the photos table by post and position."""
    with run.database() as database:
        rows = database.sql("SELECT * FROM photos").to_arrow_table().to_pylist()
    return {(row["post_id"], row["position"]): row for row in rows}


def collected(folder: Path, source: Listed) -> Run:
    run = Run(folder / "run")
    collect(run, source)
    return run


class Routed:
    """A source whose posts stand in the run already: only the way to its server is needed."""

    def __init__(self, routes: dict[str, str]) -> None:
        self.routes = routes

    @contextmanager
    def local(self) -> Iterator[Local]:
        yield Local(routes=self.routes)


@pytest.fixture
def of_hosts(server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """A run with posts whose attachments are on hosts h0 to h7, of which the path says the name: "/h3/x.jpg"."""
    monkeypatch.setitem(sources._KINDS, "routed", Routed)

    def make(folder: Path, *posts: list[str]) -> Run:
        run = Run(folder)
        routes = {f"http://h{number}.invalid": server.base for number in range(8)}
        run.ask(sources=[{"kind": "routed", "routes": routes}])
        add(run, *posts)
        return run

    return make


def add(run: Run, *posts: list[str]) -> None:
    """Append posts with these attachments."""
    first = run.dataset("posts").count_rows()
    run.append(
        "posts",
        posts_table(
            [
                Post(source="test", id=str(number), attachments=tuple(Attachment(url=of_host(url)) for url in urls))
                for number, urls in enumerate(posts, first)
            ]
        ),
    )


def of_host(path: str) -> str:
    return f"http://{path.split('/')[1]}.invalid{path}"


#: a script as users write them, without a guard for __main__
SCRIPT = """
import json, os, sys
from contextlib import contextmanager
import hashtag_photos.sources
from hashtag_photos.http import Limits, Local
from hashtag_photos.manners import Manners
from hashtag_photos.run import Run
from hashtag_photos.stages import crew
from hashtag_photos.stages import download as stage

class Routed:
    def __init__(self, routes):
        self.routes = routes
    @contextmanager
    def local(self):
        yield Local(routes=self.routes)

hashtag_photos.sources._KINDS["routed"] = Routed
"""
DOWNLOADS = """
stage.PART_ROWS, crew._ADDRESSES_A_PROCESS = 5, 50
stage.os.sched_getaffinity = lambda _: set(range(8))
stage.download(Run(sys.argv[1]), manners=Manners(connections_per_host=2, rate_per_host=1000))
"""
COMMAND = """
from hashtag_photos.cli import main
main()
"""


class Started:
    """A script as a process, and all processes that it starts, wherever they end up: their environment tells them."""

    def __init__(self, script: Path, code: str, *words: str | Path, cwd: Path | None = None) -> None:
        script.write_text(code)
        self.token = uuid.uuid4().hex
        self.process = subprocess.Popen(
            [sys.executable, script, *words],
            cwd=cwd,
            env={**os.environ, "OF_THIS_TEST": self.token, "TMPDIR": str(script.parent)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.pid = self.process.pid

    def others(self) -> list[int]:
        """The processes that it started and that live."""
        found = []
        for each in Path("/proc").iterdir():
            with suppress(OSError):
                if each.name.isdigit() and self.token.encode() in (each / "environ").read_bytes():
                    found.append(int(each.name))
        return [pid for pid in found if pid != self.pid]

    def others_left_after(self, seconds: float) -> list[int]:
        last = time.monotonic() + seconds
        while (left := self.others()) and time.monotonic() < last:
            time.sleep(0.02)
        return left

    def ended(self, seconds: float = 60) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, out, err


def children(pid: int) -> list[int]:
    """The processes of the download stage that a process has now."""
    found = []
    for each in Path("/proc").iterdir():
        with suppress(OSError, IndexError):
            parent = int((each / "stat").read_text().rpartition(")")[2].split()[1]) if each.name.isdigit() else 0
            if parent == pid and b"hashtag_photos.stages.fetching" in (each / "cmdline").read_bytes():
                found.append(int(each.name))
    return found


def files_of(folder: Path) -> dict[str, int]:
    """Every file but the lock, and when it was written."""
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def missing(run: Run) -> dict[tuple[str, str], tuple[str, str, str]]:
    with (Path(run.location) / "missing.csv").open(newline="", encoding="utf-8") as file:
        return {
            (row["post_id"], row["position"]): (row["status"], row["reason"], row["retry_may_help"])
            for row in csv.DictReader(file)
        }


def noise(seed: int, size: tuple[int, int] = (64, 48), **options: Any) -> bytes:
    """A picture like no other."""
    image = Image.frombytes("RGB", size, random.Random(seed).randbytes(size[0] * size[1] * 3))
    out = io.BytesIO()
    image.save(out, options.pop("format", "JPEG"), **options)
    return out.getvalue()


def before(server: Server, path: str, what: Callable[[], object]) -> None:
    """Have something done before a path is answered."""
    good = server.answers[path]

    def answer(handler: BaseHTTPRequestHandler) -> None:
        what()
        good(handler)

    server.answers[path] = answer


def test_every_attachment_gets_a_row(server: Server, listed: Callable[..., Listed], tmp_path: Path) -> None:
    body = picture()
    server.serve("/a.jpg", body)
    server.serve("/page.jpg", b"<!doctype html><p>removed", Content_Type="image/jpeg")
    server.serve("/cut.jpg", picture(size=(300, 300))[:-900])
    run = collected(
        tmp_path, listed(["/a.jpg", "/none.jpg"], [], ["/page.jpg", "/cut.jpg", "http://10.0.0.1/x.jpg", ""])
    )
    done = download(run, **QUICK)
    assert (done.new, done.attachments, done.temporary) == (6, 6, 0)
    rows = had(run)
    assert {key: row["status"] for key, row in rows.items()} == {
        ("0", 0): "ok",
        ("0", 1): "gone",
        ("2", 0): "not_an_image",
        ("2", 1): "broken",
        ("2", 2): "blocked",
        ("2", 3): "bad_address",
    }
    assert all(row["reason"] for row in rows.values() if row["status"] != "ok")
    row = rows["0", 0]
    assert (row["sha256"], row["size"], row["format"]) == (hashlib.sha256(body).hexdigest(), len(body), "JPEG")
    with run.images.open(row["sha256"], row["format"]) as file:
        assert file.read() == body
    stored = [path for path in (tmp_path / "run/images").rglob("*") if path.is_file()]
    assert len(stored) == 1, "only what is an image is kept"


def test_one_request_for_an_address_that_posts_share(
    server: Server, listed: Callable[..., Listed], tmp_path: Path
) -> None:
    server.serve("/a.jpg", picture())
    server.serve("/same-bytes.jpg", picture())
    run = collected(
        tmp_path, listed(["/a.jpg"], ["/a.jpg", "/a.jpg"], ["/same-bytes.jpg"], ["/none.jpg"], ["/none.jpg"])
    )
    download(run, **QUICK)
    assert sorted(server.asked) == ["/a.jpg", "/none.jpg", "/same-bytes.jpg"]
    assert len(had(run)) == 6
    assert len([path for path in (tmp_path / "run/images").rglob("*.jpg")]) == 1


def test_done_is_done_and_retry_asks_only_for_what_failed_for_now(
    server: Server, listed: Callable[..., Listed], tmp_path: Path
) -> None:
    server.serve("/a.jpg", picture())
    server.serve("/busy.jpg", b"", status=500)
    run = collected(tmp_path, listed(["/a.jpg", "/busy.jpg", "/none.jpg"]))
    assert download(run, **QUICK).temporary == 1
    server.asked.clear()
    assert download(Run(tmp_path / "run"), **QUICK).new == 0
    assert server.asked == []
    server.serve("/busy.jpg", picture("red"))
    done = download(Run(tmp_path / "run"), retry=True, **QUICK)
    assert server.asked == ["/busy.jpg"]
    assert (done.new, done.statuses) == (1, {"gone": 1, "ok": 2})
    assert had(run)["0", 1]["attempt"] == 2


def test_an_address_had_before_is_not_asked_again_for_a_new_post(
    server: Server, listed: Callable[..., Listed], tmp_path: Path
) -> None:
    server.serve("/a.jpg", picture())
    server.serve("/b.jpg", picture("red"))
    run = collected(tmp_path, listed(["/a.jpg"], ["/b.jpg"], ["/a.jpg", "/none.jpg"]))
    rows = run.dataset("posts").to_table()
    (tmp_path / "run/posts/part-000001.parquet").unlink()
    run.append("posts", rows.slice(0, 1))
    download(run, **QUICK)
    run.append("posts", rows.slice(1))
    assert download(run, **QUICK).new == 3
    assert sorted(server.asked) == ["/a.jpg", "/b.jpg", "/none.jpg"]
    assert had(run)["2", 0]["sha256"] == had(run)["0", 0]["sha256"]


def test_a_full_disk_stops_the_run_and_is_never_taken_for_the_network(
    server: Server, listed: Callable[..., Listed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/dev/full answers every write as a full disk does."""
    server.serve("/a.jpg", picture())
    run = collected(tmp_path, listed(["/a.jpg"]))

    @contextmanager
    def full(self: Storage) -> Iterator[Path]:
        folder = tmp_path / "full"
        folder.mkdir()
        (folder / "0-1").mkdir()
        (folder / "0-1/1").symlink_to("/dev/full")
        yield folder

    with monkeypatch.context() as patched:
        patched.setattr(Storage, "incoming", full)
        with pytest.raises(StorageError, match="disk is full"):
            download(run, **QUICK)
    assert had(run) == {}
    assert download(run, **QUICK).statuses == {"ok": 1}


def test_a_part_that_stands_though_its_writing_failed_is_there_once(
    server: Server, listed: Callable[..., Listed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails once, after the part has its name, as an object store's answer may be lost."""
    urls = [f"/{number}.jpg" for number in range(6)]
    for number, url in enumerate(urls):
        server.serve(url, picture((number, 0, 0)))
    run = collected(tmp_path, listed(*[[url] for url in urls]))
    monkeypatch.setattr(stage, "PART_ROWS", 2)
    sync, failed = storage._sync, []

    def fails_once(path: str | Path) -> None:
        if Path(path).name == "photos" and not failed:
            failed.append(path)
            raise OSError(errno.EIO, "Input/output error")
        sync(path)

    monkeypatch.setattr(storage, "_sync", fails_once)
    with pytest.raises(StorageError, match="Input/output error"):
        download(run, **QUICK)
    assert failed
    assert run.dataset("photos").count_rows() == len(had(run)) > 0
    assert download(Run(run.location), **QUICK).statuses == {"ok": 6}
    assert run.dataset("photos").count_rows() == len(had(run)) == 6


def test_rows_that_stand_twice_hide_none_that_is_missing(
    server: Server, listed: Callable[..., Listed], tmp_path: Path
) -> None:
    server.serve("/a.jpg", picture())
    run = collected(tmp_path, listed(["/a.jpg"]))
    download(run, **QUICK)
    rows = run.dataset("photos").to_table()
    run.append("photos", rows)
    run.append("photos", rows)
    rows = run.dataset("posts").to_table()
    run.append("posts", rows.set_column(rows.column_names.index("id"), "id", pa.array(["2"])))
    assert download(run, **QUICK).new == 1


def test_what_was_had_before_an_interruption_is_kept(
    server: Server, listed: Callable[..., Listed], tmp_path: Path
) -> None:
    import _thread

    urls = [f"/{number}.jpg" for number in range(20)]
    release = threading.Event()
    for number, url in enumerate(urls):
        server.serve(url, picture((number, 0, 0)))
        good = server.answers[url]

        def answer(handler: BaseHTTPRequestHandler, good: Answer = good) -> None:
            if len(server.asked) == 13 and not release.is_set():
                _thread.interrupt_main()
                release.wait(10)
            good(handler)

        server.answers[url] = answer
    run = collected(tmp_path, listed(*[[url] for url in urls]))
    with pytest.raises(KeyboardInterrupt):
        download(run, manners=Manners(connections_per_host=1, rate_per_host=1000), log=tmp_path / "log")
    release.set()
    assert len(had(run)) == 12
    said = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [each["http_status"] for each in said].count(200) == 12, "of what is told at the end, too"
    done = download(Run(tmp_path / "run"), **QUICK)
    assert (done.new, done.statuses) == (8, {"ok": 20})


def test_a_strangers_bytes_in_a_header_stop_nobody(
    server: Server, listed: Callable[..., Listed], tmp_path: Path
) -> None:
    def latin(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 404 N\xe3o encontrado\r\nContent-Length: 0\r\n\r\n")

    server.answers["/latin.jpg"] = latin
    server.serve("/a.jpg", picture())
    server.serve("/caf%E9.jpg", picture("red"))
    server.serve("/moved.jpg", b"", status=302, Location="/caf\xe9.jpg")
    run = collected(tmp_path, listed(["/latin.jpg"], ["/a.jpg"], ["/moved.jpg"]))
    assert download(run, **QUICK).statuses == {"gone": 1, "ok": 2}
    assert had(run)["2", 0]["final_url"].endswith("/caf%E9.jpg")


def test_a_new_post_asks_again_for_what_failed_for_now(
    server: Server, listed: Callable[..., Listed], tmp_path: Path
) -> None:
    server.serve("/busy.jpg", b"", status=503)
    run = collected(tmp_path, listed(["/busy.jpg"], ["/busy.jpg"]))
    rows = run.dataset("posts").to_table()
    (tmp_path / "run/posts/part-000001.parquet").unlink()
    run.append("posts", rows.slice(0, 1))
    download(run, **QUICK)
    server.serve("/busy.jpg", picture())
    run.append("posts", rows.slice(1))
    assert download(run, **QUICK).statuses == {"ok": 1, "server_error": 1}


def test_posts_of_two_sources_with_one_id_are_two(
    server: Server, listed: Callable[..., Listed], tmp_path: Path
) -> None:
    server.serve("/a.jpg", picture())
    server.serve("/b.jpg", picture("red"))
    run = collected(tmp_path, listed(["/a.jpg"]))
    other = Post(source="elsewhere", id="0", attachments=(Attachment(url=ORIGIN + "/b.jpg"),))
    download(run, **QUICK)
    run.append("posts", posts_table([other]))
    done = download(run, **QUICK)
    assert (done.new, done.attachments, done.statuses) == (1, 2, {"ok": 2})


def test_a_damaged_image_is_mended_when_its_bytes_come_again(
    server: Server, listed: Callable[..., Listed], tmp_path: Path
) -> None:
    server.serve("/a.jpg", picture())
    server.serve("/b.jpg", picture())
    run = collected(tmp_path, listed(["/a.jpg"], ["/b.jpg"]))
    rows = run.dataset("posts").to_table()
    (tmp_path / "run/posts/part-000001.parquet").unlink()
    run.append("posts", rows.slice(0, 1))
    download(run, **QUICK)
    (stored,) = (tmp_path / "run/images").rglob("*.jpg")
    stored.write_bytes(b"damaged")
    run.append("posts", rows.slice(1))
    download(run, **QUICK)
    assert stored.read_bytes() == picture()


def test_it_works_inside_a_running_event_loop_as_in_a_notebook(
    server: Server, listed: Callable[..., Listed], tmp_path: Path
) -> None:
    server.serve("/a.jpg", picture())
    run = collected(tmp_path, listed(["/a.jpg"]))

    async def cell() -> int:
        return download(run, **QUICK).new

    assert asyncio.run(cell()) == 1


def test_pictures_are_verified_and_kept_in_an_object_store_too(
    server: Server, listed: Callable[..., Listed], s3: Store
) -> None:
    server.serve("/a.jpg", picture())
    run = Run(s3.at("run"))
    collect(run, listed(["/a.jpg", "/none.jpg"]))
    assert download(run, **QUICK).statuses == {"gone": 1, "ok": 1}
    (row,) = (row for row in had(run).values() if row["status"] == "ok")
    with run.images.open(row["sha256"], "JPEG") as file:
        assert file.read() == picture()


# One request for an address, whatever shares it and whatever happened before


def test_a_fragment_makes_no_other_address_now_or_later(
    server: Server, of_hosts: Callable[..., Run], tmp_path: Path
) -> None:
    server.serve("/h0/a.jpg", picture())
    server.serve("/h0/busy.jpg", b"", status=500)
    run = of_hosts(tmp_path / "run", ["/h0/a.jpg#1", "/h0/a.jpg"], ["/h0/a.jpg#2", "/h0/none.jpg#a", "/h0/none.jpg#b"])
    add(run, ["/h0/busy.jpg"], ["/h0/busy.jpg#x"])
    download(run, **QUICK)
    assert sorted(server.asked) == ["/h0/a.jpg", "/h0/busy.jpg", "/h0/none.jpg"]
    assert [row["status"] for row in had(run).values()].count("server_error") == 2
    server.asked.clear()
    add(run, ["/h0/a.jpg#3", "/h0/none.jpg", "/h0/none.jpg#c"])
    assert download(Run(run.location), **QUICK).new == 3
    assert server.asked == [], "what an address gave for good is known"
    rows = had(run)
    assert rows["4", 0]["sha256"] == rows["0", 0]["sha256"]
    assert (rows["4", 0]["url"], rows["4", 0]["phash"]) == ("http://h0.invalid/h0/a.jpg#3", rows["0", 0]["phash"])
    assert (rows["4", 2]["status"], rows["4", 2]["http_status"]) == ("gone", 404)
    server.serve("/h0/busy.jpg", picture("red"))
    assert download(run, retry=True, **QUICK).new == 2
    assert server.asked == ["/h0/busy.jpg"]
    assert [had(run)[post, 0]["attempt"] for post in ("2", "3", "0")] == [2, 2, 1]


def test_with_nothing_to_do_nothing_is_asked_written_or_started(
    server: Server, of_hosts: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.serve("/h0/a.jpg", picture())
    run = of_hosts(tmp_path / "run", ["/h0/a.jpg", "/h0/none.jpg"], [])
    first = download(run, **QUICK)
    before, asked = files_of(tmp_path / "run"), list(server.asked)
    folder = (tmp_path / "run/images").stat().st_mtime_ns

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", never)
    for retry in (False, True):
        again = download(Run(tmp_path / "run"), retry=retry, **QUICK)
        assert (again.new, again.attachments, again.statuses) == (0, first.attachments, first.statuses)
    assert files_of(tmp_path / "run") == before
    assert (tmp_path / "run/images").stat().st_mtime_ns == folder
    assert server.asked == asked


def test_what_looks_complete_and_is_not_is_found_by_decoding(
    server: Server, of_hosts: Callable[..., Run], tmp_path: Path
) -> None:
    """Cut short behind a right Content-Length; and as long as it should be, its end not written: zeros."""
    whole = {name: noise(1, **options) for name, options in FILES.items()}
    cut = {name: body[: len(body) * 2 // 3] for name, body in whole.items()}
    # in other formats zeros are pixels, as good as any
    zeros = {name: cut[name] + bytes(len(whole[name]) // 3 + 1) for name in ("png", "progressive")}
    for kind, bodies in (("whole", whole), ("cut", cut), ("zeros", zeros)):
        for name, body in bodies.items():
            server.serve(f"/h0/{kind}/{name}", body)
    run = of_hosts(tmp_path / "run", list(server.answers))
    download(run, **QUICK)
    for row in had(run).values():
        assert row["status"] == ("ok" if "/whole/" in row["url"] else "broken"), row["url"]
    assert len([path for path in (tmp_path / "run/images").rglob("*") if path.is_file()]) == len(FILES)


def test_what_could_not_be_had_is_listed_with_why_and_whether_a_retry_may_help(
    server: Server, of_hosts: Callable[..., Run], tmp_path: Path
) -> None:
    server.serve("/h0/a.jpg", picture())
    server.serve("/h1/busy.jpg", b"", status=503)
    server.serve("/h0/cut.jpg", picture(size=(300, 300))[:-900])
    run = of_hosts(tmp_path / "run", ["/h0/a.jpg", "/h1/busy.jpg"], ["/h0/none.jpg", "/h0/cut.jpg"])
    download(run, **QUICK)
    listed = missing(run)
    assert {key: (status, helps) for key, (status, _, helps) in listed.items()} == {
        ("0", "1"): ("server_error", "yes"),
        ("1", "0"): ("gone", "no"),
        ("1", "1"): ("broken", "no"),
    }
    assert "503" in listed["0", "1"][1]
    assert "404" in listed["1", "0"][1]
    assert "can't be decoded" in listed["1", "1"][1]
    server.asked.clear()
    server.serve("/h1/busy.jpg", picture("red"))
    download(run, retry=True, **QUICK)
    assert server.asked == ["/h1/busy.jpg"]
    assert set(missing(run)) == {("1", "0"), ("1", "1")}


def test_the_list_of_what_is_missing_is_never_older_than_the_table(
    server: Server, of_hosts: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.serve("/h0/busy.jpg", b"", status=503)
    run = of_hosts(tmp_path / "run", ["/h0/busy.jpg"])
    download(run, **QUICK)
    assert set(missing(run)) == {("0", "0")}
    server.serve("/h0/busy.jpg", picture("red"))
    download(run, retry=True, **QUICK)
    assert missing(run) == {}, "nothing is missing any more, and an old list must not say so"
    add(run, ["/h0/none.jpg"])

    def killed(run: Run) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(stage, "_write_missing", killed)
        with pytest.raises(KeyboardInterrupt):
            download(run, **QUICK)
    assert download(Run(run.location), **QUICK).new == 0
    assert set(missing(run)) == {("1", "0")}


# Stand-ins and opt-outs


def test_a_picture_named_a_stand_in_later_is_marked_without_a_request(
    server: Server, of_hosts: Callable[..., Run], tmp_path: Path
) -> None:
    removed = picture("grey")
    for path in ("/h0/a.jpg", "/h0/b.jpg", "/h1/c.jpg"):
        server.serve(path, removed)
    server.serve("/h0/good.jpg", picture())
    run = of_hosts(tmp_path / "run", ["/h0/a.jpg", "/h0/good.jpg"], ["/h0/b.jpg"])
    assert download(run, **QUICK).statuses == {"ok": 3}
    parts = {path: path.read_bytes() for path in (tmp_path / "run/photos").iterdir()}
    server.asked.clear()
    sha256 = hashlib.sha256(removed).hexdigest()
    (tmp_path / "own.txt").write_text(f"# mine\n\n{sha256.upper()}  removed by its author\n")
    done = download(run, placeholders=tmp_path / "own.txt", **QUICK)
    assert (done.new, done.statuses, server.asked) == (0, {"ok": 1, "placeholder": 2}, [])
    assert {path: path.read_bytes() for path in parts} == parts, "rows are appended, none is changed"
    row = had(run)["0", 0]
    assert (row["reason"], row["attempt"], row["sha256"]) == ("removed by its author", 2, sha256)
    assert set(missing(run)) == {("0", "0"), ("1", "0")}

    before = files_of(tmp_path / "run")
    download(Run(tmp_path / "run"), placeholders=tmp_path / "own.txt", **QUICK)
    assert files_of(tmp_path / "run") == before, "marked once"

    add(run, ["/h1/c.jpg", "/h0/a.jpg#again"])
    assert download(Run(tmp_path / "run"), **QUICK).statuses == {"ok": 1, "placeholder": 4}, "the run remembers it"
    assert server.asked == ["/h1/c.jpg"]
    rows = had(run)
    assert [(rows["2", place]["reason"], rows["2", place]["attempt"]) for place in (0, 1)] == [
        ("removed by its author", 1)
    ] * 2


def test_known_stand_ins_and_pictures_of_one_pixel_are_none_that_are_kept(
    server: Server, of_hosts: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed = picture("grey")
    bundled = stage.read_placeholders()
    assert len(bundled) >= 2
    known = {**bundled, hashlib.sha256(removed).hexdigest(): "a site's"}
    monkeypatch.setattr(stage, "read_placeholders", lambda path=None: known)
    server.serve("/h0/removed.jpg", removed)
    server.serve("/h0/pixel.gif", picture(size=(1, 1), format="GIF"))
    server.serve("/h0/line.png", picture(size=(1, 2), format="PNG"))
    run = of_hosts(tmp_path / "run", ["/h0/removed.jpg", "/h0/pixel.gif", "/h0/line.png"])
    done = download(run, **QUICK)
    assert (done.statuses, done.temporary) == ({"ok": 1, "placeholder": 2}, 0)
    rows = had(run)
    assert [rows["0", place]["reason"] for place in range(3)] == ["a site's", "1x1 pixel", None]
    assert rows["0", 0]["sha256"] in known
    assert len([path for path in (tmp_path / "run/images").rglob("*") if path.is_file()]) == 1


def test_a_list_of_stand_ins_that_is_none_stops_before_anything_is_asked(
    server: Server, of_hosts: Callable[..., Run], tmp_path: Path
) -> None:
    run = of_hosts(tmp_path / "run", ["/h0/a.jpg"])
    before = files_of(tmp_path / "run")
    (tmp_path / "own.txt").write_text("not a sum\n")
    for path in (tmp_path / "own.txt", tmp_path / "none.txt"):
        with pytest.raises(UsageError, match=path.name):
            download(run, placeholders=path, **QUICK)
    assert (server.asked, files_of(tmp_path / "run")) == ([], before)


def test_who_asks_machines_to_stay_away_is_asked_again_only_when_that_is_not_heeded(
    server: Server, of_hosts: Callable[..., Run], tmp_path: Path
) -> None:
    server.serve("/h0/a.jpg", picture(), X_Robots_Tag="noai")
    server.serve("/h0/b.jpg", picture("red"))
    run = of_hosts(tmp_path / "run", ["/h0/a.jpg", "/h0/b.jpg", "/h0/none.jpg"])
    assert download(run, **QUICK).statuses == {"gone": 1, "ok": 1, "opted_out": 1}
    assert run.stages["download"]["opt_outs_heeded"] is True
    server.asked.clear()
    assert download(run, retry=True, **QUICK).new == 0
    assert server.asked == []
    bold = {**QUICK, "manners": Manners(attempts=1, heed_opt_outs=False)}
    assert download(run, **bold).statuses == {"gone": 1, "ok": 2}
    assert server.asked == ["/h0/a.jpg"]
    assert had(run)["0", 0]["attempt"] == 2
    assert run.stages["download"]["opt_outs_heeded"] is False
    download(run, **QUICK)
    assert run.stages["download"]["opt_outs_heeded"] is False, "that it was not heeded once stays known"


# What is seen of it


def test_the_log_has_a_line_for_each_request(server: Server, of_hosts: Callable[..., Run], tmp_path: Path) -> None:
    body = picture()
    server.serve("/h0/a.jpg", body)
    server.serve("/h0/moved.jpg", b"", status=302, Location="/h0/a2.jpg")
    server.serve("/h0/a2.jpg", picture("red"))
    server.serve("/h0/busy.jpg", b"", status=500)
    run = of_hosts(tmp_path / "run", ["/h0/a.jpg", "/h0/moved.jpg", "/h0/busy.jpg", "/h0/none.jpg"], ["/h0/a.jpg"])
    log = tmp_path / "log.jsonl"
    log.write_text("what stood there\n")
    download(run, manners=Manners(attempts=2, backoff=0.01), log=log)
    first, *lines = log.read_text().splitlines()
    assert first == "what stood there"
    said = [json.loads(line) for line in lines]
    assert len(said) == len(server.asked) == 6
    fields = {"time", "url", "hop", "seconds", "http_status", "size", "status", "reason"}
    assert all(set(each) == fields and each["seconds"] >= 0 for each in said)
    seen = {(each["url"].rpartition("/")[2], each["hop"]): each for each in said}
    assert {key: (each["http_status"], each["status"]) for key, each in seen.items() if key[0] != "moved.jpg"} == {
        ("a.jpg", 0): (200, "ok"),
        ("a2.jpg", 1): (200, "ok"),
        ("busy.jpg", 0): (500, "server_error"),
        ("none.jpg", 0): (404, "gone"),
    }
    assert (seen["moved.jpg", 0]["status"], seen["a.jpg", 0]["size"]) == ("redirect", len(body))
    assert "a2.jpg" in seen["moved.jpg", 0]["reason"]
    assert seen["a.jpg", 0]["url"] == "http://h0.invalid/h0/a.jpg", "the address as it is known, not the way to it"
    add(run, ["/h0/b.jpg"])
    with pytest.raises(UsageError, match="log"):
        download(run, log=tmp_path / "no/such/folder/log.jsonl", **QUICK)


def test_progress_says_how_much_came_and_what_is_waited_for(
    server: Server, of_hosts: Callable[..., Run], tmp_path: Path
) -> None:
    big = noise(1, (600, 400), quality=95)
    server.serve("/h0/a.jpg", big)
    server.serve("/h1/b.jpg", b"", status=503, Retry_After="1")
    busy = server.answers["/h1/b.jpg"]
    server.serve("/h1/b.jpg", picture("red"))
    good = server.answers["/h1/b.jpg"]
    server.answers["/h1/b.jpg"] = lambda handler: (busy if server.asked.count("/h1/b.jpg") == 1 else good)(handler)
    run = of_hosts(tmp_path / "run", ["/h0/a.jpg"], ["/h1/b.jpg"])
    calls: list[tuple[str, int, int | None, str, str]] = []
    download(run, progress=lambda *words: calls.append((*words, "", "")[:5]))
    assert had(run)["1", 0]["status"] == "ok"
    assert calls[0][:3] == ("download", 0, 2)
    assert calls[-1][1:3] == (2, 2)
    done = [call[1] for call in calls]
    assert done == sorted(done)
    notes = [call[3] for call in calls if call[3]]
    assert notes
    assert all(note.startswith("waits ") and "h1.invalid" in note and "503" in note for note in notes)
    assert any("MB/s" in call[4] for call in calls)


# Processes


def test_a_host_is_asked_by_one_process_however_many_there_are(
    server: Server, of_hosts: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "_ADDRESSES_A_PROCESS", 5)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    theirs: set[int] = set()
    inside: Counter[str] = Counter()
    most: Counter[str] = Counter()
    lock = threading.Lock()
    paths = [f"/h{number % 6}/{number}.jpg" for number in range(60)]
    for number, path in enumerate(paths):
        server.serve(path, noise(number))
        good = server.answers[path]

        def answer(handler: BaseHTTPRequestHandler, good: Answer = good) -> None:
            host = handler.path.split("/")[1]
            with lock:
                inside[host] += 1
                most[host] = max(most[host], inside[host])
                theirs.update(children(os.getpid()))
            time.sleep(0.02)
            with lock:  # before the answer is out: the next one may come before this thread goes on
                inside[host] -= 1
            good(handler)

        server.answers[path] = answer
    run = of_hosts(tmp_path / "run", *[[path] for path in paths])
    assert download(run, manners=ONE_BY_ONE).statuses == {"ok": 60}
    assert sorted(server.asked) == sorted(paths)
    assert len(theirs) == 4
    assert set(most.values()) == {1}, f"one connection to a host was allowed: {most}"
    assert children(os.getpid()) == []


@with_proc
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_a_process_that_is_killed_is_replaced(
    server: Server, of_hosts: Callable[..., Run], tmp_path: Path, how: signal.Signals
) -> None:
    paths = [f"/h0/{number}.jpg" for number in range(30)]
    killed: list[int] = []
    for number, path in enumerate(paths):
        server.serve(path, noise(number))

    def kill() -> None:
        if not killed and len(server.asked) == 10:
            (pid,) = children(os.getpid())
            killed.append(pid)
            time.sleep(1)  # until what was had is told
            os.kill(pid, how)

    for path in paths:
        before(server, path, kill)
    run = of_hosts(tmp_path / "run", *[[path] for path in paths])
    assert download(run, manners=ONE_BY_ONE).statuses == {"ok": 30}
    assert killed
    counts = Counter(server.asked)
    assert set(counts) == set(paths)
    again = {path for path, count in counts.items() if count > 1}
    assert again <= {server.asked[9]}, "what was heard of is not asked again"
    assert not list((tmp_path / "run").rglob(".tmp-*"))


@with_proc
def test_processes_that_are_killed_again_and_again_end_the_stage_and_what_was_had_is_kept(
    server: Server, of_hosts: Callable[..., Run], tmp_path: Path
) -> None:
    """Once before they have begun, then at work."""
    paths = [f"/h0/{number}.jpg" for number in range(20)]
    for number, path in enumerate(paths):
        server.serve(path, noise(number))
    fatal: list[str] = []  # the tenth that is asked for: their order is random

    def kill(path: str) -> None:
        if len(server.asked) == 10 and not fatal:
            fatal.append(path)
        if path in fatal:
            time.sleep(3)
            for pid in children(os.getpid()):
                os.kill(pid, signal.SIGKILL)

    for path in paths:
        before(server, path, lambda path=path: kill(path))  # type: ignore[misc]
    run = of_hosts(tmp_path / "run", *[[path] for path in paths])

    def kill_the_first() -> None:
        until(lambda: children(os.getpid()))
        os.kill(children(os.getpid())[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_the_first)
    killer.start()
    with pytest.raises(RunError, match=r"killed 3 times, by signal 9.*memory.*goes on from here"):
        download(run, manners=ONE_BY_ONE)
    killer.join()
    first = had(run)
    assert first, "what was had is kept"
    assert {row["status"] for row in first.values()} == {"ok"}
    assert children(os.getpid()) == []
    fatal[:] = ["none"]
    server.asked.clear()
    assert download(Run(run.location), **QUICK).statuses == {"ok": 20}
    assert len(server.asked) == 20 - len(first)


def test_a_picture_on_which_decoding_crashes_is_broken_and_all_others_are_had(
    server: Server, of_hosts: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processes of the crew alone read this sitecustomize: a decoder that crashes on some bytes."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text("""
import ctypes
import hashtag_photos.images as images
inspect = images.inspect
def crashing(file):
    if b"crashes" in file.read():
        ctypes.string_at(0)
    file.seek(0)
    return inspect(file)
images.inspect = crashing
""")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    paths = [f"/h{number % 2}/{number}.jpg" for number in range(24)]
    for number, path in enumerate(paths):
        server.serve(path, noise(number) + (b"crashes" + bytes([number])) * (number in (5, 6)))
    run = of_hosts(tmp_path / "run", *[[path] for path in paths], ["/h1/5.jpg"])
    assert download(run, **QUICK).statuses == {"broken": 3, "ok": 22}
    rows = had(run)
    assert [key[0] for key, row in sorted(rows.items()) if row["status"] == "broken"] == ["24", "5", "6"]
    assert "killed twice, by signal 11" in rows["5", 0]["reason"]
    assert missing(run)["5", "0"][2] == "no"
    assert set(server.asked) == set(paths)
    assert max(Counter(server.asked).values()) <= 5
    server.asked.clear()
    assert download(Run(run.location), retry=True, **QUICK).new == 0
    assert server.asked == []


def test_it_works_in_a_thread(server: Server, of_hosts: Callable[..., Run], tmp_path: Path) -> None:
    server.serve("/h0/a.jpg", picture())
    run = of_hosts(tmp_path / "run", ["/h0/a.jpg"])
    done: list[int] = []
    thread = threading.Thread(target=lambda: done.append(download(run, **QUICK).new))
    thread.start()
    thread.join(30)
    assert done == [1]


def test_it_works_from_a_script_in_a_folder_of_modules_with_names_of_pythons_own(
    server: Server, of_hosts: Callable[..., Run], tmp_path: Path
) -> None:
    """The script has no guard for __main__: what started it again in a process would never end."""
    server.serve("/h0/a.jpg", picture())
    run = of_hosts(tmp_path / "run", ["/h0/a.jpg"])
    (tmp_path / "here").mkdir()
    for name in ("random", "json", "asyncio", "PIL", "sitecustomize"):
        (tmp_path / "here" / f"{name}.py").write_text("raise SystemExit('a stranger was imported')")
    started = Started(tmp_path / "script.py", SCRIPT + DOWNLOADS, run.location, cwd=tmp_path / "here")
    assert started.ended() == (0, "", "")
    assert had(run)["0", 0]["status"] == "ok"


@with_proc
def test_ctrl_c_ends_the_command_and_all_it_started_and_what_was_had_is_kept(
    server: Server, of_hosts: Callable[..., Run], tmp_path: Path
) -> None:
    """A terminal sends it to all processes of the group."""
    paths = [f"/h0/{number}.jpg" for number in range(40)]
    release = threading.Event()
    for number, path in enumerate(paths):
        server.serve(path, noise(number))
        before(server, path, lambda: len(server.asked) > 20 and release.wait(20))
    run = of_hosts(tmp_path / "run", *[[path] for path in paths])
    started = Started(tmp_path / "script.py", SCRIPT + COMMAND, "download", run.location)
    until(lambda: len(server.asked) > 20)
    assert started.others()
    time.sleep(0.3)
    os.killpg(started.pid, signal.SIGINT)
    code, _, errors = started.ended()
    left = started.others_left_after(0)
    release.set()
    assert (code, left) == (130, [])
    assert "what was had is kept" in errors
    assert "Traceback" not in errors
    rows = had(run)
    assert len(rows) == 20
    assert {row["status"] for row in rows.values()} == {"ok"}
    server.asked.clear()
    assert download(Run(run.location), **QUICK).statuses == {"ok": 40}
    assert len(server.asked) == 20


def test_ctrl_c_ends_a_command_that_waits_for_what_never_ends(tmp_path: Path) -> None:
    """As for a store that is away: it is asked in threads, and by calls that no KeyboardInterrupt reaches."""
    code = """
import signal, threading, time
from hashtag_photos import cli
def waits():
    threading.Thread(target=time.sleep, args=[100]).start()
    signal.raise_signal(signal.SIGINT)
cli.app, cli._LEAVE_SECONDS = waits, 0.1
cli.main()
"""
    ended, _, errors = Started(tmp_path / "script.py", code).ended()
    assert ended == 130
    assert errors.endswith("what was had is kept: the same command goes on from here\n")


# Disks


def test_a_file_where_the_images_should_be_says_so(
    server: Server, of_hosts: Callable[..., Run], tmp_path: Path
) -> None:
    body = picture()
    server.serve("/h0/a.jpg", body)
    run = of_hosts(tmp_path / "run", ["/h0/a.jpg", "/h0/none.jpg"])
    for stranger in (tmp_path / "run/images", tmp_path / "run/images" / hashlib.sha256(body).hexdigest()[:2]):
        stranger.write_text("in the way")
        with pytest.raises(StorageError, match="run/images"):
            download(run, **QUICK)
        assert all(row["status"] != "ok" for row in had(run).values()), "nothing is had that doesn't stand there"
        stranger.unlink()
        (tmp_path / "run/images").mkdir(exist_ok=True)
    assert download(run, **QUICK).statuses == {"gone": 1, "ok": 1}


@contextmanager
def mounted(folder: Path, *words: str) -> Iterator[None]:
    if shutil.which("mount") is None or subprocess.run(["mount", *words, folder], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@as_root
def test_images_on_a_disk_that_can_not_be_written(server: Server, of_hosts: Callable[..., Run], tmp_path: Path) -> None:
    server.serve("/h0/a.jpg", picture())
    run = of_hosts(tmp_path / "run", ["/h0/a.jpg"])
    images = tmp_path / "run/images"
    images.mkdir()
    said = pytest.raises(StorageError, match=r"can't be written.*--run")
    with mounted(images, "-t", "tmpfs", "-o", "ro", "tmpfs"), said:
        download(run, **QUICK)
    assert (had(run), server.asked) == ({}, [])
    assert download(run, **QUICK).statuses == {"ok": 1}


@as_root
def test_a_disk_that_fills_up_leaves_a_run_that_goes_on(
    server: Server, of_hosts: Callable[..., Run], tmp_path: Path
) -> None:
    """The whole run folder is on it, tables and all."""
    paths = [f"/h0/{number}.png" for number in range(30)]
    for number, path in enumerate(paths):
        server.serve(path, noise(number, (200, 150), format="PNG"))  # 90 kB each
    folder = tmp_path / "disk"
    folder.mkdir()
    with mounted(folder, "-t", "tmpfs", "-o", "size=1500k", "tmpfs"):
        run = of_hosts(folder / "run", *[[path] for path in paths])
        with pytest.raises(StorageError, match="disk is full: free some space"):
            download(run, manners=ONE_BY_ONE)
        assert children(os.getpid()) == []
        for row in had(run).values():
            with run.images.open(row["sha256"], row["format"]) as file:
                assert hashlib.sha256(file.read()).hexdigest() == row["sha256"]
        subprocess.run(["mount", "-o", "remount,size=20m", folder], check=True)
        assert download(Run(run.location), **QUICK).statuses == {"ok": 30}
        assert not list((folder / "run").rglob(".tmp-*"))


# kill -9


@with_proc
@pytest.mark.slow
def test_killed_twelve_times_at_random_it_ends_as_if_it_never_had_been(
    server: Server, of_hosts: Callable[..., Run], tmp_path: Path
) -> None:
    """The main process is killed, in some rounds one of its crew before it, after a number of requests drawn by chance.

    What stood in a written part is never asked again, and no process is left that nobody waits for.
    """
    chance = random.Random(4)
    pace = threading.Event()
    paths = [f"/h{number % 6}/{number}" for number in range(360)]
    for number, path in enumerate(paths):
        if number % 12 == 1:
            continue  # 404
        body = noise(number // 2 if number % 12 in (4, 5) else number)  # some have the same bytes
        body = {
            7: body[: len(body) * 2 // 3],
            8: picture(number % 250, size=(1, 1), mode="L"),
            9: b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            10: b"<!doctype html><p>removed",
        }.get(number % 12, body)
        server.serve(path, body)
        before(server, path, lambda: pace.is_set() or time.sleep(0.25))
    posts = [[path] for path in paths]
    posts += [[paths[number], f"{paths[number + 1]}#shared"] for number in range(0, 40, 2)]
    run = of_hosts(tmp_path / "run", *posts)
    written: set[str] = set()
    for turn in range(12):
        server.asked.clear()
        started = Started(tmp_path / "script.py", SCRIPT + DOWNLOADS, run.location)
        if turn % 6 == 3:  # while it starts
            time.sleep(chance.uniform(0, 1.5))
        else:
            requests = chance.randrange(45)
            until(lambda requests=requests, it=started.process: len(server.asked) >= requests or it.poll() is not None)
            time.sleep(chance.uniform(0, 0.3))
        if turn % 3 == 1 and (crew := children(started.pid)):
            os.kill(chance.choice(crew), chance.choice([signal.SIGKILL, signal.SIGSEGV]))
            time.sleep(chance.uniform(0, 1))
        assert started.process.poll() is None, f"it ended by itself in round {turn}: {started.ended()}"
        os.kill(started.pid, signal.SIGKILL)
        assert started.others_left_after(6) == [], "its processes live on without it"
        _, _, errors = started.ended()
        assert "Traceback" not in errors, errors
        assert not written & set(server.asked), "what stood in a written part was asked again"
        urls = [url for batch in run.batches("photos", "url") for url in batch.column("url").to_pylist()]
        written = {"/" + url.split("/", 3)[3].split("#")[0] for url in urls}
    assert len(written) > 60, f"the kills were meant to land where something was had before: {len(written)}"
    server.asked.clear()
    pace.set()
    download(Run(run.location), **QUICK)
    assert Counter(server.asked) == Counter(set(paths) - written)

    quiet = of_hosts(tmp_path / "quiet", *posts)
    download(quiet, **QUICK)

    def table(run: Run) -> list[dict[str, Any]]:
        rows = [row for _, row in sorted(had(run).items())]
        return [{name: value for name, value in row.items() if name not in ("fetched_at", "attempt")} for row in rows]

    assert len(table(quiet)) == 400
    assert Counter(row["status"] for row in table(quiet)).keys() == {
        "ok",
        "gone",
        "broken",
        "placeholder",
        "svg",
        "not_an_image",
    }
    assert table(run) == table(quiet)
    assert {row["attempt"] for row in had(run).values()} == {1}
    assert run.dataset("photos").count_rows() == 400, "no row twice"

    def images(folder: Path) -> dict[str, str]:
        return {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (folder / "images").rglob("*")
            if path.is_file()
        }

    assert images(tmp_path / "run") == images(tmp_path / "quiet")
    assert all(Path(name).stem == sha256 for name, sha256 in images(tmp_path / "run").items())
    assert not list((tmp_path / "run").rglob(".tmp-*"))


def test_who_is_led_to_a_host_that_rests_does_something_else_until_then(
    server: Server, of_hosts: Callable[..., Run], tmp_path: Path
) -> None:
    """h0 shortens addresses. One in two leads to h1, which asks to wait: the others don't wait for that."""
    busy: list[float] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        waits = not busy
        busy.append(time.monotonic())
        handler.send_response(503 if waits else 404)
        handler.send_header("Retry-After", "2")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    for number in range(30):
        if number % 2:
            server.serve(f"/h0/{number}", b"", status=302, Location=f"http://h1.invalid/h1/{number}")
            server.answers[f"/h1/{number}"] = answer
        else:
            server.serve(f"/h0/{number}", picture((number, 0, 0)))
    run = of_hosts(tmp_path / "run", [f"/h0/{number}" for number in range(30)])
    manners = Manners(connections_per_host=2, rate_per_host=1000, backoff=0.01)
    assert download(run, manners=manners).statuses == {"gone": 15, "ok": 15}
    first, second, *_ = (at for at, path in enumerate(server.asked) if "/h1/" in path)
    assert busy[1] - busy[0] >= 1.9
    assert sum("/h0/" in path for path in server.asked[first:second]) >= 20, "h0 was kept waiting by h1"
    assert sum("/h0/" in path for path in server.asked) == 31, "only that which failed is asked for from its beginning"


def test_hosts_that_are_waited_for_keep_no_other_from_its_turn(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More hosts ask to wait than are visited at a time, and they come first, as they have more addresses."""
    monkeypatch.setattr(fetching, "_OPEN_HOSTS", 2)
    busy: Counter[str] = Counter()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        host = handler.path.split("/")[1]
        busy[host] += 1
        handler.send_response(503 if busy[host] == 1 else 404)
        handler.send_header("Retry-After", "2")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    urls = [f"/h{host}/{number}" for host in range(6) for number in range(2)]
    server.answers |= dict.fromkeys(urls, answer)
    server.serve("/h7/a.jpg", picture())
    write_share(tmp_path / "worklist", [(f"{url.split('/')[1]}.invalid", of_host(url)) for url in [*urls, "/h7/a.jpg"]])
    job = fetching.Job(
        worklist=str(tmp_path / "worklist"),
        run=str(tmp_path / "run"),
        incoming=str(tmp_path),
        suspects=str(tmp_path / "suspects"),
        local=Local(routes={f"http://h{number}.invalid": server.base for number in range(8)}),
        limits=Limits(),
        manners=Manners(connections_per_host=1, backoff=0.01),
        layout=Layout(),
    )
    said: list[dict[str, Any]] = []
    asyncio.run(fetching.work(job, Storage(job.run), said.append))
    assert Counter(each["status"] for each in said if "address" in each) == {"gone": 12, "ok": 1}
    before = server.asked[: server.asked.index("/h7/a.jpg")]
    assert len(before) == len({path.split("/")[1] for path in before}), "its turn came while others were waited for"
