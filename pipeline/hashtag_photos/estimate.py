"""The statistics: pure functions of numbers and arrays. They know no table, no picture and no file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.959963984540054  # the 97.5 % point of the standard normal distribution


def wilson(count: float, total: float, z: float = Z_95) -> tuple[float, float]:
    """The Wilson score interval of a share, as (low, high) from 0 to 1; of nothing out of nothing it is (0, 1).

    Wilson 1927, "Probable inference, the law of succession, and statistical inference", JASA 22; the form without
    continuity correction, as in Brown, Cai and DasGupta 2001, doi:10.1214/ss/1009213286, equation 4. It takes the items
    as a random sample of independent ones, and their labels as right.

    Raises ValueError unless 0 <= count <= total.
    """
    if not 0 <= count <= total:
        raise ValueError(f"count must be from 0 to total, not {count} of {total}")
    if total == 0:
        return 0.0, 1.0
    share = count / total
    center = share + z * z / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    # the ends are exact where all or none count; rounding would leave them a hair inside
    low = 0.0 if count == 0 else (center - spread) / scale
    high = 1.0 if count == total else (center + spread) / scale
    return low, high


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number and its 95 % interval."""

    value: float
    low: float
    high: float


#: fewer labels than this are not trusted with the tuning of predictions: strata alone correct the shares
FEWEST_FOR_PREDICTIONS = 50
FEWEST = 20  # fewer labels than this give no interval
#: a stratum's variance is shrunk to what the predictions say, as if of PRIOR further labels, and PRIOR_DEGREES are
#: added to the degrees of freedom: without that, strata of few labels without an error would seem to have none
PRIOR, PRIOR_DEGREES = 0.75, 6
#: where predictions expect fewer than ADDED errors of a class in PRIOR labels per stratum, the rest is added:
#: pseudo-errors, as Agresti and Coull 1998 (doi:10.1080/00031305.1998.10480550) have them, but fewer, since most of
#: their work is done by SKEWED
ADDED = 0.4
#: predictions that were never wrong in n labels are taken to be wrong in as many of n: the rule of three (Hanley and
#: Lippman-Hand 1983, "If nothing goes wrong, is everything all right?", JAMA 249)
FEWEST_ERRORS = 3.0
#: a variance goes by the squares of the weights; where the plain one is larger, so much of it by that
PLAIN = 0.2
SKEWED = 0.6  # how far an interval goes by the skewness of the errors, and not by that of a share. All by simulation.
FEWEST_EFFECTIVE = 15.0  # labels that are worth fewer than this many equally weighted ones give no interval
FEW_OF_A_CLASS = 2  # a class, or anything but it, that was seen fewer times among the labels: warned of
FEW_WORTH = 4.0  # and one seen fewer than FEWEST times that are worth fewer equally weighted ones than this
ASSUMED_WRONG = 0.2  # of the predictions, for a plan before there are labels: sure models can be wrong as often
UNSEEN_WARNED, UNSEEN_REFUSED = 0.01, 0.1  # share of the weight in strata without any label
GIANT = 0.15  # share of the weight of a single picture without a label: warned of


@dataclass(frozen=True, kw_only=True)
class Corrected:
    """Shares of the classes in a finite corpus, from labels of a random sample and predictions for all."""

    shares: tuple[Estimate, ...]  # per class, in order; () if refused
    n: int  # pictures labelled that it rests on
    method: str  # "ppi" (stratified PPI++) | "post-stratified" (fewer than 50 labels)
    refused: str | None  # why no interval may be published, in words for users, with what to do
    warnings: tuple[str, ...]  # what to be careful of, in words for users
    correlation: NDArray[np.float64] = field(repr=False, compare=False)  # (k, k) of the errors of the shares


