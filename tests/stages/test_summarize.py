"""The SQL against the same counts in plain Python, on tables made up at random."""

import csv
import json
import random
import zlib
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from hashtag_photos.estimate import wilson
from hashtag_photos.labels import find_labels
from hashtag_photos.records import Attachment, Photo, PhotoStatus, Post
from hashtag_photos.run import Run
from hashtag_photos.stages.classify import scores_path
from hashtag_photos.stages.score import decide
from hashtag_photos.stages.summarize import summarize
from hashtag_photos.tables import photos_table, posts_table, scores_schema

LABELS = find_labels("friendly-or-force")
START = datetime(2014, 4, 22, 23, 30, tzinfo=UTC)


def made_up(folder: Path, seed: int) -> tuple[Run, list[Post], dict[tuple[str, str, int], Photo], dict[str, str]]:
    """A run's tables without any picture: posts, the last row of each attachment, and labels by sha256."""
    import dataclasses

    import pyarrow as pa

    dice = random.Random(seed)
    posts = [
        Post(
            source="ab"[number % 2],
            id=str(number // 2),  # ids are unique within a source only
            created_at=None if dice.random() < 0.1 else START + timedelta(hours=dice.randrange(60)),
            repost_of=dice.choice([None, None, "7"]),
            attachments=tuple(
                Attachment(url=f"https://x.example/{dice.randrange(60)}.jpg") for _ in range(dice.randrange(4))
            ),
        )
        for number in range(80)
    ]
    photos: dict[tuple[str, str, int], Photo] = {}
    first_tries = []
    for post in posts:
        for position, attachment in enumerate(post.attachments):
            if dice.random() < 0.05:
                continue  # not asked for yet
            status = dice.choice([PhotoStatus.OK] * 6 + [PhotoStatus.GONE, PhotoStatus.TIMEOUT])
            ok = status is PhotoStatus.OK
            content = zlib.crc32(attachment.url.encode()) % 37
            photo = Photo(
                source=post.source,
                post_id=post.id,
                position=position,
                url=attachment.url,
                status=status,
                attempt=1,
                fetched_at=START,
                sha256=f"{content:064x}" if ok else None,
                format="JPEG" if ok else None,
            )
            if ok and dice.random() < 0.2:
                first_tries.append(dataclasses.replace(photo, status=PhotoStatus.SERVER_ERROR, sha256=None))
                photo = dataclasses.replace(photo, attempt=2)
            photos[post.source, post.id, position] = photo
    shas = sorted({photo.sha256 for photo in photos.values() if photo.sha256})[1:]  # one could not be classified
    probability = np.random.default_rng(seed).dirichlet([0.5] * 3, len(shas)).astype(np.float32)
    names, margins = decide(probability, LABELS)
    run = Run(folder / "run")
    run.ask(model="tiny", model_key="tiny-0", labels=LABELS.key)
    run.record_used("label_sets", LABELS.key, dataclasses.asdict(LABELS))
    run.append("posts", posts_table(posts))
    run.append("photos", photos_table(first_tries))
    run.append("photos", photos_table(photos.values()))
    columns = {f"p_{name}": probability[:, i] for i, name in enumerate(LABELS.class_names)}
    run.write_table(
        scores_path("tiny-0", LABELS.key), pa.table({"sha256": shas, "label": names, "margin": margins, **columns})
    )
    return run, posts, photos, dict(zip(shas, names, strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_counts_are_those_of_plain_python(tmp_path: Path, seed: int) -> None:
    run, posts, photos, labels = made_up(tmp_path, seed)
    images, with_label, by_day = defaultdict(set), defaultdict(set), defaultdict(set)
    by_source, reposts = defaultdict(set), defaultdict(set)
    count = defaultdict(int)
    for post in posts:
        for position in range(len(post.attachments)):
            photo = photos.get((post.source, post.id, position))
            if photo is not None and photo.sha256 in labels:
                label = labels[photo.sha256]
                images[label].add(photo.sha256)
                with_label[label].add((post.source, post.id))
                count[label] += 1
                by_source[post.source, label].add((photo.sha256, post.id))
                if post.repost_of:
                    reposts[label].add((post.source, post.id))
                if post.created_at:
                    by_day[f"{post.created_at:%Y-%m-%d}", label].add((post.source, post.id))
    tally = summarize(run)
    total = sum(map(len, images.values()))
    assert (tally.images, tally.photos) == (total, sum(count.values()))
    assert tally.posts == len(set().union(*with_label.values()))
    for row in tally.classes:
        own = len(images[row.label])
        assert (row.images, row.posts, row.photos) == (own, len(with_label[row.label]), count[row.label])
        assert row.reposts == len(reposts[row.label])
        assert (row.share, row.low, row.high) == pytest.approx((own / total, *wilson(own, total)))
    assert {row.source for row in tally.sources} == {"a", "b"}
    for row in tally.sources:
        shown = {sha256 for sha256, _ in by_source[row.source, row.label]}
        whole = {sha256 for label in images for sha256, _ in by_source[row.source, label]}
        assert (row.images, row.images_total) == (len(shown), len(whole))
        assert row.posts == len({post_id for _, post_id in by_source[row.source, row.label]})
        assert row.posts_total == len({post_id for label in images for _, post_id in by_source[row.source, label]})
        assert (row.share, row.low, row.high) == pytest.approx(
            (len(shown) / len(whole), *wilson(len(shown), len(whole)))
        )
    assert {(day.day, day.label): day.posts for day in tally.days} == {key: len(ids) for key, ids in by_day.items()}


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_missing_in_silence(tmp_path: Path, seed: int) -> None:
    run, posts, photos, _ = made_up(tmp_path, seed)
    coverage = summarize(run).coverage
    attachments = sum(len(post.attachments) for post in posts)
    statuses = defaultdict(int)
    for photo in photos.values():
        statuses[photo.status.value] += 1
    had = statuses.pop("ok")
    assert coverage.attachments == attachments
    assert coverage.had == had
    assert coverage.missing == {**statuses, "not_asked_yet": attachments - len(photos)}
    assert coverage.had + sum(coverage.missing.values()) == attachments
    assert coverage.images_not_classified == 1
    assert coverage.posts_without_attachments == sum(not post.attachments for post in posts)
    assert coverage.posts_without_time == sum(post.created_at is None for post in posts)
    assert coverage.posts_reposting == sum(post.repost_of is not None for post in posts)


def test_files_and_dataframe_say_the_same(tmp_path: Path) -> None:
    run, _, photos, labels = made_up(tmp_path, 7)
    tally = summarize(run)
    frame = tally.to_dataframe()
    with (tmp_path / "run/report/tally.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(frame.columns)
    for row, (_, values) in zip(rows, frame.iterrows(), strict=True):
        assert row["label"] == values["label"]
        assert float(row["share"]) == pytest.approx(values["share"], abs=1e-6)
        assert int(row["images"]) == values["images"]
    with (tmp_path / "run/report/tally-by-source.csv").open() as file:
        by_source = list(csv.DictReader(file))
    assert list(by_source[0]) == list(tally.to_dataframe(by_source=True).columns)
    assert [int(row["images"]) for row in by_source] == list(tally.to_dataframe(by_source=True)["images"])
    said = json.loads((tmp_path / "run/report/tally.json").read_text())
    assert [row["images"] for row in said["classes"]] == list(frame["images"])
    with (tmp_path / "run/report/photos.csv").open() as file:
        listed = list(csv.DictReader(file))
    assert len(listed) == len(photos), "a line for every attachment that was asked for, had or not"
    assert {row["sha256"]: row["label"] for row in listed if row["label"]} == labels


def test_text_from_outside_is_no_formula_in_a_spreadsheet(tmp_path: Path) -> None:
    import dataclasses

    run = Run(tmp_path / "run")
    run.ask(model="tiny", model_key="tiny-0", labels=LABELS.key)
    run.record_used("label_sets", LABELS.key, dataclasses.asdict(LABELS))
    formula = '=HYPERLINK("http://x","y")'
    run.append("posts", posts_table([Post(source="x", id=formula, attachments=(Attachment(url="+1"),))]))
    photo = Photo(
        source="x", post_id=formula, position=0, url="+1", status=PhotoStatus.GONE, attempt=1, fetched_at=START
    )
    run.append("photos", photos_table([photo]))
    run.write_table(scores_path("tiny-0", LABELS.key), scores_schema(LABELS.class_names).empty_table())
    summarize(run)
    with (tmp_path / "run/report/photos.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["post_id"], row["url"]) == ("'" + formula, "'+1")
