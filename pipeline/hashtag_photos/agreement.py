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

    Cohen 1960, doi:10.1177/001316446002000104. The interval as in `_interval`, with kappa_error. None where it isn't
    defined: no unit, or both said the same class of all.
    """
    found = _kappa(a, b)
    if found is None:
        return None
    value, error, index = found
    return _interval(value, value - Z_95 * error, value + Z_95 * error, index)


def kappa_error(a: NDArray[np.integer], b: NDArray[np.integer]) -> float | None:
    """The large-sample standard error of kappa: Fleiss, Cohen and Everitt 1969, doi:10.1037/h0028106."""
    found = _kappa(a, b)
    return None if found is None else found[1]


def alpha(ratings: NDArray[np.integer]) -> Estimate | None:
    """Krippendorff's alpha for nominal data, of any number of coders with missing ratings; (units, coders).

    Krippendorff 2011, "Computing Krippendorff's alpha-reliability", section C. The interval as in `_interval`, with the
    middle 95 % of 2,000 bootstrap draws of units, by a fixed seed. None where it isn't defined: no unit has two
    ratings, or all are one class.
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
    totals = times @ patterns
    n = int(totals.sum())
    chance = 1 - float(n * n - (totals**2).sum()) / (n * (n - 1))
    agreed = 1 - float(times @ apart) / n
    return _interval(value, float(low), float(high), _Index(agreed=agreed, chance=chance, n=len(counts)))


def ac1(ratings: NDArray[np.integer], classes: int | None = None) -> Estimate | None:
    """Gwet's AC1 of any number of coders with missing ratings; (units, coders).

    classes: how many there were to choose from (default: those that were chosen). Gwet 2008,
    doi:10.1348/000711006X126600; with missing ratings as in Gwet 2014, Handbook of Inter-Rater Reliability, chapter 5,
    and in his package irrCAC. The interval as in `_interval`, with ac1_error. None where it isn't defined: no unit has
    two ratings, or there is but one class.
    """
    found = _ac1(ratings, classes)
    if found is None:
        return None
    value, error, index = found
    return _interval(value, value - Z_95 * error, value + Z_95 * error, index)


def ac1_error(ratings: NDArray[np.integer], classes: int | None = None) -> float | None:
    """The large-sample standard error of AC1: Gwet 2014, chapter 5, as in irrCAC."""
    found = _ac1(ratings, classes)
    return None if found is None else found[1]


@dataclass(frozen=True, kw_only=True)
class _Index:
    """What an index of agreement, (agreed - chance) / (1 - chance), is made of, in n units that two have rated."""

    agreed: float
    chance: float
    n: int


def _interval(value: float, low: float, high: float, of: _Index) -> Estimate:
    """low to high, and where that is more, what follows from a Wilson interval of the observed agreement.

    Variances for large samples, and the bootstrap, are nothing where all agree: few doubles would seem to prove perfect
    agreement. In the second interval, agreement by chance stays as it is; an index of few units is hardly known better.

    In simulations of two coders and three classes (true kappa 0.8, 0.9, 0.95; 10, 20, 50, 100 units; 500 draws) the
    intervals of the three indices held the truth in 96.6 to 100 %: they are wider than need be, but never nothing.
    """
    wide = [(share - of.chance) / (1 - of.chance) for share in wilson(min(max(of.agreed, 0.0), 1.0) * of.n, of.n)]
    return Estimate(value=value, low=max(-1.0, min(value, low, wide[0])), high=min(1.0, max(value, high, wide[1])))


def _kappa(a: NDArray[np.integer], b: NDArray[np.integer]) -> tuple[float, float, _Index] | None:
    """Kappa and its standard error."""
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
    agreed = float(np.trace(p))
    value = (agreed - chance) / (1 - chance)
    on = float((np.diag(p) * (1 - (rows + columns) * (1 - value)) ** 2).sum())
    off = p * (columns[:, None] + rows[None, :]) ** 2
    variance = on + (1 - value) ** 2 * float(off.sum() - np.trace(off)) - (value - chance * (1 - value)) ** 2
    error = math.sqrt(max(0.0, variance) / n) / (1 - chance)
    return value, error, _Index(agreed=agreed, chance=chance, n=n)


def _ac1(ratings: NDArray[np.integer], classes: int | None) -> tuple[float, float, _Index] | None:
    """AC1 and its standard error."""
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
    share = float(agreed[paired].mean())
    value = (share - chance) / (1 - chance)
    each = n / paired.sum() * (agreed - chance * paired) / (1 - chance)
    chances = (counts @ (1 - shares)) / of_unit / (k - 1)
    each = each - 2 * (1 - value) * (chances - chance) / (1 - chance)
    error = math.sqrt(float(((each - value) ** 2).sum()) / n / max(n - 1, 1))
    return value, error, _Index(agreed=share, chance=chance, n=int(paired.sum()))


def _counts(ratings: NDArray[np.integer]) -> NDArray[np.int64]:
    """(units, classes): how many coders said each class."""
    k = int(ratings.max(initial=-1)) + 1
    return np.stack([(ratings == c).sum(axis=1) for c in range(k)], axis=1) if k else np.zeros((0, 0), dtype=np.int64)


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
    """The temperature T under which probabilities^(1/T), rescaled, fit the labels best. (n, k) each; weights (n,).

    labels: one-hot, or shares. Likelihood (Guo et al. 2017, arXiv:1706.04599, section 4.2) with a weak prior on
    b = 1/T, Gamma with shape 2 and rate 1: its summit is at 1, and 95 % of it between 0.24 and 5.6. Without it, labels
    among which the model was never wrong would make it endlessly sure (separation: Gelman et al. 2008,
    doi:10.1214/08-AOAS191). Weights are rescaled to a mean of 1. Above 1, the model was too sure. No label at all: 1.
    """
    if not len(labels):
        return 1.0
    logs = np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), 1e-30))
    logs -= logs.max(axis=1, keepdims=True)
    each = np.ones(len(labels)) if weights is None else weights / weights.mean()
    said = float(each @ (labels * logs).sum(axis=1))
    totals = each * labels.sum(axis=1)

    # the loss b - log b - sum of weight * log likelihood is convex in b: Newton's steps to the root of its slope,
    # within what the signs of earlier slopes leave
    b, low, high = 1.0, 0.0, math.inf
    for _ in range(100):
        odds = np.exp(b * logs)
        odds /= odds.sum(axis=1, keepdims=True)
        mean = (odds * logs).sum(axis=1)
        slope = 1 - 1 / b - said + float(totals @ mean)
        bend = 1 / b**2 + float(totals @ ((odds * logs**2).sum(axis=1) - mean**2))
        low, high = (b, high) if slope < 0 else (low, b)
        step = b - slope / bend
        if not low < step < high:
            step = 2 * b if high == math.inf else (low + high) / 2
        if abs(step - b) <= 1e-9 * b:
            break
        b = step
    return 1 / b


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
