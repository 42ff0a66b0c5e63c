"""A comparison of two runs -> a folder: the page, its figures, and the numbers as CSV.

In the figures the first run has full circles and full lines, the second hollow diamonds and dashed ones; colours are
those of the classes, as in each run's own report.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from hashtag_photos.errors import UsageError
from hashtag_photos.labels import UNSURE
from hashtag_photos.models import slug
from hashtag_photos.report.charts import INK, PAPER, PERCENT_AXIS, QUIET, RULE, Figure, Table, cut, draw, looks, quoted
from hashtag_photos.report.page import interval, points, render
from hashtag_photos.run import Run
from hashtag_photos.stages.compare import Comparison, Difference, Moment, apart_in_words, names_of
from hashtag_photos.stages.numbers import CORRECTED, RAW, Number, percents
from hashtag_photos.stages.tally import Tally
from hashtag_photos.stages.units import PICTURES
from hashtag_photos.storage import Storage
from hashtag_photos.words import many, percent

_PAGE = "compare.html"
_FIGURES = ("shares", "differences", "time")
_LONGEST = 40  # characters of a name in a figure
_UNITS = {
    "pictures": "distinct pictures",
    "images": "images",
    "photos": "photos in posts",
    "posts": "posts with pictures",
    "engagement": "likes, reposts, replies",
}
_MARGIN = 16  # pixels beside what is drawn along a scale
_STEPS, _MOST_LINES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5), 5
_LETTER = 6.2  # pixels that a letter of a figure takes at most, on average


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
        kinds=[kind for kind in (RAW, CORRECTED) if any(each.kind == kind for each in comparison.differences)],
        units_named=_UNITS,
        figures=figures,
        facts=_facts(comparison),
        share_told=share_told,
        difference_told=difference_told,
        ratio_told=ratio_told,
        sentence=lambda words: f"{words[:1].upper()}{words[1:].rstrip('.')}.",
    )


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
    ends = "" if of.counted else f" ({of.ratio.low:.2f} to {of.ratio.high:.2f})"
    return f"{of.ratio.value:.2f}{ends}"


def _best(comparison: Comparison) -> str:
    return CORRECTED if comparison.of(CORRECTED, PICTURES) else RAW


def _answer(comparison: Comparison, rows: Sequence[Difference]) -> str:
    """The largest difference that is one, as a sentence without what it rests on."""
    a, b = comparison.a.name, comparison.b.name
    named = [each for each in rows if each.label != UNSURE]
    clear = [each for each in named if each.clear]
    if not clear:
        return f"No class has a clearly larger share of the pictures in {a} or in {b}."
    most = max(clear, key=lambda each: abs(each.difference.value))
    apart = apart_in_words(most.difference, interval=not most.counted)
    one, other = _both_told(most)
    return (
        f"“{comparison.titles[most.label]}” has {one} of the {most.a.of:,} distinct pictures in {a}, and "
        f"{other} of the {most.b.of:,} in {b}: {apart}."
    )


def _both_told(of: Difference) -> tuple[str, str]:
    """Both shares without their intervals, to the same digit."""
    told = percents(*(value or 0.0 for share in (of.a, of.b) for value in (share.value, share.low, share.high)))
    return f"{told[0]} %", f"{told[3]} %"


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
        row("From", lambda tally: ", ".join(dict.fromkeys(each.value for each in tally.sources)) or "–"),
        row("Collected", lambda tally: "completely" if tally.coverage.collected_completely else "incompletely"),
        row("Attachments had", coverage),
        row("Images classified", lambda tally: f"{tally.images:,}"),
        row("Distinct pictures", lambda tally: f"{tally.pictures:,}"),
        row("Model", lambda tally: tally.model + (f", {tally.precision}" if tally.precision else "")),
        row("Label set", lambda tally: tally.labels),
        row("Hand labels", labelled),
    ]


# Figures


def _figures(comparison: Comparison) -> Iterator[Figure]:
    kind = _best(comparison)
    rows = comparison.of(kind, PICTURES)
    if rows:
        yield _shares(comparison, kind, rows)
        yield _differences(comparison, kind, rows)
    if len({each.start for each in comparison.moments}) > 1:
        yield _time(comparison)


class _Legend(NamedTuple):
    """Which run has which mark, in two lines at the head of a figure, as layers and their height."""

    layers: list[dict[str, Any]]
    height: int


def _legend(comparison: Comparison) -> _Legend:
    rows = [
        {"x": 6, "y": 10 + 20 * place, "text": cut(side.name, _LONGEST), "run": run}
        for place, (run, side) in enumerate((("a", comparison.a), ("b", comparison.b)))
    ]
    marks = {
        "data": {"values": rows},
        "mark": {"type": "point", "size": 55, "strokeWidth": 1.8, "stroke": INK, "aria": False, "opacity": 1},
        "encoding": {**_at("x", "y"), "shape": _RUN_SHAPE, "fill": _fill(INK)},
    }
    names = {
        "data": {"values": rows},
        "mark": {"type": "text", "align": "left", "dx": 12, "baseline": "middle", "aria": False},
        "encoding": {**_at("x", "y"), "text": {"field": "text"}},
    }
    return _Legend([marks, names], 44)


_RUN_SHAPE = {"field": "run", "scale": {"domain": ["a", "b"], "range": ["circle", "diamond"]}, "legend": None}


def _at(x: str, y: str, **more: Any) -> dict[str, Any]:
    """Positions that are pixels."""
    return {
        "x": {"field": x, "type": "quantitative", "scale": None, "axis": None},
        "y": {"field": y, "type": "quantitative", "scale": None, "axis": None},
        **more,
    }


def _fill(colour: str) -> dict[str, Any]:
    """Full for the first run, hollow for the second."""
    return {"condition": {"test": "datum.run === 'a'", "value": colour}, "value": PAPER}


def _shares(comparison: Comparison, kind: str, rows: Sequence[Difference]) -> Figure:
    a, b = (quoted(side.name) for side in (comparison.a, comparison.b))
    highest = max(share.high or 0.0 for each in rows for share in (each.a, each.b))
    own = looks(comparison.a.tally.classes)

    def spec(width: int) -> dict[str, Any]:
        step, head = 64, _legend(comparison).height
        last = min(1.0, highest * 1.02) or 1.0

        def x(value: float) -> float:
            return _MARGIN + (width - 2 * _MARGIN) * value / last

        marks, texts = [], []
        for place, each in enumerate(rows):
            top = head + step * place
            colour, _ = own[each.label]
            texts.append({"x": 0, "y": top + 10, "text": cut(comparison.titles[each.label], _LONGEST)})
            for run, share, y in (("a", each.a, top + 29), ("b", each.b, top + 47)):
                value, low, high = share.value or 0.0, share.low, share.high or 0.0
                words = share_told(share)
                right = width - x(high) > _LETTER * len(words) + 14
                marks.append(
                    {
                        "x": x(value),
                        "low": x(low),
                        "high": x(high),
                        "y": y,
                        "run": run,
                        "colour": colour,
                        "words": words,
                        "at": max(x(high), x(value) + 6) + 8 if right else min(x(low), x(value) - 6) - 8,
                        "side": "left" if right else "right",
                        "told": f"{cut(comparison.titles[each.label], _LONGEST)}: {words} of {share.of:,}",
                    }
                )
        height = head + step * len(rows) + 18
        return {
            "width": width,
            "height": height,
            "padding": 0,
            "autosize": {"type": "none"},
            "layer": [
                *_scale(0.0, last, x, head, height, " %"),
                *_legend(comparison).layers,
                _texts(texts),
                *_marks(marks),
                *(_words(marks, side) for side in ("left", "right")),
            ],
        }

    told = max(rows, key=lambda each: abs(each.difference.value))
    raw = "as the model labels them" if kind == RAW else "as people label them, estimated from hand labels"
    one, other = _both_told(told)
    return draw(
        name="shares",
        title=f"{quoted(comparison.titles[told.label])}: {one} in {a}, {other} in {b}",
        caption=(
            f"Shares of distinct pictures in {a} (full circles) and {b} (hollow diamonds), {raw}. Lines are 95 % "
            "intervals" + ("; the model’s own errors are not in them." if kind == RAW else ".")
        ),
        spec=spec,
        table=Table(
            columns=("Class", comparison.a.name, comparison.b.name),
            rows=tuple((comparison.titles[each.label], share_told(each.a), share_told(each.b)) for each in rows),
        ),
    )


def _differences(comparison: Comparison, kind: str, rows: Sequence[Difference]) -> Figure:
    a, b = (quoted(side.name) for side in (comparison.a, comparison.b))
    own = looks(comparison.a.tally.classes)
    first = min(0.0, *(each.difference.low for each in rows))
    last = max(0.0, *(each.difference.high for each in rows))
    if first == last:
        first, last = -0.01, 0.01

    def spec(width: int) -> dict[str, Any]:
        step = 46

        def x(value: float) -> float:
            return _MARGIN + (width - 2 * _MARGIN) * (value - first) / (last - first)

        marks, texts = [], []
        for place, each in enumerate(rows):
            top, apart = 24 + step * place, each.difference
            title = cut(comparison.titles[each.label], _LONGEST)
            words = difference_told(each)
            fits = _LETTER * (len(title) + len(words)) + 16 < width
            texts.append({"x": 0, "y": top + 10, "text": title if fits else cut(title, 18)})
            marks.append(
                {
                    "x": x(apart.value),
                    "low": x(apart.low),
                    "high": x(apart.high),
                    "y": top + 28,
                    "run": "a" if each.clear else "b",
                    "colour": own[each.label][0],
                    "told": f"{title}: {words} points",
                    "at": width,
                    "words_y": top + 10,
                    "words": words,
                }
            )
        height = 24 + step * len(rows) + 18
        zero = {
            "data": {"values": [{"x": x(0), "y": 20, "y2": height - 18}]},
            "mark": {"type": "rule", "color": QUIET, "aria": False},
            "encoding": {**_at("x", "y"), "y2": {"field": "y2"}},
        }
        sides: list[dict[str, Any]] = [
            {"x": x(0) + 6, "y": 8, "text": "more →", "align": "left"},
            {"x": x(0) - 6, "y": 8, "text": "← less", "align": "right"},
        ]
        return {
            "width": width,
            "height": height,
            "padding": 0,
            "autosize": {"type": "none"},
            "layer": [
                *_scale(first, last, x, 20, height, ""),
                zero,
                *(_texts([each], align=each["align"], color=QUIET) for each in sides if 50 < each["x"] < width - 50),
                _texts(texts),
                *_marks(marks),
                {
                    "data": {"values": marks},
                    "mark": {"type": "text", "align": "right", "baseline": "middle", "aria": False},
                    "encoding": {**_at("at", "words_y"), "text": {"field": "words"}},
                },
            ],
        }

    clear = sorted((each for each in rows if each.clear), key=lambda each: -abs(each.difference.value))
    title = f"No share is clearly larger in {a} or in {b}"
    if clear:
        most = clear[0]
        size = apart_in_words(most.difference, interval=False)
        title = f"{quoted(comparison.titles[most.label])}: {size} in {b} than in {a}"
    hollow = "; hollow ones leave open in which run the share is larger" if len(clear) < len(rows) else ""
    return draw(
        name="differences",
        title=title,
        caption=(
            f"The share in {b} less that in {a}, in percentage points of distinct pictures. Lines are 95 % intervals "
            f"(MOVER){hollow}."
        ),
        spec=spec,
        table=Table(
            columns=("Class", "Difference in points", "Ratio"),
            rows=tuple((comparison.titles[each.label], difference_told(each), ratio_told(each)) for each in rows),
        ),
    )


def _scale(
    first: float, last: float, x: Callable[[float], float], top: float, height: float, unit: str
) -> Iterator[dict[str, Any]]:
    """Faint lines at round shares from `first` to `last`, and what they are below them."""
    step = next((each for each in _STEPS if (last - first) / each <= _MOST_LINES), _STEPS[-1])
    values = [step * place for place in range(math.ceil(first / step), math.floor(last / step) + 1)]
    digits = 0 if step >= 0.01 else 1
    rows = [
        {
            "x": x(each),
            "y": top,
            "y2": height - 18,
            "text_y": height - 8,
            "text": f"{100 * each + 0.0:.{digits}f}{unit}".replace("-", "\N{MINUS SIGN}"),
        }
        for each in values
    ]
    yield {
        "data": {"values": rows},
        "mark": {"type": "rule", "color": RULE, "aria": False},
        "encoding": {**_at("x", "y"), "y2": {"field": "y2"}},
    }
    yield {
        "data": {"values": rows},
        "mark": {"type": "text", "baseline": "middle", "color": QUIET, "aria": False},
        "encoding": {**_at("x", "text_y"), "text": {"field": "text"}},
    }


def _texts(rows: Sequence[dict[str, Any]], *, align: str = "left", color: str = INK) -> dict[str, Any]:
    return {
        "data": {"values": list(rows)},
        "mark": {"type": "text", "align": align, "baseline": "middle", "color": color, "aria": False},
        "encoding": {**_at("x", "y"), "text": {"field": "text"}},
    }


def _marks(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Intervals and points at pixels."""
    yield {
        "data": {"values": list(rows)},
        "mark": {"type": "rule", "strokeWidth": 2, "aria": False},
        "encoding": {
            **_at("low", "y"),
            "x2": {"field": "high"},
            "stroke": {"field": "colour", "scale": None, "legend": None},
        },
    }
    for run, fill in (("a", {"field": "colour", "scale": None, "legend": None}), ("b", {"value": PAPER})):
        yield {
            "data": {"values": [each for each in rows if each["run"] == run]},
            "mark": {
                "type": "point",
                "shape": "circle" if run == "a" else "diamond",
                "size": 75,
                "strokeWidth": 1.8,
                "opacity": 1,
            },
            "encoding": {
                **_at("x", "y"),
                "stroke": {"field": "colour", "scale": None, "legend": None},
                "fill": fill,
                "description": {"field": "told"},
            },
        }


