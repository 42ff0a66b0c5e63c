"""What figures are made of, in Vega-Lite: marks, places and axes, rows of dots with intervals, bars over time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hashtag_photos.report.charts import INK, NARROW, PAPER, PERCENT_AXIS, QUIET, RULE, fitted, length
from hashtag_photos.report.phrases import MINUTES, MONTHS, moment

Spec = dict[str, Any]
Place = Callable[[str], Spec]  # from the name of a field to its Vega-Lite channel

COUNTS = "format(datum.value, datum.value < 10000 ? ',d' : '~s')"  # a Vega expression for labels
AXIS = 46  # pixels to the left of bars over time
PANEL = 66  # pixels that a panel over time is high
_LINE = 19  # pixels from a row of dots to the next
_INDENT = 18  # of the names of rows
_DATE = 52  # pixels that a date needs
_NAMES = (216, 150)  # pixels for names and their indent in columns at most, in wide and in narrow
_SCALE = 120  # that a scale has in columns at least
OUTLINE: Spec = {"stroke": INK, "strokeWidth": 0.9, "opacity": 1}


def mark(
    kind: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    x: Spec | float | None = None,
    y: Spec | float | None = None,
    x2: str | float | None = None,
    y2: str | float | None = None,
    words: str | None = None,
    tip: str | None = None,
    looks: Mapping[str, str] | None = None,
    room: float | None = None,
    **fixed: Any,
) -> Spec:
    """A layer of marks, one for each of the rows.

    Numbers are places in pixels, and strings names of fields: of the other end, the `words` that are written, the `tip`
    that is said when one points at it, and, by channel, `looks` that are taken as they stand (colours, shapes).
    Words lose their middle if they need more than `room`, in pixels. What is `fixed` is the same for all.
    """
    channels: Spec = {}
    for name, place in (("x", x), ("y", y), ("x2", x2), ("y2", y2)):
        if place is not None:
            is_field = isinstance(place, str)
            channels[name] = place if isinstance(place, dict) else {"field" if is_field else "value": place}
    for name, field in (("text", words), ("description", tip)):
        if field is not None:
            channels[name] = {"field": field, "type": "nominal"}
    for name, field in (looks or {}).items():
        channels[name] = {"field": field, "scale": None, "legend": None}
        channels[name]["type"] = "quantitative" if name in ("fillOpacity", "strokeWidth") else "nominal"
    if words is not None and room is not None:
        rows = [{**row, words: fitted(row[words], room)} for row in rows]
    if kind == "text":
        fixed = {"align": "left", "baseline": "middle"} | fixed
    return {"data": {"values": list(rows)}, "mark": {"type": kind, "aria": bool(tip), **fixed}, "encoding": channels}


def within(low: float, high: float, *, pixels: bool = False, **axis: Any) -> Place:
    """A linear scale, of `pixels` from the top or left where told so; with an axis if something is said of it."""
    scale = {"domain": [low, high], "nice": False, "zero": False} | ({"range": [low, high]} if pixels else {})
    return lambda field: {"field": field, "type": "quantitative", "scale": scale, "axis": axis or None}


def alone(
    layers: Sequence[Spec], width: int, height: float, *, left: int, right: int, top: int = 4, bottom: int = 44
) -> Spec:
    """A figure of one view in so many pixels in all, with exact margins."""
    padding = {"left": left, "right": right, "top": top, "bottom": bottom}
    return {"width": width - left - right, "height": height, "layer": layers, "padding": padding, "autosize": "none"}


def stacked(views: Sequence[Spec], *, columns: int = 1, column: int = 0, row: int = 30) -> Spec:
    """Views below each other, or in columns with so many pixels between them."""
    spacing = {"column": column, "row": row}
    padding = {"left": 0, "right": 0, "top": 4, "bottom": 4}
    return {"concat": views, "columns": columns, "spacing": spacing, "bounds": "flush", "padding": padding}


def top_of(highs: Iterable[float]) -> float:
    """Where an axis of shares ends: at the next full tenth."""
    return min(1.0, max(0.1, math.ceil(max(highs, default=1.0) * 10 - 1e-9) / 10))


# -- rows of dots with intervals ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Dot:
    """A row: its name, a value with an interval, what is said beside it and in brackets after that, and its tip."""

    name: str
    value: float
    low: float
    high: float
    said: str
    bracket: str = ""
    tip: str
    filled: bool = True


@dataclass(frozen=True, kw_only=True)
class Block:
    """Rows under a title, in one colour and shape."""

    title: str
    colour: str
    shape: str
    dots: tuple[Dot, ...]


def share_axis(blocks: Sequence[Block], *, close: bool = False) -> Place:
    """The axis of shares that these blocks need; with few labels where they would come too `close`."""
    top = top_of(dot.high for block in blocks for dot in block.dots)
    step = next(
        step for most, step in ((0.1, 0.05), (0.3, 0.1), (0.6, 0.2), (1.0, 0.5 if close else 0.2)) if top <= most
    )
    values = [step * i for i in range(int(top / step + 1e-9) + 1)]
    return within(0.0, top, labelExpr=PERCENT_AXIS, labelFlush=False, title=None, values=values, offset=2)


def dotted(
    blocks: Sequence[Block], x: Place, left: tuple[int, int], right: tuple[int, int], *, bottom: int = 28
) -> Callable[[int], Spec]:
    """The spec of blocks below each other; room for names to the left and words to the right, in wide and in narrow.

    In narrow, nothing stands in brackets.
    """

    def spec(width: int) -> Spec:
        narrow = width <= NARROW
        a, b = left[narrow], right[narrow]
        layers, height = _dots(blocks, x, -a, width - a - b, b, brackets=not narrow)
        return alone(layers, width, height, left=a, right=b, bottom=bottom)

    return spec


def columns(blocks: Sequence[Block]) -> Callable[[int], Spec]:
    """The spec of blocks of shares with the same rows: beside each other in wide, below each other in narrow."""
    right, gap = 42, 36
    needed = _INDENT + 10 + round(max(length(dot.name) for block in blocks for dot in block.dots))
    left, left_narrow = (max(90, min(needed, most)) for most in _NAMES)
    x = share_axis(blocks, close=True)
    below = dotted(blocks, x, (left, left_narrow), (right, right))

    def inner_of(width: int, beside: int) -> int:
        return (width - left - beside * right - (beside - 1) * gap) // beside

    def spec(width: int) -> Spec:
        if width <= NARROW:
            return below(width)
        beside = 2 if len(blocks) in (2, 4) or inner_of(width, 3) < _SCALE else 3
        beside = min(beside, len(blocks))
        inner = inner_of(width, beside)
        views = []
        for place, block in enumerate(blocks):
            first = place % beside == 0
            own = block if first else replace(block, dots=tuple(replace(each, name="") for each in block.dots))
            layers, height = _dots([own], x, -left if first else -_INDENT, inner, right, brackets=False)
            views.append({"width": inner, "height": height, "layer": layers})
        return stacked(views, columns=beside, column=right + gap, row=46)

    return spec


def _dots(
    blocks: Sequence[Block], x: Place, left: int, inner: int, right: int, *, brackets: bool
) -> tuple[list[Spec], float]:
    """The layers of blocks below each other, and their height: from `left` (below 0) to `right` beyond `inner`."""
    heads: list[Spec] = []
    rows: list[Spec] = []
    top = 0.0
    for block in blocks:
        look = {"colour": block.colour, "shape": block.shape}
        heads.append({"top": top, "y": top + _LINE / 2, "y2": top + _LINE, "words": block.title, **look})
        for dot in block.dots:
            top += _LINE
            own = {"name": dot.name, "value": dot.value, "low": dot.low, "high": dot.high, "tip": dot.tip, **look}
            said = f"{dot.said} {dot.bracket}" if brackets and dot.bracket else dot.said
            fill = block.colour if dot.filled else PAPER
            rows.append({"top": top, "y": top + _LINE / 2, "y2": top + _LINE, "said": said, "fill": fill, **own})
        top += 1.5 * _LINE
    height = top - _LINE / 2
    down = within(0, height, pixels=True)
    y, edge, indent = down("y"), inner + right, left + _INDENT
    return (
        [
            mark(
                "rect", heads, x=left, x2=edge, y=down("top"), y2="y2", color=PAPER
            ),  # no line of the axis crosses words
            mark("rule", heads[1:], x=left, x2=edge, y=down("top"), color=RULE),
            mark("rule", rows, x=x("low"), x2="high", y=y, color=INK, strokeWidth=1.3),
            mark("point", rows, x=x("value"), y=y, looks={"fill": "fill", "shape": "shape"}, size=62, **OUTLINE),
            mark("point", heads, x=left + 6, y=y, looks={"fill": "colour", "shape": "shape"}, size=72, **OUTLINE),
            mark("text", heads, x=indent, y=y, words="words", fontWeight="bold", room=edge - indent),
            mark("text", rows, x=indent, y=y, words="name", color=QUIET, room=max(-indent - 8, 1)),
            mark("text", rows, x=edge, y=y, words="said", align="right"),
            mark("rect", rows, x=left, x2=edge, y=down("top"), y2="y2", tip="tip", color="transparent"),
        ],
        height,
    )


def upward(highs: Iterable[float]) -> Place:
    """The axis of shares of a panel over time, as far as the highest of these."""
    top = top_of(highs)
    values = [0, top / 2, top]
    return within(0, top, labelExpr=PERCENT_AXIS, title=None, values=values, minExtent=AXIS, maxExtent=AXIS)


def head(words: str, inner: int, colour: str = "", shape: str = "") -> list[Spec]:
    """The layers of a title above a view of `inner` pixels: that of a class with its mark, or of something else."""
    if not shape:
        return [mark("text", [{"words": words}], x=0, y=-11, words="words", color=QUIET, room=inner)]
    row = [{"words": words, "fill": colour, "shape": shape}]
    return [
        mark("point", row, x=6, y=-11, looks={"fill": "fill", "shape": "shape"}, size=72, **OUTLINE),
        mark("text", row, x=_INDENT, y=-11, words="words", fontWeight="bold", room=inner - _INDENT),
    ]


# -- over time ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Bar:
    """What there is of a bin with this start: in all, a part of it, and its tip."""

    start: str
    whole: int
    part: int
    tip: str


def bars(counts: Sequence[Bar], unit: str, inner: int, *, colour: str) -> list[Spec]:
    """The layers of bars over bins, filled with a colour as far as the part goes, with the dates below."""
    x = within(0, len(counts))
    rows = [
        {"x": i + 0.08, "x2": i + 0.92, "left": i, "right": i + 1, "zero": 0, "all": each.whole, "part": each.part}
        | {"tip": each.tip}
        for i, each in enumerate(counts)
    ]
    top = max((each.whole for each in counts), default=0) or 1
    axis: Spec = {"title": None, "tickCount": 2, "labelExpr": COUNTS, "minExtent": AXIS, "maxExtent": AXIS}
    if top < 2:
        axis["values"] = [0, 1]
    scale = {"domain": [0, top], "nice": True, "zero": True}
    y: Spec = {"field": "zero", "type": "quantitative", "scale": scale, "axis": axis}
    light: Spec = {"color": RULE, "stroke": QUIET, "strokeWidth": 0.6}
    return [
        mark("rect", [each for each in rows if each["all"]], x=x("x"), x2="x2", y=y, y2="all", **light),
        mark("rect", [each for each in rows if each["part"]], x=x("x"), x2="x2", y=y, y2="part", color=colour),
        dates([each.start for each in counts], unit, inner, y),
        mark("rect", rows, x=x("left"), x2="right", tip="tip", color="transparent"),
    ]


def dates(starts: Sequence[str], unit: str, inner: int, bottom: Spec | float) -> Spec:
    """The layer of dates below bins with these starts, whose `bottom` is at 0 of a channel or at so many pixels."""
    rows = [{"x": at, "zero": 0, "words": text} for at, text in ticks(starts, unit, inner)]
    below: Spec = {"align": "center", "baseline": "top", "color": QUIET, "lineBreak": "\n", "yOffset": 8}
    return mark("text", rows, x=within(0, len(starts))("x"), y=bottom, words="words", **below)


def band(rows: Sequence[Mapping[str, Any]], x: Place, y: Place, colour: str) -> list[Spec]:
    """The layers of a line at the `share` from `x` to `x2`, in the band of its interval from `low` to `high`."""
    edge: Spec = {"stroke": QUIET, "strokeWidth": 0.6, "opacity": 1}
    return [
        mark("rect", rows, x=x("x"), x2="x2", y=y("low"), y2="high", color=colour, fillOpacity=0.6, **edge),
        mark("rule", rows, x=x("x"), x2="x2", y=y("share"), color=INK, strokeWidth=1.8),
    ]


def ticks(starts: Sequence[str], unit: str, inner: int) -> list[tuple[float, str]]:
    """Where dates stand below bins with these starts, as many as have room, at round times, and what they say.

    That is up to three lines: "14:00", "22 Apr" and "2014", the lower ones only where they change.
    """
    moments = [moment(each) for each in starts]
    minutes = MINUTES.get(unit)
    steps: tuple[int, ...] = (1, 2, 7, 14, 28)
    if minutes:
        steps = tuple(more // minutes for more in (15, 30, 60, 120, 180, 360, 720, 1440) if more >= minutes)
    elif unit == "month":
        steps = (1, 2, 3, 6, 12)
    elif unit != "day":
        steps = (1, 2, 4)
    room = max(inner // _DATE, 2)
    wanted = (step * more for more in (1, 2, 4, 8, 16, 32, 64) for step in steps)
    step = next((each for each in wanted if len(starts) <= room * each), len(starts))
    found: list[tuple[float, str]] = []
    last: tuple[str, ...] = ()
    for i, at in enumerate(moments):
        months = at.year * 12 + at.month - 1
        day = at.toordinal()
        number = {"week": day // 7, "month": months, "quarter": months // 3, "year": at.year}.get(unit, day)
        if minutes:
            number = int(at.timestamp()) // 60 // minutes
        if number % step:
            continue
        month = MONTHS[at.month - 1][:3]
        told: tuple[str, ...] = (f"{at.day} {month}", f"{at.year}")
        if minutes:
            told = (f"{at:%H:%M}", *told)
        elif unit in ("month", "quarter", "year"):
            told = {"month": (month,), "quarter": (f"Q{at.month // 3 + 1}",)}.get(unit, ()) + told[-1:]
        lines = next(count for count in range(1, len(told) + 1) if told[count:] == last[count:])
        found.append((i if minutes else i + 0.5, "\n".join(told[:lines])))
        last = told
    return found
