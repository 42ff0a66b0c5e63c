from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashtag_photos import estimate
from hashtag_photos.sampling import GIANTS, LARGEST, Frame, draw, effort, plan, strata


def names(count: int, start: int = 0) -> list[str]:
    return [f"{number:064x}" for number in range(start, start + count)]


@st.composite
def corpora(chosen: st.DrawFn) -> tuple[list[str], np.ndarray, np.ndarray, str]:
    """Pictures, their strata and effort, and a seed."""
    count = chosen(st.integers(1, 120))
    rng = np.random.default_rng(chosen(st.integers(0, 1000)))
    codes = rng.integers(0, chosen(st.integers(1, 6)), count).astype(str)
    return names(count), codes, rng.random(count) + 0.1, chosen(st.text("ab", max_size=4))


def rows(frame: Frame) -> dict[str, tuple[object, ...]]:
    return {
        name: tuple(rest)
        for name, *rest in zip(
            frame.sha256.tolist(), frame.draw.tolist(), frame.stratum.tolist(), frame.rank.tolist(), strict=True
        )
    }


@given(corpora(), st.integers(0, 130))
def test_a_draw_takes_the_first_ranks_of_each_stratum(corpus, n: int) -> None:
    pictures, codes, efforts, seed = corpus
    frame = draw(None, pictures, codes, n, seed, effort=efforts)
    assert frame.drawn.sum() == min(n, len(pictures))
    assert sorted(frame.sha256.tolist()) == pictures
    for name in np.unique(codes):
        inside = frame.stratum == name
        taken = int(frame.drawn[inside].sum())
        assert frame.rank[inside].tolist() == list(range(inside.sum()))
        assert frame.drawn[inside].tolist() == [True] * taken + [False] * (int(inside.sum()) - taken)
        assert frame.inclusion_probability[inside] == pytest.approx(taken / inside.sum())
    assert sorted(frame.position[frame.drawn].tolist()) == list(range(int(frame.drawn.sum())))
    assert (frame.position[~frame.drawn] == -1).all()


@given(corpora(), st.integers(0, 60), st.integers(0, 80))
def test_drawing_more_takes_nothing_back_and_is_drawing_all_at_once(corpus, n: int, more: int) -> None:
    pictures, codes, efforts, seed = corpus
    first = draw(None, pictures, codes, n, seed, effort=efforts)
    extended = draw(first, pictures, codes, n + more, seed, effort=efforts)
    assert (extended.sha256 == first.sha256).all()
    assert extended.drawn[first.drawn].all()
    assert (extended.position[first.drawn] == first.position[first.drawn]).all()
    at_once = draw(None, pictures, codes, n + more, seed, effort=efforts)
    assert (extended.drawn == at_once.drawn).all()


@given(corpora())
def test_fewer_than_drawn_changes_nothing(corpus) -> None:
    pictures, codes, efforts, seed = corpus
    frame = draw(None, pictures, codes, 30, seed, effort=efforts)
    again = draw(frame, pictures, codes, 3, seed, effort=efforts)
    assert (again.drawn == frame.drawn).all()
    assert (again.position == frame.position).all()


@given(corpora(), st.integers(1, 40))
def test_new_pictures_form_strata_of_their_own(corpus, new: int) -> None:
    pictures, codes, efforts, seed = corpus
    first = draw(None, pictures, codes, 10, seed, effort=efforts)
    everyone = pictures + names(new, 1000)
    second = draw(
        first, everyone, np.append(codes, ["0"] * new), 10 + new, seed, effort=np.append(efforts, np.ones(new))
    )
    before, after = rows(first), rows(second)
    assert {name: after[name] for name in pictures} == before
    assert {after[name][:2] for name in everyone[len(pictures) :]} == {(2, "0 (draw 2)")}


def test_pictures_that_are_gone_stay_in_the_frame() -> None:
    """They are in another picture's group by now: the sample was drawn with them."""
    first = draw(None, names(50), np.full(50, "a"), 10, "s")
    second = draw(first, names(20), np.full(20, "a"), 12, "s")
    assert rows(second) == rows(first)
    assert second.drawn.sum() == 12


def test_each_picture_of_a_stratum_is_drawn_equally_often() -> None:
    codes = np.repeat(["a", "b"], [30, 10])
    times = Counter[str]()
    for seed in range(2000):
        frame = draw(None, names(40), codes, 16, str(seed))
        times.update(frame.sha256[frame.drawn].tolist())
    frame = draw(None, names(40), codes, 16, "0")
    expected = 2000 * frame.inclusion_probability
    got = np.array([times[name] for name in frame.sha256.tolist()])
    spread = np.sqrt(2000 * frame.inclusion_probability * (1 - frame.inclusion_probability))
    assert np.abs((got - expected) / spread).max() < 4


def test_every_beginning_of_the_order_holds_each_stratum_in_proportion() -> None:
    codes = np.repeat(["a", "b", "c"], [600, 300, 100])
    frame = draw(None, names(1000), codes, 200, "seed")
    shown = frame.stratum[frame.drawn][np.argsort(frame.position[frame.drawn])]
    taken = Counter(shown.tolist())
    for length in range(1, 201):
        for name, count in Counter(shown[:length].tolist()).items():
            assert abs(count - length * taken[name] / 200) < 2.5
    # and in a stratum lower ranks come first, so that who stops early has looked at a random sample of it
    for name in taken:
        assert (np.diff(frame.position[frame.drawn & (frame.stratum == name)]) > 0).all()


