import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from hashtag_photos.estimate import (
    Corrected,
    Estimate,
    bounds,
    corrected,
    difference,
    difference_between,
    effective_size,
    ppi_mean,
    probability_more,
    ratio,
    ratio_between,
    wilson,
)


@given(st.integers(1, 5_000_000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_wilson_is_scipys(case: tuple[int, int]) -> None:
    count, total = case
    expected = binomtest(count, total).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson(count, total) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_wilson_published_example() -> None:
    # Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E, table I, method 3: 81 of 263
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_nothing_of_nothing_says_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


def test_wilson_takes_effective_sizes() -> None:
    assert wilson(12.5, 50.5) == pytest.approx((0.1496, 0.3811), abs=1e-3)


@pytest.mark.parametrize(("count", "total"), [(-1, 5), (6, 5)])
def test_impossible_counts_are_refused(count: int, total: int) -> None:
    with pytest.raises(ValueError, match="from 0 to total"):
        wilson(count, total)


# what a finite corpus shows


def drawn(seed: int, *, n: int = 200, total: int = 2000, error: float = 0.2, heavy: bool = False) -> dict[str, Any]:
    """The arguments of `corrected`, and the truth, of a corpus in 4 strata."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, total, p=[0.3, 0.5, 0.2])
    predicted = np.where(rng.random(total) < error, rng.integers(0, 3, total), truth)
    predictions = 0.7 * np.eye(3)[predicted] + 0.1
    strata = np.where(rng.random(total) < 0.2, 3, predicted)
    weights = np.floor((1 - rng.random(total)) ** -0.7) if heavy else np.ones(total)
    labelled = np.sort(rng.choice(total, n, replace=False))
    return {
        "truth": truth,
        "given": {
            "strata": strata,
            "weights": weights,
            "predictions": predictions,
            "labelled": labelled,
            "labels": np.eye(3)[truth[labelled]],
        },
    }


def values(of: Corrected) -> list[float]:
    return [share.value for share in of.shares]


@pytest.mark.parametrize("heavy", [False, True])
def test_shares_add_up_and_lie_in_their_intervals(heavy: bool) -> None:
    found = corrected(**drawn(1, heavy=heavy)["given"])
    assert found.refused is None
    assert (found.n, found.method, found.warnings) == (200, "ppi", ())
    assert sum(values(found)) == pytest.approx(1)
    assert all(0 <= share.low < share.value < share.high <= 1 for share in found.shares)


@pytest.mark.parametrize("heavy", [False, True])
def test_labels_of_all_are_the_truth_without_doubt(heavy: bool) -> None:
    case = drawn(2, n=2000, heavy=heavy)
    found = corrected(**case["given"])
    weights = case["given"]["weights"]
    truth = np.bincount(case["truth"], weights=weights) / weights.sum()
    for share, true in zip(found.shares, truth, strict=True):
        assert (share.low, share.value, share.high) == pytest.approx((true,) * 3, abs=1e-9)


def test_a_stratum_labelled_more_often_weighs_no_more() -> None:
    """Half of one stratum and a twentieth of another are labelled; each stands for all of its own."""
    strata = np.repeat([0, 1], 1000)
    labelled = np.concatenate([np.arange(500), np.arange(1000, 1050)])
    labels = np.eye(2)[np.repeat([0, 1], [500, 50])]
    found = corrected(
        strata=strata, weights=np.ones(2000), predictions=np.full((2000, 2), 0.5), labelled=labelled, labels=labels
    )
    assert values(found) == pytest.approx([0.5, 0.5])


def test_predictions_that_say_something_make_intervals_narrower() -> None:
    given = drawn(3, error=0.1)["given"] | {"strata": np.zeros(2000, dtype=int)}
    good = corrected(**given)
    none = corrected(**given | {"predictions": np.full((2000, 3), 1 / 3)})
    for with_them, without in zip(good.shares, none.shares, strict=True):
        assert with_them.high - with_them.low < 0.7 * (without.high - without.low)


def test_predictions_that_say_nothing_do_no_harm() -> None:
    given = drawn(4)["given"] | {"strata": np.zeros(2000, dtype=int)}
    noise = corrected(**given | {"predictions": np.random.default_rng(0).dirichlet([1, 1, 1], 2000)})
    none = corrected(**given | {"predictions": np.full((2000, 3), 1 / 3)})
    for with_them, without in zip(noise.shares, none.shares, strict=True):
        assert with_them.high - with_them.low < 1.05 * (without.high - without.low)


def test_what_is_left_open_widens_both_ends_alone() -> None:
    given = drawn(5)["given"]
    sure = corrected(**given)
    low, high = given["labels"].copy(), given["labels"].copy()
    low[:20], high[:20] = 0, 1
    unsure = corrected(**given, low=low, high=high)
    for a, b in zip(sure.shares, unsure.shares, strict=True):
        assert a.value == b.value
        assert b.low < a.low
        assert b.high > a.high
    assert difference(unsure, 0, 1).high > difference(sure, 0, 1).high


def test_a_class_without_an_error_still_has_an_interval() -> None:
    """Labels that agree with the model in every case are no proof that it never errs."""
    given = drawn(6, n=60, error=0.0)["given"]
    for share in corrected(**given).shares:
        assert share.high - share.low > 0.01


@pytest.mark.parametrize("n", [60, 100, 300])
def test_a_sure_model_that_was_never_wrong_may_be_wrong_of_others(n: int) -> None:
    """By the rule of three, up to 3 in n of them: intervals reach about that far."""
    truth = np.arange(3000) % 2
    labelled = np.arange(n)
    found = corrected(
        strata=truth,
        weights=np.ones(3000),
        predictions=np.eye(2)[truth],
        labelled=labelled,
        labels=np.eye(2)[truth[labelled]],
    )
    reach = found.shares[0].high - found.shares[0].value
    assert found.shares[0].value == pytest.approx(0.5, abs=1e-9)
    assert reach == pytest.approx(3 / n, rel=0.2)


def test_fewer_than_fifty_labels_leave_the_scores_out() -> None:
    given = drawn(7, n=40)["given"]
    found = corrected(**given)
    assert found.method == "post-stratified"
    assert found.warnings[0].startswith("40 labels are few")
    other = given | {"predictions": given["predictions"] * np.array([1.0, 0.9, 0.8])}
    assert values(corrected(**other)) == pytest.approx(values(found))


@pytest.mark.parametrize("n", [0, 5, 19])
def test_too_few_labels_are_refused(n: int) -> None:
    found = corrected(**drawn(8, n=n)["given"])
    assert found.shares == ()
    assert f"label {20 - n} more" in str(found.refused)
    with pytest.raises(ValueError, match="no shares to compare"):
        difference(found, 0, 1)


def test_strata_that_nobody_looked_into_are_warned_of_then_refused() -> None:
    given = drawn(9)["given"]
    for size, word in ((100, "warned"), (400, "refused")):
        strata = given["strata"].copy()
        strata[np.setdiff1d(np.arange(2000), given["labelled"])[:size]] = 9
        found = corrected(**given | {"strata": strata})
        said = found.refused if word == "refused" else " ".join(found.warnings)
        assert "no picture is labelled" in str(said)


def test_strata_that_nobody_looked_into_may_be_anything() -> None:
    given = drawn(9)["given"]
    strata = given["strata"].copy()
    strata[np.setdiff1d(np.arange(2000), given["labelled"])[:100]] = 9  # of 2,000
    for with_them, without in zip(
        corrected(**given | {"strata": strata}).shares, corrected(**given).shares, strict=True
    ):
        assert with_them.low <= 0.95 * without.low + 0.005
        assert with_them.high >= 0.95 * without.high + 0.05 - 0.005


def test_a_class_whose_labels_are_of_a_few_giants_is_warned_of_by_name() -> None:
    given = drawn(12)["given"]
    labels = given["labels"].copy()
    rare = np.flatnonzero(labels[:, 2])[:10]
    labels[:, 2], labels[:, 1] = 0, labels[:, 1] + labels[:, 2]
    labels[rare] = [0, 0, 1]
    given |= {"labels": labels}
    weights = np.ones(2000)
    weights[given["labelled"][rare[0]]] = 200
    assert corrected(**given).warnings == ()
    (said,) = corrected(**given | {"weights": weights}, classes=["cat", "dog", "newt"]).warnings
    assert said.startswith("'newt' was seen 10 times among 200 labels, but a few of these hold most")


def one_way(seen: int, n: int = 300) -> Corrected:
    """A sure model that hides some of the first class in the third: `seen` of n labels show it."""
    said = np.repeat([0, 1, 2], [0, 900, 2100])[np.random.default_rng(1).permutation(3000)]
    labelled = np.arange(n)
    labels = np.eye(3)[said[labelled]]
    wrong = np.flatnonzero(said[labelled] == 2)[:seen]
    labels[wrong] = [1, 0, 0]
    return corrected(strata=said, weights=np.ones(3000), predictions=np.eye(3)[said], labelled=labelled, labels=labels)


@pytest.mark.parametrize("seen", [3, 6, 12])
def test_errors_in_one_direction_leave_more_open_on_that_side(seen: int) -> None:
    """Whether 3 were seen or 9, both are likely enough if 6 were to be expected: Poisson's interval is lopsided."""
    found = one_way(seen)
    hidden, _, host = found.shares
    assert hidden.high - hidden.value > 1.2 * (hidden.value - hidden.low)
    assert host.value - host.low > 1.1 * (host.high - host.value)
    expected = (seen + 1.92 + 1.96 * math.sqrt(seen + 0.96)) / 300  # Wilson's upper end for a rare share
    assert host.low == pytest.approx(0.7 - expected, abs=0.012)


def test_giants_are_warned_of_then_refused() -> None:
    given = drawn(10)["given"]
    outside = int(np.setdiff1d(np.arange(2000), given["labelled"])[0])
    for giant, word in ((500.0, "warned"), (5000.0, "refused")):
        weights = np.ones(2000)
        weights[outside] = giant
        found = corrected(**given | {"weights": weights})
        if word == "refused":
            assert "a few pictures hold most of the weight" in str(found.refused)
        else:
            assert "one picture without a label holds 20% of all" in found.warnings[0]
    # labelled, it is known and does no harm
    weights = np.ones(2000)
    weights[given["labelled"][0]] = 500
    assert corrected(**given | {"weights": weights}).warnings == ()


def test_a_unit_in_which_nothing_weighs_is_refused() -> None:
    assert "no picture has any weight" in str(corrected(**drawn(1)["given"] | {"weights": np.zeros(2000)}).refused)


def test_a_class_hardly_seen_is_warned_of_by_name() -> None:
    given = drawn(11)["given"]
    labels = given["labels"].copy()
    labels[:, 1] += labels[:, 2]
    labels[:, 2] = 0
    found = corrected(**given | {"labels": labels}, classes=["cat", "dog", "newt"])
    assert len(found.warnings) == 1
    assert found.warnings[0].startswith("'newt' was seen 0 times among 200 labels")


def test_many_labels_of_an_endless_population_are_ppi_mean() -> None:
    """One stratum, 100 times as many pictures as labels: the point estimate of PPI++ with the same lam."""
    rng = np.random.default_rng(12)
    y = (rng.random(100_000) < 0.3).astype(float)
    f = np.clip(0.5 * y + 0.5 * rng.random(100_000), 0, 1)
    labelled = np.arange(1000)
    found = corrected(
        strata=np.zeros(len(y), dtype=int),
        weights=np.ones(len(y)),
        predictions=np.stack([f, 1 - f], axis=1),
        labelled=labelled,
        labels=np.stack([y, 1 - y], axis=1)[labelled],
    )
    theirs = ppi_mean(y[:1000], f[:1000], f[1000:])
    assert found.shares[0].value == pytest.approx(theirs.value, abs=5e-4)
    assert found.shares[0].high - found.shares[0].low == pytest.approx(theirs.high - theirs.low, rel=0.03)


PPI = json.loads((Path(__file__).parent / "ppi_reference.json").read_text())["cases"]


@pytest.mark.parametrize("case", PPI, ids=lambda case: f"{len(case['labels'])}-{case['weights'] is not None}")
def test_ppi_mean_is_ppi_pythons(case: dict[str, Any]) -> None:
    """Made by scripts/make_ppi_reference.py."""
    names = ("labels", "predictions", "others", "weights", "weights_of_others")
    given = {name: None if case[name] is None else np.array(case[name]) for name in names}
    for lam, value, low, high in case["results"]:
        found = ppi_mean(**given, lam=lam)
        assert (found.value, found.low, found.high) == pytest.approx((value, low, high), abs=1e-6)


# two classes compared


def of(*shares: tuple[float, float, float], rho: float = 0.0) -> Corrected:
    """Corrected shares (value, low, high) whose errors have the correlation rho."""
    k = len(shares)
    return Corrected(
        shares=tuple(Estimate(value=v, low=low, high=high) for v, low, high in shares),
        n=100,
        method="ppi",
        refused=None,
        warnings=(),
        correlation=np.full((k, k), rho) + (1 - rho) * np.eye(k),
    )


def test_difference_published_example() -> None:
    # Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I, table II (a), method 10:
    # 56/70 - 48/80, interval 0.0524 to 0.3339
    a, b = wilson(56, 70), wilson(48, 80)
    found = difference(of((56 / 70, *a), (48 / 80, *b)), 0, 1)
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


@pytest.mark.parametrize(
    ("one", "other", "ends"),
    [
        ((56, 70), (48, 80), (0.0524, 0.3339)),
        ((9, 10), (3, 10), (0.1705, 0.8090)),
        ((6, 7), (2, 7), (0.0582, 0.8062)),
        ((5, 56), (0, 29), (-0.0381, 0.1926)),
        ((0, 10), (0, 20), (-0.1611, 0.2775)),
        ((0, 10), (0, 10), (-0.2775, 0.2775)),
        ((10, 10), (0, 20), (0.6791, 1.0)),
        ((10, 10), (0, 10), (0.6075, 1.0)),
    ],
)
def test_difference_of_independent_shares_is_newcombes(
    one: tuple[int, int], other: tuple[int, int], ends: tuple[float, float]
) -> None:
    # all eight examples of Newcombe 1998, as above, table II, method 10
    shares = [Estimate(value=k / n, low=wilson(k, n)[0], high=wilson(k, n)[1]) for k, n in (one, other)]
    found = difference_between(*shares)
    assert (found.low, found.high) == pytest.approx(ends, abs=5e-5)
    turned = difference_between(*reversed(shares))
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))


