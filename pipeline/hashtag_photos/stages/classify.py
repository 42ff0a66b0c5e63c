"""Stage 3: images -> embeddings -> scores, and the Classifier that does the same to any pictures.

Embeddings are keyed by content and model, label sets are scored from them: a second question asks for no image again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from hashtag_photos import labels as label_sets
from hashtag_photos import models
from hashtag_photos.errors import RunConflictError, RunError, UsageError
from hashtag_photos.labels import KINDS, LabelSet, find_labels
from hashtag_photos.models import ModelSpec, find_model
from hashtag_photos.run import Run, software
from hashtag_photos.stages import Progress, silent
from hashtag_photos.stages.embed import embed, encoded, images_left
from hashtag_photos.stages.engine import LOCAL, Encoding, Engine
from hashtag_photos.stages.group import group
from hashtag_photos.stages.joined import is_in_order, long, whole
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
from hashtag_photos.storage import until_answered
from hashtag_photos.tables import scores_schema, vectors_of

if TYPE_CHECKING:
    import torch

    from hashtag_photos.clip import Encoder

_KEYS_AT_ONCE = 65_536
_CHECKED = 256  # images that are computed in fp32 as well where the others are not


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
    `device` is auto, cpu, cuda or mps; `precision` fp32, bf16, or auto, which is bf16 on CUDA where it has it, else
    fp32. `engine` does the work of the classify stage; pictures that are handed over are classified here. Raises
    ModelError, LabelSetError and UsageError for what can't be used.
    """

    def __init__(
        self,
        model: str = models.DEFAULT,
        labels: str | LabelSet = label_sets.DEFAULT,
        *,
        device: str = "auto",
        precision: str = "auto",
        engine: Engine = LOCAL,
    ) -> None:
        if precision not in ("auto", *models.PRECISIONS):
            raise UsageError(
                f"there is no precision {precision!r}: choose auto, {' or '.join(models.PRECISIONS)}", subject=precision
            )
        self._named = find_model(model)
        self.labels = labels if isinstance(labels, LabelSet) else find_labels(labels)
        self.device = device
        self.engine = engine
        self._precision = precision
        self._seen: dict[str, PromptVectors] = {}

    @cached_property
    def model(self) -> ModelSpec:
        """The model, in its precision: for `auto` the device is looked at."""
        return replace(self._named, precision=self._precision if self._precision != "auto" else self._natural())

    def _natural(self) -> str:
        return "fp32" if self.device in ("cpu", "mps") else self.engine.precision(self.device)

    @cached_property
    def encoder(self) -> Encoding:
        """The loaded model, where the engine has it."""
        return self.engine.encoder(self.model, self.device)

    @cached_property
    def reference(self) -> Encoding:
        """The same model in fp32."""
        return self.engine.encoder(replace(self.model, precision="fp32"), self.device)

    @cached_property
    def _here(self) -> Encoder:
        """The loaded model in this process, where pictures are that are handed over."""
        from hashtag_photos.clip import Encoder  # torch and open_clip: seconds

        return self.encoder if isinstance(self.encoder, Encoder) else Encoder(self.model, self.device)

    def sees(self, labels: LabelSet) -> PromptVectors:
        """A label set as the model sees it. Raises ModelError for a prompt that is longer than what the model reads."""
        if labels.key not in self._seen:
            self._seen[labels.key] = _seen(self.encoder, labels)
        return self._seen[labels.key]

    def __call__(self, images: Iterable[str | Path | Image.Image]) -> Iterator[Result]:
        """Classify pictures, given as paths or PIL images, in their order. One that can't be read is a Result too.

        Raises UsageError for one picture that isn't in a list.
        """
        if isinstance(images, str | Path | Image.Image):
            raise UsageError("a classifier takes a list of pictures: classifier([picture])", subject=images)
        return self._results(images)

    def _results(self, images: Iterable[str | Path | Image.Image]) -> Iterator[Result]:
        names = self.labels.class_names
        for batch in encoded(self._here, images, self._prepare):
            vectors = [vector for _, vector in batch if not isinstance(vector, Exception)]
            if vectors:
                stored = np.stack(vectors).astype(np.float16)  # as a run has them
                probability = probabilities(stored, self.sees(self.labels), self.labels)
                answers = zip(*decide(probability, self.labels), probability.tolist(), strict=True)
            for image, vector in batch:
                if isinstance(vector, Exception):
                    yield Result(image=image, label=None, probabilities={}, problem=str(vector))
                    continue
                label, margin, of_classes = next(answers)
                by_class = dict(zip(names, of_classes, strict=True))
                yield Result(image=image, label=label, probabilities=by_class, margin=float(margin))

    def _prepare(self, image: str | Path | Image.Image) -> torch.Tensor:
        if isinstance(image, Image.Image):
            return self._here.prepare(image)
        with Path(image).open("rb") as file:
            return self._here.prepare(file)


