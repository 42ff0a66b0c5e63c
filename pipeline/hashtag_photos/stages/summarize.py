"""Stage 4: SQL over the tables + estimate -> Tally: how many of each, with how much certainty, with how much missing.

Images are distinct bytes; photos are attachments that are images; a post counts for a class if any of its photos does,
so the posts of all classes can add up to more than there are. Every count stands beside its denominator.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from hashtag_photos.errors import RunError
from hashtag_photos.estimate import wilson
from hashtag_photos.labels import UNSURE, LabelSet, label_set_from_facts
from hashtag_photos.records import Incomplete, PhotoStatus
from hashtag_photos.run import Run
from hashtag_photos.sources import restore
from hashtag_photos.stages.caveats import (
    PrecisionCheck,
    Published,
    VariantTally,
    WithoutText,
    kinds_compared,
    precision_check,
    without_text,
    worded_otherwise,
)
from hashtag_photos.stages.classify import scores_path
from hashtag_photos.tables import probability_column, spreadsheet_cell

if TYPE_CHECKING:
    import duckdb
    import pandas

NOT_ASKED = "not_asked_yet"
LOCAL_FILE, NO_HOST, NO_TIME = "(a local file)", "(no host)", "(no time)"  # with a space, as no host has one
_MISSING = (*(status.value for status in PhotoStatus if status is not PhotoStatus.OK), NOT_ASKED)
_HOSTS_IN_JSON = 20
_WORDINGS = 10  # of the reasons of one status; what else servers and decoders say counts as "other reasons"
_COLUMN_NAMES = {"low": "low_95", "high": "high_95"}
_ANSWERS = {
    f"the server answered {each.value}": f"the server answered {each.value} {each.phrase}" for each in HTTPStatus
}

# Host: from the scheme to the path, without user and port. What has blanks or control characters there is no host.
_HOST = (
    r"^\s*[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#]*@)?"
    r"(\[[0-9A-Fa-f:.]+(?:%[0-9A-Za-z._-]+)?\]|[^/?#:@\[\]\\\pZ\p{Cc}]+)(?::[^/?#]*)?(?:[/?#]|$)"
)
# A reason up to where it tells of the one attachment: which host, how many bytes or seconds. An answer counts by its
# number, since what stands beside it is the server's to choose.
_WORDING = (
    r"^(?:can't be (?:decoded|read): |Cannot connect to host \S+ ssl:\S+ \[)?(?:\[Errno -?\d+\] )?"
    r"([^:(\[\]]+?)(?: for \d+ s)?(?:[:(\[\]]|$)"
)

# What became of all attachments, those not asked for yet among them, counted by all that coverage is told by.
_OUTCOMES = f"""
    CREATE TABLE outcomes AS
    WITH wanted AS (
        SELECT source, id AS post_id, unnest(attachments).url AS url,
            generate_subscripts(attachments, 1) - 1 AS position,
            coalesce(strftime(created_at, '%Y-%m-%d'), '{NO_TIME}') AS day
        FROM posts
    ),
    located AS (SELECT * EXCLUDE (url), url ILIKE 'file:%' AS local, regexp_extract(url, $host, 1) AS host FROM wanted)
    SELECT
        coalesce(status, '{NOT_ASKED}') AS status,
        CASE WHEN http_status <> 200 THEN 'the server answered ' || http_status
            ELSE left(trim(regexp_extract(
                regexp_replace(coalesce(reason, ''), '^port [0-9]+', 'a port that'), $wording, 1
            )), 100) END AS wording,
        CASE WHEN local THEN '{LOCAL_FILE}' WHEN length(host) BETWEEN 1 AND 253 THEN lower(host)
            ELSE '{NO_HOST}' END AS host,
        day,
        count(*) AS attachments
    FROM located LEFT JOIN photos USING (source, post_id, position)
    GROUP BY ALL
"""


@dataclass(frozen=True, kw_only=True)
class ClassTally:
    """One class. `share` is of the images classified, with its 95 % Wilson interval from `low` to `high`.

    Of the posts, `reposts` are reposts of another. It is `sensitive_to_prompts` if another wording of them takes the
    share out of that interval; None where that was not computed, or where there is nothing to compare.
    """

    label: str
    title: str
    images: int
    share: float | None
    low: float
    high: float
    posts: int
    reposts: int
    photos: int
    sensitive_to_prompts: bool | None


@dataclass(frozen=True, kw_only=True)
class SourceTally:
    """One class in the posts of one source, with what it is counted of: that source's images, posts and photos."""

    source: str
    label: str
    images: int
    images_total: int
    share: float | None
    low: float
    high: float
    posts: int
    posts_total: int
    photos: int
    photos_total: int


