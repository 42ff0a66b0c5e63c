"""Stage 1: a source's posts -> the posts table.

A post is had when its key (source, id) stands in the table; the first one had stays.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from hashtag_photos.errors import RunConflictError
from hashtag_photos.records import POSTS, Post, Rejected, posts_table
from hashtag_photos.run import Run
from hashtag_photos.sources import Source, restore
from hashtag_photos.stages import Progress, silent

PART_ROWS = 20_000


@dataclass(frozen=True, kw_only=True)
class Collected:
    """Counts of the collect stage: posts new and had before, repeats of a key in the source, lines that are no post."""

    new: int
    had: int
    repeated: int
    rejected: int
    skipped: bool = False


def collect(run: Run, source: Source, *, progress: Progress = silent) -> Collected:
    """Append a source's posts to a run, those that it hasn't got yet.

    Raises SourceError for an unusable source, before anything is written, and RunConflictError if the run's posts come
    from another source.
    """
    check_source(run, source)
    state = source.state()
    before = run.stages.get("collect")
    had_all = before and before["complete"] and before["posts"] == run.dataset("posts", POSTS).count_rows()
    if before and had_all and state is not None and before["state"] == state:
        return Collected(
            new=0, had=before["posts"], repeated=before["repeated"], rejected=before["rejected"], skipped=True
        )
    source.check()
    with run.writing():
        run.ask(sources=[source.asked()])
        had = _had(run)
        first_had = len(had)
        seen: set[tuple[str, str]] = set()
        waiting: list[Post] = []
        rejected: list[Rejected] = []
        repeated = 0
        size = source.size()

        def flush() -> None:
            if waiting and run.stages.get("collect", {}).get("complete") is not False:
                run.record_stage("collect", complete=False)
            run.append("posts", posts_table(waiting, datetime.now(UTC)))
            waiting.clear()

        for number, post in enumerate(source.posts(), start=1):
            if isinstance(post, Rejected):
                rejected.append(post)
            else:
                key = (post.source, post.id)
                shows = _shows(each.url for each in post.attachments)
                if key not in had:
                    had[key] = shows
                    waiting.append(post)
                elif had[key] != shows:
                    when = "again" if key in seen else "now, unlike when it was collected,"
                    rejected.append(
                        Rejected(line=None, reason=f"post {post.id} stands there {when} with other attachments")
                    )
                elif key in seen:
                    repeated += 1
                seen.add(key)
            if len(waiting) >= PART_ROWS:
                flush()
            if number % 1000 == 0:
                progress("collect", number, size and max(size, number))
        flush()
        _list_rejected(run, rejected)
        run.record_stage(
            "collect", posts=len(had), repeated=repeated, rejected=len(rejected), state=state, complete=True
        )
        progress("collect", len(seen), len(seen))
    return Collected(new=len(had) - first_had, had=first_had, repeated=repeated, rejected=len(rejected))


def _had(run: Run) -> dict[tuple[str, str], int]:
    """Keys of the posts that the run has, each with a mark of its attachments."""
    rows = run.dataset("posts", POSTS).to_table(columns=["source", "id", "attachments"]).to_pylist()
    return {(row["source"], row["id"]): _shows(each["url"] for each in row["attachments"]) for row in rows}


def _shows(urls: Iterable[str]) -> int:
    return hash(tuple(urls))


def check_source(run: Run, source: Source) -> None:
    """Raise RunConflictError if the run's posts come from another source."""
    before = run.asked.get("sources")
    if before is not None and before != [source.asked()]:
        raise RunConflictError(
            f"{run.location} holds {restore(before[0]).title} and is now asked for {source.title}: leave them out to "
            "go on with it, or choose another folder with --run",
            subject=run.location,
        )


def _list_rejected(run: Run, rejected: Iterable[Rejected]) -> None:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["line", "reason"])
    rows.writerows([each.line, each.reason] for each in rejected)
    if rejected or run.storage.exists("rejected.csv"):
        run.storage.write("rejected.csv", lambda file: file.write(text.getvalue().encode()))
