"""What pictures are counted in: distinct pictures, images, photos, posts, posts weighted by engagement.

A picture is a group of near-duplicate images, named by the one that stands for it. In each unit a picture has a weight,
and the share of a class is the weight of its pictures by the weight of all, so that the shares of all classes add up
to 1:

- `pictures`: 1 each
- `images`: its distinct images
- `photos`: its photos, that is attachments
- `posts`: a post's 1 is divided evenly among its photos
- `engagement`: so are its likes, reposts and replies; one that is not stated beside another that is counts as none

A post that states no engagement at all has no weight there, nor has a repost, whose engagement is its original's. Where
no post has any, the unit is missing.

Two kinds of shares are made of these weights. Those of what the model says go by each image's own label, with the
weights of images: nothing is said of an image that the model doesn't say of it. Only among `pictures` one image speaks
for its group. Those of what people say go by the weights of pictures: a person who labels one image has labelled all of
its group.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hashtag_photos.run import Run
from hashtag_photos.stages.classify import scores_path
from hashtag_photos.stages.group import groups_path
from hashtag_photos.stages.joined import Joined, Places, is_in_order, join, places, whole

PICTURES, IMAGES, PHOTOS, POSTS, ENGAGEMENT = UNITS = ("pictures", "images", "photos", "posts", "engagement")

Floats = npt.NDArray[np.float64]

# Per image that counts and number of photos that its posts have: sums of integers, which are the same in any order.
_COUNTED = """
    SELECT image, divided, count(*)::DOUBLE AS photos, coalesce(sum(CASE WHEN repost_of IS NULL THEN
        coalesce(greatest(likes, 0), 0)::HUGEINT
            + coalesce(greatest(reposts, 0), 0) + coalesce(greatest(replies, 0), 0)
    END), 0)::DOUBLE AS engagement
    FROM photo JOIN post USING (post)
    GROUP BY ALL ORDER BY ALL
"""
_POSTS = """
    SELECT count(*), count(*) FILTER (repost_of IS NOT NULL),
        count(*) FILTER (repost_of IS NULL AND coalesce(likes, reposts, replies) IS NULL)
    FROM post SEMI JOIN photo USING (post)
"""


@dataclass(frozen=True, kw_only=True)
class Units:
    """The pictures of a run that count for a model and a label set, and what they weigh in each unit.

    `pictures` are the images that stand for their group, by sha256, sorted; `weights` their weights, (pictures,), by
    unit. `images` are all images of these groups, sorted, `picture_of`, (images,), the place of each one's picture in
    `pictures`, and `image_weights`, (images,), what each image has of its picture's weight; among `pictures` that is 1
    for the one that stands for its group. An image that no longer counts, such as a placeholder known since, has none.

    Of the `posts` with a picture that counts, so many are `reposts`, and so many of the others are `unstated`: they
    state no likes, reposts or replies. Neither has a weight by engagement.
    """

    pictures: list[str]
    weights: dict[str, Floats]
    images: pa.Array
    picture_of: npt.NDArray[np.int64]
    image_weights: dict[str, Floats]
    posts: int
    reposts: int
    unstated: int

    @property
    def stating(self) -> int:
        """Posts that have a weight by engagement, be it 0."""
        return self.posts - self.reposts - self.unstated

    def find(self, sha256: str) -> int | None:
        """The place in `pictures` of the picture that an image is of now; None if that doesn't count, or is unknown."""
        place = bisect_left(self.images, sha256, key=lambda each: each.as_py())
        found = place < len(self.images) and self.images[place].as_py() == sha256
        return int(self.picture_of[place]) if found else None


class Counted(NamedTuple):
    """The units of a run; of each of `units.images`, (images,), its row of scores; of each photo that could be had,
    (photos,), the place of its image in `units.images`, -1 where that has no scores; and how many such images there
    are."""

    units: Units
    score: Places
    image: Places
    unscored: int


def count_units(run: Run, model_key: str, labels_key: str) -> Units:
    """What the pictures of a run weigh that have scores of a model and a label set, in photos that could be had.

    Without groups of near-duplicates, every image is a picture of its own. Nothing is counted where there are no
    scores. Raises RunError if tables can't be read.
    """
    scores = run.read_table(scores_path(model_key, labels_key), "sha256")
    shas = scores.column("sha256") if scores is not None else pa.chunked_array([], pa.string())
    return units_of(join(run), shas, model_key).units


