"""The figures over the bins of a timeline: shares, with counts and first appearances, and what could be had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hashtag_photos.labels import UNSURE
from hashtag_photos.report.charts import (
    INK,
    LONGEST,
    MISSING,
    PAPER,
    PERCENT_AXIS,
    QUIET,
    RULE,
    SMALL,
    Figure,
    Table,
    cut,
    draw,
    looks,
    quoted,
)
from hashtag_photos.report.marks import AXIS, Bar, Spec, alone, bars, head, mark, stacked, top_of, within
from hashtag_photos.report.phrases import (
    INTERVAL,
    bin_in_words,
    bins_in_words,
    date,
    ends,
    largest,
    left_out,
    moment,
    on_bin,
    one_bin,
    verb,
)
from hashtag_photos.report.prose import listed, sentences
from hashtag_photos.stages.tally import ClassTally, Tally
from hashtag_photos.stages.timeline import BinTally
from hashtag_photos.words import many, percent

_MOST_CLASSES = 6  # each has a panel of its own
_PANEL = 66  # pixels
_RIGHT = 10
_NUMBER = 18  # pixels that a number in its circle needs


@dataclass(frozen=True, kw_only=True)
class _First:
    """The first appearance of a large picture: its number, the bin's start, where on the axis in bins, and its tip."""

    number: int
    start: str
    at: float
    tip: str


def shares(tally: Tally) -> Figure | None:
    """Shares of the classes over the bins, the counts beneath, first appearances of the largest pictures above."""
    line = tally.timeline
    if len(line.bins) < 2 or all(row.share is None for row in line.rows):
        return None
    shown = largest(tally.classes, _MOST_CLASSES)
    found = _first_appearances(tally)
    out = ((line.before, "before the first"), (line.after, "after the last"), (line.timeless, "without a time"))
    beyond = [f"{many(count, 'post')} {where}" for count, where in out if count]
    rest = len(tally.largest) - len(found)
    return draw(
        name="time",
        title=_title(tally),
        caption=sentences(
            f"Of the posts with pictures of each {one_bin(line.unit)} (UTC), the share that shows a class, each post"
            f" divided evenly among its pictures: the line, as the classifier labels (raw), in its {INTERVAL}.",
            "Grey ground: no post was collected." if any(not each.posts_collected for each in line.bins) else "",
            "Blank: posts, but none with a picture that was classified."
            if any(each.posts_collected and not each.posts for each in line.bins)
            else "",
            "Numbers: when the pictures with most near-duplicates were first seen, 1 having most." if found else "",
            f"{rest} of {len(tally.largest)} {verb(rest, 'has', 'have')} no such time within the figure."
            if found and rest
            else "",
            f"Not in it: {listed(beyond)}." if beyond else "",
            left_out(tally.classes, shown),
        ),
        spec=lambda width: _panels(tally, shown, found, width - AXIS - _RIGHT),
        table=_table(tally, found),
    )


def coverage(tally: Tally) -> Figure | None:
    """How many attachments of each bin are missing."""
    line = tally.timeline
    whole, lost = (sum(each.attachments for each in line.bins), sum(_lost(each) for each in line.bins))
    if len(line.bins) < 2 or not whole:
        return None
    counts = [
        Bar(
            whole=each.attachments,
            part=_lost(each),
            tip=f"{bin_in_words(each.start, line.unit)}: {_lost(each):,} of {many(each.attachments, 'attachment')}"
            " missing",
        )
        for each in line.bins
    ]

    def spec(width: int) -> Spec:
        layers = bars(counts, line.bins, line.unit, width - AXIS - _RIGHT, colour=MISSING)
        heading = head("Attachments (filled: missing)", width - AXIS)
        return alone([*layers, *heading], width, 120, left=AXIS, right=_RIGHT, top=24, bottom=42)

    worst = max(line.bins, key=_lost)
    title = f"{lost:,} of {many(whole, 'attachment')} with a time {verb(lost, 'is', 'are')} missing"
    if lost and sum(_lost(each) == _lost(worst) for each in line.bins) == 1:
        of = f"{_lost(worst):,} of {worst.attachments:,}"
        title += f", most of them {on_bin(worst.start, line.unit)}" if 2 * _lost(worst) > lost else ""
        title += f" ({of})" if 2 * _lost(worst) > lost else f"; the most {on_bin(worst.start, line.unit)}, {of}"
    beyond = tally.coverage.attachments - whole
    return draw(
        name="coverage-days",
        title=f"{title}." if lost else f"None of {many(whole, 'attachment')} with a time is missing.",
        caption=sentences(
            f"Attachments by the {one_bin(line.unit)} (UTC) of their post, and how many of them are missing.",
            f"Not in it: {many(beyond, 'attachment')} of posts without a time or outside these times."
            if beyond > 0
            else "",
        ),
        spec=spec,
        table=Table(
            columns=(_column(line.unit), "Missing", "Of attachments", "Share"),
            rows=tuple(
                (
                    bin_in_words(each.start, line.unit),
                    f"{_lost(each):,}",
                    f"{each.attachments:,}",
                    percent(_lost(each) / each.attachments if each.attachments else None),
                )
                for each in line.bins
            ),
        ),
    )


