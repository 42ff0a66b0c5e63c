"""What the posts of a run show: the scores of a model and a label set, and photos as rows of small numbers to count.

Keys of posts and the sha256 of images are long: a million rows of numbers take a tenth of their memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hashtag_photos.errors import RunError
from hashtag_photos.labels import UNSURE, LabelSet, label_set_from_facts
from hashtag_photos.run import Run
from hashtag_photos.stages.classify import scores_path
from hashtag_photos.stages.joined import Joined, Places, join, places
from hashtag_photos.stages.units import IMAGES, PICTURES, Units, units_of

if TYPE_CHECKING:
    import duckdb

NOT_STATED = "(not stated)"  # of languages
NO_CODE = "(no language code)"
# A language tag by its shape (BCP 47, RFC 5646), underscores taken for hyphens; what else people wrote is no language
_TAG = "^([a-z]{2,3})([-_][a-z0-9]{1,8})*$"

_TABLES = f"""
    CREATE TABLE tags AS SELECT said,
        CASE WHEN coalesce(trim(said), '') = '' THEN '{NOT_STATED}'
            ELSE coalesce(nullif(regexp_extract(lower(trim(said)), '{_TAG}', 1), ''), '{NO_CODE}')
        END AS tag
    FROM (SELECT DISTINCT language AS said FROM posts);
    CREATE TYPE source AS ENUM (SELECT DISTINCT source FROM posts ORDER BY source);
    CREATE TYPE tag AS ENUM (SELECT DISTINCT tag FROM tags ORDER BY tag);
    CREATE TABLE post AS
    SELECT post, source::source AS source, created_at, repost_of IS NOT NULL AS repost, tag::tag AS language,
        attachments,
        CASE WHEN repost_of IS NULL AND coalesce(likes, reposts, replies) IS NOT NULL THEN
            greatest(coalesce(likes, 0), 0)::HUGEINT
                + greatest(coalesce(reposts, 0), 0) + greatest(coalesce(replies, 0), 0)
        END AS engagement
    FROM posts LEFT JOIN tags ON said IS NOT DISTINCT FROM language;
    CREATE TABLE had AS SELECT * REPLACE (label::label AS label) FROM photos_had;
    CREATE TABLE images AS SELECT * REPLACE (label::label AS label) FROM images_shown;
    CREATE VIEW shown AS SELECT * FROM had WHERE image IS NOT NULL;
    CREATE TABLE showing AS SELECT post, label, count(*) AS photos FROM shown GROUP BY post, label;
"""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What a model says of a run's images by a label set, in `scores`, and the units that these count in.

    `label_of`, (images,), is the label of each of `units.images`, by its place in `names`: the classes, then unsure.
    `score`, (images,), is the row of each in `scores`. `image`, (photos,), is the place in `units.images` of each photo
    of `joined.had`, -1 where it has no scores, as `unscored` images have none.
    """

    model_key: str
    labels: LabelSet
    names: tuple[str, ...]
    scores: pa.Table
    units: Units
    label_of: npt.NDArray[np.int64]
    score: Places
    joined: Joined
    image: Places
    unscored: int

    @property
    def stands(self) -> npt.NDArray[np.bool_]:
        """Which of `units.images` stand for their picture, (images,). There is one for each of `units.pictures`, and in
        the same order, since both are sorted."""
        return self.units.image_weights[PICTURES] > 0


def scored(run: Run, model_key: str | None = None, labels_key: str | None = None) -> Scored:
    """The scores of a run, by default of the model and label set that it was first classified with.

    Raises RunError if nothing was classified, or not with these.
    """
    model_key = model_key or run.asked.get("model_key")
    labels_key = labels_key or run.asked.get("labels")
    scores = run.read_table(scores_path(model_key, labels_key)) if model_key and labels_key else None
    facts = run.used("label_sets", labels_key) if labels_key else None
    if run.stages.get("classify") and (scores is None or facts is None):
        raise RunError(
            f"{run.location}: the label set {labels_key} was not asked of the model {model_key} yet; run the classify "
            "stage with them first",
            subject=labels_key,
        )
    if scores is None or facts is None or model_key is None or labels_key is None:
        raise RunError(
            f"{run.location}: nothing was classified yet; run the classify stage first", subject=run.location
        )
    labels = label_set_from_facts(dict(facts))
    names = (*labels.class_names, UNSURE)
    joined = join(run)
    counted = units_of(joined, scores.column("sha256"), model_key)
    said = places(scores.column("label"), pa.array(names))
    return Scored(
        model_key=model_key,
        labels=labels,
        names=names,
        scores=scores,
        units=counted.units,
        label_of=said[counted.score].astype(np.int64),
        score=counted.score,
        joined=joined,
        image=counted.image,
        unscored=counted.unscored,
    )


@contextmanager
def shown(found: Scored) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory DuckDB that has these tables, whose numbers mean nothing outside of it:

    - `post`: all posts: their number `post`, source, created_at, repost, language (the first part of its tag: "en" of
      "en-GB"; NOT_STATED, or NO_CODE if it isn't one), how many `attachments`, and `engagement`, null for reposts and
      for those that state none
    - `shown`: photos that count: post, image, picture (these two are places in the units), label, an ENUM, and by how
      many photos that count the post is `divided`
    - `had`: the same and those that were not classified, whose image is null
    - `showing`: which post shows which label, in how many `photos`
    - `images`: the images among `shown`: image, picture, label, and whether it stands for its picture

    Raises RunError if tables can't be read.
    """
    import duckdb

    units, joined = found.units, found.joined
    posts = joined.of_posts("source", "created_at", "repost_of", "language", "likes", "reposts", "replies")
    posts = posts.append_column("attachments", pa.array(np.diff(joined.first).astype(np.int32)))
    labels = pa.DictionaryArray.from_arrays(pa.array(found.label_of.astype(np.int8)), list(found.names))
    placed = pa.table(
        {
            "image": np.arange(len(units.images), dtype=np.int32),
            "picture": units.picture_of.astype(np.int32),
            "label": labels,
        }
    )
    counting = pa.array(np.flatnonzero(units.image_weights[IMAGES]))
    image = pa.array(found.image, mask=found.image < 0)
    post = joined.post[joined.had]
    divided = np.bincount(post[found.image >= 0], minlength=len(posts))[post].astype(np.int32)
    tables = {
        "posts": posts.append_column("post", pa.array(np.arange(len(posts), dtype=np.int32))),
        "photos_had": placed.take(image)
        .append_column("post", pa.array(post))
        .append_column("divided", pa.array(divided)),
        "images_shown": placed.append_column("stands", pa.array(found.stands)).take(counting),
    }
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        for name, rows in tables.items():
            database.register(name, rows)
        listed = ", ".join("'" + name.replace("'", "''") + "'" for name in found.names)
        database.execute(f"CREATE TYPE label AS ENUM ({listed})")
        database.execute(_TABLES)
        for name in tables:
            database.unregister(name)
        yield database
