import gzip
import io
import re
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import imagehash
import numpy as np
import pillow_heif
import pytest
from conftest import SAMPLE, picture
from PIL import Image, ImageChops, ImageCms, ImageStat

from hashtag_photos import images
from hashtag_photos.errors import UsageError
from hashtag_photos.images import MAX_PIXELS, ImageError, inspect, perceptual_hashes, placeholders, read_rgb
from hashtag_photos.records import PhotoStatus

pillow_heif.register_heif_opener()  # to write HEIC; what reads it registers it itself

Transpose = Image.Transpose


def drawn(size: tuple[int, int] = (160, 120), seed: int = 0) -> Image.Image:
    """A picture with something in it, so that its bytes are spread over its whole."""
    rows = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(rows).resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.copy().save(out, format, **options)
    return out.getvalue()


def photo(format: str = "JPEG", mode: str = "RGB", **options: object) -> bytes:
    return encoded(drawn().convert(mode), format, **options)


def frames(format: str) -> bytes:
    return photo(format, save_all=True, append_images=[drawn(seed=1)])


def deep(*, transparency: int | None = None) -> bytes:
    """16 bits a channel, grey."""
    grey = Image.fromarray(np.asarray(drawn().convert("L")).astype(np.uint16) * 257)
    return encoded(grey, "PNG", **({} if transparency is None else {"transparency": transparency}))


SINGLE = {
    "jpeg": lambda: photo(),
    "jpeg progressive": lambda: photo(progressive=True),
    "jpeg cmyk": lambda: photo(mode="CMYK"),
    "jpeg cmyk progressive": lambda: photo(mode="CMYK", progressive=True),
    "jpeg grey": lambda: photo(mode="L"),
    "jpeg rgb": lambda: photo(keep_rgb=True),
    "png": lambda: photo("PNG"),
    "png palette": lambda: encoded(drawn().quantize(64), "PNG"),
    "png 16 bit": deep,
    "png 1 bit": lambda: photo("PNG", "1"),
    "gif": lambda: photo("GIF"),
    "webp": lambda: photo("WEBP"),
    "webp lossless": lambda: photo("WEBP", lossless=True),
    "webp alpha": lambda: photo("WEBP", "RGBA"),
    "avif": lambda: photo("AVIF"),
    "heic": lambda: photo("HEIF"),
    "bmp": lambda: photo("BMP"),
    "tiff": lambda: photo("TIFF"),
    "tiff lzw strips": lambda: photo("TIFF", compression="tiff_lzw", strip_size=4096),
    "tiff deflate": lambda: photo("TIFF", compression="tiff_adobe_deflate"),
    "tiff jpeg": lambda: photo("TIFF", compression="jpeg"),
    "tiff packbits": lambda: photo("TIFF", compression="packbits"),
}
SEVERAL = {
    "gif": lambda: frames("GIF"),
    "apng": lambda: frames("PNG"),
    "webp": lambda: frames("WEBP"),
    "avif": lambda: frames("AVIF"),
    "mpo": lambda: frames("MPO"),
    "tiff": lambda: frames("TIFF"),
    "heic": lambda: frames("HEIF"),
}


def refused(content: bytes) -> ImageError:
    with pytest.raises(ImageError) as error:
        inspect(io.BytesIO(content))
    return error.value


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF", "HEIF"])
def test_formats_are_told_by_their_bytes(format: str) -> None:
    facts = inspect(io.BytesIO(photo(format)))
    assert (facts.format, facts.width, facts.height, facts.animated) == (format, 160, 120, False)
    assert len(facts.thumbnail) == 1024


