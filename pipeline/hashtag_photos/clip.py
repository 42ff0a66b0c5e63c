"""The one module that runs models: pictures -> vectors, texts -> vectors. With devices.py and pixels.py the only
one to import torch.

Vectors are unit vectors as float32 arrays, and those of OpenCLIP: the model is built by its `create_model`, its weights
are loaded by its `load_checkpoint`, and what OpenCLIP passes over in silence is an error here: weights that aren't
there, a tokenizer of another vocabulary, a prompt that is cut. It knows nothing of runs, classes or files other than
weights.

On a GPU a batch is copied while the one before is computed, and each GPU of the machine gets batches in turn.
"""

from __future__ import annotations

import copy
import importlib.util
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt
import open_clip
import torch
from open_clip.factory import load_checkpoint
from PIL import Image
from torch.overrides import TorchFunctionMode

from hashtag_photos.devices import all_of, choose_device
from hashtag_photos.errors import ModelError
from hashtag_photos.models import ModelSpec
from hashtag_photos.pixels import Preprocessing
from hashtag_photos.weights import Weights, fetch_weights
from hashtag_photos.words import first_line

Vectors = npt.NDArray[np.float32]

CPU_BATCH = 32  # of a ViT-B-32: with more, a core computes nothing faster
GPU_BATCH = 512
COMPILE_FROM = 300_000  # images: a compilation takes about a minute, and saves perhaps a tenth of the time after it


