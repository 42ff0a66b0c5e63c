import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from hashtag_photos.errors import RunError
from hashtag_photos.labels import LabelClass, LabelSet
from hashtag_photos.run import Run
from hashtag_photos.stages.score import (
    PromptVectors,
    decide,
    filled,
    probabilities,
    prompt_vectors,
    robustness,
    robustness_path,
    score,
)
from hashtag_photos.tables import ROBUSTNESS, embeddings_schema, vector_column

TABLE = "embeddings/tiny-1234"


def label_set(*counts: int, margin: float = 0.1, templates: int = 2) -> LabelSet:
    return LabelSet(
        name="test",
        title="Test",
        question="?",
        margin=margin,
        templates=("{}.", "a photo of {}.", "a picture of {}.")[:templates],
        classes=tuple(
            LabelClass(name=f"c{i}", title=f"C{i}", prompts=tuple(f"thing {i}.{k}" for k in range(count)))
            for i, count in enumerate(counts)
        ),
    )


def unit(rows: int, dimension: int = 8, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def plain(prompts: np.ndarray, logit_scale: float) -> PromptVectors:
    return PromptVectors(texts=prompts[:, None], logit_scale=logit_scale)


def asked(labels: LabelSet, logit_scale: float = 9.0, seed: int = 1) -> PromptVectors:
    return prompt_vectors(unit(len(filled(labels)), seed=seed), labels, logit_scale)


def stored(folder: Path, *parts: tuple[list[str], np.ndarray]) -> Run:
    run = Run(folder)
    run.ask(model="tiny")
    for shas, vectors in parts:
        columns = [pa.array(shas, pa.string()), vector_column(vectors)]
        run.append(TABLE, pa.table(columns, schema=embeddings_schema(vectors.shape[1])))
    return run


def shas_of(count: int, first: int = 0) -> list[str]:
    return [f"{first + i:064x}" for i in range(count)]


def test_with_one_prompt_per_class_it_is_the_usual_zero_shot_softmax() -> None:
    images, prompts = unit(50), unit(3, seed=1)
    ours = probabilities(images, plain(prompts, 20.0), label_set(1, 1, 1))
    np.testing.assert_allclose(ours, softmax(20.0 * images @ prompts.T, axis=1), rtol=2e-5)


def test_a_class_gains_nothing_by_saying_the_same_twice() -> None:
    images, prompts = unit(50), unit(2, seed=1)
    once = probabilities(images, plain(prompts, 20.0), label_set(1, 1))
    thrice = probabilities(images, plain(prompts[[0, 0, 0, 1]], 20.0), label_set(3, 1))
    np.testing.assert_allclose(once, thrice, rtol=1e-5)


@given(st.integers(0, 10_000), st.floats(1, 1000), st.lists(st.integers(1, 5), min_size=2, max_size=5))
def test_probabilities_add_up(seed: int, scale: float, counts: list[int]) -> None:
    prompts = plain(unit(sum(counts), seed=seed), scale)
    found = probabilities(unit(7, seed=seed + 1), prompts, label_set(*counts))
    assert found.shape == (7, len(counts))
    assert np.isfinite(found).all()
    assert found.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_below_the_margin_it_is_unsure() -> None:
    probability = np.array([[0.54, 0.46], [0.56, 0.44], [0.2, 0.8], [0.5, 0.5]], dtype=np.float32)
    names, margins = decide(probability, label_set(1, 1))
    assert names == ["unsure", "c0", "c1", "unsure"]
    assert margins == pytest.approx([0.08, 0.12, 0.6, 0.0], abs=1e-6)


def test_at_the_margin_it_is_sure() -> None:
    assert decide(np.array([[0.75, 0.25]], dtype=np.float32), label_set(1, 1, margin=0.5))[0] == ["c0"]
    just_below = np.array([[0.7, 0.0]], dtype=np.float32)
    assert float(just_below[0, 0]) < 0.7
    assert decide(just_below, label_set(1, 1, margin=0.7))[0] == ["unsure"], "as the stored margin says"


def test_every_prompt_stands_in_every_template() -> None:
    assert filled(label_set(2, 1))[:4] == ["thing 0.0.", "a photo of thing 0.0.", "thing 0.1.", "a photo of thing 0.1."]


def test_a_prompt_is_the_mean_of_its_templates() -> None:
    labels, texts = label_set(2, 1), unit(6)
    prompts = prompt_vectors(texts, labels, 9.0)
    for number in range(3):
        mean = texts[2 * number] + texts[2 * number + 1]
        np.testing.assert_allclose(prompts.vectors[number], mean / np.linalg.norm(mean), rtol=1e-5)
        np.testing.assert_array_equal(prompts.texts[number], texts[2 * number : 2 * number + 2])


def test_the_table_holds_a_row_per_image_in_any_number_of_parts_and_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels, vectors, shas = label_set(2, 1), unit(10).astype(np.float16), shas_of(10)
    prompts = asked(labels)
    whole = score(stored(tmp_path / "one", (shas, vectors)), TABLE, prompts, labels)
    assert whole.column_names == ["sha256", "label", "margin", "p_c0", "p_c1"]
    assert whole.column("sha256").to_pylist() == shas
    expected = probabilities(vectors, prompts, labels)
    np.testing.assert_allclose(np.column_stack([whole.column("p_c0"), whole.column("p_c1")]), expected, rtol=1e-5)
    assert whole.column("label").to_pylist() == decide(expected, labels)[0]

    steps: list[tuple[str, int, int | None]] = []
    monkeypatch.setattr("hashtag_photos.stages.score._BATCH_ROWS", 3)
    monkeypatch.setattr("hashtag_photos.stages.score._BLOCK_ROWS", 2)
    shuffled = [7, 2, 9, 0, 3, 1, 8, 4, 6, 5]
    first, rest = shuffled[:4], shuffled[4:]
    parts = [([shas[i] for i in some], vectors[some]) for some in (first, rest)]
    run = stored(tmp_path / "two", *parts)
    pieces = score(run, TABLE, prompts, labels, progress=lambda stage, done, total: steps.append((stage, done, total)))
    assert pieces.schema == whole.schema
    assert pieces.column("sha256").to_pylist() == shas, "by sha256, however they were stored"
    assert pieces.column("label").to_pylist() == whole.column("label").to_pylist()
    for name in ("margin", "p_c0", "p_c1"):
        np.testing.assert_allclose(pieces.column(name), whole.column(name), atol=1e-6)
    assert steps[0] == ("score", 0, 10)
    assert steps[-1] == ("score", 10, 10)
    assert steps == sorted(steps)


def test_scores_hang_on_no_other_image_and_no_part(tmp_path: Path) -> None:
    """To the last bit, in whatever order and parts the vectors stand, and for a picture alone."""
    labels, vectors, shas = label_set(4, 3, 1, margin=0.02), unit(5_000, 96).astype(np.float16), shas_of(5_000)
    prompts = prompt_vectors(unit(len(filled(labels)), 96, seed=1), labels, 40.0)
    run = stored(tmp_path / "one", (shas, vectors))
    whole, wordings = score(run, TABLE, prompts, labels), robustness(run, TABLE, prompts, labels)
    order = np.random.default_rng(4).permutation(5_000)
    parts = np.split(order, [1, 4, 37, 2_090, 2_091])
    run = stored(tmp_path / "two", *(([shas[i] for i in part], vectors[part]) for part in parts))
    assert score(run, TABLE, prompts, labels).equals(whole)
    assert robustness(run, TABLE, prompts, labels).equals(wordings)
    expected = np.column_stack([whole.column(f"p_{name}") for name in labels.class_names])
    for rows in (slice(0, 1), slice(7, 10), slice(2_045, 4_100)):
        assert np.array_equal(probabilities(vectors[rows], prompts, labels), expected[rows])


def test_an_image_that_was_stored_twice_counts_once_with_its_first_vector(tmp_path: Path) -> None:
    labels, vectors, shas = label_set(2, 1, margin=0), unit(5).astype(np.float16), shas_of(5)
    prompts = asked(labels)
    other = -vectors[:3]
    run = stored(tmp_path / "twice", (shas[:3], vectors[:3]), (shas[:3][::-1], other), (shas[3:], vectors[3:]))
    once = stored(tmp_path / "once", (shas, vectors))
    found, expected = (score(each, TABLE, prompts, labels) for each in (run, once))
    assert found.select(["sha256", "label"]).equals(expected.select(["sha256", "label"]))
    np.testing.assert_allclose(found.column("p_c0"), expected.column("p_c0"), atol=1e-6)
    assert robustness(run, TABLE, prompts, labels).equals(robustness(once, TABLE, prompts, labels))


def test_without_a_vector_there_are_no_scores_and_shares_of_nothing(tmp_path: Path) -> None:
    labels = label_set(2, 1)
    table = score(Run(tmp_path), TABLE, asked(labels), labels)
    assert (table.num_rows, table.column_names) == (0, ["sha256", "label", "margin", "p_c0", "p_c1"])
    rows = robustness(Run(tmp_path), TABLE, asked(labels), labels).to_pylist()
    assert {(row["images"], row["images_total"]) for row in rows} == {(0, 0)}


def test_the_stored_margin_says_the_same_as_the_label(tmp_path: Path) -> None:
    vectors = unit(4_000, dimension=2).astype(np.float16)
    labels = label_set(1, 1, margin=0.3)
    rows = score(stored(tmp_path, (shas_of(4_000), vectors)), TABLE, asked_in_two(labels), labels).to_pylist()
    assert {row["label"] for row in rows} == {"c0", "c1", "unsure"}
    for row in rows:
        best, second = sorted((row["p_c0"], row["p_c1"]), reverse=True)
        assert row["margin"] == pytest.approx(best - second, abs=1e-6)
        assert row["label"] == ("unsure" if row["margin"] < 0.3 else "c0" if row["p_c0"] == best else "c1")


def asked_in_two(labels: LabelSet) -> PromptVectors:
    return prompt_vectors(unit(len(filled(labels)), dimension=2, seed=1), labels, 1.0)


def test_a_damaged_part_is_said_to_be_one(tmp_path: Path) -> None:
    labels = label_set(2, 1)
    run = stored(tmp_path, (shas_of(3), unit(3).astype(np.float16)))
    (tmp_path / TABLE / "part-000001.parquet").write_bytes(b"damaged")
    with pytest.raises(RunError, match=r"embeddings/tiny-1234 can't be read, a file may be damaged"):
        score(run, TABLE, asked(labels), labels)


def test_who_watches_can_stop_it(tmp_path: Path) -> None:
    def stopping(stage: str, done: int, total: int | None) -> None:
        if done:
            raise KeyboardInterrupt

    labels = label_set(2, 1)
    run = stored(tmp_path, (shas_of(3), unit(3).astype(np.float16)))
    with pytest.raises(KeyboardInterrupt):
        score(run, TABLE, asked(labels), labels, progress=stopping)


# The robustness table


def obvious(
    vectors: np.ndarray, texts: list[list[list[np.ndarray]]], scale: float, margin: float
) -> tuple[Counter[str], float]:
    """Labels counted an image at a time in float64, and how near any of them is to being another.

    `texts` is class -> prompts -> templates.
    """
    counts: Counter[str] = Counter()
    nearest = 1.0
    for vector in vectors.astype(np.float64):
        logits = []
        for prompts in texts:
            means = [np.mean(templates, axis=0, dtype=np.float64) for templates in prompts]
            of_prompts = [scale * float(vector @ mean / np.linalg.norm(mean)) for mean in means]
            logits.append(np.logaddexp.reduce(of_prompts) - np.log(len(of_prompts)))
        chances = softmax(logits)
        second, best = sorted(chances)[-2:]
        counts["unsure" if best - second < margin else f"c{int(np.argmax(chances))}"] += 1
        nearest = min(nearest, abs(best - second - margin))
    return counts, nearest


def obvious_table(
    vectors: np.ndarray, prompts: PromptVectors, labels: LabelSet
) -> tuple[dict[tuple[str, str], Counter[str]], float]:
    """Each variant as a label set of its own."""
    start, texts = 0, []
    for each in labels.classes:
        texts.append([list(prompts.texts[start + k]) for k in range(len(each.prompts))])
        start += len(each.prompts)
    variants = {("all", ""): texts}
    for number, template in enumerate(labels.templates):
        variants["template", template] = [[[one[number]] for one in own] for own in texts]
    for number, each in enumerate(labels.classes):
        for k, prompt in enumerate(each.prompts):
            if len(each.prompts) > 1:
                fewer = [own[:k] + own[k + 1 :] if i == number else own for i, own in enumerate(texts)]
                variants["without_prompt", prompt] = fewer
    found = {key: obvious(vectors, each, prompts.logit_scale, labels.margin) for key, each in variants.items()}
    return {key: counts for key, (counts, _) in found.items()}, min(nearest for _, nearest in found.values())


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    counts=st.lists(st.integers(1, 4), min_size=2, max_size=4),
    templates=st.integers(1, 3),
    scale=st.sampled_from([1.0, 15.0, 100.0]),
    margin=st.sampled_from([0.0, 0.1, 0.6]),
    images=st.integers(1, 30),
)
def test_the_robustness_table_is_what_each_variant_would_give_alone(
    seed: int, counts: list[int], templates: int, scale: float, margin: float, images: int
) -> None:
    labels = label_set(*counts, margin=margin, templates=templates)
    prompts = asked(labels, scale, seed)
    vectors = unit(images, seed=seed + 1).astype(np.float16)
    expected, nearest = obvious_table(vectors, prompts, labels)
    assume(nearest > 1e-4)
    with tempfile.TemporaryDirectory() as folder:
        run = stored(Path(folder), (shas_of(images), vectors))
        table = robustness(run, TABLE, prompts, labels)
        scored = Counter(score(run, TABLE, prompts, labels).column("label").to_pylist())
    assert table.schema == ROBUSTNESS
    names = [*labels.class_names, "unsure"]
    assert table.to_pylist() == [
        {"kind": kind, "variant": variant, "label": name, "images": by_label[name], "images_total": images}
        for (kind, variant), by_label in expected.items()
        if kind != "template" or templates > 1  # a single one is no other wording
        for name in names
    ]
    assert expected["all", ""] == scored


