"""Stage 4: SQL over the tables + estimate -> Tally: how many of each, with how much certainty, with how much missing.

Images are distinct bytes; pictures are groups of near-duplicate images; photos are attachments that are images; a post
counts for a class if any of its photos does, so the posts of all classes can add up to more than there are. (As a unit
of shares, stages/units.py, a post is divided among its photos.) Every count stands beside its denominator.
"""

from __future__ import annotations

import io
from dataclasses import asdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hashtag_photos.errors import RunError
from hashtag_photos.estimate import wilson
from hashtag_photos.handlabels import HandLabels
from hashtag_photos.labels import UNSURE, LabelSet, label_set_from_facts
from hashtag_photos.run import Run
from hashtag_photos.stages.caveats import (
    Published,
    kinds_compared,
    precision_check,
    without_text,
    worded_otherwise,
)
from hashtag_photos.stages.classify import scores_path
from hashtag_photos.stages.correct import Evidence, Numbers, predicted
from hashtag_photos.stages.coverage import NOT_ASKED, cover
from hashtag_photos.stages.group import not_compared
from hashtag_photos.stages.numbers import Number, corrected_numbers, raw_shares, share_bounds
from hashtag_photos.stages.reviewed import Agreement, Review, agreement, review
from hashtag_photos.stages.tally import ClassTally, DayTally, Engagement, GroupTally, SourceTally, Tally
from hashtag_photos.stages.units import ENGAGEMENT, IMAGES, PICTURES, UNITS, Units, count_units
from hashtag_photos.tables import probability_column

if TYPE_CHECKING:
    import duckdb

_MOST_GROUPS = 12  # of near-duplicates, the largest


