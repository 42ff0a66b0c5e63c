"""The sample of a run: drawn by its probabilities, the same whenever it is drawn, and extended validly."""

import dataclasses
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from hashtag_photos.errors import RunError, UsageError
from hashtag_photos.handlabels import BLIND, BY_HAND, DRAWN, HandLabel, HandLabels
from hashtag_photos.labels import SKIP, find_labels
from hashtag_photos.records import Attachment, Photo, PhotoStatus, Post
from hashtag_photos.run import Run
from hashtag_photos.sampling import Frame
from hashtag_photos.stages.classify import scores_path
from hashtag_photos.stages.group import groups_path
from hashtag_photos.stages.sample import carried, draw_sample, plan_labels, read_sample, sample_path
from hashtag_photos.stages.score import decide
from hashtag_photos.stages.units import count_units
from hashtag_photos.tables import GROUPS, SAMPLE, photos_table, posts_table, scores_schema

LABELS = find_labels("friendly-or-force")
KEY = LABELS.question_key
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def sha(number: int) -> str:
    return f"{number * 2654435761 % 2**32:064x}"


def add(run: Run, numbers: range, *, certain: float = 1.0) -> None:
    """Posts with a picture each, of which every tenth shows up again and again; scores of all that there are then."""
    posts, photos = [], []
    for number in numbers:
        for copy in range(12 if number % 10 == 0 else 1):
            post = Post(source="s", id=f"{number}-{copy}", likes=number % 7, attachments=(Attachment(url="u"),))
            posts.append(post)
            photos.append(
                Photo(source="s", post_id=post.id, position=0, url="u", status=PhotoStatus.OK, attempt=1,
                      fetched_at=NOW, sha256=sha(number), format="JPEG")
            )  # fmt: skip
    run.append("posts", posts_table(posts))
    run.append("photos", photos_table(photos))
    score(run, numbers.stop, certain=certain)


def score(run: Run, count: int, *, model: str = "m", certain: float = 1.0) -> None:
    dice = np.random.default_rng(count)
    probability = dice.dirichlet([0.4 / certain, 0.3 / certain, 0.5 / certain], count).astype(np.float32)
    names, margins = decide(probability, LABELS)
    columns = [[sha(number) for number in range(count)], names, margins, *probability.T]
    table = pa.table(columns, schema=scores_schema(LABELS.class_names)).sort_by("sha256")
    run.write_table(scores_path(model, LABELS.key), table)


def grouped(run: Run, groups: dict[int, int], *, count: int, model: str = "m") -> None:
    """Which image is which picture, by number."""
    rows = sorted((sha(number), sha(groups.get(number, number))) for number in range(count))
    run.write_table(groups_path(model), pa.table([*zip(*rows, strict=True)], schema=GROUPS))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path / "run")
    run.ask(model="tiny")
    add(run, range(120))
    return run


def seeded(run: Run, seed: object) -> None:
    """As if nothing had been drawn, and the seed were another."""
    (run.storage.local / sample_path(KEY)).unlink(missing_ok=True)
    run.record_used("samples", KEY, {"seed": str(seed), "question": "?", "classes": list(LABELS.class_names)})


def drawn(frame: Frame) -> list[str]:
    """The drawn pictures in the order of showing."""
    own = frame.sha256[frame.drawn]
    return own[np.argsort(frame.position[frame.drawn])].tolist()


def test_nothing_is_drawn_until_it_is(run: Run) -> None:
    assert read_sample(run, KEY) is None
    assert run.used("samples", KEY) is None


def test_what_is_drawn_is_what_is_read_and_stored(run: Run) -> None:
    frame = draw_sample(run, "m", LABELS, 40)
    again = read_sample(Run(run.location), KEY)
    for each in dataclasses.fields(Frame):
        np.testing.assert_array_equal(getattr(frame, each.name), getattr(again, each.name), err_msg=each.name)
    table = run.read_table(sample_path(KEY))
    assert table.schema.equals(SAMPLE)
    rows = table.to_pylist()
    assert {row["sha256"] for row in rows} == {sha(number) for number in range(120)}
    assert sorted(row["position"] for row in rows if row["drawn"]) == list(range(40))
    assert all(row["position"] is None for row in rows if not row["drawn"])
    sizes, taken = Counter(), Counter()
    for row in rows:
        sizes[row["stratum"]] += 1
        taken[row["stratum"]] += row["drawn"]
    for row in rows:
        assert row["inclusion_probability"] == pytest.approx(taken[row["stratum"]] / sizes[row["stratum"]])
        assert row["drawn"] == (row["rank"] < taken[row["stratum"]])
    assert sum(row["inclusion_probability"] for row in rows) == pytest.approx(40)


