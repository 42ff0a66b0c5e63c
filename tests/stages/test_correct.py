"""Corrected shares of runs made up at random, whose truth is known, labelled by people who know it."""

import csv
import dataclasses
import html
import json
import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hashtag_photos.estimate import Estimate, bounds
from hashtag_photos.handlabels import BLIND, BY_HAND, DRAWN, SETTLING, HandLabel, HandLabels
from hashtag_photos.labels import SKIP, find_labels
from hashtag_photos.records import Attachment, Photo, PhotoStatus, Post
from hashtag_photos.report import write_report
from hashtag_photos.run import Run
from hashtag_photos.stages.classify import scores_path
from hashtag_photos.stages.correct import Evidence
from hashtag_photos.stages.group import groups_path
from hashtag_photos.stages.numbers import Number
from hashtag_photos.stages.sample import draw_sample, plan_labels, read_sample
from hashtag_photos.stages.score import decide
from hashtag_photos.stages.summarize import summarize
from hashtag_photos.stages.tally import Tally
from hashtag_photos.stages.units import UNITS
from hashtag_photos.tables import GROUPS, photos_table, posts_table

LABELS = find_labels("friendly-or-force")
CLASSES = LABELS.class_names
NOW = datetime(2014, 4, 22, tzinfo=UTC)


def sha(number: int) -> str:
    return f"{number * 2654435761 % 2**256:064x}"


class World:
    """A run of pictures whose truth is known, and a model that is often wrong, always in the same way.

    Every fifth picture has a near-duplicate, which its first image stands for.
    """

    def __init__(self, folder: Path, *, seed: int = 0, pictures: int = 300, wrong: float = 0.3) -> None:
        dice = np.random.default_rng(seed)
        self.run = Run(folder / "run")
        self.truth = {
            sha(number): CLASSES[place] for number, place in enumerate(dice.choice(3, pictures, p=[0.2, 0.5, 0.3]))
        }
        self.run.ask(model="tiny", model_key="tiny-0", labels=LABELS.key)
        self.run.record_used("label_sets", LABELS.key, dataclasses.asdict(LABELS))
        self.run.record_used(
            "samples", LABELS.question_key, {"seed": str(seed), "question": "", "classes": list(CLASSES)}
        )
        self.dice, self.wrong = dice, wrong
        self.scored: dict[str, np.ndarray] = {}
        self.groups: dict[str, str] = {}
        self.posted: dict[str, int] = {}
        self.add(self.truth)

    def add(self, pictures: Iterable[str]) -> None:
        """Pictures into the tables, as the stages do."""
        posts, photos = [], []
        for name in pictures:
            images = [name, f"{int(name, 16) + 1:064x}"] if len(self.groups) % 6 == 0 else [name]
            said = self.truth[name]
            if said == "conflict_and_force" and self.dice.random() < self.wrong:
                said = "friendly"
            certain = np.where(np.array(CLASSES) == said, 0.8, 0.1)
            for image in images:
                self.groups[image] = name
                self.scored[image] = (certain * self.dice.uniform(0.5, 1.5, 3)).astype(np.float32)
                self.scored[image] /= self.scored[image].sum()
                for _ in range(int(self.dice.integers(1, 4))):
                    number = len(self.posted) + len(posts)
                    post = Post(
                        source="s",
                        id=str(number),
                        likes=int(self.dice.integers(0, 30)),
                        attachments=(Attachment(url="u"),),
                    )
                    posts.append(post)
                    photos.append(
                        Photo(
                            source="s",
                            post_id=post.id,
                            position=0,
                            url="u",
                            status=PhotoStatus.OK,
                            attempt=1,
                            fetched_at=NOW,
                            sha256=image,
                            format="JPEG",
                        )
                    )
        self.posted |= {post.id: 1 for post in posts}
        self.run.append("posts", posts_table(posts))
        self.run.append("photos", photos_table(photos))
        self.write()

    def write(self) -> None:
        """Scores and groups, as a whole."""
        names = sorted(self.scored)
        probability = np.stack([self.scored[name] for name in names])
        labels, margins = decide(probability, LABELS)
        columns = {f"p_{name}": probability[:, place] for place, name in enumerate(CLASSES)}
        self.run.write_table(
            scores_path("tiny-0", LABELS.key),
            pa.table({"sha256": names, "label": labels, "margin": margins, **columns}),
        )
        groups = [self.groups[name] for name in names]
        self.run.write_table(groups_path("tiny-0"), pa.table([names, groups], schema=GROUPS))

    def draw(self, n: int) -> list[str]:
        """The drawn pictures in the order of showing."""
        frame = draw_sample(self.run, "tiny-0", LABELS, n)
        return frame.sha256[frame.drawn][np.argsort(frame.position[frame.drawn])].tolist()

    def say(self, answers: dict[str, str], *, coder: str = "anna", round: int = BLIND, sampled: str = DRAWN) -> None:
        HandLabels(self.run).add(
            *(
                HandLabel(
                    sha256=name,
                    label=label,
                    coder=coder,
                    at=NOW,
                    question=LABELS.question_key,
                    round=round,
                    sampled=sampled,
                )
                for name, label in answers.items()
            )
        )

    def shares(self, unit: str = "pictures") -> dict[str, Estimate]:
        evidence = Evidence.of(self.run, "tiny-0", LABELS)
        assert evidence is not None
        found = evidence.shares(HandLabels(self.run).verdicts(LABELS.question_key), unit)
        assert found.refused is None, found.refused
        return dict(zip(CLASSES, found.shares, strict=True))

    def true_shares(self, tally: Tally, unit: str) -> dict[str, float]:
        """The truth in a unit, counted in plain Python from photos.csv and the posts."""
        weight = dict.fromkeys(CLASSES, 0.0)
        photos = self.run.dataset("photos").to_table().to_pylist()
        likes = {each["id"]: each["likes"] for each in self.run.dataset("posts").to_table().to_pylist()}
        for image, picture in self.groups.items():
            shown = [photo["post_id"] for photo in photos if photo["sha256"] == image]
            weight[self.truth[picture]] += {
                "pictures": float(image == picture),
                "images": 1.0,
                "photos": len(shown),
                "posts": len(shown),
                "engagement": sum(likes[post] for post in shown),
            }[unit]
        return {label: each / sum(weight.values()) for label, each in weight.items()}


