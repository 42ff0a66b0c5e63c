"""Hand labels of a sample -> what the shares would be if people had labelled every picture, with honest intervals.

Only the sample that was drawn counts (stages/sample.py): labels of pictures that somebody chose say nothing of the
others, and are left out. What is not known widens the interval, as if it were the worst:

- skipped pictures, and gaps: pictures of the sample that were passed over, in a stratum where later ones have labels
- disputes that nobody settled: they count for what all coders chose at the low end, for what any chose at the high end
- pictures that one coder alone has seen, where others were seen by several: by how often these contradict each other
- pictures that are in no draw, since they came later

Gaps and skips stand at what the model predicts. A label of any image is one of its group, as groups are now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hashtag_photos.agreement import cross_fitted
from hashtag_photos.estimate import Corrected, Estimate, corrected
from hashtag_photos.handlabels import Verdict
from hashtag_photos.labels import SKIP, LabelSet
from hashtag_photos.run import Run
from hashtag_photos.stages.classify import scores_path
from hashtag_photos.stages.sample import carried, read_sample
from hashtag_photos.stages.units import PICTURES, Units, count_units
from hashtag_photos.tables import probability_column

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]


class Said(NamedTuple):
    """What the labels say of the sample, `rows`, (n,), of the population: those with labels, and gaps between them.

    `shares`, (n, classes), are what the coders chose, `low` and `high` what that leaves open. `labels` is how many
    pictures got a class, the others are `skipped` or `gaps`; `disputed` and `doubles` (seen by two coders or more) are
    of those with a class.
    """

    rows: Numbers
    shares: Floats
    low: Floats
    high: Floats
    labels: int
    skipped: int
    gaps: int
    disputed: int
    doubles: int


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
        scores = run.read_table(scores_path(model_key, labels.key))
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
        return replace(
            found, n=said.labels, shares=tuple(_widened(each, self.uncovered[unit]) for each in found.shares)
        )

    def _fitted(self, said: Said) -> tuple[Floats, Floats]:
        """Tempered predictions of the population, and of those with labels without their own; once for all units."""
        if self._last is None or self._last[0] is not said:
            self._last = (said, cross_fitted(self.predictions, said.rows, said.shares))
        return self._last[1]

    def said(self, verdicts: Mapping[str, Verdict]) -> Said:
        """What verdicts say of the sample; those of pictures that somebody chose are left out."""
        own: dict[int, Verdict] = {}  # of the picture itself, by row of the frame
        of_group: dict[int, Verdict] = {}  # of any image in its group, by row of the population
        for sha256 in sorted(verdicts):
            if verdicts[sha256].sampled:
                place = self.units.find(sha256)
                if place is not None:
                    of_group.setdefault(int(self._of_picture[place]), verdicts[sha256])
                if sha256 in self._drawn:
                    own[self._drawn[sha256]] = verdicts[sha256]
        of_itself = {int(self._of_frame[row]): verdict for row, verdict in own.items()}
        reached = self._of_frame[self._reached(np.array(list(own), np.int64))]
        rows = reached[reached >= 0]
        k = len(self.classes)
        shares, low, high = self.predictions[rows].copy(), np.zeros((len(rows), k)), np.ones((len(rows), k))
        found = [of_itself.get(row) or of_group.get(row) for row in rows.tolist()]
        chosen = [self._chosen(each) for each in found]
        contradicts, joins = _contradictions(chosen, k)
        labels = skipped = disputed = doubles = 0
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
            doubles += len(chosen[at]) > 1
            if settled is None:
                disputed += int(np.count_nonzero(counts)) > 1
                if len(places) == 1:
                    low[at], high[at] = shares[at] * (1 - contradicts), shares[at] + (1 - shares[at]) * joins
        return Said(rows, shares, low, high, labels, skipped, len(rows) - labels - skipped, disputed, doubles)

    def stands_for(self, places: Numbers, drawn: npt.NDArray[np.bool_]) -> Floats:
        """For how many pictures each of these stands, (n,) places in `units.pictures`; 0 for one that was not drawn."""
        rows = np.where(drawn, self._of_picture[places], -1)
        strata = self.strata[rows]
        labelled = np.bincount(strata[rows >= 0], minlength=strata.max(initial=0) + 1)
        stood_for = np.bincount(self.strata, minlength=len(labelled))[: len(labelled)]
        return np.where(rows >= 0, stood_for[strata] / np.maximum(labelled[strata], 1), 0.0)

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
    rows = pc.index_in(pa.array(pictures, pa.string()), value_set=scores.column("sha256"))
    columns = [scores.column(probability_column(name)).take(rows).to_numpy() for name in labels.class_names]
    return np.stack(columns, axis=1).astype(np.float64)


def _contradictions(chosen: list[list[int]], k: int) -> tuple[Floats, Floats]:
    """How often, by class, a second coder contradicts one who says so, and says so to one who doesn't; (k,) each.

    None where no picture was seen by two; where none of these was said to be of a class, what holds for all of them.
    """
    pairs = np.zeros((k, k))
    for places in chosen:
        for i, one in enumerate(places):
            for j, other in enumerate(places):
                if i != j:
                    pairs[one, other] += 1 / (len(places) - 1)
    total = pairs.sum()
    if not total:
        return np.zeros(k), np.zeros(k)
    said, both = pairs.sum(axis=1), np.diag(pairs)
    overall = 1 - both.sum() / total
    contradicts = np.where(said > 0, 1 - both / np.where(said > 0, said, 1), overall)
    others = total - said
    joins = np.where(others > 0, (pairs.sum(axis=0) - both) / np.where(others > 0, others, 1), overall)
    return contradicts, joins


def _widened(share: Estimate, unknown: float) -> Estimate:
    """A share of a part, as one of the whole, of which so much is unknown."""
    return Estimate(value=share.value, low=share.low * (1 - unknown), high=share.high * (1 - unknown) + unknown)


def _refused(said: Said, why: str) -> Corrected:
    nothing = np.zeros((0, 0))
    return Corrected(shares=(), n=said.labels, method="", refused=why, warnings=(), correlation=nothing)
