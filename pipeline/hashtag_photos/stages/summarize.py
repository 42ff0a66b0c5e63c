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
from hashtag_photos.stages.group import not_compared
from hashtag_photos.stages.numbers import Number, corrected_numbers, raw_shares, share_bounds
from hashtag_photos.stages.reviewed import Agreement, Review, agreement, review
from hashtag_photos.stages.shown import Scored, scored, shown
from hashtag_photos.stages.tally import FILES, ClassTally, Engagement, EngagementOf, GroupTally, PartTally, Tally
from hashtag_photos.stages.timeline import common_axis, over_time
from hashtag_photos.stages.units import ENGAGEMENT, IMAGES, UNITS, Units
from hashtag_photos.tables import probability_column

if TYPE_CHECKING:
    import duckdb

_MOST_GROUPS = 12  # pictures, those in the most posts
_POSTS, _ROWS = 200_000, 50_000  # of photos.csv at a time


def summarize(run: Run, *, model_key: str | None = None, labels_key: str | None = None) -> Tally:
    """The tally of a run, written to `report/`: tally.json, the classes as tally.csv, tally-by-source.csv,
    tally-by-language.csv, timeline.csv and engagement.csv, numbers.csv, coverage.csv, photos.csv, and robustness.csv
    where the classify stage computed other wordings.

    Hand labels that the run has for this question, of any label set with the same classes, are in it.

    By default of the model and label set that the run was first classified with; that of others goes to a folder of its
    own below `report/`. Files that already hold just this are left alone. Raises RunError if nothing was classified.
    """
    found = scored(run, model_key, labels_key)
    with shown(run, found) as database:
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
        run.storage.update(f"{folder}/photos.csv", lambda file: _write_photos(run, found, file))
    return tally


def report_folder(run: Run, model_key: str, labels_key: str) -> str:
    """Where the results of a model and a label set stand: `report`, or for a further question a folder below it."""
    first = (run.asked.get("model_key"), run.asked.get("labels"))
    return "report" if (model_key, labels_key) == first else f"report/{labels_key}@{model_key}"


