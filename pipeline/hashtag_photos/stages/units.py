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

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hashtag_photos.run import Run
from hashtag_photos.stages.classify import scores_path
from hashtag_photos.stages.group import groups_path

PICTURES, IMAGES, PHOTOS, POSTS, ENGAGEMENT = UNITS = ("pictures", "images", "photos", "posts", "engagement")

Floats = npt.NDArray[np.float64]

# Per image that counts and number of photos that its posts have: sums of integers, which are the same in any order.
_COUNTED = """
    CREATE TABLE counted AS
    WITH photo AS (
        SELECT photos.source, post_id, sha256, count(*) OVER (PARTITION BY photos.source, post_id) AS divided,
            repost_of IS NULL AS original,
            greatest(likes, 0) AS likes, greatest(reposts, 0) AS reposts, greatest(replies, 0) AS replies
        FROM photos JOIN scores USING (sha256) JOIN posts ON posts.source = photos.source AND posts.id = post_id
        WHERE status = 'ok'
    )
    SELECT sha256, divided, count(*) AS photos,
        sum(coalesce(likes, 0)::HUGEINT + coalesce(reposts, 0) + coalesce(replies, 0)) FILTER (original) AS engagement
    FROM photo GROUP BY ALL
"""
# All images with scores, in the group that they are of now. The one that stands for a group is of those that count.
_PLACED = """
    CREATE TABLE placed AS
    WITH image AS (
        SELECT sha256, coalesce(picture, sha256) AS named, sha256 IN (SELECT sha256 FROM counted) AS counts
        FROM (SELECT sha256 FROM scores) LEFT JOIN grouped USING (sha256)
    ),
    picture AS (
        SELECT named, coalesce(min(sha256) FILTER (sha256 = named), min(sha256)) AS picture
        FROM image WHERE counts GROUP BY named
    )
    SELECT sha256, picture FROM image JOIN picture USING (named)
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


def count_units(run: Run, model_key: str, labels_key: str) -> Units:
    """What the pictures of a run weigh that have scores of a model and a label set, in photos that could be had.

    Without groups of near-duplicates, every image is a picture of its own. Nothing is counted where there are no
    scores.
    """
    scores = run.read_table(scores_path(model_key, labels_key))
    grouped = run.read_table(groups_path(model_key))
    nothing = pa.schema([("sha256", pa.string()), ("picture", pa.string())]).empty_table()
    with run.database(
        scores=scores.select(["sha256"]) if scores is not None else nothing,
        grouped=grouped.select(["sha256", "picture"]) if grouped is not None else nothing,
    ) as database:
        database.execute(_COUNTED)
        database.execute(_PLACED)
        placed = database.sql(
            "SELECT sha256, picture, (sha256 = picture)::DOUBLE AS stands FROM placed ORDER BY sha256"
        ).to_arrow_table()
        counted = database.sql(
            """SELECT sha256, divided, photos::DOUBLE AS photos, coalesce(engagement, 0)::DOUBLE AS engagement
            FROM counted ORDER BY sha256, divided"""
        ).to_arrow_table()
        ((posts, reposts, unstated),) = database.execute(
            """SELECT count(*), count(*) FILTER (repost_of IS NOT NULL),
            count(*) FILTER (repost_of IS NULL AND coalesce(likes, reposts, replies) IS NULL)
            FROM posts SEMI JOIN (
                SELECT source, post_id AS id FROM photos SEMI JOIN scores USING (sha256) WHERE status = 'ok'
            ) USING (source, id)"""
        ).fetchall()
    images = _whole(placed.column("sha256"))
    pictures = _whole(placed.column("picture")).unique().sort()
    picture_of = _places(placed.column("picture"), pictures)
    rows = _places(counted.column("sha256"), images)
    divided = counted.column("divided").to_numpy()
    photos, engagement = counted.column("photos").to_numpy(), counted.column("engagement").to_numpy()

    def per_image(values: Floats) -> Floats:
        return np.bincount(rows, values, minlength=len(images)).astype(np.float64)

    of_photos = per_image(photos)
    image_weights = {
        PICTURES: placed.column("stands").to_numpy(),
        IMAGES: (of_photos > 0).astype(np.float64),
        PHOTOS: of_photos,
        POSTS: per_image(photos / divided),
        ENGAGEMENT: per_image(engagement / divided),
    }
    if not image_weights[ENGAGEMENT].any():
        del image_weights[ENGAGEMENT]
    by_picture = {unit: np.bincount(picture_of, each, minlength=len(pictures)) for unit, each in image_weights.items()}
    return Units(
        pictures=pictures.to_pylist(),
        weights={unit: np.asarray(each, np.float64) for unit, each in by_picture.items()},
        images=images,
        picture_of=picture_of,
        image_weights=image_weights,
        posts=posts,
        reposts=reposts,
        unstated=unstated,
    )


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece."""
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _places(column: pa.ChunkedArray, among: pa.Array) -> npt.NDArray[np.int64]:
    """Where each value of a column stands in an array that has all of them."""
    return np.asarray(_whole(pc.index_in(column, value_set=among)).to_numpy(zero_copy_only=False), np.int64)
