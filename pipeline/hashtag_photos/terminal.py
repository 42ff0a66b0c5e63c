"""What a person sees in a terminal: lines, bars, the table. It decides nothing.

Where standard output is no terminal there are no bars and no colours, but a line now and then.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from hashtag_photos.words import many, percent, plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID
    from rich.table import Table

    from hashtag_photos.stages import Progress
    from hashtag_photos.stages.compare import Comparison
    from hashtag_photos.stages.tally import Tally

LOG_SECONDS = 60.0


@cache
def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False, emoji=False)


def tell(line: str) -> None:
    """A line as it is."""
    _console().print(line, markup=False, soft_wrap=True)


def show(tally: Tally, run: str = "RUN", *, caution: str = "") -> None:
    """The table, and what there was and was not; `run` is how to type where the run is, and `caution` what to know
    before all else.
    """
    from rich.table import Table

    from hashtag_photos.report.page import open_labels
    from hashtag_photos.stages.coverage import most_missing

    tell(f"\n{tally.labels}, by {tally.model}")
    table = Table()
    table.add_column("class")
    for name in ("images", "raw share", "95 % interval", "pictures", "posts"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in tally.classes:
        interval = f"{100 * each.low:.1f} – {percent(each.high)}" if tally.images else "–"
        name = f"{each.label} *" if each.sensitive_to_prompts else each.label
        table.add_row(name, f"{each.images:,}", percent(each.share), interval, f"{each.pictures:,}", f"{each.posts:,}")
    table.add_section()
    table.add_row("all", f"{tally.images:,}", "", "", f"{tally.pictures:,}", f"{tally.posts:,}")
    _console().print(table)
    if caution:
        tell(f"CAREFUL    {caution}")
    if len({each.value for each in tally.sources}) > 1:
        _console().print(_by_source(tally))
    if tally.not_compared:
        those = f"{many(tally.not_compared, 'image')}, which an older version downloaded"
        tell(f"pictures   near-duplicates were not looked for among {those}; a run in a new folder compares all")
    _show_certainty(tally, run)
    moving = [each.label for each in tally.classes if each.sensitive_to_prompts]
    if moving:
        first, *others = (f"{label} {{}}by up to {100 * tally.largest_move(label):.1f} points" for label in moving)
        moves = ", ".join([first.format("moves "), *(each.format("") for each in others)])
        tell(f"wording    * {moves} with the wording of prompts: see robustness.csv")
    elif tally.images and tally.robustness is not None and not tally.kinds_compared:
        tell("wording    no other wording to compare: there is one template, and one prompt per class")
    without = tally.without_text
    if without and without.images:
        shares = ", ".join(f"{each.label} {percent(each.share)}" for each in without.classes)
        tell(f"no words   {shares} of {many(without.images, 'image')} the model does not take for pictures of words")
    if tally.precision not in (None, "fp32") or len(tally.devices) > 1:
        of = f" in {tally.precision}" if tally.precision else ""
        where = f" on {' and '.join(tally.devices)}" if tally.devices else ""
        mixed = ", which can differ in the last digits" if len(tally.devices) > 1 else ""
        tell(f"precision  vectors{of}{where}{mixed}")
    if tally.check:
        check = tally.check
        otherwise = f"{many(check.labels_differing, 'label')} came out otherwise"
        tell(f"           among {many(check.images, 'image')} in fp32 as well, {otherwise}: what was seen, not a bound")
        near = open_labels(check, tally.margin)
        tell(f"           to be safe, take {check.images_within:,} of {many(tally.images, 'label')} for open: {near}")
    coverage = tally.coverage
    tell(
        f"coverage   {coverage.had:,} of {many(coverage.attachments, 'attachment')} had ({percent(coverage.share)}), "
        f"{many(coverage.images, 'distinct image')}"
    )
    if coverage.missing:
        tell(f"missing    {sum(coverage.missing.values()):,}: {reasons(coverage.missing)}")
        if len(coverage.hosts) > 1:
            worst = most_missing(coverage.hosts, 3)
            tell(f"           {', '.join(f'{each.value} {each.not_had:,} of {each.attachments:,}' for each in worst)}")
    for source in coverage.incomplete:
        tell(f"INCOMPLETE {source.source}: {source.reason}")
    if coverage.images_not_classified:
        tell(f"           {many(coverage.images_not_classified, 'image')} not classified: new since, gone, or damaged")
    if coverage.lines_rejected:
        why = "not to be read as a post, or a known post with other contents"
        tell(f"           {many(coverage.lines_rejected, 'line')} of the sources left out ({why}): see rejected.csv")
    reposts = f", {many(coverage.posts_reposting, 'repost')}" if coverage.posts_reposting else ""
    tell(f"posts      {coverage.posts:,}, of which {coverage.posts_without_attachments:,} without attachments{reposts}")
    if coverage.posts_with_wrong_time:
        state = f"{coverage.posts_with_wrong_time:,} state{'s' if coverage.posts_with_wrong_time == 1 else ''}"
        tell(f"           {state} an impossible or uncertain time: not in the time line")


def show_comparison(comparison: Comparison) -> None:
    """Two runs beside each other: a table for each kind of share, what is not compared, and what to be careful of."""
    from rich.markup import escape
    from rich.table import Table

    from hashtag_photos.report.comparison import difference_told, notes

    a, b = comparison.a, comparison.b
    asked = dict.fromkeys((a.tally.labels, b.tally.labels))
    tell(f"\n{' and '.join(asked)}: {a.name} and {b.name}")
    for kind in ("raw", "corrected"):
        rows = comparison.of(kind, "pictures")
        if not rows:
            continue
        table = Table()
        table.add_column(f"{kind} share\nof pictures")
        for name in (escape(a.name), escape(b.name)):
            table.add_column(name, justify="right", overflow="fold")
        table.add_column(
            "difference, points" + ("" if rows[0].counted else "\n(95 % interval)"), justify="right", no_wrap=True
        )
        for each in rows:
            table.add_row(each.label, percent(each.a.value), percent(each.b.value), difference_told(each))
        _console().print(table)
    for reason in comparison.left_out:
        tell(f"left out   {reason}")
    for note in notes(comparison):
        tell(f"note       {note}")


def _show_certainty(tally: Tally, run: str) -> None:
    """The corrected shares, which class has more, and what to be careful of; or why there are none."""
    from rich.table import Table

    from hashtag_photos.report.page import interval
    from hashtag_photos.stages.correct import CENSUS
    from hashtag_photos.stages.numbers import chance, times

    def tell_also(title: str, what: str) -> None:
        tell(f"{title:<10} {as_typed(what, run)}")

    review = tally.review
    shares = [(each, tally.number("corrected", each.label)) for each in tally.classes]
    if any(share for _, share in shares):
        table = Table()
        table.add_column("of pictures")
        table.add_column("as the model labels them", justify="right", no_wrap=True)
        counted = any(share and share.method == CENSUS for _, share in shares)
        table.add_column(
            "all labelled by hand" if counted else "corrected by hand labels", justify="right", no_wrap=True
        )
        for each, share in shares:
            raw = tally.number("raw", each.label)
            table.add_row(each.label, interval(raw) if raw else "–", interval(share) if share else "–")
        _console().print(table)
        by = f"{review.coders} people" if review.coders != 1 else "1 person"
        tell_also("labels", f"{review.labelled:,} of {many(review.drawn or 0, 'picture')} drawn, by {by}")
        apart, ratio = tally.compared("difference"), tally.compared("ratio")
        if apart and ratio and apart.probability is not None:
            likely = f"{apart.label} outnumbers {apart.versus} with a probability {chance(apart.probability)}"
            tell(f"more       {likely}: {times(ratio).replace(' (', ' to 1 (', 1)}")
        elif apart and ratio and apart.value:
            tell(f"more       {apart.label} outnumbers {apart.versus}: {times(ratio, interval=False)} to 1")
    elif tally.images and "pictures" in review.refused:
        tell_also("certainty", f"no corrected shares: {review.refused['pictures']}")
    elif tally.images:
        errors = "the model's own errors are not in these intervals"
        tell_also("certainty", f"{errors}: label a sample with hashtag-photos review")
    for note in review.notes:
        tell_also("", note)


def as_typed(words: str, run: str) -> str:
    """Words for users in which the review command has the run that it is for."""
    return re.sub(r"(hashtag-photos review)( RUN)?", lambda found: f"{found[1]} {run}", words)


def _by_source(tally: Tally) -> Table:
    """Images and shares of each class in each source, a row for each, so that no name or number is cut."""
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    table.add_column("source", overflow="fold")
    table.add_column("class", overflow="fold")
    for name in ("images", "raw share"):
        table.add_column(name, justify="right", no_wrap=True)
    for source in dict.fromkeys(each.value for each in tally.sources):
        rows = [each for each in tally.sources if each.value == source]
        for place, each in enumerate(rows):
            table.add_row(escape("" if place else plain(source)), each.label, f"{each.images:,}", percent(each.share))
        table.add_row("", "all", f"{rows[0].images_total:,}", "", end_section=True)
    return table


def reasons(counts: Mapping[str, int]) -> str:
    """Counts of statuses, in words."""
    from hashtag_photos.report.page import REASONS

    return ", ".join(f"{count:,} {REASONS.get(status, status)}" for status, count in counts.items())


@contextmanager
def bars() -> Iterator[Progress]:
    """A bar per stage, with rate and time left, while this is open; in a log, a line now and then instead."""
    if not _console().is_terminal:
        yield _log_lines()
        return
    from rich.markup import escape
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        SpinnerColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            if task.total is None:
                return Text(f"for {task.elapsed or 0:.0f} s", style="progress.elapsed")
            return Text(f"{speed:,.1f}/s" if speed and task.total > 1 else "", style="progress.data.speed")

    tasks: dict[str, TaskID] = {}
    width = _console().width
    bar = 24 if width >= 120 else 8
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=bar),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[detail]}", style="progress.data.speed"),
        TextColumn("{task.fields[note]}", style="yellow"),
        console=_console(),
        transient=True,
    ) as shown:

        def progress(stage: str, done: int, total: int | None, note: str = "", detail: str = "") -> None:
            if stage not in tasks:
                tasks[stage] = shown.add_task(stage, total=total, note="", detail="")
            room = width - bar - 35 - len(f"{done}/{total}") - len(detail)  # a note gives way, never a count
            if len(note) > room:
                note = f"{note[: max(room - 1, 0)]}…"
            shown.update(tasks[stage], completed=done, total=total, note=escape(note), detail=detail)

        yield progress


def _log_lines() -> Progress:
    """Progress for where nothing can be drawn: a line a minute and stage, and one at the beginning of a wait."""
    said: dict[str, float] = {}
    begun: dict[str, float] = {}
    waiting: set[str] = set()

    def progress(stage: str, done: int, total: int | None, note: str = "", detail: str = "") -> None:
        now = time.monotonic()
        if note and stage not in waiting:
            tell(f"{stage:<10} {note}")
        (waiting.add if note else waiting.discard)(stage)
        begun.setdefault(stage, now)
        if now - said.setdefault(stage, now) >= LOG_SECONDS and (done or note):
            rate = done / (now - begun[stage])
            left = f"{timedelta(seconds=round((total - done) / rate))} left" if total and done else ""
            of = f" of {total:,}" if total else ""
            said_now = [f"{done:,}{of}", f"{rate:,.1f}/s", left, detail, note]
            tell(f"{stage:<10} {', '.join(filter(None, said_now))}")
            said[stage] = now

    return progress


def nothing_or(count: int, noun: str) -> str:
    """A count of what was done, or that nothing was left to do."""
    return many(count, noun) if count else f"nothing to do: 0 {noun}s"


def shown_path(path: str) -> str:
    """A path as short as it can be typed from here."""
    if "://" in path:
        return path
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


def by_make() -> bool:
    """Whether make started this process."""
    return "MAKELEVEL" in os.environ


def command(*words: str) -> str:
    """This command as the user can type it."""
    found, own = shutil.which("hashtag-photos"), Path(sys.argv[0])
    on_path = not own.exists() or (found is not None and own.samefile(found))
    return shlex.join(["hashtag-photos" if on_path else shown_path(str(own)), *words])
