"""A picture -> the pixels that a model takes: those that OpenCLIP's own preprocessing gives.

A JPEG that is at least halved is decoded by torchcodec, which gives Pillow's own pixels, and resized by torchvision, in
bytes and with anti-aliasing: that is about twice as fast as Pillow, and the same up to rounding (a PSNR of 68 dB and
more; the smaller the factor, the more pixels are off by one). Whatever else Pillow decodes goes through OpenCLIP's own
steps: its pixels are the same to the last bit.

Where OpenCLIP's `preprocess_val` would see another picture than a person does, the picture counts that images.py
decides on: upright, transparency on white, the upper eight of 16 bits, palettes resized as colours and not as numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from io import BytesIO
from types import SimpleNamespace
from typing import Any, BinaryIO, cast

import numpy as np
import torch
from open_clip.transform import PreprocessCfg, ResizeKeepRatio, image_transform_v2
from PIL import Image
from torchcodec.decoders import decode_jpeg  # type: ignore[attr-defined]
from torchvision.transforms import CenterCrop, InterpolationMode, Resize
from torchvision.transforms.v2 import functional as bytewise

from hashtag_photos.images import decoding, opened, orientation, to_rgb, turn, upright

_LARGEST = 16_000_000  # pixels: a strip of 1x2,000 resized to a width of 224 would be one of 224x448,000
# torchcodec turns pictures by their EXIF, without a way to say no; which way is up is decided in one place, images.py.
# So EXIF is given a marker of no meaning. In the picture itself these two bytes never follow each other.
_EXIF, _UNNAMED = re.compile(rb"\xff\xe1(?=..Exif\0)", re.DOTALL), b"\xff\xef"
_NEVER_TRANSPARENT = ("RGB", "L", "CMYK")


class Preprocessing:
    """How one model wants its pixels: its OpenCLIP configuration (size, mean, std, interpolation, resize_mode, …)."""

    def __init__(self, configuration: Mapping[str, Any]) -> None:
        known = {each.name for each in fields(PreprocessCfg)}
        settings = PreprocessCfg(**{name: value for name, value in configuration.items() if name in known})
        *self._steps, _, _, normalize = image_transform_v2(settings, is_train=False).transforms
        self._mean = torch.tensor(normalize.mean).view(3, 1, 1)
        self._std = torch.tensor(normalize.std).view(3, 1, 1)

    def __call__(self, picture: BinaryIO | Image.Image) -> torch.Tensor:
        """The pixels of a file or an image, uint8 (3, height, width); safe in threads. Raises ImageError."""
        if isinstance(picture, Image.Image):
            with decoding():
                return self._by_pillow(picture)
        content = picture.read()
        with opened(BytesIO(content)) as image, turn(image.size):
            turned = orientation(image)
            size = image.size if turned < 5 else image.size[::-1]
            if image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L") and self._is_halved(*size):
                try:
                    pixels = decode_jpeg(_EXIF.sub(_UNNAMED, content), mode="RGB")
                except RuntimeError:  # Pillow says what is wrong with it, or can read it
                    pass
                else:
                    return self._by_torchvision(_upright(cast(torch.Tensor, pixels), turned))
            image.load()
            return self._by_pillow(image)

    def normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels, uint8 (…, 3, height, width), as the floats that a model computes with: OpenCLIP's own steps."""
        if pixels.device.type != "cpu":
            return pixels.div(255).sub_(self._mean.to(pixels.device)).div_(self._std.to(pixels.device))
        # numpy, since torch would start threads of its own in each of ours
        floats = pixels.contiguous().numpy() / np.float32(255)
        floats -= self._mean.numpy()
        floats /= self._std.numpy()
        return torch.from_numpy(floats)

    def _by_pillow(self, image: Image.Image) -> torch.Tensor:
        image = upright(image)
        if image.mode not in _NEVER_TRANSPARENT or image.has_transparency_data:
            image = to_rgb(image)
        if (strip := self._strip(image)) is not None:
            image = strip
        else:
            for step in self._steps:
                image = step(image)
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)

    def _by_torchvision(self, pixels: torch.Tensor) -> torch.Tensor:
        height, width = pixels.shape[-2:]
        for step in self._steps:
            if isinstance(step, Resize | ResizeKeepRatio):
                across, down = self._resized(width, height)
                if height > down and height - down > 2 * (width - across) and _down_first():
                    pixels = bytewise.resize(pixels, [down, width], step.interpolation, antialias=True)
                pixels = bytewise.resize(pixels, [down, across], step.interpolation, antialias=True)
            else:
                pixels = step(pixels)
        return pixels

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after the resize."""
        step = self._steps[0]
        if isinstance(step, ResizeKeepRatio):
            down, across = step.get_params(SimpleNamespace(size=(width, height)), step.size, step.longest)
        elif isinstance(step.size, int):
            short, long = sorted((width, height))
            side, other = step.size, int(step.size * long / short)  # as torchvision rounds it
            across, down = (side, other) if width <= height else (other, side)
        else:
            down, across = step.size
        return across, down

    def _is_halved(self, width: int, height: int) -> bool:
        across, down = self._resized(width, height)
        return 2 * across <= width and 2 * down <= height

    def _strip(self, image: Image.Image) -> Image.Image | None:
        """What the steps make of a picture that is extremely long, without making the rest of it; None for others."""
        across, down = self._resized(*image.size)
        crop = self._steps[-1]
        if across * down <= _LARGEST or not isinstance(crop, CenterCrop):
            return None
        tall, wide = crop.size
        left, top = round((across - wide) / 2), round((down - tall) / 2)
        x, y = image.width / across, image.height / down
        box = (left * x, top * y, (left + wide) * x, (top + tall) * y)
        resampling = Image.Resampling[self._steps[0].interpolation.name]
        return image.resize((wide, tall), resampling, box=box)


@cache
def _down_first() -> bool:
    """Whether this Pillow, where the height shrinks by more than twice what the width does, resizes it first.

    The first of two passes is rounded to bytes, so that their order shows: 55 dB instead of 70. Pillow 13 chooses it
    by this rule, which was found by trying; before, the width was always first.
    """
    noise = np.random.default_rng(0).integers(0, 256, (64, 16, 3), dtype=np.uint8)
    pillows = torch.from_numpy(np.array(Image.fromarray(noise).resize((8, 8), Image.Resampling.BICUBIC)))
    pixels, bicubic = torch.from_numpy(noise).permute(2, 0, 1), InterpolationMode.BICUBIC
    width_first, height_first = (
        bytewise.resize(bytewise.resize(pixels, first, bicubic, antialias=True), [8, 8], bicubic, antialias=True)
        for first in ([64, 8], [8, 16])
    )
    return _differing(height_first, pillows) < _differing(width_first, pillows)


def _differing(pixels: torch.Tensor, others: torch.Tensor) -> int:
    return int((pixels.permute(1, 2, 0) != others).sum())


def _upright(pixels: torch.Tensor, turned: int) -> torch.Tensor:
    """Pixels (3, height, width) that are stored in one of EXIF's eight orientations, upright."""
    if turned >= 5:
        pixels = pixels.transpose(1, 2)
    flips = {2: (2,), 3: (1, 2), 4: (1,), 6: (2,), 7: (1, 2), 8: (1,)}.get(turned)
    return pixels.flip(flips) if flips else pixels
