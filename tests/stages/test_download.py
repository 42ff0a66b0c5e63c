import asyncio
import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from conftest import ORIGIN, Answer, Listed, Server, picture

from hashtag_photos.errors import StorageError
from hashtag_photos.http import Limits
from hashtag_photos.manners import Manners
from hashtag_photos.records import Attachment, Post
from hashtag_photos.run import Run
from hashtag_photos.stages.collect import collect
from hashtag_photos.stages.download import download
from hashtag_photos.storage import Storage
from hashtag_photos.tables import posts_table

QUICK: dict[str, Any] = {
    "limits": Limits(read_timeout=1),
    "manners": Manners(attempts=1, backoff=0.01, patience=0, rate_per_host=1000),
}


def had(run: Run) -> dict[tuple[str, int], dict[str, Any]]:
    """Last rows of the photos table by post and position."""
    with run.database() as database:
        rows = database.sql("SELECT * FROM photos").to_arrow_table().to_pylist()
    return {(row["post_id"], row["position"]): row for row in rows}


def collected(folder: Path, source: Listed) -> Run:
    run = Run(folder / "run")
    collect(run, source)
    return run


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
    with run.open_image(row["sha256"], row["format"]) as file:
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
    server.serve("/busy.jpg", b"", status=503)
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
        download(run, manners=Manners(connections_per_host=1, rate_per_host=1000))
    release.set()
    assert len(had(run)) == 12
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


def test_pictures_are_verified_and_kept_in_an_object_store_too(server: Server, listed: Callable[..., Listed]) -> None:
    server.serve("/a.jpg", picture())
    run = Run("mock:///bucket/run")
    collect(run, listed(["/a.jpg", "/none.jpg"]))
    assert download(run, **QUICK).statuses == {"gone": 1, "ok": 1}
    (row,) = (row for row in had(run).values() if row["status"] == "ok")
    with run.open_image(row["sha256"], "JPEG") as file:
        assert file.read() == picture()
