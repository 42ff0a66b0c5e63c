import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from hashtag_photos.labels import LabelClass, LabelSet
from hashtag_photos.stages.score import PromptVectors, decide, filled, probabilities, score


def label_set(*counts: int, margin: float = 0.1) -> LabelSet:
    return LabelSet(
        name="test",
        title="Test",
        question="?",
        margin=margin,
        templates=("{}.", "a photo of {}."),
        classes=tuple(
            LabelClass(name=f"c{i}", title=f"C{i}", prompts=tuple(f"thing {i}.{k}" for k in range(count)))
            for i, count in enumerate(counts)
        ),
    )


def unit(rows: int, dimension: int = 8, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_with_one_prompt_per_class_it_is_the_usual_zero_shot_softmax() -> None:
    images, prompts = unit(50), unit(3, seed=1)
    ours = probabilities(images, PromptVectors(vectors=prompts, logit_scale=20.0), label_set(1, 1, 1))
    np.testing.assert_allclose(ours, softmax(20.0 * images @ prompts.T, axis=1), rtol=2e-5)


def test_a_class_gains_nothing_by_saying_the_same_twice() -> None:
    images, prompts = unit(50), unit(2, seed=1)
    once = probabilities(images, PromptVectors(vectors=prompts, logit_scale=20.0), label_set(1, 1))
    thrice = probabilities(images, PromptVectors(vectors=prompts[[0, 0, 0, 1]], logit_scale=20.0), label_set(3, 1))
    np.testing.assert_allclose(once, thrice, rtol=1e-5)


@given(st.integers(0, 10_000), st.floats(1, 1000), st.lists(st.integers(1, 5), min_size=2, max_size=5))
def test_probabilities_add_up(seed: int, scale: float, counts: list[int]) -> None:
    prompts = PromptVectors(vectors=unit(sum(counts), seed=seed), logit_scale=scale)
    found = probabilities(unit(7, seed=seed + 1), prompts, label_set(*counts))
    assert found.shape == (7, len(counts))
    assert np.isfinite(found).all()
    assert found.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_below_the_margin_it_is_unsure() -> None:
    probability = np.array([[0.54, 0.46], [0.56, 0.44], [0.2, 0.8], [0.5, 0.5]], dtype=np.float32)
    names, margins = decide(probability, label_set(1, 1))
    assert names == ["unsure", "c0", "c1", "unsure"]
    assert margins == pytest.approx([0.08, 0.12, 0.6, 0.0], abs=1e-6)


def test_every_prompt_stands_in_every_template() -> None:
    assert filled(label_set(2, 1))[:4] == ["thing 0.0.", "a photo of thing 0.0.", "thing 0.1.", "a photo of thing 0.1."]


def test_the_table_holds_a_row_per_image_in_any_number_of_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    prompts, vectors = PromptVectors(vectors=unit(3, seed=1), logit_scale=9.0), unit(10).astype(np.float16)
    shas = [f"{i:064x}" for i in range(10)]
    whole = score(shas, vectors, prompts, label_set(2, 1))
    monkeypatch.setattr("hashtag_photos.stages.score._CHUNK", 3)
    assert score(shas, vectors, prompts, label_set(2, 1)).equals(whole)
    assert whole.column_names == ["sha256", "label", "margin", "p_c0", "p_c1"]
    assert whole.column("sha256").to_pylist() == shas
    assert score([], vectors[:0], prompts, label_set(2, 1)).num_rows == 0
