"""What a model costs on this machine: pictures a second, decoded and through the model, in about five seconds.

The pictures are made here, as large as those of social media. A model whose weights are elsewhere is built with random
ones, since how long a multiplication takes doesn't depend on its numbers; nothing is downloaded.
"""

from __future__ import annotations

import io
import json
import logging
import math
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from hashtag_photos.errors import ModelError, UsageError
from hashtag_photos.models import PRECISIONS, ModelSpec
from hashtag_photos.stages import cores
from hashtag_photos.weights import CONFIG, config_of, find_weights
from hashtag_photos.words import first_line

if TYPE_CHECKING:
    import torch

    from hashtag_photos.clip import Encoder

WIDTH, HEIGHT = 1200, 900
SECONDS = 2.0  # for each of the two


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Pictures a second that are decoded and prepared, and that the model encodes; seconds that a picture takes in all.

    On a CPU both compete for the same cores, beside a GPU they go on at once.
    """

    prepared: float
    encoded: float
    device: str
    precision: str
    own_weights: bool

    @property
    def seconds(self) -> float:
        """Seconds for a picture."""
        both = (1 / self.prepared, 1 / self.encoded)
        return sum(both) if self.device == "cpu" else max(both)


def measure(spec: ModelSpec, *, device: str = "auto", precision: str = "auto", seconds: float = SECONDS) -> Measured:
    """Load a model and have it work for a few seconds.

    Raises ModelError if it can't be loaded or built, UsageError for a precision that is none.
    """
    from hashtag_photos.clip import Encoder
    from hashtag_photos.devices import choose_device, natural_precision

    if precision not in ("auto", *PRECISIONS):
        raise UsageError(
            f"there is no precision {precision!r}: choose auto, {' or '.join(PRECISIONS)}", subject=precision
        )
    spec = replace(spec, precision=natural_precision(choose_device(device)) if precision == "auto" else precision)
    own = find_weights(spec) is not None
    if own:
        encoder = Encoder(spec, device)
    else:
        with _blank(spec) as built:
            encoder = Encoder(built, device, texts=False)
            _fill(encoder)
    pictures = [_picture() for _ in range(8)]
    with ThreadPoolExecutor() as pool:
        prepared, rate = _prepare(pool, encoder, pictures, seconds)
    return Measured(
        prepared=rate,
        encoded=_encode(encoder, prepared, seconds),
        device=encoder.device,
        precision=encoder.precision,
        own_weights=own,
    )


def _prepare(
    pool: ThreadPoolExecutor, encoder: Encoder, pictures: list[bytes], seconds: float
) -> tuple[list[torch.Tensor], float]:
    """Prepared pictures, and how many a second all cores prepare."""

    def work(content: bytes) -> torch.Tensor:
        return encoder.prepare(io.BytesIO(content))

    prepared = list(pool.map(work, pictures))  # what is set up once is not counted
    begun, done = time.perf_counter(), 0
    while (passed := time.perf_counter() - begun) < seconds:
        done += len(list(pool.map(work, pictures * max(1, cores() // 2))))
    return prepared, done / passed


def _encode(encoder: Encoder, prepared: list[torch.Tensor], seconds: float) -> float:
    """How many prepared pictures a second the model encodes, in batches as large as fit the time."""
    encoder.encode_images(prepared[:1])
    begun = time.perf_counter()
    encoder.encode_images(prepared[:1])
    alone = time.perf_counter() - begun
    size = min(encoder.batch_size, max(1, int(seconds / 2 / alone)))
    batch = (prepared * math.ceil(size / len(prepared)))[:size]
    if size > 1:
        encoder.encode_images(batch)
    under_way: deque[Callable[[], object]] = deque()
    begun, done = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        under_way.append(encoder.begin(batch))
        if len(under_way) > encoder.ahead:
            under_way.popleft()()
            done += size
    while under_way:
        under_way.popleft()()
        done += size
    return done / (time.perf_counter() - begun)


def _picture() -> bytes:
    """A JPEG with about as many bytes as a photograph of its size."""
    coarse = Image.effect_noise((WIDTH // 40, HEIGHT // 40), 60).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    planes = [Image.blend(coarse, Image.effect_noise((WIDTH, HEIGHT), 24), 0.3) for _ in range(3)]
    out = io.BytesIO()
    Image.merge("RGB", planes).save(out, "JPEG", quality=85)
    return out.getvalue()


@contextmanager
def _blank(spec: ModelSpec) -> Iterator[ModelSpec]:
    """The same architecture as a folder whose weights are a file of zeros: a hole, which takes no room on the disk."""
    import open_clip

    if spec.weights is None:
        raise ModelError(
            f"what {spec.name!r} is can't be known without it; type: hashtag-photos models fetch {spec.reference}",
            subject=spec.name,
        )
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)  # OpenCLIP warns of a model without weights
    try:
        shapes = open_clip.create_model(spec.architecture, device="meta", pretrained_text=False).state_dict()
    except Exception as error:
        reason = first_line(error)
        raise ModelError(f"model {spec.name!r} can't be built here: {reason}", subject=spec.name) from error
    finally:
        logging.disable(before)
    header: dict[str, Any] = {}
    end = 0
    for name, values in shapes.items():  # https://huggingface.co/docs/safetensors, "Format"
        kind = {"torch.float32": "F32", "torch.int64": "I64", "torch.bool": "BOOL"}[str(values.dtype)]
        header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": [end, end := end + values.nbytes]}
    written = json.dumps(header).encode()
    written += b" " * (-len(written) % 8)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / CONFIG).write_text(json.dumps(config_of(spec)))
        with (Path(folder) / "open_clip_model.safetensors").open("wb") as file:
            file.write(len(written).to_bytes(8, "little") + written)
            file.truncate(8 + len(written) + end)
        yield replace(spec, architecture=f"local-dir:{folder}", weights=None, hub=None)


def _fill(encoder: Encoder) -> None:
    """Random numbers in place of zeros: with those a GPU draws less power, and is faster."""
    for lane in encoder._lanes:
        for values in lane.model.parameters():
            values.data.uniform_(-0.05, 0.05)
        for name, values in lane.model.named_buffers():
            if name.endswith("running_var"):
                values.fill_(1)
