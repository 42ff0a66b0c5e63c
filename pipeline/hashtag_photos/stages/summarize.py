"""Stage 4: SQL over the tables + estimate -> Tally: how many of each, with how much certainty, with how much missing.

Images are distinct bytes; pictures are groups of near-duplicate images; photos are attachments that are images; a post
counts for a class if any of its photos does, so the posts of all classes can add up to more than there are. (As a unit
of shares, stages/units.py, a post is divided among its photos.) Every count stands beside its denominator.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as pacsv

from hashtag_photos.estimate import wilson
from hashtag_photos.handlabels import HandLabels
from hashtag_photos.labels import UNSURE, LabelSet
from hashtag_photos.run import Run
from hashtag_photos.stages.caveats import (
    Published,
    kinds_compared,
    precision_check,
    without_text,
    worded_otherwise,
)
from hashtag_photos.stages.correct import Evidence, Numbers, predicted
from hashtag_photos.stages.coverage import NOT_ASKED, cover
from hashtag_photos.stages.engine import LOCAL
from hashtag_photos.stages.group import not_compared
from hashtag_photos.stages.joined import whole, whole_table
from hashtag_photos.stages.numbers import Number, corrected_numbers, raw_shares, share_bounds
from hashtag_photos.stages.reviewed import Agreement, Review, agreement, review
from hashtag_photos.stages.shown import Scored, scored, shown
from hashtag_photos.stages.tally import FILES, ClassTally, Engagement, EngagementOf, GroupTally, PartTally, Tally
from hashtag_photos.stages.timeline import axis_of, over_time
from hashtag_photos.stages.units import ENGAGEMENT, IMAGES, UNITS, Units
from hashtag_photos.tables import probability_column

if TYPE_CHECKING:
    import duckdb

_MOST_GROUPS = 12  # pictures, those in the most posts
_ROWS = 20_000  # of photos.csv at a time
_OF_FILES = ("size", "format", "width", "height", "animated")
_BEGINS_FORMULAS = pa.array(["=", "+", "-", "@", "\t", "\r"])


def summarize(run: Run, *, model_key: str | None = None, labels_key: str | None = None) -> Tally:
    """The tally of a run, written to `report/`: tally.json, the classes as tally.csv, tally-by-source.csv,
    tally-by-language.csv, timeline.csv and engagement.csv, numbers.csv, coverage.csv, photos.csv, and robustness.csv
    where the classify stage computed other wordings.

    Hand labels that the run has for this question, of any label set with the same classes, are in it.

    By default of the model and label set that the run was first classified with; that of others goes to a folder of its
    own below `report/`. Files that already hold just this are left alone. Raises RunError if nothing was classified.
    """
    found = scored(run, model_key, labels_key)
    with shown(found) as database:
        tally = _tally(run, database, found)
    folder = report_folder(run, tally.model_key, tally.labels_key)
    with run.writing():
        run.storage.update(f"{folder}/tally.json", tally.to_json().encode())
        for by, name in FILES.items():
            run.storage.update(f"{folder}/{name}", tally.to_csv(by).encode())
        run.storage.update(f"{folder}/numbers.csv", tally.numbers_csv().encode())
        run.storage.update(f"{folder}/coverage.csv", tally.coverage.to_csv().encode())
        if tally.robustness is not None:
            run.storage.update(f"{folder}/robustness.csv", tally.robustness_csv().encode())
        run.storage.update(f"{folder}/photos.csv", lambda file: _write_photos(found, file))
    return tally


def report_folder(run: Run, model_key: str, labels_key: str) -> str:
    """Where the results of a model and a label set stand: `report`, or for a further question a folder below it."""
    first = (run.asked.get("model_key"), run.asked.get("labels"))
    return "report" if (model_key, labels_key) == first else f"report/{labels_key}@{model_key}"


def _tally(run: Run, database: duckdb.DuckDBPyConnection, found: Scored) -> Tally:
    labels, units, model_key = found.labels, found.units, found.model_key
    ((images, photos),) = database.execute(
        "SELECT (SELECT count(*) FROM images), (SELECT count(*) FROM shown)"
    ).fetchall()
    images_of = dict(database.execute("SELECT label, count(*) FROM images GROUP BY label").fetchall())
    counted = {
        label: counts
        for label, *counts in database.execute(
            """SELECT label, count(*), count(*) FILTER (repost), sum(photos)::BIGINT
            FROM showing JOIN post USING (post) GROUP BY label"""
        ).fetchall()
    }
    titles = {**{each.name: each.title for each in labels.classes}, UNSURE: "Unsure"}
    raw = tuple(raw_shares(units, found.label_of, titles))
    of_images = {each.label: each for each in raw if each.unit == IMAGES}
    published = {
        name: Published(share=each.value, low=each.low, high=each.high)
        if (each := of_images.get(name)) and each.high is not None
        else Published(share=None, low=0.0, high=1.0)
        for name in titles
    }
    label_of = found.label_of[found.stands]
    pictures = np.bincount(label_of, minlength=len(titles)).tolist()
    variants = worded_otherwise(run, model_key, labels, published)
    compared = bool(images and kinds_compared(variants or ()))
    sensitive = {each.label for each in variants or () if each.flagged}
    classes = []
    for (name, title), of_class in zip(titles.items(), pictures, strict=True):
        class_posts, class_reposts, class_photos = counted.get(name, (0, 0, 0))
        classes.append(
            ClassTally(
                label=name,
                title=title,
                pictures=of_class,
                images=images_of.get(name, 0),
                **asdict(published[name]),
                posts=class_posts,
                reposts=class_reposts,
                photos=class_photos,
                sensitive_to_prompts=name in sensitive if compared else None,
            )
        )
    used = run.used("models", model_key) or {}
    coverage = cover(run, database, found)
    people = _of_people(run, model_key, labels, units, found.scores, label_of)
    shares = [*raw, *people.numbers]
    return Tally(
        run=run.name,
        model=str(used.get("name", model_key.rpartition("-")[0])),
        model_key=model_key,
        labels=labels.name,
        labels_key=labels.key,
        margin=labels.margin,
        pictures=len(units.pictures),
        images=images,
        posts=units.posts,
        photos=photos,
        classes=tuple(classes),
        numbers=(*shares, *share_bounds(shares, coverage.attachments - photos, titles, coders=people.review.coders)),
        engagement=_engagement(database, found),
        largest=_largest(database, found),
        not_compared=not_compared(run, model_key),
        review=people.review,
        agreement=people.agreement,
        sources=_by_part(database, "source", found.names),
        languages=_by_part(database, "language", found.names),
        coverage=coverage,
        timeline=over_time(database, found, axis_of(found.joined)),
        precision=used.get("precision"),
        devices=tuple(used.get("devices", ())),
        check=precision_check(run, found),
        without_text=without_text(run, found, titles),
        robustness=variants,
    )


class _People(NamedTuple):
    numbers: tuple[Number, ...]
    review: Review
    agreement: Agreement | None


def _of_people(
    run: Run, model_key: str, labels: LabelSet, units: Units, scores: pa.Table, label_of: Numbers
) -> _People:
    """What hand labels say; `label_of` is what the model says of each picture."""
    verdicts = HandLabels(run).verdicts(labels.question_key)
    evidence = Evidence.of(run, model_key, labels, units)
    said = evidence.said(verdicts) if evidence else None
    by_unit = {unit: evidence.shares_of(said, unit) for unit in UNITS} if evidence and said else {}
    titles = {each.name: each.title for each in labels.classes}
    agreed = None
    if verdicts:
        predictions = predicted(units.pictures, scores, labels)
        agreed = agreement(verdicts, labels.class_names, units, predictions, label_of, evidence)
    return _People(
        numbers=tuple(corrected_numbers(units, by_unit, titles, coders=said.coders, doubts=said.doubts))
        if said
        else (),
        review=review(labels.question_key, verdicts, evidence, said, by_unit),
        agreement=agreed,
    )


def _largest(database: duckdb.DuckDBPyConnection, found: Scored) -> tuple[GroupTally, ...]:
    """The pictures in the most posts, none that is in one alone."""
    rows = database.execute(
        f"""WITH many AS (SELECT picture FROM shown GROUP BY picture HAVING count(*) > 1)
        SELECT picture, count(DISTINCT image) AS images, count(DISTINCT post) AS posts, count(*),
            strftime(min(created_at), '%Y-%m-%dT%H:%M:%SZ')
        FROM shown SEMI JOIN many USING (picture) JOIN post USING (post) GROUP BY picture
        HAVING posts > 1 ORDER BY posts DESC, images DESC, picture LIMIT {_MOST_GROUPS}"""
    ).fetchall()
    label_of = found.label_of[found.stands]
    return tuple(
        GroupTally(
            picture=found.units.pictures[place],
            images=images,
            posts=posts,
            photos=photos,
            first_seen=first_seen,
            label=found.names[label_of[place]],
        )
        for place, images, posts, photos, first_seen in rows
    )


def _engagement(database: duckdb.DuckDBPyConnection, found: Scored) -> Engagement:
    units = found.units
    got = {
        label: (posts, total, *quartiles)
        for label, posts, total, quartiles in database.execute(
            """SELECT label, count(*), sum(engagement), quantile_cont(engagement::DOUBLE, [0.5, 0.25, 0.75])
            FROM showing JOIN post USING (post)
            WHERE engagement IS NOT NULL GROUP BY label"""
        ).fetchall()
    }
    classes = []
    for label in found.names:
        posts, total, median, p25, p75 = got.get(label, (0, 0, None, None, None))
        classes.append(EngagementOf(label=label, posts=posts, total=int(total), median=median, p25=p25, p75=p75))
    return Engagement(
        posts=units.posts,
        weighing=units.stating,
        reposts=units.reposts,
        unstated=units.unstated,
        total=round(float(units.weights[ENGAGEMENT].sum())) if ENGAGEMENT in units.weights else 0,
        classes=tuple(classes),
    )


def _by_part(database: duckdb.DuckDBPyConnection, column: str, labels: Iterable[str]) -> tuple[PartTally, ...]:
    """The classes by source or language of the posts, the one with most posts first."""
    database.execute(
        f"""CREATE OR REPLACE TABLE part AS
        SELECT {column} AS value, image, any_value(label) AS label, any_value(picture) AS picture, count(*) AS photos
        FROM shown JOIN post USING (post) GROUP BY value, image"""
    )
    posts_of = dict(
        database.execute(
            f"SELECT {column}, count(*) FROM post SEMI JOIN showing USING (post) GROUP BY {column}"
        ).fetchall()
    )
    showing = {
        (value, label): posts
        for value, label, posts in database.execute(
            f"SELECT {column}, label, count(*) FROM showing JOIN post USING (post) GROUP BY {column}, label"
        ).fetchall()
    }
    counted = {
        (value, label): counts
        for value, label, *counts in database.execute(
            "SELECT value, label, count(*), sum(photos)::BIGINT FROM part GROUP BY value, label"
        ).fetchall()
    }
    totals = database.execute(
        """SELECT value, sum(images)::BIGINT, sum(photos)::BIGINT, sum(images) ** 2 / sum(images * images) FROM (
            SELECT value, picture, count(*) AS images, sum(photos) AS photos FROM part GROUP BY value, picture
        ) GROUP BY value"""
    ).fetchall()
    rows = []
    for value, images_total, photos_total, effective in sorted(totals, key=lambda row: (-posts_of[row[0]], row[0])):
        for label in labels:
            images, photos = counted.get((value, label), (0, 0))
            low, high = wilson(images / images_total * effective, effective)
            rows.append(
                PartTally(
                    value=value,
                    label=label,
                    images=images,
                    images_total=images_total,
                    share=images / images_total,
                    low=low,
                    high=high,
                    posts=showing.get((value, label), 0),
                    posts_total=posts_of[value],
                    photos=photos,
                    photos_total=photos_total,
                )
            )
    return tuple(rows)


def _write_photos(found: Scored, file: IO[bytes]) -> None:
    """Every attachment, whatever became of it, with its post, its label and its probabilities, as CSV.

    Text from outside that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    table = _attachments(found)
    for some in LOCAL.each(_as_csv, table, range(0, max(len(table.rows), 1), _ROWS)):
        file.write(some)


