"""Stage 2: attachments of the posts -> images in the run folder, and a row in the photos table for each attachment.

An attachment is done when its key (source, post_id, position) stands in the table, whatever became of it. What could
not be had is a row with a status and a reason; `retry` asks again for the temporary ones alone. An address is asked for
once, however many posts share it. Each picture is verified by a full decode in a thread while others download.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from hashtag_photos.http import Fetched, Fetcher, FetchError, Limits, Local, fetcher
from hashtag_photos.images import ImageError, inspect
from hashtag_photos.records import Photo, PhotoStatus
from hashtag_photos.run import Run
from hashtag_photos.sources import restore
from hashtag_photos.stages import Progress, silent
from hashtag_photos.tables import photos_table

PART_ROWS = 2_000
PART_SECONDS = 30.0  # a crash loses at most this much of what was had
_READ_ROWS = 2_000
_OUTCOME = [
    field.name
    for field in fields(Photo)
    if field.name not in ("source", "post_id", "position", "url", "attempt", "fetched_at")
]

# Attachments still to be had, with what is known for good of their address from other posts. Ordered by a hash of the
# address: posts that share one come together, and hosts come mixed.
_OUTSTANDING = """
    WITH wanted AS (
        SELECT source, id AS post_id, attachments[i].url AS url, i - 1 AS position
        FROM (SELECT source, id, attachments, unnest(generate_series(1, len(attachments))) AS i FROM posts)
    ),
    settled AS (SELECT * FROM photos WHERE NOT list_contains($again, status)),
    attempts AS (SELECT source, post_id, position, max(attempt) AS attempt FROM photos_all GROUP BY ALL),
    known AS (
        SELECT * FROM photos WHERE NOT list_contains($temporary, status)
        QUALIFY row_number() OVER (PARTITION BY url ORDER BY fetched_at, post_id, position) = 1
    )
    SELECT wanted.*, coalesce(attempts.attempt, 0) + 1 AS attempt,
        known.* EXCLUDE (source, post_id, position, url, attempt)
    FROM wanted
    ANTI JOIN settled USING (source, post_id, position)
    LEFT JOIN attempts USING (source, post_id, position)
    LEFT JOIN known ON known.url = wanted.url
    ORDER BY hash(wanted.url), wanted.url, source, post_id, position
"""


@dataclass(frozen=True, kw_only=True)
class Downloaded:
    """Counts of the download stage: attachments asked for now, and how many stand at each status in all."""

    new: int
    attachments: int
    statuses: dict[str, int]

    @property
    def temporary(self) -> int:
        """Attachments that a retry may still bring."""
        return sum(count for status, count in self.statuses.items() if PhotoStatus(status).temporary)


def download(run: Run, *, retry: bool = False, limits: Limits | None = None, progress: Progress = silent) -> Downloaded:
    """Have every attachment that the run hasn't asked for yet; with `retry`, also those that failed for now.

    What can't be had is a row with a status, never an exception. Raises StorageError if the folder can't be written.
    """
    with run.writing():
        new = _wait_for(_download(run, retry, limits or Limits(), progress))
        with run.database() as database:
            rows = database.execute("SELECT status, count(*) FROM photos GROUP BY status ORDER BY status").fetchall()
            (attachments,) = database.execute(
                "SELECT coalesce(sum(len(attachments)), 0)::BIGINT FROM posts"
            ).fetchall()[0]
        done = Downloaded(new=new, attachments=attachments, statuses=dict(rows))
        run.record_stage("download", attachments=done.attachments, statuses=done.statuses)
    return done


def _wait_for(download: Coroutine[Any, Any, int]) -> int:
    """Its result, also where an event loop already runs, as in a notebook: then on a thread of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(download)
    with ThreadPoolExecutor(1) as thread:
        loop = asyncio.new_event_loop()
        task = loop.create_task(download)
        result = thread.submit(loop.run_until_complete, task)
        try:
            return result.result()
        except BaseException:
            loop.call_soon_threadsafe(task.cancel)
            raise
        finally:
            thread.shutdown()
            loop.close()


