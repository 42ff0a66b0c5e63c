import ctypes
import errno
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import pytest

from hashtag_photos import storage
from hashtag_photos.errors import StorageError
from hashtag_photos.run import Run
from hashtag_photos.storage import Storage


def test_a_file_that_could_not_be_finished_is_not_there_and_the_old_one_is(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    storage.write("a/b.txt", lambda file: file.write(b"old"))

    def fails(file: object) -> None:
        file.write(b"half of the new")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match="disk is full: free some space"):
        storage.write("a/b.txt", fails)
    assert storage.read("a/b.txt") == b"old"
    assert storage.names("a") == ["b.txt"]


def test_killed_while_writing_leaves_no_half_file_and_the_leftover_is_swept(tmp_path: Path) -> None:
    Run(tmp_path).ask(model="tiny")
    code = f"""
import time
from hashtag_photos.storage import Storage
def fill(file):
    file.write(b"half"); file.flush(); print("writing", flush=True); time.sleep(60)
Storage({str(tmp_path)!r}).write("posts/part-000001.parquet", fill)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"writing\n"
        process.send_signal(signal.SIGKILL)
    assert [path for path in (tmp_path / "posts").iterdir() if not path.name.startswith(".")] == []
    with Run(tmp_path).writing():
        assert list((tmp_path / "posts").iterdir()) == []


def test_bytes_and_name_are_synced_in_this_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a power cut: the file's bytes, then its name, then the folder that holds the name."""
    order = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda fd: order.append("dir" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file") or sync(fd)
    )
    monkeypatch.setattr(os, "replace", lambda file, target: order.append("rename") or replace(file, target))
    Storage(tmp_path).write("x", lambda file: file.write(b"1"))
    (tmp_path / "incoming").write_bytes(b"2")
    Storage(tmp_path).adopt([(tmp_path / "incoming", "y")])
    assert order == ["file", "rename", "dir"] * 2


