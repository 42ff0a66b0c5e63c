"""Samples and labels to other tools and back: what comes back is what went out, and nothing else is taken for it."""

import csv
import io
import json
import shutil
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hashtag_photos.errors import RunError, StorageError, UsageError
from hashtag_photos.handlabels import BLIND, BY_HAND, DRAWN, SETTLING, HandLabel, HandLabels
from hashtag_photos.labels import SKIP, asked, find_labels
from hashtag_photos.records import Attachment, Photo, PhotoStatus, Post
from hashtag_photos.review.exchange import COLUMNS, Imported, export_labels, import_labels, label_studio_config
from hashtag_photos.run import Run
from hashtag_photos.stages.classify import scores_path
from hashtag_photos.stages.sample import draw_sample
from hashtag_photos.stages.score import decide
from hashtag_photos.tables import photos_table, posts_table, scores_schema

LABELS = find_labels("friendly-or-force")
KEY = LABELS.question_key
AT = datetime(2014, 4, 22, 10, 0, 0, 5, tzinfo=UTC)
PICTURES = 40


def sha(number: int) -> str:
    return f"{number * 2654435761 % 2**32:064x}"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path / "run")
    run.ask(model="tiny")
    posts = [Post(source="s", id=str(n), text="a text", attachments=(Attachment(url="u"),)) for n in range(PICTURES)]
    run.append("posts", posts_table(posts))
    run.append(
        "photos",
        photos_table(
            Photo(source="s", post_id=str(n), position=0, url="u", status=PhotoStatus.OK, attempt=1, fetched_at=AT,
                  sha256=sha(n), format="JPEG" if n % 2 else "PNG")
            for n in range(PICTURES)
        ),
    )  # fmt: skip
    probability = np.random.default_rng(1).dirichlet([1, 1, 1], PICTURES).astype(np.float32)
    names, margins = decide(probability, LABELS)
    columns = [[sha(n) for n in range(PICTURES)], names, margins, *probability.T]
    run.write_table(scores_path("m", LABELS.key), pa.table(columns, schema=scores_schema(LABELS.class_names)))
    draw_sample(run, "m", LABELS, 12)
    return run


def drawn(run: Run) -> list[str]:
    """In the order of showing."""
    rows = [row for row in run.read_table(f"sample/{KEY}.parquet").to_pylist() if row["drawn"]]
    return [row["sha256"] for row in sorted(rows, key=lambda row: row["position"])]


def others(run: Run) -> list[str]:
    return sorted({sha(n) for n in range(PICTURES)} - set(drawn(run)))


def label(sha256: str, said: str = "friendly", coder: str = "anna", **others_: object) -> HandLabel:
    facts = {"at": AT, "question": KEY, "round": BLIND, "sampled": DRAWN} | others_
    return HandLabel(sha256=sha256, label=said, coder=coder, **facts)


def labelled(run: Run) -> None:
    """Labels of all kinds, with hostile content."""
    one, two, three, four, *_ = drawn(run)
    HandLabels(run).add(
        label(one, note='=cmd|"/c calc"!A1\n<script>alert(1)</script>'),
        label(one, "neither", "=ben@example.org", note=" ; =1+1 \\n back\\slash \0 \ud800 'x"),
        label(one, "conflict_and_force", "Jörg", round=SETTLING, note="'=agreed"),
        label(two, SKIP, note="dark"),
        label(three, "friendly"),
        label(three, "", at=AT + timedelta(seconds=1)),
        label(four, "friendly"),
        label(four, "neither", at=AT + timedelta(seconds=2)),
        label(four, "neither", "7", sampled=BY_HAND),
        label(others(run)[0], "friendly", sampled=BY_HAND),
        label(others(run)[1], "friendly", question="other-1"),
    )


def copy_of(run: Run, tmp_path: Path) -> Run:
    """The run as a colleague has it, without labels."""
    shutil.copytree(run.storage.local, tmp_path / "copy")
    (tmp_path / "copy/labels.csv").unlink(missing_ok=True)
    return Run(tmp_path / "copy")


def verdicts(run: Run) -> dict[str, object]:
    return HandLabels(run).verdicts(KEY)


