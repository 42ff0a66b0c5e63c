"""Stage 3: images -> embeddings -> scores, and the Classifier that does the same to any pictures.

Embeddings are keyed by content and model, label sets are scored from them: a second question asks for no image again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from PIL import Image

from hashtag_photos import labels as label_sets
from hashtag_photos import models
from hashtag_photos.errors import RunConflictError, RunError, UsageError
from hashtag_photos.images import read_rgb, to_rgb
from hashtag_photos.labels import LabelSet, find_labels
from hashtag_photos.models import find_model
from hashtag_photos.run import Run, software
from hashtag_photos.stages import Progress, silent
from hashtag_photos.stages.embed import embed, encoded, images_of
from hashtag_photos.stages.score import PromptVectors, averaged, decide, filled, probabilities, score
from hashtag_photos.tables import scores_schema

if TYPE_CHECKING:
    from hashtag_photos.clip import Encoder

_SHA = pa.schema([("sha256", pa.string())])


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a classifier says of one picture. Without a label it could not be read, and `problem` says why."""

    image: str | Path | Image.Image
    label: str | None
    probabilities: dict[str, float]
    margin: float | None = None
    problem: str | None = None


class Classifier:
    """A model and a label set. The model is loaded when the first picture needs it.

    `model` is a preset or any OpenCLIP name, `labels` a bundled label set, the path of a TOML file, or a LabelSet;
    `device` is auto, cpu, cuda or mps. Raises ModelError and LabelSetError for what can't be used.
    """

    def __init__(
        self, model: str = models.DEFAULT, labels: str | LabelSet = label_sets.DEFAULT, *, device: str = "auto"
    ) -> None:
        self.model = find_model(model)
        self.labels = labels if isinstance(labels, LabelSet) else find_labels(labels)
        self.device = device

    @cached_property
    def encoder(self) -> Encoder:
        """The loaded model."""
        from hashtag_photos.clip import Encoder  # torch and open_clip: seconds

        return Encoder(self.model, self.device)

    @cached_property
    def prompts(self) -> PromptVectors:
        """The label set as the model sees it."""
        texts = self.encoder.encode_texts(filled(self.labels))
        return PromptVectors(vectors=averaged(texts, len(self.labels.templates)), logit_scale=self.encoder.logit_scale)

    def __call__(self, images: Iterable[str | Path | Image.Image]) -> Iterator[Result]:
        """Classify pictures, given as paths or PIL images, in their order. One that can't be read is a Result too.

        Raises UsageError for one picture that isn't in a list.
        """
        if isinstance(images, str | Path | Image.Image):
            raise UsageError("a classifier takes a list of pictures: classifier([picture])", subject=images)
        return self._results(images)

    def _results(self, images: Iterable[str | Path | Image.Image]) -> Iterator[Result]:
        for batch in encoded(self.encoder, images, self._prepare):
            for image, vector in batch:
                if isinstance(vector, Exception):
                    yield Result(image=image, label=None, probabilities={}, problem=str(vector))
                    continue
                probability = probabilities(vector[None, :], self.prompts, self.labels)
                (label,), margin = decide(probability, self.labels)
                by_class = zip(self.labels.class_names, probability[0].tolist(), strict=True)
                yield Result(image=image, label=label, probabilities=dict(by_class), margin=float(margin[0]))

    def _prepare(self, image: str | Path | Image.Image) -> object:
        if isinstance(image, Image.Image):
            return self.encoder.prepare(to_rgb(image))
        with Path(image).open("rb") as file:
            return self.encoder.prepare(read_rgb(file))


@dataclass(frozen=True, kw_only=True)
class Classified:
    """Counts of the classify stage: distinct images embedded now, classified in all, and those that could not be."""

    new: int
    images: int
    unreadable: int
    scored: bool


