"""Two runs beside each other: what is compared, what is refused, and what is said of it."""

import csv
import io
import re
import shutil
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from made_tally import LABELLED, LABELS, TALLY

from hashtag_photos.errors import RunConflictError, RunError, UsageError
from hashtag_photos.estimate import Estimate, difference_between, ratio_between, wilson
from hashtag_photos.labels import LabelSet, asked
from hashtag_photos.records import Attachment, Photo, PhotoStatus, Post
from hashtag_photos.run import Run
from hashtag_photos.stages.classify import scores_path
from hashtag_photos.stages.compare import Comparison, Shared, Side, apart_in_words, compare, compared, names_of
from hashtag_photos.stages.correct import CENSUS
from hashtag_photos.stages.numbers import Number
from hashtag_photos.stages.score import decide
from hashtag_photos.stages.tally import Tally
from hashtag_photos.tables import photos_table, posts_table

START = datetime(2014, 4, 22, 10, tzinfo=UTC)
FRIENDLY, FORCE, NEITHER = LABELS.class_names


def made(
    folder: Path,
    shows: dict[str, int],
    *,
    pictures: str = "",
    labels: LabelSet = LABELS,
    model_key: str = "tiny-0",
    weights: str = "w",
    hours: int | None = 1,
    start: datetime = START,
    missing: int = 0,
) -> Run:
    """A run's tables without any image: a post an hour with one picture each, so many of each class.

    Runs whose `pictures` are called the same have the same bytes.
    """
    classes = [name for name, count in shows.items() for _ in range(count)]
    posts, photos = [], []
    for number, _ in enumerate([*classes, *[""] * missing]):
        ok = number < len(classes)
        time = start + timedelta(hours=hours * number) if hours is not None else None
        at = {"source": "x", "url": f"https://x.example/{number}.jpg"}
        posts.append(
            Post(source="x", id=f"{pictures}{number}", created_at=time, attachments=(Attachment(url=at["url"]),))
        )
        photos.append(
            Photo(
                **at,
                post_id=f"{pictures}{number}",
                position=0,
                status=PhotoStatus.OK if ok else PhotoStatus.GONE,
                attempt=1,
                fetched_at=START,
                sha256=named(pictures, number) if ok else None,
                format="JPEG" if ok else None,
            )
        )
    probability = np.array([[0.9 if each == name else 0.05 for each in labels.class_names] for name in classes])
    said, margins = decide(probability.astype(np.float32), labels)
    run = Run(folder)
    run.ask(model="tiny", model_key=model_key, labels=labels.key)
    run.record_used("label_sets", labels.key, asdict(labels))
    run.record_used("models", model_key, {"name": "tiny", "precision": "fp32", "weights_sha256": weights})
    run.record_stage("collect", complete=True, sources=[])
    run.append("posts", posts_table(posts))
    run.append("photos", photos_table(photos))
    columns = {f"p_{name}": probability[:, i].astype(np.float32) for i, name in enumerate(labels.class_names)}
    shas = [named(pictures, number) for number in range(len(classes))]
    run.write_table(
        scores_path(model_key, labels.key), pa.table({"sha256": shas, "label": said, "margin": margins, **columns})
    )
    return run


def named(pictures: str, number: int) -> str:
    return sha256(f"{pictures}/{number}".encode()).hexdigest()


def side(name: str, tally: Tally = TALLY, **changes: object) -> Side:
    return replace(Side(name=name, tally=tally, labels=LABELS, weights=None, seed=None, sources=()), **changes)  # type: ignore[arg-type]


def beside(a: Side, b: Side) -> Comparison:
    return compared(a, b, Shared(images=0, posts=0), None)


@pytest.fixture
def two(tmp_path: Path) -> tuple[Run, Run]:
    return (
        made(tmp_path / "a", {FRIENDLY: 56, FORCE: 14}, pictures="a"),
        made(tmp_path / "b", {FRIENDLY: 48, FORCE: 20, NEITHER: 12}, pictures="b"),
    )


def test_raw_differences_are_newcombes(two: tuple[Run, Run]) -> None:
    # the example of Newcombe 1998, table II (a), method 10: 56 of 70 and 48 of 80 differ by 0.0524 to 0.3339
    found = compare(*two)
    friendly = found.of("raw", "pictures")[0]
    assert (friendly.label, friendly.a.value, friendly.b.value) == (FRIENDLY, 0.8, 0.6)
    assert (friendly.difference.low, friendly.difference.high) == pytest.approx((-0.3339, -0.0524), abs=5e-5)
    assert friendly.ratio is not None
    assert friendly.ratio.value == pytest.approx(0.75)
    assert friendly.clear
    assert friendly.probability is None
    assert [each.label for each in found.of("raw", "posts")] == [FRIENDLY, FORCE, NEITHER, "unsure"]
    assert friendly.sentence == (
        "In a, 80 % (95 % interval 69 to 88 %) of 70 distinct pictures are “Friendly”, and in b 60 % (95 % interval 49 "
        "to 70 %) of 80: 20 points (95 % interval 5 to 33) less, 0.75 times the share (0.60 to 0.93), as the model "
        "labels pictures; its errors, which can be others in each, are not in the intervals."
    )