def corrected(
    *,
    strata: NDArray[np.integer],
    weights: NDArray[np.floating],
    predictions: NDArray[np.floating],
    labelled: NDArray[np.integer],
    labels: NDArray[np.floating],
    low: NDArray[np.floating] | None = None,
    high: NDArray[np.floating] | None = None,
    own: NDArray[np.floating] | None = None,
    classes: Sequence[str] = (),
) -> Corrected:
    """Shares of the classes in the finite corpus, by labels and predictions: stratified PPI++ (docs/STATISTICS.md).

    strata (N,) stratum number of each picture of the frame; weights (N,) what it counts in the unit; predictions (N, k)
    any scores, usually probabilities, that no label of the sample has set; labelled (n,) which pictures have labels;
    labels (n, k) shares (one-hot, or coders' shares). low, high (n, k): what disagreement and skips leave open (default
    = labels): the low end of each interval is of `low`, the high end of `high`. own (n, k): predictions at the labelled
    ones, where they were fitted without the picture's own label (see agreement.cross_fitted). classes: their names, for
    the words of warnings. Within a stratum the labelled ones must be a simple random sample without replacement.

    Labelled pictures count as what they were labelled. Those without a label count, stratum by stratum, as
    lam * prediction plus the weighted mean of label - lam * prediction of the stratum's labelled ones (Angelopoulos,
    Duchi and Zrnic 2023, arXiv:2311.01453; stratified: Fisch et al. 2024, arXiv:2406.04291; for a finite population it
    is the difference estimator of Sarndal, Swensson and Wretman 1992, chapter 6). One lam from 0 to 1 for all classes,
    so that shares add up to 1. The interval is Wilson's, with the effective size share * (1 - share) / variance and a
    quantile of Student's t (Korn and Graubard 1998; Dean and Pagano 2015, doi:10.1093/jssam/smv024).
    """
    mass = np.asarray(weights, dtype=np.float64)
    said = np.asarray(labels, dtype=np.float64)
    n, k = said.shape
    method = "ppi" if n >= FEWEST_FOR_PREDICTIONS else "post-stratified"

    def refuse(why: str) -> Corrected:
        return Corrected(shares=(), n=n, method=method, refused=why, warnings=(), correlation=np.eye(k))

    if n < min(FEWEST, len(strata)):
        return refuse(f"{n} labels are too few for an interval: label {FEWEST - n} more")
    if not mass.sum() > 0:
        return refuse("no picture has any weight in this unit: publish another unit")
    groups, unseen = _seen(strata, mass, labelled, predictions)
    if unseen > UNSEEN_REFUSED:
        return refuse(
            f"{unseen:.0%} of all is in parts of the sample from which no picture is labelled yet: "
            "label on, in the order shown"
        )
    sample = _Sample(
        strata=groups,
        weights=mass,
        predictions=np.asarray(predictions, dtype=np.float64),
        labelled=labelled,
        own=np.asarray(predictions[labelled] if own is None else own, dtype=np.float64),
    )
    if sample.effective_labels < min(FEWEST_EFFECTIVE, len(strata)):
        return refuse(
            f"a few pictures hold most of the weight: {n} labels are worth only {sample.effective_labels:.0f} in this "
            "unit: label more, or publish the shares of pictures"
        )
    lam = sample.lam(said) if method == "ppi" else 0.0
    prior = sample.prior(said)
    of = sample.measure(said, lam, prior)
    of_low = of if low is None else sample.measure(np.asarray(low, dtype=np.float64), lam, prior)
    of_high = of if high is None else sample.measure(np.asarray(high, dtype=np.float64), lam, prior)
    sd = np.sqrt(np.maximum(of.covariance.diagonal(), 1e-30))
    shares = tuple(
        Estimate(
            value=float(of.value[c]),
            low=ends[0],
            high=ends[1],
        )
        for c in range(k)
        for ends in [
            bounds(
                min(float(of.value[c]), of_low.interval(c)[0]),
                max(float(of.value[c]), of_high.interval(c)[1]),
                1 - unseen,
                unseen,
            )
        ]
    )
    return Corrected(
        shares=shares,
        n=n,
        method=method,
        refused=None,
        warnings=tuple(_warnings(sample, said, unseen, classes)),
        correlation=of.covariance / np.outer(sd, sd),
    )


