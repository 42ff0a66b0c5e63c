"""Stage 2: attachments of the posts -> images in the run folder, and a row in the photos table for each attachment.

An attachment is done when its key (source, post_id, position) stands in the table, whatever became of it. What could
not be had is a row with a status and a reason; `retry` asks again for the temporary ones alone. An address is asked for
once, however many posts share it.

Here are the rows; who fetches is the engine: processes of this machine (crew.py), or a cluster. What each does is in
fetching.py. Hosts are shared out among them, so that a host's limits hold whatever their number.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from hashtag_photos.errors import UsageError
from hashtag_photos.http import Limits, Local
from hashtag_photos.images import one_shade, perceptual_hashes, window_hashes
from hashtag_photos.images import placeholders as read_placeholders
from hashtag_photos.imagestore import Place
from hashtag_photos.manners import Manners
from hashtag_photos.records import PhotoStatus
from hashtag_photos.run import Run
from hashtag_photos.sources import restore
from hashtag_photos.stages import Progress, silent
from hashtag_photos.stages.engine import LOCAL, Engine
from hashtag_photos.stages.fetching import Job
from hashtag_photos.stages.worklist import (
    KEY,
    Again,
    Worklist,
    attachments_of,
    last_statuses,
    something_to_do,
    superseded,
)
from hashtag_photos.tables import PHOTOS, photos_table, spreadsheet_cell

PART_ROWS = 1_000
_HASHED_AT_ONCE = 100
_LOOKS: dict[str, Callable[[Sequence[bytes]], Sequence[Any]]] = {  # of thumbnails
    "phash": perceptual_hashes,
    "window_hashes": window_hashes,
    "one_shade": one_shade,
    "thumbnail": lambda thumbnails: [base64.b64encode(each).decode() for each in thumbnails],
}
PART_SECONDS = 30.0  # a crash loses at most this much of what was had
MISSING = "missing.csv"
_SHOW_SECONDS = 0.1
_TEMPORARY = [status for status in PhotoStatus if status.temporary]


@dataclass(frozen=True, kw_only=True)
class Downloaded:
    """Counts of the download stage: attachments asked for now, those had before that were now marked as placeholders,
    and how many stand at each status in all."""

    new: int
    marked: int
    attachments: int
    statuses: dict[str, int]

    @property
    def temporary(self) -> int:
        """Attachments that a retry may still bring."""
        return sum(count for status, count in self.statuses.items() if PhotoStatus(status).temporary)


def download(
    run: Run,
    *,
    retry: bool = False,
    limits: Limits | None = None,
    manners: Manners | None = None,
    placeholders: str | os.PathLike[str] | None = None,
    log: str | os.PathLike[str] | None = None,
    store: str | None = None,
    engine: Engine = LOCAL,
    progress: Progress = silent,
) -> Downloaded:
    """Have every attachment that the run hasn't asked for yet; with `retry`, also those that failed for now.

    `placeholders` is a file of sha256 sums of pictures that stand for removed ones, beside those that are known: such
    pictures, also those had before, get the status placeholder. `log` is a file to which a line of JSON is added for
    each request. What can't be had is a row with a status, never an exception, and stands in missing.csv. `engine` is
    who fetches. `store` is how images are kept (imagestore.py): as `files`, which a run does unless told otherwise
    before it has any, or in tar `shards`.

    Raises StorageError if the folder can't be written, UsageError if that file can't be read, RunError if those who
    fetch die again and again, RunConflictError if `store` is not how the run keeps its images.
    """
    given = (run, retry, limits or Limits(), manners or Manners(), placeholders, log, engine, progress)
    return _download(*given, store=store)


def _download(
    run: Run,
    retry: bool,
    limits: Limits,
    manners: Manners,
    placeholders: str | os.PathLike[str] | None,
    log: str | os.PathLike[str] | None,
    engine: Engine,
    progress: Progress,
    store: str | None = None,
    verify: bool = True,
) -> Downloaded:
    own = read_placeholders(Path(placeholders)) if placeholders is not None else {}
    with run.writing(), _log(log) as logged:
        run.keep_images_as(store)
        if own:
            run.ask_also(placeholders=[list(each) for each in own.items()])
        known = read_placeholders() | dict(run.asked.get("placeholders", ()))
        marked = _mark_placeholders(run, known)
        again = Again(
            frozenset([*(_TEMPORARY if retry else ()), *(() if manners.heed_opt_outs else (PhotoStatus.OPTED_OUT,))]),
            frozenset(limits.ports) - set(Limits().ports),
        )
        new = 0
        if something_to_do(run, again):
            job = partial(
                Job,
                run=run.location,
                layout=run.images.layout,
                limits=limits,
                manners=manners,
                placeholders=known,
                log=log is not None,
                verify=verify,
            )
            new = _ask(run, job, again, logged, engine, progress)
        run.images.tidy()
        run.compact("photos")
        statuses = last_statuses(run)
        # they differ from what was said, too, where it was killed before it said so
        changed = new or marked or statuses != run.stages.get("download", {}).get("statuses")
        listed = run.storage.exists(MISSING)
        if (changed and listed) or (not listed and statuses.keys() - {PhotoStatus.OK}):
            _write_missing(run)
        done = Downloaded(new=new, marked=marked, attachments=attachments_of(run), statuses=statuses)
        opt_outs = manners.heed_opt_outs and run.stages.get("download", {}).get("opt_outs_heeded", True)
        run.record_stage("download", attachments=done.attachments, statuses=done.statuses, opt_outs_heeded=opt_outs)
    return done


def _ask(
    run: Run, job: Callable[..., Job], again: Again, log: Callable[[Any], None], engine: Engine, progress: Progress
) -> int:
    """Ask for what is left, and have a row for each attachment; how many there were."""
    with ExitStack() as stack:
        parts: _Parts | None = None
        try:
            incoming = stack.enter_context(run.storage.incoming())  # which is swept, should this be killed
            worklist = stack.enter_context(Worklist(run, incoming, again))
            if not worklist.attachments:
                return 0
            parts = _Parts(run, worklist, progress)
            for address, outcome in worklist.known():
                parts.add(address, outcome)
                parts.flush_if_due()
            if worklist.addresses:
                here = [stack.enter_context(restore(asked).local()) for asked in run.asked.get("sources", ())]
                asked = job(
                    worklist=str(worklist.path),
                    incoming=str(incoming),
                    suspects=str(incoming / "suspects"),
                    local=_reach(here),
                )
                engine.fetch(run, worklist, asked, parts, log)
            return worklist.attachments
        finally:
            stack.close()  # what came and was not kept gives its room back, before
            if parts:
                parts.flush()  # also when interrupted: what was had is kept


class _Parts:
    """Rows on their way into the photos table, a part at a time, and how far they are."""

    def __init__(self, run: Run, worklist: Worklist, progress: Progress) -> None:
        self._run = run
        self._worklist = worklist
        self._progress = progress
        self._rows: list[tuple[dict[str, Any], bytes | None]] = []
        self._places: list[tuple[str, Place]] = []
        self._unsure: tuple[str, pa.Table] | None = None  # a part that may stand there or not, and where
        # an image waits before its row comes, and after
        self._seconds = PART_SECONDS - run.images.layout.settle_seconds
        self._since = time.monotonic()
        self._done = bytearray(worklist.addresses + 1)
        self._count = 0
        self._begun = time.monotonic()
        self._shown = 0.0
        self._received: dict[int, int] = {}
        self._waiting: dict[int, list[tuple[str, str, float]]] = {}
        progress("download", 0, worklist.attachments)

    def add(self, address: int, outcome: dict[str, Any]) -> None:
        """What became of an address, for each attachment that shares it."""
        if self._done[address]:
            return  # had by a process that died before it could know that it was heard
        self._done[address] = 1
        thumbnail = outcome.pop("thumbnail", None)
        if (place := outcome.pop("place", None)) is not None:
            self._places.append((outcome["sha256"], place))
        for attachment in self._worklist.sharing(address):
            self._rows.append(({**attachment, **outcome}, thumbnail and base64.b64decode(thumbnail)))
            self._count += 1
        self._show()

    def done(self) -> Iterator[int]:
        """The addresses of which is known what became of them."""
        return (address for address, done in enumerate(self._done) if done)

    def status(self, share: int, received: int, waiting: list[tuple[str, str, float]]) -> None:
        """What a process received so far, in bytes, and the hosts that it waits for."""
        self._received[share] = max(received, self._received.get(share, 0))
        self._waiting[share] = waiting
        self._show()

    def flush_if_due(self) -> None:
        """Write a part if there are rows enough, or old ones."""
        if len(self._rows) >= PART_ROWS or time.monotonic() - self._since > self._seconds:
            self.flush()

    def flush(self) -> None:
        """Write a part, of whatever is there.

        Where that fails, the next time begins with the same rows in the same place: they may stand there already, if
        only the answer was lost.
        """
        self._since = time.monotonic()
        self._finish()
        self._run.images.record(self._places)  # first, so that no row is of an image that nobody finds
        self._places = []
        if self._rows:
            part = self._run.next_part("photos"), self._table()
            self._unsure, self._rows = part, []
            self._finish()

    def _finish(self) -> None:
        if self._unsure is not None:
            self._run.write_table(*self._unsure)
            self._unsure = None

    def _table(self) -> pa.Table:
        photos = []
        for begin in range(0, len(self._rows), _HASHED_AT_ONCE):
            few = self._rows[begin : begin + _HASHED_AT_ONCE]
            thumbnails = [thumbnail for _, thumbnail in few if thumbnail]
            looks = zip(*(of_all(thumbnails) for of_all in _LOOKS.values()), strict=True)
            for row, thumbnail in few:
                photos.append({**row, **dict(zip(_LOOKS, next(looks), strict=True))} if thumbnail else row)
        return photos_table(photos)

    def _show(self) -> None:
        now = time.monotonic()
        if now - self._shown < _SHOW_SECONDS and self._count < self._worklist.attachments:
            return
        self._shown = now
        received = sum(self._received.values())
        rate = received / max(now - self._begun, 0.1)
        waiting = sorted((each for hosts in self._waiting.values() for each in hosts), key=lambda each: each[2])
        note = ""
        if waiting:
            host, why, seconds = waiting[0]
            more = f", and for {len(waiting) - 1} more" if len(waiting) > 1 else ""
            note = f"waits {math.ceil(seconds)} s for {host}{more}: {why}"
        detail = f"{_bytes(rate)}/s, {_bytes(received)}" if received else ""
        self._progress("download", self._count, self._worklist.attachments, note, detail)


def _bytes(count: float) -> str:
    """Bytes for people."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _mark_placeholders(run: Run, known: dict[str, str]) -> int:
    """Give pictures that were had, and are now known to stand for removed ones, a new row that says so."""
    later = _superseded(run)
    # All columns of a million photos are gigabytes of thumbnails: they are read only where there is one to mark.
    marked = {
        _attempt(row)
        for row in _with_bytes(run, known, *KEY, "attempt", "status", "sha256")
        if row["status"] == PhotoStatus.OK and _attempt(row) not in later
    }
    rows = [
        row | {"status": PhotoStatus.PLACEHOLDER, "reason": known[row["sha256"]], "attempt": row["attempt"] + 1}
        for row in (_with_bytes(run, known, *PHOTOS.names) if marked else ())
        if _attempt(row) in marked
    ]
    run.append("photos", photos_table(rows))
    return len(rows)


