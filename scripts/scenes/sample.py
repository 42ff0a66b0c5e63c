"""Write the sample: pictures as a web server would serve them, posts that use them, and the truth about each."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import random
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from PIL import Image, ImageOps

from scenes.texts import AUTHORS, BROKEN, OFFICIAL, REPOSTS, TAG, TEXT_ONLY, TEXTS, Text

SITE = "http://sample.invalid"
START = datetime(2031, 4, 22, tzinfo=UTC)
COLLECTED = "2031-04-30T09:00:00Z"  # so that what happens in 2031 is not after it was collected
HUGE = 20_000
PAGE = b"<!doctype html>\n<html><title>Gone</title><body><p>This photo was removed.</p></body></html>\n"
COUNTS = {
    "handshake": 5,
    "selfie": 5,
    "helping_child": 4,
    "high_five": 3,
    "hug": 3,
    "group_photo": 4,
    "petting_dog": 2,
    "baton": 7,
    "riot_line": 6,
    "held_down": 7,
    "spray": 6,
    "arrest": 6,
    "dragging": 5,
    "clash": 7,
    "poster": 3,
    "screenshot": 3,
    "skyline": 2,
    "food": 3,
    "parked_car": 2,
    "empty_street": 2,
    "landscape": 2,
    "animal": 2,
    "object": 1,
}
SIZES = (
    (960, 720),
    (1200, 675),
    (720, 960),
    (700, 700),
    (900, 600),
    (600, 800),
    (840, 560),
    (800, 600),
    (600, 600),
    (640, 480),
)
# When each label is posted: (first hour, last hour, share) counted from the first midnight.
HOURS = {
    "friendly": ((8, 17, 0.8), (17, 23, 0.12), (32, 46, 0.06), (56, 70, 0.02)),
    "conflict_and_force": ((18, 24, 0.16), (30, 47.5, 0.52), (54, 71, 0.32)),
    "neither": ((9, 18, 0.22), (18, 24, 0.18), (31, 47, 0.38), (55, 70, 0.22)),
}


class Drawn(Protocol):
    """The part of a drawing that is needed here."""

    @property
    def image(self) -> Image.Image: ...

    @property
    def label(self) -> str: ...

    @property
    def facts(self) -> dict[str, str | int | bool]: ...


@dataclass
class Picture:
    """One served file that shows a scene."""

    scene: str
    seed: int
    label: str
    data: bytes
    suffix: str
    alt: str
    edit: str = ""
    name: str = ""


@dataclass
class Post:
    """A post before it has a number; ``links`` are pictures, or names of files that show nothing."""

    time: datetime
    text: Text
    label: str
    links: list[Picture | str] = field(default_factory=list)
    author: str = ""


def describe(scene: str, facts: dict[str, str | int | bool]) -> str:
    """Alt text as somebody in a hurry writes it."""
    where = f"{facts['time']}, {facts['weather']}"
    place = f"at the {facts['place']}"
    deeds = {
        "handshake": "Officer shaking hands with a person",
        "selfie": "People and officer taking a selfie",
        "helping_child": "Officer kneeling with a child",
        "high_five": "High five with an officer",
        "hug": "Officer and person hugging",
        "group_photo": "Group photo with officers",
        "petting_dog": "Officer petting a dog",
        "baton": "Officer swinging a baton at a person",
        "riot_line": "Line of officers with shields",
        "held_down": "Person held down on the ground by police",
        "spray": "Officer spraying people",
        "arrest": "Person in handcuffs",
        "dragging": "Person dragged along the ground",
        "clash": "Crowd and police clashing",
    }
    if scene in deeds:
        return f"{deeds[scene]} {place}, {where}"
    if "words" in facts:
        return f"{scene.capitalize()}: {facts['words']}"
    for key in ("food", "animal", "object"):
        if key in facts:
            return str(facts[key]).capitalize()
    return f"{scene.replace('_', ' ').capitalize()} {place}, {where}"


def encode(image: Image.Image, suffix: str, quality: int) -> bytes:
    """The bytes a server would hold."""
    out = io.BytesIO()
    if suffix == ".png":
        image.quantize(96, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    elif suffix == ".webp":
        image.save(out, "WEBP", quality=quality, method=4)
    else:
        image.save(out, "JPEG", quality=quality, optimize=True, progressive=quality % 2 == 0)
    return out.getvalue()


def huge_png(side: int) -> bytes:
    """A valid one-bit picture of side x side, compressed row by row so that it is never held whole."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = b"\0" + b"\xff" * ((side + 7) // 8)
    body = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def edited(picture: Picture, edit: str) -> Picture:
    """The same picture after another person's phone had it: the bytes differ, what it shows does not."""
    with Image.open(io.BytesIO(picture.data)) as opened:
        image = opened.convert("RGB")
    w, h = image.size
    if edit == "recompressed":
        image = image.resize((w * 3 // 4, h * 3 // 4), Image.Resampling.LANCZOS)
    elif edit == "cropped":
        image = image.crop((w * 4 // 100, h * 4 // 100, w - w * 4 // 100, h - h * 4 // 100))
    else:
        image = ImageOps.expand(image, w // 24, (250, 250, 248))
    data = encode(image, ".jpg", 55 if edit == "recompressed" else 80)
    return Picture(picture.scene, picture.seed, picture.label, data, ".jpg", picture.alt, edit)


def draw_all(rng: random.Random, draw: Callable[[str, int, int, int], Drawn], first_seed: int) -> Iterator[Picture]:
    """Every distinct picture, in a fixed order."""
    seed = first_seed
    for scene, count in COUNTS.items():
        for _ in range(count):
            width, height = rng.choice(SIZES)
            if scene == "screenshot":
                width, height = 600, 1000
            suffix = rng.choices((".jpg", ".webp", ".png"), (84, 9, 7))[0]
            if suffix == ".png":
                width, height = width * 2 // 3 // 2 * 2, height * 2 // 3 // 2 * 2
                width, height = max(width, 600), max(height, 600) if height > width else max(height, 450)
            drawing = draw(scene, seed, width, height)
            data = encode(drawing.image, suffix, rng.randint(80, 86))
            yield Picture(scene, seed, drawing.label, data, suffix, describe(scene, drawing.facts))
            seed += 1


def _moment(rng: random.Random, label: str) -> datetime:
    first, last, _ = rng.choices(HOURS[label], [share for _, _, share in HOURS[label]])[0]
    return START + timedelta(seconds=rng.randint(round(first * 3600), round(last * 3600) - 1))


def _later(rng: random.Random, time: datetime) -> datetime:
    end = START + timedelta(hours=71.5)
    return min(time + timedelta(minutes=rng.randint(40, 1100)), end - timedelta(minutes=rng.randint(1, 90)))


def first_posts(rng: random.Random, pictures: list[Picture]) -> list[Post]:
    """A post for each picture, except where somebody posts two to four at once."""
    texts = {scene: list(pool) for scene, pool in TEXTS.items()}
    posts: list[Post] = []
    for label in HOURS:
        waiting = [p for p in pictures if p.label == label]
        opening = next((p for p in waiting if p.scene == "group_photo"), None)
        rng.shuffle(waiting)
        if opening:
            waiting.remove(opening)
            text = texts["group_photo"].pop(0)
            posts.append(Post(START + timedelta(hours=7, minutes=42), text, label, [opening], OFFICIAL))
        extra = {"friendly": [1, 2], "conflict_and_force": [1, 1, 2, 3], "neither": []}[label]
        while waiting:
            picture = waiting.pop()
            more = [waiting.pop() for _ in range(extra.pop())] if extra else []
            posts.append(Post(_moment(rng, label), texts[picture.scene].pop(0), label, [picture, *more]))
    return posts


def write_sample(out: Path, draw: Callable[[str, int, int, int], Drawn], first_seed: int) -> str:
    """Write www/, posts.jsonl and truth.csv under ``out``; the same code writes the same bytes."""
    rng = random.Random("myHarborPD")
    pictures = list(draw_all(rng, draw, first_seed))
    posts = first_posts(rng, pictures)
    single = [p for p in posts if len(p.links) == 1 and p.author != OFFICIAL and p.time < START + timedelta(hours=50)]
    reposts = [*REPOSTS]
    rng.shuffle(single)

    def pick(suffix: str = "") -> tuple[Post, Picture]:
        for post in single:
            link = post.links[0]
            if isinstance(link, Picture) and link.suffix != ".png" and (not suffix or link.suffix == suffix):
                single.remove(post)
                return post, link
        raise LookupError("too few posts to repeat")

    edits = []
    for edit in ("recompressed", "cropped", "bordered", "recompressed", "cropped"):
        post, link = pick()
        edits.append(edited(link, edit))
        posts.append(Post(_later(rng, post.time), reposts.pop(), post.label, [edits[-1]]))
    for _ in range(6):
        post, link = pick()
        posts.append(Post(_later(rng, post.time), reposts.pop(), post.label, [link]))
    copies = []
    for _ in range(2):
        post, link = pick()
        copies.append(Picture(link.scene, link.seed, link.label, link.data, link.suffix, link.alt))
        posts.append(Post(_later(rng, post.time), reposts.pop(), post.label, [copies[-1]]))
    _, broken = pick(".jpg")

    served = [*pictures, *edits, *copies]
    numbers = rng.sample(range(1, len(served) + 8), len(served) + 7)
    for picture in served:
        picture.name = f"p{numbers.pop():03d}{picture.suffix}"
    names = [f"p{numbers.pop():03d}{suffix}" for suffix in (".jpg", ".jpg", ".jpg", ".png", ".jpg", ".jpg", ".png")]
    files = {p.name: p.data for p in served}
    files |= {names[4]: PAGE, names[5]: broken.data[: len(broken.data) * 55 // 100], names[6]: huge_png(HUGE)}
    for name, text in zip(names, BROKEN, strict=True):
        posts.append(Post(_moment(rng, "conflict_and_force"), text, "", [name]))
    posts.append(Post(START + timedelta(hours=35, minutes=5), TEXT_ONLY, ""))

    shutil.rmtree(out / "www", ignore_errors=True)
    (out / "www" / "media").mkdir(parents=True)
    for name, data in files.items():
        (out / "www" / "media" / name).write_bytes(data)
    _write_posts(out / "posts.jsonl", rng, posts)
    with (out / "truth.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(("sha256", "file", "scene", "label", "seed", "edit"))
        for p in sorted([*pictures, *edits], key=lambda p: p.name):
            writer.writerow((hashlib.sha256(p.data).hexdigest(), p.name, p.scene, p.label, p.seed, p.edit))
    links, size = sum(len(p.links) for p in posts), sum(map(len, files.values()))
    return f"{len(posts)} posts, {links} attachments, {len(files)} files, {size} bytes in {out}"


def _write_posts(path: Path, rng: random.Random, posts: list[Post]) -> None:
    posts.sort(key=lambda post: post.time)
    authors: list[str] = []
    with path.open("w", encoding="utf-8", newline="\n") as handle:
        for number, post in enumerate(posts, 1001):
            if not authors:
                authors = rng.sample(AUTHORS, len(AUTHORS))
            author = post.author or authors.pop()
            language, text = post.text if isinstance(post.text, tuple) else ("en", post.text)
            text = text.format(tag=TAG)
            heat = {"conflict_and_force": 6.0, "friendly": 4.2}.get(post.label, 3.4)
            likes = int(rng.lognormvariate(heat, 0.9))
            record = {
                "id": str(number),
                "url": f"{SITE}/@{author}/{number}",
                "author": author,
                "created_at": post.time.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "collected_at": COLLECTED,
                "text": text,
                "language": language,
                "hashtags": [word.strip(".,:!?")[1:] for word in text.split() if word.startswith("#")],
                "likes": likes,
                "reposts": int(likes * rng.uniform(0.1, 0.7 if post.label == "conflict_and_force" else 0.25)),
                "replies": int(likes * rng.uniform(0.03, 0.2)),
                "sensitive": post.label == "conflict_and_force" and rng.random() < 0.3,
                "media": [
                    {
                        "url": f"{SITE}/media/{link if isinstance(link, str) else link.name}",
                        "alt": link.alt if isinstance(link, Picture) and rng.random() < 0.4 else None,
                    }
                    for link in post.links
                ],
            }
            handle.write(json.dumps(record, ensure_ascii=False) + "\n")