def test_independent_differences_hold_the_truth() -> None:
    dice = np.random.default_rng(7)
    for p, q, n, m in ((0.3, 0.3, 60, 200), (0.05, 0.2, 80, 80), (0.9, 0.6, 40, 400)):
        held = 0
        for k, j in zip(dice.binomial(n, p, 2_000).tolist(), dice.binomial(m, q, 2_000).tolist(), strict=True):
            one, other = (
                Estimate(value=count / of, low=wilson(count, of)[0], high=wilson(count, of)[1])
                for count, of in ((k, n), (j, m))
            )
            apart = difference_between(one, other)
            held += apart.low <= p - q <= apart.high
        assert 0.935 <= held / 2_000 <= 0.975


def test_correlated_errors_cancel_out_in_a_difference() -> None:
    one, other = Estimate(value=0.6, low=0.5, high=0.7), Estimate(value=0.4, low=0.3, high=0.5)
    widths = [
        found.high - found.low for rho in (-1.0, 0.0, 0.5, 1.0) for found in [difference_between(one, other, rho)]
    ]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] == pytest.approx(0.0, abs=1e-7)
    assert ratio_between(one, other, 0.5).high < ratio_between(one, other).high


def test_two_classes_that_share_all_differ_twice_as_widely() -> None:
    found = difference(of((0.6, 0.5, 0.7), (0.4, 0.3, 0.5), rho=-1.0), 0, 1)
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0, 0.4))
    assert probability_more(of((0.6, 0.5, 0.7), (0.4, 0.3, 0.5), rho=-1.0), 0, 1) == pytest.approx(0.975)