def summarize(run: Run, *, model_key: str | None = None, labels_key: str | None = None) -> Tally:
    """The tally of a run, written to `report/`: tally.json, tally.csv, tally-by-source.csv, numbers.csv, coverage.csv,
    photos.csv, and robustness.csv where the classify stage computed other wordings.

    Hand labels that the run has for this question, of any label set with the same classes, are in it.

    By default of the model and label set that the run was first classified with; that of others goes to a folder of its
    own below `report/`. Files that already hold just this are left alone. Raises RunError if nothing was classified.
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
    units = count_units(run, model_key, labels_key)
    placed = pa.table({"sha256": units.images, "picture": units.picture_of})
    with run.database(scores=scores, placed=placed) as database:
        database.execute(
            """CREATE TABLE classified AS
            SELECT photos.source, post_id, sha256, picture, label, created_at, repost_of IS NOT NULL AS repost
            FROM photos JOIN scores USING (sha256) JOIN placed USING (sha256)
            JOIN posts ON posts.source = photos.source AND posts.id = post_id WHERE status = 'ok'"""
        )
        tally = _tally(run, database, model_key, labels, units, scores)
        database.execute("DROP TABLE classified")
        names = pa.table({"picture": np.arange(len(units.pictures)), "name": units.pictures})
        database.register("pictures", names)
        photos = _photos_csv(database, labels)
    folder = report_folder(run, model_key, labels_key)
    with run.writing():
        run.storage.update(f"{folder}/tally.json", tally.to_json().encode())
        run.storage.update(f"{folder}/tally.csv", tally.to_csv().encode())
        run.storage.update(f"{folder}/tally-by-source.csv", tally.to_csv(by_source=True).encode())
        run.storage.update(f"{folder}/numbers.csv", tally.numbers_csv().encode())
        run.storage.update(f"{folder}/coverage.csv", tally.coverage.to_csv().encode())
        if tally.robustness is not None:
            run.storage.update(f"{folder}/robustness.csv", tally.robustness_csv().encode())
        run.storage.update(f"{folder}/photos.csv", photos)
    return tally


def report_folder(run: Run, model_key: str, labels_key: str) -> str:
    """Where the results of a model and a label set stand: `report`, or for a further question a folder below it."""
    first = (run.asked.get("model_key"), run.asked.get("labels"))
    return "report" if (model_key, labels_key) == first else f"report/{labels_key}@{model_key}"


def _tally(
    run: Run,
    database: duckdb.DuckDBPyConnection,
    model_key: str,
    labels: LabelSet,
    units: Units,
    scores: pa.Table,
) -> Tally:
    ((images, photos, posts),) = database.execute(
        "SELECT count(DISTINCT sha256), count(*), count(DISTINCT (source, post_id)) FROM classified"
    ).fetchall()
    counted = {
        label: counts
        for label, *counts in database.execute(
            """SELECT label, count(DISTINCT sha256), count(DISTINCT (source, post_id)),
            count(DISTINCT (source, post_id)) FILTER (repost), count(*),
            FROM classified GROUP BY label"""
        ).fetchall()
    }
    titles = {**{each.name: each.title for each in labels.classes}, UNSURE: "Unsure"}
    label_of = _label_of(units, scores, list(titles))
    raw = tuple(raw_shares(units, label_of, titles))
    of_images = {each.label: each for each in raw if each.unit == IMAGES}
    published = {
        name: Published(share=each.value, low=each.low, high=each.high)
        if (each := of_images.get(name)) and each.high is not None
        else Published(share=None, low=0.0, high=1.0)
        for name in titles
    }
    stands = units.image_weights[PICTURES] > 0
    pictures = np.bincount(label_of[stands], minlength=len(titles)).tolist()
    variants = worded_otherwise(run, model_key, labels, published)
    compared = bool(images and kinds_compared(variants or ()))
    sensitive = {each.label for each in variants or () if each.flagged}
    classes = []
    for (name, title), of_class in zip(titles.items(), pictures, strict=True):
        class_images, class_posts, class_reposts, class_photos = counted.get(name, (0, 0, 0, 0))
        classes.append(
            ClassTally(
                label=name,
                title=title,
                pictures=of_class,
                images=class_images,
                **asdict(published[name]),
                posts=class_posts,
                reposts=class_reposts,
                photos=class_photos,
                sensitive_to_prompts=name in sensitive if compared else None,
            )
        )
    used = run.used("models", model_key) or {}
    coverage = cover(run, database)
    people = _of_people(run, model_key, labels, units, scores, label_of[stands])
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
        engagement=Engagement(
            posts=units.posts,
            weighing=units.stating,
            reposts=units.reposts,
            unstated=units.unstated,
            total=round(float(units.weights[ENGAGEMENT].sum())) if ENGAGEMENT in units.weights else 0,
        ),
        largest=_largest(database, units, list(titles), label_of[stands]),
        not_compared=not_compared(run, model_key),
        review=people.review,
        agreement=people.agreement,
        sources=_by_source(database, list(titles)),
        coverage=coverage,
        days=_days(database),
        precision=used.get("precision"),
        devices=tuple(used.get("devices", ())),
        check=precision_check(run, database, model_key, labels),
        without_text=without_text(run, database, model_key, labels, titles),
        robustness=variants,
    )


def _label_of(units: Units, scores: pa.Table, names: list[str]) -> Numbers:
    """What the model says of each of `units.images`, by its place in `names`."""
    rows = pc.index_in(units.images, value_set=scores.column("sha256"))
    labels = scores.column("label").take(rows)
    return np.asarray(pc.index_in(labels, value_set=pa.array(names)).to_numpy(), np.int64)


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


def _largest(
    database: duckdb.DuckDBPyConnection, units: Units, names: list[str], label_of: Numbers
) -> tuple[GroupTally, ...]:
    """The pictures with the most near-duplicates, none without any; `label_of` are places in `names`."""
    rows = database.execute(
        f"""SELECT picture, count(DISTINCT sha256) AS images, count(DISTINCT (source, post_id)) AS posts, count(*),
            strftime(min(created_at), '%Y-%m-%d')
        FROM classified GROUP BY picture HAVING images > 1
        ORDER BY images DESC, posts DESC, picture LIMIT {_MOST_GROUPS}"""
    ).fetchall()
    return tuple(
        GroupTally(
            picture=units.pictures[place],
            images=images,
            posts=posts,
            photos=photos,
            first_seen=first_seen,
            label=names[label_of[place]],
        )
        for place, images, posts, photos, first_seen in rows
    )


def _by_source(database: duckdb.DuckDBPyConnection, labels: list[str]) -> tuple[SourceTally, ...]:
    counts = "count(DISTINCT sha256), count(DISTINCT post_id), count(*)"
    totals = database.execute(f"SELECT source, {counts} FROM classified GROUP BY source ORDER BY source").fetchall()
    counted = {
        (source, label): each
        for source, label, *each in database.execute(
            f"SELECT source, label, {counts} FROM classified GROUP BY ALL"
        ).fetchall()
    }
    effective = dict(
        database.execute(
            """SELECT source, sum(images) ** 2 / sum(images * images) FROM (
                SELECT source, picture, count(DISTINCT sha256) AS images FROM classified GROUP BY source, picture
            ) GROUP BY source"""
        ).fetchall()
    )
    rows = []
    for source, images_total, posts_total, photos_total in totals:
        for label in labels:
            images, posts, photos = counted.get((source, label), (0, 0, 0))
            low, high = wilson(images / images_total * effective[source], effective[source])
            rows.append(
                SourceTally(
                    source=source,
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


def _days(database: duckdb.DuckDBPyConnection) -> tuple[DayTally, ...]:
    rows = database.execute(
        """SELECT strftime(created_at, '%Y-%m-%d') AS day, label, count(DISTINCT (source, post_id))
        FROM classified WHERE created_at IS NOT NULL GROUP BY ALL ORDER BY ALL"""
    ).fetchall()
    return tuple(DayTally(day=day, label=label, posts=count) for day, label, count in rows)


def _photos_csv(database: duckdb.DuckDBPyConnection, labels: LabelSet) -> bytes:
    """Every attachment, whatever became of it, with its post, its label and its probabilities.

    Text from outside that a spreadsheet would take for a formula gets an apostrophe in front.
    """

    def text(column: str, name: str) -> str:
        return f"CASE WHEN regexp_matches({column}, '^[=+@\t\r-]') THEN chr(39) || {column} ELSE {column} END AS {name}"

    chances = ", ".join(
        f"round({probability_column(name)}, 4) AS {probability_column(name)}" for name in labels.class_names
    )
    table = database.sql(
        f"""WITH wanted AS (
            SELECT source, id AS post_id, url AS post_url, created_at, unnest(attachments).url AS url,
                generate_subscripts(attachments, 1) - 1 AS position
            FROM posts
        )
        SELECT {text("source", "source")}, {text("post_id", "post_id")}, position,
            {text("post_url", "post_url")}, strftime(created_at, '%Y-%m-%dT%H:%M:%SZ') AS created_at,
            {text("wanted.url", "url")}, coalesce(status, '{NOT_ASKED}') AS status, {text("reason", "reason")},
            photos.sha256 AS sha256, name AS picture, size, format, width, height, animated,
            label, round(margin, 4) AS margin, {chances}
        FROM wanted LEFT JOIN photos USING (source, post_id, position)
        LEFT JOIN scores ON scores.sha256 = photos.sha256 AND status = 'ok'
        LEFT JOIN placed ON placed.sha256 = photos.sha256 AND status = 'ok' LEFT JOIN pictures USING (picture)
        ORDER BY wanted.source, wanted.created_at, wanted.post_id, position"""
    ).to_arrow_table()
    return _csv(table)


def _csv(table: pa.Table) -> bytes:
    from pyarrow import csv as pacsv

    sink = io.BytesIO()
    pacsv.write_csv(table, sink, pacsv.WriteOptions(quoting_style="needed"))
    return sink.getvalue()
