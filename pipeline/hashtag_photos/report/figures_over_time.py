"""The figures over the bins of a timeline: shares, with counts and first appearances, and what could be had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from hashtag_photos.labels import UNSURE
from hashtag_photos.report.charts import (
    INK,
    LONGEST,
    MISSING,
    PAPER,
    QUIET,
    RULE,
    SMALL,
    Figure,
    Table,
    cut,
    draw,
    length,
    looks,
    quoted,
)
from hashtag_photos.report.marks import AXIS, PANEL, Bar, Spec, alone, band, bars, head, mark, stacked, upward, within
from hashtag_photos.report.phrases import (
    INTERVAL,
    MINUTES,
    bin_column,
    bin_in_words,
    bins_in_words,
    day,
    ends,
    largest,
    left_out,
    listed,
    moment,
    on_bin,
    one_bin,
    ranges,
    sentences,
    verb,
)
from hashtag_photos.stages.coverage import NO_TIME
from hashtag_photos.stages.tally import ClassTally, Tally
from hashtag_photos.words import many, percent

_MOST_CLASSES = 6  # each has a panel of its own
_MOST_DAYS = 60
_RIGHT = 10
_NUMBER = 18  # pixels that a number in its circle needs
_TOLD_APART = 12  # pixels between first appearances that have numbers of their own


@dataclass(frozen=True, kw_only=True)
class _First:
    """The first appearance of a picture: its number, when, the bin's start, where on the axis in bins, its tip."""

    number: int
    seen: datetime
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
            "Numbers: when the pictures in the most posts were first seen, 1 being in most; what is too near to be told"
            " apart stands together."
            if found
            else "",
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
    """How many attachments of each day are missing, or of each bin of the timeline."""
    unit, counts = _covered(tally)
    drawn, drawn_lost = sum(each.whole for each in counts), sum(each.part for each in counts)
    if len(counts) < 2 or not drawn:
        return None

    def spec(width: int) -> Spec:
        layers = bars(counts, unit, width - AXIS - _RIGHT, colour=MISSING)
        heading = head("Attachments (filled: missing)", width - AXIS)
        bottom = 56 if unit in MINUTES else 42  # dates of three lines, or of two
        return alone([*layers, *heading], width, 120, left=AXIS, right=_RIGHT, top=24, bottom=bottom)

    c = tally.coverage
    beyond, beyond_lost = c.attachments - drawn, c.attachments - c.had - drawn_lost
    return draw(
        name="coverage-days",
        title=_coverage_title(tally, unit, counts),
        caption=sentences(
            f"Attachments by the {one_bin(unit)} (UTC) of their post, and how many of them are missing.",
            f"Not in it: {many(beyond, 'attachment')} of posts without a time or outside these times"
            f" ({beyond_lost:,} missing)."
            if beyond
            else "",
        ),
        spec=spec,
        table=Table(
            columns=(bin_column(unit), "Missing", "Of attachments", "Share"),
            rows=tuple(
                (
                    bin_in_words(each.start, unit),
                    f"{each.part:,}",
                    f"{each.whole:,}",
                    percent(each.part / each.whole if each.whole else None),
                )
                for each in counts
            ),
        ),
    )


def _covered(tally: Tally) -> tuple[str, list[Bar]]:
    """Attachments and the missing ones among them, by day from the first to the last, and the unit, "day".

    Where that is one day, or too many, it is by the bins of the timeline.
    """
    line = tally.timeline
    unit, rows = line.unit, [(each.start, each.attachments, each.attachments - each.had) for each in line.bins]
    own = {date.fromisoformat(each.value): each for each in tally.coverage.days if each.value != NO_TIME}
    days = (max(own) - min(own)).days + 1 if own else 0
    if 1 < days <= _MOST_DAYS:
        every = (min(own) + timedelta(days=i) for i in range(days))
        unit = "day"
        rows = [
            (f"{each}T00:00:00Z", own[each].attachments, own[each].not_had)
            if each in own
            else (f"{each}T00:00:00Z", 0, 0)
            for each in every
        ]
    return unit, [
        Bar(
            start=start,
            whole=whole,
            part=lost,
            tip=f"{bin_in_words(start, unit)}: {lost:,} of {many(whole, 'attachment')} missing",
        )
        for start, whole, lost in rows
    ]


def _coverage_title(tally: Tally, unit: str, counts: Sequence[Bar]) -> str:
    """How many attachments with a time are missing, be they drawn or not, and where most of them are."""
    timed = [each for each in tally.coverage.days if each.value != NO_TIME]
    whole, lost = sum(each.attachments for each in timed), sum(each.not_had for each in timed)
    if not lost:
        return f"None of {many(whole, 'attachment')} with a time is missing."
    title = f"{lost:,} of {many(whole, 'attachment')} with a time {verb(lost, 'is', 'are')} missing"
    worst = max(counts, key=lambda each: each.part)
    if not worst.part or sum(each.part == worst.part for each in counts) > 1:
        return f"{title}."
    when, of = on_bin(worst.start, unit), f"{worst.part:,} of {worst.whole:,}"
    if worst.part == lost:
        return f"{title}, {verb(lost, '', 'all of them ')}{when} ({of})."
    return f"{title}, most of them {when} ({of})." if 2 * worst.part > lost else f"{title}; the most {when}, {of}."


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
                tip = f"Picture {number}, first seen on {_told(seen)}: {shown}"
                tip += f", {quoted(titles.get(group.label, group.label))}"
                at = i + (seen - start) / (end - start)
                found.append(_First(number=number, seen=seen, start=name, at=at, tip=tip))
    return found