def test_ratio_turned_round_is_its_inverse() -> None:
    shares = of((0.4, 0.3, 0.5), (0.2, 0.15, 0.26), rho=-0.4)
    one, other = ratio(shares, 0, 1), ratio(shares, 1, 0)
    assert one.value == pytest.approx(2)
    assert (1 / other.high, 1 / other.low) == pytest.approx((one.low, one.high))
    assert one.low < 2 < one.high


def test_ratio_to_nothing_is_endless_and_says_so() -> None:
    found = ratio(of((0.4, 0.3, 0.5), (0.0, 0.0, 0.1)), 0, 1)
    assert (found.value, found.high) == (math.inf, math.inf)
    assert found.low == pytest.approx(3)


def test_probability_more_of_the_same_is_even_and_of_the_other_the_rest() -> None:
    assert probability_more(of((0.4, 0.3, 0.5), (0.4, 0.3, 0.5)), 0, 1) == 0.5
    shares = of((0.5, 0.42, 0.57), (0.4, 0.33, 0.48))
    assert probability_more(shares, 0, 1) + probability_more(shares, 1, 0) == pytest.approx(1)


def test_effective_size() -> None:
    assert effective_size(np.ones(7)) == pytest.approx(7)
    assert effective_size(np.array([1000.0, 1, 1])) == pytest.approx(1.004, abs=1e-3)
    assert effective_size(np.array([])) == 0


def test_bounds_are_what_missing_ones_can_do() -> None:
    assert bounds(0.3, 0.5, 90, 10) == pytest.approx((0.27, 0.55))
    assert bounds(0.3, 0.5, 90, 0) == pytest.approx((0.3, 0.5))
    assert bounds(0.0, 1.0, 0, 0) == (0.0, 1.0)
