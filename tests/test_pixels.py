"""Pixels are those of OpenCLIP's own preprocessing, over a folder of odd files: every mode, format and orientation."""

import io
import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from conftest import SAMPLE
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image, ImageOps

from hashtag_photos.images import ImageError
from hashtag_photos.pixels import Preprocessing

#: a name and its weights for each family that presets and README speak of
FAMILIES = {
    "PE-Core": ("PE-Core-L-14-336", "meta"),
    "PE-Core-B": ("PE-Core-B-16", "meta"),
    "ViT": ("ViT-B-32", "laion2b_s34b_b79k"),
    "SigLIP2": ("ViT-B-16-SigLIP2", "webli"),
    "ConvNeXt": ("convnext_base_w_320", "laion_aesthetic_s13b_b82k"),
}
OTHERS = {
    "longest": {"resize_mode": "longest"},
    "not square": {"size": (224, 320)},
    "bilinear": {"interpolation": "bilinear"},
}


def configuration(family: str) -> dict:
    if family in OTHERS:
        return OTHERS[family]
    architecture, weights = FAMILIES[family]
    tag = open_clip.get_pretrained_cfg(architecture, weights)
    names = ("mean", "std", "interpolation", "resize_mode")
    size = open_clip.get_model_config(architecture)["vision_cfg"]["image_size"]
    return {"size": size, **{name: tag[name] for name in names if name in tag}}


@pytest.fixture(params=[*FAMILIES, *OTHERS], scope="module")
def both(request: pytest.FixtureRequest) -> tuple[Preprocessing, object]:
    settings = configuration(request.param)
    return Preprocessing(settings), image_transform_v2(PreprocessCfg(**settings), is_train=False)


@cache
def scene(width: int, height: int) -> Image.Image:
    """Something with edges, colours and noise, as a photograph has them; from the sample's drawings."""
    with Image.open(sorted((SAMPLE / "www/media").glob("*.webp"))[3]) as drawing:
        picture = np.asarray(drawing.convert("RGB").resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)
    noise = np.random.default_rng(width * height).normal(0, 6, picture.shape)
    return Image.fromarray(np.clip(picture + noise, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, image_format: str, orientation: int | None = None, **options: object) -> io.BytesIO:
    out = io.BytesIO()
    if orientation:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif.tobytes()
    image.save(out, image_format, **options)
    out.seek(0)
    return out


@cache
def photograph(size: tuple[int, int], **options: object) -> bytes:
    return encoded(scene(*size), "JPEG", **options).getvalue()


def as_a_person_sees_it(file: io.BytesIO) -> Image.Image:
    """Written apart from the package: upright, on white, the upper eight bits, colours instead of palette numbers."""
    file.seek(0)
    image = ImageOps.exif_transpose(Image.open(file))
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image if image.mode in ("RGB", "L", "CMYK") else image.convert("RGB")


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    error = float(((a.double() - b.double()) ** 2).mean())
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def as_bytes(floats: torch.Tensor, theirs: object) -> torch.Tensor:
    """Undo the last step: 0 to 255 again."""
    normalize = theirs.transforms[-1]
    return (floats * torch.tensor(normalize.std).view(3, 1, 1) + torch.tensor(normalize.mean).view(3, 1, 1)) * 255


def both_of(both: tuple, file: io.BytesIO) -> tuple[torch.Tensor, torch.Tensor]:
    ours, theirs = both
    expected = theirs(as_a_person_sees_it(file))
    file.seek(0)
    pixels = ours(file)
    assert pixels.dtype == torch.uint8
    return ours.normalised(pixels), expected


SIZES = [
    (1200, 800),
    (800, 1200),
    (1080, 1920),
    (900, 2400),
    (1024, 1024),
    (673, 1501),
    (640, 480),
    (333, 501),
    (200, 90),
]


BASELINE, PROGRESSIVE = {"quality": 90}, {"quality": 75, "progressive": True}
JPEGS = [*((size, BASELINE) for size in SIZES), *((size, PROGRESSIVE) for size in SIZES[::4])]


@pytest.mark.parametrize(("size", "options"), JPEGS, ids=lambda value: str(value))
def test_jpegs_are_open_clips_to_68_decibels(both: tuple, size: tuple[int, int], options: dict) -> None:
    found, expected = both_of(both, io.BytesIO(photograph(size, **options)))
    assert psnr(as_bytes(found, both[1]), as_bytes(expected, both[1])) >= 68


def odd_files() -> Iterator[tuple[str, io.BytesIO]]:
    """Every mode and format that Pillow decodes here and social media carry, and the eight orientations."""
    picture = scene(420, 300)
    alpha = picture.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(picture.size))
    modes = {
        "RGB": picture,
        "L": picture.convert("L"),
        "1": picture.convert("1"),
        "P": picture.quantize(60),
        "LA": alpha.convert("LA"),
        "RGBA": alpha,
        "I;16": Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257),
    }
    for mode, image in modes.items():
        yield f"{mode}.png", encoded(image, "PNG")
    for orientation in range(1, 9):
        yield f"turned-{orientation}.png", encoded(picture, "PNG", orientation)
        yield f"turned-{orientation}.webp", encoded(picture, "WEBP", orientation, lossless=True)
    transparent = picture.quantize(40)
    yield "P-transparent.png", encoded(transparent, "PNG", transparency=transparent.getpixel((0, 0)))
    yield "RGB-transparent.png", encoded(picture, "PNG", transparency=picture.getpixel((0, 0)))
    yield "P.gif", encoded(picture, "GIF")
    yield "animated.gif", encoded(picture, "GIF", save_all=True, append_images=[picture.rotate(90)], duration=100)
    yield "lossy.webp", encoded(alpha, "WEBP", quality=80)
    yield "RGB.bmp", encoded(picture, "BMP")
    yield "L.tif", encoded(picture.convert("L"), "TIFF")
    yield "CMYK.tif", encoded(picture.convert("CMYK"), "TIFF")
    yield "CMYK.jpg", encoded(picture.convert("CMYK"), "JPEG", quality=90)
    yield "photo.avif", encoded(picture, "AVIF", quality=70)