def test_the_seed_is_kept_and_the_draw_is_the_same_whenever_it_is_made(run: Run) -> None:
    first = draw_sample(run, "m", LABELS, 40)
    (run.storage.local / sample_path(KEY)).unlink()
    assert drawn(draw_sample(Run(run.location), "m", LABELS, 40)) == drawn(first)
    seeded(run, "another")
    assert drawn(draw_sample(run, "m", LABELS, 40)) != drawn(first)


def test_each_run_has_a_seed_of_its_own(run: Run, tmp_path: Path) -> None:
    other = Run(tmp_path / "other")
    other.ask(model="tiny")
    add(other, range(120))
    assert drawn(draw_sample(run, "m", LABELS, 40)) != drawn(draw_sample(other, "m", LABELS, 40))


def test_asked_for_no_more_nothing_is_written(run: Run) -> None:
    first = draw_sample(run, "m", LABELS, 40)
    path = run.storage.local / sample_path(KEY)
    before = path.stat().st_mtime_ns, path.read_bytes()
    add(run, range(120, 130))
    for n in (1, 40):
        np.testing.assert_array_equal(draw_sample(run, "m", LABELS, n).sha256, first.sha256)
    assert (path.stat().st_mtime_ns, path.read_bytes()) == before


def test_drawing_more_keeps_all_that_was_drawn_in_its_order(run: Run) -> None:
    first = draw_sample(run, "m", LABELS, 40)
    second = draw_sample(run, "m", LABELS, 70)
    assert drawn(second)[:40] == drawn(first)
    assert len(drawn(second)) == 70
    assert set(second.draw.tolist()) == {1}, "the same pictures are the same frame"


def test_more_than_there_are_is_all(run: Run) -> None:
    assert sorted(drawn(draw_sample(run, "m", LABELS, 5_000))) == sorted(sha(number) for number in range(120))


def test_pictures_that_came_since_are_strata_of_their_own(run: Run) -> None:
    first = draw_sample(run, "m", LABELS, 40)
    add(run, range(120, 200))
    second = draw_sample(run, "m", LABELS, 90)
    assert len(second.sha256) == 200
    old = np.isin(second.sha256, first.sha256)
    assert set(second.draw[old].tolist()) == {1}
    assert set(second.draw[~old].tolist()) == {2}
    assert not set(second.stratum[old]) & set(second.stratum[~old])
    assert set(drawn(first)) <= set(drawn(second))
    assert second.drawn[~old].any()


def chi_square(counts: np.ndarray, frame: Frame, times: int) -> float:
    """The chance of counts of inclusion like these or less even, where each stratum is drawn from at random."""
    total, freedom = 0.0, 0
    for name in np.unique(frame.stratum):
        own = frame.stratum == name
        size, p = own.sum(), frame.inclusion_probability[own][0]
        if size > 1 and 0 < p < 1:
            total += ((counts[own] - times * p) ** 2).sum() / (times * p * (1 - p)) * (size - 1) / size
            freedom += size - 1
        else:
            assert (counts[own] == times * p).all()
    assert freedom > 20
    return float(stats.chi2.sf(total, freedom))


