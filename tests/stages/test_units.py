"""Weights of pictures against the same in plain Python, on tables made up at random."""

import random
from collections import defaultdict
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hashtag_photos.records import Attachment, Photo, PhotoStatus, Post
from hashtag_photos.run import Run
from hashtag_photos.stages.classify import scores_path
from hashtag_photos.stages.group import groups_path
from hashtag_photos.stages.units import UNITS, count_units
from hashtag_photos.tables import GROUPS, photos_table, posts_table

NOW = datetime(2014, 4, 22, tzinfo=UTC)


def sha(number: int) -> str:
    return f"{number:064x}"


def photo(post: Post, position: int, sha256: str | None, attempt: int = 1) -> Photo:
    status = PhotoStatus.OK if sha256 else PhotoStatus.PLACEHOLDER
    return Photo(
        source=post.source, post_id=post.id, position=position, url="u", status=status, attempt=attempt, fetched_at=NOW,
        sha256=sha256,
    )  # fmt: skip


def a_run(
    folder: Path,
    posts: list[Post],
    photos: list[Photo],
    *,
    scored: list[str],
    groups: dict[str, str] | None = None,
) -> Run:
    run = Run(folder / "run")
    run.ask(model="tiny")
    run.append("posts", posts_table(posts))
    run.append("photos", photos_table(photos))
    run.write_table(scores_path("m", "l"), pa.table({"sha256": pa.array(scored, pa.string())}))
    if groups is not None:
        run.write_table(groups_path("m"), pa.table([list(groups), list(groups.values())], schema=GROUPS))
    return run


def a_post(number: int, photos: int, **facts: object) -> Post:
    return Post(source="s", id=str(number), attachments=(Attachment(url="u"),) * photos, **facts)