def width(shares: dict[str, Estimate]) -> float:
    return sum(each.high - each.low for each in shares.values())


def test_corrected_shares_hold_the_truth_where_the_raw_ones_are_off(tmp_path: Path) -> None:
    held = dict.fromkeys(UNITS, 0)
    raw_held = 0
    for seed in range(12):
        world = World(tmp_path / str(seed), seed=seed, pictures=400)
        world.say({name: world.truth[name] for name in world.draw(150)})
        tally = summarize(world.run)
        for unit in UNITS:
            truth = world.true_shares(tally, unit)
            found = {label: tally.number("corrected", label, unit) for label in CLASSES}
            held[unit] += sum(each.low <= truth[label] <= each.high for label, each in found.items())
            assert all(each.n == 150 and each.high - each.low < 0.35 for each in found.values())
        truth = world.true_shares(tally, "pictures")
        for label in ("friendly", "conflict_and_force"):
            raw = tally.number("raw", label)
            raw_held += raw.low <= truth[label] <= raw.high
    assert raw_held == 0
    assert all(count >= 31 for count in held.values()), f"of 36 intervals each: {held}"


def sentences_say_their_numbers(number: Number) -> None:
    told = number.sentence.replace(",", "").replace("\N{MINUS SIGN}", "-")
    stated = [number.low, number.high] if number.kind == "bound" else [number.value, number.low, number.high]
    scale = 1 if number.measure == "ratio" else 100
    if number.measure == "share" and number.kind != "bound":
        found = re.search(r"(\S+) % \(95 % interval (\S+) to (\S+) %\)", told)
    elif number.measure == "share":
        found = re.search(r"between (\S+) and (\S+) %", told)
    elif number.measure == "difference":
        found = re.search(r"is (\S+) points? \(95 % interval (\S+) to (\S+)\)", told)
    else:
        found = re.search(r"were (\S+) \(95 % interval (\S+) to (\S+)\)", told)
    assert found, told
    for text, value in zip(found.groups(), stated, strict=True):
        digits = len(text.partition(".")[2])
        assert float(text) == pytest.approx(scale * value, abs=0.5001 * 10**-digits), told


