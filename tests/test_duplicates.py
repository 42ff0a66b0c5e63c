"""Which images are the same picture: the rule against its plain definition, and pictures that were really edited."""

import io
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

import hashtag_photos as hp
from hashtag_photos import duplicates
from hashtag_photos.duplicates import NEAR, closest, near_duplicates, rounded
from hashtag_photos.images import WINDOWS, inspect, one_shade, window_hashes
from hashtag_photos.stages.embed import encoded
from hashtag_photos.stages.engine import LOCAL


def numbers(hashes: list[str]) -> np.ndarray:
    return np.stack([np.frombuffer(bytes.fromhex(each), "<u8").reshape(len(WINDOWS), -1) for each in hashes])


def file(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def looks(files: list[bytes]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hashes, shades and thumbnails of encoded pictures."""
    thumbnails = [inspect(io.BytesIO(each)).thumbnail for each in files]
    pixels = np.frombuffer(b"".join(thumbnails), dtype=np.uint8).reshape(-1, 32, 32)
    return numbers(window_hashes(thumbnails)), np.array(one_shade(thumbnails), dtype=np.float32), pixels


def unseen(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Shades and thumbnails that decide nothing."""
    return np.zeros(rows, dtype=np.float32), np.full((rows, 32, 32), 128, dtype=np.uint8)


def noise(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """A picture that is like no other, of patches of all sizes, the large ones strongest, as in photographs."""
    chance, pixels = np.random.default_rng(seed), np.full((size[1], size[0], 3), 128.0)
    for cells in (2, 4, 8, 16, 32, 64):
        patches = Image.fromarray(chance.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        pixels += (np.asarray(patches.resize(size, Image.Resampling.BICUBIC)) - 128.0) / cells**0.7
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def random_bits(chance: np.random.Generator, rows: int) -> np.ndarray:
    """Hashes with half of their bits set, all windows of an image being its own."""
    bits = np.argsort(chance.random((rows, len(WINDOWS), 256)), axis=2) < 128
    return np.packbits(bits, axis=2).view(np.uint64)


def flipped(chance: np.random.Generator, hashes: np.ndarray, bits: int) -> np.ndarray:
    """Hashes of which so many bits differ in each window, the same ones in all."""
    mask = np.packbits(np.argsort(chance.random((len(hashes), 256)), axis=1) < bits, axis=1).view(np.uint64)
    return hashes ^ mask[:, np.newaxis]


# The definition


def plainly(hashes: np.ndarray, vectors: np.ndarray) -> list[int]:
    """The definition, word by word, for images that are neither flat nor too many: greedy stars of alike images."""

    def alike(a: int, b: int) -> bool:
        pairs = [(0, 0), *((0, window) for window in range(1, 5)), *((window, 0) for window in range(1, 5))]
        near = min(int(np.bitwise_count(hashes[a, i] ^ hashes[b, j]).sum()) for i, j in pairs)
        apart = 1 - float(vectors[a].astype(np.float32) @ vectors[b].astype(np.float32))
        if min(np.bitwise_count(hashes[each]).sum(axis=1).min() for each in (a, b)) < 112:
            return near == 0 and apart <= 0.02 * 0.5  # as of plain pictures
        return near <= 51 and apart <= (0.8 if near <= 26 else 0.6) * 0.5

    n = len(hashes)
    beside = {a: {b for b in range(n) if b != a and alike(a, b)} for a in range(n)}
    group: dict[int, int] = {}
    for centre in sorted(range(n), key=lambda a: (-len(beside[a]), a)):
        if centre not in group:
            group[centre] = centre
            for other in beside[centre] - group.keys():
                group[other] = centre
    first = {centre: min(a for a in group if group[a] == centre) for centre in group.values()}
    return [first[group[a]] for a in range(n)]


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 70), st.floats(0, 1)), max_size=9), st.integers(0, 1_000))
def test_groups_are_those_of_the_plain_definition(images: list[tuple[int, int, float]], seed: int) -> None:
    """So few that the distance between unrelated vectors is the one that stands for it: 0.5."""
    chance = np.random.default_rng(seed)
    pictures, directions = random_bits(chance, 5), chance.normal(size=(5, 8))
    own = np.array([picture for picture, _, _ in images], dtype=int)
    hashes = [flipped(chance, pictures[[picture]], bits)[0] for picture, bits, _ in images]
    turned = [amount for _, _, amount in images]
    vectors = unit(directions[own] + np.array(turned)[:, None] * chance.normal(size=(len(own), 8)))
    found = near_duplicates(
        np.array(hashes, dtype=np.uint64).reshape(-1, 5, 4), *unseen(len(own)), vectors.reshape(-1, 8)
    )
    assert found.tolist() == plainly(np.array(hashes, dtype=np.uint64).reshape(-1, 5, 4), vectors)