def _lost(each: BinTally) -> int:
    return each.attachments - each.had


def _column(unit: str) -> str:
    return f"{'From' if unit[0].isdigit() or unit == 'hour' else unit.capitalize()} (UTC)"


def _first_appearances(tally: Tally) -> list[_First]:
    """Of the largest pictures, those that were first seen within the bins."""
    titles = {each.label: each.title for each in tally.classes}
    spans = [(moment(each.start), moment(each.end), each.start) for each in tally.timeline.bins]
    found = []
    for number, group in enumerate(tally.largest, start=1):
        seen = moment(group.first_seen) if group.first_seen else None
        for i, (start, end, name) in enumerate(spans):
            if seen and start <= seen < end:
                shown = f"{many(group.images, 'image')} in {many(group.posts, 'post')}"
                tip = f"Picture {number}, first seen on {date(seen)}, {seen:%H:%M}: {shown}"
                tip += f", {quoted(titles.get(group.label, group.label))}"
                found.append(_First(number=number, start=name, at=i + (seen - start) / (end - start), tip=tip))
    return found


def _panels(tally: Tally, shown: Sequence[ClassTally], found: Sequence[_First], inner: int) -> Spec:
    """A panel for each class, one for the first appearances above and one for the counts below, on one axis."""
    line = tally.timeline
    place = {each.start: i for i, each in enumerate(line.bins)}
    x = within(0, len(line.bins))
    gaps = [{"x": i, "x2": i + 1} for i, each in enumerate(line.bins) if not each.posts_collected]
    under = [
        mark("rect", gaps, x=x("x"), x2="x2", y=0, y2=_PANEL, color=RULE, opacity=0.45),
        mark("rule", [{"x": each.at} for each in found], x=x("x"), color=QUIET, strokeWidth=0.7, strokeDash=[2, 3]),
    ]
    named = {each.label for each in shown}
    rows = [row for row in line.rows if row.share is not None and row.label in named]
    top = top_of(row.high for row in rows)
    ticks: Spec = {
        "labelExpr": PERCENT_AXIS,
        "title": None,
        "values": [0, top / 2, top],
        "minExtent": AXIS,
        "maxExtent": AXIS,
    }
    y = within(0, top, **ticks)
    views = [_numbers(found, len(line.bins), inner)] if found else []
    for each in shown:
        colour, shape = looks(tally.classes)[each.label]
        own = [
            {"x": place[row.start], "x2": place[row.start] + 1, "share": row.share, "low": row.low, "high": row.high}
            | {
                "tip": f"{bin_in_words(row.start, line.unit)}, {quoted(each.title)}: {percent(row.share)}"
                f" ({ends(row.low, row.high)}) of {many(row.posts_total, 'post')} with pictures"
            }
            for row in rows
            if row.label == each.label
        ]
        layers = [
            *under,
            mark("rect", own, x=x("x"), x2="x2", y=y("low"), y2="high", color=colour, opacity=0.6),
            mark("rule", own, x=x("x"), x2="x2", y=y("share"), color=INK, strokeWidth=1.8),
            *head(cut(each.title, LONGEST), inner, colour, shape),
            mark("rect", own, x=x("x"), x2="x2", tip="tip", color="transparent"),
        ]
        views.append({"width": inner, "height": _PANEL, "layer": layers})
    counts = [
        Bar(
            whole=each.posts_collected,
            part=each.posts,
            tip=f"{bin_in_words(each.start, line.unit)}: {many(each.posts_collected, 'post')},"
            f" {each.posts:,} with pictures",
        )
        for each in line.bins
    ]
    heading = head("Posts (filled: with pictures)", inner)
    layers = [*under, *bars(counts, line.bins, line.unit, inner, colour=QUIET), *heading]
    return stacked([*views, {"width": inner, "height": _PANEL, "layer": layers}])


