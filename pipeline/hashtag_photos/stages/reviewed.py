"""What people said of a run's pictures: how many, how far they agree with each other, and the model with them.

All labels count here, also those of pictures that somebody chose. Of these, nothing follows for other pictures: they
are in agreement and the table of model against labels, and in nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from hashtag_photos import agreement as statistics
from hashtag_photos.agreement import Bin
from hashtag_photos.estimate import Corrected, Estimate
from hashtag_photos.handlabels import Verdict
from hashtag_photos.labels import SKIP
from hashtag_photos.stages.correct import Evidence, Floats, Numbers, Said
from hashtag_photos.stages.units import Units

_LEAST = 2  # pictures that two coders have both seen, or that have a label: of fewer nothing is computed


@dataclass(frozen=True, kw_only=True)
class Review:
    """How a sample was drawn and labelled, in pictures, for the question `question_key`.

    Of the `drawn`, so many are `labelled` with a class, `skipped`, `gaps` (passed over) or not reached yet; to so many
    two coders or more gave a class (`doubles`), and of the labelled so many are `disputed` still. Labels are not used
    of pictures that are `merged` into others by now, and of those `gone`, which no longer count. `uncovered` pictures
    came after the last draw. `by_hand` have labels and were not drawn: they count for agreement alone. `coders` are
    those of the labelled. `refused` says by unit why there is no corrected share, `notes` what to be careful of.
    Without a sample `drawn` is None.
    """

    question_key: str
    drawn: int | None
    labelled: int
    skipped: int
    gaps: int
    disputed: int
    doubles: int
    merged: int
    gone: int
    uncovered: int
    by_hand: int
    coders: int
    refused: dict[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Agreed:
    """An index of agreement with its 95 % interval, of `n` pictures that `coders` coders have seen."""

    value: float
    low: float
    high: float
    n: int
    coders: int


@dataclass(frozen=True, kw_only=True)
class ClassAgreement:
    """A class, as people say and as the model says.

    Of `recall_n` pictures that people say show it, `recall` is the share that the model finds; of `precision_n` that
    the model says show it, `precision` the share that people agree with. Both are None of none. Pictures that somebody
    chose are `labelled_by_hand` and `predicted_by_hand` beside; they are what the two rest on where none was drawn.
    """

    label: str
    recall: Estimate | None
    recall_n: int
    precision: Estimate | None
    precision_n: int
    labelled_by_hand: int
    predicted_by_hand: int


@dataclass(frozen=True, kw_only=True)
class ModelAgreement:
    """The model against the labels of `n` pictures, `by_hand` of them not drawn; disputed ones don't count.

    `counts` are pictures by what people say and what the model says, `unsure` among the latter. All else `rests_on` so
    many drawn pictures, weighted to stand for the whole; where none was drawn, on the others as they are. `reliability`
    is how often the model was right where it was so sure, `calibration_error` the mean distance between the two, and
    `temperature` what its logits would have to be divided by, None where the labels don't tell.
    """

    n: int
    by_hand: int
    rests_on: int
    weighted: bool
    counts: dict[str, dict[str, int]]
    classes: tuple[ClassAgreement, ...]
    reliability: tuple[Bin, ...]
    calibration_error: float
    temperature: float | None


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far coders agree, and the model with them, over all hand labels.

    What is None was not computed: `reasons` say why, by its name, and by `coders` for all three indices.

    `kappa` is Cohen's, of the two coders who have most pictures in common; `alpha` Krippendorff's and `ac1` Gwet's, of
    all coders. They are of what was said in the blind round, on `pictures` with a class, `by_hand` of them not drawn.
    """

    pictures: int
    by_hand: int
    kappa: Agreed | None
    alpha: Agreed | None
    ac1: Agreed | None
    model: ModelAgreement | None
    reasons: dict[str, str]