class _Attachments(NamedTuple):
    """What photos.csv is made of, in memory: rows of it are places of attachments, with the `position` of each."""

    found: Scored
    rows: Numbers
    position: npt.NDArray[np.int32]
    image: npt.NDArray[np.int32]  # by attachment, in the units, -1 where it has no scores
    posts: pa.Table
    photos: pa.Table
    urls: pa.Array
    pictures: pa.Array
    scores: pa.Table


def _attachments(found: Scored) -> _Attachments:
    """The attachments of a run, by source, time and id of their posts."""
    joined, units = found.joined, found.units
    posts = whole_table(joined.of_posts("source", "id", "url", "created_at"))
    order = pc.sort_indices(posts, [(name, "ascending") for name in ("source", "created_at", "id")]).to_numpy()
    counts = np.diff(joined.first)[order]
    # of each row its attachment: where those of its post begin, and how many of the same post came before
    position = np.arange(len(joined.post)) - np.repeat(np.cumsum(counts) - counts, counts)
    image = np.full(len(joined.post), -1, np.int32)
    image[joined.had] = found.image
    scores = ("label", "margin", *map(probability_column, found.labels.class_names))
    return _Attachments(
        found=found,
        rows=np.repeat(joined.first[order], counts) + position,
        position=position.astype(np.int32),
        image=image,
        posts=posts,
        photos=whole_table(joined.of_photos("status", "reason", "sha256", *_OF_FILES)),
        urls=whole(joined.urls()),
        pictures=units.images.filter(pa.array(found.stands)),
        scores=whole_table(found.scores.select(scores)),
    )


