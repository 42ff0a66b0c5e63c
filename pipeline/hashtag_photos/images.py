"""Bytes -> a verified image, or the reason why not.

What a file is is read from its bytes, never from its name or from what a server says. Only these formats are tried, so
that no other decoder meets a stranger's bytes. Pixels are counted before they are decoded. A file counts as an image
only if all of it decodes: one cut short looks right until its last line. What follows the end of the first picture
(bytes that some programs append, further frames) may be missing.

Decisions: rotated as EXIF says; transparency laid on white; of 16 bits a channel the upper eight; the first frame of an
animation; pixels as they are stored, whatever their colour profile, which is how CLIP models were trained. A picture of
1x1 is a stand-in; one of 1xN is not, since no size draws that line.

To verify is cheap: of a JPEG every bit is read, but its pixels are made at a quarter or an eighth of their size; a
perceptual hash is made later, of many pictures at once, from the thumbnail. numpy and the plug-in for HEIC are imported
by those who need them: a process that only verifies stays small.
"""

from __future__ import annotations

import os
import re
import threading
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image, ImageFile, UnidentifiedImageError

from hashtag_photos.errors import UsageError
from hashtag_photos.records import PhotoStatus
from hashtag_photos.words import first_line

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF")  # JPEG covers MPO, a phone's JPEG with extras
MAX_PIXELS = 120_000_000  # a phone's 108 megapixels pass; decoded they take 3 or 4 bytes each
THUMBNAIL_SIDE = 32
#: left, right, top and bottom, as shares of the sides: the whole; without a border of 5 % of the picture inside it;
#: without a strip of 10 % above, or below; what a crop of 5 % leaves
WINDOWS = (
    (0.0, 1.0, 0.0, 1.0),
    (1 / 22, 21 / 22, 1 / 22, 21 / 22),
    (0.0, 1.0, 1 / 11, 1.0),
    (0.0, 1.0, 0.0, 10 / 11),
    (1 / 40, 39 / 40, 1 / 40, 39 / 40),
)
_WINDOW_BITS = 16  # frequencies each way

_ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")  # what MPO, TIFF and HEIC hold besides are further pictures, not frames
_DRAFT_SIDE = 192  # at 96, fine patterns came out in other shades than those of a full decode, by up to 17 of 256
_REDUCED_SIDE = 256
_LARGE_PIXELS = 25_000_000
_one_large = threading.Lock()  # a hundred megabytes and more each: one at a time
_BEGINNING = 65_536
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow's own guard is for the whole process and raises only at twice its number: the exact cap is held below. What it
# warns of (a large picture, damaged EXIF) is in the photo's row, or makes no difference.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
ImageFile.LOAD_TRUNCATED_IMAGES = False
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """What a verified image is. Sizes are pixels, as seen upright.

    The thumbnail is the upright picture squeezed into 32x32 pixels: a byte of grey each, row by row.
    """

    format: str
    width: int
    height: int
    animated: bool
    thumbnail: bytes


