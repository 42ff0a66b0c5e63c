"""Tally -> report.html: one file, no network, no script; every string from outside is escaped.

Pictures are small copies inside the page, blurred until they are clicked. Nothing in it depends on when it was made.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import io
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hashtag_photos.agreement import Bin
from hashtag_photos.errors import RunError
from hashtag_photos.images import ImageError, read_rgb
from hashtag_photos.labels import KINDS, UNSURE, LabelSet, find_labels, label_set_from_facts
from hashtag_photos.run import Run
from hashtag_photos.stages.caveats import PrecisionCheck, VariantTally, moved
from hashtag_photos.stages.classify import scores_path
from hashtag_photos.stages.correct import CENSUS
from hashtag_photos.stages.coverage import NO_TIME, Coverage, CoverageOf, most_missing
from hashtag_photos.stages.numbers import BOUND, CORRECTED, DIFFERENCE, RATIO, RAW, Number
from hashtag_photos.stages.reviewed import Agreed
from hashtag_photos.stages.score import ALL
from hashtag_photos.stages.summarize import report_folder
from hashtag_photos.stages.tally import ClassTally, Tally
from hashtag_photos.stages.units import UNITS
from hashtag_photos.tables import probability_column
from hashtag_photos.words import many, percent

PICTURES_PER_CLASS = 3
MOST_MISSING = 10  # hosts, and days, where they are too many to be shown all
_THUMBNAIL = 360  # pixels at most, either side
_MOST_DAYS = 45

_UNITS = {
    "pictures": "distinct pictures",
    "images": "images",
    "photos": "photos in posts",
    "posts": "posts with pictures",
    "engagement": "likes, reposts, replies",
}
_NOT_COMPUTED = {
    "coders": "Agreement between people",
    "kappa": "Cohen's kappa",
    "alpha": "Krippendorff's alpha",
    "ac1": "Gwet's AC1",
    "model": "The classifier against people",
}
REASONS = {
    "gone": "gone",
    "refused": "refused",
    "opted_out": "the server asks machines to leave it",
    "blocked": "address not allowed",
    "bad_address": "not an address",
    "not_an_image": "not a picture",
    "svg": "drawings in SVG",
    "video": "videos",
    "broken": "damaged or cut short",
    "too_large": "too large",
    "placeholder": "stand-ins for a removed picture",
    "timeout": "no answer in time",
    "server_error": "server error",
    "rate_limited": "rate limited",
    "unreachable": "unreachable",
    "interrupted": "transfer interrupted",
    "unsupported": "not to be decoded on this machine",
    "not_asked_yet": "not asked for yet",
}


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture on the page: its bytes as a data: address, and what it is."""

    data: str
    width: int
    height: int
    alt: str
    probability: float | None = None


@dataclass(frozen=True, kw_only=True)
class Wording:
    """The share of a class under another wording of the prompts, and where on its strip that is, from 0 to 100."""

    kind: str
    variant: str
    share: float
    change: float
    flagged: bool
    x: float


@dataclass(frozen=True, kw_only=True)
class Wordings:
    """A class under all wordings: all of them, of each kind the lowest and highest that change it, and their strip.

    The strip goes from the share `first` to `last`; `x`, `low` and `high` are the share as published and its interval.
    """

    published: ClassTally
    all: list[Wording]
    extremes: list[tuple[str, Wording]]
    images: int
    first: float
    last: float
    x: float
    low: float
    high: float


def write_report(run: Run, tally: Tally) -> str:
    """Write report.html for a tally of this run; the path where it stands. A report that is the same is left alone."""
    facts = run.used("label_sets", tally.labels_key)
    if facts is None:
        raise RunError(
            f"{run.location}: has no tally of {tally.labels}; run the summarize stage first", subject=tally.labels
        )
    labels = label_set_from_facts(dict(facts))
    path = f"{report_folder(run, tally.model_key, tally.labels_key)}/report.html"
    page = render(tally, labels, _pictures(run, tally, labels), _groups(run, tally))
    with run.writing():
        run.storage.update(path, page.encode())
    return f"{run.location.rstrip('/')}/{path}"