def _words(rows: Sequence[dict[str, Any]], side: str) -> dict[str, Any]:
    return {
        "data": {"values": [each for each in rows if each["side"] == side]},
        "mark": {"type": "text", "align": side, "baseline": "middle", "color": QUIET, "aria": False},
        "encoding": {**_at("at", "y"), "text": {"field": "words"}},
    }


def _time(comparison: Comparison) -> Figure:
    a, b = (quoted(side.name) for side in (comparison.a, comparison.b))
    moments = comparison.moments
    own = looks(comparison.a.tally.classes)
    labels = [label for label in comparison.titles if label != UNSURE]
    starts = list(dict.fromkeys(each.start for each in moments))
    begin, end = _milliseconds(moments[0].start), _milliseconds(moments[-1].end)
    points_of = {label: list(_points([each for each in moments if each.label == label])) for label in labels}
    highest = min(1.0, max((each["high"] for rows in points_of.values() for each in rows), default=1.0))

    def spec(width: int) -> dict[str, Any]:
        x: dict[str, Any] = {
            "field": "time",
            "type": "temporal",
            "scale": {"type": "utc", "domain": [begin, end]},
            "axis": {
                "title": None,
                "grid": False,
                "labelOverlap": True,
                "labelSeparation": 12,
                "tickCount": 8 if width > 500 else 3,
            },
        }
        legend = _legend(comparison)
        panels: list[dict[str, Any]] = [
            {
                "width": width - 60,
                "height": legend.height - 8,
                "layer": [{**each} for each in legend.layers],
            }
        ]
        for place, label in enumerate(labels):
            panels.append(_panel(comparison.titles[label], points_of[label], own[label][0], x, highest, width - 60))
            if place < len(labels) - 1:
                panels[-1]["layer"][0]["encoding"]["x"] = {**x, "axis": {**x["axis"], "labels": False}}
        return {"vconcat": panels, "spacing": 14, "padding": {"left": 0, "right": 8, "top": 0, "bottom": 0}}

    with_both = len(_bins(moments, "a") & _bins(moments, "b"))
    bins = f"{many(len(starts), 'bin')} of {_one(comparison.unit)}"
    only = f"{a} has posts with pictures in {len(_bins(moments, 'a')):,} of {bins}, {b} in {len(_bins(moments, 'b')):,}"
    have = f"{with_both:,} {'has' if with_both == 1 else 'have'}" if with_both else "none has"
    return draw(
        name="time",
        title=f"{only}; {have} posts of both",
        caption=(
            f"Shares of the posts of each bin (UTC), as the model labels pictures, each post divided evenly among its "
            f"pictures: {a} with full circles and lines, {b} with hollow diamonds and dashed lines. Upright lines are "
            "95 % intervals, in which the model’s own errors are not. Where a run has no posts there is a gap. "
            "Pictures too close to call are left out of the drawing and stand in the table."
        ),
        spec=spec,
        table=Table(
            columns=("From", "Class", comparison.a.name, comparison.b.name),
            rows=tuple(
                (_time_told(each.start), comparison.titles[each.label], _of_bin(each, "a"), _of_bin(each, "b"))
                for each in moments
                if each.a.posts_total or each.b.posts_total
            ),
        ),
    )


