"""Bytes -> a verified image, or the reason why not.

What a file is is read from its bytes, never from its name or from what a server says. Only these formats are tried, so
that no other decoder meets a stranger's bytes. Pixels are counted before they are decoded. A file counts as an image
only if all of it decodes: one cut short looks right until its last line.

Decisions: rotated as EXIF says; transparency laid on white; the first frame of an animation.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

import imagehash
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from hashtag_photos.records import PhotoStatus

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF")  # JPEG covers MPO, a phone's JPEG with extras
MAX_PIXELS = 120_000_000  # a phone's 108 megapixels pass; decoded they take 3 or 4 bytes each
_HASHED_SIDE = 512

# Pillow's own guard is for the whole process and raises only at twice its number: the exact cap is held below. What it
# warns of (a large picture, damaged EXIF) is in the photo's row, or makes no difference.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
ImageFile.LOAD_TRUNCATED_IMAGES = False
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """What a verified image is. Sizes are pixels, as seen upright; phash is 64 bits as 16 hexadecimal digits."""

    format: str
    width: int
    height: int
    animated: bool
    phash: str


class ImageError(Exception):
    """Why bytes are no image that can be used: a status, and a reason in words."""

    def __init__(self, status: PhotoStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def inspect(file: BinaryIO) -> ImageFacts:
    """Verify an image by decoding all of it. Raises ImageError."""
    image, image_format, animated = _decoded(file)
    width, height = image.size
    image.thumbnail((_HASHED_SIDE, _HASHED_SIDE))  # what follows costs memory, and a hash needs no more
    upright = to_rgb(image)
    if _on_its_side(image):
        width, height = height, width
    return ImageFacts(
        format=image_format,
        width=width,
        height=height,
        animated=animated,
        phash=str(imagehash.phash(upright)),
    )


def read_rgb(file: BinaryIO) -> Image.Image:
    """An image upright, as RGB. Raises ImageError."""
    return to_rgb(_decoded(file)[0])


def to_rgb(image: Image.Image) -> Image.Image:
    """An image upright, on white where it is transparent, as RGB; the one given stays as it is."""
    with suppress(Exception):  # EXIF is a stranger's too: where it can't be read, a picture stays as it is stored
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        # 16 bits a channel and more: keep the upper eight, which a plain convert would clip to white
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    elif image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.new("RGB", rgba.size, "white")
        image.paste(rgba, mask=rgba.getchannel("A"))
    return image.convert("RGB")


def _on_its_side(image: Image.Image) -> bool:
    with suppress(Exception):
        return image.getexif().get(0x0112) in (5, 6, 7, 8)  # EXIF 2.3, tag Orientation
    return False


def _decoded(file: BinaryIO) -> tuple[Image.Image, str, bool]:
    file.seek(0)
    head = file.read(256)
    file.seek(0)
    if not head:
        raise ImageError(PhotoStatus.NOT_AN_IMAGE, "an empty file")
    try:
        image = Image.open(file, formats=FORMATS)
        if image.width * image.height > MAX_PIXELS:
            raise Image.DecompressionBombError
        image_format = image.format or ""
        animated = bool(getattr(image, "is_animated", False)) and image_format != "MPO"
        image.load()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(PhotoStatus.TOO_LARGE, f"more than {MAX_PIXELS // 1_000_000} megapixels") from None
    except UnidentifiedImageError:
        raise ImageError(PhotoStatus.NOT_AN_IMAGE, _what_else(head)) from None
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  decoders raise anything on a stranger's bytes
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ImageError(PhotoStatus.BROKEN, f"can't be decoded: {reason}") from None
    return image, image_format, animated


def _what_else(head: bytes) -> str:
    """What bytes that are no known image look like, in words."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "a web page, not a picture"
    if text.startswith(b"<svg") or b"<svg" in text:
        return "SVG, which is drawn and not a photo"
    if head[4:8] == b"ftyp":
        return f"a video or an unsupported picture format ({head[8:12].decode('latin-1').strip()})"
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "a video"
    if head.startswith(b"%PDF"):
        return "a PDF"
    return "not a picture format that is read: " + ", ".join(FORMATS)