def classify(run: Run, classifier: Classifier, *, progress: Progress = silent) -> Classified:
    """Embed the run's images that have no vector of this model yet, and score all of them against the label set.

    The first model and label set that a run is classified with are the ones its report is about; others can be asked
    beside them. Raises ModelError if the model can't be loaded, RunError if nothing was downloaded.
    """
    if "download" not in run.stages:
        raise RunError(
            f"{run.location}: nothing was downloaded yet; run the download stage first", subject=run.location
        )
    model_key, label_key = classifier.model.key, classifier.labels.key
    table, scores = f"embeddings/{model_key}", scores_path(model_key, label_key)
    check_question(run, classifier)
    with run.writing():
        wanted = images_of(run)
        had = {sha for (sha,) in run.keys(table, _SHA, "sha256")}
        todo = [image for image in wanted if image[0] not in had]
        before = run.read_table(scores)
        fresh = not todo and before is not None and set(before.column("sha256").to_pylist()) == had
        run.ask(**{name: value for name, value in question(classifier).items() if name not in run.asked})
        run.record_used("label_sets", label_key, asdict(classifier.labels))
        new = 0
        if wanted and not fresh:
            progress("load model", 0, None)
            _record_model(run, classifier)
            progress("load model", 1, 1)
        if todo:
            new = embed(run, classifier.encoder, model_key, todo, progress=progress)
        if not fresh:
            run.write_table(scores, _scored(run, table, classifier, progress))
        done = Classified(new=new, images=len(wanted), unreadable=len(todo) - new, scored=not fresh)
        run.record_stage("classify", images=done.images, unreadable=done.unreadable)
    return done


def check_question(run: Run, classifier: Classifier) -> None:
    """Raise RunConflictError if the files of the run's own model are no longer those that it was asked with."""
    asked = question(classifier)
    if run.asked.get("model") == asked["model"] and run.asked.get("model_key") != asked["model_key"]:
        raise RunConflictError(
            f"the files of model {classifier.model.name!r} are not those that {run.location} was classified with: "
            "bring them back, or choose another folder with --run",
            subject=classifier.model.name,
        )


def question(classifier: Classifier) -> dict[str, str]:
    """What a run remembers of the classifier that it was asked with."""
    return {
        "model": classifier.model.reference,
        "model_key": classifier.model.key,
        "labels": classifier.labels.key,
    }


def scores_path(model_key: str, label_key: str) -> str:
    """Where the scores of a model and a label set stand in a run."""
    return f"scores/{model_key}/{label_key}.parquet"


def _record_model(run: Run, classifier: Classifier) -> None:
    """Remember what classified; refuse to mix vectors of other weights under the same key."""
    encoder = classifier.encoder
    before = run.used("models", classifier.model.key) or {}
    facts = {
        "name": classifier.model.name,
        **classifier.model.facts,
        "state_sha256": encoder.fingerprint(),
        "preprocessing": encoder.preprocessing,
        "logit_scale": encoder.logit_scale,
        "devices": sorted({encoder.device, *before.get("devices", ())}),
        "software": before.get("software", software()),
    }
    if before and any(before[name] != facts[name] for name in ("state_sha256", "preprocessing", "logit_scale")):
        raise RunConflictError(
            f"{run.location} was classified with other weights of {classifier.model.name!r} than those found now: "
            "use the same weights, or a new folder with --run",
            subject=classifier.model.name,
        )
    run.record_used("models", classifier.model.key, facts)


def _scored(run: Run, table: str, classifier: Classifier, progress: Progress) -> pa.Table:
    """Scores of all images that have a vector."""
    rows = run.dataset(table).to_table()
    if not rows.num_rows:
        return scores_schema(classifier.labels.class_names).empty_table()
    values = rows.column("vector").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    shas, first = np.unique(rows.column("sha256").to_numpy(), return_index=True)
    vectors = values.reshape(rows.num_rows, -1)[first]
    return score(shas.tolist(), vectors, classifier.prompts, classifier.labels, progress=progress)
