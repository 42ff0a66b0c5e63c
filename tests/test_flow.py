"""The whole walk on the bundled sample, as a newcomer makes it: the command, the folder, the numbers."""

import csv
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from conftest import REPOSITORY, SAMPLE, command

import hashtag_photos as hp
from hashtag_photos.handlabels import BLIND, DRAWN, HandLabel, HandLabels
from hashtag_photos.stages.sample import draw_sample
from hashtag_photos.stages.summarize import report_folder

CLASSES = ["friendly", "conflict_and_force", "neither", "unsure"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def first(runs: Path) -> str:
    """What the first run printed."""
    done = command("run", "--run", "sample", cwd=runs)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_it_agrees_with_what_was_drawn(runs: Path, first: str) -> None:
    label = {
        row["sha256"]: row["label"] for row in read_csv(runs / "sample/report/photos.csv") if row["status"] == "ok"
    }
    truth = {row["sha256"]: row["label"] for row in read_csv(SAMPLE / "truth.csv")}
    assert set(label) == set(truth), "every picture that is one was had, and nothing else"
    right = sum(label[sha] == truth[sha] for sha in truth)
    assert right / len(truth) >= 0.95, f"{right} of {len(truth)}"


def test_the_counts_are_those_of_the_truth_counted_by_other_means(runs: Path, first: str) -> None:
    """From truth.csv, the posts and the served files alone, in plain Python; only a wrong label is taken as it is."""
    said = {row["sha256"]: row["label"] for row in read_csv(runs / "sample/report/photos.csv")}
    truth = {row["sha256"]: row["label"] for row in read_csv(SAMPLE / "truth.csv")}
    wrong = {sha: said[sha] for sha, label in truth.items() if said[sha] != label}
    assert len(wrong) <= 4
    expected = {**truth, **wrong}
    images, posts, photos = defaultdict(set), defaultdict(set), defaultdict(int)
    attachments = 0
    for line in (SAMPLE / "posts.jsonl").read_text().splitlines():
        post = json.loads(line)
        for attachment in post["media"]:
            attachments += 1
            file = SAMPLE / "www/media" / attachment["url"].rpartition("/")[2]
            sha = hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else None
            if sha in expected:
                for label in (expected[sha], "all"):
                    images[label].add(sha)
                    posts[label].add(post["id"])
                    photos[label] += 1
    rows = read_csv(runs / "sample/report/tally.csv")
    assert [row["label"] for row in rows] == CLASSES
    for row in rows:
        for unit, counted in (("images", images), ("posts", posts)):
            assert (int(row[unit]), int(row[f"{unit}_total"])) == (len(counted[row["label"]]), len(counted["all"]))
        assert (int(row["photos"]), int(row["photos_total"])) == (photos[row["label"]], photos["all"])
        assert float(row["share"]) == pytest.approx(len(images[row["label"]]) / len(images["all"]), abs=1e-6)
        assert float(row["low_95"]) <= float(row["share"]) <= float(row["high_95"])
    coverage = json.loads((runs / "sample/report/tally.json").read_text())["coverage"]
    assert (coverage["attachments"], coverage["had"]) == (attachments, photos["all"])
    assert coverage["had"] + sum(coverage["missing"].values()) == attachments
    assert set(coverage["missing"]) == {"gone", "not_an_image", "broken", "too_large"}


def test_it_ends_with_the_table_the_coverage_the_report_and_what_to_do_next(first: str) -> None:
    for words in (
        "#myHarborPD",
        "model tiny",
        *CLASSES,
        "95 % interval",
        "coverage   ",
        "damaged or cut short",
        "too large",
        "not a picture",
        "sample/report/report.html",
        "next ",
        "--posts posts.jsonl",
    ):
        assert words in first


def test_the_readme_shows_what_is_printed(first: str) -> None:
    (shown,) = re.findall(r"^```text\n(.*?)^```$", (REPOSITORY / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    assert shown.count("\n") > 20
    printed = re.sub(r"(^|(?<= ))sample(?= is new|/|\n)", "runs/sample", first)
    assert shown.split("next ")[0] == printed.split("next ")[0]


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def test_again_it_does_no_work_and_prints_the_same_table(runs: Path, first: str) -> None:
    before = snapshot(runs / "sample")
    code = """
import sys
sys.argv = ["hashtag-photos", "run", "--run", "sample"]
from hashtag_photos.cli import main
try:
    main()
finally:
    assert not {"torch", "open_clip"} & set(sys.modules), "nothing was left to do for the model"
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=runs, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("nothing to do") == 3
    table = "\nfriendly-or-force, by tiny\n"
    assert done.stdout.partition(table)[2].split("next ")[0] == first.partition(table)[2].split("next ")[0] != ""
    assert snapshot(runs / "sample") == before


def test_two_full_runs_give_the_same_bytes(runs: Path, first: str) -> None:
    assert command("run", "--run", "second/sample", cwd=runs).returncode == 0
    for name in ("tally.csv", "tally.json", "numbers.csv", "photos.csv", "report.html"):
        assert (runs / "second/sample/report" / name).read_bytes() == (runs / "sample/report" / name).read_bytes()


def test_a_second_question_asks_for_no_image_again(runs: Path, first: str) -> None:
    before = snapshot(runs / "sample")
    done = command("classify", "sample", "--ask", "day: a street in daylight", "night: a street at night", cwd=runs)
    labels = done.stdout.split()[-1]
    for word in ("summarize", "report"):
        done = command(word, "sample", "--labels", labels, cwd=runs)
        assert done.returncode == 0, done.stderr
    after = snapshot(runs / "sample")
    new = set(after) - set(before)
    assert {Path(name).name for name in new} >= {"tally.json", "tally.csv", "photos.csv", "report.html"}
    assert all(name.startswith(("scores/", "report/asked-")) for name in new)
    assert {name for name in before if after[name] != before[name]} == {"run.json"}


def test_each_stage_alone_gives_the_same_tally(runs: Path, first: str) -> None:
    for stage in ("collect", "download", "classify", "summarize", "report"):
        done = command(stage, "staged/sample", cwd=runs)
        assert done.returncode == 0, done.stderr
    for name in ("tally.csv", "tally.json", "numbers.csv", "photos.csv", "report.html"):
        assert (runs / "staged/sample/report" / name).read_bytes() == (runs / "sample/report" / name).read_bytes()


def test_as_a_library(tmp_path: Path, runs: Path, first: str) -> None:
    classifier = hp.Classifier(model="tiny", labels="friendly-or-force")
    run = hp.Run(tmp_path / "sample")
    hp.collect(run, hp.sources.sample())
    hp.download(run)
    hp.classify(run, classifier)
    tally = hp.summarize(run)
    frame = tally.to_dataframe()
    assert list(frame["label"]) == CLASSES
    assert (tmp_path / "sample/report/tally.csv").read_bytes() == (runs / "sample/report/tally.csv").read_bytes()
    assert frame["images"].sum() == tally.images
    told = {row["sha256"]: row for row in read_csv(runs / "sample/report/photos.csv") if row["status"] == "ok"}
    files = sorted((runs / "sample/images").rglob("*.*"))[:40]
    for result in classifier(files):
        row = told[result.image.stem]
        assert result.label == row["label"]
        assert result.probabilities["friendly"] == pytest.approx(float(row["p_friendly"]), abs=2e-3)


def bad_labels() -> hp.LabelSet:
    """The default label set, whose prompts of force were put to the friendly ones: the same question, asked badly."""
    labels = hp.find_labels("friendly-or-force")
    friendly, force, neither = labels.classes
    return replace(
        labels,
        classes=(
            replace(friendly, prompts=friendly.prompts[:3] + force.prompts[2:]),
            replace(force, prompts=force.prompts[:2]),
            neither,
        ),
    )


def test_hand_labels_bring_the_shares_of_a_bad_label_set_to_the_truth(runs: Path, first: str) -> None:
    """Labels of a drawn sample, simulated from truth.csv: the corrected shares hold the truth, the raw ones are off."""
    shutil.copytree(runs / "sample", runs / "corrected")
    run, labels = hp.Run(runs / "corrected"), bad_labels()
    hp.classify(run, hp.Classifier("tiny", labels))
    run.record_used("samples", labels.question_key, {"seed": "a", "question": labels.question, "classes": CLASSES[:3]})
    frame = draw_sample(run, run.asked["model_key"], labels, 60)
    truth = {row["sha256"]: row["label"] for row in read_csv(SAMPLE / "truth.csv")}
    now = datetime(2026, 1, 1, tzinfo=UTC)
    said = {"coder": "anna", "at": now, "question": labels.question_key, "round": BLIND, "sampled": DRAWN}
    HandLabels(run).add(
        *(HandLabel(sha256=sha, label=truth[sha], **said) for sha in frame.sha256[frame.drawn].tolist())
    )
    tally = hp.summarize(run, labels_key=labels.key)
    hp.write_report(run, tally)

    picture_of = {row["sha256"]: row["picture"] for row in read_csv(run_report(run, labels) / "photos.csv")}
    pictures = {picture for picture in picture_of.values() if picture}
    shares = {label: sum(truth[each] == label for each in pictures) / len(pictures) for label in CLASSES[:3]}
    for label, share in shares.items():
        corrected = tally.number("corrected", label)
        assert corrected.low <= share <= corrected.high
        assert corrected.high - corrected.low < 0.25
        assert corrected.n == 60
        if label != "neither":
            raw = tally.number("raw", label)
            assert not raw.low <= share <= raw.high
    more = tally.compared("difference")
    assert (more.label, more.versus) == ("conflict_and_force", "friendly")
    assert more.probability > 0.9
    assert more.sentence in (run_report(run, labels) / "report.html").read_text()

    # the labels are of what was asked, not of how the model was: they hold for the first label set, too
    first_tally = hp.summarize(run)
    assert first_tally.number("corrected", "friendly").n == 60
    assert first_tally.labels_key != tally.labels_key
    before = snapshot(runs / "corrected")
    hp.write_report(run, hp.summarize(run, labels_key=labels.key))
    assert snapshot(runs / "corrected") == before


def run_report(run: hp.Run, labels: hp.LabelSet) -> Path:
    return Path(run.location) / report_folder(run, run.asked["model_key"], labels.key)


KILLER = """
import os, signal, sys
from hashtag_photos.storage import Storage
from hashtag_photos.stages import collect, download, embed
collect.PART_ROWS, download.PART_ROWS, embed.PART_ROWS = 30, 20, 32
collect._CHUNK_ROWS = collect._LOOK_ROWS = 10
place, left = sys.argv.pop(1), int(sys.argv.pop(1))
def killed_before(what, which):
    def wrapped(*words):
        global left
        left -= which(*words)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        what(*words)
    return wrapped
Storage._publish = staticmethod(killed_before(Storage._publish, lambda _, target: f"/sample/{place}" in str(target)))
download._Parts.add = killed_before(download._Parts.add, lambda *_: place == "an outcome")
from hashtag_photos.cli import main
main()
"""
#: where a run is killed: before the nth file there becomes visible, or before it hears of the nth address
KILLS = [
    ("run.json", 1),
    ("posts/", 2),
    ("an outcome", 9),  # images become visible in other processes
    ("photos/", 3),
    ("embeddings/", 2),
    ("duplicates/", 1),
    ("scores/", 1),
    ("run.json", 1),
    ("report/tally.json", 1),
    ("report/report.html", 1),
]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_in_every_stage_one_after_the_other_it_goes_on_to_the_same_tally(
    tmp_path: Path, runs: Path, first: str
) -> None:
    """One run, killed with -9 in each stage, goes on from there each time, only to be killed in the next one."""
    for place, number in KILLS:
        words = [sys.executable, "-c", KILLER, place, str(number), "run", "--run", "sample"]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, timeout=120)
        assert done.returncode == -9, (place, number, done.stdout.decode(), done.stderr.decode())
    assert command("run", "--run", "sample", cwd=tmp_path).returncode == 0
    for name in ("tally.csv", "tally.json"):
        assert (tmp_path / "sample/report" / name).read_bytes() == (runs / "sample/report" / name).read_bytes()
    assert not list((tmp_path / "sample").rglob(".tmp-*"))
