"""Numbers to publish: each with its kind, its interval, what it rests on and of what it is, and a sentence to quote.

- `raw`: what the model says. The interval takes the images as a random sample and the labels as right.
- `corrected`: what people would say, estimated from hand labels of a random sample. The model's errors are in the
  interval. Where they labelled everything (the method is `census`), it is what they said, and there is no interval.
- `bound`: whatever attachments show that could not be had or classified, the share lies between these two; those of a
  corrected share hold as surely as its interval does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt

from hashtag_photos.estimate import (
    Corrected,
    Estimate,
    bounds,
    difference,
    effective_size,
    probability_more,
    ratio,
    wilson,
)
from hashtag_photos.labels import UNSURE
from hashtag_photos.stages.correct import CENSUS
from hashtag_photos.stages.units import ENGAGEMENT, IMAGES, PHOTOS, PICTURES, POSTS, Units
from hashtag_photos.tables import as_csv
from hashtag_photos.words import many

RAW, CORRECTED, BOUND = "raw", "corrected", "bound"
SHARE, DIFFERENCE, RATIO = "share", "difference", "ratio"
_MOST_PAIRED = 4  # classes of which all pairs are compared; of more, the first two


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number to publish. `low` and `high` are a 95 % interval, or the bound, which has no `value`. What is None of a
    ratio is infinite.

    A share is of the class `label` in a `unit` (see stages/units.py), and `of` all there is in that unit. A difference
    is its share less that of `versus`, a ratio its share by that one's, `probability` that it has more. It rests on `n`
    images or pictures that the model labelled, or pictures that people labelled: `rests_on` says which. In a raw
    interval these are worth `effective_n`, since near-duplicates are not independent. `warnings` are what to be careful
    of beyond the interval, in words. In a census `low` and `high` are the value, and there is no `probability`.
    """

    kind: str
    measure: str
    label: str
    versus: str | None
    unit: str
    value: float | None
    low: float
    high: float | None
    probability: float | None
    n: int
    rests_on: str
    effective_n: float | None
    of: int
    method: str
    warnings: tuple[str, ...]
    sentence: str


def numbers_csv(numbers: Iterable[Number]) -> str:
    """Numbers as CSV; warnings are divided by semicolons."""
    rows = (asdict(each) | {"warnings": "; ".join(each.warnings)} for each in numbers)
    return as_csv(rows, [each.name for each in fields(Number)])


def raw_shares(units: Units, labels: npt.NDArray[np.integer], titles: Mapping[str, str]) -> Iterator[Number]:
    """The share of each label in each unit, as the model says; nothing of no pictures.

    `labels`, (images,), are the places in `titles` of what the model says of each of `units.images`.
    """
    images = int(np.count_nonzero(units.image_weights[IMAGES]))
    for unit, weights in units.image_weights.items():
        total = float(weights.sum())
        if not total:
            continue
        whole = Whole(unit, total)
        effective = effective_size(units.weights[unit])
        held = np.bincount(labels, weights, minlength=len(titles))
        for (label, title), weight in zip(titles.items(), held.tolist(), strict=True):
            share = min(weight / total, 1.0)
            low, high = wilson(share * effective, effective)
            what = "as the model labels pictures; its errors are not in the interval"
            yield Number(
                kind=RAW,
                measure=SHARE,
                label=label,
                versus=None,
                unit=unit,
                value=share,
                low=low,
                high=high,
                probability=None,
                n=len(units.pictures) if unit == PICTURES else images,
                rests_on="pictures" if unit == PICTURES else "images",
                effective_n=effective,
                of=whole.count,
                method="Wilson score interval at the effective size, groups of near-duplicates being clusters",
                warnings=(),
                sentence=f"Of {whole.named}, {_share(share, low, high)} {whole.are(label, title)}, {what}.",
            )


