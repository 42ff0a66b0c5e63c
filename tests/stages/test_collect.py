import csv
import gzip
import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import hashtag_photos as hp
from hashtag_photos.errors import RunConflictError, RunError, SourceError, UsageError
from hashtag_photos.run import Run
from hashtag_photos.stages.collect import collect
from hashtag_photos.tables import POSTS


def export(path: Path, ids: list[int]) -> Path:
    path.write_text(
        "".join(json.dumps({"id": each, "media": [f"https://a.example/{each}.jpg"]}) + "\n" for each in ids)
    )
    return path


def ids(run: Run) -> list[str]:
    return sorted(run.dataset("posts", POSTS).to_table().column("id").to_pylist())


def test_every_post_once_however_often_it_is_asked(tmp_path: Path) -> None:
    path, run = export(tmp_path / "p.jsonl", [1, 2, 2, 3]), Run(tmp_path / "run")
    done = collect(run, hp.sources.exported(path))
    assert (done.new, done.had, done.repeated, done.skipped) == (3, 0, 1, False)
    done = collect(run, hp.sources.exported(path))
    assert (done.new, done.had, done.repeated, done.skipped) == (0, 3, 1, True)
    export(path, [2, 3, 4])
    done = collect(Run(tmp_path / "run"), hp.sources.exported(path))
    assert (done.new, done.had) == (1, 3)
    assert ids(run) == ["1", "2", "3", "4"]


def test_a_post_that_comes_again_with_other_pictures_is_listed(tmp_path: Path) -> None:
    path, run = tmp_path / "p.jsonl", Run(tmp_path / "run")
    rows = [(1, "a"), (2, "b"), (1, "c")]
    path.write_text("".join(json.dumps({"id": id, "media": [f"https://a.example/{name}"]}) + "\n" for id, name in rows))
    done = collect(run, hp.sources.exported(path))
    assert (done.new, done.repeated, done.rejected) == (2, 0, 1)
    assert "post 1 stands there again with other attachments" in (tmp_path / "run/rejected.csv").read_text()
    path.write_text(json.dumps({"id": 2, "media": ["https://a.example/corrected"]}) + "\n")
    done = collect(run, hp.sources.exported(path))
    assert (done.new, done.rejected) == (0, 1)
    assert "unlike when it was collected" in (tmp_path / "run/rejected.csv").read_text()


@pytest.mark.parametrize("post", ['{"text": "cut \\ud83d"}', '{"likes": 10000000000000000000}', '{"likes": 1e30}'])
def test_no_post_stops_the_others(tmp_path: Path, post: str) -> None:
    path, run = export(tmp_path / "p.jsonl", [1, 2]), Run(tmp_path / "run")
    path.write_text(path.read_text() + post[:-1] + ', "id": "odd", "media": []}\n')
    assert collect(run, hp.sources.exported(path)).new == 3
    assert ids(run) == ["1", "2", "odd"]


def test_an_odd_key_stays_one_key(tmp_path: Path) -> None:
    path, run = tmp_path / "p.jsonl", Run(tmp_path / "run")
    path.write_text('{"id": "x\\ud83d", "media": ["https://a.example/\\ud83d.jpg"]}\n')
    assert collect(run, hp.sources.exported(path)).new == 1
    path.write_text(path.read_text() + '{"id": "y", "media": []}\n')
    done = collect(run, hp.sources.exported(path))
    assert (done.new, done.had, done.rejected) == (1, 1, 0)


def test_an_interrupted_collection_is_not_taken_for_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, run = export(tmp_path / "p.jsonl", list(range(10))), Run(tmp_path / "run")
    monkeypatch.setattr("hashtag_photos.stages.collect.PART_ROWS", 4)
    monkeypatch.setattr("hashtag_photos.stages.collect._CHUNK_ROWS", 4)
    monkeypatch.setattr("hashtag_photos.stages.collect._LOOK_ROWS", 1)
    append, calls = Run.append, []

    def interrupted(self: Run, table: str, rows: object) -> None:
        calls.append(table)
        if len(calls) == 2:
            raise KeyboardInterrupt
        append(self, table, rows)

    with monkeypatch.context() as once:
        once.setattr(Run, "append", interrupted)
        with pytest.raises(KeyboardInterrupt):
            collect(run, hp.sources.exported(path))
    assert len(ids(run)) == 4
    record = Run(tmp_path / "run").stages["collect"]
    assert record["complete"] is False
    assert record["posts"] is None, "no count that isn't true"
    assert record["sources"][0]["reason"] == "interrupted: run it again to go on"
    done = collect(Run(tmp_path / "run"), hp.sources.exported(path))
    assert (done.new, done.had) == (6, 4)
    assert Run(tmp_path / "run").stages["collect"]["complete"] is True