@dataclass(frozen=True, kw_only=True)
class CoverageOf:
    """What could be had of the attachments with one reason, of one host, or of the posts of one day."""

    value: str
    attachments: int
    had: int
    missing: dict[str, int]

    @property
    def share(self) -> float | None:
        """The share of attachments that could be had."""
        return self.had / self.attachments if self.attachments else None

    @property
    def not_had(self) -> int:
        """How many are missing, for whatever reason."""
        return self.attachments - self.had


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """What there was, what could be had, and what not. Repeats are the same post standing there again.

    Posts without time include those that state an impossible or uncertain one. `missing` is by status. `reasons` are a
    status and its wording ("gone: the server answered 404 Not Found"), the most frequent first, `hosts` those of the
    attachments' addresses, the one with most attachments first, `days` (UTC) those of the posts: the attachments of
    each of the three add up to all.
    """

    posts: int
    posts_reposting: int
    posts_without_attachments: int
    posts_without_time: int
    posts_with_wrong_time: int
    posts_repeated: int
    lines_rejected: int
    collected_completely: bool
    incomplete: tuple[Incomplete, ...]
    attachments: int
    had: int
    missing: dict[str, int]
    images: int
    images_not_classified: int
    reasons: tuple[CoverageOf, ...]
    hosts: tuple[CoverageOf, ...]
    days: tuple[CoverageOf, ...]

    @property
    def share(self) -> float | None:
        """The share of attachments that could be had."""
        return self.had / self.attachments if self.attachments else None

    def rows(self) -> list[dict[str, Any]]:
        """All of it by reason, host and day as plain rows, each with its denominator, as in coverage.csv."""
        whole = CoverageOf(value="", attachments=self.attachments, had=self.had, missing=self.missing)
        groups = {"all": (whole,), "reason": self.reasons, "host": self.hosts, "day": self.days}
        return [
            {
                "by": by,
                "value": each.value,
                "attachments": each.attachments,
                "had": each.had,
                "share": each.share,
                **{status: each.missing.get(status, 0) for status in _MISSING},
            }
            for by, members in groups.items()
            for each in members
        ]

    def to_csv(self) -> str:
        """All of it by reason, host and day as CSV."""
        return _as_csv(self.rows())

    def facts(self) -> dict[str, Any]:
        """All of it for tally.json. There can be thousands of hosts: only the 20 with most missing are in it."""

        def plain(groups: Iterable[CoverageOf]) -> list[dict[str, Any]]:
            return [asdict(each) | {"share": each.share} for each in groups]

        facts = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "hosts"}
        return facts | {
            "incomplete": [asdict(each) for each in self.incomplete],
            "share": self.share,
            "reasons": plain(self.reasons),
            "hosts_in_all": len(self.hosts),
            "hosts_with_most_missing": plain(most_missing(self.hosts, _HOSTS_IN_JSON)),
            "days": plain(self.days),
        }


def most_missing(groups: Iterable[CoverageOf], count: int) -> list[CoverageOf]:
    """Those that miss the most attachments, `count` at most, none that misses none."""
    return sorted((each for each in groups if each.not_had), key=lambda each: (-each.not_had, each.value))[:count]


@dataclass(frozen=True, kw_only=True)
class DayTally:
    """Posts of one day (UTC) that show a class."""

    day: str
    label: str
    posts: int


