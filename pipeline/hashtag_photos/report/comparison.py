"""A comparison of two runs -> a folder: the page, its figures, and the numbers as CSV.

In the figures the first run has full marks, and over time a line in a band; the second has hollow marks. Colours and
shapes are those of the classes, as in each run's own report.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hashtag_photos.errors import UsageError
from hashtag_photos.labels import UNSURE
from hashtag_photos.models import slug
from hashtag_photos.records import Incomplete
from hashtag_photos.report.charts import INK, LONGEST, PAPER, QUIET, RULE, Figure, Table, cut, draw, looks, quoted
from hashtag_photos.report.marks import (
    AXIS,
    OUTLINE,
    PANEL,
    Block,
    Dot,
    Place,
    Spec,
    band,
    dates,
    dotted,
    head,
    mark,
    share_axis,
    stacked,
    upward,
    within,
)
from hashtag_photos.report.page import interval, points, render
from hashtag_photos.report.phrases import (
    INTERVAL,
    about,
    bin_column,
    bin_in_words,
    bins_in_words,
    ends,
    in_words,
    listed,
    one_bin,
    sentences,
    verb,
)
from hashtag_photos.report.prose import without_paths
from hashtag_photos.run import Run
from hashtag_photos.stages.compare import Comparison, Difference, Side, apart_in_words, names_of, ratio_digits
from hashtag_photos.stages.correct import CENSUS
from hashtag_photos.stages.coverage import Coverage
from hashtag_photos.stages.numbers import CORRECTED, RAW, Number
from hashtag_photos.stages.tally import Tally
from hashtag_photos.stages.timeline import TimeTally
from hashtag_photos.stages.units import PICTURES
from hashtag_photos.storage import Storage
from hashtag_photos.words import many, percent

_PAGE = "compare.html"
_FIGURES = ("shares", "differences", "time")
_UNITS = {
    "pictures": "distinct pictures",
    "images": "images",
    "photos": "photos in posts",
    "posts": "posts with pictures",
    "engagement": "likes, reposts, replies",
}
_STEPS, _MOST_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5), 5
_RIGHT = 10  # pixels beside what is drawn over time


def default_folder(run_a: Run, run_b: Run) -> str:
    """Where a comparison is written if nobody says where."""
    return "-".join(["compare", *map(slug, names_of(run_a.storage.root, run_b.storage.root))])


def check_folder(folder: str) -> None:
    """Raise UsageError for a folder that holds something else than a comparison."""
    names = [name for name in Storage(folder).names() if not name.startswith(".")]
    if names and _PAGE not in names:
        raise UsageError(
            f"{folder} holds something else ({names[0]}), which a comparison could overwrite: choose a new or empty "
            "folder with --to",
            subject=folder,
        )


def write_comparison(comparison: Comparison, folder: str) -> str:
    """Write compare.html, compare.csv, timeline.csv and the figures as SVG and PNG; the path of the page.

    What is the same is left alone. Raises UsageError for a folder that holds something else than a comparison, and
    StorageError for one that can't be written.
    """
    check_folder(folder)
    storage = Storage(folder)
    figures = tuple(_figures(comparison))
    for each in figures:
        storage.update(f"figures/{each.name}.svg", each.svg.encode())
        storage.update(f"figures/{each.name}.png", each.png)
    drawn = {f"{each.name}.{ending}" for each in figures for ending in ("svg", "png")}
    for name in storage.names("figures"):
        if name.partition(".")[0] in _FIGURES and name not in drawn:
            storage.remove(f"figures/{name}")  # of a comparison that stood here before
    storage.update("compare.csv", comparison.to_csv().encode())
    storage.update("timeline.csv", comparison.timeline_csv().encode())
    storage.update(_PAGE, render_comparison(comparison, figures).encode())
    return f"{folder.rstrip('/')}/{_PAGE}"


def render_comparison(comparison: Comparison, figures: Sequence[Figure]) -> str:
    """The page as HTML."""
    best = _best(comparison)
    return render(
        "compare.html.j2",
        comparison=comparison,
        classes=comparison.a.tally.classes,
        kind=best,
        answer=_answer(comparison, comparison.of(best, PICTURES)),
        main=comparison.of(best, PICTURES),
        rests=_rests(comparison, comparison.of(best, PICTURES)),
        with_intervals=sum(not each.counted for each in comparison.differences),
        kinds=[kind for kind in (RAW, CORRECTED) if any(each.kind == kind for each in comparison.differences)],
        units_named=_UNITS,
        figures=figures,
        facts=_facts(comparison),
        notes=[each for each in notes(comparison) if each != comparison.overlap],  # which stands at the top
        share_told=share_told,
        difference_told=difference_told,
        ratio_told=ratio_told,
        sentence=lambda words: f"{words[:1].upper()}{words[1:].rstrip('.')}.",
    )


def notes(comparison: Comparison) -> Iterator[str]:
    """What to be careful of, what the collections lack first, with files and folders told by their names."""
    for side in (comparison.a, comparison.b):
        for each in side.tally.coverage.incomplete:
            yield f"the collection of {side.name} is incomplete: {': '.join(without_paths(each))}"
    if comparison.overlap:
        yield comparison.overlap
    yield from comparison.notes


def share_told(share: Number) -> str:
    """A share with its interval for tables."""
    return interval(share)


def difference_told(of: Difference) -> str:
    """A difference in points with its interval for tables, such as −20.0 (−33.4 to −5.2)."""
    apart = of.difference
    if of.counted:
        return points(apart.value)
    return f"{points(apart.value)} ({points(apart.low)} to {points(apart.high)})"


def ratio_told(of: Difference) -> str:
    """A ratio with its interval for tables; a dash where there is none."""
    if of.ratio is None:
        return "–"
    told = (of.ratio.value, of.ratio.low, of.ratio.high)
    digits = (of.clear and ratio_digits(*filter(math.isfinite, told), least=2)) or 2
    value, low, high = (f"{each:.{digits}f}" for each in told)
    if of.counted:
        return value
    return f"{value} ({low} {f'to {high}' if math.isfinite(of.ratio.high) else 'and more'})"


def _best(comparison: Comparison) -> str:
    return CORRECTED if comparison.of(CORRECTED, PICTURES) else RAW


def _answer(comparison: Comparison, rows: Sequence[Difference]) -> str:
    """The largest difference that is one, as a sentence without what it rests on."""
    a, b = comparison.a.name, comparison.b.name
    counted = all(each.counted for each in rows)
    named = [each for each in rows if each.label != UNSURE]
    clear = [each for each in named if each.clear]
    if not clear:
        return f"No class has a {'' if counted else 'clearly '}larger share of the pictures in {a} or in {b}."
    most = max(clear, key=lambda each: abs(each.difference.value))
    apart = apart_in_words(most.difference, digits=most.digits, interval=not most.counted)
    one, other = _both_told(most)
    return (
        f"“{comparison.titles[most.label]}” has {one} of the {most.a.of:,} distinct pictures in {a}, and "
        f"{other} of the {most.b.of:,} in {b}: {apart}."
    )


def _both_told(of: Difference) -> tuple[str, str]:
    """Both shares without their intervals, to the same digit."""
    return percent(of.a.value, of.digits), percent(of.b.value, of.digits)


def _rests(comparison: Comparison, rows: Sequence[Difference]) -> str:
    """What the shares of these rows, which are of one kind and unit, rest on."""
    if not rows or rows[0].a.kind == RAW:
        return "as the model labels pictures; its own errors are not in the intervals"
    a, b = quoted(comparison.a.name), quoted(comparison.b.name)
    if rows[0].counted:
        return "as people labelled the pictures, all of them in both runs, so that there are no intervals"
    for share, counted, other in ((rows[0].a, a, b), (rows[0].b, b, a)):
        if share.method == CENSUS:
            return (
                f"as people labelled the pictures, all of them in {counted}, where there is no interval, and estimated "
                f"from hand labels in {other}; the model’s errors are in the intervals"
            )
    estimated = "as people would label the pictures, estimated from hand labels in both runs"
    return f"{estimated}; the model’s errors are in the intervals"


def _facts(comparison: Comparison) -> list[tuple[str, str, str]]:
    """What the two runs are, in rows."""
    both = (comparison.a.tally, comparison.b.tally)

    def row(name: str, told: Any) -> tuple[str, str, str]:
        one, other = map(told, both)
        return name, one, other

    def coverage(tally: Tally) -> str:
        had = tally.coverage
        return f"{percent(had.share)} ({had.had:,} of {had.attachments:,})"

    def labelled(tally: Tally) -> str:
        return f"{tally.review.labelled:,} of {tally.review.drawn:,} drawn" if tally.review.drawn else "none drawn"

    return [
        row("Posts", lambda tally: f"{tally.coverage.posts:,}"),
        ("From", _sources(comparison.a), _sources(comparison.b)),
        row("Collected", lambda tally: _collected(tally.coverage)),
        row("Attachments had", coverage),
        row("Images classified", lambda tally: f"{tally.images:,}"),
        row("Distinct pictures", lambda tally: f"{tally.pictures:,}"),
        row("Model", lambda tally: tally.model + (f", {tally.precision}" if tally.precision else "")),
        row("Label set", lambda tally: tally.labels),
        row("Hand labels", labelled),
    ]


def _sources(side: Side) -> str:
    """What a run was collected from, files and folders by their names."""
    told = (without_paths(Incomplete(source=each, reason=""))[0] for each in side.sources)
    return "; ".join(dict.fromkeys(told)) or "–"


def _collected(coverage: Coverage) -> str:
    if coverage.collected_completely:
        return "completely"
    return "incompletely" if coverage.incomplete else "not known whether completely"


# Figures


def _figures(comparison: Comparison) -> Iterator[Figure]:
    rows = comparison.of(_best(comparison), PICTURES)
    if rows:
        yield _shares(comparison, rows)
        yield _differences(comparison, rows)
    if comparison.moments:
        yield _time(comparison)


def _block(comparison: Comparison, label: str, *dots: Dot) -> Block:
    colour, shape = looks(comparison.a.tally.classes)[label]
    return Block(title=cut(comparison.titles[label], LONGEST), colour=colour, shape=shape, dots=dots)


def _shares(comparison: Comparison, rows: Sequence[Difference]) -> Figure:
    a, b = comparison.a.name, comparison.b.name

    def dot(name: str, share: Number, *, filled: bool) -> Dot:
        told = share_told(share)
        return Dot(
            name=cut(name, LONGEST),
            value=share.value or 0.0,
            low=share.low,
            high=share.high or 0.0,
            said=percent(share.value),
            bracket=told.partition(" ")[2],
            tip=f"{quoted(comparison.titles[share.label])} in {quoted(name)}: {told} of {share.of:,}",
            filled=filled,
        )

    blocks = [
        _block(comparison, each.label, dot(a, each.a, filled=True), dot(b, each.b, filled=False)) for each in rows
    ]
    return draw(
        name="shares",
        title=_shares_title(comparison, rows),
        caption=sentences(
            f"Shares of distinct pictures in {quoted(a)} (full marks) and {quoted(b)} (hollow marks), "
            f"{_rests(comparison, rows)}.",
            "" if all(each.counted for each in rows) else f"Lines are {INTERVAL}s.",
        ),
        spec=dotted(blocks, share_axis(blocks), (150, 104), (132, 54)),
        table=Table(
            columns=("Class", a, b),
            rows=tuple((comparison.titles[each.label], share_told(each.a), share_told(each.b)) for each in rows),
        ),
    )


def _shares_title(comparison: Comparison, rows: Sequence[Difference]) -> str:
    """What has the largest share in each run."""

    def most(shares: Sequence[Number], run: str) -> tuple[list[str], str]:
        highest = max(share.value or 0.0 for share in shares)
        first = [quoted(comparison.titles[each.label]) for each in shares if (each.value or 0.0) > highest - 1e-9]
        return first, f"in {quoted(run)} ({about(highest)})"

    first, in_a = most([each.a for each in rows], comparison.a.name)
    others, in_b = most([each.b for each in rows], comparison.b.name)
    then = f" and {in_b}" if first == others else f", {listed(others)} {in_b}"
    return f"{listed(first)} {verb(len(first), 'has', 'each have')} the largest share {in_a}{then}."


def _differences(comparison: Comparison, rows: Sequence[Difference]) -> Figure:
    a, b = comparison.a.name, comparison.b.name

    def dot(each: Difference) -> Dot:
        apart, told = each.difference, difference_told(each)
        seen = "the same" if each.counted else "not clear"
        return Dot(
            name=f"more in {cut(b if apart.value > 0 else a, LONGEST)}" if each.clear else seen,
            value=apart.value,
            low=apart.low,
            high=apart.high,
            said=points(apart.value),
            bracket=told.partition(" ")[2],
            tip=f"{quoted(comparison.titles[each.label])}: {told} points",
            filled=each.clear,
        )

    counted = all(each.counted for each in rows)
    meaning = "where the share is the same" if counted else "where it is left open in which run the share is larger"
    blocks = [_block(comparison, each.label, dot(each)) for each in rows]
    return draw(
        name="differences",
        title=_differences_title(comparison, rows),
        caption=sentences(
            f"The share in {quoted(b)} less that in {quoted(a)}, in percentage points of distinct pictures.",
            "" if counted else f"Lines are {INTERVAL}s.",
            "" if all(each.clear for each in rows) else f"Marks are hollow {meaning}.",
        ),
        spec=dotted(blocks, _points_axis(rows), (150, 116), (136, 44)),
        table=Table(
            columns=("Class", "Difference in points", "Ratio"),
            rows=tuple((comparison.titles[each.label], difference_told(each), ratio_told(each)) for each in rows),
        ),
    )


def _differences_title(comparison: Comparison, rows: Sequence[Difference]) -> str:
    """The largest difference that is one, and how many others are."""
    a, b = quoted(comparison.a.name), quoted(comparison.b.name)
    counted = all(each.counted for each in rows)
    clear = [each for each in rows if each.clear]
    if not clear:
        return f"No share is {'' if counted else 'clearly '}larger in {a} or in {b}."
    most = max(clear, key=lambda each: abs(each.difference.value))
    apart = most.difference
    value, *interval = (f"{100 * abs(each):.{most.digits}f}" for each in (apart.value, apart.low, apart.high))
    near, far = interval if apart.value > 0 else reversed(interval)
    size = f"{value} point{'' if value == '1' else 's'}" + ("" if most.counted else f" ({near} to {far})")
    more, less = (b, a) if apart.value > 0 else (a, b)
    others = len(clear) - 1
    rest = f"{in_words(others)} other {'share' if others < 2 else 'shares'} {'' if counted else 'clearly '}"
    rest += "differs" if others < 2 else "differ"
    return f"In {more} {quoted(comparison.titles[most.label])} has {size} more than in {less}; {rest}."


def _points_axis(rows: Sequence[Difference]) -> Place:
    """The axis of differences in points, from round ones around all intervals, with zero marked."""
    low = min(0.0, *(each.difference.low for each in rows))
    high = max(0.0, *(each.difference.high for each in rows))
    step = next((each for each in _STEPS if high - low <= _MOST_STEPS * each), _STEPS[-1])
    first = math.floor(low / step)
    values = [step * i for i in range(first, max(math.ceil(high / step), first + 1) + 1)]
    colour = {"condition": {"test": "datum.value === 0", "value": QUIET}, "value": RULE}
    words = "datum.value ? format(100 * datum.value, '+.1~f') : '0'"
    axis: Spec = {"gridColor": colour, "labelExpr": words, "labelFlush": False, "title": None, "offset": 2}
    return within(values[0], values[-1], values=values, **axis)


def _time(comparison: Comparison) -> Figure:
    a, b = quoted(comparison.a.name), quoted(comparison.b.name)
    return draw(
        name="time",
        title=_time_title(comparison),
        caption=sentences(
            f"Of the posts with pictures of each {one_bin(comparison.unit)} (UTC), the share that shows a class, each "
            f"post divided evenly among its pictures, as the model labels them (raw): in {a} the line in the band of "
            f"its {INTERVAL}, in {b} the mark on the upright line of its own.",
            "The model’s own errors are not in the intervals.",
            "A share is clearly larger where the intervals don’t meet.",
            "Where nothing is drawn, a run has no posts with pictures.",
        ),
        spec=lambda width: _panels(comparison, width),
        table=Table(
            columns=(bin_column(comparison.unit), "Class", comparison.a.name, comparison.b.name),
            rows=tuple(
                (bin_in_words(each.start, comparison.unit), comparison.titles[each.label], _told(each.a), _told(each.b))
                for each in comparison.moments
                if each.a.posts_total or each.b.posts_total
            ),
        ),
    )


def _time_title(comparison: Comparison) -> str:
    """In how many bins the intervals of a class are apart: of the class and the run of which there are most."""
    a, b = quoted(comparison.a.name), quoted(comparison.b.name)
    unit = comparison.unit
    shared = [each for each in comparison.moments if each.a.posts_total and each.b.posts_total]
    bins = len({each.start for each in shared})
    if not bins:
        return f"No {one_bin(unit)} has posts with pictures of both {a} and {b}."
    clear = Counter((each.label, b) for each in shared if each.b.low > each.a.high)
    clear.update((each.label, a) for each in shared if each.a.low > each.b.high)
    on = "On" if unit == "day" else "In"
    whole = f"the {bins_in_words(bins, unit).removeprefix('1 ')} with pictures of both"
    if not clear:
        none = f"{whole}, no share is" if bins == 1 else f"none of {whole} is a share"
        return f"{on} {none} clearly larger in {a} or in {b}."
    ((label, run), count) = clear.most_common(1)[0]
    times = whole if count == bins else f"{count:,} of {whole}"
    return f"{on} {times}, the share of {quoted(comparison.titles[label])} is clearly larger in {run}."


def _panels(comparison: Comparison, width: int) -> Spec:
    """A panel for each class on one axis, below what the two runs look like."""
    moments = comparison.moments
    starts = list(dict.fromkeys(each.start for each in moments))
    place = {start: i for i, start in enumerate(starts)}
    seen = {each.label for each in moments if each.a.posts or each.b.posts}
    inner = width - AXIS - _RIGHT
    x = within(0, len(starts))
    y = upward(of.high for each in moments if each.label in seen for of in (each.a, each.b) if of.share is not None)
    size = min(50.0, max(10.0, 0.5 * (inner / len(starts)) ** 2))
    views = [_runs(comparison, inner)]
    for label in (each for each in comparison.titles if each in seen):
        colour, shape = looks(comparison.a.tally.classes)[label]
        title = comparison.titles[label]
        full: list[Spec] = []
        hollow: list[Spec] = []
        tips: list[Spec] = []
        for each in moments:
            if each.label != label or each.a.share is each.b.share is None:
                continue
            at = {"x": place[each.start], "x2": place[each.start] + 1, "middle": place[each.start] + 0.5}
            for rows, of in ((full, each.a), (hollow, each.b)):
                if of.share is not None:
                    rows.append({**at, "share": of.share, "low": of.low, "high": of.high})
            told = f"{_told(each.a)} in {quoted(comparison.a.name)}; {_told(each.b)} in {quoted(comparison.b.name)}"
            tips.append({**at, "tip": f"{bin_in_words(each.start, comparison.unit)}, {quoted(title)}: {told}"})
        layers = [
            *band(full, x, y, colour),
            *_upright(hollow, x, y, shape, size),
            *head(cut(title, LONGEST), inner, colour, shape),
            mark("rect", tips, x=x("x"), x2="x2", tip="tip", color="transparent"),
        ]
        views.append({"width": inner, "height": PANEL, "layer": layers})
    views[-1]["layer"].append(dates(starts, comparison.unit, inner, PANEL))
    return stacked(views)


def _runs(comparison: Comparison, inner: int) -> Spec:
    """What the two runs look like over time."""
    rows = [
        {"x": 0, "x2": 20, "middle": 10, "share": at, "low": at - 8, "high": at + 8, "name": cut(side.name, LONGEST)}
        for at, side in ((10, comparison.a), (30, comparison.b))
    ]
    x, y = within(0, inner, pixels=True), within(0, 40, pixels=True)
    layers = [
        *band(rows[:1], x, y, QUIET),
        *_upright(rows[1:], x, y, "circle", 50.0),
        mark("text", rows, x=28, y=y("share"), words="name", room=inner - 40),
    ]
    return {"width": inner, "height": 40, "layer": layers}


def _upright(rows: Sequence[Mapping[str, Any]], x: Place, y: Place, shape: str, size: float) -> list[Spec]:
    """The layers of hollow marks at the `share`, on upright lines from `low` to `high`."""
    return [
        mark("rule", rows, x=x("middle"), y=y("low"), y2="high", color=INK),
        mark("point", rows, x=x("middle"), y=y("share"), shape=shape, size=size, fill=PAPER, **OUTLINE),
    ]


def _told(of: TimeTally) -> str:
    if of.share is None:
        return "no posts with pictures"
    return f"{percent(of.share)} ({ends(of.low, of.high)}) of {many(of.posts_total, 'post')}"