def _as_csv(table: _Attachments, start: int) -> pa.Buffer:
    """Some rows of photos.csv, the first ones with its header."""
    joined, units, rows = table.found.joined, table.found.units, table.rows[start : start + _ROWS]
    asked, image = joined.photo[rows], pa.array(table.image[rows], mask=table.image[rows] < 0)
    post = table.posts.take(pa.array(joined.post[rows]))
    photo = table.photos.take(pa.array(asked, mask=asked < 0))
    picture = table.pictures.take(pa.array(units.picture_of).take(image))
    scores = table.scores.take(pa.array(table.found.score).take(image))
    columns = {
        "source": _cells(post.column("source")),
        "post_id": _cells(post.column("id")),
        "position": table.position[start : start + _ROWS],
        "post_url": _cells(post.column("url")),
        "created_at": _times(post.column("created_at")),
        "url": _cells(table.urls.take(pa.array(rows))),
        "status": photo.column("status").fill_null(NOT_ASKED),
        "reason": _cells(photo.column("reason")),
        "sha256": photo.column("sha256"),
        "picture": picture,
        **{name: photo.column(name) for name in _OF_FILES},
        "label": scores.column("label"),
        **{name: pc.round(scores.column(name), 4) for name in scores.column_names[1:]},
    }
    some = pa.BufferOutputStream()
    options = pacsv.WriteOptions(include_header=start == 0, quoting_style="needed")
    pacsv.write_csv(pa.table(columns), some, options)
    return some.getvalue()


def _times(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """As ISO 8601 in seconds, UTC; strftime takes six times as long."""
    seconds = pc.floor_temporal(times, unit="second").cast(pa.timestamp("s")).cast(pa.string())
    return pc.binary_join_element_wise(pc.utf8_replace_slice(seconds, 10, 11, "T"), "Z", "")


def _cells(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text that no spreadsheet takes for a formula, as `tables.spreadsheet_cell` makes it."""
    risky = pc.is_in(pc.utf8_slice_codeunits(texts, 0, 1), value_set=_BEGINS_FORMULAS)
    if not pc.any(risky).as_py():
        return texts
    mark, nothing = (pa.scalar(each, texts.type) for each in ("'", ""))
    return pc.if_else(risky, pc.binary_join_element_wise(mark, texts, nothing), texts)