def _warnings(sample: _Sample, labels: NDArray[np.float64], unseen: float, classes: Sequence[str]) -> Iterator[str]:
    if len(labels) < FEWEST_FOR_PREDICTIONS and not sample.complete:
        yield (
            f"{len(labels)} labels are few: intervals hold the truth in 90 to 99 of 100 cases rather than in 95; "
            f"label {FEWEST_FOR_PREDICTIONS - len(labels)} more"
        )
    if unseen > UNSEEN_WARNED:
        yield (
            f"{unseen:.1%} of all is in parts of the sample from which no picture is labelled: intervals allow for any "
            "class there; label on, in the order shown"
        )
    if sample.giant > GIANT:
        yield (
            f"one picture without a label holds {sample.giant:.0%} of all the weight, and what it shows decides: "
            "label on until it was shown, or publish the shares of pictures"
        )
    if sample.complete:
        return
    stands_for = sample.mine * (sample.sizes / sample.counts)[sample.of]
    for c in range(labels.shape[1]):
        name = repr(classes[c]) if classes else f"class {c + 1}"
        for shown, what in ((labels[:, c], f"{name}"), (1 - labels[:, c], f"anything but {name}")):
            found, worth = float(shown.sum()), effective_size(stands_for * shown)
            if found < FEW_OF_A_CLASS:
                yield (
                    f"{what} was seen {found:.0f} times among {len(labels)} labels: intervals from so few "
                    "can miss the truth more often than 1 in 20 times, or be far wider than need be; label more"
                )
            elif found < FEWEST and worth < min(FEW_WORTH, found / 2):
                yield (
                    f"{what} was seen {found:.0f} times among {len(labels)} labels, but a few of these hold most of "
                    f"the weight: they are worth {worth:.0f} in this unit, and intervals from so few can miss the "
                    "truth more often than 1 in 20 times; label more, or publish the shares of pictures"
                )


@dataclass(frozen=True, kw_only=True)
class _Measure:
    """Shares (k,) with the covariance (k, k) of their errors, degrees of freedom (k,), shares off 0 and 1.

    lean (k,): covariance of estimate and variance / variance.
    """

    value: NDArray[np.float64]
    covariance: NDArray[np.float64]
    degrees: NDArray[np.float64]
    middle: NDArray[np.float64]
    lean: NDArray[np.float64]

    def interval(self, c: int) -> tuple[float, float]:
        """Wilson's, and where that is more, that of errors which lean to one side.

        Wilson's interval holds the shares t of which (value - t)^2 is at most z^2 times the variance at t, which for a
        binomial share changes with t by its skewness: third moment / variance. That of rare errors in one direction
        has another skewness than a share has: the more of them were missed, the smaller the variance seems. So the
        same with what the errors show (Johnson 1978, doi:10.1080/01621459.1978.10480051; Hall 1992,
        doi:10.1111/j.2517-6161.1992.tb01872.x).
        """
        value, variance, middle, lean = (
            float(x) for x in (self.value[c], self.covariance[c, c], self.middle[c], self.lean[c])
        )
        if variance <= 0 or not 0 < middle < 1:
            return value, value
        size = middle * (1 - middle) / variance
        z = _student(float(self.degrees[c]))
        low, high = wilson(value * size, size, z)
        shift = (SKEWED * lean + (1 - SKEWED) * (1 - 2 * middle) / size) * z * z / 2
        out = math.hypot(z * math.sqrt(variance), shift)
        return max(0.0, min(low, value + shift - out)), min(1.0, max(high, value + shift + out))


@dataclass(frozen=True, kw_only=True)
class _Errors:
    """Of each stratum the covariance (strata, k, k) of errors, and the third moment of their means (strata, k).

    squares (n, k): of each label, as it went into the first.
    """

    second: NDArray[np.float64]
    third: NDArray[np.float64]
    squares: NDArray[np.float64]


