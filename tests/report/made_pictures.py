"""A run of a few pictures with posts, labels, groups and vectors, made without a model, and the report's page of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hashtag_photos.imagestore import Layout
from hashtag_photos.labels import UNSURE, LabelClass, LabelSet
from hashtag_photos.records import Attachment, Photo, PhotoStatus, Post
from hashtag_photos.report import page_of
from hashtag_photos.report.gallery import Gallery
from hashtag_photos.report.gallery import gallery as gallery_of_known
from hashtag_photos.report.pictures import counted_pictures
from hashtag_photos.report.prose import Headline
from hashtag_photos.report.wall import Wall
from hashtag_photos.report.wall import wall as wall_of_known
from hashtag_photos.run import Run
from hashtag_photos.stages.classify import scores_path
from hashtag_photos.stages.group import groups_path
from hashtag_photos.stages.summarize import summarize
from hashtag_photos.stages.tally import Tally
from hashtag_photos.tables import GROUPS, embeddings_schema, photos_table, posts_table, scores_schema, vector_column

MODEL_KEY = "made-00000000"
START = datetime(2014, 4, 22, 9, 30, tzinfo=UTC)
LABELS = LabelSet(
    name="friendly-or-force",
    title="Friendly, or conflict and force",
    question="What is happening in this picture?",
    margin=0.1,
    templates=("{}.",),
    classes=(
        LabelClass(name="friendly", title="Friendly", prompts=("a",)),
        LabelClass(name="force", title="Force", prompts=("b",)),
        LabelClass(name="neither", title="Neither", prompts=("c",)),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A post that shows an image: its number in time, the attachment's address, and what else it says."""

    number: int
    hours: float | None = 0.0  # after START
    url: str | None = "https://social.example/@ann/1"
    author: str | None = "ann"
    alt: str | None = None
    attachment: str = "https://files.example/x"


@dataclass(frozen=True, kw_only=True)
class Made:
    """An image: its bytes, the probabilities of the three classes, where it was seen, and the image that it is of."""

    content: bytes
    chances: tuple[float, float, float]
    seen: Sequence[Seen] = (Seen(number=0),)
    of: bytes | None = None
    format: str = "JPEG"
    vector: Sequence[float] = field(default=(1.0, 0.0, 0.0, 0.0))
    status: PhotoStatus = PhotoStatus.OK

    @property
    def sha256(self) -> str:
        return sha256(self.content)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def make_run(folder: Path, *images: Made, labels: LabelSet = LABELS, keep_authors: bool = False) -> Run:
    """A run of these images. Their number is their post's, and an image seen twice in a post is two attachments."""
    run = Run(folder)
    run.ask(
        model="tiny", model_key=MODEL_KEY, labels=labels.key, precision="fp32", sources=[], keep_authors=keep_authors
    )
    run.record_used("label_sets", labels.key, asdict(labels))
    posts: dict[int, tuple[Seen, list[tuple[Made, Seen]]]] = {}
    for image in images:
        path = folder / Layout().path(image.sha256, image.format)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image.content)
        for each in image.seen:
            posts.setdefault(each.number, (each, []))[1].append((image, each))
    rows, photos = [], []
    for number, (post, shown) in sorted(posts.items()):
        key: dict[str, Any] = {"source": "test", "post_id": str(number)}
        rows.append(
            Post(
                source="test",
                id=str(number),
                url=post.url,
                author=post.author,
                created_at=None if post.hours is None else START + timedelta(hours=post.hours),
                attachments=tuple(Attachment(url=each.attachment, alt=each.alt) for _, each in shown),
            )
        )
        for position, (image, each) in enumerate(shown):
            facts = {"url": each.attachment, "attempt": 1, "fetched_at": START, "size": len(image.content)}
            photos.append(
                Photo(
                    **key,
                    **facts,
                    position=position,
                    status=image.status,
                    sha256=image.sha256,
                    format=image.format,
                    width=64,
                    height=48,
                )
            )
    run.append("posts", posts_table(rows))
    run.append("photos", photos_table(photos))
    distinct = sorted({image.sha256: image for image in images}.values(), key=lambda image: image.sha256)
    names = pa.array([image.sha256 for image in distinct], pa.string())
    chances = np.array([image.chances for image in distinct], np.float32).reshape(-1, 3)
    best = np.sort(chances, axis=1)
    margins = best[:, -1] - best[:, -2]
    said = [
        labels.class_names[at] if margin >= labels.margin else UNSURE
        for at, margin in zip(chances.argmax(axis=1), margins, strict=True)
    ]
    columns = [names, pa.array(said, pa.string()), pa.array(margins), *(pa.array(chances[:, at]) for at in range(3))]
    run.write_table(scores_path(MODEL_KEY, labels.key), pa.table(columns, schema=scores_schema(labels.class_names)))
    of = pa.array([sha256(image.of) if image.of else image.sha256 for image in distinct], pa.string())
    run.write_table(groups_path(MODEL_KEY), pa.table([names, of], schema=GROUPS))
    vectors = np.array([image.vector for image in distinct], np.float16).reshape(len(distinct), -1)
    run.append(
        f"embeddings/{MODEL_KEY}",
        pa.table([names, vector_column(vectors)], schema=embeddings_schema(vectors.shape[1])),
    )
    return run


def tally_of(run: Run) -> Tally:
    return summarize(run)


def gallery(run: Run, tally: Tally, **options: bool) -> Gallery:
    """The gallery of a tally of this run."""
    return gallery_of_known(run, tally, counted_pictures(run, tally), **options)


def wall(run: Run, tally: Tally, *, authors: bool = True) -> Wall | None:
    """The wall of a tally of this run."""
    return wall_of_known(run, tally, counted_pictures(run, tally), authors=authors)


def page(
    tally: Tally, gallery: Gallery | None, wall: Wall | None = None, *, labels: LabelSet = LABELS, authors: bool = True
) -> str:
    """The page with these pictures, and without figures."""
    return page_of(
        tally,
        labels,
        headline=Headline(sentence="Said.", kind="Raw.", missing="Nothing.", about="Posts.", caution=""),
        figures=(),
        methods="",
        gallery=gallery,
        wall=wall,
        pictures=gallery is not None and gallery.pictures,
        authors=authors,
    )


def elements(html: str) -> list[tuple[str, dict[str, str]]]:
    """All elements of a page with their attributes."""
    found = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            found.append((tag, {name: value or "" for name, value in attributes}))

    Parser().feed(html)
    return found
