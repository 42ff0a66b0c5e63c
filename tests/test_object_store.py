"""A run folder in an object store: files are whole or not there, one writes, and the numbers are those of a folder."""

import csv
import errno
import hashlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import pyarrow as pa
import pytest
from conftest import SAMPLE, command
from object_store import FAULTS, Proxy, Store, google_emulator

import hashtag_photos as hp
from hashtag_photos import lease, storage
from hashtag_photos.errors import RunError, RunLockedError, StorageError
from hashtag_photos.handlabels import BLIND, DRAWN, LABELS, HandLabel, HandLabels
from hashtag_photos.labels import asked
from hashtag_photos.lease import Lease
from hashtag_photos.records import Attachment, Post
from hashtag_photos.report.prose import times_of
from hashtag_photos.review.session import Session
from hashtag_photos.run import Run
from hashtag_photos.stages.embed import images_encoded, images_left
from hashtag_photos.stages.joined import join
from hashtag_photos.stages.sample import draw_sample
from hashtag_photos.storage import Storage
from hashtag_photos.tables import POSTS, photos_table, posts_table

MB = 1 << 20


def filled(content: bytes) -> Callable[[IO[bytes]], object]:
    return lambda file: file.write(content)


def gives_up(monkeypatch: pytest.MonkeyPatch, attempts: int = 1) -> None:
    """Have this process ask once instead of for more than a minute."""
    monkeypatch.setattr(storage, "_ATTEMPTS", attempts)
    monkeypatch.setattr(storage, "_HASTY_ATTEMPTS", attempts)
    storage._amazon.cache_clear()


# Files


def test_files_are_kept_and_replaced_and_listed_and_removed(s3: Store) -> None:
    there = Storage(s3.at("run"))
    assert there.names() == []
    assert not there.exists("a/x")
    assert there.looks("a/x") is None
    there.write("a/x", filled(b"one"))
    looks = there.looks("a/x")
    assert there.update("a/x", filled(b"one more"))
    assert not there.update("a/x", filled(b"one more"))
    assert not there.update("a/x", b"one more")
    assert there.read("a/x") == b"one more"
    assert there.looks("a/x") != looks
    with there.open("a/x") as file:
        assert (file.read(3), file.seek(-4, os.SEEK_END), file.read()) == (b"one", 4, b"more")
    there.write("a/empty", filled(b""))
    assert there.exists("a/empty")
    assert (there.names(), there.names("a")) == (["a"], ["empty", "x"])
    there.remove("a/x")
    there.remove("a/x")
    assert there.names("a") == ["empty"]
    with pytest.raises(FileNotFoundError):
        there.open("a/x")


def test_more_files_than_one_answer_lists_are_all_there(s3: Store, tmp_path: Path) -> None:
    there = Storage(s3.at("run"))
    for number in range(1_050):
        (tmp_path / str(number)).write_bytes(b"%d" % number)
    there.adopt([(tmp_path / str(number), f"images/{number:04}.jpg") for number in range(1_050)])
    assert list(tmp_path.iterdir()) == []
    with s3.behind(Proxy()) as proxy:
        assert Storage(s3.at("run")).names("images") == [f"{number:04}.jpg" for number in range(1_050)]
        assert len(proxy.asked) == 2, "a thousand, and the others"
        proxy.asked.clear()
        (tmp_path / "one").write_bytes(b"one")
        Storage(s3.at("run")).adopt([(tmp_path / "one", "images/one.jpg")])
        assert [method for method, _ in proxy.asked] == ["PUT"], "one request an image"
    assert there.read("images/1049.jpg") == b"1049"


