"""Templates -> a page: one file that loads nothing, runs no script but its own, and escapes every string from outside.

A template extends base.html.j2, which has the head, the skip link and the order of landmarks. Style and script stand in
the page. Its Content-Security-Policy allows these two by their sha256, pictures as data: addresses, and nothing else.
What would turn the direction of the words after it, or hide them, is left out of all text.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hashtag_photos.labels import UNSURE
from hashtag_photos.report.charts import COLOURS, PALETTE
from hashtag_photos.stages.caveats import PrecisionCheck
from hashtag_photos.stages.correct import CENSUS
from hashtag_photos.stages.numbers import Number
from hashtag_photos.stages.reviewed import Agreed
from hashtag_photos.stages.tally import ClassTally
from hashtag_photos.words import harmless, many, percent

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
_STYLES = ("report.css", "pictures.css")
_SCRIPTS = ("report.js", "wall.js")
_RANGE = r"\([0-9.,]+ to [0-9.,]+\)"
_LONGEST_TITLE = 80  # characters of what a tab or a window is called


def render(template: str, **context: Any) -> str:
    """The page that a template of report/templates makes of `context`. A name that the template wants and that isn't in
    it is an error (jinja2.UndefinedError).
    """
    style, script = _style(), _script()
    return (
        _environment()
        .get_template(template)
        .render(
            style=Markup(style),  # ours, so that they stand as they are and their hashes hold
            script=Markup(script),
            style_hash=_hash(style),
            script_hash=_hash(script),
            **context,
        )
    )


def place_of(label: str, classes: Sequence[ClassTally]) -> str:
    """How style names the colour and the mark of a class: c0, c1… in the order of the classes, other, or unsure."""
    if label == UNSURE:
        return UNSURE
    decided = [each.label for each in classes if each.label != UNSURE]
    if label not in decided:
        return ""
    place = decided.index(label)
    return f"c{place}" if place < COLOURS else "other"


def marked(sentence: str, classes: Iterable[ClassTally]) -> Markup:
    """A sentence with the class names that it quotes underlined in the colours that they have in the figures, and its
    intervals smaller than its shares.
    """
    classes, sentence = list(classes), harmless(sentence)
    places = {f"“{harmless(each.title)}”": place_of(each.label, classes) for each in classes}
    names = "|".join(re.escape(name) for name in sorted(places, key=len, reverse=True))
    pieces = re.split(f"({names}|{_RANGE})" if names else f"({_RANGE})", sentence)
    return Markup("").join(
        Markup('<span class="named {}">{}</span>').format(places[piece], piece)
        if piece in places
        else Markup('<span class="range">{}</span>').format(piece)
        if re.fullmatch(_RANGE, piece)
        else piece
        for piece in pieces
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


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_TITLE else text[: _LONGEST_TITLE - 1] + "…"


def _printed(value: Any) -> Any:
    """What a template prints, without what would turn or hide the words after it. Markup is made of such text."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else harmless(value)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("hashtag_photos.report"),
        autoescape=True,
        finalize=_printed,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "points": points,
        "at_most": at_most,
        "many": many,
        "interval": interval,
        "index": index,
        "marked": marked,
        "shortened": _shortened,
        "count": lambda number: f"{number:,}",
    }
    environment.globals |= {"UNSURE": UNSURE, "CENSUS": CENSUS, "place_of": place_of, "open_labels": open_labels}
    return environment


@cache
def _style() -> str:
    """All style as one text, after the colours, which figures as files have as well."""
    light, dark = (" ".join(f"--{name}: {pair[place]};" for name, pair in PALETTE.items()) for place in range(2))
    colours = f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
    # on paper it is always light
    printed = f"@media print {{ :root {{ {light} }} }}\n"
    return colours + "".join(map(_template_text, _STYLES)) + printed


@cache
def _script() -> str:
    return "".join(map(_template_text, _SCRIPTS))


def _template_text(name: str) -> str:
    return resources.files("hashtag_photos.report").joinpath(f"templates/{name}").read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
