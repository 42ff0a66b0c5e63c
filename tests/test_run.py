import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hashtag_photos.errors import RunConflictError, RunError, RunLockedError
from hashtag_photos.run import Run
from hashtag_photos.tables import POSTS


def test_making_a_run_touches_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    assert not run.exists
    assert list(tmp_path.iterdir()) == []


def test_a_run_remembers_what_it_was_asked_and_refuses_what_contradicts_it(tmp_path: Path) -> None:
    Run(tmp_path).ask(model="tiny", sources=[{"kind": "sample"}])
    again = Run(tmp_path)
    again.ask(model="tiny", sources=[{"kind": "sample"}], labels="a")
    assert again.asked == {"model": "tiny", "sources": [{"kind": "sample"}], "labels": "a"}
    with pytest.raises(RunConflictError, match=r"was asked with model tiny and is now asked with model large.*--run"):
        again.ask(model="large")
    assert json.loads((tmp_path / "run.json").read_text())["asked"]["model"] == "tiny"


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(RunError, match=r"not a run folder.*holiday.jpg.*--run"):
        Run(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '"x"'])
def test_a_damaged_manifest_is_refused_and_left(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(RunError, match="can't be read"):
        Run(tmp_path)
    assert (tmp_path / "run.json").read_text() == text


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"format": 99}')
    with pytest.raises(RunError, match="run format 99"):
        Run(tmp_path)


def test_a_damaged_table_is_said_to_be_one(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.ask(model="tiny")
    (tmp_path / "posts").mkdir()
    (tmp_path / "posts/part-000001.parquet").write_bytes(b"damaged")
    with pytest.raises(RunError, match=r"posts can't be read, a file may be damaged.*--run"):
        run.keys("posts", POSTS, "source", "id")
    with pytest.raises(RunError, match="can't be read"), run.database() as database:
        database.execute("SELECT count(likes) FROM posts").fetchall()


def test_what_fails_beside_the_tables_is_not_called_a_damaged_table(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError), Run(tmp_path).database():
        raise ConnectionResetError("a socket's own trouble")


def test_parts_add_up_and_older_parts_lack_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.append("posts", pa.table({"source": ["a"], "id": ["1"]}))
    run.append("posts", pa.Table.from_pylist([{"source": "a", "id": "2", "likes": 3}], schema=POSTS))
    run.append("posts", POSTS.empty_table())
    assert run.storage.names("posts") == ["part-000001.parquet", "part-000002.parquet"]
    assert run.keys("posts", POSTS, "source", "id") == {("a", "1"), ("a", "2")}
    with run.database() as database:
        assert database.execute("SELECT id, likes FROM posts ORDER BY id").fetchall() == [("1", None), ("2", 3)]


def test_a_table_comes_in_the_order_it_was_written_in_pieces_of_any_size(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for first in (0, 5):
        run.append("numbers", pa.table({"n": range(first, first + 5), "other": ["x"] * 5}))
    pieces = [batch.to_pydict() for batch in run.batches("numbers", "n", rows=3)]
    assert pieces == [{"n": [0, 1, 2]}, {"n": [3, 4]}, {"n": [5, 6, 7]}, {"n": [8, 9]}]


def in_parts(run: Run, *sizes: int, start: int = 0, column: str = "n") -> None:
    for size in sizes:
        run.append("numbers", pa.table({column: range(start, start + size)}))
        start += size


def numbers(run: Run) -> list[int]:
    return [number for batch in run.batches("numbers", "n") for number in batch.column("n").to_pylist()]


def test_many_small_parts_become_few_and_hold_the_same_in_the_same_order(tmp_path: Path) -> None:
    run = Run(tmp_path)
    in_parts(run, *[5] * 7)
    run.compact("numbers")
    assert len(run.storage.names("numbers")) == 7  # not worth it
    in_parts(run, 5, 99_000, *[300] * 8, start=35)
    run.compact("numbers")
    assert run.storage.names("numbers") == [
        "part-000001-000012.parquet",
        *(f"part-{n:06d}.parquet" for n in range(13, 18)),
    ]
    assert numbers(run) == list(range(101_440))
    assert run.dataset("numbers").count_rows() == 101_440
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    run.compact("numbers")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    in_parts(run, 5, start=101_440)
    assert run.storage.names("numbers")[-1] == "part-000018.parquet"
    in_parts(run, 5, 5, start=101_445)
    run.compact("numbers")
    assert run.storage.names("numbers") == ["part-000001-000012.parquet", "part-000013-000020.parquet"]
    assert numbers(run) == list(range(101_455))


def test_parts_with_other_columns_are_not_merged_with_these(tmp_path: Path) -> None:
    run = Run(tmp_path)
    in_parts(run, *[5] * 8, column="older")
    in_parts(run, *[5] * 8)
    run.compact("numbers")
    assert run.storage.names("numbers") == ["part-000001-000008.parquet", "part-000009-000016.parquet"]


def test_vectors_are_merged_as_they_are_stored(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for number in range(8):
        run.append("vectors", pa.table({"vector": pa.array([bytes([number] * 64)] * 3, pa.binary(64))}))
    run.compact("vectors")
    (name,) = run.storage.names("vectors")
    assert pq.read_metadata(tmp_path / "vectors" / name).row_group(0).column(0).compression == "UNCOMPRESSED"
    assert run.dataset("vectors").to_table().column(0).to_pylist() == [bytes([n] * 64) for n in range(8) for _ in "abc"]


@pytest.mark.parametrize("at", ["write", "remove"])
def test_a_compaction_killed_at_any_point_loses_and_doubles_nothing(tmp_path: Path, at: str) -> None:
    run = Run(tmp_path)
    run.ask(model="tiny")
    in_parts(run, *[3] * 10)
    killed = f"""
import os
from hashtag_photos.run import Run
from hashtag_photos.storage import Storage
left = iter([False, True])
before = Storage.{at}
def dies(self, relative, *rest, **options):
    if {at!r} == "write":
        before(self, relative, *rest, **options)
        os._exit(9)  # it stands, and what it stands for, too
    next(left) and os._exit(9)
    before(self, relative)
Storage.{at} = dies
Run({str(tmp_path)!r}).compact("numbers")
"""
    assert subprocess.run([sys.executable, "-c", killed], check=False).returncode == 9
    assert len(run.storage.names("numbers")) == {"write": 11, "remove": 10}[at]
    assert numbers(run) == list(range(30))
    assert run.dataset("numbers").count_rows() == 30
    in_parts(run, 3, start=30)
    run.compact("numbers")
    assert run.storage.names("numbers") == ["part-000001-000010.parquet", "part-000011.parquet"]
    assert numbers(run) == list(range(33))


def test_a_table_that_is_merged_while_it_is_read_is_not_called_damaged(tmp_path: Path) -> None:
    run = Run(tmp_path)
    in_parts(run, *[3] * 8)
    rows = run.batches("numbers", "n")
    next(rows)
    run.compact("numbers")
    with pytest.raises(RunError, match="written while it was read: run the same command again"):
        list(rows)


def test_two_writers_of_one_folder_get_a_clear_error(tmp_path: Path) -> None:
    code = f"""
import sys
from hashtag_photos.run import Run
with Run({str(tmp_path)!r}).writing():
    print("writing", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"writing\n"
        with pytest.raises(RunLockedError, match=r"another process.*--run"), Run(tmp_path).writing():
            pass
        other.kill()
    with Run(tmp_path).writing():  # a killed writer leaves no lock behind
        pass


def test_the_lock_nests(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with run.writing(), run.writing():
        run.ask(model="tiny")
    with Run(tmp_path).writing():
        pass