def test_every_number_has_its_kind_interval_n_and_a_sentence_that_says_the_same(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.say({name: world.truth[name] for name in world.draw(120)})
    missing = [Post(source="s", id=f"gone {number}", attachments=(Attachment(url="u"),)) for number in range(21)]
    world.run.append("posts", posts_table(missing))
    tally = summarize(world.run)
    said = json.loads((tmp_path / "run/report/tally.json").read_text())["numbers"]
    assert [Number(**each | {"warnings": tuple(each["warnings"])}) for each in said] == list(tally.numbers)
    lines = (tmp_path / "run/report/numbers.csv").read_text().splitlines()
    assert len(lines) == 1 + len(said)
    by_kind = {(each.kind, each.measure, each.unit) for each in tally.numbers}
    assert by_kind == {
        *(("raw", "share", unit) for unit in UNITS),
        *(("corrected", measure, unit) for unit in UNITS for measure in ("share", "difference", "ratio")),
        ("bound", "share", "photos"),
    }
    for each in tally.numbers:
        assert each.n == (
            120 if each.rests_on == "labels" else tally.pictures if each.unit == "pictures" else tally.images
        )
        assert each.low <= (each.low if each.value is None else each.value) <= each.high
        assert (each.value is None) == (each.kind == "bound")
        assert (each.probability is not None) == (each.measure == "difference")
        assert each.method
        assert re.search(rf"\b{each.of:,} ", each.sentence)
        assert (f"{each.n} hand labels by one person" in each.sentence) == (each.rests_on == "labels")
        assert any("one person alone" in warning for warning in each.warnings) == (each.rests_on == "labels")
        sentences_say_their_numbers(each)
        if each.measure == "difference":
            more, fewer = (tally.number("corrected", label, each.unit) for label in (each.label, each.versus))
            assert each.value == pytest.approx(more.value - fewer.value)
            assert more.value >= fewer.value
            assert each.probability >= 0.5
    for kind in ("raw", "corrected"):
        share = tally.number(kind, "friendly", "photos")
        ends = (share.value, share.value) if kind == "raw" else (share.low, share.high)
        rests = "labels" if kind == "corrected" else "images"
        (bound,) = [
            each for each in tally.numbers if (each.kind, each.rests_on, each.label) == ("bound", rests, "friendly")
        ]
        assert (bound.low, bound.high) == pytest.approx(bounds(*ends, tally.photos, 21))
        assert bound.of == tally.photos + 21
        assert "Whatever the 21 attachments show that could not be had or classified" in bound.sentence
    for unit in UNITS:
        for kind in ("raw", "corrected"):
            shares = [
                each.value for each in tally.numbers if (each.kind, each.measure, each.unit) == (kind, "share", unit)
            ]
            assert sum(shares) == pytest.approx(1)


def test_the_tables_have_the_corrected_shares_beside_the_raw_ones(tmp_path: Path) -> None:
    world = World(tmp_path)
    drawn = world.draw(100)
    (row, *_), before = summarize(world.run).rows(), summarize(world.run)
    assert (row["corrected_share"], row["corrected_n"]) == (None, None)
    assert row["pictures_total"] == 300
    assert before.review.drawn == 100
    assert before.review.refused["pictures"].startswith("no picture of the sample has a label yet")
    assert "friendly," in (tmp_path / "run/report/tally.csv").read_text()
    world.say({name: world.truth[name] for name in drawn})
    (row, *_, unsure) = summarize(world.run).rows()
    found = world.shares()["friendly"]
    assert (row["corrected_share"], row["corrected_low_95"], row["corrected_high_95"]) == dataclasses.astuple(found)
    assert row["corrected_n"] == 100
    assert unsure["label"] == "unsure"
    assert unsure["corrected_share"] is None


@pytest.mark.parametrize("drawn", [0, 100])
def test_labels_that_somebody_chose_give_no_corrected_number(tmp_path: Path, drawn: int) -> None:
    world = World(tmp_path)
    if drawn:
        world.draw(drawn)
    world.say(world.truth, sampled=BY_HAND)
    tally = summarize(world.run)
    assert not [each for each in tally.numbers if each.kind == "corrected" or each.rests_on == "labels"]
    assert tally.review.by_hand == 300
    assert tally.review.labelled == 0
    assert any("hand-picked" in note or "by choice" in note for note in tally.review.notes)
    assert tally.agreement.by_hand == tally.agreement.pictures == 300
    assert tally.agreement.model.n == 300
    assert not tally.agreement.model.weighted


def test_labels_that_somebody_chose_change_no_corrected_number(tmp_path: Path) -> None:
    world = World(tmp_path)
    drawn = world.draw(100)
    world.say({name: world.truth[name] for name in drawn})
    before = world.shares()
    world.say(dict.fromkeys(set(world.truth) - set(drawn), "friendly"), sampled=BY_HAND)
    assert world.shares() == before
    tally = summarize(world.run)
    assert (tally.review.labelled, tally.review.by_hand) == (100, 200)
    assert tally.agreement.model.n == 300
    assert tally.agreement.model.by_hand == 200
    # what holds for the whole goes by the drawn ones
    assert tally.agreement.model.classes[2].recall.value > 0.9


def test_too_few_labels_are_refused_with_what_to_do(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.say({name: world.truth[name] for name in world.draw(8)})
    tally = summarize(world.run)
    assert not [each for each in tally.numbers if each.kind == "corrected"]
    assert "label 12 more" in tally.review.refused["pictures"]


def test_a_unit_that_is_missing_is_refused_and_the_others_are_not(tmp_path: Path) -> None:
    world = World(tmp_path)
    posts = world.run.dataset("posts").to_table()
    likes = posts.schema.get_field_index("likes")
    world.run.write_table(
        "posts/part-000001.parquet", posts.set_column(likes, "likes", pa.nulls(len(posts), pa.int64()))
    )
    world.say({name: world.truth[name] for name in world.draw(100)})
    tally = summarize(world.run)
    assert {each.unit for each in tally.numbers if each.kind == "corrected"} == {*UNITS} - {"engagement"}
    assert list(tally.review.refused) == ["engagement"]
    assert (tally.engagement.weighing, tally.engagement.unstated, tally.engagement.total) == (0, tally.posts, 0)


def test_skips_and_gaps_widen_the_intervals(tmp_path: Path) -> None:
    world = World(tmp_path)
    drawn = world.draw(120)
    answers = {name: world.truth[name] for name in drawn}
    gaps = drawn[:6]
    world.say({name: label for name, label in answers.items() if name not in gaps})
    with_gaps = world.shares()
    tally = summarize(world.run)
    assert (tally.review.gaps, tally.review.labelled, tally.review.skipped) == (6, 114, 0)
    world.say(dict.fromkeys(gaps, SKIP))
    assert world.shares() == with_gaps
    tally = summarize(world.run)
    assert (tally.review.gaps, tally.review.labelled, tally.review.skipped) == (0, 114, 6)
    assert any("6 pictures were skipped" in note for note in tally.review.notes)
    world.say({name: answers[name] for name in gaps})
    whole = world.shares()
    assert width(with_gaps) > width(whole) + 0.05
    assert all(with_gaps[label].low < whole[label].low + 0.02 for label in CLASSES)


def test_who_stops_early_leaves_no_gap(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.say({name: world.truth[name] for name in world.draw(120)[:60]})
    tally = summarize(world.run)
    assert (tally.review.drawn, tally.review.labelled, tally.review.gaps) == (120, 60, 0)


def test_disputes_widen_until_they_are_settled(tmp_path: Path) -> None:
    world = World(tmp_path)
    drawn = world.draw(120)
    answers = {name: world.truth[name] for name in drawn}
    world.say(answers)
    alone = world.shares()
    assert "one person alone labelled" in " ".join(summarize(world.run).review.notes)
    world.say(answers, coder="ben")
    assert world.shares() == alone
    contested = [name for name in drawn if answers[name] == "neither"][:10]
    world.say(dict.fromkeys(contested, "friendly"), coder="ben")
    disputed = world.shares()
    assert disputed["friendly"].high > alone["friendly"].high + 0.02
    assert disputed["neither"].low < alone["neither"].low - 0.02
    tally = summarize(world.run)
    assert (tally.review.disputed, tally.review.doubles, tally.review.coders) == (10, 120, 2)
    assert any("--settle" in note for note in tally.review.notes)
    assert tally.agreement.model.n == 110
    world.say({name: answers[name] for name in contested}, coder="ben", round=SETTLING)
    assert world.shares() == alone
    assert summarize(world.run).review.disputed == 0
    assert summarize(world.run).agreement.kappa.value < 1, "agreement is of what was said in the blind round"


def test_a_skip_beside_an_answer_is_no_dispute(tmp_path: Path) -> None:
    world = World(tmp_path)
    drawn = world.draw(60)
    world.say({name: world.truth[name] for name in drawn})
    before = world.shares()
    world.say(dict.fromkeys(drawn[:20], SKIP), coder="ben")
    assert world.shares() == before
    world.say({drawn[0]: SKIP}, round=SETTLING)
    assert summarize(world.run).review.skipped == 1


def test_what_two_coders_contradict_each_other_in_widens_what_one_alone_has_seen(tmp_path: Path) -> None:
    world = World(tmp_path)
    drawn = world.draw(120)
    answers = {name: world.truth[name] for name in drawn}
    world.say(answers)
    one = world.shares()
    second = {name: answers[name] for name in drawn[:40]}
    for name in [name for name in second if second[name] == "neither"][:5]:
        second[name] = "friendly"
    world.say(second, coder="ben")
    world.say({name: answers[name] for name in second}, coder="ben", round=SETTLING)
    two = world.shares()  # all disputes are settled, and still the others may be wrong
    assert two["friendly"].high > one["friendly"].high + 0.02
    assert two["neither"].low < one["neither"].low - 0.02
    assert all(two[label].value == pytest.approx(one[label].value, abs=0.01) for label in CLASSES)


def test_pictures_that_came_after_the_draw_widen_by_what_they_weigh(tmp_path: Path) -> None:
    world = World(tmp_path, pictures=240)
    world.say({name: world.truth[name] for name in world.draw(120)})
    before = world.shares()
    later = {sha(1000 + number): "friendly" for number in range(60)}
    world.truth |= later
    world.add(later)
    after = world.shares()
    for label in CLASSES:
        assert after[label].low == pytest.approx(before[label].low * 0.8)
        assert after[label].high == pytest.approx(before[label].high * 0.8 + 0.2)
    tally = summarize(world.run)
    assert tally.review.uncovered == 60
    assert any("--sample" in note for note in tally.review.notes)
    world.say(
        {
            name: world.truth[name]
            for name in set(world.draw(180)) - set(HandLabels(world.run).verdicts(LABELS.question_key))
        }
    )
    tally = summarize(world.run)
    assert (tally.review.uncovered, tally.review.labelled) == (0, 180)
    truth = world.true_shares(tally, "pictures")
    assert all(each.low <= truth[label] <= each.high for label, each in world.shares().items())


def test_a_label_is_of_the_group_that_its_image_is_in_now(tmp_path: Path) -> None:
    """Two pictures turn out to be one: it counts once, and what was said of either is said of it."""
    world = World(tmp_path)
    drawn = world.draw(150)
    world.say({name: world.truth[name] for name in drawn})
    same = [name for name in drawn if world.truth[name] == "friendly"]
    first, second = min(same[:2]), max(same[:2])
    for image, picture in world.groups.items():
        if picture == second:
            world.groups[image] = first
    world.write()
    tally = summarize(world.run)
    assert tally.pictures == 299
    assert (tally.review.labelled, tally.review.gaps, tally.review.uncovered) == (149, 0, 0)
    assert (tally.review.merged, tally.review.gone) == (1, 0)
    assert "1 label is of a picture that is one with another by now, and is not used" in tally.review.notes
    # the other one stands for the group now: labels are still found
    for image, picture in world.groups.items():
        if picture == first:
            world.groups[image] = second
    world.write()
    assert summarize(world.run).review.labelled == 149


def test_labels_that_are_not_used_are_counted_and_the_plan_goes_by_what_can_be_labelled(tmp_path: Path) -> None:
    world = World(tmp_path)
    drawn = world.draw(60)
    world.say({name: world.truth[name] for name in drawn})
    assert not summarize(world.run).review.merged
    # each of eight turns out to be the same picture as one that came into the frame before it, and was not drawn
    others = iter(sorted(set(world.truth) - set(drawn)))
    for name in sorted(drawn)[-8:]:
        other = next(others)
        assert other < name
        world.groups |= {image: other for image, picture in world.groups.items() if picture == name}
    world.write()
    tally = summarize(world.run)
    assert (tally.review.drawn, tally.review.labelled, tally.review.merged) == (60, 52, 8)
    assert "8 labels are of pictures that are one with another by now, and are not used" in tally.review.notes
    assert tally.agreement.model.n == 60
    assert tally.agreement.model.rests_on == 52
    plan = plan_labels(world.run, "tiny-0", LABELS, 3)
    assert (plan.labelled, plan.skipped, plan.left, plan.drawn, plan.undrawn) == (52, 0, 0, 60, 292 - 52)

    gone = sorted(drawn)[:3]  # which have no scores any more
    for name in gone:
        for image in [image for image, picture in world.groups.items() if picture == name]:
            del world.scored[image]
    world.write()
    tally = summarize(world.run)
    assert (tally.review.labelled, tally.review.merged, tally.review.gone) == (49, 8, 3)
    assert "3 labels are of pictures that no longer count, and are not used" in tally.review.notes


def test_a_census_is_told_as_one(tmp_path: Path) -> None:
    world = World(tmp_path, pictures=90)
    world.say({name: world.truth[name] for name in world.draw(90)})
    missing = [Post(source="s", id=f"gone {number}", attachments=(Attachment(url="u"),)) for number in range(21)]
    world.run.append("posts", posts_table(missing))
    tally = summarize(world.run)
    counted = [each for each in tally.numbers if each.kind == "corrected"]
    assert {each.unit for each in counted} == {*UNITS}
    for each in counted:
        truth = world.true_shares(tally, each.unit)
        assert (each.method, each.low, each.high, each.probability) == ("census", each.value, each.value, None)
        assert "interval" not in each.sentence
        assert "estimated" not in each.sentence
        assert "probability" not in each.sentence
        if each.measure == "share":
            assert each.value == pytest.approx(truth[each.label])
        elif each.measure == "ratio":
            assert each.value == pytest.approx(truth[each.label] / truth[each.versus])
    share = 100 * world.true_shares(tally, "pictures")["friendly"]
    assert tally.number("corrected", "friendly").sentence == (
        f"All 90 distinct pictures were labelled by hand, by one person: {share:.0f} % are “Friendly”."
    )
    share = 100 * world.true_shares(tally, "photos")["friendly"]
    assert tally.number("corrected", "friendly", "photos").sentence == (
        f"All 90 distinct pictures were labelled by hand, by one person: of {tally.photos} photos, {share:.0f} % are "
        "“Friendly”."
    )
    (bound,) = [
        each for each in tally.numbers if (each.kind, each.rests_on, each.label) == ("bound", "labels", "neither")
    ]
    assert "as all the others were labelled by hand, by one person" in bound.sentence
    assert "95 %" not in bound.sentence
    # one that was skipped leaves the others' shares estimates
    world.say({next(iter(world.truth)): SKIP})
    tally = summarize(world.run)
    assert {each.method for each in tally.numbers if each.kind == "corrected"} == {"ppi"}
    assert all(each.low < each.high for each in tally.numbers if each.measure == "share")


def test_warnings_are_with_the_numbers_that_they_are_for(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.say({name: world.truth[name] for name in world.draw(30)})
    tally = summarize(world.run)
    for each in tally.numbers:
        if each.rests_on != "labels":
            assert each.warnings == ()
            continue
        assert any("30 labels are few" in warning for warning in each.warnings)
        assert "by one person" in each.sentence
    (header, first, *_) = csv.reader((tmp_path / "run/report/numbers.csv").read_text().splitlines())
    rows = list(csv.DictReader((tmp_path / "run/report/numbers.csv").read_text().splitlines()))
    assert "warnings" in header
    assert first[header.index("warnings")] == ""
    assert rows[-1]["kind"] == "bound" or rows[-1]["warnings"]
    own = next(row for row in rows if row["kind"] == "corrected")
    assert own["warnings"] == "; ".join(tally.number("corrected", own["label"]).warnings)


def doubles(world: World, drawn: list[str], *, second: dict[str, str]) -> Tally:
    world.say({name: world.truth[name] for name in drawn})
    world.say(second, coder="ben")
    return summarize(world.run)


def test_two_people_who_share_no_picture_are_as_one_alone(tmp_path: Path) -> None:
    world = World(tmp_path)
    drawn = world.draw(120)
    tally = doubles(world, drawn[:60], second={name: world.truth[name] for name in drawn[60:]})
    notes = " ".join(tally.review.notes)
    assert "no picture was labelled by two people: how far others would agree is not known" in notes
    assert "one person alone" not in notes
    assert "120 hand labels by 2 people" in tally.number("corrected", "friendly").sentence
    assert tally.agreement.reasons["coders"].startswith("no picture was labelled by two people")


@pytest.mark.parametrize("n", [1, 9])
def test_few_doubles_widen_nothing_and_are_said_to_be_few(tmp_path: Path, n: int) -> None:
    world = World(tmp_path)
    drawn = world.draw(120)
    world.say({name: world.truth[name] for name in drawn})
    alone = world.shares()
    tally = doubles(world, [], second={name: world.truth[name] for name in drawn[:n]})
    assert world.shares() == alone
    (note,) = [note for note in tally.review.notes if "labelled by two people" in note]
    assert note.startswith(f"{n} picture{' was' if n == 1 else 's were'} labelled by two people or more, too few")
    assert note in tally.number("corrected", "friendly").warnings
    if n == 1:
        assert tally.agreement.reasons["coders"].startswith("1 picture alone was labelled by two people")


def test_the_fewer_doubles_the_more_is_open_though_all_agree(tmp_path: Path) -> None:
    world = World(tmp_path)
    drawn = world.draw(200)
    world.say({name: world.truth[name] for name in drawn})
    widths = [width(world.shares())]
    for n in (10, 30, 90, 200):
        tally = doubles(world, [], second={name: world.truth[name] for name in drawn[:n]})
        widths.append(width(world.shares()))
        note = f"{n} pictures were labelled by two people or more: how often these can differ widens the intervals"
        assert any(note in each for each in tally.review.notes) == (n < 200)
        assert not any("alone labelled" in each or "too few" in each for each in tally.review.notes)
        assert tally.number("corrected", "friendly").warnings == ()
    alone, ten, thirty, ninety, everything = widths
    assert ten > thirty > ninety > everything + 0.01
    assert everything == pytest.approx(alone)


def test_what_is_missing_of_agreement_says_why(tmp_path: Path) -> None:
    world = World(tmp_path)
    drawn = [name for name in world.draw(60) if world.truth[name] == "neither"][:12]
    tally = doubles(world, drawn, second=dict.fromkeys(drawn, "neither"))
    agreed = tally.agreement
    assert (agreed.kappa, agreed.alpha) == (None, None)
    assert agreed.ac1 is not None
    assert set(agreed.reasons) == {"kappa", "alpha"}
    assert "of all 12 pictures people said the same class" in agreed.reasons["kappa"]
    assert "Gwet’s AC1" in html.unescape(render_of(world, tally))


def test_recall_and_precision_have_the_pictures_that_they_rest_on(tmp_path: Path) -> None:
    world = World(tmp_path)
    drawn = world.draw(100)
    world.say({name: world.truth[name] for name in drawn})
    others = sorted(set(world.truth) - set(drawn))[:40]
    world.say({name: world.truth[name] for name in others}, sampled=BY_HAND)
    model = summarize(world.run).agreement.model
    assert (model.n, model.by_hand, model.rests_on) == (140, 40, 100)
    for each in model.classes:
        assert each.recall_n == sum(world.truth[name] == each.label for name in drawn)
        assert each.labelled_by_hand == sum(world.truth[name] == each.label for name in others)
        assert each.recall_n + each.labelled_by_hand == sum(model.counts[each.label].values())
        assert each.precision_n + each.predicted_by_hand == sum(row[each.label] for row in model.counts.values())
    assert sum(each.n for each in model.reliability) == 100


def render_of(world: World, tally: Tally) -> str:
    return Path(write_report(world.run, tally)).read_text()


def test_evidence_is_what_the_tally_says_and_none_without_a_draw(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert Evidence.of(world.run, "tiny-0", LABELS) is None
    world.say({name: world.truth[name] for name in world.draw(100)})
    tally = summarize(world.run)
    for unit in UNITS:
        for label, found in world.shares(unit).items():
            number = tally.number("corrected", label, unit)
            assert (number.value, number.low, number.high) == dataclasses.astuple(found)
    assert read_sample(world.run, LABELS.question_key) is not None


def test_with_labels_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        world = World(tmp_path / folder)
        world.say({name: world.truth[name] for name in world.draw(100)})
        world.say({name: world.truth[name] for name in world.draw(100)[::3]}, coder="ben")
        summarize(world.run)
    for name in ("tally.json", "tally.csv", "numbers.csv", "photos.csv"):
        assert (tmp_path / "a/run/report" / name).read_bytes() == (tmp_path / "b/run/report" / name).read_bytes()


def test_a_ratio_by_what_nobody_saw_has_no_upper_end(tmp_path: Path) -> None:
    world = World(tmp_path, wrong=0.0)
    never = {name: "neither" if label == "friendly" else label for name, label in world.truth.items()}
    world.say({name: never[name] for name in world.draw(100)})
    tally = summarize(world.run)
    ratios = [each for each in tally.numbers if each.measure == "ratio" and each.versus == "friendly"]
    assert ratios
    for each in ratios:
        assert each.high is None or math.isfinite(each.high)
        assert "inf" not in each.sentence
    assert "Infinity" not in (tmp_path / "run/report/tally.json").read_text()
