"""Stage 3b: embeddings x label set -> scores. Plain arrays, no torch, no images: a new question costs seconds.

The logit of a prompt is the model's logit scale times the cosine of image and prompt. The logit of a class is the log
of the mean of exp over its prompts, so that a class with more prompts has no head start; with one prompt per class this
is the usual zero-shot softmax (Radford et al. 2021, arXiv:2103.00020, section 3.1). Probabilities are a softmax over
the classes. They are scores of a model, not chances of being right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hashtag_photos.labels import UNSURE, LabelSet
from hashtag_photos.stages import Progress, silent
from hashtag_photos.tables import probability_column, scores_schema

Floats = npt.NDArray[np.float32]
_CHUNK = 65_536


@dataclass(frozen=True, kw_only=True)
class PromptVectors:
    """A label set as a model sees it: a unit vector per prompt (averaged over the templates), and the logit scale."""

    vectors: Floats
    logit_scale: float


def filled(labels: LabelSet) -> list[str]:
    """Every prompt in every template, prompt by prompt."""
    return [
        template.replace("{}", prompt)
        for each in labels.classes
        for prompt in each.prompts
        for template in labels.templates
    ]


def averaged(texts: Floats, templates: int) -> Floats:
    """Unit vectors of filled prompts, (prompts * templates, dimension) -> one unit vector per prompt."""
    mean = texts.reshape(-1, templates, texts.shape[1]).mean(axis=1)
    return np.asarray(mean / np.linalg.norm(mean, axis=1, keepdims=True), dtype=np.float32)


def probabilities(vectors: npt.NDArray[np.floating], prompts: PromptVectors, labels: LabelSet) -> Floats:
    """Class probabilities, (n, classes), of unit vectors, (n, dimension)."""
    logits = prompts.logit_scale * (vectors.astype(np.float32) @ prompts.vectors.T)
    classes = np.empty((len(logits), len(labels.classes)), dtype=np.float32)
    start = 0
    for number, each in enumerate(labels.classes):
        own = logits[:, start : start + len(each.prompts)]
        start += len(each.prompts)
        top = own.max(axis=1, keepdims=True)
        classes[:, number] = top[:, 0] + np.log(np.exp(own - top).mean(axis=1))
    exps = np.exp(classes - classes.max(axis=1, keepdims=True))
    return np.asarray(exps / exps.sum(axis=1, keepdims=True), dtype=np.float32)


def decide(probability: Floats, labels: LabelSet) -> tuple[list[str], Floats]:
    """The label of each row, `unsure` where the two best classes are nearer than the set's margin; and that margin."""
    order = np.sort(probability, axis=1)
    margins = np.asarray(order[:, -1] - order[:, -2], dtype=np.float32)
    best = probability.argmax(axis=1)
    return [
        labels.class_names[index] if margin >= labels.margin else UNSURE
        for index, margin in zip(best.tolist(), margins.tolist(), strict=True)
    ], margins


def score(
    shas: Sequence[str],
    vectors: npt.NDArray[np.floating],
    prompts: PromptVectors,
    labels: LabelSet,
    *,
    progress: Progress = silent,
) -> pa.Table:
    """The scores table of images: their sha256 and vectors, (n, dimension), against a label set."""
    parts = []
    schema = scores_schema(labels.class_names)
    for start in range(0, len(shas), _CHUNK):
        progress("score", start, len(shas))
        probability = probabilities(vectors[start : start + _CHUNK], prompts, labels)
        names, margins = decide(probability, labels)
        columns = {probability_column(name): probability[:, i] for i, name in enumerate(labels.class_names)}
        rows = {"sha256": shas[start : start + _CHUNK], "label": names, "margin": margins, **columns}
        parts.append(pa.table(rows, schema=schema))
    progress("score", len(shas), len(shas))
    return pa.concat_tables(parts) if parts else schema.empty_table()
