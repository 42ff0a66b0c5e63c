import csv
import json
from pathlib import Path

import pytest

import hashtag_photos as hp
from hashtag_photos.errors import RunConflictError, SourceError
from hashtag_photos.records import POSTS
from hashtag_photos.run import Run
from hashtag_photos.stages.collect import collect


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
    assert set(Run(tmp_path / "run").stages["collect"]) == {"complete", "recorded"}, "no count that isn't true"
    assert Run(tmp_path / "run").stages["collect"]["complete"] is False
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
    assert row["line"] == "2"
    assert "not JSON" in row["reason"]
    assert Run(tmp_path / "run").stages["collect"]["rejected"] == 1


def test_another_source_is_refused(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    collect(run, hp.sources.exported(export(tmp_path / "p.jsonl", [1])))
    with pytest.raises(RunConflictError, match=r"holds posts of .*p.jsonl and is now asked for posts of .*q.jsonl"):
        collect(run, hp.sources.exported(export(tmp_path / "q.jsonl", [2])))
    assert ids(run) == ["1"]


def test_an_unusable_source_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text("")
    with pytest.raises(SourceError):
        collect(Run(tmp_path / "run"), hp.sources.exported(tmp_path / "p.jsonl"))
    assert not (tmp_path / "run").exists()


def test_progress_counts_what_there_is(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    path = export(tmp_path / "p.jsonl", list(range(2500)))
    collect(Run(tmp_path / "run"), hp.sources.exported(path), progress=lambda *step: seen.append(step))
    assert seen == [("collect", 1000, 2500), ("collect", 2000, 2500), ("collect", 2500, 2500)]
