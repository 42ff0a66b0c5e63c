"""Stage 3b: embeddings x label set -> scores. Plain arrays, no torch, no images: a new question costs seconds.

The logit of a prompt is the model's logit scale times the cosine of image and prompt. The logit of a class is the log
of the mean of exp over its prompts, so that a class with more prompts has no head start; with one prompt per class this
is the usual zero-shot softmax (Radford et al. 2021, arXiv:2103.00020, section 3.1). Probabilities are a softmax over
the classes. They are scores of a model, not chances of being right.

How far an answer hangs on the wording is a table of its own: the shares of all labels under each template alone, and
with each prompt left out.

Inside, arrays are (classes, images): few and long rows are what numpy is fast with. Images are computed in blocks of
one size, which the last of them are filled up to: what libraries do with a row can depend on how many there are, and so
the scores of an image don't depend on which others it is computed with.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hashtag_photos.labels import UNSURE, LabelSet
from hashtag_photos.run import Run
from hashtag_photos.stages import Progress, silent
from hashtag_photos.stages.engine import LOCAL, Engine
from hashtag_photos.stages.joined import is_in_order, pieces, whole
from hashtag_photos.tables import ROBUSTNESS, scores_schema, vectors_of

ALL, TEMPLATE, WITHOUT_PROMPT = "all", "template", "without_prompt"  # the kinds of rows in a robustness table

ROBUSTNESS_IMAGES = 200_000  # the draw moves a share by 0.2 percentage points at most (95 %)
_ROBUSTNESS_ANSWERS = 1_000_000_000  # images x variants x labels: of thousands of prompts fewer images are asked
_BATCH_ROWS = 8_192  # read at once
_BLOCK_ROWS = 1_024  # computed at once: as float32 they stay in a core's cache
_BLOCK_LOGITS = 4_000_000  # also with a label set of thousands of prompts

Floats = npt.NDArray[np.float32]
Vectors = npt.NDArray[np.float16]


@dataclass(frozen=True, kw_only=True)
class PromptVectors:
    """A label set as a model sees it: unit vectors of its prompts in each template, and the logit scale.

    `texts` is (prompts, templates, dimension).
    """

    texts: Floats
    logit_scale: float

    @cached_property
    def vectors(self) -> Floats:
        """A unit vector per prompt, (prompts, dimension): the mean over its templates."""
        prompts, templates, dimension = self.texts.shape
        return averaged(self.texts.reshape(prompts * templates, dimension), templates)


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


def prompt_vectors(texts: Floats, labels: LabelSet, logit_scale: float) -> PromptVectors:
    """A label set as a model sees it, from the unit vectors of its `filled` prompts and the model's logit scale."""
    by_prompt = texts.reshape(-1, len(labels.templates), texts.shape[1])
    return PromptVectors(texts=by_prompt, logit_scale=logit_scale)


def probabilities(vectors: npt.NDArray[np.floating], prompts: PromptVectors, labels: LabelSet) -> Floats:
    """Class probabilities, (n, classes), of unit vectors, (n, dimension)."""
    probability, _, _ = _scored(_Question(prompts=prompts, labels=labels), vectors)
    return probability.T


def decide(probability: Floats, labels: LabelSet) -> tuple[list[str], Floats]:
    """The label of each row, `unsure` where the two best classes are nearer than the set's margin; and that margin."""
    answers, margins = _decided(probability.T, labels)
    names = (*labels.class_names, UNSURE)
    return [names[answer] for answer in answers.tolist()], margins


def score(
    run: Run,
    table: str,
    prompts: PromptVectors,
    labels: LabelSet,
    *,
    engine: Engine = LOCAL,
    progress: Progress = silent,
) -> pa.Table:
    """The scores of all images that have a vector in `table` (embeddings/<model>), by sha256, each once."""
    shas = _shas(run, table)
    probability = np.empty((len(labels.classes), len(shas)), dtype=np.float32)
    answers, margins = np.empty(len(shas), dtype=np.int32), np.empty(len(shas), dtype=np.float32)
    question = _Question(prompts=prompts, labels=labels)
    with ThreadPoolExecutor(1) as beside:
        in_order = beside.submit(_images, shas)
        start = 0
        progress("score", 0, len(shas))
        for found in engine.each(_scored, question, (vectors for _, vectors in _batches(run, table))):
            rows = slice(start, start + found[0].shape[1])
            probability[:, rows], answers[rows], margins[rows] = found
            progress("score", start := rows.stop, len(shas))
        row = in_order.result()
    names = pieces(pa.array((*labels.class_names, UNSURE)), answers[row])
    columns = [pieces(shas, row), names, margins[row], *(of_class[row] for of_class in probability)]
    return pa.table(columns, schema=scores_schema(labels.class_names))