def units_of(joined: Joined, scored: pa.ChunkedArray, model_key: str) -> Counted:
    """The same for what was joined already, and the sha256 of each row of scores."""
    known, row = _sorted(scored)
    group = _groups(joined.run.read_table(groups_path(model_key)), known)
    had = joined.of_photos("sha256").column(0).take(pa.array(joined.photo[joined.had]))
    image = places(had, known)
    unscored = pc.count_distinct(had.filter(pa.array(image < 0)), mode="all").as_py()
    counts = np.zeros(len(known), np.bool_)
    counts[image[image >= 0]] = True
    # The one that stands for a group is of those that count: the one that it is named by, or else the first by sha256.
    stands = np.full(group.max(initial=-1) + 1, -1)
    counting = np.flatnonzero(counts)
    stands[group[counting[::-1]]] = counting[::-1]
    named = counting[group[counting] == counting]
    stands[named] = named
    own = stands[group] if len(group) else group  # of each image with scores, -1 where none of its group counts
    kept = np.flatnonzero(own >= 0)
    place = np.full(len(known) + 1, -1, np.int32)  # the last is that of no image
    place[kept] = np.arange(len(kept))
    image = place[image]
    pictures, picture_of = np.unique(own[kept], return_inverse=True)

    rows, divided, photos, engagement, (posts, reposts, unstated) = _counted(joined, image)

    def per_image(values: Floats) -> Floats:
        return np.bincount(rows, values, minlength=len(kept)).astype(np.float64)

    of_photos = per_image(photos)
    image_weights = {
        PICTURES: (own[kept] == kept).astype(np.float64),
        IMAGES: (of_photos > 0).astype(np.float64),
        PHOTOS: of_photos,
        POSTS: per_image(photos / divided),
        ENGAGEMENT: per_image(engagement / divided),
    }
    if not image_weights[ENGAGEMENT].any():
        del image_weights[ENGAGEMENT]
    by_picture = {unit: np.bincount(picture_of, each, minlength=len(pictures)) for unit, each in image_weights.items()}
    units = Units(
        pictures=known.take(pa.array(pictures)).to_pylist(),
        weights={unit: np.asarray(each, np.float64) for unit, each in by_picture.items()},
        images=known.take(pa.array(kept)),
        picture_of=np.asarray(picture_of, np.int64),
        image_weights=image_weights,
        posts=posts,
        reposts=reposts,
        unstated=unstated,
    )
    return Counted(units=units, score=row[kept], image=image, unscored=unscored)


def _groups(table: pa.Table | None, images: pa.Array) -> npt.NDArray[np.int64]:
    """A number for the group of each image, by which it is named: the place of the image that names it, as far as it is
    among them."""
    if table is None:
        return np.arange(len(images))
    if whole(table.column("sha256")).equals(images):
        names = whole(table.column("picture"))
    else:
        row = places(images, table.column("sha256"))
        names = pc.coalesce(whole(table.column("picture")).take(pa.array(row, mask=row < 0)), images)
    found = places(names, images).astype(np.int64)
    others = np.flatnonzero(found < 0)
    found[others] = len(images) + names.take(pa.array(others)).dictionary_encode().indices.to_numpy()
    return found


def _counted(joined: Joined, image: Places) -> tuple[Places, Floats, Floats, Floats, tuple[int, int, int]]:
    """By image and by how many photos its posts have: these two, how many photos, and how much engagement of their
    posts; and how many posts there are, how many are reposts, and how many others state no engagement."""
    import duckdb

    post = joined.post[joined.had[image >= 0]]
    posts = joined.of_posts("likes", "reposts", "replies", "repost_of")
    with duckdb.connect() as database:
        database.register("post", posts.append_column("post", pa.array(np.arange(len(posts), dtype=np.int32))))
        photos = {"post": post, "image": image[image >= 0], "divided": np.bincount(post)[post]}
        database.register("photo", pa.table(photos))
        counted = database.sql(_COUNTED).to_arrow_table()
        (told,) = database.execute(_POSTS).fetchall()
    return *(column.to_numpy() for column in counted.columns), told


def _sorted(shas: pa.ChunkedArray) -> tuple[pa.Array, Places]:
    """A column in order and in one piece, and the row of each; score tables are in order already."""
    known = whole(shas)
    if is_in_order(known):
        return known, np.arange(len(known), dtype=np.int32)
    row = pc.sort_indices(known)
    return known.take(row), row.to_numpy().astype(np.int32)