def test_the_other_way_round_it_is_the_same_with_another_sign(two: tuple[Run, Run]) -> None:
    for one, other in zip(compare(*two).differences, compare(*reversed(two)).differences, strict=True):
        assert (one.difference.low, one.difference.high) == pytest.approx(
            (-other.difference.high, -other.difference.low)
        )


def test_csv_has_each_share_with_its_denominator(two: tuple[Run, Run]) -> None:
    found = compare(*two)
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert len(rows) == len(found.differences)
    first = next(row for row in rows if (row["unit"], row["label"]) == ("pictures", FORCE))
    assert (first["a"], first["a_of"], first["b"], first["b_of"]) == ("a", "70", "b", "80")
    assert float(first["difference"]) == pytest.approx(20 / 80 - 14 / 70)
    neither = next(row for row in rows if (row["unit"], row["label"]) == ("pictures", NEITHER))
    assert (neither["a_share"], neither["ratio"]) == ("0.000000", "")  # nothing can be said to be times nothing


def test_over_time_both_have_the_same_bins(two: tuple[Run, Run]) -> None:
    found = compare(*two)
    rows = list(csv.DictReader(io.StringIO(found.timeline_csv())))
    for each, total in (("a", 70), ("b", 80)):
        assert sum(int(row[f"{each}_posts"]) for row in rows) == total
    assert [row["start"] for row in rows] == sorted(row["start"] for row in rows)
    assert found.unit
    last = rows[-1]  # b goes on when a has ended: a gap is no share of 0
    assert (last["a_posts_total"], last["a_share"], last["a_low_95"]) == ("0", "", "")
    assert last["b_share"]


@pytest.mark.parametrize(
    ("days", "hours", "by"),
    [
        (0, 1, "12 hours"),
        (4, 1, "12 hours"),  # one after the other
        (-90, 24, "month"),  # the short one within the long one
        (365 * 12, 1, ""),
        (-365 * 12, 1, ""),
        (90, 24, ""),
    ],
)
def test_runs_so_far_apart_that_neither_s_course_is_seen_have_no_time_line(
    tmp_path: Path, days: int, hours: int, by: str
) -> None:
    one = made(tmp_path / "a", {FRIENDLY: 80}, pictures="a")
    later = START + timedelta(days=days)
    other = made(tmp_path / "b", {FRIENDLY: 180}, pictures="b", start=later, hours=hours)
    found = compare(one, other)
    assert found.unit == by
    assert bool(found.moments) == bool(by)
    why = [each for each in found.left_out if each.startswith("over time")]
    if by:
        assert why == []
    else:
        assert len(why) == 1
        assert f"a (from 2014-04-22) and b (from {later:%Y-%m}" in why[0]
        assert "too little of how the shares went" in why[0]
        assert list(csv.DictReader(io.StringIO(found.timeline_csv()))) == []


def test_without_times_there_is_no_time_line_and_that_is_said(tmp_path: Path) -> None:
    one = made(tmp_path / "a", {FRIENDLY: 5}, pictures="a")
    other = made(tmp_path / "b", {FRIENDLY: 5}, pictures="b", hours=None)
    found = compare(one, other)
    assert (found.unit, found.moments) == ("", ())
    assert "over time: in b, no post states a certain time" in found.left_out
    assert list(csv.DictReader(io.StringIO(found.timeline_csv()))) == []


def test_without_pictures_at_any_time_there_is_no_time_line_and_that_is_said(tmp_path: Path) -> None:
    one = made(tmp_path / "a", {FRIENDLY: 40}, pictures="a")
    other = made(tmp_path / "b", {FRIENDLY: 5}, pictures="b", hours=None)
    other.append("posts", posts_table([Post(source="x", id="bare", created_at=START, attachments=())]))
    found = compare(one, other)
    assert "over time: in b, no post with a picture has a place on a common axis" in found.left_out


