import io

import numpy as np
import pytest
from conftest import SAMPLE, picture
from PIL import Image

from hashtag_photos.images import MAX_PIXELS, ImageError, inspect, read_rgb
from hashtag_photos.records import PhotoStatus


def photo(format: str = "JPEG", **options: object) -> bytes:
    """A picture with something in it, so that its bytes are spread over its whole."""
    rows = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(rows).resize((160, 120), Image.Resampling.BICUBIC).save(out, format, **options)
    return out.getvalue()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF"])
def test_formats_are_told_by_their_bytes(format: str) -> None:
    facts = inspect(io.BytesIO(photo(format)))
    assert (facts.format, facts.width, facts.height, facts.animated) == (format, 160, 120, False)
    assert len(facts.phash) == 16


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "AVIF"])
@pytest.mark.parametrize("tenth", range(1, 10))
def test_a_picture_cut_short_is_found_wherever_it_is_cut(format: str, tenth: int) -> None:
    whole = photo(format)
    with pytest.raises(ImageError) as error:
        inspect(io.BytesIO(whole[: len(whole) * tenth // 10]))
    assert error.value.status in (PhotoStatus.BROKEN, PhotoStatus.NOT_AN_IMAGE)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html><body>gone</body></html>", "web page"),
        (b"\n  <html>", "web page"),
        (b"<?xml version='1.0'?><svg xmlns='x'/>", "SVG"),
        (b"\0\0\0\x20ftypisom\0\0\0\0", "video"),
        (b"%PDF-1.7", "PDF"),
        (b"just words", "not a picture format"),
    ],
)
def test_what_is_no_picture_says_what_it_is(content: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason) as error:
        inspect(io.BytesIO(content))
    assert error.value.status is PhotoStatus.NOT_AN_IMAGE


def test_pixels_are_counted_before_they_are_decoded() -> None:
    import zlib

    side = 30_000  # a bit per pixel: 0.1 MB on disk, 900 megapixels in memory
    row = zlib.compressobj(9)
    body = b"".join(row.compress(bytes(1 + side // 8)) for _ in range(side)) + row.flush()

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    header = side.to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    assert side * side > MAX_PIXELS
    with pytest.raises(ImageError, match="megapixels") as error:
        inspect(io.BytesIO(bomb))
    assert error.value.status is PhotoStatus.TOO_LARGE


def test_just_over_the_cap_is_too_large_as_well() -> None:
    over = Image.new("1", (12_001, 10_000))
    out = io.BytesIO()
    over.save(out, "PNG")
    with pytest.raises(ImageError, match="megapixels"):
        inspect(out)


def test_rotated_by_exif() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    facts = inspect(io.BytesIO(picture(size=(60, 40), exif=exif)))
    assert (facts.width, facts.height) == (40, 60)


def test_damaged_exif_is_no_reason_to_lose_a_picture() -> None:
    facts = inspect(io.BytesIO(picture(exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")))
    assert (facts.width, facts.height) == (48, 32)


def test_transparency_is_laid_on_white() -> None:
    image = read_rgb(io.BytesIO(picture((200, 0, 0, 0), mode="RGBA", format="PNG")))
    assert image.getpixel((5, 5)) == (255, 255, 255)


def test_sixteen_bits_keep_their_upper_eight() -> None:
    deep = Image.fromarray(np.full((8, 8), 0x8000, dtype=np.uint16))
    out = io.BytesIO()
    deep.save(out, "PNG")
    assert read_rgb(out).getpixel((0, 0)) == (128, 128, 128)


def test_sixteen_bits_with_a_transparent_shade_are_not_all_white() -> None:
    deep = Image.fromarray(np.full((8, 8), 0x8000, dtype=np.uint16))
    out = io.BytesIO()
    deep.save(out, "PNG", transparency=0)
    assert read_rgb(out).getpixel((0, 0)) == (128, 128, 128)


def test_cmyk_palette_and_grey_become_rgb() -> None:
    for mode in ("CMYK", "P", "L", "1"):
        out = io.BytesIO()
        Image.new(mode, (8, 8)).save(out, "TIFF")
        assert read_rgb(out).mode == "RGB"


def test_an_animation_is_its_first_frame_and_marked() -> None:
    out = io.BytesIO()
    frames = [Image.new("RGB", (20, 20), color) for color in ("red", "blue")]
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    assert inspect(out).animated
    assert read_rgb(out).getpixel((3, 3)) == (255, 0, 0)


def test_the_same_picture_recompressed_has_a_near_hash_and_another_a_far_one() -> None:
    truth = (SAMPLE / "truth.csv").read_text().splitlines()[1:9]
    paths = [SAMPLE / "www/media" / line.split(",")[1].split("/")[-1] for line in truth]
    hashes = []
    for path in paths:
        smaller = io.BytesIO()
        with Image.open(path) as image:
            image.convert("RGB").resize((320, 240)).save(smaller, "JPEG", quality=50)
        one, other = (int(inspect(file).phash, 16) for file in (io.BytesIO(path.read_bytes()), smaller))
        assert (one ^ other).bit_count() <= 8
        hashes.append(one)
    assert all((a ^ b).bit_count() > 8 for a in hashes for b in hashes if a != b)
