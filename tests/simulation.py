"""Corpora of which the truth is known, drawn from and corrected as users do: how often do the intervals hold it?

python tests/simulation.py [CORPORA] prints the table of docs/STATISTICS.md: 2,000 take five minutes on two cores
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from hashtag_photos import estimate, sampling

SEED = 20261122


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


EVEN, RARE, LOW, MOST, FOUR = (
    (0.3, 0.5, 0.2),
    (0.01, 0.39, 0.6),
    (0.05, 0.35, 0.6),
    (0.6, 0.3, 0.1),
    (0.02, 0.08, 0.3, 0.6),
)

#: where the intervals shall hold what they say
SETTINGS = [
    Setting(100, EVEN, 0.1),
    Setting(100, EVEN, 0.4, bias=0.5),
    Setting(100, MOST, 0.3, bias=-0.5),
    Setting(200, EVEN, 0.05),
    Setting(200, LOW, 0.2, bias=0.5),
    Setting(300, MOST, 0.1),
    Setting(400, RARE, 0.1),
    Setting(500, FOUR, 0.2),
    Setting(1000, RARE, 0.4, bias=0.5),
    Setting(100, EVEN, 0.2, tail=1.5),
    Setting(100, EVEN, 0.4, tail=1.5, bias=0.5),
    Setting(200, EVEN, 0.05, tail=1.5),
    Setting(200, EVEN, 0.15, tail=1.5, bias=-0.5),
    Setting(300, LOW, 0.3, tail=1.5, bias=0.5),
    Setting(300, MOST, 0.1, tail=1.5),
    Setting(500, RARE, 0.05, tail=1.5),
    Setting(500, FOUR, 0.2, tail=1.5),
    Setting(1000, RARE, 0.4, tail=1.5),
    Setting(300, EVEN, 0.15, tail=1.2, tilt=0.2),
    Setting(100, MOST, 0.4, tail=1.2, tilt=0.1, bias=0.5),
    Setting(200, EVEN, 0.2, tail=1.2, tilt=0.2, bias=-0.5),
    Setting(300, MOST, 0.1, tail=1.2, tilt=0.2),
    Setting(400, LOW, 0.2, tail=1.2, tilt=0.2, bias=0.5),
    Setting(600, FOUR, 0.3, tail=1.2),
    Setting(1000, LOW, 0.4, tail=1.2, tilt=0.2),
    Setting(1000, EVEN, 0.3, tail=1.2, tilt=0.2),
]
#: below 50 labels
FALLBACK = [
    Setting(30, EVEN, 0.2),
    Setting(49, EVEN, 0.2),
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
    scores = rng.standard_normal((count, k))
    scores[np.arange(count), truth] += signal(of.error, k)
    scores[:, 0] += of.bias
    hidden = (truth == 0) & (rng.random(count) < of.unseen)
    scores[hidden, 0] -= signal(of.error, k)
    scores[hidden, -1] += signal(of.error, k)
    odds = np.exp(1.5 * scores)
    return truth, sizes, odds / odds.sum(axis=1, keepdims=True)


def sample(
    rng: np.random.Generator, sizes: NDArray[np.float64], probabilities: NDArray[np.float64], n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Stratum numbers (N,), which are drawn (n,), and inclusion probabilities (N,), by sampling.py as users draw."""
    names = named(len(sizes))
    ordered = np.sort(probabilities, axis=1)
    both = (1 + sizes / sizes.mean()) / 2
    strata = sampling.strata(probabilities.argmax(axis=1), ordered[:, -1] - ordered[:, -2], both, 0.3)
    effort = sampling.effort(strata, both)
    frame = sampling.draw(None, names.tolist(), strata, n, str(rng.integers(1 << 60)), effort=effort)
    at = np.searchsorted(names, frame.sha256)
    codes, chances = np.empty(len(names), dtype=np.int64), np.empty(len(names))
    codes[at] = np.unique(frame.stratum, return_inverse=True)[1]
    chances[at] = frame.inclusion_probability
    return codes, at[frame.drawn], chances


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
    def width(self) -> NDArray[np.float64]:
        return (self.high - self.low)[~self.refused].mean(axis=0)

    @property
    def width_alone(self) -> NDArray[np.float64]:
        return self.alone[~self.refused].mean(axis=0)


def _some(of: Setting, seed: int, corpora: int) -> list[Result]:
    rng = np.random.default_rng(seed)
    k = len(of.shares)
    results = []
    for _ in range(2):
        nothing = np.full((corpora, k), np.nan)
        flags = np.zeros(corpora, dtype=np.bool_)
        empty = (nothing.copy() for _ in range(5))
        results.append(Result(*empty, flags.copy(), flags.copy(), np.full(corpora, np.nan), flags.copy(), flags.copy()))
    for number in range(corpora):
        truth, sizes, probabilities = corpus(rng, of)
        strata, drawn, chances = sample(rng, sizes if of.sized else np.ones(of.pictures), probabilities, of.n)
        labels = np.eye(k)[truth[drawn]]
        for result, weights in zip(results, (np.ones(len(sizes)), sizes), strict=True):
            shares = np.bincount(truth, weights=weights, minlength=k) / weights.sum()
            result.truth[number] = shares
            found = estimate.corrected(
                strata=strata, weights=weights, predictions=probabilities, labelled=drawn, labels=labels
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
    """Per setting, the results by unit ("pictures", and "images" where clusters are larger than 1)."""
    parts = 2
    every = [*SETTINGS, *FALLBACK, *HARD.values()]
    seeds = [SEED + 10 * (every.index(of) if of in every else len(every) + at) for at, of in enumerate(settings)]
    jobs = [
        (of, seed + part, corpora // parts) for of, seed in zip(settings, seeds, strict=True) for part in range(parts)
    ]
    with ProcessPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as pool:
        done = list(pool.map(_some, *zip(*jobs, strict=True)))
    found = []
    for at, of in enumerate(settings):
        mine = done[parts * at : parts * at + parts]
        units = {"pictures": [part[0] for part in mine]}
        if of.tail:
            units["images"] = [part[1] for part in mine]
        found.append(
            {
                unit: Result(
                    **{f.name: np.concatenate([getattr(part, f.name) for part in some]) for f in fields(Result)}
                )
                for unit, some in units.items()
            }
        )
    return found


def row(name: str, of: Setting, unit: str, result: Result) -> str:
    def each(values: NDArray[np.float64]) -> str:
        return " ".join(f"{100 * value:.1f}" for value in values)

    if result.refused.all():
        return f"| {name} | {of.n} | {of.error:.0%} | {unit} | {each(result.truth.mean(axis=0))} | | | | | | 100% | |"
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
    for title, settings in (("", SETTINGS), ("below 50: ", FALLBACK)):
        for of, units in zip(settings, simulate(settings, corpora), strict=True):
            clusters = f"tail {of.tail}" + (f", tilt {of.tilt}" if of.tilt else "") if of.tail else "none"
            for unit, result in units.items():
                yield row(title + clusters, of, unit, result)
    for (name, of), units in zip(HARD.items(), simulate(list(HARD.values()), corpora), strict=True):
        for unit, result in units.items():
            yield row(name, of, unit, result)


if __name__ == "__main__":
    for line in table(int(sys.argv[1]) if len(sys.argv) > 1 else 2000):
        sys.stdout.write(line + "\n")