def counts(done: Imported) -> tuple[int, int, int, int, int, int]:
    return done.taken, done.drawn, done.had, done.older, done.empty, len(done.refused)


def write(path: Path, content: object) -> Path:
    if path.suffix == ".json":
        path.write_text(json.dumps(content))
    else:
        path.write_text(str(content), encoding="utf-8")
    return path


# There and back


@pytest.mark.parametrize("name", ["out.csv", "out.json", "OUT.JSON"])
def test_what_is_exported_and_imported_elsewhere_gives_the_same_verdicts(run: Run, tmp_path: Path, name: str) -> None:
    labelled(run)
    done = export_labels(run, LABELS, tmp_path / name)
    assert (done.pictures, done.drawn, done.labels) == (13, 12, 7)
    copy = copy_of(run, tmp_path)
    imported = import_labels(copy, LABELS, tmp_path / name)
    assert counts(imported) == (7, 5, 0, 0, 9, 0)
    assert verdicts(copy) == verdicts(run)
    again = import_labels(copy, LABELS, tmp_path / name)
    assert counts(again) == (0, 0, 7, 0, 9, 0)
    assert len(HandLabels(copy).rows()) == 7
    back = import_labels(run, LABELS, tmp_path / name)
    assert counts(back) == (0, 0, 7, 0, 9, 0), "to where it came from it brings nothing new"


@pytest.mark.parametrize("name", ["out.csv", "out.json"])
def test_the_drawn_pictures_are_exported_in_the_order_of_showing_without_what_the_model_says(
    run: Run, tmp_path: Path, name: str
) -> None:
    export_labels(run, LABELS, tmp_path / name)
    text = (tmp_path / name).read_text()
    rows = (
        list(csv.DictReader(io.StringIO(text, newline="")))
        if name.endswith("csv")
        else [task["data"] for task in json.loads(text)]
    )
    assert [row["sha256"] for row in rows] == drawn(run)
    assert [int(row["position"]) for row in rows] == list(range(12))
    for row in rows:
        extension = "jpg" if [sha(n) for n in range(PICTURES)].index(row["sha256"]) % 2 else "png"
        assert row["image"].endswith(f"images/{row['sha256'][:2]}/{row['sha256']}.{extension}")
        assert set(row) <= set(COLUMNS)
        assert not any(row.get(name) for name in ("label", "coder", "at", "round", "sampled", "note"))
    facts = json.loads((run.storage.local / "run.json").read_text())["samples"][KEY]
    assert facts["seed"] not in text
    for hidden in ("stratum", "probab", "predict", "margin", "near", "a text"):
        assert hidden not in text