@pytest.mark.parametrize("kind", SINGLE)
def test_a_picture_cut_short_is_found_wherever_it_is_cut(kind: str, tmp_path: Path) -> None:
    """On disk: some decoders read a file in another way than bytes in memory."""
    whole = SINGLE[kind]()
    path = tmp_path / "picture"
    path.write_bytes(whole)
    with path.open("rb") as file:
        assert inspect(file).thumbnail
    for tenth in range(1, 10):
        path.write_bytes(whole[: len(whole) * tenth // 10])
        for read in (inspect, read_rgb):
            with path.open("rb") as file, pytest.raises(ImageError) as error:
                read(file)
            assert error.value.status is PhotoStatus.BROKEN, tenth


@pytest.mark.parametrize("kind", SEVERAL)
def test_what_is_cut_behind_the_first_frame_is_refused_or_the_same_picture(kind: str) -> None:
    whole = SEVERAL[kind]()
    facts, pixels = inspect(io.BytesIO(whole)), read_rgb(io.BytesIO(whole)).tobytes()
    refused = 0
    for length in range(len(whole) // 20, len(whole), len(whole) // 20):
        cut = io.BytesIO(whole[:length])
        try:
            assert inspect(cut).thumbnail == facts.thumbnail
            assert read_rgb(cut).tobytes() == pixels
        except ImageError:
            refused += 1
    assert refused >= 9, "the first frame is about half of it"


@pytest.mark.parametrize("kind", SINGLE)
def test_the_last_bytes_are_looked_at_as_well(kind: str) -> None:
    whole = SINGLE[kind]()
    facts = inspect(io.BytesIO(whole))
    for length in range(len(whole) - 16, len(whole)):
        with suppress(ImageError):
            assert inspect(io.BytesIO(whole[:length])) == facts


def test_bytes_behind_the_end_of_a_jpeg_are_no_damage() -> None:
    whole = photo()
    assert inspect(io.BytesIO(whole + bytes(5_000))) == inspect(io.BytesIO(whole))


def test_a_large_jpeg_is_read_to_its_end_though_it_is_decoded_small() -> None:
    rows = np.random.default_rng(0).integers(0, 255, (900, 1200, 3), dtype=np.uint8)
    whole = encoded(Image.fromarray(rows), "JPEG")
    assert inspect(io.BytesIO(whole)).width == 1200
    for thousandth in (*range(10, 1000, 90), 999):
        assert refused(whole[: len(whole) * thousandth // 1000]).status is PhotoStatus.BROKEN


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (b"", "not_an_image", "empty"),
        (b"<!DOCTYPE html><html><body>gone</body></html>", "not_an_image", "web page"),
        (b"\n  <html>", "not_an_image", "web page"),
        (b"<!-- saved --><html><svg xmlns='x'/></html>", "not_an_image", "web page"),
        (b"<?xml version='1.0'?><!DOCTYPE html PUBLIC '-//W3C'><html><svg/></html>", "not_an_image", "web page"),
        (b"<div><svg/></div>", "not_an_image", "web page"),
        (b"<svg xmlns='x'/>", "svg", "SVG"),
        (b"\xef\xbb\xbf \n<SVG>", "svg", "SVG"),
        (b"<?xml version='1.0'?><svg xmlns='x'/>", "svg", "SVG"),
        (b"<?xml version='1.0'?><!-- <html> -->\n<!-- " + b"long " * 1_000 + b"--><svg xmlns='x'/>", "svg", "SVG"),
        (b"<!DOCTYPE svg PUBLIC '-//W3C' 'x' [<!ENTITY a 'b'> <!ENTITY c '>'>]><svg/>", "svg", "SVG"),
        (b"<svg:svg xmlns:svg='x'/>", "svg", "SVG"),
        ("<?xml version='1.0' encoding='UTF-16'?><svg/>".encode("utf-16"), "svg", "SVG"),
        ("<svg/>".encode("utf-16-le"), "svg", "SVG"),
        ("\ufeff<svg/>".encode("utf-16-be"), "svg", "SVG"),
        (gzip.compress(b"<?xml version='1.0'?><svg xmlns='x'/>", mtime=0), "svg", "SVG"),
        (gzip.compress(b"words" * 100, mtime=0)[:-9], "not_an_image", "not a picture format"),
        (b"\x1f\x8bnothing", "not_an_image", "not a picture format"),
        (b"<!--" + b" <!--" * 50_000, "not_an_image", "not a picture format"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "not_an_image", "not a picture format"),
        *(
            (b"\0\0\0\x20ftyp" + brand + bytes(20), "video", f"a video .{brand.decode().strip()}.")
            for brand in (b"isom", b"iso6", b"mp42", b"avc1", b"qt  ", b"M4V ", b"3gp5", b"dash")
        ),
        (b"\0\0\0\x08wide\0\0\x10\0mdat", "video", "a video"),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01", "video", "a video"),
        (b"RIFF\x10\0\0\0AVI LIST", "video", "a video"),
        (b"FLV\x01\x05\0\0\0\x09", "video", "a video"),
        (b"OggS\0\x02", "video", "a video"),
        (b"\0\0\x01\xbaD\0", "video", "a video"),
        ((b"G@\0\x10" + bytes(184)) * 4, "video", "a video"),
        ((bytes(4) + b"G@\0\x10" + bytes(184)) * 4, "video", "a video"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9", "video", "a video"),
        (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", "not_an_image", "not read .crx."),
        (b"\0\0\0\x14ftypmif1\0\0\0\0mif1", "not_an_image", "not read .mif1."),
        (b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42", "not_an_image", "sound"),
        (b"%PDF-1.7", "not_an_image", "PDF"),
        (b"just words", "not_an_image", "not a picture format"),
        (b"\x89PNG\r\n\x1a\n", "broken", "cut short"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "broken", "can't be decoded"),
        (b"\0\0\0\x14ftypavif\0\0\0\0mif1", "broken", "can't be decoded"),
    ],
)
def test_what_is_no_picture_says_what_it_is(content: bytes, status: str, reason: str) -> None:
    before = time.process_time()
    error = refused(content)
    assert error.status == status
    assert re.search(reason, error.reason)
    assert time.process_time() - before < 2


@pytest.mark.parametrize("format", ["PNG", "GIF", "JPEG", "WEBP"])
def test_a_single_pixel_is_a_stand_in(format: str) -> None:
    error = refused(picture(size=(1, 1), format=format))
    assert (error.status, error.reason) == (PhotoStatus.PLACEHOLDER, "1x1 pixel")


def test_a_line_of_pixels_is_a_picture() -> None:
    facts = inspect(io.BytesIO(picture(size=(1, 300))))
    assert (facts.width, facts.height, len(facts.thumbnail)) == (1, 300, 1024)


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


TO_STORE = {
    1: None,
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF", "HEIF"])
@pytest.mark.parametrize("orientation", TO_STORE)
def test_rotated_by_exif(orientation: int, format: str) -> None:
    upright = drawn((480, 320))
    turn = TO_STORE[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = upright if turn is None else upright.transpose(turn)
    content = encoded(stored, format, exif=exif.tobytes())
    facts = inspect(io.BytesIO(content))
    assert (facts.width, facts.height) == (480, 320)
    assert alike(read_rgb(io.BytesIO(content)), upright)
    assert alike(thumbnail(facts), upright.convert("L").resize((32, 32)))


def thumbnail(facts: images.ImageFacts) -> Image.Image:
    return Image.frombytes("L", (32, 32), facts.thumbnail)


def alike(one: Image.Image, other: Image.Image) -> bool:
    return one.size == other.size and max(ImageStat.Stat(ImageChops.difference(one, other)).mean) < 6


@pytest.mark.parametrize("kind", SINGLE)
def test_the_thumbnail_is_the_whole_picture_in_grey(kind: str) -> None:
    facts = inspect(io.BytesIO(SINGLE[kind]()))
    expected = drawn().convert("1" if kind == "png 1 bit" else "L").convert("L")
    assert alike(thumbnail(facts), expected.resize((32, 32), Image.Resampling.LANCZOS))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGBA", "P", "I;16"])
def test_large_pictures_of_any_mode_have_a_thumbnail(mode: str) -> None:
    size = (2600, 2100)
    image = Image.new("I;16", size, 0x8000) if mode == "I;16" else drawn(size).convert(mode)
    facts = inspect(io.BytesIO(encoded(image, "PNG", compress_level=1)))
    expected = images.to_rgb(image).convert("L").resize((32, 32), Image.Resampling.LANCZOS)
    assert alike(thumbnail(facts), expected)


def test_a_strip_of_a_picture_keeps_its_short_side() -> None:
    strip = drawn((4_000, 40))
    facts = inspect(io.BytesIO(encoded(strip, "PNG")))
    assert alike(thumbnail(facts), strip.convert("L").resize((32, 32), Image.Resampling.LANCZOS))


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


def test_transparency_is_white_in_the_thumbnail_too() -> None:
    clear = encoded(Image.new("RGBA", (600, 600), (0, 0, 0, 0)), "PNG")
    listed = Image.new("P", (600, 600), 3)
    listed.putpalette(list(range(12)))
    palette = encoded(listed, "PNG", transparency=3)
    shade = encoded(Image.new("L", (600, 600), 9), "PNG", transparency=9)
    for content in (clear, palette, shade):
        assert set(inspect(io.BytesIO(content)).thumbnail) == {255}
    woven = Image.fromarray(np.indices((600, 600)).sum(0).astype(np.uint8) % 2 * 191 + 9)  # 9 and 200 by turns
    facts = inspect(io.BytesIO(encoded(woven, "PNG", transparency=9)))
    assert alike(thumbnail(facts), Image.new("L", (32, 32), (255 + 200) // 2))


def test_a_palette_with_transparency_is_laid_on_white() -> None:
    image = Image.new("P", (20, 20), 1)
    image.putpalette([0, 0, 0, 200, 0, 0, 0, 0, 200])
    image.paste(2, (0, 0, 10, 20))
    content = encoded(image, "PNG", transparency=2)
    rgb = read_rgb(io.BytesIO(content))
    assert (rgb.getpixel((3, 3)), rgb.getpixel((15, 3))) == ((255, 255, 255), (200, 0, 0))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_pixels_are_as_stored_whatever_their_profile(format: str) -> None:
    wide = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    with_profile, without = photo(format, icc_profile=wide), photo(format)
    assert Image.open(io.BytesIO(with_profile)).info["icc_profile"] == wide
    assert read_rgb(io.BytesIO(with_profile)).tobytes() == read_rgb(io.BytesIO(without)).tobytes()
    assert inspect(io.BytesIO(with_profile)) == inspect(io.BytesIO(without))


@pytest.mark.parametrize("kind", ["gif", "apng", "webp", "avif"])
def test_an_animation_is_its_first_frame_and_marked(kind: str) -> None:
    facts = inspect(io.BytesIO(SEVERAL[kind]()))
    assert facts.animated
    assert alike(thumbnail(facts), drawn().convert("L").resize((32, 32)))
    assert alike(read_rgb(io.BytesIO(SEVERAL[kind]())).convert("L"), drawn().convert("L"))


@pytest.mark.parametrize("kind", ["mpo", "tiff", "heic"])
def test_several_pictures_are_no_animation(kind: str) -> None:
    facts = inspect(io.BytesIO(SEVERAL[kind]()))
    assert facts.format == {"mpo": "MPO", "tiff": "TIFF", "heic": "HEIF"}[kind]
    assert not facts.animated
    assert alike(thumbnail(facts), drawn().convert("L").resize((32, 32)))


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1"])
def test_heic_is_read_by_its_plug_in(brand: bytes) -> None:
    content = photo("HEIF")
    assert content[4:12] == b"ftypheic"
    content = content[:8] + brand + content[12:]
    assert inspect(io.BytesIO(content)).format == "HEIF"
    assert alike(read_rgb(io.BytesIO(content)).convert("L"), drawn().convert("L"))


def test_avif_stays_with_pillow_whatever_else_it_says_it_is() -> None:
    content = photo("AVIF")
    assert content[8:12] == b"avif"
    content = content[:8] + b"mif1" + content[12:32].replace(b"miaf", b"heic") + content[32:]
    assert b"avif" in content[12:32]
    assert b"heic" in content[12:32]
    assert inspect(io.BytesIO(content)).format == "AVIF"


def test_heic_without_its_plug_in_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    content = photo("HEIF")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for read in (inspect, read_rgb):
        with pytest.raises(ImageError, match=r"pip install 'hashtag-photos\[heic\]'") as error:
            read(io.BytesIO(content))
        assert error.value.status is PhotoStatus.UNSUPPORTED
    assert inspect(io.BytesIO(photo("AVIF"))).format == "AVIF"


def test_verifying_loads_nothing_heavy() -> None:
    path = SAMPLE / "www/media/p001.jpg"
    code = f"""
import sys
from hashtag_photos.images import inspect
print(inspect(open({str(path)!r}, "rb")).format, {{"numpy", "imagehash", "pyarrow", "pillow_heif"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "JPEG set()\n"


def waits(content: bytes) -> bool:
    """Whether verifying waits while another large picture is decoded."""
    done = threading.Event()

    def verify() -> None:
        inspect(io.BytesIO(content))
        done.set()

    with images._one_large:
        thread = threading.Thread(target=verify)
        thread.start()
        waited = not done.wait(0.5)
    thread.join(10)
    assert done.is_set()
    return waited


def test_large_pictures_are_decoded_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_LARGE_PIXELS", 150_000)
    small, large = drawn((400, 300)), drawn((1600, 1200))
    assert not waits(encoded(small, "PNG"))
    assert waits(encoded(large, "PNG"))
    assert not waits(encoded(large, "JPEG")), "it is decoded small"
    assert waits(encoded(large, "JPEG", progressive=True)), "its coefficients are all in memory"


def test_a_broken_large_picture_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_LARGE_PIXELS", 1_000)
    for read in (inspect, read_rgb):
        with pytest.raises(ImageError):
            read(io.BytesIO(photo("PNG")[:10_000]))
        assert not images._one_large.locked()


def sample_pictures() -> list[bytes]:
    truth = (SAMPLE / "truth.csv").read_text().splitlines()[1:9]
    return [(SAMPLE / "www/media" / line.split(",")[1].split("/")[-1]).read_bytes() for line in truth]


def hash_of(content: bytes) -> int:
    return int(perceptual_hashes([inspect(io.BytesIO(content)).thumbnail])[0], 16)


def test_hashes_are_those_of_imagehash() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2_000, 32, 32), dtype=np.uint8)
    plain = np.broadcast_to(np.arange(256, dtype=np.uint8)[:, None, None], (256, 32, 32))
    slope = np.broadcast_to(np.arange(0, 256, 8, dtype=np.uint8), (32, 32))
    real = [inspect(io.BytesIO(content)).thumbnail for content in sample_pictures()]
    thumbnails = [each.tobytes() for each in (*noise, *plain, slope, slope.T)] + real
    expected = [str(imagehash.phash(Image.frombytes("L", (32, 32), each))) for each in thumbnails]
    assert perceptual_hashes(thumbnails) == expected
    assert perceptual_hashes(thumbnails[:1]) == expected[:1]
    assert perceptual_hashes([]) == []


def test_decoding_a_jpeg_small_hardly_changes_its_hash() -> None:
    """On fine noise, the hardest there is: nothing in it is larger than a few pixels."""
    for seed in range(10):
        rows = np.random.default_rng(seed).integers(0, 255, (72, 96, 3), dtype=np.uint8)
        content = encoded(Image.fromarray(rows).resize((400, 300), Image.Resampling.BICUBIC), "JPEG")
        full = int(str(imagehash.phash(read_rgb(io.BytesIO(content)))), 16)
        assert (hash_of(content) ^ full).bit_count() <= 2


def test_the_same_picture_recompressed_has_a_near_hash_and_another_a_far_one() -> None:
    hashes = []
    for content in sample_pictures():
        smaller = encoded(read_rgb(io.BytesIO(content)).resize((320, 240)), "JPEG", quality=50)
        one, other = hash_of(content), hash_of(smaller)
        assert (one ^ other).bit_count() <= 8
        hashes.append(one)
    assert all((a ^ b).bit_count() > 8 for a in hashes for b in hashes if a != b)


def test_known_stand_ins_come_with_the_package() -> None:
    known = placeholders()
    assert "imgur" in known["9b5936f4006146e4e1e9025b474c02863c0b5614132ad40db4b925a10e8bfbb9"]
    assert all(len(sha256) == 64 and words for sha256, words in known.items())


def test_a_list_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_bytes(
        b"\xef\xbb\xbf# mine\r\n\r\n" + b"AB" * 32 + b"  a grey cat \r\n  # more\r\n" + b"01" * 32 + b"\r\n"
    )
    assert placeholders(path) == {"ab" * 32: "a grey cat", "01" * 32: "a known stand-in"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"# mine\nd835884373f4d6c8f24742ceabe74946  an md5\n", "mine.txt, line 2: 'd835884.*' is no sha256; write"),
        (b"\xff\xfe\x00", "UTF-8"),
        (None, "can't be read"),
    ],
)
def test_a_list_that_cant_be_used_says_where_and_what_to_type(
    content: bytes | None, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=reason) as error:
        placeholders(path)
    assert error.value.subject == path


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_jpeg_that_is_filled_up_with_zeros_is_broken(share: float) -> None:
    for path in sorted(SAMPLE.rglob("*.jpg"))[:20]:
        whole = path.read_bytes()
        try:
            inspect(io.BytesIO(whole))
        except ImageError:
            continue
        length = int(len(whole) * share)
        with pytest.raises(ImageError) as error:
            inspect(io.BytesIO(whole[:length] + bytes(len(whole) - length)))
        assert error.value.status is PhotoStatus.BROKEN
        inspect(io.BytesIO(whole + bytes(100)))