def corrected_numbers(
    units: Units,
    by_unit: Mapping[str, Corrected],
    titles: Mapping[str, str],
    *,
    coders: int,
    doubts: tuple[str, ...] = (),
) -> Iterator[Number]:
    """Shares, differences and ratios of the classes in `titles` as people label them, in each unit that has any.

    The labels are of so many `coders`; `doubts` are what to be careful of in all units.
    """
    for unit, corrected in by_unit.items():
        if corrected.shares:
            weights = units.weights[unit]
            weighing = int(np.count_nonzero(weights))
            resting = _resting(corrected.n, coders)
            if corrected.method == CENSUS:
                all_of_them = "The 1 distinct picture" if weighing == 1 else f"All {weighing:,} distinct pictures"
                stating = " with any likes, reposts or replies" if weighing < len(weights) else ""
                was = "was" if weighing == 1 else "were"
                resting = f"{all_of_them}{stating} {was} labelled by hand{_by(coders, ', ')}"
            corrected = replace(corrected, warnings=tuple(dict.fromkeys((*corrected.warnings, *doubts))))
            yield from _in_unit(Whole(unit, float(weights.sum())), corrected, titles, resting)


def _in_unit(whole: Whole, corrected: Corrected, titles: Mapping[str, str], resting: str) -> Iterator[Number]:
    """`resting` says what labels the numbers rest on."""
    names = list(titles)
    counted = corrected.method == CENSUS

    def number(
        measure: str,
        pair: tuple[int, int | None],
        estimate: Estimate,
        sentence: str,
        probability: float | None = None,
        likely: str = "",
    ) -> Number:
        label, versus = pair
        return Number(
            kind=CORRECTED,
            measure=measure,
            label=names[label],
            versus=None if versus is None else names[versus],
            unit=whole.unit,
            value=_finite(estimate.value),
            low=estimate.low,
            high=_finite(estimate.high),
            probability=None if counted else probability,
            n=corrected.n,
            rests_on="labels",
            effective_n=None,
            of=whole.count,
            method=corrected.method,
            warnings=corrected.warnings,
            sentence=(
                f"{resting}: {of_all}{sentence}." if counted else f"Of {whole.named}, {sentence}, {resting}{likely}."
            ),
        )

    of_all = "" if whole.unit == PICTURES else f"of {whole.named}, "
    for place, (name, share) in enumerate(zip(names, corrected.shares, strict=True)):
        told = f"{exactly(share.value)} %" if counted else _share(share.value, share.low, share.high)
        yield number(SHARE, (place, None), share, f"{told} {whole.are(name, titles[name])}")
    for pair in combinations(range(len(names) if len(names) <= _MOST_PAIRED else 2), 2):
        a, b = sorted(pair, key=lambda each: -corrected.shares[each].value)  # the one that has more comes first
        first, second = f"“{titles[names[a]]}”", f"“{titles[names[b]]}”"
        apart, probability = difference(corrected, a, b), probability_more(corrected, a, b)
        told, low, high = percents(apart.value, apart.low, apart.high)
        if counted:
            told = exactly(apart.value)
        points = f"{told} point{'' if told == '1' else 's'}{'' if counted else f' (95 % interval {low} to {high})'}"
        likely = f"; the probability that {first} outnumbered {second} is {chance(probability)}"
        sentence = f"the share of {first} is {points} above that of {second}"
        if counted and not apart.value:
            sentence = f"the shares of {first} and {second} are the same"
        yield number(DIFFERENCE, (a, b), apart, sentence, probability, likely)
        if corrected.shares[a].value and not (counted and not corrected.shares[b].value):
            by = ratio(corrected, a, b)
            told = times(by, interval=not counted)
            yield number(RATIO, (a, b), by, f"there were {told} of {first} for each of {second}")


def share_bounds(
    shares: Iterable[Number], missing: int, titles: Mapping[str, str], *, coders: int = 0
) -> Iterator[Number]:
    """Between what the shares of photos lie among all attachments, whatever the `missing` show; nothing if none is.

    Hand labels are of so many `coders`.
    """
    for share in shares if missing else ():
        if (share.measure, share.unit) != (SHARE, PHOTOS) or share.value is None or share.high is None:
            continue
        raw, counted = share.kind == RAW, share.method == CENSUS
        low, high = bounds(*((share.value, share.value) if raw else (share.low, share.high)), share.of, missing)
        least, most = percents(low, high)
        whole = Whole(PHOTOS, share.of + missing)
        resting, method = (
            f"with 95 % confidence, {_resting(share.n, coders)} of the others",
            f" of the interval of {share.method}",
        )
        if raw:
            resting, method = "as the model labels the others", ""
        elif counted:
            resting, method = f"as all the others were labelled by hand{_by(coders, ', ')}", ""
        yield Number(
            kind=BOUND,
            measure=SHARE,
            label=share.label,
            versus=None,
            unit=PHOTOS,
            value=None,
            low=low,
            high=high,
            probability=None,
            n=share.n,
            rests_on=share.rests_on,
            effective_n=None,
            of=whole.count,
            method=f"worst case (Manski){method}",
            warnings=share.warnings,
            sentence=f"Whatever the {many(missing, 'attachment')} show{'s' if missing == 1 else ''} that could not be "
            f"had or classified, between {least} and {most} % of all {many(whole.count, 'attachment')} "
            f"{whole.are(share.label, titles[share.label])}, {resting}.",
        )