def test_a_filled_in_csv_counts_as_drawn(run: Run, tmp_path: Path) -> None:
    """As a spreadsheet saves it: with semicolons, a BOM, other line ends, titles for names, rows sorted."""
    export_labels(run, LABELS, tmp_path / "out.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text(encoding="utf-8"), newline="")))
    for row, said in zip(rows, ("Friendly", "conflict and force", "NEITHER", "skip", "Can't be told"), strict=False):
        row |= {"label": said, "coder": "ben"}
    out = io.StringIO()
    writer = csv.DictWriter(out, [name.upper() for name in COLUMNS], delimiter=";")
    writer.writeheader()
    writer.writerows({name.upper(): cell for name, cell in row.items()} for row in reversed(rows))
    (tmp_path / "filled.csv").write_text("\ufeff" + out.getvalue(), encoding="utf-8", newline="")
    done = import_labels(run, LABELS, tmp_path / "filled.csv")
    assert counts(done) == (5, 5, 0, 0, 7, 0)
    said = [verdicts(run)[each].answers["ben"] for each in drawn(run)[:5]]
    assert said == ["friendly", "conflict_and_force", "neither", SKIP, SKIP]
    assert all(each.sampled for each in verdicts(run).values())
    assert counts(import_labels(run, LABELS, tmp_path / "filled.csv")) == (0, 0, 5, 0, 7, 0)


def test_only_what_comes_back_for_this_sample_counts_as_drawn(run: Run, tmp_path: Path) -> None:
    export_labels(run, LABELS, tmp_path / "out.csv")
    (_, first, *_) = (tmp_path / "out.csv").read_text().splitlines()
    sample = first.split(",")[3]
    assert len(sample) == 16
    one, two, three, *_ = drawn(run)
    chosen = others(run)[0]
    text = f"sha256,label,coder,sample\n{one},friendly,ben,{sample}\n{two},friendly,ben,\n"
    text += f"{three},friendly,ben,{'0' * 16}\n{chosen},friendly,ben,{sample}\n"
    done = import_labels(run, LABELS, write(tmp_path / "in.csv", text))
    assert counts(done) == (4, 1, 0, 0, 0, 0)
    assert [sha256 for sha256, each in verdicts(run).items() if each.sampled] == [one]


def test_a_sample_drawn_by_another_seed_is_another_sample(run: Run, tmp_path: Path) -> None:
    labelled(run)
    export_labels(run, LABELS, tmp_path / "out.json")
    copy = copy_of(run, tmp_path)
    (copy.storage.local / f"sample/{KEY}.parquet").unlink()
    copy._update(samples={})
    draw_sample(copy, "m", LABELS, 12)
    assert import_labels(copy, LABELS, tmp_path / "out.json").drawn == 0


def test_a_label_of_the_sample_stays_one_when_it_comes_again_by_hand(run: Run, tmp_path: Path) -> None:
    one = drawn(run)[0]
    HandLabels(run).add(label(one, note="x"))
    done = import_labels(run, LABELS, write(tmp_path / "in.csv", f"sha256,label,coder\n{one},friendly,anna\n"))
    assert counts(done) == (0, 0, 1, 0, 0, 0)
    assert verdicts(run)[one].sampled


def test_an_older_answer_does_not_take_the_place_of_a_newer_one(run: Run, tmp_path: Path) -> None:
    one, two, *_ = drawn(run)
    HandLabels(run).add(label(one, at=AT), label(two, at=AT))
    text = "sha256,label,coder,at\n"
    text += f"{one},neither,anna,2014-04-22T09:59:59Z\n{two},neither,anna,2014-04-22T11:00:00+01:00\n"
    assert counts(import_labels(run, LABELS, write(tmp_path / "a.csv", text))) == (0, 0, 0, 2, 0, 0)
    text = f"sha256,label,coder,at\n{one},neither,anna,2014-04-22T10:00:01\n{two},neither,anna,\n"
    assert counts(import_labels(run, LABELS, write(tmp_path / "b.csv", text))) == (2, 0, 0, 0, 0, 0)


def test_of_several_rows_the_last_counts_and_again_adds_nothing(run: Run, tmp_path: Path) -> None:
    one = drawn(run)[0]
    path = write(tmp_path / "in.csv", f"sha256,label,coder\n{one},neither,anna\n{one},friendly,anna\n")
    assert import_labels(run, LABELS, path).taken == 1
    assert verdicts(run)[one].answers == {"anna": "friendly"}
    assert counts(import_labels(run, LABELS, path)) == (0, 0, 1, 0, 0, 0)


# Label Studio


def task(run: Run, place: int, *annotations: dict[str, object], **data: object) -> dict[str, object]:
    """A task as Label Studio exports it, of the picture that is shown in this place."""
    sha256 = drawn(run)[place]
    return {
        "id": 100 + place, "inner_id": place, "total_annotations": len(annotations), "cancelled_annotations": 0,
        "created_at": "2026-11-22T09:00:00.0Z", "updated_at": "2026-11-22T11:00:00.0Z", "project": 3, "meta": {},
        "drafts": [], "predictions": [], "file_upload": f"ab12cd34-{sha256}.jpg",
        "data": {"image": f"/data/upload/3/ab12cd34-{sha256}.jpg", **data}, "annotations": list(annotations),
    }  # fmt: skip


def annotation(choice: str | None, by: object = 1, *, at: str = "2026-11-22T11:00:00.123Z", **more: object) -> dict:
    result = [{"id": "Dx_aB91ISN", "from_name": "label", "to_name": "image", "type": "choices", "origin": "manual",
               "value": {"choices": [choice]}}]  # fmt: skip
    return {
        "id": 9, "completed_by": by, "result": result if choice else [], "was_cancelled": False, "ground_truth": False,
        "created_at": "2026-11-22T10:30:00.123Z", "updated_at": at, "lead_time": 2.5, "task": 1, "project": 3, **more,
    }  # fmt: skip


def test_the_json_is_a_task_list_that_label_studio_imports(run: Run, tmp_path: Path) -> None:
    """By what its own import asks for: label_studio/tasks/validation.py and serializers.py."""
    labelled(run)
    export_labels(run, LABELS, tmp_path / "out.json")
    config = ET.fromstring(label_studio_config(LABELS))
    tags = {each.get("name"): each for each in config.iter() if each.get("name")}
    tasks = json.loads((tmp_path / "out.json").read_text())
    assert isinstance(tasks, list)
    for each in tasks:
        assert isinstance(each["data"]["image"], str)
        assert each["data"]["image"].startswith("/data/local-files/?d=images/")
        assert "predictions" not in each
        for one in each["annotations"]:
            assert "completed_by" not in one, "somebody whom it doesn't know: it refuses the whole file"
            for result in one["result"]:
                tag = tags[result["from_name"]]
                assert tag.get("toName") == result["to_name"] == "image"
                assert tag.tag.lower() == result["type"]
                if result["type"] == "choices":
                    (said,) = result["value"]["choices"]
                    assert said in {choice.get("alias") for choice in tag}


def test_the_config_asks_what_the_page_asks() -> None:
    labels = asked(["a: x", "b: y", *(f"c{n}: z{n}" for n in range(10))])
    root = ET.fromstring(label_studio_config(labels))
    assert root.find("Header").get("value") == labels.question
    choices = root.findall("Choices/Choice")
    assert [each.get("alias") for each in choices] == [*labels.class_names, SKIP]
    assert [each.get("hotkey") for each in choices] == [*map(str, range(1, 10)), None, None, None, None]
    hostile = find_labels("friendly-or-force")
    object.__setattr__(hostile, "question", "</View>\"><script>'&")
    assert ET.fromstring(label_studio_config(hostile)).find("Header").get("value") == "</View>\"><script>'&"


def test_what_label_studio_exports_is_taken(run: Run, tmp_path: Path) -> None:
    person = {"id": 4, "email": "cleo@example.org", "first_name": "", "last_name": ""}
    tasks = [
        task(run, 0, annotation("friendly"), annotation("Neither", person), annotation(None, 3, was_cancelled=True)),
        task(run, 1, annotation("Conflict and force", 2), sha256=drawn(run)[1]),
        task(run, 2),
    ]
    done = import_labels(run, LABELS, write(tmp_path / "in.json", tasks))
    assert counts(done) == (4, 0, 0, 0, 1, 0)
    one, two, *_ = drawn(run)
    assert verdicts(run)[one].answers == {"user 1": "friendly", "cleo@example.org": "neither", "user 3": SKIP}
    assert verdicts(run)[two].answers == {"user 2": "conflict_and_force"}
    assert HandLabels(run).rows()[0].at == datetime(2026, 11, 22, 11, 0, 0, 123000, tzinfo=UTC)
    assert counts(import_labels(run, LABELS, tmp_path / "in.json")) == (0, 0, 4, 0, 1, 0)


def through_label_studio(exported: list[dict], importer: int) -> list[dict]:
    """Tasks as they come out of Label Studio that were imported: results and data as they were, all else its own."""
    return [
        {
            "id": 500 + number,
            "data": each["data"],
            "predictions": [],
            "annotations": [
                annotation("-", importer) | {"result": one["result"], "was_cancelled": one["was_cancelled"]}
                for one in each["annotations"]
            ],
        }
        for number, each in enumerate(exported)
    ]


def test_labels_that_went_through_label_studio_are_still_their_coders(run: Run, tmp_path: Path) -> None:
    labelled(run)
    before = verdicts(run)
    export_labels(run, LABELS, tmp_path / "out.json")
    tasks = through_label_studio(json.loads((tmp_path / "out.json").read_text()), importer=1)
    done = import_labels(run, LABELS, write(tmp_path / "in.json", tasks))
    assert counts(done) == (0, 0, 7, 0, 9, 0)
    assert verdicts(run) == before, "who imported them has not labelled anything"


def test_a_label_that_was_changed_there_is_of_who_changed_it(run: Run, tmp_path: Path) -> None:
    HandLabels(run).add(label(drawn(run)[0]))
    export_labels(run, LABELS, tmp_path / "out.json")
    tasks = through_label_studio(json.loads((tmp_path / "out.json").read_text()), importer=1)
    tasks[0]["annotations"][0]["result"][0]["value"] = {"choices": ["neither"]}
    tasks[1]["annotations"] = [annotation("friendly", 2)]
    done = import_labels(run, LABELS, write(tmp_path / "in.json", tasks))
    assert counts(done) == (2, 2, 0, 0, 10, 0), "and of the sample, whose name is in the task"
    assert verdicts(run)[drawn(run)[0]].answers == {"anna": "friendly", "user 1": "neither"}


def test_json_min_and_csv_of_label_studio_are_taken(run: Run, tmp_path: Path) -> None:
    one, two, *_ = drawn(run)
    export_labels(run, LABELS, tmp_path / "out.json")
    data = [each["data"] for each in json.loads((tmp_path / "out.json").read_text())]
    own = {
        "annotation_id": 1,
        "created_at": "2026-11-22T10:30:00Z",
        "updated_at": "2026-11-22T11:00:00Z",
        "lead_time": 2,
    }
    flat = [
        {**data[0], "id": 1, "label": "friendly", "note": "a note", "annotator": 1, **own},
        {**data[1], "id": 2, "label": {"choices": ["friendly", "neither"]}, "annotator": 1, **own},
        {**data[2], "id": 3, "annotator": 1, **own},
    ]
    done = import_labels(run, LABELS, write(tmp_path / "min.json", flat))
    assert counts(done) == (1, 1, 0, 0, 1, 1)
    assert done.refused[0].where == "task 2"
    assert "has 2 answers" in done.refused[0].reason
    assert verdicts(run)[one].notes == {"user 1": "a note"}
    text = "annotator,id,image,label,lead_time,updated_at\n"
    text += f"1,1,/data/upload/3/ab12cd34-{one}.jpg,friendly,2,2026-11-22T11:00:00Z\n"
    text += f'me@example.org,2,/data/upload/3/ab12cd34-{two}.jpg,"Neither",2,2026-11-22T11:00:00Z\n'
    done = import_labels(run, LABELS, write(tmp_path / "in.csv", text))
    assert counts(done) == (1, 0, 1, 0, 0, 0)
    assert verdicts(run)[two].answers == {"me@example.org": "neither"}


# What can't be taken


def test_each_row_that_can_not_be_taken_is_listed_with_its_reason_and_the_others_are_taken(
    run: Run, tmp_path: Path
) -> None:
    one, two, *_ = drawn(run)
    rows = [
        ("sha256", "label", "coder", "at", "round", "question", "image", "note"),
        (one, "friendly", "anna"),
        (two, "nobody", "anna"),
        (two, UNSURE_WORD, "anna"),
        (two, "friendly", ""),
        (two, "friendly", "a\x07"),
        (two, "friendly", "anna", "yesterday"),
        (two, "friendly", "anna", "", "3"),
        (two, "friendly", "anna", "", "", "another-question"),
        ("", "friendly", "anna"),
        ("f" * 64, "friendly", "anna"),
        (two, "friendly", "anna", "", "", "", f"images/{one}.jpg"),
        (two, "friendly", "anna", "", "", "", "", "x" * 10_001),
        (two, "friendly", "anna", "", "", "", "", "", "one more"),
        (two, "", "anna"),
        (two.upper(), "friendly", "ben"),
    ]
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    done = import_labels(run, LABELS, write(tmp_path / "in.csv", out.getvalue()))
    assert counts(done) == (2, 0, 0, 0, 1, 12)
    assert verdicts(run)[two].answers == {"ben": "friendly"}
    reasons = [(int(each.where.removeprefix("line ")), each.reason) for each in done.refused]
    assert [line for line, _ in reasons] == list(range(3, 15))
    for (_, reason), words in zip(
        reasons,
        [
            "says 'nobody', which is no class; the classes are friendly, conflict_and_force, neither, skip",
            "says 'unsure', which is no class",
            "names nobody who says so",
            "is no name of a coder",
            "has the time 'yesterday'",
            "is of round '3'",
            "answers another question, 'another-question'",
            "names no picture",
            "which this run does not have",
            "names two pictures",
            "10,001 letters",
            "has 9 cells under 8 columns",
        ],
        strict=True,
    ):
        assert words in reason


UNSURE_WORD = "unsure"


def test_who_says_so_can_be_told(run: Run, tmp_path: Path) -> None:
    one, two, *_ = drawn(run)
    path = write(tmp_path / "in.csv", f"image,label,coder\nx/{one}.png,friendly,\nx/{two}.png,friendly,ben\n")
    assert len(import_labels(run, LABELS, path).refused) == 1
    assert not import_labels(run, LABELS, path, coder=" anna ").refused
    assert verdicts(run)[one].answers == {"anna": "friendly"}
    assert verdicts(run)[two].answers == {"ben": "friendly"}
    with pytest.raises(UsageError, match="needs a name"):
        import_labels(run, LABELS, path, coder=" ")


@pytest.mark.parametrize(
    "strange",
    [
        7,
        None,
        [],
        {"data": 1, "annotations": []},
        {"data": {}, "annotations": 5},
        {"data": {}, "annotations": [5]},
        {"data": {}, "annotations": [{"result": 5}]},
        {"data": {}, "annotations": [{"result": [5]}]},
        {"data": {}, "annotations": [{"result": [{"type": "choices"}, {"type": "choices"}]}]},
        {"data": {}, "annotations": [{"result": [{"type": "choices", "value": {"choices": [{"a": 1}]}}]}]},
        {"data": {}, "annotations": [{"result": [{"type": "choices", "value": 1.5}]}]},
        {"data": {}, "annotations": [{"result": [{"type": "rectanglelabels", "value": {}}]}]},
        {"data": {"sha256": 5}, "annotations": [annotation("friendly")]},
        {"data": {"sha256": "x" * 5000}, "annotations": [annotation("friendly")]},
        {"label": ["friendly"], "sha256": [1]},
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_a_strange_item_is_listed_and_the_others_are_taken(run: Run, tmp_path: Path, strange: object) -> None:
    path = write(tmp_path / "in.json", [strange, task(run, 0, annotation("friendly"))])
    done = import_labels(run, LABELS, path)
    assert counts(done) == (1, 0, 0, 0, 0, 1)
    assert done.refused[0].where.startswith("task 1")
    assert len(done.refused[0].reason) < 300


@pytest.mark.parametrize("by", [None, [], {}, True, 1.5, {"id": None}, {"email": ["x"]}])
def test_strange_people_are_nobody(run: Run, tmp_path: Path, by: object) -> None:
    path = write(tmp_path / "in.json", [task(run, 0, annotation("friendly", by))])
    assert len(import_labels(run, LABELS, path).refused) == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("in.json", b"{", "is no JSON"),
        ("in.json", b"", "is no JSON"),
        ("in.json", b"5", "holds no list of tasks"),
        ("in.json", b"[" * 200_000, "is no JSON"),
        ("in.json", b"\xff\xfe", "is no JSON"),
        ("in.csv", b"", "needs a column label"),
        ("in.csv", b"a,b\n1,2\n", "its columns are a, b"),
        ("in.csv", b"sha256,label\n\xe4,b\n", "line 2 is not UTF-8"),
        ("in.csv", b'sha256,label\n"a,b\n', "line 2 is no CSV"),
        ("in.txt", b"", r"must end in \.csv, or in \.json"),
        ("in", b"", r"must end in \.csv, or in \.json"),
    ],
)
def test_a_file_that_is_none_is_refused_and_nothing_written(
    run: Run, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message):
        import_labels(run, LABELS, tmp_path / name)
    assert not (run.storage.local / "labels.csv").exists()


def test_a_file_that_is_not_there_and_a_folder_are_no_files(run: Run, tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    for name in ("none.csv", "folder.csv"):
        with pytest.raises(UsageError, match="can't be read"):
            import_labels(run, LABELS, tmp_path / name)


def test_an_export_replaces_no_file_and_leaves_no_half_one(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("labels of a week")
    with pytest.raises(UsageError, match="is there already and may hold labels"):
        export_labels(run, LABELS, path)
    assert path.read_text() == "labels of a week"
    with pytest.raises(StorageError, match="can't be written"):
        export_labels(run, LABELS, tmp_path / "nowhere/out.csv")
    with pytest.raises(UsageError, match="must end in"):
        export_labels(run, LABELS, tmp_path / "out.xlsx")
    (run.storage.local / f"sample/{KEY}.parquet").unlink()
    with pytest.raises(RunError, match="no sample was drawn"):
        export_labels(run, LABELS, tmp_path / "new.csv")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["out.csv", "run"]


def test_no_cell_of_the_csv_is_a_formula(run: Run, tmp_path: Path) -> None:
    labelled(run)
    export_labels(run, LABELS, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)
    assert any("cmd|" in cell for cell in cells)


@pytest.mark.parametrize(
    ("time", "reason"),
    [
        ("9999-12-31T23:59:59-23:00", "is in no year of UTC"),
        ("0001-01-01T00:00:00+10:00", "is in no year of UTC"),
        ("9999-12-31", "is yet to come"),
        ("{in 2 days}", "is yet to come"),
    ],
)
def test_an_impossible_time_is_refused_with_its_line_and_the_others_are_taken(
    run: Run, tmp_path: Path, time: str, reason: str
) -> None:
    time = time.replace("{in 2 days}", (datetime.now(UTC) + timedelta(days=2)).isoformat())
    one, two = drawn(run)[:2]
    text = f"sha256,label,coder,at\n{one},friendly,anna,{time}\n{two},friendly,anna,2014-04-22T10:00:00Z\n"
    done = import_labels(run, LABELS, write(tmp_path / "in.csv", text))
    assert counts(done) == (1, 0, 0, 0, 0, 1)
    assert done.refused[0].where == "line 2"
    assert reason in done.refused[0].reason
    task = {"data": {"sha256": one}, "annotations": [{"result": [], "was_cancelled": True, "created_at": time}]}
    again = import_labels(run, LABELS, write(tmp_path / "in.json", [task]), coder="anna")
    assert [each.where for each in again.refused] == ["task 1, annotation 1"]


def test_a_clock_that_is_ahead_makes_no_answer_older_than_it(run: Run, tmp_path: Path) -> None:
    """As is a time without a zone, east of here."""
    one = drawn(run)[0]
    ahead = datetime.now(UTC) + timedelta(hours=9)
    for said, at in (("friendly", ahead.replace(tzinfo=None)), ("neither", datetime.now(UTC) + timedelta(minutes=1))):
        file = write(tmp_path / f"{said}.csv", f"sha256,label,coder,at\n{one},{said},anna,{at.isoformat()}\n")
        assert counts(import_labels(run, LABELS, file)) == (1, 0, 0, 0, 0, 0)
    assert [row.label for row in HandLabels(run).rows()] == ["friendly", "neither"]
    assert all(row.at <= datetime.now(UTC) for row in HandLabels(run).rows())


def test_what_a_file_calls_its_columns_does_nothing_to_the_terminal(run: Run, tmp_path: Path) -> None:
    file = write(tmp_path / "in.csv", "\x1b]0;owned\x07,\x1b[2J,\u202eb\nx,y,z\n")
    with pytest.raises(UsageError, match="needs a column label") as caught:
        import_labels(run, LABELS, file)
    assert str(caught.value).isprintable()
    assert "]0;owned" in str(caught.value)


def test_another_spelling_of_a_coder_is_refused_with_its_line(run: Run, tmp_path: Path) -> None:
    one, two, three = drawn(run)[:3]
    text = f"sha256,label,coder\n{one},friendly,Jose\u0301\n{two},friendly,Jos\xe9\n{three},friendly,JOS\xc9\n"
    done = import_labels(run, LABELS, write(tmp_path / "in.csv", text))
    assert (done.taken, [each.where for each in done.refused]) == (2, ["line 4"])
    assert "'JOS\xc9' is written 'Jos\xe9' in this run" in done.refused[0].reason
    assert {row.coder for row in HandLabels(run).rows()} == {"Jos\xe9"}
    with pytest.raises(UsageError, match="is written 'Jos\xe9'"):
        import_labels(run, LABELS, write(tmp_path / "by.csv", f"sha256,label\n{three},friendly\n"), coder="jos\xe9")
