"""A run made up at random, with its tables as the stages write them: what a million posts cost.

    python scripts/make_synthetic_run.py FOLDER [--posts 1000000] [--seed 0] [--no-files]

N posts with exactly N distinct images: a post has 1.34 attachments on average, of which 93 % could be had, so that
there are 1.25 N photos. N of them, drawn among all, show an image of their own, each another; the others, a fifth,
show images that go round, a few of them very often. Posts of a loud fortnight, with a gap of a day, in twelve
languages, from two servers; near-duplicates, engagement, attachments that could not be had for many reasons, scores,
and vectors of 1,024 numbers (as `large` has) that differ by class, under the key of `tiny`, so that the classify stage
finds them done. Hashes and thumbnails of photos are left out: bench_duplicates.py has them.

Every image has a file, unless told otherwise, which is one of a hundred noisy JPEGs of 1080 pixels under many names
(hard links): what they show is not what their label says.
"""

from __future__ import annotations

import argparse
import io
import os
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from hashtag_photos.duplicates import RULE
from hashtag_photos.imagestore import Layout
from hashtag_photos.labels import KINDS, LabelSet, find_labels
from hashtag_photos.run import Run
from hashtag_photos.stages.classify import Classifier, classify, question, scores_path
from hashtag_photos.stages.download import download
from hashtag_photos.stages.group import groups_path
from hashtag_photos.stages.score import ALL, TEMPLATE, robustness_path
from hashtag_photos.tables import (
    GROUPS,
    PHOTOS,
    POSTS,
    ROBUSTNESS,
    embeddings_schema,
    probability_column,
    scores_schema,
    vector_column,
)

MODEL = "tiny"
DIMENSION = 1024
PART = 50_000
FILES = 100
START = datetime(2014, 4, 22, tzinfo=UTC)
DAYS = 14
HAD = 0.93
LANGUAGES = ("en", "es", None, "fr", "de", "pt", "ja", "tr", "ar", "it", "nl", "he", "ko")
MISSING = (
    ("gone", "the server answered 404 Not Found", 404),
    ("gone", "the server answered 410 Gone", 410),
    ("refused", "the server answered 403 Forbidden", 403),
    ("timeout", "no answer for 30 s", None),
    ("broken", "the file ends too early", 200),
    ("not_an_image", "it is text/html", 200),
    ("unreachable", "there is no such host", None),
)


