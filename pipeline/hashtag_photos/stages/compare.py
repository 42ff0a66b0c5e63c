"""Two runs beside each other: the shares of both, the interval of each difference, and how both went over time.

Only what was asked alike is compared. Raw shares are of one model and one label set to the last digit, since another
model or another wording is another measure. Corrected ones are what people say, so that there the question has to be
the same, and nothing else. What can't be compared is left out, and `Comparison.left_out` says why.

The interval of a difference takes the two runs as independent (estimate.difference_between). Where both have the same
images, they are not; how many that are, and what it does, is among the notes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product, zip_longest
from pathlib import PurePath
from typing import Any

import pyarrow as pa

from hashtag_photos.errors import RunConflictError, UsageError
from hashtag_photos.estimate import Estimate, difference_between, probability_positive, ratio_between
from hashtag_photos.labels import LabelSet, label_set_from_facts
from hashtag_photos.run import Run
from hashtag_photos.stages.classify import scores_path
from hashtag_photos.stages.correct import CENSUS
from hashtag_photos.stages.numbers import CORRECTED, RAW, Number, Whole, chance, exactly, percents
from hashtag_photos.stages.summarize import summarize
from hashtag_photos.stages.tally import Tally
from hashtag_photos.stages.timeline import LEAST_BINS, BinTally, Timeline, TimeTally, common_axis, timeline_of
from hashtag_photos.stages.units import ENGAGEMENT, PICTURES, UNITS
from hashtag_photos.storage import until_answered
from hashtag_photos.tables import POSTS, as_csv
from hashtag_photos.words import many

_NEARLY_ALL = 0.9  # of the images of a run: if more than these are the other's, that stands before all else
_WIDEST = 4.0  # a ratio whose interval's ends are further apart than this, the one by the other, is not put in words
_MOST_DIGITS = 3  # of a ratio


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of two runs: its `name` in the comparison, its tally, what was asked, and the sha256 of the model's weights.

    `seed` is what its sample was drawn with, None if none was; `sources` are the titles of those it was collected from,
    of which exports and folders have their paths.
    """

    name: str
    tally: Tally
    labels: LabelSet
    weights: str | None
    seed: str | None
    sources: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Shared:
    """How many images (the same bytes), of those classified, and how many posts both runs have."""

    images: int
    posts: int


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The share of a class in the runs `a` and `b`, and by how much b's is above a's.

    `ratio` is b's share by a's; None where one of them is 0. `probability` is that b's is the larger; None of raw
    shares, whose errors of the model nobody knows, and where both were counted (census), when there is no interval.
    """

    kind: str
    label: str
    unit: str
    a: Number
    b: Number
    difference: Estimate
    ratio: Estimate | None
    probability: float | None
    warnings: tuple[str, ...]
    sentence: str

    @property
    def counted(self) -> bool:
        """Whether people labelled everything in both runs, so that there is no interval."""
        return self.a.method == self.b.method == CENSUS

    @property
    def clear(self) -> bool:
        """Whether the interval says which of the two has more."""
        return self.difference.low > 0 or self.difference.high < 0

    @property
    def digits(self) -> int:
        """How many digits after the point tell both shares and their difference in per cent, the same for all."""
        return _digits(self.a, self.b, self.difference)


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One class in one bin of time, in the runs `a` and `b`."""

    start: str
    end: str
    label: str
    a: TimeTally
    b: TimeTally


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two runs beside each other.

    `differences` are raw and corrected, by unit and class. `left_out` says what is not compared, and why; `notes` what
    to be careful of, beyond what the collection of each run lacks (its tally's coverage). `overlap` is what both have,
    if it is nearly all of one of them, and what that does to the intervals; else it is "", and what both have is among
    the notes. `unit` is how long a bin of `moments` is, "" where there is no common time line.
    """

    a: Side
    b: Side
    titles: dict[str, str]
    shared: Shared
    differences: tuple[Difference, ...]
    unit: str
    moments: tuple[Moment, ...]
    overlap: str
    left_out: tuple[str, ...]
    notes: tuple[str, ...]

    def of(self, kind: str, unit: str) -> list[Difference]:
        """The differences of one kind in one unit, in the order of the classes; none if there are none."""
        return [each for each in self.differences if (each.kind, each.unit) == (kind, unit)]

    @property
    def units(self) -> list[str]:
        """The units that there are differences in."""
        return [unit for unit in UNITS if any(each.unit == unit for each in self.differences)]

    def rows(self) -> list[dict[str, Any]]:
        """The differences as plain rows, each share with its denominator, as in compare.csv."""
        rows = []
        for each in self.differences:
            row: dict[str, Any] = {"kind": each.kind, "unit": each.unit, "label": each.label}
            for side, name, share in (("a", self.a.name, each.a), ("b", self.b.name, each.b)):
                row |= {
                    side: name,
                    f"{side}_share": share.value,
                    f"{side}_low_95": share.low,
                    f"{side}_high_95": share.high,
                    f"{side}_of": share.of,
                    f"{side}_n": share.n,
                    f"{side}_rests_on": share.rests_on,
                    f"{side}_method": share.method,
                }
            row |= _columns("difference", each.difference) | _columns("ratio", each.ratio)
            row |= {
                "probability_b_larger": each.probability,
                "warnings": "; ".join(each.warnings),
                "sentence": each.sentence,
            }
            rows.append(row)
        return rows

    def to_csv(self) -> str:
        """The differences as CSV; warnings are divided by semicolons."""
        rows = self.rows()
        return as_csv(rows, rows[0])

    def timeline_rows(self) -> list[dict[str, Any]]:
        """The classes over time in both runs as plain rows, each with its denominators, as in timeline.csv."""
        rows = []
        for each in self.moments:
            row: dict[str, Any] = {"start": each.start, "end": each.end, "label": each.label, "kind": RAW}
            for side, name, of in (("a", self.a.name, each.a), ("b", self.b.name, each.b)):
                row |= {
                    side: name,
                    f"{side}_posts": of.posts,
                    f"{side}_posts_total": of.posts_total,
                    f"{side}_share": of.share,
                    f"{side}_low_95": None if of.share is None else of.low,
                    f"{side}_high_95": None if of.share is None else of.high,
                }
            rows.append(row)
        return rows

    def timeline_csv(self) -> str:
        """The classes over time as CSV; only what the columns are called where there is no common time line."""
        sides = [
            name
            for side in "ab"
            for name in (side, *(f"{side}_{each}" for each in ("posts", "posts_total", "share", "low_95", "high_95")))
        ]
        return as_csv(self.timeline_rows(), ["start", "end", "label", "kind", *sides])


def compare(run_a: Run, run_b: Run, *, model_key: str | None = None, labels_key: str | None = None) -> Comparison:
    """Two runs beside each other; both are summarized for it. By default each by its first model and label set.

    Raises UsageError for a run and itself, RunError where one of them was not classified (so), and RunConflictError
    where nothing of the two can be compared.
    """
    names = names_of(run_a.storage.root, run_b.storage.root)
    asked = [_asked(run, model_key, labels_key) for run in (run_a, run_b)]
    _check_classes(*zip(names, asked, strict=True))
    tallies = [summarize(run, model_key=model_key, labels_key=labels_key) for run in (run_a, run_b)]
    a, b = (
        _side(run, name, tally, labels)
        for run, name, tally, labels in zip((run_a, run_b), names, tallies, asked, strict=True)
    )
    timelines = None
    if _alike(a, b):
        axis = common_axis(run_a, run_b)
        timelines = tuple(
            timeline_of(run, each.tally.model_key, each.tally.labels_key, axis=axis)
            for run, each in ((run_a, a), (run_b, b))
        )
    return compared(a, b, _shared(run_a, a.tally, run_b, b.tally), timelines)


def names_of(a: str, b: str) -> tuple[str, str]:
    """What to call the runs in two folders: the last parts of their paths, as many as tell them apart.

    Raises UsageError if it is one folder.
    """
    if a == b:
        raise UsageError(
            f"{a} is given twice, and is the same run as itself: name another to compare it with", subject=a
        )
    parts = list(zip_longest(*(reversed(PurePath(path).parts) for path in (a, b)), fillvalue=""))
    apart = next(place for place, (one, other) in enumerate(parts) if one != other)
    one, other = (str(PurePath(*reversed(side[: apart + 1]))) for side in zip(*parts, strict=True))
    return one, other


def compared(a: Side, b: Side, shared: Shared, timelines: Sequence[Timeline] | None) -> Comparison:
    """The comparison of two runs, from their tallies and, if they are comparable, their time lines on one axis.

    Raises RunConflictError where nothing can be compared.
    """
    empty = [side.name for side in (a, b) if not side.tally.images]
    if empty:
        raise RunConflictError(
            f"nothing of {a.name} and {b.name} can be compared: no picture of {' and of '.join(empty)} was classified",
            subject=empty[0],
        )
    titles = {each.label: each.title for each in a.tally.classes}
    left_out = list(_left_out(a, b))
    differences: list[Difference] = []
    for kind, fits in ((RAW, _alike(a, b)), (CORRECTED, _same_question(a, b))):
        for unit in UNITS if fits else ():
            for label, title in titles.items():
                one, other = a.tally.number(kind, label, unit), b.tally.number(kind, label, unit)
                if one and other and one.value is not None and other.value is not None:
                    differences.append(_difference(a.name, b.name, one, other, title))
    if not differences:
        raise RunConflictError(
            f"nothing of {a.name} and {b.name} can be compared: {'; '.join(left_out)}",
            subject=b.name,
        )
    moments: tuple[Moment, ...] = ()
    if timelines:
        why = list(_no_time_line((a, b), timelines))
        left_out += why
        moments = () if why else tuple(_moments(*timelines))
    both = _both_have(a, b, shared, differences)
    nearly_one = shared.images > _NEARLY_ALL * min(a.tally.images, b.tally.images)
    overlap, among_the_notes = (both, "") if nearly_one else ("", both)
    return Comparison(
        a=a,
        b=b,
        titles=titles,
        shared=shared,
        differences=tuple(differences),
        unit=timelines[0].unit if timelines and moments else "",
        moments=moments,
        overlap=overlap,
        left_out=tuple(left_out),
        notes=(
            *([among_the_notes] if among_the_notes else ()),
            *_notes(a, b, shared, differences, timelines if moments else None),
        ),
    )


def _asked(run: Run, model_key: str | None, labels_key: str | None) -> LabelSet | None:
    """The label set that is to be compared; None if the run doesn't know it, which summarize says better."""
    facts = run.used("label_sets", str(labels_key or run.asked.get("labels")))
    return label_set_from_facts(dict(facts)) if facts is not None else None


def _check_classes(*asked: tuple[str, LabelSet | None]) -> None:
    (one, first), (other, second) = asked
    if first and second and first.class_names != second.class_names:
        raise RunConflictError(
            f"{one} was asked {first.name} ({', '.join(first.class_names)}), and {other} {second.name} "
            f"({', '.join(second.class_names)}): to compare them, ask both the same with the classify command, and "
            "name it with --labels",
            subject=second.name,
        )


def _side(run: Run, name: str, tally: Tally, labels: LabelSet | None) -> Side:
    assert labels is not None  # or there were no tally
    sample = run.used("samples", labels.question_key) or {}
    model = run.used("models", tally.model_key) or {}
    return Side(
        name=name,
        tally=tally,
        labels=labels,
        weights=model.get("weights_sha256"),
        seed=sample.get("seed"),
        sources=tuple(each["title"] for each in run.stages.get("collect", {}).get("sources", ())),
    )


@until_answered
def _shared(run_a: Run, a: Tally, run_b: Run, b: Tally) -> Shared:
    """What both have, counted by what was classified with the same question in each."""
    classified = "scores SEMI JOIN (SELECT sha256 FROM photos WHERE status = 'ok') USING (sha256)"

    def scores(run: Run, tally: Tally) -> pa.Table:
        table = run.read_table(scores_path(tally.model_key, tally.labels_key))
        assert table is not None  # or there were no tally
        return table.select(["sha256"])

    with run_b.database(scores=scores(run_b, b)) as database:
        others = database.sql(f"SELECT sha256 FROM {classified}").to_arrow_table()
    others_posts = run_b.dataset("posts", POSTS)
    with run_a.database(scores=scores(run_a, a), others=others, others_posts=others_posts) as database:
        ((images,),) = database.execute(
            f"SELECT count(*) FROM (SELECT sha256 FROM {classified}) SEMI JOIN others USING (sha256)"
        ).fetchall()
        ((posts,),) = database.execute(
            "SELECT count(*) FROM posts SEMI JOIN others_posts USING (source, id)"
        ).fetchall()
    return Shared(images=images, posts=posts)


# What can be compared


def _alike(a: Side, b: Side) -> bool:
    """Whether the same weights were asked in the same words, so that raw shares are one measure."""
    return not any(_unlike(a, b))


def _same_question(a: Side, b: Side) -> bool:
    return a.labels.question == b.labels.question


def _left_out(a: Side, b: Side) -> Iterator[str]:
    """What of two runs with the same classes can't be compared, and why."""
    silent = [side.name for side in (a, b) if not any(each.unit == ENGAGEMENT for each in side.tally.numbers)]
    if len(silent) == 1:
        why = "no post with pictures states any likes, reposts or replies of its own"
        yield f"shares of {ENGAGEMENT}: in {silent[0]}, {why}"
    if not _alike(a, b):
        yield (
            f"raw shares: {'; '.join(_unlike(a, b))}, and another measure gives other shares of the same pictures; "
            "classify both alike to compare them"
        )
    if not _same_question(a, b):
        yield (
            f"corrected shares: people were asked “{a.labels.question}” in {a.name}, and “{b.labels.question}” in "
            f"{b.name}"
        )
        return
    refused: dict[str, list[str]] = {}
    for side in (a, b):
        if not any(each.kind == CORRECTED for each in side.tally.numbers):
            why = side.tally.review.refused.get(PICTURES) or (
                "there are no hand labels of a random sample; label one with hashtag-photos review"
            )
            refused.setdefault(why, []).append(side.name)
    for why, names in refused.items():
        yield f"corrected shares: in {' and in '.join(names)}, {why}"
    if not refused:
        for unit, side in product(UNITS, (a, b)):
            if unit in side.tally.review.refused:
                yield f"corrected shares of {unit}: in {side.name}, {side.tally.review.refused[unit]}"


def _unlike(a: Side, b: Side) -> Iterator[str]:
    """What differs between the measures of two runs with the same classes."""
    one, other = a.tally, b.tally
    if one.model_key != other.model_key:
        if one.model != other.model:
            yield f"the model is {one.model} in {a.name} and {other.model} in {b.name}"
        elif one.precision != other.precision:
            yield f"{one.model} computed in {one.precision} in {a.name} and in {other.precision} in {b.name}"
        else:
            yield f"{one.model} is another version in {b.name} ({one.model_key}, {other.model_key})"
    elif a.weights != b.weights and a.weights and b.weights:
        yield f"{one.model} has other weights in {b.name}"
    prompts = [[each.prompts for each in side.labels.classes] for side in (a, b)]
    if prompts[0] != prompts[1]:
        yield "the prompts differ"
    if a.labels.templates != b.labels.templates:
        yield "the templates of the prompts differ"
    if a.labels.margin != b.labels.margin:
        yield f"the margin is {a.labels.margin:g} in {a.name} and {b.labels.margin:g} in {b.name}"


# Differences, in numbers and in words


def _difference(name_a: str, name_b: str, a: Number, b: Number, title: str) -> Difference:
    one, other = _estimate(a), _estimate(b)
    apart = difference_between(other, one)
    by = ratio_between(other, one) if one.value > 0 and other.value > 0 else None
    counted = a.method == b.method == CENSUS
    probability = probability_positive(apart) if a.kind == CORRECTED and not counted else None
    return Difference(
        kind=a.kind,
        label=a.label,
        unit=a.unit,
        a=a,
        b=b,
        difference=apart,
        ratio=by,
        probability=probability,
        warnings=tuple(f"{name}: {each}" for name, side in ((name_a, a), (name_b, b)) for each in side.warnings),
        sentence=_sentence(name_a, name_b, a, b, title, apart, by, probability),
    )


def _sentence(
    name_a: str,
    name_b: str,
    a: Number,
    b: Number,
    title: str,
    apart: Estimate,
    by: Estimate | None,
    probability: float | None,
) -> str:
    whole = Whole(a.unit, a.of)
    digits = _digits(a, b, apart)
    shares = (
        f"In {name_a}, {_share_in_words(a, digits)} of {whole.named} {whole.are(a.label, title)}, and in {name_b} "
        f"{_share_in_words(b, digits)} of {b.of:,}"
    )
    likely = ""
    if probability is not None:
        likely = f"; the probability that the share is larger in {name_b} is {chance(probability)}"
    counted = a.method == b.method == CENSUS
    told = apart_in_words(apart, by, digits=digits, interval=not counted)
    return f"{shares}: {told}, {_rests(name_a, name_b, a, b)}{likely}."


def _share_in_words(share: Number, digits: int) -> str:
    """A share with its interval, or without, where everything was counted."""
    value, low, high = (f"{100 * each:.{digits}f}" for each in (share.value or 0.0, share.low, share.high or 0.0))
    return f"{value} %" + ("" if share.method == CENSUS else f" (95 % interval {low} to {high} %)")


def _digits(a: Number, b: Number, apart: Estimate) -> int:
    """How many digits after the point tell two shares and their difference in per cent, and their intervals, all alike:
    so many that the difference is that of the shares as they are told, if two more are enough for it."""
    told = []
    for each in (a, b, apart):
        counted = each.low == each.high
        told += [exactly(each.value or 0.0)] if counted else percents(each.value or 0.0, each.low, each.high or 0.0)
    least = max(len(each.partition(".")[2]) for each in told)

    def agree(digits: int) -> bool:
        one, other, between = (float(f"{100 * (each.value or 0.0):.{digits}f}") for each in (a, b, apart))
        return abs(other - one - between) < 0.5 * 0.1**digits

    return next(filter(agree, range(least, least + 3)), least)


def apart_in_words(apart: Estimate, by: Estimate | None = None, *, digits: int, interval: bool = True) -> str:
    """A difference, and where it is clear the ratio, such as "11 points (95 % interval 7 to 15) more, 1.2 times…"."""
    if apart.value == 0 and not interval:
        return "the same share"
    size, low, high = (f"{100 * abs(each):.{digits}f}" for each in (apart.value, apart.low, apart.high))
    points = f"{size} point{'' if size == '1' else 's'}"
    more = "less" if apart.value < 0 else "more"
    if not interval:
        return f"{points} {more}{_times_in_words(by, interval=False)}"
    if apart.low > 0 or apart.high < 0:
        near, far = (low, high) if apart.low > 0 else (high, low)
        return f"{points} (95 % interval {near} to {far}) {more}{_times_in_words(by)}"
    told = f"{points} {more}" if float(size) else "about the same share"
    return f"no clear difference, {told} (95 % interval from {low} less to {high} more)"


def _times_in_words(by: Estimate | None, *, interval: bool = True) -> str:
    """A ratio that is clear, if there is one that can be told in a few digits."""
    if by is None or not by.low > 0 or not math.isfinite(by.high) or by.high > _WIDEST * by.low:
        return ""
    told = (by.value, by.low, by.high) if interval else (by.value,)
    digits = ratio_digits(*told, least=2 if min(told) < 0.95 else 1)
    if digits is None or min(told) <= 1 <= max(told):
        return ""
    value, *ends = (f"{each:.{digits}f}" for each in told)
    return f", {value} times the share{' ({} to {})'.format(*ends) if ends else ''}"


def ratio_digits(*ratios: float, least: int) -> int | None:
    """How many digits after the point, of at least so many, tell ratios so that none looks as if it was 0 or 1; None if
    three are too few."""

    def seen(digits: int) -> bool:
        return all(each in (0.0, 1.0) or round(each, digits) not in (0.0, 1.0) for each in ratios)

    return next(filter(seen, range(least, _MOST_DIGITS + 1)), None)


def _rests(name_a: str, name_b: str, a: Number, b: Number) -> str:
    if a.kind == RAW:
        return "as the model labels pictures; its errors, which can be others in each, are not in the intervals"
    if a.method == b.method == CENSUS:
        return "all of them labelled by hand in both"

    def resting(number: Number) -> str:
        all_of = "all " if number.method == CENSUS else ""
        return f"{all_of}{many(number.n, 'hand label')}"

    return f"estimated from {resting(a)} in {name_a} and {resting(b)} in {name_b}"


def _estimate(share: Number) -> Estimate:
    assert share.value is not None
    assert share.high is not None
    return Estimate(value=share.value, low=share.low, high=share.high)


def _columns(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    ends = (estimate.value, estimate.low, estimate.high) if estimate else (None, None, None)
    finite = (None if each is None or not math.isfinite(each) else each for each in ends)
    return dict(zip((name, f"{name}_low_95", f"{name}_high_95"), finite, strict=True))


# What to be careful of


def _notes(
    a: Side, b: Side, shared: Shared, differences: Sequence[Difference], timelines: Sequence[Timeline] | None
) -> Iterator[str]:
    if shared.images:
        yield "only the same files are counted as such: whether others are near-duplicates across runs is not looked at"
    if _sampled(differences) and a.seed is not None and a.seed == b.seed:
        yield (
            "the samples of both runs were drawn with the same seed, as those of a run and its copy are: they are not "
            "independent, and the intervals of corrected differences, which take them so, can be too wide or too narrow"
        )
    if _raw(differences):
        yield (
            "a model can err more often in the pictures of one run than in those of the other, and a raw difference "
            "can be made of this alone: to rule it out, compare corrected shares, from hand labels in both"
        )
    for side in (a, b):
        missing = side.tally.coverage.attachments - side.tally.photos
        if missing:
            of = many(side.tally.coverage.attachments, "attachment")
            yield (
                f"in {side.name}, {missing:,} of {of} could not be had or classified; what they show is in no share "
                "here: its own report has the bounds"
            )
    for side, timeline in zip((a, b), timelines or (), strict=False):
        if timeline.timeless:
            yield f"in {side.name}, {many(timeline.timeless, 'post')} without a certain time: not on the time axis"
        off = timeline.before + timeline.after
        if off:
            yield f"in {side.name}, {many(off, 'post')} before or after nearly all others: not on the time axis"


def _both_have(a: Side, b: Side, shared: Shared, differences: Sequence[Difference]) -> str:
    """What both runs have in common, and what that does to the intervals of differences; "" if they have nothing."""
    if not shared.images:
        return ""
    are = "is" if shared.posts == 1 else "are"
    both = _in_both(a, b, shared.images)
    if shared.posts:
        both += f", and {many(shared.posts, 'post')} {are} in both"
    meaning = []
    if _raw(differences):
        meaning.append(
            "what they show is the same in both, while the intervals of raw differences take the runs as independent: "
            "they are rather too wide than too narrow"
        )
    if _sampled(differences) and a.seed != b.seed:
        those = "those" if meaning else "the intervals"
        meaning.append(f"{those} of corrected differences hold, since each run has a random sample of its own")
    return f"{both}: {'; '.join(meaning)}" if meaning else both


def _raw(differences: Sequence[Difference]) -> bool:
    return any(each.kind == RAW for each in differences)


def _sampled(differences: Sequence[Difference]) -> bool:
    """Whether there are corrected differences that rest on a sample in both runs."""
    return any(each.kind == CORRECTED and CENSUS not in (each.a.method, each.b.method) for each in differences)


def _in_both(a: Side, b: Side, images: int) -> str:
    if images == a.tally.images == b.tally.images:
        return f"both runs have the same {many(images, 'image')}"
    for part, whole in ((a, b), (b, a)):
        if images == part.tally.images:
            all_of = f"all {images:,} images" if images > 1 else "the 1 image"
            return f"{all_of} of {part.name} are among the {whole.tally.images:,} of {whole.name}"
    are = "is" if images == 1 else "are"
    of = f"of {a.tally.images:,} in {a.name} and {b.tally.images:,} in {b.name}"
    return f"{many(images, 'image')} {are} in both runs ({of})"


def _no_time_line(sides: Sequence[Side], timelines: Sequence[Timeline]) -> Iterator[str]:
    """Why there is no common time line, if so: a run isn't on it, or its bins are so wide, as there is so much time
    between the runs, that nothing is left of how one of them went."""
    untimed = [side.name for side, each in zip(sides, timelines, strict=True) if not _timed(each)]
    if untimed:
        yield f"over time: in {' and in '.join(untimed)}, no post states a certain time"
        return
    held = [_pictured(each) for each in timelines]
    without = [side.name for side, bins in zip(sides, held, strict=True) if not bins]
    if without:
        yield f"over time: in {' and in '.join(without)}, no post with a picture has a place on a common axis"
        return
    unit = timelines[0].unit
    if len(timelines[0].bins) == 1:
        yield (
            f"over time: what has a place on a common axis is within {unit if unit[0].isdigit() else f'one {unit}'}, "
            "which shows nothing of how the shares went"
        )
        return
    own = [_pictured(side.tally.timeline) for side in sides]
    lost = any(len(bins) < LEAST_BINS <= len(had) for bins, had in zip(held, own, strict=True))
    if lost and (own[0][-1].end <= own[1][0].start or own[1][-1].end <= own[0][0].start):
        times = " and ".join(f"{side.name} (from {bins[0].start[:10]})" for side, bins in zip(sides, own, strict=True))
        yield (
            f"over time: {times} are so far apart that an axis for both goes by {'' if unit[0].isdigit() else 'the '}"
            f"{unit}, which shows too little of how the shares went; the report of each run has its own axis"
        )


def _timed(timeline: Timeline) -> int:
    """How many posts state a time, on the axis or off it."""
    return timeline.before + timeline.after + sum(each.posts_collected for each in timeline.bins)


def _pictured(timeline: Timeline) -> list[BinTally]:
    """The bins that have a picture."""
    return [each for each in timeline.bins if each.posts]


def _moments(a: Timeline, b: Timeline) -> Iterator[Moment]:
    """The rows of two time lines over the same bins, beside each other."""
    ends = {each.start: each.end for each in a.bins}
    others = {(each.start, each.label): each for each in b.rows}
    for each in a.rows:
        yield Moment(start=each.start, end=ends[each.start], label=each.label, a=each, b=others[each.start, each.label])
