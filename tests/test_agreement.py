import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashtag_photos.agreement import (
    ac1,
    ac1_error,
    alpha,
    calibration,
    confusion,
    cross_fitted,
    kappa,
    kappa_error,
    temperature,
    tempered,
)
from hashtag_photos.estimate import wilson

#: Krippendorff 2011, "Computing Krippendorff's alpha-reliability", section C; the same data as irrCAC's raw_4raters:
#: 12 units, coders A to D, 0 = none
PUBLISHED = (
    np.array(
        [
            [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
            [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
            [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
            [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
        ]
    ).T
    - 1
)


def table(counts: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Two coders' answers that fall as in a table."""
    pairs = [(i, j) for i, row in enumerate(counts) for j, count in enumerate(row) for _ in range(count)]
    a, b = np.array(pairs).T
    return a, b


def test_kappa_published_example() -> None:
    # Fleiss, Cohen and Everitt 1969, doi:10.1037/h0028106, table 1 (in 200 people): kappa = .429, variance = .002885
    # (see also Fleiss, Levin and Paik 2003, Statistical Methods for Rates and Proportions, section 18.1)
    a, b = table([[106, 10, 4], [22, 28, 10], [2, 12, 6]])
    found = kappa(a, b)
    assert found is not None
    assert found.value == pytest.approx(0.429, abs=5e-4)
    error = kappa_error(a, b)
    assert error is not None
    assert error**2 == pytest.approx(0.002885, abs=5e-7)
    assert found.low <= found.value - 1.96 * error < found.value + 1.95 * error <= found.high


def test_kappa_of_two_by_two() -> None:
    # (0.7 - 0.5) / (1 - 0.5), the example in en.wikipedia.org/wiki/Cohen's_kappa
    found = kappa(*table([[20, 5], [10, 15]]))
    assert found is not None
    assert found.value == pytest.approx(0.4)


def test_alpha_published_example() -> None:
    found = alpha(PUBLISHED)
    assert found is not None
    assert found.value == pytest.approx(0.743421, abs=1e-6)
    assert found.low < 0.5 < 0.95 < found.high <= 1


def test_ac1_published_example() -> None:
    # irrCAC's gwet.ac1.raw of raw_4raters: 0.77544, standard error 0.14295
    found = ac1(PUBLISHED)
    assert found is not None
    assert found.value == pytest.approx(0.775444068, abs=1e-6)
    assert ac1_error(PUBLISHED) == pytest.approx(0.142949951, abs=1e-6)
    assert found.low <= found.value - 1.959964 * 0.142949


REFERENCE = json.loads((Path(__file__).parent / "agreement_reference.json").read_text())


@pytest.mark.parametrize("case", REFERENCE, ids=lambda case: f"{len(case['ratings'])}x{len(case['ratings'][0])}")
def test_alpha_and_ac1_are_those_of_krippendorff_and_irrcac(case) -> None:
    """Random ratings with gaps; golden numbers of the packages krippendorff 0.9.0 and irrCAC 0.4.4."""
    ratings = np.array(case["ratings"])
    a, g = alpha(ratings), ac1(ratings)
    assert a is not None
    assert g is not None
    assert a.value == pytest.approx(case["alpha"], abs=1e-6)
    assert g.value == pytest.approx(case["ac1"], abs=1e-6)
    assert ac1_error(ratings) == pytest.approx(case["se"], abs=1e-6)


def test_what_nobody_said_twice_has_no_agreement() -> None:
    assert kappa(np.array([0, -1]), np.array([-1, 1])) is None
    assert alpha(np.array([[0, -1], [-1, 1]])) is None
    assert ac1(np.array([[0, -1], [-1, 1]])) is None
    assert alpha(np.zeros((0, 2), dtype=int)) is None


def test_one_class_alone_is_no_agreement_beyond_chance_but_for_ac1() -> None:
    same = np.zeros((10, 2), dtype=int)
    assert kappa(same[:, 0], same[:, 1]) is None
    assert alpha(same) is None
    found = ac1(same, classes=3)
    assert found is not None
    assert found.value == 1


@pytest.mark.parametrize("n", [2, 5, 10, 50])
def test_perfect_agreement_in_few_units_proves_little(n: int) -> None:
    """As far as Wilson's interval of n out of n leaves open, chance agreement as it is (1/2 here)."""
    a = np.arange(n) % 2
    chance = (n // 2 / n) ** 2 + (1 - n // 2 / n) ** 2
    least = (wilson(n, n)[0] - chance) / (1 - chance)
    for found in (kappa(a, a), alpha(np.stack([a, a], axis=1)), ac1(np.stack([a, a], axis=1))):
        assert found is not None
        assert (found.value, found.high) == (1, 1)
        assert found.low == pytest.approx(least, abs=0.8 / n)


def test_no_agreement_beyond_chance_in_few_units_is_not_known_exactly() -> None:
    found = kappa(np.array([0, 1, 0, 1, 1]), np.zeros(5, dtype=int))
    assert found is not None
    assert found.value == pytest.approx(0)
    assert found.low < -0.3 < 0.3 < found.high


@pytest.mark.parametrize(("n", "rate"), [(10, 0.8), (10, 0.9), (20, 0.95), (50, 0.95)])
def test_intervals_of_few_units_hold_the_truth(n: int, rate: float) -> None:
    """Two coders say the same in `rate` of the units and else what chance says: kappa and alpha are `rate`."""
    rng = np.random.default_rng(n)
    held = {"kappa": [], "alpha": []}
    for _ in range(300):
        a = rng.choice(3, n, p=[0.5, 0.3, 0.2])
        b = np.where(rng.random(n) < rate, a, rng.choice(3, n, p=[0.5, 0.3, 0.2]))
        for name, found in (("kappa", kappa(a, b)), ("alpha", alpha(np.stack([a, b], axis=1)))):
            if found is not None:
                held[name].append(found.low <= rate <= found.high)
    assert min(np.mean(each) for each in held.values()) >= 0.935


def test_gaps_are_left_out_by_kappa() -> None:
    a, b = table([[20, 5], [10, 15]])
    assert kappa(np.append(a, [0, -1]), np.append(b, [-1, 1])) == kappa(a, b)


def test_the_interval_of_alpha_is_the_same_each_time_and_narrows() -> None:
    assert alpha(PUBLISHED) == alpha(PUBLISHED)
    few, many = alpha(PUBLISHED), alpha(np.tile(PUBLISHED, (20, 1)))
    assert few is not None
    assert many is not None
    assert many.high - many.low < 0.5 * (few.high - few.low)


def test_confusion_counts_and_weighs() -> None:
    truth, predicted = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    found = confusion(truth, predicted, np.array([1.0, 1.0, 2.0, 4.0]), 3)
    assert found.counts.tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert found.shares[:2, :2].ravel() == pytest.approx([0.25, 0.25, 0, 0.5])
    recall = found.recall[0]
    assert recall is not None
    assert recall.value == pytest.approx(0.5)
    size = 16 / 6  # Kish, of the weights 1, 1, 2
    assert (recall.low, recall.high) == pytest.approx(wilson(size / 2, size))
    precision = found.precision[1]
    assert precision is not None
    assert precision.value == pytest.approx(4 / 6)
    assert found.recall[2] is None
    assert found.precision[2] is None


def test_calibration_by_hand() -> None:
    probabilities = np.array([[0.95, 0.05], [0.91, 0.09], [0.3, 0.7], [1.0, 0.0]])
    found = calibration(probabilities, np.array([0, 1, 1, 0]), np.array([1.0, 1.0, 2.0, 1.0]))
    assert [(b.low, b.high, b.n) for b in found.bins] == [(0.7, 0.8, 1), (0.9, 1.0, 3)]
    assert found.bins[1].right.value == pytest.approx(2 / 3)
    assert found.bins[1].probability == pytest.approx(2.86 / 3)
    assert found.error == pytest.approx(2 / 5 * 0.3 + 3 / 5 * (2.86 - 2) / 3)


@pytest.mark.parametrize("true", [0.3, 1.0, 2.5])
def test_temperature_is_found_again(true: float) -> None:
    rng = np.random.default_rng(0)
    right = rng.dirichlet([1, 1, 1], 20_000)
    truth = (rng.random((len(right), 1)) > right.cumsum(axis=1)[:, :-1]).sum(axis=1)
    said = tempered(right, 1 / true)
    assert tempered(said, true) == pytest.approx(right, abs=1e-6)
    assert temperature(said, np.eye(3)[truth]) == pytest.approx(true, rel=0.03)


@pytest.mark.parametrize("n", [1, 60, 1000])
@pytest.mark.parametrize("sure", [0.6, 0.98])
def test_a_model_that_was_never_wrong_has_a_temperature_that_is_no_edge(n: int, sure: float) -> None:
    """More labels without an error make it surer, step by step, and ever more slowly."""
    said = np.tile([sure, 1 - sure], (n, 1))
    found, more = (temperature(np.tile(said, (m, 1)), np.tile([1.0, 0.0], (m * n, 1))) for m in (1, 2))
    assert 0.5 * found < more < found < 1
    weighted = temperature(said, np.tile([1.0, 0.0], (n, 1)), np.full(n, 40.0))
    assert weighted == pytest.approx(found)


def test_a_model_that_was_always_wrong_has_a_temperature() -> None:
    found = temperature(np.tile([0.99, 0.01], (30, 1)), np.tile([0.0, 1.0], (30, 1)))
    assert 1 < found < 200


def test_temperature_is_where_the_loss_is_least() -> None:
    rng = np.random.default_rng(2)
    said = rng.dirichlet([0.3, 0.3, 0.3], 40)
    labels = np.eye(3)[rng.integers(0, 3, 40)]

    def loss(t: float) -> float:
        return 1 / t + np.log(t) - float((labels * np.log(tempered(said, t))).sum())

    found = temperature(said, labels)
    assert loss(found) < min(loss(found * 1.01), loss(found / 1.01))


def test_temperature_of_no_labels_changes_nothing() -> None:
    assert temperature(np.zeros((0, 3)), np.zeros((0, 3))) == 1


@given(st.integers(0, 39), st.integers(0, 2))
def test_a_label_does_not_touch_what_it_is_compared_with(at: int, other: int) -> None:
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet([1, 1, 1], 100)
    labelled = rng.choice(100, 40, replace=False)
    labels = np.eye(3)[(rng.random((40, 1)) > probabilities[labelled].cumsum(axis=1)[:, :-1]).sum(axis=1)]
    _, own = cross_fitted(probabilities, labelled, labels)
    changed = labels.copy()
    changed[at] = np.eye(3)[other]
    everyone, theirs = cross_fitted(probabilities, labelled, changed)
    assert theirs[at].tolist() == own[at].tolist()
    if labels[at, other] == 0:
        assert (theirs != own).any(axis=1).sum() > 20  # others are
    assert everyone.sum(axis=1) == pytest.approx(1)
