import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from hashtag_photos.errors import StorageError
from hashtag_photos.records import image_path
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


def test_the_same_content_is_not_written_again(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    assert storage.update("x", b"1")
    before = (tmp_path / "x").stat().st_mtime_ns
    assert not storage.update("x", b"1")
    assert (tmp_path / "x").stat().st_mtime_ns == before
    assert storage.update("x", b"2")


def test_a_folder_that_can_not_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="--run"):
        Storage(tmp_path / "file").write("run.json", lambda file: file.write(b""))


def test_an_unknown_kind_of_place_says_so() -> None:
    with pytest.raises(StorageError, match="nosuch"):
        Storage("nosuch://bucket/run")


def test_everything_goes_through_pyarrows_file_systems(tmp_path: Path) -> None:
    """A file system that is not this machine's: tables, images and run.json work as on a disk."""
    run = Run("mock:///run")
    assert run.storage.local is None
    run.ask(model="tiny")
    run.append("numbers", pa.table({"n": [1, 2]}))
    run.append("numbers", pa.table({"n": [3]}))
    assert sorted(run.dataset("numbers").to_table().column("n").to_pylist()) == [1, 2, 3]
    with run.storage.incoming() as folder:
        (folder / "1").write_bytes(b"picture")
        run.storage.adopt([(folder / "1", image_path("ab" * 32, "JPEG"))])
        assert list(folder.iterdir()) == []
    with run.open_image("ab" * 32, "JPEG") as file:
        assert file.read() == b"picture"
    assert run.storage.names() == ["images", "numbers", "run.json"]