def test_strata_are_few_and_named_by_what_they_hold() -> None:
    rng = np.random.default_rng(1)
    predicted = rng.choice(4, 5000, p=[0.5, 0.3, 0.195, 0.005])
    sizes = np.ones(5000)
    sizes[:30] = 5
    sizes[-3:] = 200
    found = strata(predicted, rng.random(5000), sizes, 0.2)
    assert set(found[-3:]) == {LARGEST}
    assert {"0/near", "0/clear", "1/near", "1/clear", "2/near", "2/clear"} < set(found)
    assert not any(name.startswith("3") for name in found)
    assert min(Counter(found.tolist()).values()) == 3
    assert len(set(found)) <= 10


def test_many_of_the_largest_are_parted_by_size() -> None:
    """So that few giants don't decide in one stratum with pictures a hundredth of their size."""
    sizes = np.ones(2000)
    sizes[:30] = np.linspace(20, 40, 30)
    sizes[:3] = 300
    found = strata(np.zeros(2000, dtype=int), np.ones(2000), sizes, 0.2)
    giants, others = sizes[found == GIANTS], sizes[found == LARGEST]
    assert len(giants) + len(others) == 30
    assert others.max() < giants.min()
    assert giants.sum() >= others.sum() > 0


def test_effort_goes_to_the_large_and_to_the_margin() -> None:
    kinds = np.array(["0/clear", "0/near", "0/large"])
    plain, near, large = effort(kinds, np.array([1.0, 1.0, 7.0]))
    assert plain < near < large


def test_the_largest_are_all_taken() -> None:
    sizes = np.ones(1000)
    sizes[:5] = 300
    codes = strata(np.zeros(1000, dtype=int), np.ones(1000), sizes, 0.2)
    frame = draw(None, names(1000), codes, 60, "s", effort=effort(codes, sizes))
    assert frame.drawn[np.isin(frame.sha256, names(5))].all()


@given(st.floats(2, 15))
def test_more_precision_needs_more_labels(points: float) -> None:
    rng = np.random.default_rng(0)
    predictions = rng.dirichlet([1, 1], 3000)
    codes = predictions.argmax(axis=1).astype(str)
    given_them = {"strata": codes, "effort": np.ones(3000), "predictions": predictions}
    assert plan(points, **given_them) >= plan(points * 1.2, **given_them)


def test_no_more_labels_than_pictures_are_planned() -> None:
    assert plan(0.001, strata=np.full(80, "a"), effort=np.ones(80), predictions=np.full((80, 2), 0.5)) == 80
    assert plan(49, strata=np.full(80, "a"), effort=np.ones(80), predictions=np.full((80, 2), 0.5)) == 50


@pytest.mark.parametrize("points", [3.0, 5.0])
@pytest.mark.parametrize("known", [0, 100])
def test_as_many_labels_as_planned_reach_about_the_points(points: float, known: int) -> None:
    rng = np.random.default_rng(3)
    count = 5000
    predictions = rng.dirichlet([0.5, 0.8, 0.4], count)
    truth = (rng.random((count, 1)) > predictions.cumsum(axis=1)[:, :-1]).sum(axis=1)  # as likely as predicted
    ordered = np.sort(predictions, axis=1)
    codes = strata(predictions.argmax(axis=1), ordered[:, -1] - ordered[:, -2], np.ones(count), 0.3)
    efforts = effort(codes, np.ones(count))

    def labelled(n: int, seed: str) -> np.ndarray:
        frame = draw(None, names(count), codes, n, seed, effort=efforts)
        return np.searchsorted(names(count), frame.sha256[frame.drawn])

    have = labelled(known, "before")
    needed = plan(
        points,
        strata=codes,
        effort=efforts,
        predictions=predictions,
        labelled=have if known else None,
        labels=np.eye(3)[truth[have]] if known else None,
    )
    assert 100 < needed < 1500
    reached = []
    for seed in range(10):
        at = labelled(needed, str(seed))
        found = estimate.corrected(
            strata=np.unique(codes, return_inverse=True)[1],
            weights=np.ones(count),
            predictions=predictions,
            labelled=at,
            labels=np.eye(3)[truth[at]],
        )
        reached.append(max(share.high - share.low for share in found.shares) / 2 * 100)
    assert 0.8 * points < np.mean(reached) < 1.15 * points


@pytest.mark.parametrize("points", [3.0, 5.0])
def test_without_labels_a_sure_model_is_not_taken_at_its_word(points: float) -> None:
    """It says 99 %, and is wrong in 15 %: the labels planned reach about the points all the same."""
    rng = np.random.default_rng(4)
    count = 4000
    truth = rng.choice(3, count, p=[0.3, 0.5, 0.2])
    predicted = np.where(rng.random(count) < 0.15, (truth + rng.integers(1, 3, count)) % 3, truth)
    predictions = 0.985 * np.eye(3)[predicted] + 0.005
    codes = strata(predicted, rng.random(count), np.ones(count), 0.25)
    efforts = effort(codes, np.ones(count))
    needed = plan(points, strata=codes, effort=efforts, predictions=predictions)
    reached = []
    for seed in range(10):
        frame = draw(None, names(count), codes, needed, str(seed), effort=efforts)
        at = np.searchsorted(names(count), frame.sha256[frame.drawn])
        found = estimate.corrected(
            strata=np.unique(codes, return_inverse=True)[1],
            weights=np.ones(count),
            predictions=predictions,
            labelled=at,
            labels=np.eye(3)[truth[at]],
        )
        reached.append(max(share.high - share.low for share in found.shares) / 2 * 100)
    assert 0.6 * points < np.mean(reached) <= max(reached) <= 1.3 * points