def make(folder: Path, posts: int, seed: int = 0, *, files: bool = True) -> Run:
    """A run of so many posts, 1,000 or more, and as many images in a new folder."""
    chance, run = np.random.default_rng(seed), Run(folder)
    classifier = Classifier(MODEL, device="cpu")
    asked = {"kind": "exported", "path": "synthetic.jsonl"}
    run.ask(**question(classifier), keep_authors=True)
    sizes = chance.choice(5, posts, p=[0.12, 0.64, 0.10, 0.06, 0.08])
    total = int(sizes.sum())
    had = chance.random(total) < HAD
    names = np.array([sha256(f"{seed} {number}".encode()).hexdigest() for number in range(posts)])
    places = chance.permutation(np.flatnonzero(had))
    again = len(places) - posts  # photos of images that another photo shows as well
    popular = max(posts // 20, 1)
    shown = np.zeros(total, np.int64)
    shown[places[:posts]] = np.arange(posts)
    shown[places[posts:]] = np.minimum(popular * chance.random(again) ** 6, popular - 1).astype(np.int64)
    first = np.concatenate([[0], np.cumsum(sizes)])
    for start in range(0, posts, PART):
        own = slice(first[start], first[min(start + PART, posts)])
        _add(run, chance, names, sizes[start : start + PART], shown[own], had[own], start)
    counted = {"posts": posts, "repeated": 0, "rejected": 0}
    told = {"asked": asked, "limit": None, "went_on": None, "title": "a synthetic export", "recognised": None}
    begun = {"state": "", "complete": True, "reason": None, "begun": START.isoformat()}
    run.record_stage("collect", **counted, complete=True, sources=[told | begun | counted])
    download(run)  # there is nothing left to ask for: it lists what is missing
    _classify(run, chance, names, classifier)
    if files:
        _files(folder, names.tolist(), chance)
    assert classify(run, classifier).new == 0
    return run


def _add(run: Run, chance: np.random.Generator, names: Any, sizes: Any, shown: Any, had: Any, start: int) -> None:
    """A part of posts and of photos."""
    count, total = len(sizes), int(sizes.sum())
    day = np.minimum(chance.exponential(3, count), DAYS - 0.001)
    day[(day > 5) & (day < 6)] = 0.5  # the gap
    seconds = (day * 86_400).astype("timedelta64[s]")
    times = np.datetime64(START.replace(tzinfo=None), "us") + seconds
    numbers = np.arange(start, start + count)
    of = np.repeat(np.arange(count), sizes)
    position = np.arange(total) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    source = np.where(chance.random(count) < 0.7, "x", "mastodon:example.social")
    urls = pa.array([f"https://media{number % 400}.example/{start}-{number}.jpg" for number in range(total)])
    stated = chance.random(count) < 0.9
    weight = pa.array((chance.pareto(1.1, count) * 3).astype(np.int64), mask=~stated)
    nothing = pa.nulls(total)
    attachments = pa.ListArray.from_arrays(
        pa.array(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)),
        pa.StructArray.from_arrays(
            [
                urls,
                pa.array([f"alternative text {number}" for number in range(total)]),
                pa.array(["image"] * total),
                nothing.cast(pa.int64()),
                nothing.cast(pa.int64()),
            ],
            fields=list(POSTS.field("attachments").type.value_type),
        ),
    )
    columns: dict[str, Any] = {
        "source": source,
        "id": numbers.astype(str),
        "url": [f"https://example.social/@someone{number % 9973}/{number}" for number in numbers],
        "author": [f"someone{number % 9973}" for number in numbers],
        "created_at": pa.array(times, mask=chance.random(count) < 0.01).cast(POSTS.field("created_at").type),
        "text": [f"Look at this #myHarborPD {number}" for number in numbers],
        "language": np.array(LANGUAGES, dtype=object)[np.minimum(chance.geometric(0.35, count), len(LANGUAGES)) - 1],
        "likes": weight,
        "reposts": pc.divide(weight, 4),
        "replies": pc.divide(weight, 9),
        "attachments": attachments,
        "collected_at": [datetime(2014, 6, 1, tzinfo=UTC)] * count,
    }
    run.append("posts", _table(columns, POSTS, count))
    why = np.minimum(chance.geometric(0.5, total), len(MISSING)) - 1
    status = np.where(had, "ok", np.array([each[0] for each in MISSING])[why])
    photos: dict[str, Any] = {
        "source": source[of],
        "post_id": numbers[of].astype(str),
        "position": position.astype(np.int32),
        "url": urls,
        "status": status,
        "attempt": np.ones(total, np.int32),
        "fetched_at": [datetime(2014, 6, 2, tzinfo=UTC)] * total,
        "reason": pa.array(np.array([each[1] for each in MISSING])[why], mask=had),
        "http_status": pa.array(
            np.where(had, 200, np.array([each[2] or 0 for each in MISSING])[why]).astype(np.int32),
            mask=~had & (np.array([each[2] or 0 for each in MISSING])[why] == 0),
        ),
        "sha256": pa.array(names[shown], mask=~had),
        "size": pa.array(np.full(total, 214_000), mask=~had),
        "format": pa.array(np.full(total, "JPEG"), mask=~had),
        "width": pa.array(np.full(total, 1080, np.int32), mask=~had),
        "height": pa.array(np.full(total, 810, np.int32), mask=~had),
    }
    run.append("photos", _table(photos, PHOTOS, total))


