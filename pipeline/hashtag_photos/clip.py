"""The one module that imports torch and open_clip: pictures -> vectors, texts -> vectors.

Vectors are unit vectors as float32 arrays. Weights are always asked for: OpenCLIP otherwise builds a model of random
numbers and only logs a warning. It knows nothing of runs, classes or files other than weights.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import open_clip
import torch
from PIL import Image

from hashtag_photos.errors import ModelError
from hashtag_photos.models import ModelSpec

Vectors = npt.NDArray[np.float32]


def pretrained_names() -> list[str]:
    """Every model that OpenCLIP has weights for, as architecture/weights."""
    return [f"{architecture}/{weights}" for architecture, weights in open_clip.list_pretrained()]


def choose_device(asked: str) -> str:
    """The device that a name means; `auto` is CUDA or MPS where torch can use it, else the CPU.

    Raises ModelError for one that can't be used. A GPU that is there but unusable is never silently replaced.
    """
    if asked == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(asked)
        torch.zeros(1, device=device)
    except Exception as error:  # torch raises RuntimeError, AssertionError and others here
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"device {asked!r} can't be used: {reason}; use auto, cpu, cuda or mps", subject=asked
        ) from error
    return str(device)


class Encoder:
    """An OpenCLIP model on a device, in fp32. Raises ModelError if it can't be loaded with its weights."""

    def __init__(self, spec: ModelSpec, device: str = "auto") -> None:
        self.device = choose_device(device)
        try:
            with _quiet():
                model, _, preprocess = open_clip.create_model_and_transforms(
                    spec.architecture,
                    pretrained=spec.weights,
                    precision="fp32",
                    device=self.device,
                    require_pretrained=True,
                    weights_only=True,
                )
                self._tokenize = open_clip.get_tokenizer(spec.architecture)
        except Exception as error:
            if spec.folder is not None:
                what = f"its folder {spec.folder} is damaged, or not of this OpenCLIP"
            else:
                what = (
                    "its weights are downloaded on first use: check the network, or give a folder that has them: "
                    "--model local-dir:/path"
                )
            raise ModelError(
                f"model {spec.name!r} can't be loaded: {_first_line(error)}; {what}", subject=spec.name
            ) from error
        self._model = model.eval()
        self._preprocess = preprocess
        #: exp of the learned temperature: cosines are multiplied with it before the softmax
        self.logit_scale = float(model.logit_scale.detach().exp())
        self.preprocessing = {key: _plain(value) for key, value in open_clip.get_model_preprocess_cfg(model).items()}

    def fingerprint(self) -> str:
        """The sha256 of all weights as loaded, wherever they came from."""
        digest = hashlib.sha256()
        for name, values in sorted(self._model.state_dict().items()):
            digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
            digest.update(values.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def prepare(self, image: Image.Image) -> torch.Tensor:
        """An RGB image as the model's input, (3, height, width); safe in threads."""
        return cast(torch.Tensor, self._preprocess(image))

    @torch.inference_mode()
    def encode_images(self, prepared: Sequence[torch.Tensor]) -> Vectors:
        """Unit vectors of prepared images, (n, dimension)."""
        batch = torch.stack(list(prepared)).to(self.device)
        return cast(Vectors, self._model.encode_image(batch, normalize=True).float().cpu().numpy())

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of texts, (n, dimension)."""
        tokens = self._tokenize(list(texts)).to(self.device)
        return cast(Vectors, self._model.encode_text(tokens, normalize=True).float().cpu().numpy())


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the log lines of OpenCLIP and the hub: what fails raises, and is said once."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