def test_lines_that_are_no_posts_are_listed_and_counted(tmp_path: Path) -> None:
    path = export(tmp_path / "p.jsonl", [1])
    path.write_text(path.read_text() + "{\n")
    run = Run(tmp_path / "run")
    assert collect(run, hp.sources.exported(path)).rejected == 1
    with (tmp_path / "run/rejected.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["source"] == f"posts of {path}"
    assert row["line"] == "2"
    assert "not JSON" in row["reason"]
    assert Run(tmp_path / "run").stages["collect"]["rejected"] == 1


def test_another_source_is_added(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    first, second = export(tmp_path / "p.jsonl", [1, 2]), export(tmp_path / "q.jsonl", [2, 3])
    second.write_text(second.read_text() + "no json\n")
    collect(run, hp.sources.exported(first))
    done = collect(run, hp.sources.exported(second))
    assert (done.new, done.had, done.rejected) == (1, 2, 1)
    assert ids(run) == ["1", "2", "3"]
    assert [each["posts"] for each in run.stages["collect"]["sources"]] == [2, 2]
    first.write_text(first.read_text() + "no json either\n")
    assert collect(run, hp.sources.exported(first)).rejected == 2
    with (tmp_path / "run/rejected.csv").open() as file:
        assert [row["source"] for row in csv.DictReader(file)] == [f"posts of {second}", f"posts of {first}"]
    export(second, [2, 3])
    assert collect(run, hp.sources.exported(second)).rejected == 1, "what was mended is no longer listed"
    with (tmp_path / "run/rejected.csv").open() as file:
        assert [row["source"] for row in csv.DictReader(file)] == [f"posts of {first}"]


def test_both_at_once_and_again(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    both = [hp.sources.exported(export(tmp_path / name, [n])) for n, name in enumerate(("p.jsonl", "q.jsonl"))]
    assert collect(run, *both).new == 2
    assert collect(run, *both).skipped
    assert collect(run, both[1]).skipped


def test_a_limit_of_an_export_is_said(tmp_path: Path) -> None:
    path, run = export(tmp_path / "p.jsonl", list(range(10))), Run(tmp_path / "run")
    done = collect(run, hp.sources.exported(path), limit=4)
    assert (done.new, done.incomplete[0].reason) == (4, "it was asked for 4 posts, and there are more")
    assert collect(run, hp.sources.exported(path)).skipped
    done = collect(run, hp.sources.exported(path), limit=10)
    assert (done.new, done.had, done.incomplete) == (6, 4, ())
    for limit in (0, -1):
        with pytest.raises(UsageError, match="at least 1"):
            collect(run, hp.sources.exported(path), limit=limit)


@pytest.mark.parametrize("name", ["p.json", "p.jsonl.gz", "p.csv.gz"])
def test_a_file_that_breaks_off_is_not_taken_for_the_whole(tmp_path: Path, name: str) -> None:
    rows = [{"id": n, "media": f"https://a.example/{n}.jpg"} for n in range(3000)]
    if name.endswith(".json"):
        content = json.dumps(rows, indent=1).encode()
    elif "jsonl" in name:
        content = gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode())
    else:
        content = gzip.compress(("id,media\n" + "".join(f"{r['id']},{r['media']}\n" for r in rows)).encode())
    (tmp_path / name).write_bytes(content[: len(content) * 2 // 3])
    run = Run(tmp_path / "run")
    done = collect(run, hp.sources.exported(tmp_path / name))
    assert 1000 < done.new < 3000
    assert "breaks off" in done.incomplete[0].reason
    (tmp_path / name).write_bytes(content)
    done = collect(run, hp.sources.exported(tmp_path / name))
    assert (done.new + done.had, done.incomplete) == (3000, ())


def one(tmp_path: Path, post: dict[str, Any], name: str = "run", **options: Any) -> dict[str, Any]:
    path = tmp_path / f"{name}.jsonl"
    path.write_text(json.dumps({"id": 1, "media": [], **post}) + "\n")
    collect(Run(tmp_path / name), hp.sources.exported(path), **options)
    (row,) = Run(tmp_path / name).dataset("posts", POSTS).to_table().to_pylist()
    return row


def test_authors_are_pseudonyms_that_are_the_runs_own(tmp_path: Path) -> None:
    rows = [{"id": n, "author": "ann" if n < 2 else "bob", "media": []} for n in range(3)]
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = Run(tmp_path / "run")
    collect(run, hp.sources.exported(path))
    first, second, third = run.dataset("posts", POSTS).to_table().column("author").to_pylist()
    assert first == second != third
    assert re.fullmatch(r"[0-9a-f]{16}", first)
    path.write_text(path.read_text() + json.dumps({"id": 9, "author": "ann", "media": []}) + "\n")
    collect(Run(tmp_path / "run"), hp.sources.exported(path))
    assert run.dataset("posts", POSTS).to_table().column("author").to_pylist()[-1] == first, "also later"
    assert one(tmp_path, {"author": "ann"}, "other")["author"] != first, "and of this run alone"
    for file in (tmp_path / "run").rglob("*"):
        assert not file.is_file() or (b"ann" not in file.read_bytes() and b"bob" not in file.read_bytes()), file
    key = tmp_path / "run/authors.key"
    assert key.stat().st_mode & 0o077 == 0, "nobody else may read it"
    key.unlink()
    path.write_text(path.read_text() + json.dumps({"id": 10, "author": "bob", "media": []}) + "\n")
    with pytest.raises(RunError, match=r"authors\.key is gone: the same authors would get other pseudonyms"):
        collect(Run(tmp_path / "run"), hp.sources.exported(path))


def test_authors_are_kept_where_that_is_asked(tmp_path: Path) -> None:
    row = one(tmp_path, {"author": "ann", "author_bio": "paints"}, keep_authors=True)
    assert (row["author"], json.loads(row["extra"])) == ("ann", {"author_bio": "paints"})
    assert not (tmp_path / "run/authors.key").exists()
    with pytest.raises(RunConflictError, match="keep_authors"):
        one(tmp_path, {"id": 2}, keep_authors=False)


def test_unknown_fields_are_kept_and_people_are_not(tmp_path: Path) -> None:
    said = {"views": 7, "place": {"city": "Ede", "owner": "ann"}, "rank": [{"of": 1, "userName": "ann"}], "notes": ""}
    said |= {
        "author_id": "12",
        "authorAvatar": "https://a.example/ann.jpg",
        "user": {"screen_name": "ann"},
        "name": "Ann",
    }
    row = one(tmp_path, said)
    assert json.loads(row["extra"]) == {"views": 7, "place": {"city": "Ede"}, "rank": [{"of": 1}]}


@pytest.mark.parametrize(
    ("stated", "problem"),
    [
        ("2087-01-01T00:00:00Z", "after it was collected: 2087-01-01"),
        ("0001-01-01T00:00:00Z", "not a time, or not a certain one: 0001-01-01"),
        ("31.13.2014", "not a time, or not a certain one: 31.13.2014"),
    ],
)
def test_impossible_times_are_flagged_and_kept(tmp_path: Path, stated: str, problem: str) -> None:
    row = one(tmp_path, {"created_at": stated})
    assert row["created_at"] is None
    assert row["time_problem"].startswith(problem)
    row = one(tmp_path, {"created_at": stated, "collected_at": "2014-05-01T00:00:00Z"}, "other")
    assert row["collected_at"] == datetime(2014, 5, 1, tzinfo=UTC)


def test_stated_sizes_and_kinds_are_kept(tmp_path: Path) -> None:
    size = {"url": "https://a.example/1.jpg", "alt": "a", "type": "photo", "width": 1200, "height": 9 * 10**12}
    (attachment,) = one(tmp_path, {"media": [size]})["attachments"]
    expected = {"url": "https://a.example/1.jpg", "alt": "a", "kind": "photo", "width": 1200, "height": 9 * 10**12}
    assert attachment == expected


def test_an_unusable_source_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text("")
    with pytest.raises(SourceError):
        collect(Run(tmp_path / "run"), hp.sources.exported(tmp_path / "p.jsonl"))
    assert not (tmp_path / "run").exists()


def test_progress_counts_what_there_is(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    path = export(tmp_path / "p.jsonl", list(range(2500)))
    collect(Run(tmp_path / "run"), hp.sources.exported(path), progress=lambda *step: seen.append(step))
    assert [step[1:3] for step in seen] == [(n, 2500) for n in (500, 1000, 1500, 2000, 2500, 2500)]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from Linux's /proc")
@pytest.mark.parametrize("kind", ["csv", "json", "anonymous", "rejected"])
def test_memory_is_flat(tmp_path: Path, kind: str) -> None:
    """Five times the lines take about the same memory, and less than 400 MB."""
    # not ru_maxrss: that begins with what the process that started this one had
    script = """
import pathlib, re, sys
import hashtag_photos as hp
hp.collect(hp.Run(sys.argv[2]), hp.sources.exported(sys.argv[1]))
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1]) / 1024)
"""
    peaks = []
    for lines in (30_000, 150_000):
        path = tmp_path / f"{lines}.{'json' if kind == 'json' else 'csv'}"
        with path.open("w") as file:
            if kind == "json":
                file.write("[\n")
                file.writelines(
                    f'{{"id": "{n}", "text": "post {n}", "media": ["https://a.example/{n}.jpg"]}}'
                    f"{',' if n < lines - 1 else ']'}\n"
                    for n in range(lines)
                )
            else:
                file.write("id,text,media\n")
                for n in range(lines):
                    post_id = "" if kind == "anonymous" else "1.78E+18" if kind == "rejected" and n else str(n)
                    file.write(f"{post_id},post {n},https://a.example/{n}.jpg\n")
        words = [sys.executable, "-c", script, str(path), str(tmp_path / f"run-{lines}")]
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=200)
        peaks.append(float(done.stdout))
        posts = Run(tmp_path / f"run-{lines}").stages["collect"]["posts"]
        assert posts == (1 if kind == "rejected" else lines)
    assert peaks[1] < 400
    assert peaks[1] < peaks[0] + 40, peaks