def _seen(encoder: Encoding, labels: LabelSet) -> PromptVectors:
    return prompt_vectors(encoder.encode_texts(filled(labels)), labels, encoder.logit_scale)


@dataclass(frozen=True, kw_only=True)
class Classified:
    """Counts of the classify stage: distinct images embedded now, classified in all, and those that could not be.

    `pictures` is how many there are of the images that have a vector where near-duplicates are one.
    `notes` say what a person should know of how it went.
    """

    new: int
    images: int
    pictures: int
    unreadable: int
    scored: bool
    notes: tuple[str, ...] = ()


def classify(run: Run, classifier: Classifier, *, progress: Progress = silent) -> Classified:
    """Embed the run's images that have no vector of this model yet, group those that are the same picture, and score
    all of them against the label set.

    The classifier's engine does the work. What kind of picture each is (label set `picture-kind`) is asked beside it,
    and how far the answers hang on single prompts. The first model and label set that a run is classified with are the
    ones its report is about; others can be asked beside them. Raises ModelError if the model can't be loaded, RunError
    if nothing was downloaded, RunConflictError if vectors of other weights, or of another device in bf16, would be
    mixed.
    """
    if "download" not in run.stages:
        raise RunError(
            f"{run.location}: nothing was downloaded yet; run the download stage first", subject=run.location
        )
    check_question(run, classifier)
    model_key = classifier.model.key
    table = f"embeddings/{model_key}"
    questions = {each.key: each for each in (classifier.labels, find_labels(KINDS))}
    with run.writing():
        had = _embedded(run, table)
        images, todo = images_left(run, had)
        stale = [labels for labels in questions.values() if not _is_scored(run, had, model_key, labels.key)]
        run.ask(**{name: value for name, value in question(classifier).items() if name not in run.asked})
        for key, labels in questions.items():
            run.record_used("label_sets", key, asdict(labels))
        new, notes = 0, []
        if todo.num_rows or (images and stale):
            progress("load model", 0, None)
            _record_model(run, classifier, embeds=todo.num_rows > 0)
            progress("load model", 1, 1)
        if todo.num_rows:
            classifier.encoder.expect(images)
            new = embed(run, classifier.encoder, model_key, todo, engine=classifier.engine, progress=progress)
            notes = list(classifier.encoder.notes)
        run.compact(table)
        pictures = group(run, model_key, engine=classifier.engine, progress=progress)
        if new:
            stale = list(questions.values())
        for labels in stale:
            _score(run, table, classifier, labels, progress)
        done = Classified(
            new=new,
            images=images,
            pictures=pictures,
            unreadable=todo.num_rows - new,
            scored=classifier.labels in stale,
            notes=tuple(notes),
        )
        run.record_stage("classify", images=done.images, unreadable=done.unreadable)
    return done


def check_question(run: Run, classifier: Classifier) -> None:
    """Raise RunConflictError if the run's own model had other files, or was asked in another precision."""
    asked = question(classifier)
    before = run.used("models", str(run.asked.get("model_key"))) or {}
    if before and before.get("pixels") != models.PIXELS:
        raise RunConflictError(
            f"{run.location} was classified by a version of hashtag-photos whose pixels were others: go on with that "
            "version, or begin anew with --run",
            subject=run.location,
        )
    run.check(precision=asked["precision"])
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
        "precision": classifier.model.precision,
        "labels": classifier.labels.key,
    }


def scores_path(model_key: str, label_key: str) -> str:
    """Where the scores of a model and a label set stand in a run."""
    return f"scores/{model_key}/{label_key}.parquet"


def _embedded(run: Run, table: str) -> pa.ChunkedArray:
    """The sha256 of each image that has a vector, once, in order, in one piece."""
    batches = run.batches(table, "sha256", rows=_KEYS_AT_ONCE)
    shas = whole(pa.chunked_array([batch.column(0) for batch in batches], pa.string()))
    if not is_in_order(shas):  # they were embedded in several goes
        shas = shas.unique()
        shas = shas.take(pc.sort_indices(shas))
    return pa.chunked_array([shas])


def _is_scored(run: Run, had: pa.ChunkedArray, model_key: str, label_key: str) -> bool:
    """Whether just these images have scores of a label set, and it is known how far they hang on its prompts."""
    scores = run.read_table(scores_path(model_key, label_key), "sha256")
    if scores is None or not long(scores.column("sha256")).equals(had):
        return False
    return not len(had) or run.storage.exists(robustness_path(model_key, label_key))