@pytest.mark.parametrize("seed", range(6))
def test_weights_are_those_of_plain_python(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    posts, photos = [], []
    for number in range(60):
        stated = {name: dice.choice([None, None, 0, 3, 17]) for name in ("likes", "reposts", "replies")}
        post = Post(
            source="ab"[number % 2],
            id=str(number // 2),
            repost_of=dice.choice([None, None, "7"]),
            attachments=(Attachment(url="u"),) * dice.randrange(4),
            **stated,
        )
        posts.append(post)
        for position in range(len(post.attachments)):
            what = sha(dice.randrange(30)) if dice.random() < 0.8 else None
            if dice.random() < 0.2:
                photos.append(photo(post, position, sha(99), attempt=1))
                photos.append(photo(post, position, what, attempt=2))
            else:
                photos.append(photo(post, position, what))
    scored = [sha(number) for number in range(25)]
    group_of = {sha(number): sha(number // 4 * 4 + 1) for number in range(0, 24)}  # 24 is in no group yet
    run = a_run(tmp_path, posts, photos, scored=scored, groups=group_of)

    last = {(each.source, each.post_id, each.position): each.sha256 for each in photos}
    shown: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (source, post_id, _), what in last.items():
        if what in scored:
            shown[source, post_id].append(what)
    counting = {each for images in shown.values() for each in images}
    stands_for = {}
    for image in scored:
        named = group_of.get(image, image)
        members = [each for each in scored if group_of.get(each, each) == named and each in counting]
        if members:
            stands_for[image] = named if named in counting else min(members)
    expected: dict[str, dict[str, Fraction]] = {unit: defaultdict(Fraction) for unit in UNITS}
    own: dict[str, dict[str, Fraction]] = {unit: defaultdict(Fraction) for unit in UNITS}
    by_id = {(each.source, each.id): each for each in posts}
    unstated = 0
    for key, images in shown.items():
        post = by_id[key]
        numbers = [each for each in (post.likes, post.reposts, post.replies) if each is not None]
        unstated += not numbers and not post.repost_of
        for image in images:
            weights = {
                "photos": Fraction(1),
                "posts": Fraction(1, len(images)),
                "engagement": Fraction(0 if post.repost_of else sum(numbers), len(images)),
            }
            for unit, weight in weights.items():
                expected[unit][stands_for[image]] += weight
                own[unit][image] += weight
    for image in counting:
        expected["images"][stands_for[image]] += 1
        own["images"][image] += 1
        expected["pictures"][stands_for[image]] = Fraction(1)
    for picture in set(stands_for.values()):
        own["pictures"][picture] = Fraction(1)

    units = count_units(run, "m", "l")
    assert units.pictures == sorted(set(stands_for.values()))
    assert units.images.to_pylist() == sorted(stands_for)
    assert list(units.weights) == list(units.image_weights) == list(UNITS)
    for unit in UNITS:
        assert units.weights[unit] == pytest.approx([float(expected[unit][each]) for each in units.pictures])
        assert units.image_weights[unit] == pytest.approx([float(own[unit][each]) for each in sorted(stands_for)])
    assert {image: units.pictures[units.find(image)] for image in stands_for} == stands_for
    assert [units.pictures[place] for place in units.picture_of] == [stands_for[each] for each in sorted(stands_for)]
    assert units.find(sha(1000)) is None
    reposts = sum(by_id[key].repost_of is not None for key in shown)
    assert (units.posts, units.reposts, units.unstated) == (len(shown), reposts, unstated)
    assert units.stating == len(shown) - reposts - unstated
    again = count_units(run, "m", "l")
    assert all(np.array_equal(units.weights[unit], again.weights[unit]) for unit in UNITS)


def test_a_post_is_divided_evenly_and_weighs_what_it_was_liked(tmp_path: Path) -> None:
    posts = [
        a_post(0, 2, likes=5, replies=1),
        a_post(1, 1, likes=0),
        a_post(2, 1),
        a_post(3, 1, repost_of="0", likes=9),
    ]
    shown = [(0, 0, 1), (0, 1, 2), (1, 0, 1), (2, 0, 3), (3, 0, 2)]
    photos = [photo(posts[post], position, sha(image)) for post, position, image in shown]
    run = a_run(tmp_path, posts, photos, scored=[sha(1), sha(2), sha(3)])
    units = count_units(run, "m", "l")
    assert {unit: each.tolist() for unit, each in units.weights.items()} == {
        "pictures": [1, 1, 1],
        "images": [1, 1, 1],
        "photos": [2, 2, 1],
        "posts": [1.5, 1.5, 1],
        "engagement": [3, 3, 0],
    }
    assert (units.posts, units.reposts, units.unstated, units.stating) == (4, 1, 1, 2)


@pytest.mark.parametrize("likes", [None, 0])
def test_where_no_post_has_engagement_the_unit_is_missing(tmp_path: Path, likes: int | None) -> None:
    posts = [a_post(0, 1, likes=likes), a_post(1, 1, likes=12, repost_of="0")]
    run = a_run(tmp_path, posts, [photo(each, 0, sha(1)) for each in posts], scored=[sha(1)])
    units = count_units(run, "m", "l")
    assert "engagement" not in units.weights
    assert (units.reposts, units.unstated) == (1, 1 if likes is None else 0)


def test_a_group_whose_name_no_longer_counts_goes_by_another_of_its_images(tmp_path: Path) -> None:
    """An image known as a placeholder since has no weight, and what people said of it still holds for its group."""
    posts = [a_post(0, 1), a_post(1, 1), a_post(2, 1)]
    photos = [photo(posts[0], 0, None, attempt=2), photo(posts[1], 0, sha(6)), photo(posts[2], 0, sha(5))]
    run = a_run(
        tmp_path, posts, photos, scored=[sha(1), sha(5), sha(6)], groups=dict.fromkeys([sha(1), sha(5), sha(6)], sha(1))
    )
    units = count_units(run, "m", "l")
    assert units.pictures == [sha(5)]
    assert units.weights["images"].tolist() == [2]
    assert units.find(sha(1)) == 0
    assert units.image_weights["images"].tolist() == [0, 1, 1]
    assert units.image_weights["pictures"].tolist() == [0, 1, 0]


def test_of_nothing_there_are_no_pictures(tmp_path: Path) -> None:
    run = a_run(tmp_path, [a_post(0, 1)], [], scored=[])
    for labels in ("l", "never asked"):
        units = count_units(run, "m", labels)
        assert units.pictures == []
        assert {unit: each.tolist() for unit, each in units.weights.items()} == {unit: [] for unit in UNITS[:4]}
        assert units.posts == 0
        assert units.find(sha(1)) is None