@dataclass(frozen=True, kw_only=True)
class Tally:
    """The result of a run for one model and one label set. Totals are the denominators of the classes' counts.

    `precision` and `devices` are those that the vectors were computed in and on, None and empty where run.json doesn't
    tell. What was not computed is None: the shares under other wordings (`robustness`), those without pictures of words
    (`without_text`), and what the precision changes (`check`).
    """

    run: str
    model: str
    model_key: str
    labels: str
    labels_key: str
    margin: float
    images: int
    posts: int
    photos: int
    classes: tuple[ClassTally, ...]
    sources: tuple[SourceTally, ...]
    coverage: Coverage
    days: tuple[DayTally, ...]
    precision: str | None
    devices: tuple[str, ...]
    check: PrecisionCheck | None
    without_text: WithoutText | None
    robustness: tuple[VariantTally, ...] | None

    @property
    def kinds_compared(self) -> tuple[str, ...]:
        """The kinds of other wordings that the shares were compared with; none where there is nothing to compare."""
        return kinds_compared(self.robustness or ())

    def largest_move(self, label: str) -> float:
        """By how much the share of a class changes at most, up or down, with the wording of the prompts."""
        own = [each.change for each in self.robustness or () if each.label == label]
        return max((abs(change) for change in own if change is not None), default=0.0)

    def to_dataframe(self, *, by_source: bool = False) -> pandas.DataFrame:
        """The classes as a pandas DataFrame, as in tally.csv; `by_source` as in tally-by-source.csv."""
        import pandas

        return pandas.DataFrame(self.rows_by_source() if by_source else self.rows())

    def rows(self) -> list[dict[str, Any]]:
        """The classes as plain rows, each with its denominators."""
        without = {each.label: each for each in self.without_text.classes} if self.without_text else {}
        return [
            {
                "label": each.label,
                "images": each.images,
                "images_total": self.images,
                "share": each.share,
                "low_95": each.low,
                "high_95": each.high,
                "posts": each.posts,
                "posts_total": self.posts,
                "reposts": each.reposts,
                "photos": each.photos,
                "photos_total": self.photos,
                "collected_completely": self.coverage.collected_completely,
                "sensitive_to_prompts": each.sensitive_to_prompts,
                **{
                    f"{_COLUMN_NAMES.get(name, name)}_without_text": getattr(without.get(each.label), name, None)
                    for name in ("images", "images_total", "share", "low", "high")
                },
            }
            for each in self.classes
        ]

    def rows_by_source(self) -> list[dict[str, Any]]:
        """The classes of each source as plain rows, each with its denominators."""
        complete = {"collected_completely": self.coverage.collected_completely}
        rows = [asdict(each) | complete for each in self.sources]
        return [{_COLUMN_NAMES.get(name, name): value for name, value in row.items()} for row in rows]

    def to_json(self) -> str:
        """All of it as JSON."""
        facts = {each.name: getattr(self, each.name) for each in fields(self)}
        for name in ("classes", "sources", "days"):
            facts[name] = [asdict(each) for each in facts[name]]
        for name in ("check", "without_text"):
            facts[name] = asdict(facts[name]) if facts[name] is not None else None
        if self.robustness is not None:
            facts["robustness"] = [asdict(each) for each in self.robustness]
        facts["coverage"] = self.coverage.facts()
        facts["interval"] = "95 % Wilson score interval of the raw share; errors of the classifier are not in it"
        return json.dumps(facts, indent=2, ensure_ascii=False) + "\n"

    def to_csv(self, *, by_source: bool = False) -> str:
        """The classes as CSV; `by_source` for each source."""
        rows = self.rows_by_source() if by_source else self.rows()
        names = [*(each.name for each in fields(SourceTally)), "collected_completely"]
        return _as_csv(rows, [_COLUMN_NAMES.get(name, name) for name in names] if by_source else None)

    def robustness_csv(self) -> str:
        """The classes under every other wording of the prompts as CSV."""
        rows = [asdict(each) for each in self.robustness or ()]
        return _as_csv(rows, [each.name for each in fields(VariantTally)])


def _as_csv(rows: list[dict[str, Any]], columns: Iterable[str] | None = None) -> str:
    """Rows as CSV; text that a spreadsheet would take for a formula gets an apostrophe in front."""

    def cell(value: Any) -> Any:
        return f"{value:.6f}" if isinstance(value, float) else spreadsheet_cell(value)

    text = io.StringIO()
    table = csv.DictWriter(text, list(columns or rows[0]), lineterminator="\n")
    table.writeheader()
    for row in rows:
        table.writerow({name: cell(value) for name, value in row.items()})
    return text.getvalue()