class _Sample:
    """A finite corpus in strata, each with labels: what estimates of all rows of labels have in common."""

    def __init__(
        self,
        *,
        strata: NDArray[np.integer],
        weights: NDArray[np.float64],
        predictions: NDArray[np.float64],
        labelled: NDArray[np.integer],
        own: NDArray[np.float64],
    ) -> None:
        self.strata, self.of, self.own = strata, strata[labelled], own
        self.number = int(strata.max()) + 1
        self.total = float(weights.sum())
        self.mine = weights[labelled]
        self.sizes = np.bincount(strata, minlength=self.number)
        self.counts = np.bincount(self.of, minlength=self.number)
        self.within = [np.flatnonzero(self.of == h) for h in range(self.number)]
        # weights of means in a stratum: where all labelled weigh nothing, they count alike
        weightless = np.bincount(self.of, weights=self.mine, minlength=self.number) <= 0
        self.v = np.where(weightless[self.of], 1.0, self.mine)
        self.sums = np.bincount(self.of, weights=self.v, minlength=self.number)
        squares = np.bincount(self.of, weights=self.v**2, minlength=self.number)
        rest = weights.copy()
        rest[labelled] = 0.0
        self.giant = float(rest.max(initial=0.0)) / self.total
        self.complete = not rest.any()
        self.rest = np.bincount(strata, weights=rest, minlength=self.number)
        self.rest_predictions = _sums(strata, predictions * rest[:, None], self.number)
        self.mean_predictions = _sums(strata, np.clip(predictions, 0, 1), self.number) / self.sizes[:, None]
        # the error of a stratum's total: of the mean for those without labels, and of each of these about it
        self.factor = self.rest**2 * squares / self.sums**2 + np.bincount(
            strata, weights=rest**2, minlength=self.number
        )

    @property
    def effective_labels(self) -> float:
        """Of how many equally weighted labels, drawn from an endless corpus, an estimate would be as good."""
        spread = float(self.factor.sum())
        return self.total**2 / spread if spread > 0 else math.inf

    def lam(self, labels: NDArray[np.float64]) -> float:
        """What predictions count: least sum over the classes of variance / variance without predictions."""
        if self.complete:
            return 0.0
        per = (self.factor / np.maximum(self.counts - 1, 1))[self.of][:, None]
        y, f = self._centred(labels), self._centred(self.own)
        scale = 1 / ((per * y * y).sum(axis=0) + per.sum() / 4 / len(labels))
        against = float((scale * per * f * f).sum())
        return min(1.0, max(0.0, float((scale * per * y * f).sum()) / against)) if against > 0 else 0.0

    def prior(self, labels: NDArray[np.float64]) -> NDArray[np.float64]:
        """(strata, k) shares as predictions have them, mixed with the shares in all as far as predictions are bad."""
        each = (self.sizes / self.counts)[self.of][:, None]
        y = labels - (mean := (each * labels).sum(axis=0) / each.sum())
        f = self.own - (each * self.own).sum(axis=0) / each.sum()
        against = float((each * f * f).sum())
        trust = min(1.0, max(0.0, float((each * y * f).sum()) / against)) if against > 0 else 0.0
        mixed = trust * self.mean_predictions + (1 - trust) * mean
        return np.asarray(mixed / np.maximum(mixed.sum(axis=1, keepdims=True), 1e-12))

    def measure(self, labels: NDArray[np.float64], lam: float, prior: NDArray[np.float64]) -> _Measure:
        """Shares from rows of labels (n, k)."""
        off = labels - lam * self.own
        means = _sums(self.of, off * self.v[:, None], self.number) / self.sums[:, None]
        known = self.mine @ labels
        value = (known + (lam * self.rest_predictions + self.rest[:, None] * means).sum(axis=0)) / self.total

        errors = self.errors(off, prior)
        covariance = np.tensordot(self.factor, errors.second, 1) / self.total**2
        if lam > 0:  # which was chosen to make them small
            free = max(len(labels) - self.number, 2)
            covariance *= free / (free - 1)
        variance = np.maximum(covariance.diagonal(), 1e-300)
        # of how many labels' errors a variance is made: if of few, it is hardly known
        parts = errors.squares * (self.factor / self.counts / self.total**2)[self.of][:, None]
        made_of = np.minimum(variance**2 / np.maximum((parts**2).sum(axis=0), 1e-300), len(labels))
        smooth = (_sums(self.of, labels, self.number) + PRIOR * prior) / (self.counts + PRIOR)[:, None]
        return _Measure(
            value=np.clip(value, 0, 1),
            covariance=covariance,
            degrees=2 * made_of + PRIOR_DEGREES,
            middle=(known + self.rest @ smooth) / self.total,
            lean=(self.factor * self.rest) @ errors.third / self.total**3 / variance,
        )

    def errors(self, off: NDArray[np.float64], prior: NDArray[np.float64]) -> _Errors:
        """What `off` shows of the errors in each stratum, shrunk to what `prior` says."""
        centred, k = self._centred(off), off.shape[1]
        squared = self.v**2
        heavy = squared / (np.bincount(self.of, weights=squared, minlength=self.number) / self.counts)[self.of]
        squares = centred**2 * heavy[:, None]
        cubes = squares * centred * (self.v / self.sums[self.of])[:, None]
        second, third = np.zeros((self.number, k, k)), np.zeros((self.number, k))
        expected = np.stack([np.diag(p) - np.outer(p, p) for p in prior])
        skewed = (prior * (1 - prior) * (1 - 2 * prior)) / self.counts[:, None]
        for h, at in enumerate(self.within):
            x = centred[at]
            weighted, plain = x.T @ (x * heavy[at, None]), x.T @ x
            if plain.trace() > weighted.trace():
                weighted = PLAIN * plain + (1 - PLAIN) * weighted
            worth = len(at) - 1 + PRIOR
            second[h] = (weighted + PRIOR * expected[h]) / worth
            third[h] = (cubes[at].sum(axis=0) + PRIOR * skewed[h]) / worth

        # errors that were not seen may be there: of each class, so that their sum over the classes is none; they fall
        # where errors were seen, and as if one more had fallen anywhere
        seen = self.counts * np.trace(second, axis1=1, axis2=2) / 2
        had = PRIOR * np.diagonal(expected, axis1=1, axis2=2).sum(axis=0)
        fewest = max(0.0, FEWEST_ERRORS - float(seen.sum())) * 2 / k
        missing = np.maximum(np.maximum(ADDED - had, 0), fewest)
        between = np.maximum(missing[:, None], missing) / max(k - 1, 1) * (1 - np.eye(k))
        more = np.diag(between.sum(axis=1)) - between
        each = (seen + self.counts / len(off)) / (seen.sum() + 1) / self.counts
        second += each[:, None, None] * more
        third += (each / self.counts)[:, None] * more.diagonal() * (1 - 2 * prior)
        return _Errors(second=second, third=third, squares=squares)

    def _centred(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(values - (_sums(self.of, values, self.number) / self.counts[:, None])[self.of])


def spreads(
    *,
    strata: NDArray[np.integer],
    predictions: NDArray[np.floating],
    labelled: NDArray[np.integer] | None,
    labels: NDArray[np.floating] | None,
) -> NDArray[np.float64]:
    """(strata, k) variance of label - lam * prediction in each stratum, as far as labels tell; as for `corrected`.

    Where there is no label, the predictions are believed but for this: at least ASSUMED_WRONG of them are wrong, and
    the wrong ones are of the classes in proportion to what is predicted of all.
    """
    f = np.clip(np.asarray(predictions, dtype=np.float64), 0, 1)
    if labelled is None or labels is None or len(labelled) < FEWEST:
        sizes = np.bincount(strata)
        means = _sums(strata, f, len(sizes)) / sizes[:, None]
        everywhere, best = f.mean(axis=0), means.argmax(axis=1)
        wrong = float(1 - sizes @ means.max(axis=1) / len(f))
        gain = float(sizes @ (means.max(axis=1) - everywhere[best]) / len(f))  # if all were as likely as everywhere
        mix = min(1.0, max(0.0, ASSUMED_WRONG - wrong) / gain) if gain > 0 else 0.0
        means = (1 - mix) * means + mix * everywhere
        return np.asarray(means * (1 - means))
    groups, _ = _seen(strata, np.ones(len(strata)), labelled, f)
    sample = _Sample(strata=groups, weights=np.ones(len(strata)), predictions=f, labelled=labelled, own=f[labelled])
    said = np.asarray(labels, dtype=np.float64)
    of = sample.errors(said - sample.lam(said) * sample.own, sample.prior(said)).second
    into = np.zeros(int(strata.max()) + 1, dtype=np.int64)
    into[strata] = groups
    return np.stack([of[h].diagonal() for h in into])


def _student(degrees: float) -> float:
    """The 97.5 % point of Student's t, to 0.01 from 4 degrees on (Abramowitz and Stegun 1964, 26.7.5)."""
    z = Z_95
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / max(degrees, 3.0) ** (power + 1) for power, term in enumerate(terms))