def test_the_only_prompt_of_a_class_can_not_be_left_out(tmp_path: Path) -> None:
    labels = label_set(3, 1)
    run = stored(tmp_path, (shas_of(20), unit(20).astype(np.float16)))
    rows = robustness(run, TABLE, asked(labels), labels).to_pylist()
    variants = list(dict.fromkeys((row["kind"], row["variant"]) for row in rows))
    assert variants == [
        ("all", ""),
        ("template", "{}."),
        ("template", "a photo of {}."),
        ("without_prompt", "thing 0.0"),
        ("without_prompt", "thing 0.1"),
        ("without_prompt", "thing 0.2"),
    ]
    assert len(rows) == len(variants) * 3


def test_of_very_many_images_those_with_the_smallest_sha256_are_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels, vectors = label_set(3, 2), unit(20).astype(np.float16)
    prompts = asked(labels)
    order = np.random.default_rng(3).permutation(20)
    shas = [shas_of(20)[i] for i in order]
    run = stored(tmp_path / "all", (shas[:8], vectors[:8]), (shas[:4], -vectors[:4]), (shas[8:], vectors[8:]))
    small = order < 7
    few = stored(tmp_path / "few", ([sha for sha, here in zip(shas, small, strict=True) if here], vectors[small]))
    monkeypatch.setattr("hashtag_photos.stages.score.ROBUSTNESS_IMAGES", 7)
    monkeypatch.setattr("hashtag_photos.stages.score._BATCH_ROWS", 3)
    steps: list[tuple[str, int, int | None]] = []
    found = robustness(run, TABLE, prompts, labels, progress=lambda *step: steps.append(step))
    assert steps[0][:2] == ("robustness", 0)
    assert steps[-1][1] == steps[-1][2]
    assert set(found.column("images_total").to_pylist()) == {7}
    assert found.equals(robustness(few, TABLE, prompts, labels))


def test_a_label_set_of_very_many_prompts_is_asked_of_fewer_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = label_set(3, 2)  # 8 variants, 3 labels
    run = stored(tmp_path, (shas_of(20), unit(20).astype(np.float16)))
    usual = score(run, TABLE, asked(labels), labels)
    monkeypatch.setattr("hashtag_photos.stages.score._ROBUSTNESS_ANSWERS", 8 * 3 * 11)
    monkeypatch.setattr("hashtag_photos.stages.score._BLOCK_LOGITS", 1)
    found = robustness(run, TABLE, asked(labels), labels)
    assert set(found.column("images_total").to_pylist()) == {11}
    counts = Counter(usual.column("label").to_pylist()[:11])
    assert [row["images"] for row in found.to_pylist()[:3]] == [counts[name] for name in ("c0", "c1", "unsure")]
    assert score(run, TABLE, asked(labels), labels).column("label").equals(usual.column("label"))


def test_the_robustness_table_stands_beside_the_scores() -> None:
    assert robustness_path("tiny-1", "asked-2") == "scores/tiny-1/asked-2-robustness.parquet"
