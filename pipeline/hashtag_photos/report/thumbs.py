"""Images of a run as small JPEGs: read in threads, no larger than needed, and without what else their files hold."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from hashtag_photos.images import ImageError, opened, to_rgb, turn
from hashtag_photos.run import Run
from hashtag_photos.stages import cores

if TYPE_CHECKING:
    from PIL import Image

Made = TypeVar("Made")

_FINER = 2  # a JPEG is decoded at no less than twice the pixels wanted, then shrunk with care
_QUALITY = 75
BLURRED = 6  # pixels that are left of a side of a blurred picture


@dataclass(frozen=True, kw_only=True)
class Thumbnail:
    """A small picture as a data: address, of `width` and `height` pixels; `blurred` is one of BLURRED at most."""

    data: str
    blurred: str
    width: int
    height: int


def thumbnails(run: Run, images: Mapping[str, str], side: int) -> dict[str, Thumbnail]:
    """Images of a run, sha256 -> format, at most `side` pixels wide and high; those that can be read."""

    def thumbnail(image: Image.Image) -> Thumbnail:
        image.thumbnail((side, side))
        return Thumbnail(data=data_address(image), blurred=_blurred(image), width=image.width, height=image.height)

    return _each(run, images, side, thumbnail)


def squares(run: Run, images: Mapping[str, str], side: int) -> dict[str, Image.Image]:
    """The middle of images of a run, sha256 -> format, as squares of `side` pixels; those that can be read."""
    from PIL import ImageOps

    return _each(run, images, side, lambda image: ImageOps.fit(image, (side, side)))


def _blurred(image: Image.Image) -> str:
    from PIL import Image as Pillow

    share = BLURRED / max(image.size)
    few = max(1, round(share * image.width)), max(1, round(share * image.height))
    return data_address(image.resize(few, Pillow.Resampling.BOX))


def data_address(image: Image.Image, quality: int = _QUALITY) -> str:
    """An image as a data: address of a JPEG, without what else its file held."""
    image.info.clear()  # a stranger's comment would be written as well
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"


def _each(run: Run, images: Mapping[str, str], side: int, make: Callable[[Image.Image], Made]) -> dict[str, Made]:
    """What is made of each image, given upright, as RGB, and with no fewer pixels than wanted."""

    def work(sha256: str, image_format: str) -> Made | None:
        try:
            with run.images.open(sha256, image_format) as file, opened(file) as image, turn(image.size):
                if image.format in ("JPEG", "MPO"):
                    image.draft(None, (_FINER * side, _FINER * side))
                image.load()
                return make(to_rgb(image))
        except (ImageError, OSError, ValueError, MemoryError):
            return None  # gone, or damaged since it was stored

    with ThreadPoolExecutor(cores()) as pool:
        made = zip(images, pool.map(work, images.keys(), images.values()), strict=True)
        return {sha256: each for sha256, each in made if each is not None}