def summarize(run: Run, *, model_key: str | None = None, labels_key: str | None = None) -> Tally:
    """The tally of a run, written to `report/`: tally.json, tally.csv, tally-by-source.csv, coverage.csv, photos.csv,
    and robustness.csv where the classify stage computed other wordings.

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
    with run.database(scores=scores) as database:
        database.execute(
            """CREATE VIEW classified AS
            SELECT photos.*, label, repost_of IS NOT NULL AS repost FROM photos JOIN scores USING (sha256)
            JOIN posts ON posts.source = photos.source AND posts.id = post_id WHERE status = 'ok'"""
        )
        tally = _tally(run, database, model_key, labels)
        photos = _photos_csv(database, labels)
    folder = report_folder(run, model_key, labels_key)
    with run.writing():
        run.storage.update(f"{folder}/tally.json", tally.to_json().encode())
        run.storage.update(f"{folder}/tally.csv", tally.to_csv().encode())
        run.storage.update(f"{folder}/tally-by-source.csv", tally.to_csv(by_source=True).encode())
        run.storage.update(f"{folder}/coverage.csv", tally.coverage.to_csv().encode())
        if tally.robustness is not None:
            run.storage.update(f"{folder}/robustness.csv", tally.robustness_csv().encode())
        run.storage.update(f"{folder}/photos.csv", photos)
    return tally


def report_folder(run: Run, model_key: str, labels_key: str) -> str:
    """Where the results of a model and a label set stand: `report`, or for a further question a folder below it."""
    first = (run.asked.get("model_key"), run.asked.get("labels"))
    return "report" if (model_key, labels_key) == first else f"report/{labels_key}@{model_key}"


def _tally(run: Run, database: duckdb.DuckDBPyConnection, model_key: str, labels: LabelSet) -> Tally:
    images, photos, posts = _row(
        database,
        "SELECT count(DISTINCT sha256), count(*), count(DISTINCT (source, post_id)) FROM classified",
    )
    counted = {
        label: counts
        for label, *counts in database.execute(
            """SELECT label, count(DISTINCT sha256), count(DISTINCT (source, post_id)), count(*),
            count(DISTINCT (source, post_id)) FILTER (repost)
            FROM classified GROUP BY label"""
        ).fetchall()
    }
    titles = {**{each.name: each.title for each in labels.classes}, UNSURE: "Unsure"}
    published = {}
    for name in titles:
        count, *_ = counted.setdefault(name, [0, 0, 0, 0])
        low, high = wilson(count, images)
        published[name] = Published(share=count / images if images else None, low=low, high=high)
    variants = worded_otherwise(run, model_key, labels, published)
    compared = bool(images and kinds_compared(variants or ()))
    sensitive = {each.label for each in variants or () if each.flagged}
    classes = []
    for name, title in titles.items():
        count, class_posts, class_photos, class_reposts = counted[name]
        classes.append(
            ClassTally(
                label=name,
                title=title,
                images=count,
                **asdict(published[name]),
                posts=class_posts,
                reposts=class_reposts,
                photos=class_photos,
                sensitive_to_prompts=name in sensitive if compared else None,
            )
        )
    used = run.used("models", model_key) or {}
    return Tally(
        run=run.name,
        model=str(used.get("name", model_key.rpartition("-")[0])),
        model_key=model_key,
        labels=labels.name,
        labels_key=labels.key,
        margin=labels.margin,
        images=images,
        posts=posts,
        photos=photos,
        classes=tuple(classes),
        sources=_by_source(database, list(titles)),
        coverage=_coverage(run, database),
        days=_days(database),
        precision=used.get("precision"),
        devices=tuple(used.get("devices", ())),
        check=precision_check(run, database, model_key, labels),
        without_text=without_text(run, database, model_key, labels, titles),
        robustness=variants,
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
    rows = []
    for source, images_total, posts_total, photos_total in totals:
        for label in labels:
            images, posts, photos = counted.get((source, label), (0, 0, 0))
            low, high = wilson(images, images_total)
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


def _coverage(run: Run, database: duckdb.DuckDBPyConnection) -> Coverage:
    posts, reposting, without, timeless, wrong_times = _row(
        database,
        """SELECT count(*), count(*) FILTER (repost_of IS NOT NULL), count(*) FILTER (len(attachments) = 0),
        count(*) FILTER (created_at IS NULL), count(*) FILTER (time_problem IS NOT NULL) FROM posts""",
    )
    database.execute(_OUTCOMES, {"host": _HOST, "wording": _WORDING})
    (whole,) = _coverage_by(database, "''") or (_coverage_of("", {}),)
    images, not_classified = _row(
        database,
        """SELECT count(DISTINCT sha256), count(DISTINCT sha256) FILTER (sha256 NOT IN (SELECT sha256 FROM scores))
        FROM photos WHERE status = 'ok'""",
    )
    collected = run.stages.get("collect", {})
    return Coverage(
        posts=posts,
        posts_reposting=reposting,
        posts_without_attachments=without,
        posts_without_time=timeless,
        posts_with_wrong_time=wrong_times,
        posts_repeated=collected.get("repeated", 0),
        lines_rejected=collected.get("rejected", 0),
        collected_completely=collected.get("complete", False) and not incomplete(run),
        incomplete=incomplete(run),
        attachments=whole.attachments,
        had=whole.had,
        missing=whole.missing,
        images=images,
        images_not_classified=not_classified,
        reasons=_reasons(database),
        hosts=tuple(sorted(_coverage_by(database, "host"), key=lambda each: (-each.attachments, each.value))),
        days=tuple(sorted(_coverage_by(database, "day"), key=lambda each: (each.value == NO_TIME, each.value))),
    )


def _coverage_by(database: duckdb.DuckDBPyConnection, column: str) -> list[CoverageOf]:
    counted: dict[str, dict[str, int]] = defaultdict(dict)
    for value, status, count in database.execute(
        f"SELECT {column}, status, sum(attachments)::BIGINT FROM outcomes GROUP BY ALL"
    ).fetchall():
        counted[value][status] = count
    return [_coverage_of(value, counts) for value, counts in counted.items()]


def _reasons(database: duckdb.DuckDBPyConnection) -> tuple[CoverageOf, ...]:
    counted: Counter[tuple[str, str]] = Counter()
    wordings: Counter[str] = Counter()
    for status, wording, count in database.execute(
        """SELECT status, wording, sum(attachments)::BIGINT AS count FROM outcomes
        GROUP BY ALL ORDER BY count DESC, status, wording"""
    ).fetchall():
        wordings[status] += 1
        known = _ANSWERS.get(wording, wording) if wordings[status] <= _WORDINGS else "other reasons"
        counted[status, f"{status}: {known}" if known else status] += count
    rows = [_coverage_of(value, {status: count}) for (status, value), count in counted.items()]
    return tuple(sorted(rows, key=lambda each: (-each.attachments, each.value)))


def _coverage_of(value: str, counts: Mapping[str, int]) -> CoverageOf:
    """From attachments by status; what was not asked for yet comes last."""
    missing = {status: counts[status] for status in sorted(counts, key=lambda each: (each == NOT_ASKED, each))}
    had = missing.pop(PhotoStatus.OK.value, 0)
    return CoverageOf(value=value, attachments=had + sum(missing.values()), had=had, missing=missing)


def incomplete(run: Run) -> tuple[Incomplete, ...]:
    """The sources of a run whose posts are not all there, those that were never asked among them."""
    records = run.stages.get("collect", {}).get("sources", ())
    known = [each["asked"] for each in records]
    return tuple(
        Incomplete(source=each["title"], reason=each["reason"]) for each in records if not each["complete"]
    ) + tuple(
        Incomplete(source=restore(asked).title, reason="it was not asked yet: run it again")
        for asked in run.asked.get("sources", ())
        if asked not in known
    )


def _days(database: duckdb.DuckDBPyConnection) -> tuple[DayTally, ...]:
    rows = database.execute(
        """SELECT strftime(created_at, '%Y-%m-%d') AS day, label, count(DISTINCT (classified.source, post_id))
        FROM classified JOIN posts ON posts.source = classified.source AND posts.id = post_id
        WHERE created_at IS NOT NULL GROUP BY ALL ORDER BY ALL"""
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
            photos.sha256 AS sha256, size, format, width, height, animated,
            label, round(margin, 4) AS margin, {chances}
        FROM wanted LEFT JOIN photos USING (source, post_id, position)
        LEFT JOIN scores ON scores.sha256 = photos.sha256 AND status = 'ok'
        ORDER BY wanted.source, wanted.created_at, wanted.post_id, position"""
    ).to_arrow_table()
    return _csv(table)


def _csv(table: pa.Table) -> bytes:
    from pyarrow import csv as pacsv

    sink = io.BytesIO()
    pacsv.write_csv(table, sink, pacsv.WriteOptions(quoting_style="needed"))
    return sink.getvalue()


def _row(database: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    return tuple(database.execute(query).fetchall()[0])
