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
import pyarrow.compute as pc

from hashtag_photos.errors import RunError
from hashtag_photos.labels import UNSURE, LabelSet, label_set_from_facts
from hashtag_photos.run import Run
from hashtag_photos.stages.classify import scores_path
from hashtag_photos.stages.units import PICTURES, Units, count_units

if TYPE_CHECKING:
    import duckdb

NOT_STATED = "(not stated)"  # of languages
NO_CODE = "(no language code)"
# A language tag by its shape (BCP 47, RFC 5646), underscores taken for hyphens; what else people wrote is no language
_TAG = "^([a-z]{2,3})([-_][a-z0-9]{1,8})*$"

_TABLES = f"""
    CREATE TABLE post AS
    SELECT row_number() OVER ()::INTEGER AS post, source, id, created_at, repost_of IS NOT NULL AS repost,
        CASE WHEN coalesce(trim(language), '') = '' THEN '{NOT_STATED}'
            ELSE coalesce(nullif(regexp_extract(lower(trim(language)), '{_TAG}', 1), ''), '{NO_CODE}')
        END AS language, len(attachments)::INTEGER AS attachments,
        CASE WHEN repost_of IS NULL AND coalesce(likes, reposts, replies) IS NOT NULL THEN
            greatest(coalesce(likes, 0), 0)::HUGEINT
                + greatest(coalesce(reposts, 0), 0) + greatest(coalesce(replies, 0), 0)
        END AS engagement
    FROM posts;
    CREATE TABLE had AS
    SELECT post, image, picture, label::label AS label
    FROM photos JOIN post ON post.source = photos.source AND post.id = post_id LEFT JOIN placed USING (sha256)
    WHERE status = 'ok';
    ALTER TABLE post DROP id;
    CREATE TABLE images AS SELECT * REPLACE (label::label AS label) FROM placed SEMI JOIN had USING (image);
    CREATE VIEW shown AS SELECT * FROM had WHERE image IS NOT NULL;
"""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What a model says of a run's images by a label set, in `scores`, and the units that these count in.

    `label_of`, (images,), is the label of each of `units.images`, by its place in `names`: the classes, then unsure.
    """

    model_key: str
    labels: LabelSet
    names: tuple[str, ...]
    scores: pa.Table
    units: Units
    label_of: npt.NDArray[np.int64]

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
    units = count_units(run, model_key, labels_key)
    said = scores.column("label").take(pc.index_in(units.images, value_set=scores.column("sha256")))
    label_of = np.asarray(pc.index_in(said, value_set=pa.array(names)).to_numpy(), np.int64)
    return Scored(model_key=model_key, labels=labels, names=names, scores=scores, units=units, label_of=label_of)


@contextmanager
def shown(run: Run, found: Scored) -> Iterator[duckdb.DuckDBPyConnection]:
    """The database of a run that also has `scores`, and these tables, whose numbers mean nothing outside of it:

    - `post`: all posts: their number `post`, source, created_at, repost, language (the first part of its tag: "en" of
      "en-GB"; NOT_STATED, or NO_CODE if it isn't one), how many `attachments`, and `engagement`, null for reposts and
      for those that state none
    - `shown`: photos that count: post, image, picture (these two are places in the units) and label, an ENUM
    - `had`: the same and those that were not classified, whose image is null
    - `images`: the images among `shown`: image, sha256, picture, label, and whether it stands for its picture; `placed`
      has those that no longer count as well
    """
    units = found.units
    labels = pa.DictionaryArray.from_arrays(pa.array(found.label_of.astype(np.int8)), list(found.names))
    placed = pa.table(
        {
            "sha256": units.images,
            "image": np.arange(len(units.images), dtype=np.int32),
            "picture": units.picture_of.astype(np.int32),
            "label": labels,
            "stands": found.stands,
        }
    )
    with run.database(scores=found.scores, placed=placed) as database:
        listed = ", ".join("'" + name.replace("'", "''") + "'" for name in found.names)
        database.execute(f"CREATE TYPE label AS ENUM ({listed})")
        database.execute(_TABLES)
        yield database
