"""What there was, what could be had, and what not: by reason, host and day."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from hashtag_photos.records import Incomplete, PhotoStatus
from hashtag_photos.run import Run
from hashtag_photos.sources import restore
from hashtag_photos.stages.joined import Joined
from hashtag_photos.stages.shown import Scored
from hashtag_photos.tables import as_csv

if TYPE_CHECKING:
    import duckdb

NOT_ASKED = "not_asked_yet"
LOCAL_FILE, NO_HOST, NO_TIME = "(a local file)", "(no host)", "(no time)"  # with a space, as no host has one
_MISSING = (*(status.value for status in PhotoStatus if status is not PhotoStatus.OK), NOT_ASKED)
_HOSTS_IN_JSON = 20
_WORDINGS = 10  # of the reasons of one status; what else servers and decoders say counts as "other reasons"
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

# What of an address has its scheme and host: all up to the third slash, which is the same for many.
_ORIGIN = r"^[^/]*(?:/[^/]*){0,2}/?"

# What became of all attachments, those not asked for yet among them, counted by all that coverage is told by. What is
# in words is looked at once for all attachments that have the same.
_OUTCOMES = f"""
    CREATE TABLE outcomes AS
    WITH counted AS (
        SELECT status, http_status, reason, regexp_extract(url, $origin) AS origin, day, count(*) AS attachments
        FROM attached GROUP BY ALL
    ),
    located AS (SELECT *, origin ILIKE 'file:%' AS local, regexp_extract(origin, $host, 1) AS host FROM counted)
    SELECT
        coalesce(status, '{NOT_ASKED}') AS status,
        CASE WHEN http_status <> 200 THEN 'the server answered ' || http_status
            ELSE left(trim(regexp_extract(
                regexp_replace(coalesce(reason, ''), '^port [0-9]+', 'a port that'), $wording, 1
            )), 100) END AS wording,
        CASE WHEN local THEN '{LOCAL_FILE}' WHEN length(host) BETWEEN 1 AND 253 THEN lower(host)
            ELSE '{NO_HOST}' END AS host,
        coalesce(strftime(make_timestamp(day * 86400000000), '%Y-%m-%d'), '{NO_TIME}') AS day,
        sum(attachments) AS attachments
    FROM located GROUP BY ALL
"""


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
        return as_csv(self.rows(), ["by", "value", "attachments", "had", "share", *_MISSING])

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


def cover(run: Run, database: duckdb.DuckDBPyConnection, found: Scored) -> Coverage:
    """The coverage of a run, with the database of `stages.shown.shown`. Raises RunError if tables can't be read."""
    joined = found.joined
    ((posts, reposting, without, timeless),) = database.execute(
        """SELECT count(*), count(*) FILTER (repost), count(*) FILTER (attachments = 0),
        count(*) FILTER (created_at IS NULL) FROM post"""
    ).fetchall()
    wrong_times = joined.of_posts("time_problem").column(0)
    database.register("attached", _attached(joined))
    database.execute(_OUTCOMES, {"origin": _ORIGIN, "host": _HOST, "wording": _WORDING})
    database.unregister("attached")
    (whole,) = _coverage_by(database, "''") or (_coverage_of("", {}),)
    ((classified,),) = database.execute("SELECT count(*) FROM images").fetchall()
    collected = run.stages.get("collect", {})
    return Coverage(
        posts=posts,
        posts_reposting=reposting,
        posts_without_attachments=without,
        posts_without_time=timeless,
        posts_with_wrong_time=len(wrong_times) - wrong_times.null_count,
        posts_repeated=collected.get("repeated", 0),
        lines_rejected=collected.get("rejected", 0),
        collected_completely=collected.get("complete", False) and not incomplete(run),
        incomplete=incomplete(run),
        attachments=whole.attachments,
        had=whole.had,
        missing=whole.missing,
        images=classified + found.unscored,
        images_not_classified=found.unscored,
        reasons=_reasons(database),
        hosts=tuple(sorted(_coverage_by(database, "host"), key=lambda each: (-each.attachments, each.value))),
        days=tuple(sorted(_coverage_by(database, "day"), key=lambda each: (each.value == NO_TIME, each.value))),
    )


def _attached(joined: Joined) -> pa.Table:
    """All attachments: address, day of the post as days since 1970, and what became of it, null if it was not asked for
    yet."""
    said = joined.of_photos("status", "reason", "http_status")
    said = pa.table([column.dictionary_encode() for column in said.columns], names=said.column_names)
    rows = said.take(pa.array(joined.photo, mask=joined.photo < 0))
    days = pc.floor_temporal(joined.of_posts("created_at").column(0), unit="day").cast(pa.date32()).cast(pa.int32())
    return rows.append_column("url", joined.urls()).append_column("day", days.take(pa.array(joined.post)))


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
