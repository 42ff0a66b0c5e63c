import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
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