def robustness(
    run: Run,
    table: str,
    prompts: PromptVectors,
    labels: LabelSet,
    *,
    engine: Engine = LOCAL,
    progress: Progress = silent,
) -> pa.Table:
    """How many images get which label in all, under each template alone, and with each prompt left out: ROBUSTNESS.

    The only prompt of a class can't be left out, and a single template is no other wording. Of more than 200,000
    images, those with the smallest sha256 are asked, a fair draw; of fewer, where a label set has thousands of prompts.
    """
    variants = _variants(labels)
    answers = len(labels.classes) + 1
    row = _images(_shas(run, table))
    at_most = min(ROBUSTNESS_IMAGES, max(1, _ROBUSTNESS_ANSWERS // (len(variants) * answers)))
    chosen = np.sort(row[:at_most])

    def asked() -> Iterator[Vectors]:
        """The vectors of the images that are asked, a batch of the table at a time."""
        for start, vectors in _batches(run, table):
            first, last = np.searchsorted(chosen, (start, start + len(vectors)))
            if first < last:
                yield vectors[chosen[first:last] - start]
            if last == len(chosen):
                return

    counts = np.zeros((len(variants), answers), dtype=np.int64)
    progress("robustness", 0, len(chosen))
    for found in engine.each(_counted, _Question(prompts=prompts, labels=labels), asked()):
        counts += found
        progress("robustness", int(counts[0].sum()), len(chosen))
    names = (*labels.class_names, UNSURE)
    rows = [
        {"kind": kind, "variant": variant, "label": name, "images": int(images), "images_total": len(chosen)}
        for (kind, variant), by_label in zip(variants, counts, strict=True)
        for name, images in zip(names, by_label, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=ROBUSTNESS)


def robustness_path(model_key: str, label_key: str) -> str:
    """Where the robustness table of a model and a label set stands in a run, beside the scores."""
    return f"scores/{model_key}/{label_key}-robustness.parquet"


# What is worked on a batch at a time, wherever that is


@dataclass(frozen=True, kw_only=True)
class _Question:
    """What images are asked."""

    prompts: PromptVectors
    labels: LabelSet


def _scored(question: _Question, vectors: npt.NDArray[np.floating]) -> tuple[Floats, npt.NDArray[np.int64], Floats]:
    """Of unit vectors, (n, dimension): probabilities, (classes, n), which class each image gets, and its margin."""
    prompts, labels = question.prompts, question.labels
    probability = np.empty((len(labels.classes), len(vectors)), dtype=np.float32)
    for rows, values in _blocks(vectors, prompts):
        found = _softmax(_class_logits(_logits(values, prompts.vectors, prompts.logit_scale), labels))
        probability[:, rows] = found[:, : rows.stop - rows.start]
    return probability, *_decided(probability, labels)


def _counted(question: _Question, vectors: Vectors) -> npt.NDArray[np.int64]:
    """How many images get which label in each variant: (variants, labels)."""
    prompts, labels = question.prompts, question.labels
    answers = len(labels.classes) + 1
    counts = np.zeros((len(_variants(labels)), answers), dtype=np.int64)
    for rows, values in _blocks(vectors, prompts):
        for number, logits in enumerate(_class_logits_of_variants(values, prompts, labels)):
            labelled, _ = _decided(_softmax(logits)[:, : rows.stop - rows.start], labels)
            counts[number] += np.bincount(labelled, minlength=answers)
    return counts


# The sums


def _logits(vectors: Floats, texts: Floats, logit_scale: float) -> Floats:
    """(n, dimension), (texts, dimension) -> (texts, n)."""
    # this way around the product is faster, turning its result included
    return np.asarray(np.float32(logit_scale) * np.ascontiguousarray((vectors @ texts.T).T), dtype=np.float32)


def _class_logits(logits: Floats, labels: LabelSet) -> Floats:
    """Logits of prompts, (prompts, n) -> of classes, (classes, n)."""
    classes = np.empty((len(labels.classes), logits.shape[1]), dtype=np.float32)
    for number, own in enumerate(_own_prompts(labels)):
        classes[number] = _log_mean_exp(logits[own])
    return classes


def _own_prompts(labels: LabelSet) -> Iterator[slice]:
    """Where the prompts of each class stand among all prompts."""
    start = 0
    for each in labels.classes:
        yield slice(start, start + len(each.prompts))
        start += len(each.prompts)


def _log_mean_exp(logits: Floats) -> Floats:
    top = logits.max(axis=0)
    return np.asarray(top + np.log(np.exp(logits - top).mean(axis=0)), dtype=np.float32)


def _softmax(logits: Floats) -> Floats:
    exps = np.exp(logits - logits.max(axis=0))
    return np.asarray(exps / exps.sum(axis=0), dtype=np.float32)


def _decided(probability: Floats, labels: LabelSet) -> tuple[npt.NDArray[np.int64], Floats]:
    """Which class each image gets, by number, `unsure` being the one after the last; and the margin."""
    best, number = probability[0], np.zeros(probability.shape[1], dtype=np.int64)
    second = np.full_like(best, -np.inf)
    for each, of_class in enumerate(probability[1:], start=1):
        number[of_class > best] = each
        second = np.maximum(second, np.minimum(best, of_class))
        best = np.maximum(best, of_class)
    margins = best - second
    sure = margins >= np.float64(labels.margin)  # not rounded to float32, so that the stored margin says the same
    return np.where(sure, number, len(labels.classes)), margins


def _variants(labels: LabelSet) -> list[tuple[str, str]]:
    """Kind and variant of what the robustness table compares, in the order of `_class_logits_of_variants`."""
    return [
        (ALL, ""),
        *((TEMPLATE, template) for template in labels.templates if len(labels.templates) > 1),
        *((WITHOUT_PROMPT, prompt) for each in labels.classes if len(each.prompts) > 1 for prompt in each.prompts),
    ]


def _class_logits_of_variants(vectors: Floats, prompts: PromptVectors, labels: LabelSet) -> Iterator[Floats]:
    logits = _logits(vectors, prompts.vectors, prompts.logit_scale)
    usual = _class_logits(logits, labels)
    yield usual
    alone = _logits(vectors, prompts.texts.reshape(-1, vectors.shape[1]), prompts.logit_scale)
    for template in range(len(labels.templates)) if len(labels.templates) > 1 else ():
        yield _class_logits(alone[template :: len(labels.templates)], labels)
    for number, own in enumerate(_own_prompts(labels)):
        if own.stop - own.start > 1:
            for prompt in range(own.stop - own.start):
                without = usual.copy()
                without[number] = _log_mean_exp(np.delete(logits[own], prompt, axis=0))
                yield without


# The table, a batch at a time


def _shas(run: Run, table: str) -> pa.Array:
    """The sha256 of each row."""
    batches = run.batches(table, "sha256", rows=_BATCH_ROWS)
    return whole(pa.chunked_array([batch.column(0) for batch in batches], pa.string()))


def _images(shas: pa.Array) -> npt.NDArray[np.int64]:
    """The first row of each sha256, in the order of these: an interruption can write an image twice."""
    if is_in_order(shas):  # as one embed stage writes them
        return np.arange(len(shas))
    order = pc.array_sort_indices(shas)  # stable
    images = shas.take(order)
    row: npt.NDArray[np.int64] = order.to_numpy().astype(np.int64)
    first = np.ones(len(row), dtype=bool)
    first[1:] = pc.not_equal(images[1:], images[:-1]).to_numpy(zero_copy_only=False)
    return row[first]


def _blocks(vectors: npt.NDArray[np.floating], prompts: PromptVectors) -> Iterator[tuple[slice, Floats]]:
    """Vectors as float32, in blocks of one size, with the rows that they are; the last is filled up with zeros."""
    size = min(_BLOCK_ROWS, max(1, _BLOCK_LOGITS // (prompts.texts.shape[0] * prompts.texts.shape[1])))
    for first in range(0, len(vectors), size):
        rows = vectors[first : first + size]
        block = np.empty((size, vectors.shape[1]), dtype=np.float32)
        block[: len(rows)], block[len(rows) :] = rows, 0
        yield slice(first, first + len(rows)), block


def _batches(run: Run, table: str) -> Iterator[tuple[int, Vectors]]:
    """The vectors of a table, with the number of their first row."""
    start = 0
    for batch in run.batches(table, "vector", rows=_BATCH_ROWS):
        yield start, vectors_of(batch.column(0))
        start += len(batch)