def test_pictures_are_drawn_as_often_as_is_stored_also_after_more_is_drawn(run: Run) -> None:
    """Over 40 seeds: a draw of 30 of 120 pictures; then 40 more come, and it is extended to 80."""
    times = 40
    counts = {30: Counter(), 80: Counter()}
    first_showing = Counter()
    add(run, range(120, 160))
    all_scores = run.read_table(scores_path("m", LABELS.key))
    score(run, 120)
    early = run.read_table(scores_path("m", LABELS.key))
    frames = {}
    for seed in range(times):
        seeded(run, seed)
        for n, scores in ((30, early), (80, all_scores)):
            run.write_table(scores_path("m", LABELS.key), scores)
            frame = draw_sample(run, "m", LABELS, n)
            order = np.argsort(frame.sha256)
            sorted_frame = Frame(**{each.name: getattr(frame, each.name)[order] for each in dataclasses.fields(Frame)})
            if n in frames:
                np.testing.assert_array_equal(sorted_frame.stratum, frames[n].stratum)
                np.testing.assert_allclose(sorted_frame.inclusion_probability, frames[n].inclusion_probability)
            frames[n] = sorted_frame
            counts[n].update(drawn(frame))
        first_showing.update(drawn(frame)[:1])
    for n, frame in frames.items():
        chance = chi_square(np.array([counts[n][each] for each in frame.sha256.tolist()]), frame, times)
        assert chance > 1e-3, f"{n}: {chance}"
    assert len(first_showing) > 10


def test_merged_groups_are_carried_by_one_picture_of_the_frame(run: Run) -> None:
    grouped(run, {}, count=120)
    frame = draw_sample(run, "m", LABELS, 40)
    # 1, 2 and 3 are one picture by now, named by 3; 4 and 5, named by a new image 120; 121 is a picture of its own
    add(run, range(120, 122))
    grouped(run, {1: 3, 2: 3, 3: 3, 4: 120, 5: 120, 120: 120}, count=122)
    units = count_units(run, "m", LABELS.key)
    carries = dict(zip(frame.sha256.tolist(), carried(frame, units).tolist(), strict=True))
    for members, name in (((1, 2, 3), 3), ((4, 5), 120)):
        carrier = min(sha(number) for number in members)
        assert units.pictures[carries[carrier]] == sha(name)
        assert [carries[sha(number)] for number in members].count(-1) == len(members) - 1
    for number in range(6, 120):
        assert units.pictures[carries[sha(number)]] == sha(number)
    more = draw_sample(run, "m", LABELS, 60)
    assert set(more.sha256.tolist()) - set(frame.sha256.tolist()) == {sha(121)}, "120 is in the frame as 4 or 5"
    assert set(drawn(frame)) <= set(drawn(more))


def test_a_picture_that_no_longer_counts_carries_nothing(run: Run) -> None:
    frame = draw_sample(run, "m", LABELS, 40)
    score(run, 110)
    row = {sha256: place for place, sha256 in enumerate(frame.sha256.tolist())}
    carries = carried(frame, count_units(run, "m", LABELS.key))
    assert [int(carries[row[sha(number)]]) for number in range(110, 120)] == [-1] * 10
    assert sorted(carries[carries >= 0].tolist()) == list(range(110))


def test_another_model_goes_on_with_the_same_sample(run: Run) -> None:
    first = draw_sample(run, "m", LABELS, 40)
    score(run, 120, model="other", certain=2.0)
    second = draw_sample(run, "other", LABELS, 60)
    assert drawn(second)[:40] == drawn(first)
    np.testing.assert_array_equal(np.sort(second.stratum), np.sort(first.stratum))


def test_another_wording_of_the_prompts_has_the_same_sample_and_another_question_has_not(run: Run) -> None:
    first = draw_sample(run, "m", LABELS, 40)
    reworded = dataclasses.replace(LABELS, templates=("{}!",))
    run.write_table(scores_path("m", reworded.key), run.read_table(scores_path("m", LABELS.key)))
    assert drawn(draw_sample(run, "m", reworded, 40)) == drawn(first)
    asked_otherwise = dataclasses.replace(LABELS, question="What else?")
    run.write_table(scores_path("m", asked_otherwise.key), run.read_table(scores_path("m", LABELS.key)))
    assert drawn(draw_sample(run, "m", asked_otherwise, 40)) != drawn(first)


# Errors


