"""Tally -> the figures of its report, each where there is something to see.

The title of a figure is a sentence made of the numbers, its table has all of them, and what a drawing has no room for
its caption counts. Names from outside are cut, in the drawing and a little later in the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hashtag_photos.labels import UNSURE
from hashtag_photos.report import figures_of_checks, figures_over_time
from hashtag_photos.report.charts import LONGEST, MISSING, QUIET, Figure, Table, cut, draw, looks, quoted
from hashtag_photos.report.marks import COUNTS, Block, Dot, Spec, alone, columns, dotted, mark, share_axis, within
from hashtag_photos.report.page import REASONS
from hashtag_photos.report.phrases import (
    INTERVAL,
    about,
    amount,
    ends,
    largest,
    left_out,
    listed,
    of,
    responses,
    sentences,
    short,
    verb,
)
from hashtag_photos.stages.correct import CENSUS
from hashtag_photos.stages.coverage import NOT_ASKED
from hashtag_photos.stages.numbers import CORRECTED, RAW, SHARE, Number
from hashtag_photos.stages.shown import NOT_STATED
from hashtag_photos.stages.tally import ClassTally, EngagementOf, PartTally, Tally
from hashtag_photos.stages.units import ENGAGEMENT, PICTURES, POSTS, UNITS
from hashtag_photos.words import many, percent

MOST_CLASSES = 12  # in a figure: those with most images
_MOST_PARTS = 10  # sources, languages, reasons
_ENOUGH = 20  # images of a part that a title compares with others
_DRAWN = (PICTURES, POSTS, ENGAGEMENT)  # units, which the figure names as the tally does


def figures(tally: Tally) -> tuple[Figure, ...]:
    """All figures that this tally has something to show in, in the order in which they are read."""
    made = (
        _shares(tally),
        figures_over_time.shares(tally),
        _parts(tally, tally.sources, "sources", "source", "from"),
        _parts(tally, tally.languages, "languages", "language", "of posts in"),
        _engagement(tally),
        figures_of_checks.reliability(tally),
        figures_of_checks.confusion(tally),
        figures_of_checks.robustness(tally),
        _reasons(tally),
        figures_over_time.coverage(tally),
    )
    return tuple(each for each in made if each is not None)


# -- shares ------------------------------------------------------------------------------------------------------------


def _shares(tally: Tally) -> Figure | None:
    """The classes in three units, raw and corrected."""
    titles = {each.label: each.title for each in tally.classes}
    numbers = sorted(
        (each for each in tally.numbers if each.measure == SHARE and each.value is not None and each.label in titles),
        key=lambda each: (UNITS.index(each.unit), each.kind == RAW),
    )
    if not numbers:
        return None
    shown = largest(tally.classes, MOST_CLASSES)
    drawn = [each for each in numbers if each.unit in _DRAWN]
    both = any(each.kind == CORRECTED for each in drawn)
    blocks = [
        _block(tally, own, [_share_dot(each, titles, both=both) for each in drawn if each.label == own.label])
        for own in shown
    ]
    units = [unit for unit in _DRAWN if any(each.unit == unit for each in drawn)]
    raw = "raw: as the classifier labels, its own errors not in the interval"
    methods = {each.method for each in drawn if each.kind == CORRECTED}
    people = "as people would label, estimated from hand labels of a random sample"
    corrected = f"filled, corrected: {'as people labelled' if methods == {CENSUS} else people}; hollow, "
    return draw(
        name="shares",
        title=_shares_title(numbers, titles),
        caption=sentences(
            f"Shares with {INTERVAL}s, counted in {listed(units)}; {corrected if both else ''}{raw}.",
            "A post is divided evenly among its pictures, so that shares add up." if len(units) > 1 else "",
            "In engagement it counts by its likes, reposts and replies." if ENGAGEMENT in units else "",
            "What has no interval was counted: people labelled all of it." if CENSUS in methods else "",
            left_out(tally.classes, shown),
        ),
        spec=dotted(blocks, share_axis(blocks), (172, 164) if both else (112, 104), (104, 46)),
        table=Table(
            columns=("Class", "Share of", "Kind", "Share", INTERVAL),
            rows=tuple(
                (cut(titles[each.label], LONGEST), of(each.unit, each.of), each.kind, percent(each.value), _ends(each))
                for each in numbers
            ),
        ),
    )


def _block(tally: Tally, own: ClassTally, dots: Sequence[Dot]) -> Block:
    colour, shape = looks(tally.classes)[own.label]
    return Block(title=cut(own.title, LONGEST), colour=colour, shape=shape, dots=tuple(dots))


def _share_dot(number: Number, titles: Mapping[str, str], *, both: bool) -> Dot:
    value, high = number.value or 0.0, _high(number)
    named = f"{quoted(titles[number.label])}, {number.kind}, of {of(number.unit, number.of)}"
    return Dot(
        name=f"{number.unit}, {number.kind}" if both else number.unit,
        value=value,
        low=number.low,
        high=high,
        said=about(value),
        bracket="" if number.method == CENSUS else f"({100 * number.low:.0f}–{100 * high:.0f})",
        tip=f"{named}: {percent(value)} ({_ends(number)})",
        filled=number.kind == CORRECTED or not both,
    )


def _high(number: Number) -> float:
    return 1.0 if number.high is None else number.high


def _ends(number: Number) -> str:
    return "counted" if number.method == CENSUS else ends(number.low, _high(number))


def _shares_title(numbers: Sequence[Number], titles: Mapping[str, str]) -> str:
    """The three largest classes among distinct pictures, or in the first unit that there is; corrected if possible."""
    own = [each for each in numbers if (each.unit, each.kind) == (numbers[0].unit, numbers[0].kind)]
    found = sorted((each for each in own if each.value), key=lambda each: -(each.value or 0.0))[:3]
    by = "as people would label" if own[0].kind == CORRECTED else "as the classifier labels"
    if own[0].method == CENSUS:
        by = "as people labelled"
    if own[0].of == 1 and len(found) == 1:
        unsure = found[0].label == UNSURE
        shows = "is too close to call" if unsure else f"shows {quoted(titles[found[0].label])}"
        return f"The {of(own[0].unit, 1)} {shows}, {by} it."
    parts = [f"{about(each.value or 0.0)} {_show(each.label, titles)}" for each in found]
    return f"Of {of(own[0].unit, own[0].of)}, {listed(parts)}, {by} them."


def _show(label: str, titles: Mapping[str, str]) -> str:
    return "are too close to call" if label == UNSURE else f"show {quoted(titles[label])}"


# -- sources and languages ---------------------------------------------------------------------------------------------


def _parts(tally: Tally, parts: Sequence[PartTally], name: str, noun: str, within_it: str) -> Figure | None:
    """The classes in the posts of each source, or in each language."""
    of_value: dict[str, dict[str, PartTally]] = {}
    for each in parts:
        if each.images_total:
            of_value.setdefault(each.value, {})[each.label] = each
    if len(of_value) < 2:
        return None
    images = {value: next(iter(own.values())).images_total for value, own in of_value.items()}
    values = sorted(of_value, key=lambda value: (value == NOT_STATED, -images[value], value))
    kept, left = values[:_MOST_PARTS], len(values[_MOST_PARTS:])
    shown = largest(tally.classes, MOST_CLASSES)
    blocks = [
        _block(
            tally,
            own,
            [_part_dot(of_value[value][own.label], own) for value in kept if own.label in of_value[value]],
        )
        for own in shown
    ]
    return draw(
        name=name,
        title=_parts_title(tally, of_value, images, noun, within_it),
        caption=sentences(
            f"Share of each {noun}’s images that the classifier gives a class (raw), with {INTERVAL}s. An image that"
            f" several {noun}s have counts for each. Where intervals overlap widely, the {noun}s may not differ.",
            f"The table has {left} more {noun}{verb(left, '', 's')}." if left else "",
            left_out(tally.classes, shown),
        ),
        spec=columns(blocks),
        table=Table(
            columns=(noun.capitalize(), "Class", "Images", "Of images", "Share", INTERVAL, "Posts", "Of posts"),
            rows=tuple(
                (
                    cut(value, LONGEST),
                    cut(own.title, LONGEST),
                    f"{part.images:,}",
                    f"{part.images_total:,}",
                    percent(part.share),
                    ends(part.low, part.high),
                    f"{part.posts:,}",
                    f"{part.posts_total:,}",
                )
                for value in values
                for own in tally.classes
                if (part := of_value[value].get(own.label))
            ),
        ),
    )


def _part_dot(part: PartTally, own: ClassTally) -> Dot:
    share = part.share or 0.0
    counted = f"{part.images:,} of {many(part.images_total, 'image')}"
    return Dot(
        name=cut(part.value, LONGEST),
        value=share,
        low=part.low,
        high=part.high,
        said=about(share),
        tip=f"{cut(part.value, LONGEST)}, {quoted(own.title)}: {percent(share)} ({ends(part.low, part.high)}),"
        f" {counted}",
    )


def _parts_title(
    tally: Tally, of_value: Mapping[str, Mapping[str, PartTally]], images: Mapping[str, int], noun: str, within_it: str
) -> str:
    """Where the class with most images has its largest and smallest share, among the parts with enough images."""
    told = {label for own in of_value.values() for label in own}
    own = [each for each in tally.classes if each.label in told]
    leading = max([each for each in own if each.label != UNSURE] or own, key=lambda each: each.images)
    title = quoted(leading.title)
    stated = [value for value in of_value if value != NOT_STATED]
    enough = [value for value in stated if images[value] >= _ENOUGH] or stated
    parts = [of_value[value][leading.label] for value in enough if leading.label in of_value[value]]
    ordered = sorted(parts, key=lambda each: (-(each.share or 0.0), each.value))
    said = [
        f"{about(each.share or 0.0)} of {many(each.images_total, 'image')} {within_it} {quoted(each.value)}"
        for each in ordered
    ]
    if len(said) < 2:
        return f"{title}: {said[0]}."
    few = f" with {_ENOUGH} images and more" if len(enough) < len(stated) else ""
    if (same := about(ordered[0].share or 0.0)) == about(ordered[-1].share or 0.0):
        every = "both" if len(parts) == 2 else f"all {len(parts)}"
        return f"{title} has about the same share in {every} {noun}s{few}: {same}."
    if len(parts) == 2:
        return f"{title}: {said[0]} and {said[1]}."
    return f"Of {len(parts)} {noun}s{few}, {title} has most and least in these: {said[0]}, {said[-1]}."


# -- engagement --------------------------------------------------------------------------------------------------------


def _engagement(tally: Tally) -> Figure | None:
    """What posts of each class got: median and quartiles."""
    own = {each.label: each for each in tally.classes}
    e = tally.engagement
    there = {each.label: each for each in e.classes if each.median is not None and each.label in own}
    if not there or not e.total:
        return None
    shown = [each for each in largest(tally.classes, MOST_CLASSES) if each.label in there]
    blocks = [_block(tally, each, [_engagement_dot(there[each.label], each)]) for each in shown]
    highest = max([1.0, *(there[each.label].p75 or 0.0 for each in shown)])
    powers = [10.0**power for power in range(16) if 10.0**power <= highest * 1.3]
    axis = {
        "labelExpr": COUNTS,
        "labelFlush": False,
        "title": "Likes, reposts and replies of a post",
    }
    scale = {"type": "symlog", "domain": [0, highest * 1.1], "nice": False}
    values = [0.0, *powers[:: max(1, len(powers) // 3)]]

    def x(field: str) -> Spec:
        return {"field": field, "type": "quantitative", "scale": scale, "axis": {**axis, "values": values, "offset": 2}}

    others = [
        f"{count:,} {what}"
        for count, what in (
            (e.reposts, verb(e.reposts, "repost of another", "reposts of others")),
            (e.unstated, verb(e.unstated, "post that states none", "posts that state none")),
        )
        if count
    ]
    return draw(
        name="engagement",
        title=_engagement_title([each for each in there.values() if each.label != UNSURE], tally),
        caption=sentences(
            f"Likes, reposts and replies of {many(e.weighing, 'post')} that {verb(e.weighing, 'states', 'state')} any:"
            " the median of those that show a class, as the classifier labels it, and a line between the quartiles. A"
            " post that shows two classes counts for both. The scale is logarithmic.",
            f"Not in it: {listed(others)}." if others else "",
            left_out(tally.classes, largest(tally.classes, MOST_CLASSES)),
        ),
        spec=dotted(blocks, x, (160, 112), (112, 56), bottom=44),
        table=Table(
            columns=("Class", "Posts", "Median", "Lower quartile", "Upper quartile", "All likes, reposts and replies"),
            rows=tuple(
                (
                    cut(own[each.label].title, LONGEST),
                    f"{each.posts:,}",
                    *("–" if value is None else amount(value) for value in (each.median, each.p25, each.p75)),
                    f"{each.total:,}",
                )
                for each in e.classes
                if each.label in own
            ),
        ),
    )


def _engagement_dot(each: EngagementOf, own: ClassTally) -> Dot:
    median, low, high = each.median or 0.0, each.p25 or 0.0, each.p75 or 0.0
    between = f"{amount(low)} to {amount(high)}"
    return Dot(
        name=many(each.posts, "post"),
        value=median,
        low=low,
        high=high,
        said=short(median),
        bracket=f"({short(low)}–{short(high)})",
        tip=f"{quoted(own.title)}, {many(each.posts, 'post')}: median {amount(median)}, quartiles {between}",
    )


def _engagement_title(there: Sequence[EngagementOf], tally: Tally) -> str:
    e = tally.engagement
    if not there:
        return f"{many(e.weighing, 'post')} with pictures drew {responses(e.total)} in all."
    titles = {each.label: quoted(each.title) for each in tally.classes}
    ordered = sorted(there, key=lambda each: -(each.median or 0.0))
    first, last = ordered[0], ordered[-1]
    most, least = responses(first.median or 0.0), amount(last.median or 0.0)
    title = f"Posts that show {titles[first.label]} drew a median of {most}"
    if first.posts == 1:
        title = f"The one post that shows {titles[first.label]} drew {most}"
    if len(ordered) == 1:
        return f"{title}."
    if amount(first.median or 0.0) == least:
        return f"Posts of every class drew the same median of likes, reposts and replies: {least}."
    others = verb(last.posts, "the one that shows", "those that show")
    return f"{title}, {others} {titles[last.label]} {least}."


# -- what could not be had ---------------------------------------------------------------------------------------------


def _reasons(tally: Tally) -> Figure | None:
    """Why attachments are missing."""
    c = tally.coverage
    missing = sorted((each for each in c.reasons if each.not_had), key=lambda each: -each.not_had)
    if not missing:
        return None
    named = [(_reason(each.value), each.not_had) for each in missing]
    rows = named[:_MOST_PARTS]
    if others := named[_MOST_PARTS:]:
        rows.append((many(len(others), "other reason"), sum(count for _, count in others)))
    lost = sum(count for _, count in named)
    asked = sum(each.not_had for each in missing if each.value.partition(":")[0] == NOT_ASKED)
    most = max(count for _, count in named)
    first = [reason for reason, count in named if count == most]
    why = f"; the most frequent reason is {quoted(first[0], 60)} ({most:,})" if len(first) == 1 < len(named) else ""
    if len(named) == 1:
        why = f"; the reason is {quoted(first[0], 60)}"
    return draw(
        name="coverage-reasons",
        title=f"{lost:,} of {many(c.attachments, 'attachment')} ({about(lost / c.attachments)})"
        f" {verb(lost, 'is', 'are')} missing{why}.",
        caption=sentences(
            f"Attachments of posts that are missing, by reason, and their share of all {c.attachments:,}.",
            f"{asked:,} of them {verb(asked, 'was', 'were')} not asked for yet." if asked else "",
        ),
        spec=lambda width: _reason_bars(rows, c.attachments, width),
        table=Table(
            columns=("Reason", "Missing", "Of all attachments"),
            rows=tuple((cut(reason, LONGEST), f"{count:,}", percent(count / c.attachments)) for reason, count in named),
        ),
    )


def _reason(value: str) -> str:
    status, _, wording = value.partition(": ")
    return f"{REASONS.get(status, status)}: {wording}" if wording else REASONS.get(status, status)


def _reason_bars(rows: Sequence[tuple[str, int]], attachments: int, width: int) -> Spec:
    """Bars with their names above."""
    step, right = 36, 104
    height = step * len(rows)
    marks = [
        {"name": cut(reason, 200), "count": count, "zero": 0, "top": step * i}
        | {
            "label": step * i + 9,
            "from": step * i + 18,
            "middle": step * i + 24,
            "to": step * i + 30,
            "end": step * (i + 1),
        }
        | {"said": f"{count:,} ({percent(count / attachments)})"}
        | {"tip": f"{cut(reason, 200)}: {count:,} of {many(attachments, 'attachment')}"}
        for i, (reason, count) in enumerate(rows)
    ]
    x, down = within(0, max(count for _, count in rows)), within(0, height, pixels=True)
    layers = [
        mark("rect", marks, x=x("zero"), x2="count", y=down("from"), y2="to", color=MISSING),
        mark("text", marks, x=0, y=down("label"), words="name", room=width - 4),
        mark("text", marks, x=x("count"), y=down("middle"), words="said", dx=7, color=QUIET),
        mark("rect", marks, x=0, x2=width - 2, y=down("top"), y2="end", tip="tip", color="transparent"),
    ]
    return alone(layers, width, height, left=2, right=right, bottom=4)
