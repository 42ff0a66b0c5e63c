"""Tally -> report.html: one file, no network, no script; every string from outside is escaped.

Pictures are small copies inside the page, blurred until they are clicked. Nothing in it depends on when it was made.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import io
from collections.abc import Collection
from dataclasses import dataclass
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hashtag_photos.errors import RunError
from hashtag_photos.images import ImageError, read_rgb
from hashtag_photos.labels import UNSURE, LabelSet, label_set_from_facts
from hashtag_photos.run import Run
from hashtag_photos.stages.classify import scores_path
from hashtag_photos.stages.summarize import NO_TIME, Coverage, CoverageOf, Tally, most_missing, report_folder
from hashtag_photos.tables import probability_column

PICTURES_PER_CLASS = 3
MOST_MISSING = 10  # hosts, and days, where they are too many to be shown all
_THUMBNAIL = 360  # pixels at most, either side
_MOST_DAYS = 45

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
    probability: float


def write_report(run: Run, tally: Tally) -> str:
    """Write report.html for a tally of this run; the path where it stands. A report that is the same is left alone."""
    facts = run.used("label_sets", tally.labels_key)
    if facts is None:
        raise RunError(
            f"{run.location}: has no tally of {tally.labels}; run the summarize stage first", subject=tally.labels
        )
    labels = label_set_from_facts(dict(facts))
    path = f"{report_folder(run, tally.model_key, tally.labels_key)}/report.html"
    page = render(tally, labels, _pictures(run, tally, labels))
    with run.writing():
        run.storage.update(path, page.encode())
    return f"{run.location.rstrip('/')}/{path}"


def render(tally: Tally, labels: LabelSet, pictures: dict[str, list[Picture]]) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=PackageLoader("hashtag_photos.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    style = resources.files("hashtag_photos.report").joinpath("templates/report.css").read_text(encoding="utf-8")
    return environment.get_template("report.html.j2").render(
        tally=tally,
        labels=labels,
        pictures=pictures,
        reasons=REASONS,
        unsure=UNSURE,
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


def percent(share: float | None, digits: int = 1) -> str:
    """A share for people."""
    return "–" if share is None else f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


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


def _picture(run: Run, sha256: str, image_format: str, probability: float) -> Picture | None:
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