def review(
    question_key: str,
    verdicts: Mapping[str, Verdict],
    evidence: Evidence | None,
    said: Said | None,
    by_unit: Mapping[str, Corrected],
) -> Review:
    """How the labelling stands, from all verdicts and what was made of them."""
    by_hand = sum(not each.sampled for each in verdicts.values())
    refused = {unit: each.refused for unit, each in by_unit.items() if each.refused}
    if evidence is None or said is None:
        notes = ("hand-picked labels give no corrected number: draw a sample with hashtag-photos review RUN",)
        return Review(
            question_key=question_key,
            drawn=None,
            labelled=0,
            skipped=0,
            gaps=0,
            disputed=0,
            doubles=0,
            merged=0,
            gone=0,
            uncovered=0,
            by_hand=by_hand,
            coders=0,
            refused=refused,
            notes=notes if by_hand else (),
        )
    warned = dict.fromkeys(warning for each in by_unit.values() for warning in each.warnings)
    counted = "as unknown, which widens the intervals"
    ours = [
        (
            said.doubles and said.alone and not said.doubts,
            f"{_pictures(said.doubles)} labelled by two people or more: how often these can differ widens the "
            "intervals, for what one person alone has labelled",
        ),
        (said.skipped, f"{_pictures(said.skipped)} skipped: counted {counted}"),
        (said.gaps, f"{_pictures(said.gaps)} passed over, while later ones were labelled: counted {counted}"),
        (
            said.disputed,
            f"{_pictures(said.disputed)} labelled in different ways: counted both ways, which widens the intervals; "
            "settle them with hashtag-photos review RUN --settle",
        ),
        (
            evidence.uncovered_pictures,
            f"{_pictures(evidence.uncovered_pictures)} not there when the sample was drawn: counted {counted}; draw "
            "more with hashtag-photos review RUN --sample",
        ),
        (by_hand, f"{_pictures(by_hand)} labelled by choice, not drawn: counted for agreement alone"),
    ]
    return Review(
        question_key=question_key,
        drawn=evidence.drawn,
        labelled=said.labels,
        skipped=said.skipped,
        gaps=said.gaps,
        disputed=said.disputed,
        doubles=said.doubles,
        merged=said.merged,
        gone=said.gone,
        uncovered=evidence.uncovered_pictures,
        by_hand=by_hand,
        coders=said.coders,
        refused=refused,
        notes=(*warned, *said.doubts, *(note for holds, note in ours if holds), *said.unused),
    )


def agreement(
    verdicts: Mapping[str, Verdict],
    classes: tuple[str, ...],
    units: Units,
    predictions: Floats,
    predicted: Numbers,
    evidence: Evidence | None,
) -> Agreement | None:
    """How far coders and the model agree; None if nobody said anything.

    `predictions`, (pictures, classes), and `predicted`, (pictures,), are the probabilities and label that the model
    gives each of `units.pictures`; `unsure` is the number after the last class.
    """
    coders = sorted({coder for verdict in verdicts.values() for coder in verdict.answers})
    number = {name: place for place, name in enumerate(classes)}
    ratings = np.full((len(verdicts), len(coders)), -1)
    for row, sha256 in enumerate(sorted(verdicts)):
        for coder, answer in verdicts[sha256].answers.items():
            ratings[row, coders.index(coder)] = number.get(answer, -1)
    seen = (ratings >= 0).any(axis=1)
    if not seen.any():
        return None
    reasons = {}
    together = ratings[(ratings >= 0).sum(axis=1) >= 2]
    kappa = alpha = ac1 = None
    if len(together) < _LEAST:
        had = "no picture was" if not len(together) else "1 picture alone was"
        reasons["coders"] = (
            f"{had} labelled by two people: ask a second one, with hashtag-photos review RUN --coder NAME"
        )
    else:
        a, b = max(combinations(range(len(coders)), 2), key=lambda pair: (together[:, pair] >= 0).all(axis=1).sum())
        both = together[(together[:, [a, b]] >= 0).all(axis=1)][:, [a, b]]
        involved = int((together >= 0).any(axis=0).sum())
        if len(both) >= _LEAST:
            kappa = _agreed(statistics.kappa(both[:, 0], both[:, 1]), len(both), 2)
        else:
            reasons["kappa"] = "no two people have labelled the same two pictures"
        alpha = _agreed(statistics.alpha(together), len(together), involved)
        ac1 = _agreed(statistics.ac1(together, len(classes)), len(together), involved)
        for name, found, of in (("kappa", kappa, both), ("alpha", alpha, together), ("ac1", ac1, together)):
            if found is None:
                reasons.setdefault(name, _undefined(of))
    model = _model(verdicts, classes, units, predictions, predicted, evidence)
    if model is None:
        reasons["model"] = f"fewer than {_LEAST} pictures that count have a label which nobody disputes"
    by_hand = [not verdicts[sha256].sampled for sha256 in sorted(verdicts)]
    return Agreement(
        pictures=int(seen.sum()),
        by_hand=int((seen & np.array(by_hand)).sum()),
        kappa=kappa,
        alpha=alpha,
        ac1=ac1,
        model=model,
        reasons=reasons,
    )


