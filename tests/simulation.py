"""Corpora of which the truth is known, drawn from and corrected as users do: how often do the intervals hold it?

python tests/simulation.py 1000 prints the table of docs/STATISTICS.md: three to four minutes on two cores
python tests/simulation.py held writes tests/simulation.csv: how often intervals held the truth in the test's corpora
"""

from __future__ import annotations

import csv
import functools
import os
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hashtag_photos import estimate, sampling
from hashtag_photos.agreement import cross_fitted

SEED = 20261122
#: corpora of each setting that tests/test_simulation.py makes; they are among those of the table
CORPORA = 300
#: how often intervals held the truth in them, when the table was made
HELD = Path(__file__).with_suffix(".csv")


@dataclass(frozen=True)
class Setting:
    n: int  # labels
    shares: tuple[float, ...]
    error: float  # of the classifier
    tail: float = 0.0  # of the cluster sizes, Pareto's, cut at 500; 0: all are 1
    tilt: float = 0.0  # clusters of size s show the first class s ** tilt times as often
    bias: float = 0.0  # the classifier's towards the first class
    pictures: int = 2000
    biggest: int = 500
    sized: bool = True  # the sample knew the sizes
    unseen: float = 0.0  # this share of the first class looks to the classifier just like the last
    sure: bool = False  # the classifier is 98 % sure or more, right or wrong
    worse: float | None = None  # a sure classifier's error on clusters of more than twice the mean
    engaged: float = 0.0  # engagement is a unit too: sizes times a lognormal number with this sigma
    stop: int = 0  # labelled are only so many of the n drawn, in the order shown
    late: float = 0.0  # about so many pictures came after the first draw, which was of n / 3; then n were drawn in all


EVEN, RARE, LOW, MOST, FOUR, HIDDEN = (
    (0.3, 0.5, 0.2),
    (0.01, 0.39, 0.6),
    (0.05, 0.35, 0.6),
    (0.6, 0.3, 0.1),
    (0.02, 0.08, 0.3, 0.6),
    (0.03, 0.3, 0.67),
)

#: where the intervals shall hold what they say
SETTINGS = [
    Setting(100, EVEN, 0.1),
    Setting(100, EVEN, 0.4, bias=0.5),
    Setting(100, MOST, 0.3, bias=-0.5),
    Setting(200, LOW, 0.2, bias=0.5),
    Setting(200, EVEN, 0.15, sure=True),
    Setting(300, MOST, 0.1),
    Setting(400, RARE, 0.1),
    Setting(1000, RARE, 0.4, bias=0.5),
    Setting(100, EVEN, 0.2, tail=1.5),
    Setting(200, EVEN, 0.15, tail=1.5, bias=-0.5),
    Setting(300, LOW, 0.3, tail=1.5, bias=0.5),
    Setting(300, EVEN, 0.02, tail=1.5, sure=True, worse=0.5),
    Setting(500, FOUR, 0.2, tail=1.5),
    Setting(100, MOST, 0.4, tail=1.2, tilt=0.1, bias=0.5),
    Setting(200, EVEN, 0.2, tail=1.2, tilt=0.2, bias=-0.5),
    Setting(300, EVEN, 0.15, tail=1.2, tilt=0.2),
    Setting(300, MOST, 0.1, tail=1.2, tilt=0.2),
    Setting(600, FOUR, 0.3, tail=1.2),
    Setting(1000, EVEN, 0.3, tail=1.2, tilt=0.2),
    Setting(300, EVEN, 0.2, tail=1.5, stop=150),
    Setting(300, EVEN, 0.15, tail=1.5, late=0.15, engaged=1.0),
]
#: where the model is hardly ever wrong, or in one direction alone: they shall hold it at least as often
CAUTIOUS = [
    Setting(200, EVEN, 0.05, tail=1.5),
    Setting(200, EVEN, 0.02, sure=True),
    Setting(300, HIDDEN, 0.0, sure=True, unseen=1.0),
    Setting(500, HIDDEN, 0.0, tail=1.5, sure=True, unseen=1.0, pictures=4000),
    Setting(200, EVEN, 0.02, tail=1.2, sure=True, worse=0.6),
]
#: below 50 labels
FALLBACK = [
    Setting(30, EVEN, 0.2),
    Setting(40, MOST, 0.4, bias=0.5),
    Setting(49, EVEN, 0.2, tail=1.5),
]
#: where they do not, or say less than they could
HARD = {
    "a rare class, few labels": Setting(100, RARE, 0.4),
    "a rare class, few labels, clusters": Setting(100, RARE, 0.3, tail=1.2, tilt=0.2),
    "a class of 3 in 1,000": Setting(100, (0.003, 0.397, 0.6), 0.3),
    "a rare class that the model never finds": Setting(100, (0.015, 0.385, 0.6), 0.1, unseen=1.0),
    "giants": Setting(100, EVEN, 0.2, tail=0.5, biggest=100_000),
    "giants, sample did not know": Setting(100, EVEN, 0.2, tail=0.7, biggest=100_000, sized=False),
    "huge giants, sample did not know": Setting(200, EVEN, 0.2, tail=0.35, biggest=10**7, sized=False),
    "a tiny corpus": Setting(60, EVEN, 0.2, pictures=80),
    "a rare class, hardly an error, clusters": Setting(500, RARE, 0.05, tail=1.5),
    "one-sided, engagement": Setting(500, HIDDEN, 0.0, tail=1.5, sure=True, unseen=1.0, pictures=4000, engaged=2.0),
    "one-sided, tilted to large clusters": Setting(
        150, (0.01, 0.3, 0.69), 0.0, tail=1.2, tilt=0.7, sure=True, unseen=1.0
    ),
    "much worse on large clusters, engagement": Setting(300, EVEN, 0.02, tail=1.5, sure=True, worse=0.5, engaged=2.0),
    "much worse on large clusters, few labels": Setting(120, EVEN, 0.02, tail=1.2, sure=True, worse=0.9),
    "stopped early": Setting(300, EVEN, 0.15, tail=1.5, stop=80),
    "few labels, engagement": Setting(60, EVEN, 0.15, tail=1.5, engaged=2.0),
    "few labels, heavy clusters": Setting(150, EVEN, 0.15, tail=1.2, tilt=0.2),
    "hardly an error in few labels": Setting(100, EVEN, 0.05, tail=1.2, tilt=0.2),
}