def test_without_scores_nothing_is_drawn_and_nothing_written(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.ask(model="tiny")
    for attempt in (lambda: draw_sample(run, "m", LABELS, 10), lambda: plan_labels(run, "m", LABELS, 3)):
        with pytest.raises(RunError, match=r"were not asked.*run the classify stage first"):
            attempt()
    run.write_table(scores_path("m", LABELS.key), scores_schema(LABELS.class_names).empty_table())
    with pytest.raises(RunError, match="has no pictures to draw from"):
        draw_sample(run, "m", LABELS, 10)
    assert run.storage.names("sample") == []
    assert run.used("samples", KEY) is None


def test_a_sample_whose_seed_is_gone_is_not_extended(run: Run) -> None:
    draw_sample(run, "m", LABELS, 10)
    run._update(samples={})
    with pytest.raises(RunError, match=r"lacks the seed.*bring run\.json back"):
        draw_sample(run, "m", LABELS, 20)


# The plan


def say(run: Run, pictures: list[str], *, wrong: float, sampled: str = DRAWN) -> None:
    """Labels of these pictures: what the model says, but for a share of them another class."""
    scores = run.read_table(scores_path("m", LABELS.key)).to_pylist()
    best = {row["sha256"]: max(LABELS.class_names, key=lambda name: row[f"p_{name}"]) for row in scores}
    dice = np.random.default_rng(1)
    others = dict(zip(LABELS.class_names, np.roll(LABELS.class_names, 1), strict=True))
    HandLabels(run).add(
        *(
            HandLabel(
                sha256=each,
                label=str(others[best[each]]) if dice.random() < wrong else best[each],
                coder="anna",
                at=NOW,
                question=KEY,
                round=BLIND,
                sampled=sampled,
            )
            for each in pictures
        )
    )


@pytest.fixture
def large(tmp_path: Path) -> Run:
    run = Run(tmp_path / "large")
    run.ask(model="tiny")
    add(run, range(4_000), certain=4.0)
    return run


def test_the_plan_wants_more_for_less_width_and_never_more_than_there_are(large: Run) -> None:
    plans = [plan_labels(large, "m", LABELS, points) for points in (10, 5, 3, 1, 0.1)]
    needed = [plan.needed for plan in plans]
    assert needed == sorted(needed)
    assert needed[0] < 400 < needed[-1] <= 4_000
    assert {(plan.labelled, plan.drawn, plan.pictures) for plan in plans} == {(0, 0, 4_000)}
    assert read_sample(large, KEY) is None, "planning draws nothing"


def test_the_plan_goes_by_what_labels_say_once_there_are(large: Run, tmp_path: Path) -> None:
    pictures = drawn(draw_sample(large, "m", LABELS, 300))
    say(large, pictures, wrong=0.0)
    good = plan_labels(large, "m", LABELS, 3)
    assert (good.labelled, good.drawn) == (300, 300)
    (large.storage.local / "labels.csv").unlink()
    say(large, pictures, wrong=0.4)
    bad = plan_labels(large, "m", LABELS, 3)
    assert good.needed < bad.needed


def test_labels_by_hand_are_none_of_the_sample(large: Run) -> None:
    pictures = drawn(draw_sample(large, "m", LABELS, 100))
    before = plan_labels(large, "m", LABELS, 3)
    say(large, pictures[:50], wrong=0.5, sampled=BY_HAND)
    assert plan_labels(large, "m", LABELS, 3) == before
    say(large, pictures[50:], wrong=0.0)
    assert plan_labels(large, "m", LABELS, 3).labelled == 50


def test_the_plan_tells_labels_skips_and_what_is_left_apart(large: Run) -> None:
    pictures = drawn(draw_sample(large, "m", LABELS, 100))
    say(large, pictures[:60], wrong=0.0)
    skips = [
        HandLabel(sha256=each, label=SKIP, coder="anna", at=NOW, question=KEY, round=BLIND, sampled=DRAWN)
        for each in pictures[60:75]
    ]
    HandLabels(large).add(*skips)
    plan = plan_labels(large, "m", LABELS, 3)
    assert (plan.labelled, plan.skipped, plan.left, plan.drawn, plan.undrawn) == (60, 15, 25, 100, 3_900)


def test_what_makes_no_sense_is_refused(run: Run) -> None:
    with pytest.raises(UsageError, match="one picture at least"):
        draw_sample(run, "m", LABELS, 0)
    for points in (0, -3, 100, float("nan")):
        with pytest.raises(UsageError, match="percentage points"):
            plan_labels(run, "m", LABELS, points)