def _with_bytes(run: Run, known: Collection[str], *columns: str) -> Iterator[dict[str, Any]]:
    """Rows of photos whose bytes are known."""
    for batch in run.batches("photos", *columns):
        for place, sha256 in enumerate(batch.column("sha256").to_pylist()):
            if sha256 in known:
                yield batch.slice(place, 1).to_pylist()[0]


def _write_missing(run: Run) -> None:
    """The list of what could not be had, and why, with whether a retry may help."""
    columns, later = (*KEY, "url", "status", "reason", "http_status", "attempt"), _superseded(run)

    def fill(file: IO[bytes]) -> None:
        text = io.TextIOWrapper(file, "utf-8", newline="")
        table = csv.writer(text, lineterminator="\n")
        table.writerow((*columns, "retry_may_help"))
        for batch in run.batches("photos", *columns):
            for row in batch.to_pylist():
                if row["status"] != PhotoStatus.OK and _attempt(row) not in later:
                    helps = "yes" if PhotoStatus(row["status"]).temporary else "no"
                    table.writerow((*map(spreadsheet_cell, row.values()), helps))
        text.detach()

    run.storage.write(MISSING, fill)


def _superseded(run: Run) -> set[tuple[Any, ...]]:
    return {_attempt(row) for row in superseded(run)}


def _attempt(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in (*KEY, "attempt"))


@contextmanager
def _log(path: str | os.PathLike[str] | None) -> Iterator[Callable[[Any], None]]:
    """Adds lines of JSON to a file, if there is one."""
    if path is None:
        yield lambda line: None
        return

    def broken(error: OSError) -> UsageError:
        what = f"{path}: the log can't be written ({error.strerror}): name another file with --log, or none"
        return UsageError(what, subject=path)

    try:
        file = Path(path).open("a", encoding="utf-8")  # noqa: SIM115  an error here is another than one in the body
    except OSError as error:
        raise broken(error) from error

    def add(line: Any) -> None:
        try:
            file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise broken(error) from error

    try:
        yield add
    finally:
        with suppress(OSError):  # said already, by who wrote to it
            file.close()


def _reach(locals_: list[Local]) -> Local:
    """What all of a run's sources may reach together."""
    return Local(
        files=tuple(folder for each in locals_ for folder in each.files),
        routes={origin: base for each in locals_ for origin, base in each.routes.items()},
    )