@functools.cache
def signal(error: float, classes: int) -> float:
    """How far the true class's score stands above the others', so that another one wins in `error` of the pictures."""
    noise = np.random.default_rng(5).standard_normal((40_000, classes))
    rival = noise[:, 1:].max(axis=1) - noise[:, 0]
    return float(np.quantile(rival, 1 - error))


@functools.cache
def named(pictures: int) -> NDArray[np.str_]:
    return np.array([f"{number:08x}" for number in range(pictures)])


def corpus(rng: np.random.Generator, of: Setting) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """True class (N,), size (N,) and predicted probabilities (N, k), too sure and biased to the first class."""
    count, k = of.pictures, len(of.shares)
    sizes = np.ones(count)
    if of.tail:
        sizes = np.minimum(of.biggest, np.floor((1 - rng.random(count)) ** (-1 / of.tail)))
    shares = np.tile(of.shares, (count, 1))
    shares[:, 0] *= sizes**of.tilt
    shares /= shares.sum(axis=1, keepdims=True)
    truth = (rng.random((count, 1)) > shares.cumsum(axis=1)[:, :-1]).sum(axis=1)
    hidden = (truth == 0) & (rng.random(count) < of.unseen)
    if of.sure:
        errors = of.error if of.worse is None else np.where(sizes > 2 * sizes.mean(), of.worse, of.error)
        wrong = rng.random(count) < errors
        said = np.where(wrong, truth + rng.integers(1, k, count), truth) % k
        said[hidden] = k - 1
        rest = rng.random((count, k))
        rest[np.arange(count), said] = 0
        rest *= (rng.uniform(0.001, 0.02, count) / rest.sum(axis=1))[:, None]
        rest[np.arange(count), said] = 1 - rest.sum(axis=1)
        return truth, sizes, rest
    scores = rng.standard_normal((count, k))
    scores[np.arange(count), truth] += signal(of.error, k)
    scores[:, 0] += of.bias
    scores[hidden, 0] -= signal(of.error, k)
    scores[hidden, -1] += signal(of.error, k)
    odds = np.exp(1.5 * scores)
    return truth, sizes, odds / odds.sum(axis=1, keepdims=True)