def test_an_image_is_read_by_one_question_for_its_size_and_one_for_its_bytes(s3: Store, tmp_path: Path) -> None:
    contents = {"a" * 64: os.urandom(MB // 5), "b" * 64: os.urandom(3 * MB), "c" * 64: b""}
    run = Run(s3.at("run"))
    run.keep_images_as("files")
    for sha256, content in contents.items():
        (tmp_path / sha256).write_bytes(content)
    run.images.adopt([(tmp_path / sha256, sha256, "JPEG") for sha256 in contents])
    with s3.behind(Proxy()) as proxy:
        run = Run(s3.at("run"))
        for sha256, content in contents.items():
            proxy.asked.clear()
            with run.images.open(sha256, "JPEG") as file:
                assert file.read() == content
            assert [method for method, _ in proxy.asked] == ["HEAD", "GET"][: 1 + bool(content)]
        proxy.asked.clear()
        run.storage.read("run.json")
        assert [method for method, _ in proxy.asked] == ["HEAD", "GET"]


def test_images_are_read_many_at_once_however_few_cores_decode_them(
    s3: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hashtag_photos.stages.embed.cores", lambda: 1)
    names = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(40)]
    run = Run(s3.at("run"))
    run.keep_images_as("files")
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
    run.images.adopt([(tmp_path / name, name, "JPEG") for name in names])
    all_there = threading.Barrier(32)

    class Together(Proxy):
        def fault(self, method: str, path: str) -> str:
            with self.lock:
                self.came[method, "images/" in path] += 1
                waits = method == "GET" and "images/" in path and self.came[method, True] <= 32
            if waits:
                all_there.wait(60)
            return ""

    encoder = SimpleNamespace(
        batch_size=16, ahead=1, prepare=lambda file: file.read(), begin=lambda batch: lambda: batch
    )
    images = pa.table({"sha256": names, "format": ["JPEG"] * 40})
    with s3.behind(Together()):
        batches = list(images_encoded(Run(s3.at("run")), encoder, images))  # type: ignore[arg-type]
    assert [(sha, content) for batch in batches for (sha, _), content in batch] == [
        (sha, sha.encode()) for sha in names
    ]


def test_where_one_file_of_many_is_refused_for_good_no_further_one_is_tried(
    s3: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gives_up(monkeypatch)
    files = [(tmp_path / str(number), f"images/{number}.jpg") for number in range(100)]
    for file, _ in files:
        file.write_bytes(b"x")
    with s3.behind(Proxy(refuse=lambda method, path: 500)) as proxy:
        with pytest.raises(StorageError, match="run the same command again later"):
            Storage(s3.at("run")).adopt(files)
        assert len(proxy.asked) <= 16, "those that were on their way"
    assert all(file.exists() for file, _ in files)


def test_what_fails_for_a_while_is_asked_again(s3: Store) -> None:
    content = os.urandom(MB // 10)
    with s3.behind(Proxy(share=0.3)) as proxy:
        there = Storage(s3.at("run"))
        for number in range(12):
            there.write(f"x/{number}", filled(content))
            assert there.read(f"x/{number}") == content
        assert len(there.names("x")) == 12
    assert all(proxy.done[fault] for fault in FAULTS)


def test_a_file_that_is_shorter_than_a_refusal_is_asked_for_again(s3: Store) -> None:
    class RefusesOnce(Proxy):
        def fault(self, method: str, path: str) -> str:
            self.came[method, path] += 1
            return "503" if method == "GET" and self.came[method, path] == 1 else ""

    Storage(s3.at("run")).write("x", filled(b"1"))
    for reads in (
        lambda there: there.read("x"),
        lambda there: there.open("x").read(),
        lambda there: there.open_for_ranges("x").read(1),
    ):
        with s3.behind(RefusesOnce()) as proxy:
            assert reads(Storage(s3.at("run"))) == b"1"
        assert max(proxy.came.values()) == 2


def test_pieces_of_a_table_that_are_shorter_than_a_refusal_are_asked_for_again(s3: Store) -> None:
    class RefusesShortPiecesOnce(Proxy):
        def fault_of_piece(self, method: str, path: str, piece: str) -> str:
            first, last = map(int, re.findall(r"\d+", piece) or (0, MB))
            with self.lock:
                self.came[piece, path] += 1
                return "503" if last - first < 300 and self.came[piece, path] == 1 else ""

    posts = [Post(source="t", id=str(number), attachments=(Attachment(url="http://a/1"),)) for number in range(2)]
    photo = {"source": "t", "post_id": "0", "position": 0, "url": "http://a/1", "status": "ok", "attempt": 1}
    written = Run(s3.at("run"))
    written.ask(model="tiny")
    for post in posts:
        written.append("posts", posts_table([post]))
    written.append("photos", photos_table([photo | {"sha256": "a" * 64, "format": "JPEG"}]))
    no_vectors = pa.chunked_array([], pa.string())
    reads: tuple[Callable[[Run], object], ...] = (
        lambda run: [key for batch in run.batches("posts", "id") for key in batch.column("id").to_pylist()],
        lambda run: sorted(run.keys("posts", POSTS, "id")),
        lambda run: run.read_table("posts/part-000002.parquet", "id").to_pylist(),
        lambda run: run.count("posts"),
        lambda run: (join(run).post.tolist(), join(run).photo.tolist(), join(run).urls().to_pylist()),
        lambda run: (images_left(run, no_vectors)[0], times_of(run).posted),
    )
    found = []
    for read in reads:
        with s3.behind(RefusesShortPiecesOnce()):
            found.append(read(Run(s3.at("run"))))
    assert found == [["0", "1"], [("0",), ("1",)], [{"id": "1"}], 2, ([0, 1], [0, -1], ["http://a/1"] * 2), (1, None)]


READS_AND_ENDS = """
import sys
import pyarrow.dataset
from hashtag_photos.run import Run
run = Run(sys.argv[1])
if sys.argv[2] == "an error":
    for batch in run.dataset("numbers").to_batches():
        raise SystemExit(2)
if sys.argv[2] == "a part":
    run.dataset("numbers").head(1)
else:
    with run.database(numbers=run.dataset("numbers")) as database:
        database.execute("SELECT * FROM numbers").fetchmany(1)
"""


@pytest.mark.parametrize(("how", "ends"), [("an error", 2), ("a part", 0), ("a query", 0)])
def test_a_process_that_ends_while_tables_are_read_ahead_ends_as_it_says(s3: Store, how: str, ends: int) -> None:
    """Arrow's threads are at it still: had they to ask Python, that would take the process down, or hang it."""

    class Slow(Proxy):
        def fault(self, method: str, path: str) -> str:
            return "late"

    run = Run(s3.at("run"))
    run.ask(model="tiny")
    for number in range(8):
        run.append("numbers", pa.table({"n": [number]}))
    with s3.behind(Slow()):
        done = subprocess.run(
            [sys.executable, "-c", READS_AND_ENDS, s3.at("run"), how], capture_output=True, text=True, timeout=60
        )
    assert (done.returncode, done.stderr) == (ends, "")


@pytest.mark.parametrize(
    "fails",
    ["PUT .*partNumber=2", "POST .*uploadId=", "POST .*uploads"],
    ids=["in the middle", "at its end", "at its beginning"],
)
def test_a_large_upload_that_fails_shows_nothing_and_leaves_the_old_file(
    s3: Store, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    old = Storage(s3.at("run"))
    old.write("shard", filled(b"old"))
    gives_up(monkeypatch)
    refuse = lambda method, path: 500 if re.match(fails, f"{method} {path}") else None  # noqa: E731
    with s3.behind(Proxy(refuse=refuse)):
        there = Storage(s3.at("run"))
        for name in ("shard", "new"):
            with pytest.raises(StorageError, match="run the same command again later"):
                there.write(name, filled(b"x" * 25 * MB))
    assert old.read("shard") == b"old"
    assert old.names() == ["shard"]


def test_a_large_upload_whose_last_answer_is_lost_is_whole(s3: Store) -> None:
    """The store made one file of the parts, but the answer never came; asked again, it no longer knows the upload."""
    lost = []

    class LosesTheEnd(Proxy):
        def fault(self, method: str, path: str) -> str:
            if method == "POST" and "uploadId=" in path and len(lost) < 2:
                lost.append(path)
                return "cut after" if len(lost) == 1 else "404"
            return ""

    content = os.urandom(25 * MB)
    with s3.behind(LosesTheEnd()):
        Storage(s3.at("run")).write("shard", filled(content))
        assert Storage(s3.at("run")).read("shard") == content
    assert lost[0] == lost[1]


def test_a_file_that_could_not_be_filled_is_not_sent(s3: Store) -> None:
    there = Storage(s3.at("run"))

    def fails(file: IO[bytes]) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match="TMPDIR"):
        there.write("x", fails)
    assert there.names() == []


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (301, "its region by AWS_REGION"),
        (400, "whether the key is still good"),
        (403, "AWS_ACCESS_KEY_ID .* what it may do in this bucket"),
        (409, "[^a-z]409.*run the same command again later"),
        (503, "run the same command again later"),
    ],
)
def test_a_store_that_refuses_says_what_to_do(
    s3: Store, monkeypatch: pytest.MonkeyPatch, status: int, words: str
) -> None:
    gives_up(monkeypatch)
    with s3.behind(Proxy(refuse=lambda method, path: status)):
        for asks in (
            lambda there: there.write("run.json", filled(b"{}")),
            lambda there: there.exists("run.json"),
            lambda there: there.read("run.json"),
            lambda there: there.open("run.json"),
            lambda there: there.names(),
        ):
            with pytest.raises(StorageError, match=words):
                asks(Storage(s3.at("run")))


def test_a_bucket_that_is_not_there_is_said(s3: Store) -> None:
    for asks in (lambda there: there.check_writable(), lambda there: there.write("x", filled(b"x"))):
        with pytest.raises(StorageError, match=r"^s3://none-of-that-name: there is no such bucket: make it, [^.]*$"):
            asks(Storage("s3://none-of-that-name/run"))
    Storage(s3.at("run")).check_writable()


def test_a_store_that_fails_is_no_damage_to_a_table(s3: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    Run(s3.at("run")).append("numbers", pa.table({"n": [1]}))
    gives_up(monkeypatch)
    refuse = lambda method, path: 503 if method == "GET" and ".parquet" in path else None  # noqa: E731
    with s3.behind(Proxy(refuse=refuse)):
        run = Run.__new__(Run)
        run.storage = Storage(s3.at("run"))
        run.location = run.storage.location
        for reads in (
            lambda: list(run.batches("numbers", "n")),
            lambda: run.dataset("numbers").to_table(),
            lambda: run.read_table("numbers/part-000001.parquet"),
        ):
            with pytest.raises(StorageError, match="run the same command again later"):
                reads()


def test_files_on_their_way_are_removed_also_those_of_who_was_killed(
    s3: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code = """
import sys, time
from hashtag_photos.storage import Storage
with Storage(sys.argv[1]).incoming() as folder:
    (folder / "half").write_bytes(b"x")
    print("there", flush=True)
    time.sleep(60)
"""
    words = [sys.executable, "-c", code, s3.at("run")]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with (
        subprocess.Popen(words, stdout=subprocess.PIPE, env=environment) as alive,
        subprocess.Popen(words, stdout=subprocess.PIPE, env=environment) as killed,
    ):
        assert (alive.stdout.readline(), killed.stdout.readline()) == (b"there\n", b"there\n")
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        with Storage(s3.at("run")).incoming() as folder:
            assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 2, "this one, and who is alive"
            (folder / "a").write_bytes(b"picture")
            Storage(s3.at("run")).adopt([(folder / "a", "images/ab/a.jpg")])
            assert list(folder.iterdir()) == []
        alive.kill()
    with Storage(s3.at("run")).incoming():
        pass
    assert list(tmp_path.iterdir()) == []


# Who may write


HOLDER = """
import sys, time
from hashtag_photos.labels import LabelSet
from hashtag_photos.review.session import Session
from hashtag_photos.run import Run
from hashtag_photos.stages.sample import draw_sample
with Run(sys.argv[1]).writing():
    print("writes", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hashtag_photos.run._PATIENCE", 0.0)


def test_a_second_writer_is_refused_until_the_first_is_dead_and_then_goes_on_at_once(
    s3: Store, impatient: None
) -> None:
    Run(s3.at("run")).ask(model="tiny")
    with subprocess.Popen([sys.executable, "-c", HOLDER, s3.at("run")], stdout=subprocess.PIPE) as first:
        assert first.stdout.readline() == b"writes\n"
        with pytest.raises(RunLockedError, match=f"another process .number {first.pid} on "):
            Run(s3.at("run")).ask(labels="others")
        first.send_signal(signal.SIGKILL)
        first.wait()
    run = Run(s3.at("run"))
    with run.writing(), run.writing():
        run.ask(labels="others")
        with pytest.raises(RunLockedError):
            Run(s3.at("run")).ask(more="x")
    assert Run(s3.at("run")).asked == {"model": "tiny", "labels": "others"}
    Run(s3.at("run")).ask(more="x")
    assert [name for name in run.storage.names(".lock") if name] == []


@pytest.mark.parametrize("fails", ["GET .*list-type.*lock", "DELETE .*lock", "PUT .*lock"])
def test_a_claim_that_could_not_be_withdrawn_shuts_nobody_out_of_the_process_that_stated_it(
    s3: Store, impatient: None, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    gives_up(monkeypatch)
    monkeypatch.setattr("hashtag_photos.handlabels._PATIENCE", 0.0)
    run = Run(s3.at("run"))
    run.ask(model="tiny")
    lost = lambda method, path: re.match(fails, f"{method} {path}") or method == "DELETE"  # noqa: E731
    with s3.behind(Proxy(refuse=lambda method, path: 503 if lost(method, path) else None)):
        for asks in (lambda there: there.ask(labels="a"), lambda there: HandLabels(there).add(label(1))):
            with suppress(StorageError):
                asks(Run(s3.at("run")))
    HandLabels(Run(s3.at("run"))).add(label(2))
    with run.writing(), pytest.raises(RunLockedError, match="written by something else in this process"):
        Run(s3.at("run")).ask(more="x")
    assert HandLabels(run).rows()[-1] == label(2)


def elsewhere(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(lease, "_machine", lambda: f"{name}-0123456789abcdef")


def test_who_is_on_another_machine_counts_until_nothing_is_heard(s3: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    there = Storage(s3.at("run"))
    elsewhere(monkeypatch, "one")
    first = Lease(there, ".lock")
    first.acquire()
    elsewhere(monkeypatch, "two")
    second = Lease(there, ".lock")
    with pytest.raises(RunLockedError, match=f"number {os.getpid()} on one"):
        second.acquire()
    monkeypatch.setattr(lease, "EXPIRES", timedelta(seconds=1))
    second.acquire(patience=20)  # once the store's clock, which counts seconds, says that it is over
    first.check()  # it is sure for a while, which is shorter than EXPIRES
    clock = lease._clock
    monkeypatch.setattr(lease, "_clock", lambda: clock() + 1_000)
    monkeypatch.setattr(lease, "_PATIENCE_WHEN_LATE", 0.0)
    monkeypatch.setattr(lease, "EXPIRES", timedelta(seconds=120))
    with pytest.raises(RunLockedError, match="nothing more is written by this one"):
        first.check()
    with pytest.raises(RunLockedError, match="nothing more is written by this one"):
        first.check()
    second.check()
    first.release()
    second.check()
    second.release()
    third = Lease(there, ".lock")
    third.acquire()
    third.release()


def test_who_was_not_heard_for_long_goes_on_if_nobody_took_over(s3: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Lease(Storage(s3.at("run")), ".lock")
    mine.acquire()
    clock = lease._clock
    monkeypatch.setattr(lease, "_clock", lambda: clock() + 1_000)
    mine.check()
    mine.release()


def test_a_run_writes_no_table_once_another_took_over(s3: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_PATIENCE_WHEN_LATE", 0.0)
    run = Run(s3.at("run"))
    with run.writing():
        run.ask(labels="a")
        run.append("numbers", pa.table({"n": [1]}))
        elsewhere(monkeypatch, "another")
        monkeypatch.setattr(lease, "EXPIRES", timedelta(seconds=-1))  # whatever was said is over
        other = Run(s3.at("run"))
        with other.writing():
            other.append("numbers", pa.table({"n": [2]}))
            monkeypatch.setattr(lease, "EXPIRES", timedelta(seconds=120))
            clock = lease._clock
            monkeypatch.setattr(lease, "_clock", lambda: clock() + 1_000)
            with pytest.raises(RunLockedError, match="nothing more is written"):
                run.append("numbers", pa.table({"n": [3]}))
            with pytest.raises(RunLockedError, match="nothing more is written"):
                run.ask(model="tiny")
    assert [batch.column(0).to_pylist() for batch in Run(s3.at("run")).batches("numbers", "n")] == [[1], [2]]


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_of_many_that_want_to_write_there_is_one_at_a_time(s3: Store, share: float) -> None:
    inside, most, times = [0], [0], [0]

    def write() -> None:
        for _ in range(2):
            mine = Lease(Storage(s3.at("run")), ".lock")
            mine.acquire(patience=100)
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            there.write("count", filled(b"%d" % (int(there.read("count")) + 1)))
            times[0] += 1
            inside[0] -= 1
            mine.release()

    with s3.behind(Proxy(share=share)):
        there = Storage(s3.at("run"))
        there.write("count", filled(b"0"))
        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (most, times, there.read("count")) == ([1], [8], b"8")


# Hand labels


def label(number: int, coder: str = "anna") -> HandLabel:
    return HandLabel(
        sha256=f"{number:064x}", label="friendly", coder=coder, at=datetime(2026, 1, 1, tzinfo=UTC),
        question="a-12345678", round=BLIND, sampled=DRAWN,
    )  # fmt: skip


def test_labels_of_several_coders_are_all_kept(s3: Store) -> None:
    Run(s3.at("run")).ask(model="tiny")
    HandLabels(Run(s3.at("run"))).add(label(0))

    def add(coder: str) -> None:
        mine = HandLabels(Run(s3.at("run")))
        for number in range(1, 4):
            mine.add(label(number, coder))

    threads = [threading.Thread(target=add, args=[coder]) for coder in ("anna", "bert")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = HandLabels(Run(s3.at("run")))
    assert {(row.sha256[-1], row.coder) for row in store.rows()} == {("0", "anna")} | {
        (str(number), coder) for number in range(1, 4) for coder in ("anna", "bert")
    }
    assert len(store.rows()) == 7
    assert store.verdicts("a-12345678")[f"{1:064x}"].answers == {"anna": "friendly", "bert": "friendly"}


def test_what_people_did_to_the_file_holds_as_on_a_disk(s3: Store) -> None:
    run = Run(s3.at("run"))
    run.ask(model="tiny")
    store = HandLabels(run)
    store.add(label(1))
    run.storage.write(LABELS, filled(run.storage.read(LABELS).rstrip(b"\n").replace(b"\n", b"\r\n")))
    store.add(label(2))
    assert [row.sha256[-1] for row in HandLabels(run).rows()] == ["1", "2"]
    run.storage.write(LABELS, filled(run.storage.read(LABELS)[:-4]))  # a row cut short is none
    store.add(label(3))
    assert [row.sha256[-1] for row in HandLabels(run).rows()] == ["1", "3"]
    broken = run.storage.read(LABELS).replace(b"friendly", b"fr\xff")
    run.storage.write(LABELS, filled(broken))
    with pytest.raises(RunError, match="line 2 is not UTF-8"):
        store.add(label(4))
    assert run.storage.read(LABELS) == broken


# Google's storage, as far as an emulator behaves like it


def test_a_run_in_googles_storage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with google_emulator(monkeypatch):
        run = Run("gs://bucket/runs/mine")
        with pytest.raises(StorageError, match="gs://none: there is no such bucket"):
            Storage("gs://none/run").check_writable()
        run.storage.check_writable()
        hp.collect(run, hp.sources.sample(), limit=20)
        assert hp.download(run).new >= 20
        for number in range(2):
            HandLabels(Run(run.location)).add(label(number))
        run = Run(run.location)
        rows = run.dataset("photos").to_table().to_pylist()
        for row in rows:
            with run.images.open(row["sha256"], row["format"]) as file:
                assert hashlib.sha256(file.read()).hexdigest() == row["sha256"]
        assert hp.download(run).new == 0
        assert HandLabels(run).rows() == [label(0), label(1)]
        with run.writing(), pytest.raises(RunLockedError):
            Run(run.location).ask(more="x")
        assert run.storage.names(".lock") == []
        with pytest.raises(FileNotFoundError):
            run.storage.open("none")
        for above in ("gs://bucket", "gs://bucket/runs"):
            with pytest.raises(RunError, match=r"not a run folder .it has no run.json, but '(runs|mine)'"):
                Run(above)


def test_a_large_upload_to_googles_storage_that_fails_shows_nothing_and_leaves_the_old_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its second part is refused; the store would take what comes after, such as the end of the stream."""

    class Refuses(Proxy):
        parts = 0

        def fault(self, method: str, path: str) -> str:
            self.parts += method == "PUT"
            return "403" if method == "PUT" and self.parts == 2 else ""

    with google_emulator(monkeypatch) as address:
        old = Storage("gs://bucket/run")
        old.write("shard", filled(b"old"))
        for name in ("shard", "new"):
            proxy = Refuses()
            with Store(address, "bucket", monkeypatch).behind(proxy), pytest.raises(StorageError, match="Who asks"):
                Storage("gs://bucket/run").write(name, filled(b"x" * 25 * MB))
            assert proxy.parts >= 2
        assert (old.names(), old.read("shard")) == (["shard"], b"old")


# The whole walk


CLASSES = ["friendly", "conflict_and_force", "neither"]


def walk(location: str) -> None:
    """From the sample's posts to the report: a first and a further question, and hand labels of a drawn sample."""
    run = hp.Run(location)
    hp.collect(run, hp.sources.sample())
    hp.download(run)
    hp.classify(run, hp.Classifier("tiny", "friendly-or-force"))
    run = hp.Run(location)
    day = asked(["day: a street in daylight", "night: a street at night"])
    hp.classify(run, hp.Classifier("tiny", day))
    hp.summarize(run, labels_key=day.key)
    labels = hp.find_labels("friendly-or-force")
    facts = {"seed": "a", "question": labels.question, "classes": CLASSES}
    run.record_used("samples", labels.question_key, facts)
    draw_sample(run, run.asked["model_key"], labels, 12)
    with (SAMPLE / "truth.csv").open() as file:
        truth = {row["sha256"]: row["label"] for row in csv.DictReader(file)}
    session = Session(hp.Run(location), run.asked["model_key"], labels)
    turn = session.next("anna")
    while turn.picture is not None:
        turn = session.answer("anna", turn.picture, truth[turn.picture], rows=turn.rows)
    assert turn.done == 12
    run = hp.Run(location)
    hp.write_report(run, hp.summarize(run))


def table_of(run: Run, name: str) -> list[dict[str, object]]:
    """The rows of a table in an order of their own, without times, and pseudonyms, which are a run's own."""
    table = run.read_table(name) if name.endswith(".parquet") else run.dataset(name).to_table()
    return sorted(
        ({k: v for k, v in row.items() if k not in ("fetched_at", "author")} for row in table.to_pylist()), key=repr
    )


@pytest.mark.parametrize("then", ["is there again", "is away"])
def test_a_store_that_is_away_for_longer_than_it_is_asked_costs_no_row_and_doubles_none(
    s3: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    """A part is written, and the answer lost for good; the same command goes on later."""
    gives_up(monkeypatch)
    (tmp_path / "sitecustomize.py").write_text("from hashtag_photos import storage; storage._ATTEMPTS = 1")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # for who fetches
    monkeypatch.setattr("hashtag_photos.stages.download.PART_ROWS", 20)
    asked_when_away = []

    class Away(Proxy):
        since_lost = False

        def fault(self, method: str, path: str) -> str:
            if self.since_lost and then == "is away":
                asked_when_away.append(path)
                return "503"
            if method == "PUT" and "/photos/part-" in path and not self.since_lost:
                self.since_lost = True
                return "cut after"
            return ""

    hp.collect(hp.Run(s3.at("run")), hp.sources.sample())
    with s3.behind(Away()), pytest.raises(StorageError, match="run the same command again later"):
        hp.download(hp.Run(s3.at("run")))
    rows = table_of(Run(s3.at("run")), "photos")
    assert len(rows) == 20 if then == "is away" else len(rows) > 20
    if then == "is away":
        assert len([path for path in asked_when_away if "photos" in path]) == 1, "tried once more, at the end"
    there = Storage(s3.at("run"))
    for claim in there.names(".lock"):  # its process ended, in truth
        there.remove(f".lock/{claim}")
    local = hp.Run(tmp_path / "run")
    hp.collect(local, hp.sources.sample())
    hp.download(local)
    assert hp.download(hp.Run(s3.at("run"))).new == local.dataset("photos").count_rows() - len(rows)
    assert table_of(Run(s3.at("run")), "photos") == table_of(local, "photos")


KILLER = """
import os, signal, sys
from hashtag_photos.storage import Storage
from hashtag_photos.stages import download, embed
download.PART_ROWS, embed.PART_ROWS = 50, 64
place, left = sys.argv.pop(1), int(sys.argv.pop(1))
write = Storage.write
def killed(self, relative, fill, **options):
    global left
    left -= relative.startswith(place)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, relative, fill, **options)
Storage.write = killed
from hashtag_photos.cli import main
main()
"""


@pytest.mark.slow
def test_the_whole_walk_where_requests_fail_and_processes_are_killed_gives_what_a_folder_gives(
    s3: Store, tmp_path: Path
) -> None:
    """One request in twenty fails; twice the run is killed with -9, and the next one goes on at once."""
    local = tmp_path / "sample"
    walk(str(local))
    with s3.behind(Proxy(share=0.05)) as proxy:
        there = s3.at("deep/sample")
        hp.collect(hp.Run(there), hp.sources.sample())
        for stage, place, number in (("download", "photos/", 2), ("classify", "embeddings/", 2)):
            words = [sys.executable, "-c", KILLER, place, str(number), stage, there]
            killed = subprocess.run(words, capture_output=True, timeout=120)
            assert killed.returncode == -9, (killed.stdout.decode(), killed.stderr.decode())
            hp.download(hp.Run(there))
        walk(there)
        assert hp.download(Run(there)).new == 0
        done = command("summarize", there)
        assert (done.returncode, done.stderr) == (0, "")
    assert all(proxy.done[fault] for fault in FAULTS)
    here, run = Run(local), Run(there)
    model = here.asked["model_key"]
    scores = [f"scores/{model}/{name}" for name in here.storage.names(f"scores/{model}")]
    assert len(scores) == 6
    samples = [f"sample/{name}" for name in here.storage.names("sample")]
    for table in ("posts", "photos", f"embeddings/{model}", f"duplicates/{model}.parquet", *scores, *samples):
        assert table_of(run, table) == table_of(here, table), table
    reports = sorted(path for path in (local / "report").rglob("*") if path.is_file())
    assert len(reports) > 20
    for path in reports:
        name = str(path.relative_to(local))
        assert run.storage.read(name) == path.read_bytes(), name
    assert [(row.sha256, row.label) for row in HandLabels(run).rows()] == [
        (row.sha256, row.label) for row in HandLabels(here).rows()
    ]
