"""The figures of how far the classifier can be trusted: against people, and against itself under other wordings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from string import ascii_uppercase

from hashtag_photos.labels import UNSURE
from hashtag_photos.report.charts import (
    INK,
    LONGEST,
    MISSING,
    NARROW,
    PERCENT_AXIS,
    QUIET,
    RULE,
    SMALL,
    Figure,
    Table,
    colour,
    cut,
    draw,
    quoted,
)
from hashtag_photos.report.marks import Spec, alone, mark, within
from hashtag_photos.report.page import points
from hashtag_photos.report.phrases import (
    INTERVAL,
    about,
    classes_in_words,
    ends,
    largest,
    left_out,
    listed,
    sentences,
    verb,
)
from hashtag_photos.stages.caveats import VariantTally, moved
from hashtag_photos.stages.reviewed import ModelAgreement
from hashtag_photos.stages.score import ALL
from hashtag_photos.stages.tally import Tally
from hashtag_photos.words import many, percent

_MOST_CLASSES = 12
_MOST_IN_MATRIX = 6  # classes each way; more can't be read on a phone
_STRIP = 58  # pixels
_MINUS = "\N{MINUS SIGN}"


def reliability(tally: Tally) -> Figure | None:
    """How often the classifier is right where it is so sure."""
    model = tally.agreement.model if tally.agreement else None
    if model is None or not model.reliability:
        return None
    most = max(model.reliability, key=lambda each: each.n)
    return draw(
        name="reliability",
        title=f"Where the classifier is {about(most.probability)} sure, it is right in {about(most.right.value)} of the"
        f" pictures; over all, it is {100 * model.calibration_error:.1f} points off.",
        caption=sentences(
            "How often people agree with the label (up), by the probability that the classifier gives it (to the"
            f" right), with {INTERVAL}s; beside each point its labelled pictures. On the slanted line it is right as"
            f" often as it is sure. It rests on {many(model.rests_on, 'picture')}.",
            f"Fitted temperature: {model.temperature:.2f}." if model.temperature is not None else "",
        ),
        spec=lambda width: _curve(model, width),
        table=Table(
            columns=("Probability from", "To", "Mean", "Right", INTERVAL, "Pictures"),
            rows=tuple(
                (
                    percent(each.low),
                    percent(each.high),
                    percent(each.probability),
                    percent(each.right.value),
                    ends(each.right.low, each.right.high),
                    f"{each.n:,}",
                )
                for each in model.reliability
            ),
        ),
    )


def _curve(model: ModelAgreement, width: int) -> Spec:
    """Points with their intervals, and the line on which they would be."""
    rows = [
        {
            "x": each.probability,
            "y": each.right.value,
            "low": each.right.low,
            "high": each.right.high,
            "n": f"{each.n:,}",
        }
        | {
            "tip": f"{percent(each.probability)} sure, right in {percent(each.right.value)}"
            f" ({ends(each.right.low, each.right.high)}), {many(each.n, 'picture')}"
        }
        for each in model.reliability
    ]
    first = max(0.0, math.floor(10 * min(each.probability for each in model.reliability) - 0.2) / 10)
    lowest = math.floor(10 * min(first, *(each.right.low for each in model.reliability))) / 10
    axis: Spec = {"labelExpr": PERCENT_AXIS, "labelFlush": False, "tickCount": 5}
    x = within(first, 1, **axis, title="Probability that the classifier gives")
    y = within(lowest, 1, **axis, title="Share in which it is right")
    slanted = [{"x": first, "y": first, "x2": 1, "y2": 1}]
    dot: Spec = {"shape": "circle", "size": 70, "fill": colour(0), "stroke": INK, "strokeWidth": 0.9, "opacity": 1}
    layers = [
        mark("rule", slanted, x=x("x"), y=y("y"), x2="x2", y2="y2", color=QUIET, strokeDash=[4, 3]),
        mark("rule", rows, x=x("x"), y=y("low"), y2="high", color=INK, strokeWidth=1.3),
        mark("text", rows, x=x("x"), y=y("y"), words="n", dx=8, color=QUIET, fontSize=SMALL),
        mark("point", rows, x=x("x"), y=y("y"), tip="tip", **dot),
    ]
    left, right = 60, 30
    inner = min(width - left - right, 420)
    return alone(layers, width, 240, left=left, right=width - left - inner, top=10, bottom=46)


def confusion(tally: Tally) -> Figure | None:
    """What people say against what the classifier says, as shares of each row."""
    model = tally.agreement.model if tally.agreement else None
    if model is None or not model.n:
        return None
    titles = {each.label: each.title for each in tally.classes}
    people = [label for label in titles if sum(model.counts.get(label, {}).values())]
    said = [label for label in titles if label != UNSURE or any(row.get(UNSURE) for row in model.counts.values())]
    right = sum(model.counts[label].get(label, 0) for label in people)
    rows = people[:_MOST_IN_MATRIX]
    columns = [label for label in said if label in rows or label == UNSURE]
    columns += [label for label in said if label not in columns][: max(0, _MOST_IN_MATRIX - len(columns))]
    beyond = len(rows) < len(people) or len(columns) < len(said)
    drawn = (
        f"Drawn are {classes_in_words(len(rows))} of {len(people)} that people named, and {len(columns)} of {len(said)}"
    )
    return draw(
        name="confusion",
        title=f"People and the classifier agree on {right:,} of {many(model.n, 'picture')} ({about(right / model.n)}).",
        caption=sentences(
            "Pictures with hand labels, without disputed ones: of those that people give a class, the share that the"
            " classifier gives each, and how many; framed where they agree. These pictures are not weighted to"
            " stand for all.",
            f"{model.by_hand:,} of them {verb(model.by_hand, 'was', 'were')} chosen by somebody, not drawn."
            if model.by_hand
            else "",
            f"{drawn} that the classifier gave; the table has all." if beyond else "",
        ),
        spec=lambda width: _matrix(model, titles, rows, columns, width),
        table=Table(
            columns=("People say", *(f"Classifier: {cut(titles[each], LONGEST)}" for each in said), "All"),
            rows=tuple(
                (
                    cut(titles[label], LONGEST),
                    *(f"{model.counts[label].get(each, 0):,}" for each in said),
                    f"{sum(model.counts[label].values()):,}",
                )
                for label in people
            ),
        ),
    )


def _matrix(
    model: ModelAgreement, titles: dict[str, str], rows: Sequence[str], columns: Sequence[str], width: int
) -> Spec:
    """A cell for each pair; columns by letters where their names don't fit."""
    left, top, line = (92 if width <= NARROW else 180), 40, 40
    room, height = (width - left - 4) / len(columns), top + line * len(rows)
    letters = dict(zip((*rows, *(each for each in columns if each not in rows)), ascii_uppercase, strict=False))
    fits = int(room / 6.4)
    lettered = any(len(titles[label]) > max(fits, 12) for label in columns) or fits < 6
    cells = []
    for i, label in enumerate(rows):
        whole = sum(model.counts[label].values())
        y = top + line * i
        for j, other in enumerate(columns):
            count = model.counts[label].get(other, 0)
            cells.append(
                {"x": j * room + 1, "x2": (j + 1) * room - 1, "middle": (j + 0.5) * room, "agree": label == other}
                | {"y": y + 1, "y2": y + line - 1, "upper": y + 0.32 * line, "lower": y + 0.7 * line}
                | {"share": percent(count / whole, 0), "count": f"{count:,}", "shade": 0.04 + 0.42 * count / whole}
                | {
                    "tip": f"People say {quoted(titles[label])}, the classifier says {quoted(titles[other])}:"
                    f" {count:,} of {many(whole, 'picture')}"
                }
            )
    x, down = within(0, width - left - 4, pixels=True), within(0, height, pixels=True)
    heads = [
        {
            "x": (j + 0.5) * room,
            "words": letters[label] if lettered and label in rows else cut(titles[label], max(fits, 2)),
        }
        for j, label in enumerate(columns)
    ]
    named = [
        {"y": top + line * (i + 0.5), "words": f"{letters[label]}  " * lettered + cut(titles[label], LONGEST)}
        for i, label in enumerate(rows)
    ]
    box: Spec = {"x": x("x"), "x2": "x2", "y": down("y"), "y2": "y2"}
    centred: Spec = {"x": x("middle"), "align": "center"}
    layers = [
        mark("rect", cells, **box, looks={"fillOpacity": "shade"}, color=colour(0)),
        mark("rect", [each for each in cells if each["agree"]], **box, fill="transparent", stroke=INK, strokeWidth=1.4),
        mark("text", cells, y=down("upper"), words="share", **centred),
        mark("text", cells, y=down("lower"), words="count", **centred, fontSize=SMALL),
        mark("text", heads, x=x("x"), y=29, words="words", align="center"),
        mark("text", named, x=-left, y=down("y"), words="words", room=left - 8),
        mark("text", [{"words": "The classifier says"}], x=0, y=9, words="words", color=QUIET),
        mark("text", [{"words": "People say"}], x=-left, y=29, words="words", color=QUIET),
        mark("rect", cells, **box, tip="tip", color="transparent"),
    ]
    return alone(layers, width, height, left=left, right=4, bottom=4)