def _panel(
    title: str, rows: Sequence[dict[str, Any]], colour: str, x: dict[str, Any], highest: float, width: int
) -> dict[str, Any]:
    """The shares of one class in both runs over time."""
    y = {
        "field": "share",
        "type": "quantitative",
        "scale": {"domain": [0, highest]},
        "axis": {"title": None, "tickCount": 3, "labelExpr": PERCENT_AXIS, "gridColor": RULE},
    }
    layers: list[dict[str, Any]] = [
        {
            "data": {"values": list(rows)},
            "mark": {"type": "rule", "color": colour, "opacity": 0.45, "aria": False},
            "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}},
        }
    ]
    for run in "ab":
        own = [each for each in rows if each["run"] == run]
        dash: dict[str, Any] = {"strokeDash": [4, 3]} if run == "b" else {}
        layers.append(
            {
                "data": {"values": own},
                "mark": {"type": "line", "color": colour, "strokeWidth": 1.6, "aria": False, **dash},
                "encoding": {"x": x, "y": y, "detail": {"field": "segment"}},
            }
        )
        layers.append(
            {
                "data": {"values": own},
                "mark": {
                    "type": "point",
                    "shape": "circle" if run == "a" else "diamond",
                    "size": 32 if width > 500 else 12,
                    "strokeWidth": 1.3 if width > 500 else 1,
                    "stroke": colour,
                    "fill": colour if run == "a" else PAPER,
                    "opacity": 1,
                },
                "encoding": {"x": x, "y": y, "description": {"field": "told"}},
            }
        )
    return {
        "width": width,
        "height": 96,
        "title": {
            "text": cut(title, _LONGEST),
            "anchor": "start",
            "fontSize": 12,
            "fontWeight": "normal",
            "color": INK,
        },
        "layer": layers,
    }


