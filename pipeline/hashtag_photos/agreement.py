"""How far people agree with each other, and the model with them: pure functions of arrays.

Ratings are an array (units, coders) of class numbers, -1 = none. Every Estimate is a 95 % interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hashtag_photos.estimate import Z_95, Estimate, effective_size, wilson

_DRAWS = 2000  # of the bootstrap


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """The model's classes against the labels, classes in order; [i, j] = the truth is i, predicted is j."""

    counts: NDArray[np.int64]  # (k, k) pictures
    shares: NDArray[np.float64]  # (k, k) weighted, all add up to 1
    recall: tuple[Estimate | None, ...]  # per class: of those it is, how many are found; None if none is
    precision: tuple[Estimate | None, ...]  # per class: of those found, how many it is; None if none is found


@dataclass(frozen=True, kw_only=True)
class Bin:
    """A point of the reliability curve: pictures whose predicted class has a probability from low to high."""

    low: float
    high: float
    probability: float  # weighted mean of what the model said
    right: Estimate  # weighted share in which it was right
    n: int


@dataclass(frozen=True, kw_only=True)
class Calibration:
    bins: tuple[Bin, ...]  # without empty ones
    error: float  # expected calibration error: mean of |probability - right| over the bins, by their weight


def kappa(a: NDArray[np.integer], b: NDArray[np.integer]) -> Estimate | None:
    """Cohen's kappa of two coders, (n,) class numbers each; units that one of them left out (-1) don't count.

    Cohen 1960, doi:10.1177/001316446002000104; the interval by the large-sample variance of Fleiss,
    Cohen and Everitt 1969, doi:10.1037/h0028106. None where it isn't defined: no unit, or both said
    the same class of all.
    """
    both = (a >= 0) & (b >= 0)
    n = int(both.sum())
    if n == 0:
        return None
    k = int(max(a[both].max(), b[both].max())) + 1
    p = np.bincount(a[both] * k + b[both], minlength=k * k).reshape(k, k) / n
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    chance = float(rows @ columns)
    if chance >= 1:
        return None
    value = (float(np.trace(p)) - chance) / (1 - chance)
    on = float((np.diag(p) * (1 - (rows + columns) * (1 - value)) ** 2).sum())
    off = p * (columns[:, None] + rows[None, :]) ** 2
    variance = on + (1 - value) ** 2 * float(off.sum() - np.trace(off)) - (value - chance * (1 - value)) ** 2
    return _around(value, math.sqrt(max(0.0, variance) / n) / (1 - chance))


def alpha(ratings: NDArray[np.integer]) -> Estimate | None:
    """Krippendorff's alpha for nominal data, of any number of coders with missing ratings; (units, coders).

    Krippendorff 2011, "Computing Krippendorff's alpha-reliability", section C. The interval is the middle 95 % of 2,000
    bootstrap draws of units, with a fixed seed. None where it isn't defined: no unit has two ratings, or all are
    one class.
    """
    counts = _counts(ratings)
    counts = counts[counts.sum(axis=1) >= 2]
    if not len(counts) or (counts.sum(axis=0) > 0).sum() < 2:
        return None
    # units rated alike are one pattern: a bootstrap draw is how often each pattern came
    patterns, times = np.unique(counts, axis=0, return_counts=True)
    of_unit = patterns.sum(axis=1)
    apart = (of_unit**2 - (patterns**2).sum(axis=1)) / (of_unit - 1)

    def values(times: NDArray[np.integer]) -> NDArray[np.float64]:
        totals = times @ patterns
        n = totals.sum(axis=-1)
        expected = n * n - (totals**2).sum(axis=-1)
        # a draw in which all are one class has no disagreement
        return np.asarray(1 - (n - 1) * (times @ apart) / np.maximum(expected, 1))

    value = float(values(times))
    draws = values(np.random.default_rng(0).multinomial(len(counts), times / len(counts), size=_DRAWS))
    low, high = np.quantile(draws, [0.025, 0.975])
    return Estimate(value=value, low=min(value, float(low)), high=max(value, float(high)))


def ac1(ratings: NDArray[np.integer], classes: int | None = None) -> Estimate | None:
    """Gwet's AC1 of any number of coders with missing ratings; (units, coders).

    classes: how many there were to choose from (default: those that were chosen). Gwet 2008,
    doi:10.1348/000711006X126600; with missing ratings, and for its variance, as in Gwet 2014, Handbook of Inter-Rater
    Reliability, chapter 5, and in his package irrCAC. None where it isn't
    defined: no unit has two ratings, or there is but one class.
    """
    counts = _counts(ratings)
    counts = counts[counts.sum(axis=1) >= 1]
    k = int((counts.sum(axis=0) > 0).sum()) if classes is None else classes
    of_unit = counts.sum(axis=1)
    paired = of_unit >= 2
    if not paired.any() or k < 2:
        return None
    n = len(counts)
    agreed = (counts * (counts - 1)).sum(axis=1) / np.maximum(of_unit * (of_unit - 1), 1)
    shares = (counts / of_unit[:, None]).mean(axis=0)
    chance = float((shares * (1 - shares)).sum()) / (k - 1)
    value = (float(agreed[paired].mean()) - chance) / (1 - chance)
    each = n / paired.sum() * (agreed - chance * paired) / (1 - chance)
    chances = (counts @ (1 - shares)) / of_unit / (k - 1)
    each = each - 2 * (1 - value) * (chances - chance) / (1 - chance)
    return _around(value, math.sqrt(float(((each - value) ** 2).sum()) / n / max(n - 1, 1)))