def _numbers(found: Sequence[_First], bins: int, inner: int) -> Spec:
    """The numbers of pictures in a row, near where they were first seen, with a line to there."""
    ordered = sorted(found, key=lambda each: (each.at, each.number))
    wanted = [each.at * inner / bins for each in ordered]
    room = min(_NUMBER, inner / len(ordered))
    places: list[float] = []
    for at in wanted:
        places.append(max(at, places[-1] + room) if places else at)
    end = float(inner)
    for i in reversed(range(len(places))):
        places[i] = end = min(places[i], end - (room if i < len(places) - 1 else 0))
    rows = [
        {"x": place, "at": at, "y": 9, "bottom": 18, "end": 31, "number": str(each.number), "tip": each.tip}
        for each, place, at in zip(ordered, places, wanted, strict=True)
    ]
    x, down = within(0, inner, pixels=True), within(0, 31, pixels=True)
    circle: Spec = {"shape": "circle", "size": 210, "fill": PAPER, "stroke": INK, "strokeWidth": 1, "opacity": 1}
    layers = [
        *head("First seen: the most repeated pictures", inner),
        mark("rule", rows, x=x("x"), x2="at", y=down("bottom"), y2="end", color=QUIET, strokeWidth=0.7),
        mark("point", rows, x=x("x"), y=down("y"), tip="tip", **circle),
        mark("text", rows, x=x("x"), y=down("y"), words="number", align="center", fontSize=SMALL),
    ]
    return {"width": inner, "height": 31, "layer": layers}


def _title(tally: Tally) -> str:
    """Which class has more than all others in most of the bins, and in how many nothing was collected."""
    line = tally.timeline
    by_bin: dict[str, dict[str, float]] = {}
    for row in line.rows:
        if row.share is not None:
            by_bin.setdefault(row.start, {})[row.label] = row.share
    wins = dict.fromkeys((each.label for each in tally.classes), 0)
    for own in by_bin.values():
        best = [label for label, share in own.items() if share > max(own.values()) - 1e-9]
        if len(best) == 1:
            wins[best[0]] += 1
    most = max(wins.values())
    first = [each for each in tally.classes if wins[each.label] == most]
    names = ["what is too close to call" if each.label == UNSURE else quoted(each.title) for each in first]
    preposition = "on" if line.unit == "day" else "in"
    counted = f"{bins_in_words(len(by_bin), line.unit)} with pictures"
    empty = sum(not each.posts_collected for each in line.bins)
    gap = f"; {preposition} {empty:,} no post was collected" if empty else ""
    if not most or len(first) > 3:
        return f"No class leads over time, {preposition} {counted}{gap}."
    times = f"{most:,} of {counted}" if len(by_bin) > 1 else f"the {counted.removeprefix('1 ')}"
    has = f"{verb(len(first), 'has', 'each have')} the largest share {preposition} {times}{gap}."
    return f"{listed(names)} {has}".replace("what", "What", 1) if first[0].label == UNSURE else f"{listed(names)} {has}"


def _table(tally: Tally, found: Sequence[_First]) -> Table:
    line = tally.timeline
    rows = {(each.start, each.label): each for each in line.rows}
    numbers: dict[str, list[str]] = {}
    for each in found:
        numbers.setdefault(each.start, []).append(str(each.number))

    def share(start: str, label: str) -> str:
        row = rows.get((start, label))
        return "–" if row is None or row.share is None else f"{percent(row.share)} ({ends(row.low, row.high)})"

    titles = (cut(each.title, LONGEST) for each in tally.classes)
    first_seen = (
        (("Pictures first seen",), lambda start: (", ".join(numbers.get(start, "–")),)) if found else ((), lambda _: ())
    )
    return Table(
        columns=(_column(line.unit), "Posts", "With pictures", *titles, *first_seen[0]),
        rows=tuple(
            (
                bin_in_words(each.start, line.unit),
                f"{each.posts_collected:,}",
                f"{each.posts:,}",
                *(share(each.start, own.label) for own in tally.classes),
                *first_seen[1](each.start),
            )
            for each in line.bins
        ),
    )