def _classify(run: Run, chance: np.random.Generator, names: Any, classifier: Classifier) -> None:
    """Vectors, scores of both label sets, other wordings, groups; images are sorted by name as the stages have them."""
    images, labels, model_key = len(names), classifier.labels, classifier.model.key
    classes = len(labels.classes)
    truth = chance.choice(classes, images, p=[0.2, 0.55, 0.25])
    centres = chance.standard_normal((40, DIMENSION), dtype=np.float32)
    kind = truth + classes * chance.integers(40 // classes, size=images)
    order = np.argsort(names)
    for start in range(0, images, PART):
        own = order[start : start + PART]
        vectors = centres[kind[own]] + 0.7 * chance.standard_normal((len(names[own]), DIMENSION), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        table = pa.table(
            [pa.array(names[own]), vector_column(vectors.astype(np.float16))], schema=embeddings_schema(DIMENSION)
        )
        run.append(f"embeddings/{model_key}", table)
    for asked in (labels, find_labels(KINDS)):
        count = len(asked.classes)
        logits = chance.normal(size=(images, count)).astype(np.float32)
        logits[np.arange(images), truth % count] += 2
        chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        ranked = np.sort(chances, axis=1)
        margin = ranked[:, -1] - ranked[:, -2]
        label = np.where(margin < asked.margin, "unsure", np.array(asked.class_names)[chances.argmax(axis=1)])
        columns = {probability_column(name): chances[order, place] for place, name in enumerate(asked.class_names)}
        scores = {"sha256": names[order], "label": label[order], "margin": margin[order], **columns}
        run.write_table(scores_path(model_key, asked.key), pa.table(scores).cast(scores_schema(asked.class_names)))
        run.record_used("label_sets", asked.key, asdict(asked))
        run.write_table(robustness_path(model_key, asked.key), _robustness(label, asked, chance))
    # one image in ten is another's near-duplicate
    group = np.where(chance.random(images) < 0.1, chance.integers(max(images // 50, 1), size=images), np.arange(images))
    run.write_table(groups_path(model_key), pa.table([names[order], names[group][order]], schema=GROUPS))
    pictures = len(np.unique(group))
    where = {"weights_sha256": "0" * 64, "hub": None, "hub_commit": None, "licence": "Apache-2.0", "devices": ["cpu"]}
    run.record_used("models", model_key, {"name": "synthetic", **classifier.model.facts, **where})
    counts = {"rule": RULE, "images": images, "pictures": pictures, "images_not_compared": 0}
    run.record_used("duplicates", model_key, counts)


def _robustness(label: Any, labels: LabelSet, chance: np.random.Generator) -> pa.Table:
    """Shares under each template alone: as they are, give or take two in a hundred."""
    names = [*labels.class_names, "unsure"]
    counts = np.array([(label == name).sum() for name in names])
    rows = []
    for kind, variant in [(ALL, ""), *((TEMPLATE, each) for each in labels.templates)]:
        moved = counts if kind == ALL else (counts * chance.uniform(0.98, 1.02, len(names))).astype(int)
        moved[-1] += counts.sum() - moved.sum()
        rows += [
            {"kind": kind, "variant": variant, "label": name, "images": int(each), "images_total": int(counts.sum())}
            for name, each in zip(names, moved, strict=True)
        ]
    return pa.Table.from_pylist(rows, schema=ROBUSTNESS)


def _files(folder: Path, names: list[str], chance: np.random.Generator) -> None:
    """A file for each image."""
    made = folder / ".made"
    made.mkdir()
    for number in range(FILES):
        small = chance.integers(256, size=(27, 36, 3), dtype=np.uint8)
        large = np.asarray(Image.fromarray(small).resize((1080, 810), Image.Resampling.BICUBIC), np.int16)
        noisy = np.clip(large + chance.normal(scale=12, size=large.shape), 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(noisy).save(file, "JPEG", quality=85)
        (made / f"{number}").write_bytes(file.getvalue())
    for place in range(256):
        (folder / "images" / f"{place:02x}").mkdir(parents=True)
    layout = Layout()
    for number, name in enumerate(names):
        os.link(made / f"{number % FILES}", folder / layout.path(name, "JPEG"))
    for each in made.iterdir():
        each.unlink()
    made.rmdir()


def _table(columns: dict[str, Any], schema: pa.Schema, rows: int) -> pa.Table:
    """Columns as a table of a schema; those that aren't given are null."""
    return pa.table(
        [
            pa.array(columns[each.name], type=None if isinstance(columns[each.name], pa.Array) else each.type).cast(
                each.type
            )
            if each.name in columns
            else pa.nulls(rows, each.type)
            for each in schema
        ],
        schema=schema,
    )


def main() -> None:
    """Make one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--posts", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-files", action="store_true", help="tables alone: the images have no files")
    given = parser.parse_args()
    run = make(given.folder, given.posts, given.seed, files=not given.no_files)
    print(f"{run.location}: {given.posts:,} posts")


if __name__ == "__main__":
    main()