class Recorder:
    """The order of what is done to a disk: a fake libc, and the syncing and renaming of `os`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path, code: int | None = 0) -> None:
        self.order: list[tuple[str, str]] = []
        sync, replace = os.fsync, os.replace

        def name(fd: int) -> str:
            return str(Path(f"/proc/self/fd/{fd}").readlink().relative_to(root))

        def fsync(fd: int) -> None:
            self.order.append(("fsync", name(fd)))
            sync(fd)

        def renamed(file: str, target: str) -> None:
            self.order.append(("rename", str(Path(target).relative_to(root))))
            replace(file, target)

        def syncfs(fd: int) -> int:
            self.order.append(("syncfs", ""))
            name(fd)  # raises unless it is of this file system
            if code:
                ctypes.set_errno(errno.EIO)
            return code or 0

        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(os, "replace", renamed)
        monkeypatch.setattr(storage, "_LIBC", SimpleNamespace(**({} if code is None else {"syncfs": syncfs})))


def incoming(folder: Path, count: int) -> list[tuple[Path, str]]:
    """Files to be moved in, each into a folder of its own."""
    folder.mkdir()
    files = [(folder / str(number), f"images/{number:02}/{number}.jpg") for number in range(count)]
    for file, _ in files:
        file.write_bytes(file.name.encode() * 10)
    return files


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="names open files by /proc")
@pytest.mark.parametrize("code", [0, None])
@pytest.mark.parametrize("count", [3, 40])
def test_of_many_files_none_is_seen_before_all_bytes_are_synced_and_none_is_told_before_its_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, code: int | None
) -> None:
    """Of many at once by one syncfs, where there is one; else, and of few, by an fsync for each file and folder."""
    files = incoming(tmp_path / "in", count)
    recorder = Recorder(monkeypatch, tmp_path, code)
    Storage(tmp_path).adopt(files)
    kinds = [kind for kind, _ in recorder.order]
    first, last = kinds.index("rename"), len(kinds) - kinds[::-1].index("rename")
    assert kinds[first:last] == ["rename"] * count
    assert {name for _, name in recorder.order[first:last]} == {relative for _, relative in files}
    if count >= 8 and code == 0:
        assert kinds[:first] == kinds[last:] == ["syncfs"]
    else:
        assert [name for _, name in recorder.order[:first]] == [f"in/{number}" for number in range(count)]
        names = {name for _, name in recorder.order[last:]}
        assert names >= {f"images/{number:02}" for number in range(count)}
        assert "images" in names, "folders are new, and their names are in it"
    assert all((tmp_path / relative).read_bytes() == file.name.encode() * 10 for file, relative in files)
    assert list((tmp_path / "in").iterdir()) == []


def test_what_could_not_be_synced_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = incoming(tmp_path / "in", 40)
    Recorder(monkeypatch, tmp_path, -1)
    with pytest.raises(StorageError, match="Input/output error"):
        Storage(tmp_path).adopt(files)
    assert not (tmp_path / "images").exists()


def test_of_the_same_bytes_one_file_stays_and_a_damaged_one_is_replaced(tmp_path: Path) -> None:
    files = incoming(tmp_path / "in", 12)
    same = tmp_path / "in/same"
    same.write_bytes(files[0][0].read_bytes())
    (tmp_path / "images/03").mkdir(parents=True)
    (tmp_path / "images/03/3.jpg").write_bytes(b"")
    Storage(tmp_path).adopt([*files, (same, files[0][1])])
    assert sorted(path.name for path in (tmp_path / "images").rglob("*.jpg")) == sorted(f"{n}.jpg" for n in range(12))
    assert (tmp_path / "images/03/3.jpg").read_bytes() == b"3" * 10
    before = (tmp_path / "images/00/0.jpg").stat()
    same.write_bytes(b"0" * 10)
    Storage(tmp_path).adopt([(same, files[0][1])])
    after = (tmp_path / "images/00/0.jpg").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns), "it was left as it stood"
    assert not same.exists()


def test_the_same_content_is_not_written_again(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    assert storage.update("x", b"1")
    before = (tmp_path / "x").stat().st_mtime_ns
    assert not storage.update("x", b"1")
    assert (tmp_path / "x").stat().st_mtime_ns == before
    assert storage.update("x", b"2")


@pytest.mark.parametrize("held", [b"", b"one", b"onetwo", b"onetwothree", b"onetwO"])
def test_a_file_that_is_filled_bit_by_bit_is_left_alone_if_it_holds_just_that(tmp_path: Path, held: bytes) -> None:
    storage = Storage(tmp_path)
    storage.write("x", lambda file: file.write(held))
    before = (tmp_path / "x").stat().st_ino

    def fill(file: IO[bytes]) -> None:
        for each in (b"one", b"", b"two"):
            assert file.write(each) == len(each)

    assert storage.update("x", fill) == (held != b"onetwo")
    assert storage.read("x") == b"onetwo"
    assert ((tmp_path / "x").stat().st_ino == before) == (held == b"onetwo")


def test_a_folder_that_can_not_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="--run"):
        Storage(tmp_path / "file").write("run.json", lambda file: file.write(b""))


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("nosuch://bucket/run", "begins with s3:// or gs://, not with nosuch://"),
        ("s3://bucket//run", "no address of a folder, such as s3://bucket/runs/mine"),
        ("s3://bucket/../run", "no address of a folder"),
        ("s3://Bucket/run", "no address of a folder"),
        ("gs://", "no address of a folder, such as gs://bucket/runs/mine"),
        ("s3://key:secret@bucket/run", "no keys, .*AWS_ACCESS_KEY_ID"),
        ("s3://key:sec/ret@bucket/run", "no keys"),
        ("s3://bucket/run?access_key=key&secret_key=secret", "no parameters; .* AWS_ENDPOINT_URL"),
        ("gs://token@bucket/run", "no keys, .*GOOGLE_APPLICATION_CREDENTIALS"),
        (Path("s3://bucket/run"), "type s3://bucket/run, in Python as text and not as a Path"),
        ("GS:/bucket/run", "type gs://bucket/run"),
    ],
)
def test_an_address_that_can_t_be_one_is_refused_and_no_key_in_it_is_shown(address: str | Path, words: str) -> None:
    with pytest.raises(StorageError, match=words) as refused:
        Storage(address)
    assert not re.search("secret@|sec/ret|=secret|token@", str(refused.value) + str(refused.value.subject))


def test_making_one_asks_nobody_and_a_folder_is_the_same_however_it_is_written() -> None:
    for store in ("s3", "gs"):
        assert Storage(f"{store}://bucket/runs/mine/").path("a/b") == "bucket/runs/mine/a/b"
        assert Storage(f"{store}://bucket").path("run.json") == "bucket/run.json"
        assert Storage(f"{store}://bucket/x").local is None


def test_a_folder_can_be_given_as_an_address_of_a_file(tmp_path: Path) -> None:
    storage = Storage((tmp_path / "a b").as_uri())
    storage.write("x", lambda file: file.write(b"1"))
    assert (tmp_path / "a b/x").read_bytes() == b"1"
    assert storage.local == tmp_path / "a b"