def test_a_single_moment_is_no_time_line_and_that_is_said(tmp_path: Path) -> None:
    one, other = (made(tmp_path / name, {FRIENDLY: 1}, pictures=name) for name in "ab")
    found = compare(one, other)
    assert (found.unit, found.moments) == ("", ())
    assert [each for each in found.left_out if "within 15 minutes" in each]


def test_a_run_and_itself_is_an_error(two: tuple[Run, Run], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "a")
    for again in (two[0], Run(tmp_path / "link"), Run(tmp_path / "b/../a")):
        with pytest.raises(UsageError, match="the same run"):
            compare(two[0], again)


def test_other_classes_are_another_question(tmp_path: Path) -> None:
    other = asked(["calm: a lawn", "loud: a crowd"])
    one = made(tmp_path / "a", {FRIENDLY: 5})
    with pytest.raises(RunConflictError, match=r"a was asked friendly-or-force \(friendly.*, and b .*calm, loud.*ask"):
        compare(one, made(tmp_path / "b", {"calm": 3, "loud": 2}, labels=other))


def test_what_was_not_classified_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="nothing was classified yet"):
        compare(made(tmp_path / "a", {FRIENDLY: 5}), Run(tmp_path / "b"))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"model_key": "tiny-1"}, "another version"),
        ({"weights": "v"}, "other weights"),
        ({"labels": replace(LABELS, margin=0.2)}, r"the margin is 0.1 in a and 0.2 in b"),
        ({"labels": replace(LABELS, templates=("{}",))}, "the templates of the prompts differ"),
        (
            {"labels": replace(LABELS, classes=(replace(LABELS.classes[0], prompts=("hm",)), *LABELS.classes[1:]))},
            "the prompts differ",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_raw_shares_of_another_measure_are_not_compared(tmp_path: Path, changes: dict[str, object], why: str) -> None:
    one = made(tmp_path / "a", {FRIENDLY: 5}, pictures="a")
    other = made(tmp_path / "b", {FRIENDLY: 5}, pictures="b", **changes)  # type: ignore[arg-type]
    with pytest.raises(RunConflictError, match=f"nothing of a and b can be compared: raw shares: .*{why}"):
        compare(one, other)


def test_other_titles_are_no_other_measure(tmp_path: Path) -> None:
    renamed = replace(LABELS, classes=(replace(LABELS.classes[0], title="Nice"), *LABELS.classes[1:]))
    one = made(tmp_path / "a", {FRIENDLY: 5}, pictures="a")
    assert compare(one, made(tmp_path / "b", {FRIENDLY: 5}, pictures="b", labels=renamed)).of("raw", "pictures")


def test_corrected_shares_are_comparable_across_models() -> None:
    found = beside(side("a", LABELLED), side("b", replace(LABELLED, model="large", model_key="large-1")))
    assert {each.kind for each in found.differences} == {"corrected"}
    assert any(each.startswith("raw shares: the model is") and "large in b" in each for each in found.left_out)
    assert all(each.probability is not None for each in found.differences)
    assert not found.moments


def test_corrected_shares_of_another_question_are_not_compared() -> None:
    other = replace(LABELS, question="Who is in this picture?")
    found = beside(side("a", LABELLED), side("b", LABELLED, labels=other))
    assert {each.kind for each in found.differences} == {"raw"}
    assert any("Who is in this picture?" in each for each in found.left_out)


def test_who_has_no_hand_labels_is_told_how_to_get_them() -> None:
    found = beside(side("a", LABELLED), side("b"))
    assert {each.kind for each in found.differences} == {"raw"}
    assert [each for each in found.left_out if "in b" in each and "review" in each]


def test_a_unit_that_is_refused_in_one_run_is_told() -> None:
    refusing = replace(LABELLED, review=replace(LABELLED.review, refused={"engagement": "a few pictures hold all"}))
    found = beside(side("a", LABELLED), side("b", refusing))
    assert "corrected shares of engagement: in b, a few pictures hold all" in found.left_out


def corrected_pair(found: Comparison, label: str) -> tuple[Number, Number, Estimate]:
    each = next(each for each in found.of("corrected", "pictures") if each.label == label)
    return each.a, each.b, each.difference


def test_corrected_differences_are_movers() -> None:
    found = beside(side("a", LABELLED), side("b", LABELLED))
    a, b, difference = corrected_pair(found, FRIENDLY)
    assert (difference.value, difference.low, difference.high) == pytest.approx(
        (
            0.0,
            -np.hypot(b.value - b.low, a.high - a.value),
            np.hypot(b.high - b.value, a.value - a.low),
        )
    )
    sentence = found.of("corrected", "pictures")[0].sentence
    assert "no clear difference, about the same share" in sentence
    assert "the probability that the share is larger in b is about 50 %" in sentence


def test_pictures_in_both_are_counted_and_what_it_does_is_said(tmp_path: Path) -> None:
    one = made(tmp_path / "a", {FRIENDLY: 10}, pictures="same")
    other = made(tmp_path / "b", {FRIENDLY: 14, FORCE: 3}, pictures="same", missing=2)
    found = compare(one, other)
    assert found.shared == Shared(images=10, posts=10)
    assert "all 10 images of a are among the 17 of b, and 10 posts are in both" in found.overlap
    assert "too wide" in found.overlap
    notes = " ".join(found.notes)
    assert "are among" not in notes
    assert "in b, 2 of 19 attachments could not be had or classified" in notes


@pytest.mark.parametrize(("images", "nearly_all"), [(0, False), (585, False), (586, True), (650, True)])
def test_nearly_the_same_images_are_no_mere_note(images: int, nearly_all: bool) -> None:
    other = side("b", replace(TALLY, images=3 * TALLY.images))
    a = side("a", replace(TALLY, images=650))
    found = compared(a, other, Shared(images=images, posts=0), None)
    assert ("too wide" in found.overlap) == nearly_all
    assert any("too wide" in each for each in found.notes) == (images > 0 and not nearly_all)


def test_runs_apart_have_nothing_in_common(two: tuple[Run, Run]) -> None:
    found = compare(*two)
    assert found.shared == Shared(images=0, posts=0)
    assert not any("in both runs" in each for each in found.notes)


def test_of_corrected_differences_alone_the_same_images_are_said_to_do_nothing() -> None:
    other = side("b", replace(LABELLED, model="large", model_key="large-1"), seed="t")
    found = compared(side("a", LABELLED, seed="s"), other, Shared(images=LABELLED.images, posts=0), None)
    assert found.overlap.endswith(
        " images: the intervals of corrected differences hold, since each run has a random sample of its own"
    )
    assert "too wide" not in found.overlap


def test_samples_of_one_seed_are_not_independent() -> None:
    def notes(seed: str) -> str:
        return " ".join(beside(side("a", LABELLED, seed="s"), side("b", LABELLED, seed=seed)).notes)

    assert "same seed" in notes("s")
    assert "same seed" not in notes("t")


def test_of_what_was_counted_no_sample_and_no_interval_is_claimed() -> None:
    def notes(a: Tally, b: Tally, seed: str) -> str:
        sides = side("a", a, seed="s"), side("b", b, seed=seed)
        return " ".join(compared(*sides, Shared(images=7, posts=0), None).notes)

    assert "random sample of its own" in notes(LABELLED, LABELLED, "t")
    for one, other in ((counted(), counted()), (counted(), LABELLED), (LABELLED, counted())):
        assert "random sample of its own" not in notes(one, other, "t")
        assert "same seed" not in notes(one, other, "s")
        assert "too wide" in notes(one, other, "t")  # of the raw ones


def counted(**shares: float) -> Tally:
    """A tally of a run in which all pictures were labelled by hand; `shares` of some of the classes."""

    def of(number: Number) -> Number:
        if (number.kind, number.measure) != ("corrected", "share") or number.value is None:
            return number
        value = shares.get(number.label, number.value)
        return replace(number, method=CENSUS, value=value, low=value, high=value)

    return replace(LABELLED, numbers=tuple(map(of, LABELLED.numbers)))


def test_both_shares_and_their_difference_have_the_same_digits() -> None:
    def narrow(number: Number) -> Number:
        if (number.kind, number.measure) != ("corrected", "share"):
            return number
        return replace(number, value=0.29, low=0.284, high=0.297)

    other = replace(LABELLED, numbers=tuple(map(narrow, LABELLED.numbers)))
    found = beside(side("a", counted(friendly=0.275)), side("b", other)).of("corrected", "pictures")[0]
    assert found.digits == 1
    assert "In a, 27.5 % of" in found.sentence
    assert "in b 29.0 % (95 % interval 28.4 to 29.7 %)" in found.sentence
    assert "1.5 points (95 % interval 0.9 to 2.2) more" in found.sentence


@pytest.mark.parametrize(("of_a", "of_b"), [(0.374, 0.336), (0.126, 0.374), (0.3745, 0.3355)])
def test_the_difference_is_that_of_the_shares_beside_it(of_a: float, of_b: float) -> None:
    def to(share: float) -> Tally:
        def moved(number: Number) -> Number:
            if (number.kind, number.measure) != ("corrected", "share"):
                return number
            return replace(number, value=share, low=share - 0.03, high=share + 0.03)

        return replace(LABELLED, numbers=tuple(map(moved, LABELLED.numbers)))

    sentence = beside(side("a", to(of_a)), side("b", to(of_b))).of("corrected", "pictures")[0].sentence
    a, b = re.findall(r"([\d.]+) % \(95", sentence)
    points = re.search(r"([\d.]+) points", sentence)
    assert points
    assert round(abs(float(b) - float(a)) - float(points[1]), 6) == 0


def test_a_unit_that_one_run_alone_has_is_told() -> None:
    silent = replace(TALLY, numbers=tuple(each for each in TALLY.numbers if each.unit != "engagement"))
    told = "shares of engagement: in b, no post with pictures states any likes, reposts or replies of its own"
    assert told in beside(side("a"), side("b", silent)).left_out
    assert not any("engagement" in each for each in beside(side("a", silent), side("b", silent)).left_out)
    assert not any("engagement" in each for each in beside(side("a"), side("b")).left_out)


def test_a_run_without_pictures_is_said_to_have_none() -> None:
    one, empty = side("a", LABELLED), side("b", replace(TALLY, images=0, pictures=0, numbers=()))
    for pair in ((one, empty), (empty, one)):
        with pytest.raises(RunConflictError, match=r"can be compared: no picture of b was classified$"):
            beside(*pair)


@pytest.mark.parametrize(
    ("a", "b", "names"),
    [
        ("/x/runs/a", "/x/runs/b", ("a", "b")),
        ("/x/2014/nypd", "/x/2015/nypd", ("2014/nypd", "2015/nypd")),
        ("/nypd", "/x/nypd", ("/nypd", "x/nypd")),
        ("bucket/nypd", "/home/nypd", ("bucket/nypd", "home/nypd")),
    ],
)
def test_names_tell_runs_apart(a: str, b: str, names: tuple[str, str]) -> None:
    assert names_of(a, b) == names


def of(count: int, total: int) -> Estimate:
    low, high = wilson(count, total)
    return Estimate(value=count / total, low=low, high=high)


@pytest.mark.parametrize(
    ("b", "a", "words"),
    [
        (
            of(300, 1000),
            of(100, 1000),
            "20 points (95 % interval 17 to 23) more, 3.0 times the share (2.4 to 3.7)",
        ),
        (
            of(100, 1000),
            of(300, 1000),
            "20 points (95 % interval 17 to 23) less, 0.33 times the share (0.27 to 0.41)",
        ),
        (
            of(310, 1000),
            of(300, 1000),
            "no clear difference, 1 point more (95 % interval from 3 less to 5 more)",
        ),
        (
            of(5, 10),
            of(5, 10),
            "no clear difference, about the same share (95 % interval from 37 less to 37 more)",
        ),
        (of(12, 20), of(0, 20), "60 points (95 % interval 33 to 78) more"),  # no ratio to nothing
        (of(9, 20), of(1, 20), "40 points (95 % interval 13 to 61) more"),  # nor one that could be anything
        # an end that is not 1 doesn't look like 1
        (
            of(560, 1000),
            of(610, 1000),
            "5 points (95 % interval 1 to 9) less, 0.92 times the share (0.85 to 0.99)",
        ),
        (
            of(660, 1000),
            of(610, 1000),
            "5 points (95 % interval 1 to 9) more, 1.08 times the share (1.01 to 1.16)",
        ),
        (
            of(60_600, 100_000),
            of(61_100, 100_000),
            "1 point (95 % interval 0 to 1) less, 0.992 times the share (0.985 to 0.999)",
        ),
    ],
)
def test_words_say_what_the_interval_does(a: Estimate, b: Estimate, words: str) -> None:
    by = ratio_between(b, a) if a.value else None
    assert apart_in_words(difference_between(b, a), by, digits=0) == words


def test_what_was_counted_has_no_interval() -> None:
    exact = Estimate(value=0.25, low=0.25, high=0.25), Estimate(value=0.2, low=0.2, high=0.2)
    apart, by = difference_between(*exact), ratio_between(*exact)
    assert apart_in_words(apart, by, digits=0, interval=False) == "5 points more, 1.2 times the share"
    assert apart_in_words(difference_between(exact[0], exact[0]), digits=0, interval=False) == "the same share"


def test_the_same_comparison_twice_is_the_same(two: tuple[Run, Run], tmp_path: Path) -> None:
    before = compare(*two)
    for name in "ab":
        shutil.copytree(tmp_path / name, tmp_path / "copied" / name)
    after = compare(Run(tmp_path / "copied/a"), Run(tmp_path / "copied/b"))
    assert (before.to_csv(), before.timeline_csv()) == (after.to_csv(), after.timeline_csv())
    assert before.notes == after.notes