def _record_model(run: Run, classifier: Classifier, *, embeds: bool) -> None:
    """Remember what classified; refuse to mix vectors of other weights, or those of two devices where they differ."""
    encoder = classifier.encoder
    before = run.used("models", classifier.model.key) or {}
    devices = before.get("devices", [])
    facts = {
        "name": classifier.model.name,
        **classifier.model.facts,
        "weights_sha256": encoder.weights.sha256,
        "hub": encoder.weights.hub,
        "hub_commit": encoder.weights.commit,
        "licence": classifier.model.licence,
        "preprocessing": encoder.preprocessing,
        "logit_scale": encoder.logit_scale,
        "devices": sorted({*devices, encoder.device}) if embeds else devices,
        "software": before.get("software", []),
    }
    if embeds and software() not in facts["software"]:
        facts["software"] = [*facts["software"], software()]
    if before and any(before[name] != facts[name] for name in ("weights_sha256", "preprocessing", "logit_scale")):
        raise RunConflictError(
            f"{run.location} was classified with other weights of {classifier.model.name!r} than those found now: "
            "use the same weights, or a new folder with --run",
            subject=classifier.model.name,
        )
    if embeds and devices and classifier.model.precision != "fp32" and encoder.device not in devices:
        raise RunConflictError(
            f"{run.location} was classified in {classifier.model.precision} on {', '.join(devices)}, and this is "
            f"{encoder.device}, which rounds in another way: go on where it began, or begin anew with --run",
            subject=encoder.device,
        )
    run.record_used("models", classifier.model.key, facts)


def _score(run: Run, table: str, classifier: Classifier, labels: LabelSet, progress: Progress) -> None:
    """Write the scores of all images that have a vector, and how far they hang on prompts and precision."""
    key = classifier.model.key
    if not run.storage.names(table):
        run.write_table(scores_path(key, labels.key), scores_schema(labels.class_names).empty_table())
        return
    prompts, engine = classifier.sees(labels), classifier.engine
    wordings = robustness(run, table, prompts, labels, engine=engine, progress=progress)
    run.write_table(robustness_path(key, labels.key), wordings)
    if classifier.model.precision != "fp32" and (check := _precision_check(run, table, classifier, labels, prompts)):
        run.record_used("checks", f"{key}/{labels.key}", check)
    scores = score(run, table, prompts, labels, engine=engine, progress=progress)
    run.write_table(scores_path(key, labels.key), scores)


def _precision_check(
    run: Run, table: str, classifier: Classifier, labels: LabelSet, prompts: PromptVectors
) -> dict[str, Any] | None:
    """How the labels of the first images by sha256, which are as good as drawn, differ from those of fp32.

    None if no image can be read to be computed again.
    """
    exact = _in_fp32(run, table, classifier)
    if not exact:
        return None
    stored = _stored(run, table, list(exact))
    ours = probabilities(np.stack([stored[sha] for sha in exact]), prompts, labels)
    theirs = probabilities(np.stack(list(exact.values())), _seen(classifier.reference, labels), labels)
    return {
        "precision": classifier.model.precision,
        "images": len(exact),
        "labels_differing": sum(
            a != b for a, b in zip(decide(ours, labels)[0], decide(theirs, labels)[0], strict=True)
        ),
        "largest_change": float(np.abs(ours - theirs).max()),
    }


@until_answered
def _stored(run: Run, table: str, shas: list[str]) -> dict[str, npt.NDArray[np.float16]]:
    with run.readable(table):
        rows = run.dataset(table).to_table(filter=pc.field("sha256").isin(shas))
    return dict(zip(rows.column("sha256").to_pylist(), vectors_of(rows.column("vector")), strict=True))


@until_answered
def _drawn(run: Run, table: str) -> pa.Table:
    """The first images by sha256 that have a vector, with their formats."""
    with run.database(embedded=run.dataset(table)) as database:
        return database.sql(
            f"""SELECT sha256, any_value(format) AS format FROM photos JOIN (SELECT DISTINCT sha256 FROM embedded)
            USING (sha256) WHERE status = 'ok' GROUP BY sha256 ORDER BY sha256 LIMIT {_CHECKED}"""
        ).to_arrow_table()


def _in_fp32(run: Run, table: str, classifier: Classifier) -> dict[str, npt.NDArray[np.float32]]:
    """Vectors in fp32 by sha256: those that are stored, and those of images that came since, as far as drawn."""
    path = f"{table}/in-fp32.parquet"
    before = run.read_table(path)
    vectors = {
        row["sha256"]: np.frombuffer(row["vector"], dtype="<f4") for row in (before.to_pylist() if before else ())
    }
    drawn = _drawn(run, table)
    left = drawn.filter(pc.invert(pc.is_in(drawn.column("sha256"), pa.array(list(vectors), pa.string()))))
    new = {
        sha: vector
        for batch in classifier.engine.encode(run, classifier.reference, left)
        for (sha, _), vector in batch
        if not isinstance(vector, Exception)
    }
    if new:
        vectors |= new
        shas = pa.array(list(vectors), pa.string())
        stored = pa.array([each.astype("<f4").tobytes() for each in vectors.values()], pa.binary())
        run.write_table(path, pa.table([shas, stored], names=["sha256", "vector"]))
    return vectors