def _told(seen: datetime) -> str:
    return f"{day(seen)}, {seen:%H:%M}"


def _groups(found: Sequence[_First], pixels_a_bin: float) -> list[list[_First]]:
    """First appearances in the order of time, together where they are too near to each other to be told apart."""
    groups: list[list[_First]] = []
    for each in sorted(found, key=lambda each: (each.seen, each.number)):
        if groups and (each.at - groups[-1][0].at) * pixels_a_bin < _TOLD_APART:
            groups[-1].append(each)
        else:
            groups.append([each])
    return groups


def _panels(tally: Tally, shown: Sequence[ClassTally], found: Sequence[_First], inner: int) -> Spec:
    """A panel for each class, one for the first appearances above and one for the counts below, on one axis."""
    line = tally.timeline
    place = {each.start: i for i, each in enumerate(line.bins)}
    x = within(0, len(line.bins))
    groups = _groups(found, inner / len(line.bins))
    gaps = [{"x": i, "x2": i + 1} for i, each in enumerate(line.bins) if not each.posts_collected]
    under = [
        mark("rect", gaps, x=x("x"), x2="x2", y=0, y2=PANEL, color=RULE, opacity=0.45),
        mark("rule", [{"x": _at(each)} for each in groups], x=x("x"), color=QUIET, strokeWidth=0.7, strokeDash=[2, 3]),
    ]
    named = {each.label for each in shown}
    rows = [row for row in line.rows if row.share is not None and row.label in named]
    y = upward(row.high for row in rows)
    views = [_numbers(groups, inner / len(line.bins), inner)] if found else []
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
            *band(own, x, y, colour),
            *head(cut(each.title, LONGEST), inner, colour, shape),
            mark("rect", own, x=x("x"), x2="x2", tip="tip", color="transparent"),
        ]
        views.append({"width": inner, "height": PANEL, "layer": layers})
    counts = [
        Bar(
            start=each.start,
            whole=each.posts_collected,
            part=each.posts,
            tip=f"{bin_in_words(each.start, line.unit)}: {many(each.posts_collected, 'post')},"
            f" {each.posts:,} with pictures",
        )
        for each in line.bins
    ]
    heading = head("Posts (filled: with pictures)", inner)
    layers = [*under, *bars(counts, line.unit, inner, colour=QUIET), *heading]
    return stacked([*views, {"width": inner, "height": PANEL, "layer": layers}])


def _at(group: Sequence[_First]) -> float:
    """Where the mark of some first appearances is, on the axis in bins: in their middle."""
    return sum(each.at for each in group) / len(group)


def _numbers(groups: Sequence[Sequence[_First]], pixels_a_bin: float, inner: int) -> Spec:
    """The numbers of pictures in a row, near where they were first seen, with a line to there."""
    numbers = [ranges(each.number for each in group) for group in groups]
    wanted = [_at(group) * pixels_a_bin for group in groups]
    widths = [max(_NUMBER, length(each, SMALL) + 12) for each in numbers]
    rows = [
        {"x": place, "left": place - width / 2 + 1, "right": place + width / 2 - 1, "middle": 9, "number": number}
        | {"from": min(max(at, place - width / 2 + 9), place + width / 2 - 9), "at": at, "tip": _tip(group, number)}
        | {"top": 1, "bottom": 17, "end": 31}
        for place, width, at, number, group in zip(
            _beside(wanted, widths, inner), widths, wanted, numbers, groups, strict=True
        )
    ]
    x, down = within(0, inner, pixels=True), within(0, 31, pixels=True)
    ring: Spec = {"cornerRadius": 8, "fill": PAPER, "stroke": INK, "strokeWidth": 1, "opacity": 1}
    layers = [
        *head("First seen: the pictures in the most posts", inner),
        mark("rule", rows, x=x("from"), x2="at", y=down("bottom"), y2="end", color=QUIET, strokeWidth=0.7),
        mark("rect", rows, x=x("left"), x2="right", y=down("top"), y2="bottom", tip="tip", **ring),
        mark("text", rows, x=x("x"), y=down("middle"), words="number", align="center", fontSize=SMALL),
    ]
    return {"width": inner, "height": 31, "layer": layers}


def _tip(group: Sequence[_First], numbers: str) -> str:
    first, last = group[0], group[-1]
    if len(group) == 1:
        return first.tip
    return f"Pictures {numbers}, first seen from {_told(first.seen)} to {_told(last.seen)}"


def _beside(wanted: Sequence[float], widths: Sequence[float], inner: int) -> list[float]:
    """The middles of marks of these widths, beside each other and as near to those wanted as there is room (in pixels).

    Marks that would overlap stand around the mean of what they want: isotonic regression.
    """
    room = inner + _NUMBER / 2
    narrower = min(1.0, room / sum(widths))
    before = [narrower * (sum(widths[:i]) + width / 2) for i, width in enumerate(widths)]
    pools: list[list[float]] = []
    for at, taken in zip(wanted, before, strict=True):
        pools.append([at - taken])
        while len(pools) > 1 and _mean(pools[-2]) > _mean(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    starts = [_mean(pool) for pool in pools for _ in pool]
    least, most = -_NUMBER / 2, room - narrower * sum(widths)
    return [min(max(start, least), most) + taken for start, taken in zip(starts, before, strict=True)]


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)


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
        columns=(bin_column(line.unit), "Posts", "With pictures", *titles, *first_seen[0]),
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