class Encoder:
    """An OpenCLIP model on a device, in the precision of its spec. Raises ModelError if it can't be loaded.

    `notes` are what a person should know of how it went, such as batches that had to be halved. Without `texts` it
    needs no tokenizer, and encodes pictures alone.
    """

    def __init__(self, spec: ModelSpec, device: str = "auto", *, texts: bool = True) -> None:
        chosen = choose_device(device)
        if texts:
            _check_packages(spec)
        self.spec = spec
        self.precision = spec.precision
        #: cpu, cuda or mps
        self.device = torch.device(chosen).type
        self.weights: Weights = fetch_weights(spec)
        self.notes: list[str] = []
        try:
            model, config = _load(spec, self.weights)
            self._tokenizer = _tokenizer(spec, self.weights, config) if texts else None
        except Exception as error:
            if isinstance(error, ImportError) or "pip install" in str(error):
                what = "it needs a package that is not installed"
            elif _is_out_of_memory(error):
                what = "it doesn't fit into this machine's memory: take a smaller model with --model"
            else:
                what = f"{self.weights.path.parent} is damaged, or not of this OpenCLIP: fetch it anew"
            raise ModelError(
                f"model {spec.name!r} can't be loaded: {first_line(error).rstrip('.')}; {what}", subject=spec.name
            ) from error
        #: exp of the learned temperature: cosines are multiplied with it before the softmax
        self.logit_scale = float(model.logit_scale.detach().float().exp())
        self.preprocessing = {key: _plain(value) for key, value in open_clip.get_model_preprocess_cfg(model).items()}
        self._pixels = Preprocessing(self.preprocessing)
        if texts:
            self._check_tokenizer(model, config)
        with self._memory_of(chosen, "at all"):
            self._lanes = _lanes(model, self._pixels, all_of(chosen), self.precision)
        self._turn = 0
        self.batch_size = self._fitting_batch() if self.device == "cuda" else CPU_BATCH
        #: batches that may be under way at once: on a CPU none, since it computes them where it is asked
        self.ahead = 2 * len(self._lanes) if self.device == "cuda" else 0

    def prepare(self, picture: BinaryIO | Image.Image) -> torch.Tensor:
        """A picture's pixels as the device takes them, (3, height, width): as OpenCLIP's `preprocess_val` gives them,
        or for a GPU, which finishes that itself, as bytes. Safe in threads.

        Raises ImageError for a file that is no image.
        """
        pixels = self._pixels(picture)
        return pixels if self.device == "cuda" else self._pixels.normalised(pixels)

    def encode_images(self, prepared: Sequence[torch.Tensor]) -> Vectors:
        """Unit vectors of prepared pictures, (n, dimension)."""
        return self.begin(prepared)()

    def begin(self, prepared: Sequence[torch.Tensor]) -> Callable[[], Vectors]:
        """Begin to encode prepared pictures; what is returned waits for their unit vectors, (n, dimension).

        Where the device's memory is not enough, batches are halved from there on, which `notes` says. Raises ModelError
        if it is not enough for one picture, or if vectors come out that are no numbers.
        """
        lane = self._lanes[self._turn % len(self._lanes)]
        self._turn += 1
        pieces = list(self._pieces(lane, prepared))

        def finish() -> Vectors:
            vectors = np.concatenate([piece() for piece in pieces])
            if not np.isfinite(vectors).all():
                raise ModelError(
                    f"model {self.spec.name!r} gives vectors that are no numbers: its weights are damaged, or too "
                    f"large for {self.precision}; try --precision fp32, or fetch the weights anew",
                    subject=self.spec.name,
                )
            return vectors

        return finish

    def expect(self, images: int) -> None:
        """Say how many images will come: a GPU's model is compiled where that pays, and can be done."""
        if self.device != "cuda" or images < COMPILE_FROM:
            return
        blank = self.prepare(Image.new("RGB", (16, 16)))
        for lane in self._lanes:
            lane.compile(self.batch_size)
            try:
                lane.launch([blank])()
            except Exception as error:  # noqa: BLE001  a compiler that is missing, old, or out of memory raises anything
                self.notes.append(f"the model is not compiled: {first_line(error).rstrip('.')}")
                lane.relieve()

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of texts, (n, dimension). Raises ModelError for one that is longer than what the model reads."""
        lane = self._lanes[0]
        parts = []
        for start in range(0, len(texts), CPU_BATCH):
            tokens = self._tokens(texts[start : start + CPU_BATCH])
            with self._memory_of(lane.device, "with its prompts"):
                found = _unit(lane.model.encode_text(tokens.to(lane.device), normalize=False)).cpu().numpy()
            parts.append(found)
        return np.concatenate(parts)

    def _pieces(self, lane: _Lane, prepared: Sequence[torch.Tensor]) -> Iterator[Callable[[], Vectors]]:
        start = 0
        while start < len(prepared):
            piece = prepared[start : start + self.batch_size]
            with self._memory_of(lane.device, "with a single picture" if len(piece) == 1 else None) as enough:
                begun = lane.launch(piece)
            if enough:
                yield begun
                start += len(piece)
            else:  # out of the handler, whose traceback would keep hold of what is to be given back
                self.batch_size = len(piece) // 2
                for each in self._lanes:  # the others' compiled models know the size that was
                    each.relieve()
                self.notes = [
                    *(note for note in self.notes if not note.startswith("out of memory")),
                    f"out of memory on {lane.device}: batches of {self.batch_size} from here on",
                ]

    @contextmanager
    def _memory_of(self, device: str, least: str | None) -> Iterator[list[bool]]:
        """Whether a device's memory was enough for what is done inside; ModelError if it has to be."""
        enough = [True]
        try:
            yield enough
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            if least is not None:
                raise ModelError(
                    f"model {self.spec.name!r} doesn't fit into the memory of {device} {least}: free some, take a "
                    "smaller model with --model, or the processor with --device cpu",
                    subject=self.spec.name,
                ) from error
            enough.clear()

    def _fitting_batch(self) -> int:
        """Pictures that half of a GPU's memory has room for: a power of two, at most 512, the same each time."""
        lane = self._lanes[0]
        blank = self.prepare(Image.new("RGB", (16, 16)))
        with self._memory_of(lane.device, "with a single picture"):
            lane.launch([blank])()  # what a device sets up once is not counted
        torch.cuda.reset_peak_memory_stats(lane.device)
        before = torch.cuda.memory_allocated(lane.device)
        with self._memory_of(lane.device, None) as enough:
            lane.launch([blank] * 8)()
        if not enough:
            return 4
        each = max(1, (torch.cuda.max_memory_allocated(lane.device) - before) // 8)
        room = torch.cuda.get_device_properties(lane.device).total_memory // 2
        return int(min(GPU_BATCH, 2 ** max(0, (room // each).bit_length() - 1)))

    # Texts

    def _tokens(self, texts: Sequence[str]) -> torch.Tensor:
        """Tokens as the model reads them. OpenCLIP's tokenizers cut what is too long without a word."""
        tokenizer: Any = self._tokenizer
        tokens = tokenizer(list(texts))
        longer = tokenizer(list(texts), context_length=4 * tokens.shape[1])
        for text, row, whole in zip(texts, tokens, longer, strict=True):
            # the one that is cut ends in another token, or has more than filling behind it
            if not torch.equal(row, whole[: len(row)]) or bool((whole[len(row) :] != whole[-1]).any()):
                raise ModelError(
                    f"the prompt {_shortened(text)} is longer than the {tokens.shape[1]} tokens that model "
                    f"{self.spec.name!r} reads: shorten it, or its template",
                    subject=text,
                )
        return cast(torch.Tensor, tokens)

    def _check_tokenizer(self, model: torch.nn.Module, config: dict[str, Any]) -> None:
        """Raise ModelError for a tokenizer that is not the model's: its texts would be read as others, in silence."""
        tokenizer: Any = self._tokenizer
        filling = config.get("text_cfg", {}).get("pad_id")
        text = getattr(model, "text", model)
        length = getattr(text, "context_length", None) or getattr(model, "context_length", None)
        words = getattr(text, "vocab_size", None) or getattr(model, "vocab_size", None)
        probe = tokenizer(["a photo of a person", "a"])
        own = getattr(tokenizer, "vocab_size", None) or len(getattr(tokenizer, "tokenizer", ()))
        problem = None
        if length and probe.shape[1] != length:
            problem = f"gives {probe.shape[1]} tokens, the model reads {length}"
        elif words and own and not 0.9 * words <= own <= words:  # which some are rounded up to
            problem = f"knows {own:,} words, the model {words:,}"
        elif not bool((probe[1][3:] == probe[1][-1]).all()):
            problem = "doesn't fill short texts up at their end"
        elif filling is not None and int(probe[1][-1]) != filling:
            problem = f"fills short texts up with {int(probe[1][-1])}, the model expects {filling}"
        if problem:
            raise ModelError(
                f"the tokenizer that OpenCLIP has for model {self.spec.name!r} {problem}: it is not the one that the "
                "model was trained with; check hf_tokenizer_name and context_length in its open_clip_config.json",
                subject=self.spec.name,
            )


class _Lane:
    """A copy of the model on a device that computes when it is asked to: a CPU, or MPS."""

    def __init__(self, model: torch.nn.Module, device: str, precision: str) -> None:
        self.model: Any = model.to(device).eval()
        self.device = device
        self._dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self._encode: Any = self.model.encode_image

    @torch.inference_mode()
    def launch(self, prepared: Sequence[torch.Tensor]) -> Callable[[], Vectors]:
        batch = torch.stack(list(prepared)).to(self.device, self._dtype)
        vectors = cast(Vectors, _unit(self._encode(batch, normalize=False)).cpu().numpy())
        return lambda: vectors

    def relieve(self) -> None:
        """Give back memory that is held for later."""

    def compile(self, batch_size: int) -> None:
        """Make the model faster for batches of one size."""


class _GpuLane(_Lane):
    """A copy of the model on a GPU: pixels are copied as bytes on a stream of their own, while others are computed."""

    def __init__(
        self, model: torch.nn.Module, pixels: Preprocessing, device: str, precision: str, cuda: Any = torch.cuda
    ) -> None:
        super().__init__(model, device, precision)
        self._pixels = pixels
        self._cuda = cuda
        self._copying = cuda.Stream(device)
        self._padded = 0

    @torch.inference_mode()
    def launch(self, prepared: Sequence[torch.Tensor]) -> Callable[[], Vectors]:
        cuda, computing = self._cuda, self._cuda.current_stream(self.device)
        rows = max(len(prepared), self._padded)  # a compiled model knows one size
        host = torch.empty((rows, *prepared[0].shape), dtype=torch.uint8, pin_memory=torch.cuda.is_available())
        torch.stack(list(prepared), out=host[: len(prepared)])
        with cuda.stream(self._copying):
            pixels = host.to(self.device, non_blocking=True)
        computing.wait_stream(self._copying)
        if pixels.is_cuda:
            pixels.record_stream(computing)  # or its memory would be given to the next copy while it is read
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False) if pixels.is_cuda else nullcontext():
            vectors = _unit(self._encode(self._pixels.normalised(pixels).to(self._dtype), normalize=False))
        found = torch.empty(vectors.shape, pin_memory=torch.cuda.is_available())
        found.copy_(vectors, non_blocking=True)
        done = cuda.Event()
        done.record(computing)

        def wait() -> Vectors:
            done.synchronize()
            return cast(Vectors, found[: len(prepared)].numpy())

        return wait

    def relieve(self) -> None:
        self._padded = 0
        self._encode = self.model.encode_image
        self._cuda.synchronize(self.device)
        self._cuda.empty_cache()

    def compile(self, batch_size: int) -> None:
        self._encode = torch.compile(self.model.encode_image)
        self._padded = batch_size


def _lanes(model: torch.nn.Module, pixels: Preprocessing, devices: list[str], precision: str) -> list[_Lane]:
    """The model on each device, copied while it is still in the machine's own memory."""
    if not devices[0].startswith("cuda"):
        return [_Lane(model, devices[0], precision)]
    models = [model, *(copy.deepcopy(model) for _ in devices[1:])]
    return [_GpuLane(each, pixels, device, precision) for each, device in zip(models, devices, strict=True)]


def _unit(features: torch.Tensor) -> torch.Tensor:
    """Features at length 1, in float32 also where a model computes in bf16, whose three digits would miss it."""
    return torch.nn.functional.normalize(features.float(), dim=-1)


def _is_out_of_memory(error: Exception) -> bool:
    """In the words of CUDA, cuBLAS, cuDNN, MPS and the CPU's allocator."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        words in str(error).lower()
        for words in ("out of memory", "allocate memory", "not enough memory", "alloc_failed")
    )


# Loading


class _Blank(TorchFunctionMode):
    """Leaves out the random numbers that a new model is filled with, seconds of work: weights replace all of them.

    Buffers, which weights may not have, are computed as ever. That nothing stays blank, `load_state_dict` holds: it is
    strict.
    """

    _FILLS = frozenset(("normal_", "uniform_", "erfinv_"))
    _CHANGES = frozenset(("mul_", "add_", "div_", "clamp_"))

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        filled = args[0] if args else kwargs.get("tensor")
        name = getattr(func, "__name__", "")
        if isinstance(filled, torch.nn.Parameter) and (
            getattr(func, "__module__", None) == "torch.nn.init" or name in self._FILLS or name in self._CHANGES
        ):
            return filled
        return func(*args, **kwargs)


def _check_packages(spec: ModelSpec) -> None:
    """Raise ModelError, before anything is downloaded, for a model that needs a package that isn't installed."""
    config = None if spec.architecture.startswith("hf-hub:") else open_clip.get_model_config(spec.architecture)
    text = (config or {}).get("text_cfg", {})
    needs = text.get("hf_tokenizer_name") or text.get("hf_model_name")
    if needs and importlib.util.find_spec("transformers") is None:
        raise ModelError(
            f"model {spec.name!r} reads texts with the tokenizer {needs}, which needs the package transformers: "
            "pip install transformers sentencepiece",
            subject=spec.name,
        )


def _tokenizer(spec: ModelSpec, weights: Weights, config: dict[str, Any]) -> Any:
    """The tokenizer that OpenCLIP has for a model. One of the hub's own repository is asked for by the hub's name."""
    local = f"local-dir:{weights.path.parent}" if spec.architecture.startswith("hf-hub:") else spec.architecture
    with _quiet():
        words = config.get("text_cfg", {}).get("hf_tokenizer_name")
        return open_clip.get_tokenizer(spec.architecture if words else local)


def _load(spec: ModelSpec, weights: Weights) -> tuple[Any, dict[str, Any]]:
    """The model with its weights, on the CPU, and its configuration."""
    name = f"local-dir:{weights.path.parent}" if spec.architecture.startswith("hf-hub:") else spec.architecture
    tag = open_clip.get_pretrained_cfg(name, spec.weights) if spec.weights else {}
    with _quiet(), _Blank():
        model: Any = open_clip.create_model(
            name,
            load_weights=False,
            pretrained_text=False,
            precision=spec.precision,
            # what OpenCLIP takes from the tag when it loads the weights itself; the size is the model's
            force_preprocess_cfg={key: value for key, value in tag.items() if key != "size"},
        )
    with _quiet():
        if spec.precision == "fp32":  # the file's own memory becomes the model's
            model.load_state_dict = partial(model.load_state_dict, assign=True)
        load_checkpoint(model, str(weights.path), strict=True, weights_only=True)
        if spec.precision == "fp32":
            del model.load_state_dict
            model = model.float()
    return model.requires_grad_(False), open_clip.get_model_config(name) or {}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the log lines of OpenCLIP and the hub: what fails raises, and is said once."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:79]}…")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