def test_a_chain_is_not_a_group() -> None:
    """Each picture is near the next one; the ends have nothing in common."""
    chance = np.random.default_rng(0)
    chain = [random_bits(chance, 1)]
    mask = np.zeros(256, dtype=bool)
    for step in range(8):
        mask[step * 30 : step * 30 + 30] = True
        chain.append(chain[0] ^ np.packbits(mask).view(np.uint64))
    hashes = np.concatenate(chain)
    assert all(closest(hashes[[a]], hashes[[a + 1]])[0][0] <= NEAR for a in range(8))
    groups = near_duplicates(hashes, *unseen(9), unit(np.ones((9, 4))))
    assert max(Counter(groups.tolist()).values()) == 3


def big(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """So many images that pairs are found by sorting; those from 3,000 on are copies of the others."""
    chance = np.random.default_rng(seed)
    copies = np.concatenate([np.zeros(300, dtype=int), np.arange(1, 701)])
    pictures, directions = random_bits(chance, 3_000), chance.normal(size=(3_000, 32)) + 0.5
    hashes = np.concatenate([pictures, flipped(chance, pictures[copies], 12)])
    vectors = unit(np.concatenate([directions, directions[copies] + 0.2 * chance.normal(size=(1_000, 32))]))
    return hashes, *unseen(4_000), vectors


def test_among_many_the_copies_are_found_and_nothing_else_is_joined() -> None:
    groups = near_duplicates(*big(0))
    copies = np.concatenate([np.zeros(300, dtype=int), np.arange(1, 701)])
    assert (groups[:3_000] == np.arange(3_000)).all()
    assert (groups[3_000:] == copies).mean() > 0.99
    assert set(groups[3_000:][groups[3_000:] != copies]) <= set(range(3_000, 4_000)), "alone, not with another picture"


def test_the_order_of_the_images_makes_no_difference() -> None:
    hashes, shades, thumbnails, vectors = big(1)
    order = np.random.default_rng(2).permutation(len(hashes))
    one = near_duplicates(hashes, shades, thumbnails, vectors)
    other = near_duplicates(hashes[order], shades, thumbnails, vectors[order])

    def sets(groups: np.ndarray, names: np.ndarray) -> set[frozenset[int]]:
        return {frozenset(names[groups == each].tolist()) for each in set(groups.tolist())}

    assert sets(one, np.arange(len(hashes))) == sets(other, order)


def test_who_does_the_work_makes_no_difference() -> None:
    one, other = near_duplicates(*big(3)), near_duplicates(*big(3), each=LOCAL.each)
    assert (one == other).all()


def test_by_sorting_the_same_is_found_as_by_looking_at_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    some = np.concatenate([np.arange(1_200), np.arange(3_000, 4_000)])
    images = [each[some] for each in big(4)]
    assert len(some) > duplicates.EXACT
    sorted_out = near_duplicates(*images)
    monkeypatch.setattr(duplicates, "EXACT", len(images[0]))
    assert (sorted_out == near_duplicates(*images)).mean() > 0.99


def test_none_and_one() -> None:
    hashes = random_bits(np.random.default_rng(0), 1)
    assert near_duplicates(hashes[:0], *unseen(0), np.zeros((0, 4), np.float16)).tolist() == []
    assert near_duplicates(hashes, *unseen(1), unit(np.ones((1, 4)))).tolist() == [0]


def test_what_does_not_fit_together_is_refused() -> None:
    hashes = random_bits(np.random.default_rng(0), 2)
    with pytest.raises(ValueError, match="hashes are"):
        near_duplicates(hashes, *unseen(2), unit(np.ones((3, 4))))


def test_an_image_whose_vector_is_no_number_stands_alone() -> None:
    hashes = np.repeat(random_bits(np.random.default_rng(0), 1), 3, axis=0)
    vectors = unit(np.ones((3, 4)))
    vectors[1, 2] = np.nan
    assert near_duplicates(hashes, *unseen(3), vectors).tolist() == [0, 1, 0]
    assert near_duplicates(hashes, *unseen(3), rounded(vectors)).tolist() == [0, 1, 0]


def test_vectors_in_bytes_have_the_cosines_that_they_had() -> None:
    chance = np.random.default_rng(0)
    vectors = unit(chance.normal(size=(50, 1024)) + 1)
    small = rounded(vectors).astype(np.float64)
    small /= np.linalg.norm(small, axis=1, keepdims=True)
    assert np.abs(small @ small.T - vectors.astype(np.float64) @ vectors.T.astype(np.float64)).max() < 1e-3
    assert rounded(np.empty((0, 4), np.float16)).shape == (0, 4)


def test_the_same_hash_is_not_enough_where_a_part_of_the_picture_differs() -> None:
    hashes = np.repeat(random_bits(np.random.default_rng(0), 1), 3, axis=0)
    shades, thumbnails = unseen(3)
    thumbnails[1, 20:22, 8:10] = 160
    assert near_duplicates(hashes, shades, thumbnails, unit(np.ones((3, 4)))).tolist() == [0, 1, 0]


def test_the_same_hash_is_not_enough_where_vectors_are_as_far_apart_as_those_of_any_two_images() -> None:
    chance = np.random.default_rng(0)
    hashes = random_bits(chance, 200)
    hashes[1] = hashes[0]
    vectors = unit(chance.normal(size=(200, 64)) + 1)  # unrelated ones have a cosine of 0.5
    assert len(set(near_duplicates(hashes, *unseen(200), vectors).tolist())) == 200
    vectors[1] = vectors[0]
    assert near_duplicates(hashes, *unseen(200), vectors)[1] == 0


# Pictures of which a hash says little


def test_plain_pictures_of_other_colours_are_others() -> None:
    files = [file(Image.new("RGB", (200, 150), color)) for color in ("teal", "teal", "crimson", "white")]
    images = looks([*files[:1], file(Image.new("RGB", (100, 75), "teal")), *files[2:]])
    assert (images[1] == 1).all()
    vectors = unit(np.array([[1, 0.3, 0, 0], [1, 0.301, 0, 0], [1, 0, 0.4, 0], [1, 0, 0, 0.4]]))
    assert near_duplicates(*images, vectors).tolist() == [0, 0, 2, 3]


def test_plain_pictures_of_other_shades_are_others_whatever_their_vectors_say() -> None:
    files = [file(Image.new("RGB", (200, 150), (shade, shade, shade))) for shade in (40, 60, 61, 200)]
    assert near_duplicates(*looks(files), unit(np.ones((4, 8)))).tolist() == [0, 1, 1, 3]


def screenshot(words: list[str], size: tuple[int, int] = (360, 480)) -> Image.Image:
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    draw.ellipse((20, 20, 60, 60), fill="teal")
    for line, text in enumerate(words):
        draw.text((20, 90 + 40 * line), text, fill="black", font_size=24)
    return image


def test_screenshots_of_other_words_are_others_and_recompressed_ones_the_same() -> None:
    one = screenshot(["This campaign is", "going very well,", "thank you all!"])
    two = screenshot(["Who thought of it?", "Not I. Read the", "replies, please."])
    files = [file(one, quality=90), file(two, quality=90), file(one, quality=30), file(two.resize((180, 240)))]
    images = looks(files)
    assert (images[1] > 0.5).all()
    assert near_duplicates(*images, unit(np.ones((4, 8)))).tolist() == [0, 1, 0, 1], "whatever the vectors say"


def test_different_pictures_in_the_same_black_frame_are_others() -> None:
    files = [
        file(ImageOps.expand(ImageEnhance.Contrast(noise(seed, (300, 300))).enhance(0.3), 14, "black"))
        for seed in range(12)
    ]
    groups = near_duplicates(*looks(files), unit(np.ones((12, 8))))
    assert len(set(groups.tolist())) == 12


# Different pictures that look alike: words in one layout, captions upon one template, a figure elsewhere

VOCABULARY = (
    "police community thank you safe street officer help today city people hashtag why would never always crowd baton "
    "reply share photo friend kid ice cream stop look see what happened yesterday nobody told us that this is fine"
)


def words(chance: np.random.Generator, count: int) -> list[str]:
    return chance.choice(VOCABULARY.split(), count, replace=False).tolist()


def lines(words: list[str], width: int) -> list[str]:
    made = [""]
    for word in words:
        if len(made[-1]) + len(word) > width:
            made.append("")
        made[-1] += word + " "
    return made


def post(chance: np.random.Generator, count: int, background: str = "white") -> Image.Image:
    """A screenshot of a post."""
    image = Image.new("RGB", (600, 400), "#152028" if background == "dark" else "white")
    if background == "gradient":
        rows = np.linspace(200, 255, 400).astype(np.uint8)[:, np.newaxis, np.newaxis]
        image = Image.fromarray(np.broadcast_to(rows, (400, 600, 3)).copy())
    draw, ink = ImageDraw.Draw(image), "white" if background == "dark" else "black"
    draw.ellipse((20, 20, 80, 80), fill="#1d9bf0")
    draw.text((100, 30), "Harbor PD  @HarborPD", fill=ink, font_size=24)
    for number, line in enumerate(lines(words(chance, count), 36)):
        draw.text((20, 100 + 36 * number), line, fill=ink, font_size=28)
    draw.text((20, 360), "10:22 - 22 Apr 2014   1,203 Retweets", fill="gray", font_size=18)
    return image


def card(chance: np.random.Generator) -> Image.Image:
    """A quotation below a photograph that is always the same."""
    image = Image.new("RGB", (640, 640), "white")
    image.paste(noise(1, (640, 320)))
    for number, line in enumerate(lines(words(chance, 14), 30)):
        ImageDraw.Draw(image).text((30, 350 + 46 * number), line, fill="black", font_size=36)
    return image


def meme(chance: np.random.Generator, size: int = 64, *, top: bool = True) -> Image.Image:
    """Captions upon a template."""
    image = noise(2, (640, 480))
    for y in (10, 460 - size) if top else (460 - size,):
        text = " ".join(words(chance, 3)).upper()
        ImageDraw.Draw(image).text((20, y), text, fill="white", stroke_width=4, stroke_fill="black", font_size=size)
    return image


def logo(chance: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (500, 500), "navy")
    ImageDraw.Draw(image).ellipse((40, 40, 460, 460), outline="gold", width=20)
    ImageDraw.Draw(image).text((110, 220), " ".join(words(chance, 3)), fill="gold", font_size=36)
    return image


def sky(place: int) -> Image.Image:
    """A figure somewhere on a plain, as many pixels from another one as it has itself."""
    rows = np.linspace(120, 230, 480)[:, np.newaxis, np.newaxis] * np.array([0.6, 0.8, 1.0])
    image = Image.fromarray(np.broadcast_to(rows.astype(np.uint8), (480, 640, 3)).copy())
    ImageDraw.Draw(image).rectangle((0, 380, 640, 480), fill="#3c5a3c")
    ImageDraw.Draw(image).rectangle((40 + 30 * place, 330, 65 + 30 * place, 380), fill="black")
    return image


FAMILIES: dict[str, Callable[[np.random.Generator], Image.Image]] = {
    "5 words": lambda chance: post(chance, 5),
    "8 words": lambda chance: post(chance, 8),
    "12 words": lambda chance: post(chance, 12),
    "16 words": lambda chance: post(chance, 16),
    "25 words": lambda chance: post(chance, 25),
    "8 words on dark": lambda chance: post(chance, 8, "dark"),
    "12 words on a gradient": lambda chance: post(chance, 12, "gradient"),
    "25 words on a gradient": lambda chance: post(chance, 25, "gradient"),
    "quotations": card,
    "captions": meme,
    "captions below": lambda chance: meme(chance, 40, top=False),
    "logos": logo,
}


def together(groups: np.ndarray) -> int:
    """Pairs of images in one group."""
    return sum(each * (each - 1) // 2 for each in Counter(groups.tolist()).values())


@pytest.mark.parametrize("family", FAMILIES)
def test_other_words_make_another_picture_and_copies_are_the_same(family: str) -> None:
    """By hashes and thumbnails alone. At most 1 pair in 10,000 is joined; recompressed and resized ones join."""
    chance = np.random.default_rng(7)
    made = [FAMILIES[family](chance) for _ in range(150)]
    files = [file(image, quality=85) for image in made]
    copies = [(number, EDITS[edit](image)) for number, image in enumerate(made[:10]) for edit in SAME]
    groups = near_duplicates(*looks(files + [copy for _, copy in copies]), unit(np.ones((150 + len(copies), 8))))
    of = np.array([number for number, _ in copies])
    assert together(groups[:150]) <= 150 * 149 / 2 / 10_000
    assert (groups[150:] == groups[of]).mean() >= 0.95


def test_a_small_figure_elsewhere_makes_another_picture() -> None:
    files = [file(sky(place), quality=85) for place in range(20)]
    assert len(set(near_duplicates(*looks(files), unit(np.ones((20, 8)))).tolist())) == 20


def test_what_stands_in_an_added_strip_is_not_compared() -> None:
    """So a picture with two captions is one picture, if the bare one is there as well."""
    files = [file(noise(0)), file(caption(noise(0))), file(caption(noise(0), top=True))]
    assert near_duplicates(*looks(files), unit(np.ones((3, 8)))).tolist() == [0, 0, 0]


# Pictures that were edited


def caption(image: Image.Image, *, top: bool = False) -> Image.Image:
    """A strip of 10 % with words, above or below."""
    height = round(image.height * 0.1)
    out = Image.new("RGB", (image.width, image.height + height), "white")
    out.paste(image, (0, height if top else 0))
    y = 0 if top else out.height - height
    draw = ImageDraw.Draw(out)
    draw.rectangle((0, y, out.width, y + height), fill="white")
    draw.text((out.width * 0.05, y + height * 0.2), "when you see it: share", fill="black", font_size=height * 0.5)
    return out


def resized(image: Image.Image, times: float) -> Image.Image:
    return image.resize((round(image.width * times), round(image.height * times)), Image.Resampling.LANCZOS)


SAME = ("quality 30", "quality 60", "quality 90", "half", "double", "WebP", "PNG")
EDITS: dict[str, Callable[[Image.Image], bytes]] = {
    "quality 30": lambda image: file(image, quality=30),
    "quality 60": lambda image: file(image, quality=60),
    "quality 90": lambda image: file(image, quality=90),
    "half": lambda image: file(resized(image, 0.5), quality=85),
    "double": lambda image: file(resized(image, 2), quality=85),
    "WebP": lambda image: file(image, "WEBP", quality=70),
    "PNG": lambda image: file(image, "PNG", compress_level=1),
    "brighter": lambda image: file(ImageEnhance.Brightness(image).enhance(1.15), quality=85),
    "darker": lambda image: file(ImageEnhance.Brightness(image).enhance(0.85), quality=85),
    "more contrast": lambda image: file(ImageEnhance.Contrast(image).enhance(1.15), quality=85),
    "less contrast": lambda image: file(ImageEnhance.Contrast(image).enhance(0.85), quality=85),
    "crop of 5 %": lambda image: file(ImageOps.crop(image, round(image.width * 0.025)), quality=85),
    "crop of 5 % each side": lambda image: file(ImageOps.crop(image, round(image.width * 0.05)), quality=85),
    "white border of 5 %": lambda image: file(ImageOps.expand(image, round(image.width * 0.05), "white"), quality=85),
    "black border of 5 %": lambda image: file(ImageOps.expand(image, round(image.width * 0.05), "black"), quality=85),
    "strip below": lambda image: file(caption(image), quality=85),
    "strip above": lambda image: file(caption(image, top=True), quality=85),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_picture_is_the_same_one(edit: str) -> None:
    """By hashes alone."""
    originals = [noise(seed) for seed in range(20)]
    files = [file(image, quality=92) for image in originals] + [EDITS[edit](image) for image in originals]
    groups = near_duplicates(*looks(files), unit(np.ones((40, 8))))
    assert (groups[:20] == np.arange(20)).all()
    assert (groups[20:] == np.arange(20)).sum() >= (12 if edit == "brighter" else 16 if "border" in edit else 19)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_80_pictures_under_all_edits_among_320_others() -> None:
    """The bundled model on drawn scenes, which is hard: those of one kind look alike.

    Of all edits 95.7 % join, as was wanted; of 200 pictures among 1,000 others 93.2 % did: borders and brighter copies
    are missed, each counted once more.
    """
    from draw_scenes import SCENES, draw

    chance, kinds = np.random.default_rng(0), sorted(SCENES)
    sizes = ((640, 480), (480, 640), (600, 600), (720, 405))
    files: list[bytes] = []
    picture: list[int] = []
    edit: list[str] = []
    for number in range(400):
        width, height = sizes[chance.integers(len(sizes))]
        image = draw(kinds[number % len(kinds)], 7_000_000 + number, width, height).image.convert("RGB")
        made = {"": file(image, quality=92)}
        if number < 80:
            made |= {name: change(image) for name, change in EDITS.items()}
        files += made.values()
        edit += made
        picture += [number] * len(made)
    encoder = hp.Classifier(model="tiny", device="cpu").encoder
    found = encoded(encoder, files, lambda content: encoder.prepare(io.BytesIO(content)))
    vectors = np.stack([vector for batch in found for _, vector in batch if not isinstance(vector, Exception)])
    groups = near_duplicates(*looks(files), vectors)

    pictures, edits = np.array(picture), np.array(edit)
    of_original = dict(zip(pictures[edits == ""].tolist(), groups[edits == ""].tolist(), strict=True))
    joined = np.array([of_original[each] for each in picture]) == groups
    shares = {name: round(float(joined[edits == name].mean()), 3) for name in EDITS}
    assert joined[np.isin(edits, SAME)].mean() >= 0.99, shares
    assert joined[edits != ""].mean() >= 0.95, shares

    def pairs(counts: Counter[object]) -> int:
        return sum(each * (each - 1) // 2 for each in counts.values())

    related = pairs(Counter(picture))
    both = pairs(Counter(zip(picture, groups.tolist(), strict=True)))
    false = pairs(Counter(groups.tolist())) - both
    unrelated = len(files) * (len(files) - 1) // 2 - related
    assert false <= unrelated / 10_000, (false, unrelated)