def _agreed(estimate: Estimate | None, n: int, coders: int) -> Agreed | None:
    if estimate is None:
        return None
    return Agreed(value=estimate.value, low=estimate.low, high=estimate.high, n=n, coders=coders)


def _undefined(ratings: Numbers) -> str:
    """Why an index of these ratings, (pictures, coders), of which -1 is none, is not defined."""
    if len(np.unique(ratings[ratings >= 0])) == 1:
        return f"of all {len(ratings):,} pictures people said the same class, so that chance alone would agree as well"
    return f"it is not defined for what people said of these {len(ratings):,} pictures"


def _model(
    verdicts: Mapping[str, Verdict],
    classes: tuple[str, ...],
    units: Units,
    predictions: Floats,
    predicted: Numbers,
    evidence: Evidence | None,
) -> ModelAgreement | None:
    truth: dict[int, tuple[int, bool]] = {}  # by place in units.pictures: the class, and whether it was drawn
    number = {name: place for place, name in enumerate(classes)}
    for sha256 in sorted(verdicts, key=lambda each: (not verdicts[each].sampled, each)):
        place, one = units.find(sha256), _one_class(verdicts[sha256])
        if place is not None and one in number:
            truth.setdefault(place, (number[one], verdicts[sha256].sampled))
    if len(truth) < _LEAST:
        return None
    places = np.array(list(truth))
    true, drawn = (np.array(each) for each in zip(*truth.values(), strict=True))
    k = len(classes)
    counts = np.bincount(true * (k + 1) + predicted[places], minlength=k * (k + 1)).reshape(k, k + 1)
    weights = np.ones(len(places))
    if evidence is not None and drawn.any():
        weights = evidence.stands_for(places, drawn)
        weighted = weights > 0
    else:
        weighted = ~drawn
    by_hand = np.bincount(true[~drawn] * (k + 1) + predicted[places[~drawn]], minlength=k * (k + 1)).reshape(k, k + 1)
    places, true, weights = places[weighted], true[weighted], weights[weighted]
    found = statistics.confusion(true, predicted[places], weights, k + 1)
    curve = statistics.calibration(predictions[places], true, weights)
    return ModelAgreement(
        n=int(counts.sum()),
        by_hand=int((~drawn).sum()),
        rests_on=len(places),
        weighted=bool(drawn.any()),
        counts={
            name: dict(zip((*classes, "unsure"), row, strict=True))
            for name, row in zip(classes, counts.tolist(), strict=True)
        },
        classes=tuple(
            ClassAgreement(
                label=name,
                recall=found.recall[place],
                recall_n=int(found.counts[place].sum()),
                precision=found.precision[place],
                precision_n=int(found.counts[:, place].sum()),
                labelled_by_hand=int(by_hand[place].sum()),
                predicted_by_hand=int(by_hand[:, place].sum()),
            )
            for place, name in enumerate(classes)
        ),
        reliability=curve.bins,
        calibration_error=curve.error,
        temperature=statistics.temperature(predictions[places], np.eye(k)[true], weights),
    )


def _one_class(verdict: Verdict) -> str | None:
    """What a picture shows by all who said: settled, or undisputed."""
    if verdict.settled is not None:
        return verdict.settled
    said = {answer for answer in verdict.answers.values() if answer != SKIP}
    return said.pop() if len(said) == 1 else None


def _pictures(count: int) -> str:
    return f"{count:,} picture was" if count == 1 else f"{count:,} pictures were"