async def _download(run: Run, retry: bool, limits: Limits, progress: Progress) -> int:
    with run.database() as database, ExitStack() as stack:
        temporary = [status.value for status in PhotoStatus if status.temporary]
        values = {"temporary": temporary, "again": temporary if retry else []}
        database.execute(f"CREATE TABLE outstanding AS {_OUTSTANDING}", values)
        total = len(database.table("outstanding"))
        if not total:
            return 0
        rows = database.sql("FROM outstanding").to_arrow_reader(_READ_ROWS)
        shared = _by_address(row for batch in rows for row in batch.to_pylist())
        local = _reach([stack.enter_context(restore(asked).local()) for asked in run.asked.get("sources", ())])
        folder = stack.enter_context(run.storage.incoming())
        verifiers = stack.enter_context(ThreadPoolExecutor(os.cpu_count()))
        parts = _Parts(run)
        done = 0
        progress("download", 0, total)

        async def work(fetch: Fetcher) -> None:
            nonlocal done
            for url, attachments in shared:  # one iterator for all workers, on one thread
                outcome = _known(attachments) or await _have(url, fetch, run, verifiers)
                fetched_at = datetime.now(UTC)
                for row in attachments:
                    parts.add(Photo(**_key(row), attempt=row["attempt"], fetched_at=fetched_at, **outcome))
                done += len(attachments)
                progress("download", done, total)

        try:
            async with fetcher(folder, local, limits) as fetch, asyncio.TaskGroup() as workers:
                for _ in range(limits.connections):
                    workers.create_task(work(fetch))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            parts.flush()  # also when interrupted: what was had is kept
    return total


def _by_address(rows: Iterable[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for url, group in groupby(rows, key=itemgetter("url")):
        yield url, list(group)


def _known(attachments: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The outcome of this address, if an earlier part of the run already had it through another post."""
    row = attachments[0]
    return None if row["status"] is None else {name: row[name] for name in _OUTCOME}


def _key(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("source", "post_id", "position", "url")}


async def _have(url: str, fetch: Fetcher, run: Run, verifiers: ThreadPoolExecutor) -> dict[str, Any]:
    """The columns of a photo row that depend on its address alone."""
    try:
        fetched = await fetch.fetch(url)
    except FetchError as error:
        return {"status": error.status, "reason": error.reason, "http_status": error.http_status}
    return await asyncio.get_running_loop().run_in_executor(verifiers, _keep, run, fetched)


def _keep(run: Run, fetched: Fetched) -> dict[str, Any]:
    """Verify what was fetched, and store it if it is an image."""
    outcome: dict[str, Any] = {name: getattr(fetched, name) for name in ("sha256", "size", "http_status", "final_url")}
    try:
        with fetched.path.open("rb") as file:
            image = inspect(file)
    except ImageError as error:
        fetched.path.unlink()
        return {**outcome, "status": error.status, "reason": error.reason}
    run.storage.adopt(fetched.path, run.image_path(fetched.sha256, image.format))
    return {**outcome, "status": PhotoStatus.OK, **asdict(image)}


def _reach(locals_: list[Local]) -> Local:
    """What all of a run's sources may reach together."""
    return Local(
        files=tuple(folder for each in locals_ for folder in each.files),
        routes={origin: base for each in locals_ for origin, base in each.routes.items()},
    )


class _Parts:
    """Rows on their way into the photos table, a part at a time."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._rows: list[Photo] = []
        self._since = time.monotonic()

    def add(self, photo: Photo) -> None:
        self._rows.append(photo)
        if len(self._rows) >= PART_ROWS or time.monotonic() - self._since > PART_SECONDS:
            self.flush()

    def flush(self) -> None:
        rows, self._rows, self._since = self._rows, [], time.monotonic()  # once, also if interrupted in the middle
        self._run.append("photos", photos_table(rows))