def robustness(tally: Tally) -> Figure | None:
    """By how many points other wordings of the prompts move each class."""
    shares = {each.label: each.share for each in tally.classes if each.share is not None}
    variants = [
        (each, each.change)
        for each in tally.robustness or ()
        if each.kind != ALL and each.change is not None and each.label in shares
    ]
    if not variants:
        return None
    shown = largest(tally.classes, _MOST_CLASSES)
    titles = {each.label: each.title for each in tally.classes}
    lines = {
        "template": "above the line, with one template alone",
        "without_prompt": "below it, with one prompt left out",
    }
    how = [lines[kind] for kind in tally.kinds_compared if kind in lines]
    compared = variants[0][0].images_total
    ordered = [row for each in tally.classes for row in variants if row[0].label == each.label]
    return draw(
        name="robustness",
        title=_robustness_title(tally, variants),
        caption=sentences(
            "By how many points the share of a class among images changes if the prompts are worded otherwise:"
            f" {', '.join(how)}. The grey band is the {INTERVAL} of the share as published; thick lines leave it.",
            f"Counted over {many(compared, 'image')}, where the tally has {tally.images:,}."
            if compared != tally.images
            else "",
            left_out(tally.classes, shown),
        ),
        spec=lambda width: _strips(tally, [each.label for each in shown if each.label in shares], ordered, width),
        table=Table(
            columns=("Class", "Wording", "Share", "Change in points", "Leaves the interval"),
            rows=tuple(
                (
                    cut(titles[row.label], LONGEST),
                    _wording(row, LONGEST),
                    percent(moved(shares[row.label], change)),
                    points(change),
                    "yes" if row.flagged else "no",
                )
                for row, change in ordered
            ),
        ),
    )