def _sums(codes: NDArray[np.integer], values: NDArray[np.float64], number: int) -> NDArray[np.float64]:
    """(number, k) sums of the rows (n, k) that have each code."""
    return np.stack([np.bincount(codes, weights=column, minlength=number) for column in values.T], axis=1)


def _seen(
    strata: NDArray[np.integer],
    weights: NDArray[np.float64],
    labelled: NDArray[np.integer],
    predictions: NDArray[np.floating],
) -> tuple[NDArray[np.int64], float]:
    """Strata numbered from 0, those without labels joined to one of similar predictions; their share of the weight."""
    codes = np.unique(strata, return_inverse=True)[1]
    sizes = np.bincount(codes)
    unseen = np.bincount(codes[labelled], minlength=len(sizes)) == 0
    if unseen.any():
        means = _sums(codes, np.asarray(predictions, dtype=np.float64), len(sizes)) / sizes[:, None]
        seen = np.flatnonzero(~unseen)
        into = np.arange(len(sizes))
        for h in np.flatnonzero(unseen):
            into[h] = seen[np.abs(means[seen] - means[h]).sum(axis=1).argmin()]
        share = float(weights[unseen[codes]].sum() / weights.sum())
        return np.unique(into[codes], return_inverse=True)[1], share
    return codes, 0.0