class ImageError(Exception):
    """Why bytes are no image that can be used: a status, and a reason in words."""

    def __init__(self, status: PhotoStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def inspect(file: BinaryIO) -> ImageFacts:
    """Verify an image by decoding all of it. Raises ImageError."""
    with opened(file) as image:
        image_format = image.format or ""
        width, height = costly = image.size
        if costly == (1, 1):
            raise ImageError(PhotoStatus.PLACEHOLDER, "1x1 pixel")
        animated = image_format in _ANIMATED and bool(getattr(image, "is_animated", False))
        if image_format in ("JPEG", "MPO"):
            image.draft("L", (_DRAFT_SIDE, _DRAFT_SIDE))
            if not image.info.get("progressive"):  # one that is has all its coefficients in memory, however it is drawn
                costly = image.size
        with turn(costly):
            image.load()
            if image_format in ("JPEG", "MPO") and _filled_up(file):
                raise ImageError(PhotoStatus.BROKEN, "can't be decoded: zeros stand where its end should be")
            small = _reduced(image)
            grey = to_rgb(small).convert("L").resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
        if orientation(small) >= 5:  # on its side
            width, height = height, width
    return ImageFacts(
        format=image_format,
        width=width,
        height=height,
        animated=animated,
        thumbnail=grey.tobytes(),
    )


def _filled_up(jpeg: BinaryIO) -> bool:
    """Whether a JPEG ends in zeros, and not in its end marker: space was made for it, and it never came. Zeros are
    decoded as a picture, if a grey one."""
    length = jpeg.seek(0, os.SEEK_END)
    jpeg.seek(max(0, length - 64))
    if any(jpeg.read()):
        return False
    jpeg.seek(0)
    content = jpeg.read()
    return content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda")  # end of image, start of scan


def perceptual_hashes(thumbnails: Sequence[bytes]) -> list[str]:
    """The pHash of each thumbnail: 64 bits as 16 hexadecimal digits, near for pictures that look alike.

    A bit says whether one of the 8x8 lowest frequencies (DCT-II over both axes) is above their median, as in
    `imagehash.phash`.
    """
    import numpy as np

    frequency, position = np.arange(8)[:, np.newaxis], np.arange(THUMBNAIL_SIDE)
    waves = np.cos(np.pi / (2 * THUMBNAIL_SIDE) * frequency * (2 * position + 1))
    pixels = np.frombuffer(b"".join(thumbnails), np.uint8).reshape(-1, THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    # rounded, so that what is zero is zero on any machine: a plain picture has little else
    spectra = np.round(waves @ pixels.astype(np.float64) @ waves.T, 6).reshape(-1, 64)
    above = spectra > np.median(spectra, axis=1, keepdims=True)
    return [row.tobytes().hex() for row in np.packbits(above, axis=1)]


def window_hashes(thumbnails: Sequence[bytes]) -> list[str]:
    """Of each thumbnail a hash of 256 bits for each of five windows of it (`WINDOWS`), as 320 hexadecimal digits.

    A picture with a border, without its margin, or with a strip of text above or below has in one of its windows what
    the untouched one has in another. A bit says whether one of the 16x16 lowest frequencies is above their median; the
    bits of a window begin with the lowest, which edits move least.
    """
    import numpy as np

    frequency, position = np.arange(_WINDOW_BITS)[:, np.newaxis], np.arange(THUMBNAIL_SIDE)
    waves = np.cos(np.pi / (2 * THUMBNAIL_SIDE) * frequency * (2 * position + 1))
    low_first = np.argsort((frequency**2 + frequency.T**2).ravel(), kind="stable")
    pixels = np.frombuffer(b"".join(thumbnails), np.uint8).reshape(-1, THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    hashes = []
    for left, right, top, bottom in WINDOWS:
        rows, columns = waves @ _stretched(top, bottom), waves @ _stretched(left, right)
        spectra = np.round(rows @ pixels.astype(np.float64) @ columns.T, 6).reshape(-1, _WINDOW_BITS**2)[:, low_first]
        hashes.append(np.packbits(spectra > np.median(spectra, axis=1, keepdims=True), axis=1))
    return [row.tobytes().hex() for row in np.stack(hashes, axis=1)]


def one_shade(thumbnails: Sequence[bytes]) -> list[float]:
    """Of each thumbnail the largest share of its pixels that have one shade of grey, give or take three of 256.

    Half and more is usual for screenshots of text, one for a plain picture; of 87 photographs a tenth had so much.
    """
    import numpy as np

    pixels = np.frombuffer(b"".join(thumbnails), np.uint8).reshape(-1, THUMBNAIL_SIDE**2).astype(np.int64)
    numbers = pixels + 256 * np.arange(len(pixels))[:, np.newaxis]
    if not len(pixels):
        return []
    counts = np.bincount(numbers.ravel(), minlength=256 * len(pixels)).reshape(-1, 256)
    within = np.pad(counts.cumsum(axis=1), ((0, 0), (4, 3)), mode="edge")
    within[:, :4] = 0
    return [float(share) for share in (within[:, 7:] - within[:, :-7]).max(axis=1, initial=0) / THUMBNAIL_SIDE**2]


def _stretched(begin: float, end: float) -> npt.NDArray[np.float64]:
    """What makes a part of a thumbnail's side, as shares of it, a whole side again: each pixel of the new one is the
    mean of what lies below it. (side, side)"""
    import numpy as np

    edges = np.linspace(begin, end, THUMBNAIL_SIDE + 1)[:, np.newaxis] * THUMBNAIL_SIDE
    cell = np.arange(THUMBNAIL_SIDE)
    below = np.minimum(edges[1:], cell + 1) - np.maximum(edges[:-1], cell)
    below = np.maximum(below, 0)
    return np.asarray(below / below.sum(axis=1, keepdims=True))


def read_rgb(file: BinaryIO) -> Image.Image:
    """An image upright, as RGB. Raises ImageError."""
    with opened(file) as image, turn(image.size):
        image.load()
        return to_rgb(image)


def to_rgb(image: Image.Image) -> Image.Image:
    """An image upright, on white where it is transparent, as RGB; the one given stays as it is."""
    image = upright(image)
    if image.mode.startswith("I") or image.mode == "F":
        # 16 bits a channel and more: keep the upper eight, which a plain convert would clip to white
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    elif image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.new("RGB", rgba.size, "white")
        image.paste(rgba, mask=rgba.getchannel("A"))
    return image.convert("RGB")


def upright(image: Image.Image) -> Image.Image:
    """An image turned as EXIF says."""
    method = _UPRIGHT.get(orientation(image))
    if method is None:
        return image
    turned = image.transpose(method)
    for name in ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"):  # or it would be turned again
        turned.info.pop(name, None)
    return turned


def orientation(image: Image.Image) -> int:
    """How EXIF says that an image is stored, from 1, upright, to 8 (EXIF 2.3, tag Orientation).

    EXIF is a stranger's too: where it can't be read, a picture is taken as it is stored.
    """
    with suppress(Exception):
        stated = image.getexif().get(0x0112)
        return stated if stated in _UPRIGHT else 1
    return 1


def placeholders(path: Path | None = None) -> dict[str, str]:
    """Pictures that stand for one that is gone: sha256 of the file -> what it is. The bundled list, or a user's.

    Raises UsageError if it can't be read, or a line of it is no sha256.
    """
    source = path or resources.files("hashtag_photos").joinpath("placeholders.txt")
    try:
        text = source.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{source} can't be read: {error.strerror}", subject=path) from None
    except UnicodeDecodeError:
        raise UsageError(f"{source} is no text in UTF-8; save it as UTF-8", subject=path) from None
    known = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        sha256, *words = line.split(maxsplit=1)
        if not re.fullmatch("[0-9a-fA-F]{64}", sha256):
            raise UsageError(
                f"{source}, line {number}: {sha256[:80]!r} is no sha256; write its 64 hexadecimal digits and what the "
                "picture is, as sha256sum prints them for a file",
                subject=path,
            )
        known[sha256.lower()] = words[0].strip() if words else "a known stand-in"
    return known


def _reduced(image: Image.Image) -> Image.Image:
    """A picture at most 256 pixels wide and high: what follows costs memory, and a thumbnail needs no more."""
    size = min(image.width, _REDUCED_SIDE), min(image.height, _REDUCED_SIDE)
    if "transparency" in image.info and image.mode in ("1", "L", "RGB"):  # one shade is, and a mean has other shades
        image = image.convert("RGBA")
    elif image.mode == "1":  # Pillow would drop pixels, and of black and white ones none stands for its neighbours
        image = image.convert("L")
    fast = None if image.mode.startswith("I;16") else 2.0  # which Pillow can't do for 16 bits
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=fast)


def turn(size: tuple[int, int]) -> AbstractContextManager[object]:
    """What to hold while a picture of this size is decoded: the large ones go one at a time."""
    return _one_large if size[0] * size[1] > _LARGE_PIXELS else nullcontext()


@contextmanager
def opened(file: BinaryIO) -> Iterator[Image.Image]:
    """A picture that is still to be decoded. Whatever goes wrong with it inside becomes an ImageError."""
    file.seek(0)
    beginning = file.read(_BEGINNING)
    file.seek(0)
    if not beginning:
        raise ImageError(PhotoStatus.NOT_AN_IMAGE, "an empty file")
    with decoding(beginning):
        image = Image.open(file, formats=_formats(beginning))
        if image.width * image.height > MAX_PIXELS:
            raise Image.DecompressionBombError
        yield image


@contextmanager
def decoding(beginning: bytes = b"") -> Iterator[None]:
    """Whatever goes wrong inside with a picture, of whose file this is the beginning, becomes an ImageError."""
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(PhotoStatus.TOO_LARGE, f"more than {MAX_PIXELS // 1_000_000} megapixels") from None
    except UnidentifiedImageError:
        raise _what_else(beginning) from None
    except Exception as error:  # noqa: BLE001  decoders raise anything on a stranger's bytes
        reason = first_line(error)
        raise ImageError(PhotoStatus.BROKEN, f"can't be decoded: {reason}") from None


# What bytes are. A file of the ISO family (MP4, HEIC, AVIF) begins with its brand and those it is compatible with.

_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_AVIF = {b"avif", b"avis"}
_OTHER_PICTURES = {b"mif1", b"mif2", b"msf1", b"avci", b"avcs", b"j2ki", b"vvic", b"crx "}
_SOUND = {b"M4A ", b"M4B ", b"M4P "}
_OURS = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP|II\*\0|MM\0\*", re.DOTALL)
_VIDEO = re.compile(
    rb"\x1aE\xdf\xa3"  # Matroska, WebM
    rb"|RIFF....AVI |FLV\x01|OggS|\0\0\x01[\xba\xb3]"  # the last: MPEG program and elementary streams
    rb"|....(?:moov|mdat|wide|free|skip|pnot)"  # QuickTime before it had brands
    rb"|\x30\x26\xb2\x75\x8e\x66\xcf\x11"  # Windows Media
    rb"|G.{187}G.{187}G|.{4}G.{191}G.{191}G",  # MPEG transport streams: packets of 188 bytes, or of 192
    re.DOTALL,
)
# All groups are possessive: a stranger's page must not make the search go back and forth.
_PROLOG = re.compile(
    r"(?>\s+|<\?.*?\?>|<!--.*?-->|<!doctype(?!\s+html\b)[^\[>]*+(?:\[.*?\]\s*+)?>)*+", re.DOTALL | re.IGNORECASE
)
_SVG = re.compile(r"<(?:[\w.-]+:)?svg\b", re.IGNORECASE)
_HTML = re.compile(r"<(?:!doctype\s+html|html|head|body|title|meta|link|script|style|div|p|h1|center)\b", re.IGNORECASE)


def _formats(beginning: bytes) -> tuple[str, ...]:
    """The formats to try: for HEIC that of its plug-in, which is loaded now."""
    brand, brands = _brands(beginning)
    if not (brand in _HEIC or (brand in (b"mif1", b"msf1") and brands & _HEIC and not brands & _AVIF)):
        return FORMATS
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        reason = "HEIC, which needs a plug-in: pip install 'hashtag-photos[heic]'"
        raise ImageError(PhotoStatus.UNSUPPORTED, reason) from None
    register_heif_opener()
    return ("HEIF",)


def _brands(beginning: bytes) -> tuple[bytes, set[bytes]]:
    """The brand of an ISO file, and all it is compatible with; empty for other files."""
    if beginning[4:8] != b"ftyp":
        return b"", set()
    end = min(int.from_bytes(beginning[:4]), len(beginning))
    brand = beginning[8:12]
    return brand, {brand, *(beginning[start : start + 4] for start in range(16, end, 4))}


def _what_else(beginning: bytes) -> ImageError:
    """What bytes are that no decoder takes."""
    brand, brands = _brands(beginning)
    if _OURS.match(beginning) or brands & (_HEIC | _AVIF):
        return ImageError(PhotoStatus.BROKEN, "can't be decoded: it is cut short or damaged near its beginning")
    if brand in _OTHER_PICTURES:
        return ImageError(PhotoStatus.NOT_AN_IMAGE, f"a picture format that is not read ({_shown(brand)})")
    if brand in _SOUND:
        return ImageError(PhotoStatus.NOT_AN_IMAGE, "a sound recording")
    if brand:
        return ImageError(PhotoStatus.VIDEO, f"a video ({_shown(brand)})")
    if _VIDEO.match(beginning):
        return ImageError(PhotoStatus.VIDEO, "a video")
    root = _PROLOG.sub("", _text(beginning), count=1)
    if _SVG.match(root):
        return ImageError(PhotoStatus.SVG, "SVG, which is drawn and not a photo")
    if _HTML.match(root):
        return ImageError(PhotoStatus.NOT_AN_IMAGE, "a web page, not a picture")
    if beginning.startswith(b"%PDF"):
        return ImageError(PhotoStatus.NOT_AN_IMAGE, "a PDF")
    return ImageError(PhotoStatus.NOT_AN_IMAGE, f"not a picture format that is read: {', '.join(FORMATS)}, HEIC")


def _shown(brand: bytes) -> str:
    return brand.decode("ascii", "replace").strip()


def _text(beginning: bytes) -> str:
    """Bytes as text, as far as its tags need it: unpacked (SVG is often gzipped), UTF-16 or anything like ASCII."""
    if beginning.startswith(b"\x1f\x8b"):
        with suppress(zlib.error):
            beginning = zlib.decompressobj(wbits=31).decompress(beginning, _BEGINNING)
    if beginning.startswith((b"\xff\xfe", b"<\0")):
        text = beginning.decode("utf-16-le", "replace")
    elif beginning.startswith((b"\xfe\xff", b"\0<")):
        text = beginning.decode("utf-16-be", "replace")
    else:
        text = beginning.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    return text.removeprefix("\ufeff")