def _strips(tally: Tally, labels: Sequence[str], variants: Sequence[tuple[VariantTally, float]], width: int) -> Spec:
    """A strip for each class, all of the same scale: its interval as a band, and a line for each wording."""
    strips: list[Spec] = []
    lines: list[Spec] = []
    classes = {each.label: each for each in tally.classes}
    for i, label in enumerate(labels):
        own, y = classes[label], _STRIP * i
        share, title = own.share or 0.0, quoted(own.title)
        moves = [change for row, change in variants if row.label == label]
        span = f"{points(min(moves))} to {points(max(moves))} points" if moves else "not compared"
        strips.append(
            {"words": cut(own.title, LONGEST), "said": f"{percent(share)}, {span}", "zero": 0}
            | {"y": y + 10, "top": y + 22, "middle": y + 36, "bottom": y + 50}
            | {"low": 100 * (own.low - share), "high": 100 * (own.high - share)}
            | {"tip": f"{title}: {percent(share)} as published ({ends(own.low, own.high)})"}
        )
        for row, change in variants:
            if row.label == label:
                top = y + (24 if row.kind == "template" else 37)
                look = {"colour": MISSING if row.flagged else INK, "wide": 3 if row.flagged else 1.2}
                tip = f"{title}: {percent(moved(share, change))} {_wording(row, 80)}"
                lines.append({"x": 100 * change, "top": top, "bottom": top + 11, "tip": tip, **look})
    reach = 1.05 * max(
        [0.5, *(abs(each["x"]) for each in lines), *(max(-each["low"], each["high"]) for each in strips)]
    )
    signed = f"(datum.value > 0 ? '+' : '') + replace(format(datum.value, '~g'), '-', '{_MINUS}')"
    x = within(-reach, reach, title="Change in points", labelExpr=signed, tickCount=5)
    height, left = _STRIP * len(strips), 10
    down, inner = within(0, height, pixels=True), width - 2 * left
    looks = {"color": "colour", "strokeWidth": "wide"}
    edge: Spec = {"stroke": QUIET, "strokeWidth": 0.8, "opacity": 1}
    layers = [
        mark("rect", strips, x=x("low"), x2="high", y=down("top"), y2="bottom", tip="tip", color=RULE, **edge),
        mark("rule", strips, x=0, x2=inner, y=down("middle"), color=QUIET, strokeWidth=0.7),
        mark("rule", strips, x=x("zero"), y=down("top"), y2="bottom", color=INK, strokeDash=[2, 2]),
        mark("rule", lines, x=x("x"), y=down("top"), y2="bottom", tip="tip", looks=looks),
        mark("text", strips, x=0, y=down("y"), words="words", fontWeight="bold", room=inner - 190),
        mark("text", strips, x=inner, y=down("y"), words="said", align="right", color=QUIET),
    ]
    return alone(layers, width, height, left=left, right=left)


def _wording(row: VariantTally, longest: int) -> str:
    return f"{'with only' if row.kind == 'template' else 'without'} {quoted(row.variant, longest)}"


def _robustness_title(tally: Tally, variants: Sequence[tuple[VariantTally, float]]) -> str:
    widest, change = max(variants, key=lambda row: abs(row[1]))
    leaving = [each for each in tally.classes if any(row.label == each.label and row.flagged for row, _ in variants)]
    most = f"{100 * abs(change):.1f} points"
    moves = f"{quoted(next(each.title for each in tally.classes if each.label == widest.label))} by up to {most}"
    if not leaving:
        if not round(1000 * abs(change)):
            return "Other wordings of the prompts change no share by as much as 0.1 points."
        return f"Other wordings of the prompts leave each class within its interval; they move {moves}."
    named = listed(quoted(each.title) for each in leaving) if len(leaving) < 4 else classes_in_words(len(leaving))
    if [each.label for each in leaving] == [widest.label]:
        return f"Other wordings of the prompts move {moves}, out of its interval."
    its = verb(len(leaving), "its interval", "their intervals")
    return f"Other wordings of the prompts take {named} out of {its}; they move {moves}."