def difference(of: Corrected, a: int, b: int) -> Estimate:
    """Share of class a minus share of class b. Raises ValueError if `of` is refused."""
    return difference_between(*_pair(of, a, b))


def ratio(of: Corrected, a: int, b: int) -> Estimate:
    """Share of class a / share of class b; infinite if b's is 0. Raises ValueError if `of` is refused."""
    return ratio_between(*_pair(of, a, b))


def probability_more(of: Corrected, a: int, b: int) -> float:
    """The probability that class a has the larger share. Raises ValueError if `of` is refused."""
    return probability_positive(difference(of, a, b))


def difference_between(one: Estimate, other: Estimate, correlation: float = 0.0) -> Estimate:
    """One share minus another, from the interval of each and the `correlation` of their errors, from -1 to 1.

    MOVER (Zou and Donner 2008, doi:10.1002/sim.3095): each end of the interval is as far from the difference as the
    ends of the two that lead there, put together as if at right angles, if their errors are independent. On Wilson's
    intervals it is Newcombe's hybrid score (1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I,
    method 10).
    """
    value = one.value - other.value
    down, up = one.value - one.low, one.high - one.value
    other_down, other_up = other.value - other.low, other.high - other.value
    return Estimate(
        value=value,
        low=max(-1.0, value - math.sqrt(max(0.0, down**2 + other_up**2 - 2 * correlation * down * other_up))),
        high=min(1.0, value + math.sqrt(max(0.0, up**2 + other_down**2 - 2 * correlation * up * other_down))),
    )