class Whole:
    """All there is in a unit, and how a part of it is said to show a class."""

    def __init__(self, unit: str, total: float) -> None:
        self.unit, self.count = unit, round(total)

    @property
    def named(self) -> str:
        """The whole with its count, such as "1,200 distinct pictures"."""
        if self.unit == ENGAGEMENT:
            return f"{self.count:,} likes, reposts and replies" if self.count != 1 else "1 like, repost or reply"
        if self.unit == POSTS:
            divided = "each divided evenly among its pictures" if self.count != 1 else "divided evenly among these"
            return f"{many(self.count, 'post')} with pictures, {divided}"
        return many(self.count, {PICTURES: "distinct picture", IMAGES: "image file"}.get(self.unit, "photo"))

    def are(self, label: str, title: str) -> str:
        """What a part of it does that shows the class, such as "are “Friendly”"."""
        one, more = {POSTS: ("shows", "show"), ENGAGEMENT: ("went to", "went to")}.get(self.unit, ("is", "are"))
        verb = one if self.count == 1 else more
        if label != UNSURE:
            return f"{verb} “{title}”"
        return f"{verb} {'pictures ' if self.unit in (POSTS, ENGAGEMENT) else ''}too close to call"


def _resting(labels: int, coders: int) -> str:
    return f"estimated from {many(labels, 'hand label')}{_by(coders, ' ')}"


def _by(coders: int, before: str) -> str:
    """How many people labelled, with what comes `before` it; nothing where that is not known."""
    return "" if not coders else f"{before}by {'one person' if coders == 1 else f'{coders} people'}"


def exactly(share: float) -> str:
    """A share that was counted, times 100."""
    least = min((each for each in (abs(share), 1 - abs(share)) if each > 1e-9), default=1.0)
    return f"{100 * share:.{0 if least >= 0.005 else 1 if least >= 0.0005 else 2}f}"


def _share(share: float, low: float, high: float) -> str:
    """A share with its interval in words."""
    value, *ends = percents(share, low, high)
    return f"{value} % (95 % interval {ends[0]} to {ends[1]} %)"


def percents(*shares: float) -> list[str]:
    """Shares times 100, with as many digits as it takes to tell them apart, or from nothing: two at most."""
    width, least = max(shares) - min(shares), min((abs(each) for each in shares if each), default=1.0)
    if width < 1e-9:  # they are the same
        width = 1.0
    digits = 0 if width >= 0.025 and least >= 0.005 else 1 if width >= 0.0025 and least >= 0.0005 else 2
    return [f"{100 * each + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}") for each in shares]


def times(ratio: Estimate | Number, *, interval: bool = True) -> str:
    """A ratio in words, with its `interval`, which may have no upper end."""

    def told(value: float) -> str:
        return f"{value:.2f}" if value < 0.95 else f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"

    if not interval and ratio.value is not None:
        return told(ratio.value)
    if ratio.value is None or math.isinf(ratio.value):
        return f"at least {told(ratio.low)} (95 % interval, without upper end)"
    if ratio.high is None or math.isinf(ratio.high):
        return f"{told(ratio.value)} (95 % interval {told(ratio.low)} and more)"
    return f"{told(ratio.value)} (95 % interval {told(ratio.low)} to {told(ratio.high)})"


def chance(probability: float) -> str:
    """A probability in words."""
    if probability > 0.99:
        return "above 99 %"
    if probability < 0.01:
        return "below 1 %"
    return f"about {100 * probability:.0f} %"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
