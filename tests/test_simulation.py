"""That the intervals hold what they say, in corpora of which the truth is known; docs/STATISTICS.md has the table."""

import functools

import numpy as np
import pytest
import simulation
from simulation import CAUTIOUS, FALLBACK, HARD, SETTINGS, Result, Setting

from hashtag_photos import estimate
from hashtag_photos.agreement import cross_fitted

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
#: of each setting; the table has 1,000. A setting that covers four points too little is found here, one point in all is
CORPORA = 300
#: what the mean of all rates may be off by: its standard error is 0.3 points
CHANCE_OF_ALL = 0.006


def chance(rate: float, corpora: int) -> float:
    """Three standard errors of a rate: some 180 are looked at."""
    return 3 * float(np.sqrt(rate * (1 - rate) / corpora))


def rates(result: Result) -> dict[str, float]:
    shares = {f"class {c}": rate for c, rate in enumerate(result.covered)}
    return {**shares, "difference": result.difference.mean(), "ratio": result.ratio.mean()}


def problems(of: Setting, unit: str, result: Result, low: float = 0.935, high: float = 0.97) -> list[str]:
    found = []
    corpora = len(result.refused)
    for what, rate in rates(result).items():
        if not low - chance(low, corpora) <= rate <= high + chance(high, corpora):
            found.append(f"{of} {unit} {what}: covered {rate:.1%}")
    if result.width.mean() > result.width_alone.mean():
        found.append(f"{of} {unit}: {result.width} is wider than {result.width_alone}")
    if unit == "pictures" and result.warned.mean() > (0.1 if min(of.shares) < 0.02 else 0.01):
        found.append(f"{of} {unit}: {result.warned.mean():.1%} warned")
    if result.refused.mean() > 0.01:
        found.append(f"{of} {unit}: {result.refused.mean():.1%} refused")
    return found


def test_intervals_hold_what_they_say() -> None:
    """In each setting about as often as they say, and over all settings, of which chance says little, just so often."""
    found, all_rates = [], []
    for of, units in zip(SETTINGS, simulation.simulate(SETTINGS, CORPORA), strict=True):
        for unit, result in units.items():
            found += problems(of, unit, result)
            all_rates += rates(result).values()
    assert not found, "\n".join(found)
    assert 0.95 - CHANCE_OF_ALL <= np.mean(all_rates) <= 0.96 + CHANCE_OF_ALL


def test_where_the_model_hardly_errs_or_in_one_direction_they_hold_at_least_that() -> None:
    found = []
    for of, units in zip(CAUTIOUS, simulation.simulate(CAUTIOUS, CORPORA), strict=True):
        for unit, result in units.items():
            found += problems(of, unit, result, high=1)
    assert not found, "\n".join(found)


def test_fewer_than_fifty_labels_hold_roughly_and_say_so() -> None:
    found = []
    for of, units in zip(FALLBACK, simulation.simulate(FALLBACK, CORPORA), strict=True):
        for unit, result in units.items():
            assert result.warned[~result.refused].all()
            found += [line for line in problems(of, unit, result, 0.9, 0.99) if "covered" in line]
    assert not found, "\n".join(found)


@functools.cache
def hard(name: str) -> dict[str, Result]:
    return simulation.simulate([HARD[name]], 100)[0]


@pytest.mark.parametrize("name", ["a class of 3 in 1,000", "a rare class that the model never finds"])
def test_a_class_hardly_seen_is_warned_of(name: str) -> None:
    assert hard(name)["pictures"].warned.mean() > 0.5


def test_where_giants_hold_most_nothing_is_published_without_a_word() -> None:
    result = hard("huge giants, sample did not know")["images"]
    assert (result.refused | result.warned).mean() > 0.95
    assert not hard("huge giants, sample did not know")["pictures"].refused.any()


def test_a_class_whose_labels_a_few_giants_outweigh_is_warned_of() -> None:
    units = hard("one-sided, engagement")
    assert units["engagement"].warned.mean() > 0.4 > 0.05 > units["pictures"].warned.mean()


def test_the_probability_of_more_is_what_it_says() -> None:
    """Of the corpora in which it says about 70 %, the first class has more in about 70 %, and so on, if neither is
    likelier beforehand: the corpora's shares lie evenly about a tie, farther than labels can leave open.
    """
    about = np.linspace(-0.15, 0.15, 25)
    near = [Setting(100, (0.42 + d, 0.42 - d, 0.16), 0.3, tail=1.5, pictures=1000) for d in about]
    results = [result for units in simulation.simulate(near, 120) for result in units.values()]
    said = np.concatenate([result.more for result in results])
    true = np.concatenate([result.truth[:, 0] > result.truth[:, 1] for result in results])
    for low in np.arange(0.05, 0.95, 0.15):
        among = (said >= low) & (said < low + 0.15)
        assert true[among].mean() == pytest.approx(said[among].mean(), abs=0.06)


def decided(
    cell: np.ndarray, labelled: np.ndarray, labels: np.ndarray, by: np.ndarray, score: np.ndarray
) -> np.ndarray:
    """The class of all pictures: in each cell the one that most of the labels `by` have there."""
    votes = np.zeros((cell.max() + 1, 2))
    np.add.at(votes, cell[labelled[by]], labels[by])
    return np.eye(2)[np.where(votes.sum(axis=1)[cell] > 0, votes[cell].argmax(axis=1), score > 0.5)]


def test_labels_that_set_a_threshold_are_not_used_twice() -> None:
    """A threshold in each of 40 cells, set by labels: compared with the same labels it undercovers, by folds not."""
    rng = np.random.default_rng(7)
    n, count, cells = 100, 2000, 40
    held = {"twice": 0, "folds": 0, "temperature": 0}
    for _ in range(1000):
        truth = (rng.random(count) < 0.35).astype(int)
        score = 1 / (1 + np.exp(-(truth - 0.5 + rng.standard_normal(count))))
        probabilities = np.stack([1 - score, score], axis=1)
        labelled = rng.choice(count, n, replace=False)
        labels = np.eye(2)[truth[labelled]]
        cell = rng.integers(0, cells, count)

        fold = np.arange(n) % 5
        each = [decided(cell, labelled, labels, fold != number, score) for number in range(5)]
        own = np.stack([each[fold[at]][labelled[at]] for at in range(n)])
        ways = {
            "twice": (decided(cell, labelled, labels, fold >= 0, score), None),
            "folds": (np.mean(each, axis=0), own),
            "temperature": cross_fitted(probabilities, labelled, labels),
        }
        for name, (predictions, theirs) in ways.items():
            found = estimate.corrected(
                strata=np.zeros(count, dtype=int),
                weights=np.ones(count),
                predictions=predictions,
                labelled=labelled,
                labels=labels,
                own=theirs,
            )
            held[name] += found.shares[1].low <= truth.mean() <= found.shares[1].high
    assert held["twice"] < 900
    assert 935 <= held["folds"] <= 970
    assert 935 <= held["temperature"] <= 970