def ratio_between(one: Estimate, other: Estimate, correlation: float = 0.0) -> Estimate:
    """One share / another, infinite if that is 0: as `difference_between`, on the log scale.

    Where one of them is 0, it goes from the lowest / the highest to the highest / the lowest.
    """

    def log(x: float) -> float:
        return math.log(x) if x > 0 else -math.inf

    def away(x: float, y: float) -> float:
        if math.isinf(x) or math.isinf(y):
            return math.inf
        return math.sqrt(max(0.0, x * x + y * y - 2 * correlation * x * y))

    if one.value == 0 or other.value == 0:
        return Estimate(
            value=one.value / other.value if other.value else math.inf,
            low=one.low / other.high if other.high else 0.0,
            high=one.high / other.low if other.low else math.inf,
        )
    value = log(one.value) - log(other.value)
    low = value - away(log(one.value) - log(one.low), log(other.high) - log(other.value))
    high = value + away(log(one.high) - log(one.value), log(other.value) - log(other.low))
    return Estimate(value=math.exp(value), low=math.exp(low), high=math.exp(high))


def probability_positive(difference: Estimate) -> float:
    """The probability that a difference is above 0: of a normal error as wide as the side of its interval towards 0."""
    reach = difference.value - difference.low if difference.value > 0 else difference.high - difference.value
    if reach <= 0:
        return 0.5 if difference.value == 0 else float(difference.value > 0)
    return NormalDist().cdf(difference.value / (reach / Z_95))


def _pair(of: Corrected, a: int, b: int) -> tuple[Estimate, Estimate, float]:
    if of.refused is not None:
        raise ValueError(f"no shares to compare: {of.refused}")
    return of.shares[a], of.shares[b], float(of.correlation[a, b])


def effective_size(weights: NDArray[np.floating]) -> float:
    """How many equally weighted items say as much: (sum w)^2 / sum w^2 (Kish 1965, Survey Sampling, section 11.7)."""
    squares = float(np.square(weights).sum())
    return float(weights.sum()) ** 2 / squares if squares else 0.0


def bounds(low: float, high: float, had: float, missing: float) -> tuple[float, float]:
    """Of had + missing, what a share from low to high of those had can be, whatever the missing ones are.

    Manski 1989, "Anatomy of the selection problem", Journal of Human Resources 24. Nothing at all is (0, 1).
    """
    if had + missing <= 0:
        return 0.0, 1.0
    q = missing / (had + missing)
    return low * (1 - q), high * (1 - q) + q


def ppi_mean(
    labels: NDArray[np.floating],
    predictions: NDArray[np.floating],
    others: NDArray[np.floating],
    *,
    weights: NDArray[np.floating] | None = None,
    weights_of_others: NDArray[np.floating] | None = None,
    lam: float | None = None,
    z: float = Z_95,
) -> Estimate:
    """The mean of an endless population by PPI++: labels and predictions (n,) of a sample, predictions (N,) of others.

    Angelopoulos, Duchi and Zrnic 2023, arXiv:2311.01453, section 6; as `ppi_mean_ci` of ppi-python 0.2.3.
    The published shares are not of this function: their corpus is finite and their sample stratified, see `corrected`.
    """
    n, total = len(labels), len(others)
    w = np.ones(n) if weights is None else weights / weights.sum() * n
    v = np.ones(total) if weights_of_others is None else weights_of_others / weights_of_others.sum() * total
    if lam is None:
        start = (v * others).mean() + (w * (labels - predictions)).mean()
        grads, hats, rest = w * (labels - start), w * (predictions - start), v * (others - start)
        cov = ((grads - grads.mean()) * (hats - hats.mean())).mean()
        lam = float(np.clip(cov / ((1 + n / total) * np.concatenate([hats, rest]).var(ddof=1)), 0, 1))
    rectified = w * (labels - lam * predictions)
    value = float((v * lam * others).mean() + rectified.mean())
    sd = math.sqrt((v * lam * others).var() / total + rectified.var() / n)
    return Estimate(value=value, low=value - z * sd, high=value + z * sd)