def _tally(run: Run, database: duckdb.DuckDBPyConnection, found: Scored) -> Tally:
    labels, units, model_key = found.labels, found.units, found.model_key
    ((images, photos, posts),) = database.execute(
        "SELECT (SELECT count(*) FROM images), count(*), count(DISTINCT post) FROM shown"
    ).fetchall()
    images_of = dict(database.execute("SELECT label, count(*) FROM images GROUP BY label").fetchall())
    counted = {
        label: counts
        for label, *counts in database.execute(
            """SELECT label, count(DISTINCT post), count(DISTINCT post) FILTER (repost), count(*)
            FROM shown JOIN post USING (post) GROUP BY label"""
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
    coverage = cover(run, database)
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
        posts=posts,
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
        timeline=over_time(database, found, common_axis(run)),
        precision=used.get("precision"),
        devices=tuple(used.get("devices", ())),
        check=precision_check(run, database, model_key, labels),
        without_text=without_text(run, database, model_key, labels, titles),
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
            FROM (SELECT DISTINCT post, label FROM shown) JOIN post USING (post)
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
    counts = "count(DISTINCT image), count(DISTINCT post) AS posts, count(*)"
    totals = database.execute(
        f"SELECT {column}, {counts} FROM shown JOIN post USING (post) GROUP BY {column} ORDER BY posts DESC, {column}"
    ).fetchall()
    counted = {
        (value, label): each
        for value, label, *each in database.execute(
            f"SELECT {column}, label, {counts} FROM shown JOIN post USING (post) GROUP BY {column}, label"
        ).fetchall()
    }
    effective = dict(
        database.execute(
            f"""SELECT {column}, sum(images) ** 2 / sum(images * images) FROM (
                SELECT {column}, picture, count(DISTINCT image) AS images
                FROM shown JOIN post USING (post) GROUP BY {column}, picture
            ) GROUP BY {column}"""
        ).fetchall()
    )
    rows = []
    for value, images_total, posts_total, photos_total in totals:
        for label in labels:
            images, posts, photos = counted.get((value, label), (0, 0, 0))
            low, high = wilson(images / images_total * effective[value], effective[value])
            rows.append(
                PartTally(
                    value=value,
                    label=label,
                    images=images,
                    images_total=images_total,
                    share=images / images_total,
                    low=low,
                    high=high,
                    posts=posts,
                    posts_total=posts_total,
                    photos=photos,
                    photos_total=photos_total,
                )
            )
    return tuple(rows)


def _write_photos(run: Run, found: Scored, file: IO[bytes]) -> None:
    """Every attachment, whatever became of it, with its post, its label and its probabilities, as CSV.

    Text from outside that a spreadsheet would take for a formula gets an apostrophe in front.
    """

    def text(column: str, name: str) -> str:
        return f"CASE WHEN regexp_matches({column}, '^[=+@\t\r-]') THEN chr(39) || {column} ELSE {column} END AS {name}"

    # The last attempts are found here, and not in the view `photos`, of which no part can be had without the whole.
    query = f"""
        WITH wanted AS (
            SELECT source, id AS post_id, url AS post_url, created_at, unnest(attachments).url AS url,
                generate_subscripts(attachments, 1)::INTEGER - 1 AS position
            FROM posts WHERE hash(id) % $slices = $slice
        ),
        fetched AS (
            SELECT * FROM photos_all WHERE hash(post_id) % $slices = $slice
            QUALIFY row_number() OVER (PARTITION BY source, post_id, position ORDER BY attempt DESC) = 1
        )
        SELECT wanted.source AS by_source, wanted.created_at AS by_time, wanted.post_id AS by_post,
            {text("source", "source")}, {text("post_id", "post_id")}, position,
            {text("post_url", "post_url")}, strftime(created_at, '%Y-%m-%dT%H:%M:%SZ') AS created_at,
            {text("wanted.url", "url")}, coalesce(status, '{NOT_ASKED}') AS status, {text("reason", "reason")},
            fetched.sha256 AS sha256, size, format, width, height, animated
        FROM wanted LEFT JOIN fetched USING (source, post_id, position)
    """
    # A join and a sort of whole rows take two gigabytes for a million. So they are joined a part of the posts after the
    # other, sorted by their keys alone, and put in order as they are written.
    with run.database() as database:
        ((posts,),) = database.execute("SELECT count(*) FROM posts").fetchall()
        slices = 1 + posts // _POSTS
        rows = pa.concat_tables(
            database.sql(query, params={"slices": slices, "slice": slice}).to_arrow_table() for slice in range(slices)
        )
    keys = ("by_source", "by_time", "by_post", "position")
    order = pc.sort_indices(rows, [(name, "ascending") for name in keys])
    photo = pc.if_else(pc.equal(rows.column("status"), "ok"), rows.column("sha256"), None)
    image = pc.index_in(photo, value_set=found.units.images)
    score = pc.index_in(photo, value_set=found.scores.column("sha256"))
    rows = rows.drop_columns(list(keys[:3]))
    picture_of, names = pa.array(found.units.picture_of), pa.array(found.units.pictures, pa.string())
    chances = [probability_column(name) for name in found.labels.class_names]
    scores = found.scores.select(["label", "margin", *chances])

    def part(start: int) -> pa.Table:
        wanted = order[start : start + _ROWS]
        some, scored = rows.take(wanted), scores.take(score.take(wanted))
        pictures = names.take(picture_of.take(image.take(wanted).combine_chunks()))
        some = some.add_column(some.schema.get_field_index("size"), "picture", pictures)
        for name, column in zip(scored.column_names, scored.columns, strict=True):
            some = some.append_column(name, column if name == "label" else pc.round(column, 4))
        return some

    first = part(0)
    with pacsv.CSVWriter(file, first.schema, write_options=pacsv.WriteOptions(quoting_style="needed")) as table:
        table.write_table(first)
        for start in range(_ROWS, len(order), _ROWS):
            table.write_table(part(start))
