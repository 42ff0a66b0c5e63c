"""Hand labels of a sample -> what the shares would be if people had labelled every picture, with honest intervals.

Only the sample that was drawn counts (stages/sample.py): labels of pictures that somebody chose say nothing of the
others, and are left out. What is not known widens the interval, as if it were the worst:

- skipped pictures, and gaps: pictures of the sample that were passed over, in a stratum where later ones have labels
- disputes that nobody settled: they count for what all coders chose at the low end, for what any chose at the high end
- pictures that one coder alone has seen, where 10 others or more were seen by several: by how often these contradict
  each other, at the upper end of what that can be
- pictures that are in no draw, since they came later

Gaps and skips stand at what the model predicts. A label of any image is one of its group, as groups are now. Of a group
that was several pictures at the draw, one carries it (stages/sample.py), and what was said of the others is not used:
a group that any of them could bring in would be drawn more often than its stratum says.

Where all pictures have a label that nobody doubts, their share is counted, not estimated: its method is `census`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hashtag_photos.agreement import cross_fitted
from hashtag_photos.estimate import Corrected, Estimate, corrected, wilson
from hashtag_photos.handlabels import Verdict
from hashtag_photos.labels import SKIP, LabelSet
from hashtag_photos.run import Run
from hashtag_photos.stages import joined
from hashtag_photos.stages.classify import scores_path
from hashtag_photos.stages.sample import carried, read_sample
from hashtag_photos.stages.units import PICTURES, Units, count_units
from hashtag_photos.tables import probability_column
from hashtag_photos.words import many

CENSUS = "census"
#: pictures that two people saw: fewer don't tell how far they differ, in all or where one said a class
_FEWEST_DOUBLES = 10

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]


class Said(NamedTuple):
    """What the labels say of the sample, `rows`, (n,), of the population: those with labels, and gaps between them.

    `shares`, (n, classes), are what the coders chose, `low` and `high` what that leaves open. `labels` is how many
    pictures got a class, from `coders` people; the others are `skipped` or `gaps`. Of those with a class `disputed` are
    seen in different ways, and `alone` by one coder alone; to `doubles` two coders or more gave a class. Not used are
    labels of pictures that are `merged` into others by now, and of those `gone`, which no longer count.
    """

    rows: Numbers
    shares: Floats
    low: Floats
    high: Floats
    labels: int
    skipped: int
    gaps: int
    disputed: int
    alone: int
    doubles: int
    coders: int
    merged: int
    gone: int

    @property
    def doubts(self) -> tuple[str, ...]:
        """What the intervals do not hold since too few people have looked, in words for users."""
        second = "have a second person label with hashtag-photos review RUN --coder NAME"
        open_ended = "how far others would agree is not known, and not in the intervals"
        if not self.labels or self.doubles >= _FEWEST_DOUBLES:
            return ()
        if self.coders < 2:
            return (f"one person alone labelled: {open_ended}; {second}",)
        if not self.doubles:
            return (f"no picture was labelled by two people: {open_ended}; {second}",)
        if self.alone:
            doubles = f"{many(self.doubles, 'picture')} {'was' if self.doubles == 1 else 'were'} labelled by two people"
            return (
                f"{doubles} or more, too few to tell how far people differ in the others, so that these are taken as "
                f"labelled: it takes {_FEWEST_DOUBLES}; {second}",
            )
        return ()

    @property
    def unused(self) -> tuple[str, ...]:
        """Which labels are not used, in words for users."""
        told = (
            (self.merged, "is one with another by now", "are one with another by now"),
            (self.gone, "no longer counts", "no longer count"),
        )
        return tuple(
            f"1 label is of a picture that {one}, and is not used"
            if count == 1
            else f"{count:,} labels are of pictures that {more}, and are not used"
            for count, one, more in told
            if count
        )

    def without_unknown(self) -> Said:
        """The same if skipped pictures and gaps were what the model predicts: what these cost."""
        unknown = ((self.low <= 0) & (self.high >= 1)).all(axis=1, keepdims=True)
        return self._replace(
            low=np.where(unknown, self.shares, self.low), high=np.where(unknown, self.shares, self.high)
        )


class Evidence:
    """All that a corrected share is made of but the labels: loaded once, so that these can be asked after each label.

    The population are the pictures of the frame that carry one of today's, (n,): `strata` are their strata, `weights`
    theirs in each unit, and `predictions`, (n, classes), the model's. The `uncovered` share of a unit came later.
    `drawn` is how many pictures were drawn.
    """

    def __init__(
        self,
        *,
        classes: tuple[str, ...],
        units: Units,
        strata: Numbers,
        rank: Numbers,
        drawn: Mapping[str, int],
        carries: Numbers,
        predictions: Floats,
    ) -> None:
        """`strata`, `rank` and `carries` are of the rows of the frame, (N,): carried are places in `units.pictures`, or
        -1. `drawn` are rows of it by sha256. `predictions`, (pictures, classes), are of all pictures."""
        self.classes = classes
        self.units = units
        self.drawn = len(drawn)
        self._frame_strata, self._rank, self._drawn = strata, rank, drawn
        self._in_order = np.lexsort((rank, strata))
        self._begins = np.searchsorted(strata[self._in_order], np.arange(strata.max(initial=-1) + 1))
        carrying = np.flatnonzero(carries >= 0)
        held = carries[carrying]
        self._of_frame = np.full(len(strata), -1)  # rows of the population by rows of the frame
        self._of_frame[carrying] = np.arange(len(carrying))
        is_drawn = np.zeros(len(strata), np.bool_)
        is_drawn[list(drawn.values())] = True
        self._carrier_drawn = is_drawn[carrying]
        self._of_picture = np.full(len(units.pictures), -1)  # and by places of today's pictures
        self._of_picture[held] = np.arange(len(carrying))
        _, self.strata = np.unique(strata[carrying], return_inverse=True)
        self.predictions = predictions[held]
        self.weights = {unit: weights[held] for unit, weights in units.weights.items()}
        self._last: tuple[Said, tuple[Floats, Floats]] | None = None
        self.uncovered_pictures = len(units.pictures) - len(held)
        self.uncovered = {
            unit: float(weights[self._of_picture < 0].sum() / weights.sum())
            for unit, weights in units.weights.items()
            if len(weights)
        }

    @classmethod
    def of(cls, run: Run, model_key: str, labels: LabelSet, units: Units | None = None) -> Evidence | None:
        """The evidence of a run for a model and a label set; None if no sample was drawn, or nothing was scored.

        Whoever has the `units` counted already can give them.
        """
        frame = read_sample(run, labels.question_key)
        scores = run.read_table(scores_path(model_key, labels.key)) if frame is not None else None
        if frame is None or scores is None:
            return None
        units = units or count_units(run, model_key, labels.key)
        _, strata = np.unique(frame.stratum, return_inverse=True)
        drawn = np.flatnonzero(frame.drawn)
        return cls(
            classes=labels.class_names,
            units=units,
            strata=strata.astype(np.int64),
            rank=np.asarray(frame.rank, np.int64),
            drawn=dict(zip(frame.sha256[drawn].tolist(), drawn.tolist(), strict=True)),
            carries=carried(frame, units),
            predictions=predicted(units.pictures, scores, labels),
        )

    def shares(self, verdicts: Mapping[str, Verdict], unit: str = PICTURES) -> Corrected:
        """The corrected shares of the classes in a unit, or why there are none."""
        return self.shares_of(self.said(verdicts), unit)

    def shares_of(self, said: Said, unit: str) -> Corrected:
        """The corrected shares in a unit, of what was said."""
        if unit not in self.weights:
            return _refused(said, f"no post states any {unit}")
        if not said.labels:
            return _refused(said, "no picture of the sample has a label yet: go on with hashtag-photos review RUN")
        weights = self.weights[unit]
        if not weights.any():
            return _refused(
                said, f"no picture of the sample has any {unit}: hashtag-photos review RUN --sample draws more"
            )
        predictions, own = self._fitted(said)
        found = corrected(
            strata=self.strata,
            weights=weights,
            predictions=predictions,
            own=own,
            labelled=said.rows,
            labels=said.shares,
            low=said.low,
            high=said.high,
            classes=self.classes,
        )
        if found.shares and self._counted(said, unit):
            exact = tuple(Estimate(value=each.value, low=each.value, high=each.value) for each in found.shares)
            return replace(found, n=said.labels, shares=exact, method=CENSUS)
        return replace(
            found, n=said.labels, shares=tuple(_widened(each, self.uncovered[unit]) for each in found.shares)
        )

    def _counted(self, said: Said, unit: str) -> bool:
        """Whether all that weighs anything in a unit has a label that leaves nothing open."""
        known = np.zeros(len(self.strata), np.bool_)
        known[said.rows] = (said.low == said.high).all(axis=1)
        return not self.uncovered[unit] and not self.weights[unit][~known].any()

    def _fitted(self, said: Said) -> tuple[Floats, Floats]:
        """Tempered predictions of the population, and of those with labels without their own; once for all units."""
        if self._last is None or self._last[0] is not said:
            self._last = (said, cross_fitted(self.predictions, said.rows, said.shares))
        return self._last[1]

    def said(self, verdicts: Mapping[str, Verdict]) -> Said:
        """What verdicts say of the sample; those of pictures that somebody chose are left out."""
        own: dict[int, str] = {}  # of the picture itself, by row of the frame
        of_group: dict[int, str] = {}  # of any image in its group, by row of the population
        gone = 0
        for sha256 in sorted(verdicts):
            if verdicts[sha256].sampled:
                place = self.units.find(sha256)
                if place is not None:
                    of_group.setdefault(int(self._of_picture[place]), sha256)
                if sha256 in self._drawn:
                    own[self._drawn[sha256]] = sha256
                    gone += place is None and self._has_class(verdicts[sha256])
        of_itself = {int(self._of_frame[row]): sha256 for row, sha256 in own.items()}
        reached = self._of_frame[self._reached(np.array(list(own), np.int64))]
        rows = reached[reached >= 0]
        k = len(self.classes)
        shares, low, high = self.predictions[rows].copy(), np.zeros((len(rows), k)), np.ones((len(rows), k))
        used = [of_itself.get(row) or of_group.get(row) for row in rows.tolist()]
        found = [verdicts[sha256] if sha256 else None for sha256 in used]
        unused = set(own.values()).difference(each for each in used if each)
        merged = sum(self._has_class(verdicts[sha256]) for sha256 in unused) - gone
        chosen = [self._chosen(each) for each in found]
        contradicts, joins = _contradictions(chosen, k)
        coders = {
            coder
            for verdict in found
            for coder, answer in (verdict.answers.items() if verdict else ())
            if answer in self.classes
        }
        labels = skipped = disputed = alone = 0
        for at, (verdict, places) in enumerate(zip(found, chosen, strict=True)):
            settled = verdict.settled if verdict else None
            if settled in self.classes:
                places = [self.classes.index(settled)]
            if settled == SKIP or not places:
                skipped += verdict is not None
                continue
            labels += 1
            counts = np.bincount(places, minlength=k)
            shares[at] = counts / len(places)
            low[at], high[at] = counts == len(places), counts > 0
            if settled is None:
                disputed += int(np.count_nonzero(counts)) > 1
                if len(places) == 1:
                    alone += 1
                    low[at], high[at] = shares[at] * (1 - contradicts), shares[at] + (1 - shares[at]) * joins
        return Said(
            rows=rows,
            shares=shares,
            low=low,
            high=high,
            labels=labels,
            skipped=skipped,
            gaps=len(rows) - labels - skipped,
            disputed=disputed,
            alone=alone,
            doubles=sum(len(places) > 1 for places in chosen),
            coders=len(coders),
            merged=merged,
            gone=gone,
        )

    def stands_for(self, places: Numbers, drawn: npt.NDArray[np.bool_]) -> Floats:
        """For how many pictures each of these stands, (n,) places in `units.pictures`; 0 for one that was not drawn."""
        rows = np.where(drawn, self._of_picture[places], -1)
        rows[~self._carrier_drawn[rows]] = -1
        strata = self.strata[rows]
        labelled = np.bincount(strata[rows >= 0], minlength=strata.max(initial=0) + 1)
        stood_for = np.bincount(self.strata, minlength=len(labelled))[: len(labelled)]
        return np.where(rows >= 0, stood_for[strata] / np.maximum(labelled[strata], 1), 0.0)

    def _has_class(self, verdict: Verdict) -> bool:
        return verdict.settled in self.classes or bool(self._chosen(verdict))

    def _chosen(self, verdict: Verdict | None) -> list[int]:
        """The classes that coders chose in the blind round."""
        answers = verdict.answers.values() if verdict else ()
        return [self.classes.index(answer) for answer in answers if answer in self.classes]

    def _reached(self, labelled: Numbers) -> Numbers:
        """Rows of the frame: those of each stratum, in its random order, up to its last labelled one."""
        up_to = np.zeros(len(self._begins), np.int64)
        np.maximum.at(up_to, self._frame_strata[labelled], self._rank[labelled] + 1)
        pieces = [self._in_order[begin : begin + n] for begin, n in zip(self._begins, up_to, strict=True)]
        return np.concatenate(pieces) if pieces else np.empty(0, np.int64)


def predicted(pictures: list[str], scores: pa.Table, labels: LabelSet) -> Floats:
    """The class probabilities, (pictures, classes), of images that have scores."""
    place = joined.places(pa.array(pictures, pa.string()), scores.column("sha256"))
    rows = pa.array(place, mask=place < 0)
    columns = [scores.column(probability_column(name)).take(rows).to_numpy() for name in labels.class_names]
    return np.stack(columns, axis=1).astype(np.float64)


def _contradictions(chosen: list[list[int]], k: int) -> tuple[Floats, Floats]:
    """How often, by class, a second coder contradicts one who says so, and says so to one who doesn't; (k,) each.

    The upper ends of Wilson's intervals, over pictures that were seen by two or more. What fewer than _FEWEST_DOUBLES
    of them tell of is as often as any contradiction, or as it was seen; fewer in all tell nothing, and give 0.
    """
    doubles = [places for places in chosen if len(places) > 1]
    if len(doubles) < _FEWEST_DOUBLES:
        return np.zeros(k), np.zeros(k)
    pairs = np.zeros((k, k))
    says, denies = np.zeros(k), np.zeros(k)  # doubles of which a coder says the class, and says another
    for places in doubles:
        counts = np.bincount(places, minlength=k)
        pairs += (np.outer(counts, counts) - np.diag(counts)) / (len(places) - 1)
        says += counts > 0
        denies += counts < len(places)
    said, both, total = pairs.sum(axis=1), np.diag(pairs), float(pairs.sum())
    overall = _at_most(1 - float(both.sum()) / total, len(doubles))

    def each(of: Floats, among: Floats, seen: Floats) -> Floats:
        rates = np.divide(of, among, out=np.zeros(k), where=among > 0)
        return np.array(
            [
                _at_most(rate, n) if n >= _FEWEST_DOUBLES else max(rate, overall)
                for rate, n in zip(rates.tolist(), seen.tolist(), strict=True)
            ]
        )

    return each(said - both, said, says), each(said - both, total - said, denies)


def _at_most(rate: float, n: float) -> float:
    """The upper end of a rate that was seen in n."""
    return wilson(min(max(rate, 0.0), 1.0) * n, n)[1]


def _widened(share: Estimate, unknown: float) -> Estimate:
    """A share of a part, as one of the whole, of which so much is unknown."""
    return Estimate(value=share.value, low=share.low * (1 - unknown), high=share.high * (1 - unknown) + unknown)


def _refused(said: Said, why: str) -> Corrected:
    nothing = np.zeros((0, 0))
    return Corrected(shares=(), n=said.labels, method="", refused=why, warnings=(), correlation=nothing)
