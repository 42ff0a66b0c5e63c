"""Models in a Ray cluster: an actor on each GPU, or one on each node where there is none, does what clip.Encoder does
here.

They are actors of our own and no pool of Ray Data's, which begins and ends with each data set: the same ones, loaded
once, say what a run has to remember of a model, encode the prompts, then the images, then the next question's prompts.
They reserve no CPUs: what they do takes turns with the other stages, whose tasks would wait for them.

Images go out in blocks of whole batches and come back a batch at a time, in order. Batches are cut where the local
engine cuts them, and an actor computes with as many threads as a process of its own would: so the vectors are the same
to the last bit. Where an actor dies another one takes its place, and its blocks go on behind the last batch that came.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hashtag_photos.engines.nodes import Fit, address, cause_of, in_folder, versions
from hashtag_photos.errors import ModelError, RunError
from hashtag_photos.models import ModelSpec, find_model
from hashtag_photos.run import Run
from hashtag_photos.stages import cores
from hashtag_photos.words import first_line

if TYPE_CHECKING:
    import pyarrow as pa

    from hashtag_photos.clip import Encoder
    from hashtag_photos.engines.ray import Ray

_UNDER_WAY = 2  # blocks for each actor, so that it needn't wait for the next
_BATCHES = 8  # in a block
_BATCHES_ON_GPU = 32  # where decoding goes on beside the model, and begins anew with each block
_RELEASE_SECONDS = 10.0  # after which GPUs are free again that a command before had
_DEATHS = 3  # of actors in a row, while no batch came

Floats = npt.NDArray[np.float32]
Image = tuple[str, str]  # sha256 and format


class Models:
    """The models of a cluster. Actors are started when they are first needed, and end with this."""

    def __init__(self, engine: Ray) -> None:
        self._engine = engine
        self._slots: dict[bool, list[_Slot]] = {}

    def precision(self, device: str) -> str:
        """See Engine."""
        slots, device = self.slots(device)
        (found,) = _asked(slots[:1], "precision", device)
        return str(found)

    def encoder(self, model: ModelSpec, device: str) -> RemoteEncoder:
        """See Engine."""
        slots, device = self.slots(device)
        asked = _Model(model.reference, model.name, model.precision, model.key, device)
        return RemoteEncoder(asked, slots)

    def encode(
        self, run: Run, encoder: RemoteEncoder, images: pa.Table
    ) -> Iterator[list[tuple[Image, Floats | Exception]]]:
        """See Engine."""
        with in_folder(run) as fit:
            self._engine.nodes(fit)
            yield from self._encode(fit, encoder, images)

    def _encode(
        self, fit: Fit, encoder: RemoteEncoder, images: pa.Table
    ) -> Iterator[list[tuple[Image, Floats | Exception]]]:
        size = encoder.batch_size * (_BATCHES_ON_GPU if encoder.device == "cuda" else _BATCHES)
        starts = range(0, len(images), size)
        slots = encoder.loaded(len(starts))
        task = _Task(fit, encoder.model, encoder.batch_size, encoder.expected)
        blocks = (_Block(slots[n % len(slots)], task, images.slice(start, size)) for n, start in enumerate(starts))
        waiting: deque[_Block] = deque()
        try:
            while True:
                while len(waiting) < _UNDER_WAY * len(slots) and (block := next(blocks, None)):
                    waiting.append(block)
                if not waiting:
                    return
                for outcomes, notes in waiting[0].batches():
                    encoder.note(notes)
                    yield outcomes
                waiting.popleft()
        finally:
            for block in waiting:  # somebody stopped in the middle: nobody wants what they are at
                block.slot.end()

    def slots(self, device: str) -> tuple[list[_Slot], str]:
        """Where the actors are that compute on a device, and what it is called there. Raises ModelError."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        kind = device.partition(":")[0]
        nodes = self._engine.nodes()
        gpus = sum(node.gpus for node in nodes)
        on_gpu = kind == "cuda" or (kind == "auto" and gpus > 0)
        if on_gpu and device not in ("auto", "cuda"):
            raise ModelError(
                f"device {device!r}: Ray says which GPU computes what; use cuda, which is all", subject=device
            )
        if on_gpu and not gpus:
            raise ModelError(
                f"device {device!r} can't be used: the Ray cluster has no GPU; use auto or cpu", subject=device
            )
        if on_gpu not in self._slots:
            if on_gpu:
                last = time.monotonic() + _RELEASE_SECONDS
                while not (free := int(ray.available_resources().get("GPU", 0))):  # type: ignore[no-untyped-call]
                    if time.monotonic() > last:
                        raise ModelError(
                            f"all GPUs of the Ray cluster ({gpus}) are taken by others: wait, or use --device cpu",
                            subject=device,
                        )
                    time.sleep(0.2)
                threads = {node.id: max(1, node.cpus // node.gpus) for node in nodes if node.gpus}
                slots = [_Slot({"num_gpus": 1}, threads) for _ in range(free)]
            else:
                slots = [
                    _Slot({"scheduling_strategy": NodeAffinitySchedulingStrategy(node.id, soft=True)}) for node in nodes
                ]
            self._slots[on_gpu] = slots
        return self._slots[on_gpu], "cuda" if on_gpu else device


class RemoteEncoder:
    """A model on the actors of a cluster: an Encoding."""

    def __init__(self, model: _Model, slots: list[_Slot]) -> None:
        self.model = model
        self._slots = slots
        (self._facts,) = _asked(slots[:1], "load", model)
        self._notes: list[str] = []
        #: how many images will come
        self.expected = 0
        self.weights: _Weights = self._facts.weights
        self.preprocessing: Mapping[str, Any] = self._facts.preprocessing
        self.logit_scale: float = self._facts.logit_scale
        self.device: str = self._facts.device
        self.batch_size: int = self._facts.batch_size

    @property
    def notes(self) -> Sequence[str]:
        """What a person should know of how it went, on any of the actors."""
        return self._notes

    def note(self, notes: Sequence[str]) -> None:
        """Remember what an actor has to say."""
        self._notes += [each for each in notes if each not in self._notes]

    def expect(self, images: int) -> None:
        """Say how many images will come."""
        self.expected = images

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        """Unit vectors of texts, (n, dimension). Raises ModelError for one that is longer than what the model reads."""
        (found,) = _asked(self._slots[:1], "texts", self.model, list(texts))
        return np.asarray(found, dtype=np.float32)

    def loaded(self, blocks: int) -> list[_Slot]:
        """The actors that so many blocks need, all with the same model. Raises ModelError if it isn't everywhere."""
        slots = self._slots[: max(1, blocks)]
        for other in _asked(slots, "load", self.model):
            if replace(other, node=self._facts.node, batch_size=self.batch_size) != self._facts:
                raise ModelError(
                    f"model {self.model.name!r} is not the same on {self._facts.node} and {other.node}, nodes of the "
                    "Ray cluster (weights or kind of device): have the same on both",
                    subject=self.model.name,
                )
        return slots


# What goes over the wire


@dataclass(frozen=True)
class _Model:
    """Which model, by what finds it again; its key says that it is the same."""

    reference: str
    name: str
    precision: str
    key: str
    device: str


@dataclass(frozen=True)
class _Weights:
    sha256: str
    hub: str | None
    commit: str | None


@dataclass(frozen=True)
class _Facts:
    """What is to be known of a loaded model, and on which node it is."""

    weights: _Weights
    preprocessing: Mapping[str, Any]
    logit_scale: float
    device: str
    batch_size: int
    node: str


@dataclass(frozen=True)
class _Task:
    """What all blocks of one stage have in common."""

    fit: Fit
    model: _Model
    batch_size: int
    expected: int


# On the driver


class _LostError(Exception):
    """An actor is gone."""


class _Slot:
    """A place for an actor: a GPU, or a node."""

    def __init__(self, options: dict[str, Any], threads: Mapping[str, int] | None = None) -> None:
        self._options = options
        self._threads = threads or {}
        self._actor: Any = None

    @property
    def actor(self) -> Any:
        if self._actor is None:
            import ray

            own = os.environ.get("OMP_NUM_THREADS")
            self._actor = ray.remote(_Actor).options(num_cpus=0, **self._options).remote(versions(), own, self._threads)
        return self._actor

    def lost(self, actor: Any) -> bool:
        """Take leave of an actor that died; whether it was the one that stands here."""
        if actor is not self._actor:
            return False
        self.end()
        return True

    def end(self) -> None:
        if self._actor is not None:
            import ray

            ray.kill(self._actor)
            self._actor = None


class _Block:
    """Some images, on their way."""

    def __init__(self, slot: _Slot, task: _Task, images: pa.Table) -> None:
        self.slot = slot
        self._task = task
        self._left: list[Image] = list(
            zip(images.column("sha256").to_pylist(), images.column("format").to_pylist(), strict=True)
        )
        self._begin()

    def _begin(self) -> None:
        self._actor = self.slot.actor
        self._stream = self._actor.images.options(num_returns="streaming").remote(self._task, self._left)

    def batches(self) -> Iterator[tuple[list[tuple[Image, Floats | Exception]], list[str]]]:
        """Batches of images with what became of each, and what there is to be noted."""
        deaths = 0
        while self._left:
            try:
                problems, vectors, notes = _next(self._stream)
            except _LostError as error:
                deaths += self.slot.lost(self._actor)
                if deaths == _DEATHS:
                    raise _given_up(f"encode images (from {self._left[0][0]} on)", error) from error
                self._begin()
                continue
            deaths = 0
            batch, self._left = self._left[: len(problems)], self._left[len(problems) :]
            found = iter(vectors)
            outcomes: list[tuple[Image, Floats | Exception]] = [
                (image, next(found) if problem is None else OSError(problem))
                for image, problem in zip(batch, problems, strict=True)
            ]
            yield outcomes, notes


def _asked(slots: Sequence[_Slot], method: str, *args: Any) -> list[Any]:
    """What the actors answer, all at once. Raises the errors of ours that they raise."""
    begun = [(slot.actor, getattr(slot.actor, method).remote(*args)) for slot in slots]
    answers = []
    for slot, (actor, ref) in zip(slots, begun, strict=True):
        deaths = 0
        while True:
            try:
                answers.append(_got(ref))
                break
            except _LostError as error:
                deaths += 1
                if deaths == _DEATHS:
                    raise _given_up(f"were asked for a model ({method})", error) from error
                slot.lost(actor)
                actor = slot.actor
                ref = getattr(actor, method).remote(*args)
    return answers


def _next(stream: Any) -> Any:
    from ray.exceptions import RayError

    try:
        ref = next(stream, None)
    except RayError as error:
        raise _LostError(first_line(error)) from error
    if ref is None:
        raise _LostError("it ended without a word")
    return _got(ref)


def _got(ref: Any) -> Any:
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        return ray.get(ref)
    except RayTaskError as error:
        raise cause_of(error) from None
    except RayError as error:
        raise _LostError(first_line(error)) from error


def _given_up(what: str, error: Exception) -> RunError:
    return RunError(
        f"{_DEATHS} workers of the Ray cluster died one after the other when they {what} ({error}); is there memory "
        "enough for the model? What was had is kept: the same command goes on from here",
        subject="ray",
    )


# On a worker


class _Actor:
    """Has models in its memory, and encodes with them."""

    def __init__(self, fit: Fit, threads: str | None, decoding: Mapping[str, int]) -> None:
        import ray

        self._fit = fit
        # before torch is loaded: Ray says 1, where torch would take all cores
        if threads is None:
            os.environ.pop("OMP_NUM_THREADS", None)
        else:
            os.environ["OMP_NUM_THREADS"] = threads
        self._decoding = decoding.get(ray.get_runtime_context().get_node_id(), cores())
        self._models: dict[_Model, Encoder] = {}
        self._task: _Task | None = None
        self._run: Run | None = None

    def precision(self, device: str) -> str:
        self._fit.check()
        from hashtag_photos.devices import choose_device, natural_precision

        return natural_precision(choose_device(device))

    def load(self, model: _Model) -> _Facts:
        encoder = self._encoder(model)
        weights = encoder.weights
        return _Facts(
            weights=_Weights(weights.sha256, weights.hub, weights.commit),
            preprocessing=encoder.preprocessing,
            logit_scale=encoder.logit_scale,
            device=encoder.device,
            batch_size=encoder.batch_size,
            node=address(),
        )

    def texts(self, model: _Model, texts: Sequence[str]) -> Floats:
        return self._encoder(model).encode_texts(texts)

    def images(
        self, task: _Task, images: Sequence[Image]
    ) -> Iterator[tuple[list[str | None], Sequence[Floats] | Floats, list[str]]]:
        """Of a batch each time: why an image can't be read, or None; the vectors of the others; what is to be noted."""
        import pyarrow as pa

        from hashtag_photos.stages.embed import images_encoded

        task.fit.check()
        encoder = self._encoder(task.model)
        if self._run is None or task != self._task:
            self._task, self._run = task, Run(task.fit.where)
            encoder.batch_size = min(encoder.batch_size, task.batch_size)  # as that of the first of the actors
            encoder.expect(task.expected)
        shas, formats = zip(*images, strict=True)
        rows = pa.table({"sha256": pa.array(shas, pa.string()), "format": pa.array(formats, pa.string())})
        for batch in images_encoded(self._run, encoder, rows, self._decoding):
            problems = [str(found) if isinstance(found, Exception) else None for _, found in batch]
            vectors = [found for _, found in batch if not isinstance(found, Exception)]
            yield problems, np.stack(vectors) if vectors else [], list(encoder.notes)

    def _encoder(self, model: _Model) -> Encoder:
        self._fit.check()
        if model not in self._models:
            from hashtag_photos.clip import Encoder

            found = replace(find_model(model.reference), precision=model.precision)
            if found.key != model.key:
                raise ModelError(
                    f"the files of model {model.name!r} are others on {address()}, a node of the "
                    "Ray cluster, than where the command was given: have the same there",
                    subject=model.name,
                )
            self._models[model] = Encoder(found, model.device)
        return self._models[model]