def _points(moments: Sequence[Moment]) -> Iterator[dict[str, Any]]:
    """What is drawn of one class: of each run the bins with posts; a `segment` has no gap."""
    for run, shift in (("a", -0.12), ("b", 0.12)):
        segment = 0
        for each in moments:
            of = each.a if run == "a" else each.b
            if of.share is None:
                segment += 1
                continue
            begin, end = _milliseconds(each.start), _milliseconds(each.end)
            yield {
                "time": begin + (0.5 + shift) * (end - begin),
                "share": of.share,
                "low": of.low,
                "high": of.high,
                "run": run,
                "segment": f"{run}{segment}",
                "told": f"{_time_told(each.start)}: {_of_bin(each, run)}",
            }


def _of_bin(moment: Moment, run: str) -> str:
    of = moment.a if run == "a" else moment.b
    if of.share is None:
        return "no posts with pictures"
    ends = f"{100 * of.low:.1f} – {100 * of.high:.1f}"
    return f"{percent(of.share)} ({ends}) of {many(of.posts_total, 'post')}"


def _bins(moments: Iterable[Moment], run: str) -> set[str]:
    return {each.start for each in moments if (each.a if run == "a" else each.b).posts_total}


def _one(unit: str) -> str:
    """A unit of time as one of it: "hour" is an hour, "3 hours" are 3 hours."""
    return unit if unit[0].isdigit() else f"{'an' if unit == 'hour' else 'a'} {unit}"


def _milliseconds(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)


def _time_told(time: str) -> str:
    return time.removesuffix("T00:00:00Z").replace("T", " ").removesuffix(":00Z")