@pytest.mark.parametrize(("name", "file"), list(odd_files()), ids=lambda value: value if isinstance(value, str) else "")
def test_what_pillow_decodes_is_identical(both: tuple, name: str, file: io.BytesIO) -> None:
    found, expected = both_of(both, file)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_jpegs_stand_upright(both: tuple, orientation: int, mode: str) -> None:
    found, expected = both_of(both, encoded(scene(901, 700).convert(mode), "JPEG", orientation, quality=88))
    assert psnr(as_bytes(found, both[1]), as_bytes(expected, both[1])) >= 68


def test_a_picture_that_is_no_photograph_of_the_family_it_names() -> None:
    """OpenCLIP's own function would show the model what is under transparency, and clip 16 bits to white."""
    ours, theirs = Preprocessing({}), image_transform_v2(PreprocessCfg(), is_train=False)
    hidden = Image.new("RGBA", (300, 300), (255, 0, 0, 0))
    assert not torch.equal(ours.normalised(ours(hidden)), theirs(hidden))
    assert ours(hidden).min() == 255
    deep = Image.fromarray(np.full((300, 300), 20_000, np.uint16))
    assert theirs(deep).unique().numel() <= 3
    assert ours(deep).unique().tolist() == [20_000 >> 8]


def test_a_colour_profile_changes_nothing() -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    ours, picture = Preprocessing({}), scene(900, 700)
    plain, tagged = (ours(encoded(picture, "JPEG", icc_profile=each)) for each in (None, profile))
    assert torch.equal(plain, tagged)


@pytest.mark.parametrize("size", [(1, 60_000), (60_000, 1), (2, 30_000), (3, 2_000)], ids=str)
@pytest.mark.parametrize("image_format", ["PNG", "JPEG"])
def test_an_endless_strip_takes_no_more_than_its_middle(size: tuple[int, int], image_format: str) -> None:
    """Resized as a whole, one of 1x60,000 would be one of 224x13,440,000."""
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pixels = Preprocessing({})(encoded(Image.new("RGB", size, (200, 30, 90)), image_format))
    assert pixels.shape == (3, 224, 224)
    assert (pixels.float().mean((1, 2)) - torch.tensor([200.0, 30, 90])).abs().max() < 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, "kilobytes"


def test_the_middle_of_a_strip_is_that_of_the_whole() -> None:
    strip = scene(40, 4_000)
    ours, theirs = Preprocessing({}), image_transform_v2(PreprocessCfg(), is_train=False)
    import hashtag_photos.pixels as module

    whole = ours(encoded(strip, "PNG"))
    largest, module._LARGEST = module._LARGEST, 1
    try:
        middle = ours(encoded(strip, "PNG"))
    finally:
        module._LARGEST = largest
    assert torch.equal(ours.normalised(whole), theirs(strip))
    assert psnr(middle, whole) > 50


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_cut_short_is_an_error_and_no_grey_picture(share: float, progressive: bool) -> None:
    content = encoded(scene(1200, 900), "JPEG", quality=85, progressive=progressive).getvalue()
    with pytest.raises(ImageError):
        Preprocessing({})(io.BytesIO(content[: int(len(content) * share)]))


def test_what_follows_a_jpeg_does_not_matter(tmp_path: Path) -> None:
    content = encoded(scene(1200, 900), "JPEG", quality=85).getvalue()
    ours = Preprocessing({})
    assert torch.equal(ours(io.BytesIO(content)), ours(io.BytesIO(content + b"appended by a phone" * 100)))
    with pytest.raises(ImageError):
        ours(io.BytesIO(b"<html>"))
    with pytest.raises(ImageError):
        ours(io.BytesIO(b""))


def test_one_of_several_pictures_in_a_jpeg_is_the_first(both: tuple) -> None:
    first = scene(1400, 1000)
    found, expected = both_of(both, encoded(first, "MPO", save_all=True, append_images=[first.rotate(180)], quality=88))
    assert psnr(as_bytes(found, both[1]), as_bytes(expected, both[1])) >= 68