def render(
    tally: Tally,
    labels: LabelSet,
    pictures: Mapping[str, list[Picture]],
    groups: Mapping[str, Picture] | None = None,
) -> str:
    """The page as HTML, with `pictures` of each class, and of `groups` of near-duplicates by their name."""
    environment = Environment(
        loader=PackageLoader("hashtag_photos.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    environment.filters["points"] = points
    environment.filters["at_most"] = at_most
    environment.filters["many"] = many
    environment.filters["interval"] = interval
    environment.filters["index"] = index
    style = resources.files("hashtag_photos.report").joinpath("templates/report.css").read_text(encoding="utf-8")
    return environment.get_template("report.html.j2").render(
        tally=tally,
        labels=labels,
        pictures=pictures,
        groups=groups or {},
        units=[unit for unit in UNITS if any(each.unit == unit for each in tally.numbers)],
        units_named=_UNITS,
        titles={each.label: each.title for each in tally.classes},
        quotable=_quotable(tally),
        curve=_curve(tally),
        reasons=REASONS,
        not_computed=_NOT_COMPUTED,
        unsure=UNSURE,
        census=CENSUS,
        wordings=_wordings(tally),
        open_labels=open_labels,
        kinds={each.name: each.title for each in find_labels(KINDS).classes},
        days=_days(tally),
        most_days=_MOST_DAYS,
        reasons_missing=[each for each in tally.coverage.reasons if each.not_had],
        hosts_missing=most_missing(tally.coverage.hosts, MOST_MISSING),
        hosts_with_gaps=sum(each.not_had > 0 for each in tally.coverage.hosts),
        days_missing=most_missing(tally.coverage.days, MOST_MISSING),
        days_covered=_days_covered(tally.coverage),
        timeless=next((each for each in tally.coverage.days if each.value == NO_TIME), None),
        style=Markup(style),  # ours, so that it stands as it is and its hash holds
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
    )


def points(change: float) -> str:
    """A change of a share for people."""
    return f"{100 * change:+.1f}".replace("-", "\N{MINUS SIGN}") if round(100 * change, 1) else "0.0"


def at_most(change: float) -> str:
    """A small change of a probability in points, rounded up to two digits."""
    return f"{math.ceil(round(change * 1e4, 6)) / 100:.2f}".rstrip("0").rstrip(".")


def interval(number: Number) -> str:
    """A share with its interval, such as 58.1 % (52.4 – 63.7); one that was counted has none."""
    if number.method == CENSUS:
        return percent(number.value)
    ends = f"{100 * number.low:.1f} – {100 * (number.high or 0.0):.1f}"
    return f"{percent(number.value)} ({ends})" if number.value is not None else f"{ends}\N{NO-BREAK SPACE}%"


def index(estimate: Agreed) -> str:
    """An index of agreement with its interval, such as 0.81 (0.72 – 0.90)."""
    return f"{estimate.value:.2f} ({estimate.low:.2f} – {estimate.high:.2f})".replace("-", "\N{MINUS SIGN}")


def open_labels(check: PrecisionCheck, margin: float) -> str:
    """Of which margins the precision of the vectors leaves the label open."""
    within = at_most(check.within)
    if not margin:
        return f"margin within {within} points of a tie"
    return f"margin within {within} of the {100 * margin:g} points at which a picture becomes unsure"


def _quotable(tally: Tally) -> list[Number]:
    """The numbers to quote first: of distinct pictures, corrected where there are such, and of the missing."""
    kind = CORRECTED if tally.number(CORRECTED, tally.classes[0].label) else RAW
    paired = [each for measure in (DIFFERENCE, RATIO) if (each := tally.compared(measure))]
    shares = [each for label in tally.classes if (each := tally.number(kind, label.label))]
    missing = [each for each in tally.numbers if each.kind == BOUND and each.label != UNSURE]
    surest = [each for each in missing if each.rests_on == "labels"]
    return [*shares, *paired, *(surest or missing)]


@dataclass(frozen=True, kw_only=True)
class Point:
    """A point of the reliability curve in a square of 100 by 100, `y` downwards, from `low` to `high`."""

    of: Bin
    x: float
    y: float
    low: float
    high: float


def _curve(tally: Tally) -> list[Point]:
    model = tally.agreement.model if tally.agreement else None
    return [
        Point(
            of=each,
            x=100 * each.probability,
            y=100 - 100 * each.right.value,
            low=100 - 100 * each.right.low,
            high=100 - 100 * each.right.high,
        )
        for each in (model.reliability if model else ())
    ]


def _wordings(tally: Tally) -> list[Wordings]:
    """The classes under all wordings of their prompts, on strips of the same scale."""
    shares = {each.label: each.share for each in tally.classes if each.share is not None}
    variants = [
        (each, each.change, moved(shares[each.label], each.change))
        for each in tally.robustness or ()
        if each.kind != ALL and each.change is not None and each.label in shares
    ]
    ends = {}
    for each in tally.classes:
        reached = [share for variant, _, share in variants if variant.label == each.label]
        ends[each.label] = min([each.low, *reached]), max([each.high, *reached])
    width = min(max(1.1 * (last - first) for first, last in ends.values()), 1.0)
    return [
        _wordings_of(each, [row for row in variants if row[0].label == each.label], sum(ends[each.label]) / 2, width)
        for each in tally.classes
        if any(row[0].label == each.label for row in variants)
    ]


def _wordings_of(
    published: ClassTally, variants: list[tuple[VariantTally, float, float]], middle: float, width: float
) -> Wordings:
    first = min(max(middle - width / 2, 0.0), 1 - width)

    def x(share: float) -> float:
        return 100 * (share - first) / width

    rows = [
        Wording(kind=each.kind, variant=each.variant, share=share, change=change, flagged=each.flagged, x=x(share))
        for each, change, share in variants
    ]
    extremes = []
    for kind in dict.fromkeys(row.kind for row in rows):
        own = sorted((row for row in rows if row.kind == kind), key=lambda row: row.change)
        extremes += [("lowest", row) for row in own[:1] if row.change < 0]
        extremes += [("highest", row) for row in own[-1:] if row.change > 0]
    return Wordings(
        published=published,
        all=rows,
        extremes=extremes,
        images=variants[0][0].images_total,
        first=first,
        last=first + width,
        x=x(published.share or 0.0),
        low=x(published.low),
        high=x(published.high),
    )


def _days(tally: Tally) -> list[tuple[str, dict[str, int]]]:
    """Posts per class and day, from the first day to the last, days without any among them."""
    counted: dict[str, dict[str, int]] = {}
    for each in tally.days:
        counted.setdefault(each.day, {})[each.label] = each.posts
    return [(day, counted.get(day, {})) for day in _span(counted)]


def _days_covered(coverage: Coverage) -> list[tuple[str, CoverageOf | None]]:
    """What could be had of each day, from the first to the last, days without attachments among them."""
    counted = {each.value: each for each in coverage.days if each.value != NO_TIME}
    return [(day, counted.get(day)) for day in _span(counted)]


def _span(days: Collection[str]) -> list[str]:
    """All days from the first to the last; none if they are too many to be drawn."""
    if not days:
        return []
    first, last = (dt.date.fromisoformat(day) for day in (min(days), max(days)))
    length = (last - first).days + 1
    return [(first + dt.timedelta(days=i)).isoformat() for i in range(length)] if length <= _MOST_DAYS else []


def _pictures(run: Run, tally: Tally, labels: LabelSet) -> dict[str, list[Picture]]:
    """The most typical pictures of each class: those of the highest probability."""
    scores = run.read_table(scores_path(tally.model_key, tally.labels_key))
    chosen: dict[str, list[Picture]] = {}
    with run.database(scores=scores) as database:
        for name in labels.class_names:
            rows = database.execute(
                f"""SELECT sha256, any_value(format), any_value({probability_column(name)}) AS p
                FROM photos JOIN scores USING (sha256) WHERE status = 'ok' AND label = $label
                GROUP BY sha256 ORDER BY p DESC, sha256 LIMIT {PICTURES_PER_CLASS}""",
                {"label": name},
            ).fetchall()
            chosen[name] = [picture for row in rows if (picture := _picture(run, *row)) is not None]
    return chosen


def _groups(run: Run, tally: Tally) -> dict[str, Picture]:
    """The pictures with the most near-duplicates, by name."""
    names = [each.picture for each in tally.largest]
    with run.database() as database:
        formats = database.execute(
            """SELECT sha256, any_value(format) FROM photos
            WHERE status = 'ok' AND list_contains($names, sha256) GROUP BY sha256""",
            {"names": names},
        ).fetchall()
    shown = {sha256: _picture(run, sha256, image_format) for sha256, image_format in formats}
    return {name: picture for name in names if (picture := shown.get(name)) is not None}


def _picture(run: Run, sha256: str, image_format: str, probability: float | None = None) -> Picture | None:
    try:
        with run.open_image(sha256, image_format) as file:
            image = read_rgb(file)
    except (OSError, ImageError):
        return None  # gone from the folder since; the tally counts it, the page can't show it
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return Picture(
        data=f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}",
        width=image.width,
        height=image.height,
        alt=f"Picture {sha256[:12]}",
        probability=probability,
    )