def sample(
    rng: np.random.Generator,
    of: Setting,
    truth: NDArray[np.int64],
    sizes: NDArray[np.float64],
    said: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Stratum numbers (N,) and which pictures are labelled (n,), by sampling.py as stages/sample.py draws with it.

    sizes: what it knows of these, the mean over the units; said: probabilities (N, k).
    """
    names = named(len(sizes))
    ordered = np.sort(said, axis=1)
    margins = ordered[:, -1] - ordered[:, -2]
    late = rng.random(len(names)) < of.late * (1 + (truth == 0))
    seed, frame = str(rng.integers(1 << 60)), None
    for part, n in ((~late, of.n // 3), (late | True, of.n)) if of.late else ((~late, of.n),):
        near = max(0.1, float(np.quantile(margins[part], 0.25)))
        strata = sampling.strata(said[part].argmax(axis=1), margins[part], sizes[part], near)
        if frame is not None:
            had = np.searchsorted(names, frame.sha256)
            strata = strata.astype(object)
            strata[had] = frame.stratum
            strata = strata.astype(np.str_)
        effort = sampling.effort(strata, sizes[part])
        frame = sampling.draw(frame, names[part].tolist(), strata, n, seed, effort=effort)
    assert frame is not None
    at = np.searchsorted(names, frame.sha256)
    codes = np.empty(len(names), dtype=np.int64)
    codes[at] = np.unique(frame.stratum, return_inverse=True)[1]
    shown = at[frame.drawn][np.argsort(frame.position[frame.drawn])]
    return codes, shown[: of.stop or of.n]


def alone(
    weights: NDArray[np.float64], chances: NDArray[np.float64], drawn: NDArray[np.int64], labels: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Intervals (k, 2) from the same labels alone: Hajek's share, its linearised variance, Wilson's interval."""
    v = weights[drawn] / chances[drawn]
    left = 1 - len(drawn) / len(weights)
    shares = (v[:, None] * labels).sum(axis=0) / v.sum()
    n = len(drawn)
    variances = ((v[:, None] * (labels - shares)) ** 2).sum(axis=0) / v.sum() ** 2 * n / (n - 1)
    found = []
    for share, variance in zip(shares.clip(0, 1), variances, strict=True):
        size = share * (1 - share) / variance if variance > 0 else estimate.effective_size(v)
        found.append(estimate.wilson(share * size / left, size / left))
    return np.array(found)


@dataclass
class Result:
    """Of one unit in one setting; arrays (corpora, k), or (corpora,)."""

    truth: NDArray[np.float64]
    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    alone: NDArray[np.float64]  # width
    difference: NDArray[np.bool_]  # of the first two classes: the interval holds the truth
    ratio: NDArray[np.bool_]
    more: NDArray[np.float64]  # probability that the first class has more than the second
    refused: NDArray[np.bool_]
    warned: NDArray[np.bool_]

    @property
    def covered(self) -> NDArray[np.float64]:
        """(k,) of those not refused."""
        return ((self.low <= self.truth) & (self.truth <= self.high))[~self.refused].mean(axis=0)

    @property
    def rates(self) -> list[float]:
        """How often the truth was held, in percent: of each class, of the difference and of the ratio."""
        return [round(100 * float(rate), 2) for rate in (*self.covered, self.difference.mean(), self.ratio.mean())]

    @property
    def width(self) -> NDArray[np.float64]:
        return (self.high - self.low)[~self.refused].mean(axis=0)

    @property
    def width_alone(self) -> NDArray[np.float64]:
        return self.alone[~self.refused].mean(axis=0)


def weights_of(rng: np.random.Generator, of: Setting, sizes: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    units = {"pictures": np.ones(len(sizes))}
    if of.tail:
        units["images"] = sizes
    if of.engaged:
        units["engagement"] = np.floor(sizes * rng.lognormal(0, of.engaged, len(sizes)))
    return units


def _some(of: Setting, seed: int, corpora: int) -> dict[str, Result]:
    rng = np.random.default_rng(seed)
    k = len(of.shares)
    results: dict[str, Result] = {}
    for number in range(corpora):
        truth, sizes, probabilities = corpus(rng, of)
        units = weights_of(rng, of, sizes)
        known = list(units.values()) if of.sized else [np.ones(len(sizes))]
        both = np.mean([weights / weights.mean() for weights in known], axis=0)
        strata, drawn = sample(rng, of, truth, both, probabilities)
        chances = (np.bincount(strata[drawn], minlength=strata.max() + 1) / np.bincount(strata))[strata]
        labels = np.eye(k)[truth[drawn]]
        predictions, own = cross_fitted(probabilities, drawn, labels)
        for unit, weights in units.items():
            if unit not in results:
                nothing, flags = np.full((corpora, k), np.nan), np.zeros(corpora, dtype=np.bool_)
                empty = (nothing.copy() for _ in range(5))
                more = np.full(corpora, np.nan)
                results[unit] = Result(*empty, flags.copy(), flags.copy(), more, flags.copy(), flags.copy())
            result = results[unit]
            shares = np.bincount(truth, weights=weights, minlength=k) / weights.sum()
            result.truth[number] = shares
            found = estimate.corrected(
                strata=strata, weights=weights, predictions=predictions, own=own, labelled=drawn, labels=labels
            )
            result.warned[number] = bool(found.warnings)
            if found.refused:
                result.refused[number] = True
                continue
            result.value[number] = [each.value for each in found.shares]
            result.low[number] = [each.low for each in found.shares]
            result.high[number] = [each.high for each in found.shares]
            result.alone[number] = np.diff(alone(weights, chances, drawn, labels), axis=1)[:, 0]
            apart = estimate.difference(found, 0, 1)
            result.difference[number] = apart.low <= shares[0] - shares[1] <= apart.high
            times = estimate.ratio(found, 0, 1)
            result.ratio[number] = times.low <= (shares[0] / shares[1] if shares[1] else np.inf) <= times.high
            result.more[number] = estimate.probability_more(found, 0, 1)
    return results


def simulate(settings: Sequence[Setting], corpora: int) -> list[dict[str, Result]]:
    """Per setting, the results by unit: "pictures", "images" where clusters are larger than 1, "engagement"."""
    parts = 2
    seeds = [SEED + zlib.crc32(repr(of).encode()) for of in settings]
    jobs = [
        (of, seed + part, corpora // parts) for of, seed in zip(settings, seeds, strict=True) for part in range(parts)
    ]
    with ProcessPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as pool:
        done = list(pool.map(_some, *zip(*jobs, strict=True)))
    found = []
    for at in range(len(settings)):
        mine = done[parts * at : parts * at + parts]
        found.append(
            {
                unit: Result(
                    **{f.name: np.concatenate([getattr(part[unit], f.name) for part in mine]) for f in fields(Result)}
                )
                for unit in mine[0]
            }
        )
    return found


def row(name: str, of: Setting, unit: str, result: Result) -> str:
    def each(values: NDArray[np.float64]) -> str:
        return " ".join(f"{100 * value:.1f}" for value in values)

    if (~result.refused).sum() < 50:  # too few for a rate
        refused = f"{result.refused.mean():.0%}"
        truth = each(result.truth.mean(axis=0))
        return f"| {name} | {of.n} | {of.error:.0%} | {unit} | {truth} | | | | | | {refused} | |"
    kept = ~result.refused
    return (
        f"| {name} | {of.n} | {of.error:.0%} | {unit} | {each(result.truth.mean(axis=0))} | {each(result.covered)} | "
        f"{each(result.width / 2)} | {each(result.width_alone / 2)} | {100 * result.difference[kept].mean():.1f} | "
        f"{100 * result.ratio[kept].mean():.1f} | {result.refused.mean():.0%} | {result.warned[kept].mean():.0%} |"
    )


def table(corpora: int) -> Iterator[str]:
    heads = (
        "clusters, labels, error, unit, true shares %, covered %, ± points, alone ±, difference, ratio, refused, warned"
    )
    yield "| " + heads.replace(", ", " | ") + " |"
    yield "|---" * 12 + "|"
    for title, settings in (("", SETTINGS), ("cautious: ", CAUTIOUS), ("below 50: ", FALLBACK)):
        for of, units in zip(settings, simulate(settings, corpora), strict=True):
            clusters = f"tail {of.tail}" + (f", tilt {of.tilt}" if of.tilt else "") if of.tail else "none"
            clusters += "; sure" if of.sure else ""
            clusters += f", {of.worse:.0%} if large" if of.worse is not None else ""
            clusters += ", first class hidden" if of.unseen else ""
            clusters += f"; stopped at {of.stop}" if of.stop else ""
            clusters += "; later pictures" if of.late else ""
            for unit, result in units.items():
                yield row(title + clusters, of, unit, result)
    for (name, of), units in zip(HARD.items(), simulate(list(HARD.values()), 2 * corpora // 5), strict=True):
        for unit, result in units.items():
            yield row(name, of, unit, result)


def held(results: Iterable[tuple[Setting, dict[str, Result]]]) -> Iterator[list[str]]:
    """Lines of HELD: setting, unit, rates."""
    for of, units in results:
        for unit, result in units.items():
            yield [repr(of), unit, *map(str, result.rates)]


if __name__ == "__main__":
    if sys.argv[1:] == ["held"]:
        together = [*SETTINGS, *CAUTIOUS, *FALLBACK]
        with HELD.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(
                held(zip(together, simulate(together, CORPORA), strict=True))
            )
        sys.exit()
    for line in table(int(sys.argv[1]) if len(sys.argv) > 1 else 2000):
        sys.stdout.write(line + "\n")