def _counts(ratings: NDArray[np.integer]) -> NDArray[np.int64]:
    """(units, classes): how many coders said each class."""
    k = int(ratings.max(initial=-1)) + 1
    return np.stack([(ratings == c).sum(axis=1) for c in range(k)], axis=1) if k else np.zeros((0, 0), dtype=np.int64)


def _around(value: float, error: float) -> Estimate:
    return Estimate(value=value, low=max(-1.0, value - Z_95 * error), high=min(1.0, value + Z_95 * error))


def confusion(
    truth: NDArray[np.integer], predicted: NDArray[np.integer], weights: NDArray[np.floating], classes: int
) -> Confusion:
    """Counts and weighted shares. (n,) each; weights: 1 / inclusion probability, all 1 where labels are of no sample.

    Intervals of recall and precision are Wilson's with Kish's effective size.
    """
    at = (truth * classes + predicted).astype(np.int64)
    weighted = np.bincount(at, weights=weights, minlength=classes**2).reshape(classes, classes)

    def right(among: NDArray[np.bool_]) -> Estimate | None:
        return _share(truth[among] == predicted[among], weights[among]) if among.any() else None

    return Confusion(
        counts=np.bincount(at, minlength=classes**2).reshape(classes, classes),
        shares=weighted / max(float(weighted.sum()), 1e-300),
        recall=tuple(right(truth == c) for c in range(classes)),
        precision=tuple(right(predicted == c) for c in range(classes)),
    )


def _share(yes: NDArray[np.bool_], weights: NDArray[np.floating]) -> Estimate:
    size = effective_size(weights)
    value = min(1.0, float(weights @ yes) / float(weights.sum()))
    low, high = wilson(value * size, size)
    return Estimate(value=value, low=low, high=high)


def calibration(
    probabilities: NDArray[np.floating], truth: NDArray[np.integer], weights: NDArray[np.floating], bins: int = 10
) -> Calibration:
    """Reliability curve of the predicted class: probabilities (n, k), truth (n,), weights 1 / inclusion probability.

    Bins of equal width, as in Guo et al. 2017, arXiv:1706.04599, section 2; intervals as in `confusion`.
    """
    top = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == truth
    at = np.minimum((top * bins).astype(np.int64), bins - 1)
    found = []
    error = 0.0
    for number in np.unique(at):
        among = at == number
        share = _share(right[among], weights[among])
        said = float(np.average(top[among], weights=weights[among]))
        error += float(weights[among].sum() / weights.sum()) * abs(said - share.value)
        found.append(
            Bin(
                low=float(number) / bins,
                high=float(number + 1) / bins,
                probability=said,
                right=share,
                n=int(among.sum()),
            )
        )
    return Calibration(bins=tuple(found), error=error)


def temperature(
    probabilities: NDArray[np.floating], labels: NDArray[np.floating], weights: NDArray[np.floating] | None = None
) -> float:
    """The temperature T, from 0.05 to 20, under which probabilities^(1/T), rescaled, fit the labels best. (n, k) each.

    labels: one-hot, or shares. Maximum likelihood (Guo et al. 2017, arXiv:1706.04599, section 4.2), by golden-section
    search on log T, in which the likelihood has one summit. Above 1, the model was too sure. No label at all: 1.
    """
    if not len(labels):
        return 1.0
    logs = np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), 1e-30))
    weights = np.ones(len(labels)) if weights is None else weights

    def loss(log_t: float) -> float:
        z = logs / math.exp(log_t)
        top = z.max(axis=1)
        norm = top + np.log(np.exp(z - top[:, None]).sum(axis=1))
        return float((weights[:, None] * labels * (norm[:, None] - z)).sum())

    golden = (math.sqrt(5) - 1) / 2
    low, high = math.log(0.05), math.log(20)
    a, b = high - golden * (high - low), low + golden * (high - low)
    at_a, at_b = loss(a), loss(b)
    while high - low > 1e-6:
        if at_a <= at_b:
            high, b, at_b = b, a, at_a
            a = high - golden * (high - low)
            at_a = loss(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + golden * (high - low)
            at_b = loss(b)
    return math.exp((low + high) / 2)


def tempered(probabilities: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    """probabilities^(1/T), each row rescaled to add up to 1."""
    logs = np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), 1e-30)) / temperature
    powered = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(powered / powered.sum(axis=1, keepdims=True))


def cross_fitted(
    probabilities: NDArray[np.floating], labelled: NDArray[np.integer], labels: NDArray[np.floating], folds: int = 5
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Probabilities with a temperature fitted to the labels: for all (N, k), and for the labelled (n, k).

    A labelled picture's temperature is fitted without the labels of its fold, so that its own label does not touch
    what it is compared with; for all (N, k) it is the mean of what the folds' temperatures make of it. Give them to
    estimate.corrected as predictions and own. Zrnic and Candes 2024, "Cross-prediction-powered inference",
    doi:10.1073/pnas.2322083121. Folds go by the place in `labelled`, never by what the labels are.
    """
    fold = np.random.default_rng(0).permutation(len(labelled)) % folds
    theirs = probabilities[labelled]
    own = np.asarray(theirs, dtype=np.float64).copy()
    everyone = np.zeros(probabilities.shape)
    for number in range(folds):
        others = fold != number
        t = temperature(theirs[others], labels[others])
        own[~others] = tempered(theirs[~others], t)
        everyone += tempered(probabilities, t) / folds
    return everyone, own
