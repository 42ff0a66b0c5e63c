"""Figures: Vega-Lite -> SVG for the page, and SVG and PNG that stand alone. Colours, shapes, and how text is cut.

On the page colours are CSS variables (`var(--c0)`), so that light, dark and print have their own; in a file that stands
alone they are those of light. What a mark says when it is pointed at is its <title>. No address is ever asked.
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from hashtag_photos.labels import UNSURE
from hashtag_photos.stages.tally import ClassTally

WIDE, NARROW = 680, 340  # pixels
FONT_SIZE = 12  # pixels, of all text in a figure but what says less: SMALL
SMALL = 11
LONGEST = 60  # characters of a name from outside in a table

# Colour of -> in light, in dark. Those of the classes differ in lightness too, by 8 points of L* or more (grey print),
# and by 20 of CIE76 also as people without red, green or blue cones see them (Machado, Oliveira and Fernandes 2009,
# doi:10.1109/TVCG.2009.113). Shapes and names say the same again: colour is never alone.
PALETTE = {
    "c0": ("#044991", "#38a7f9"),
    "c1": ("#ca5437", "#fb9f75"),
    "c2": ("#8eaeb9", "#798d8e"),
    "c3": ("#894b6b", "#8853a0"),
    "c4": ("#f6b145", "#e9d45e"),
    "c5": ("#283335", "#e3ebfc"),
    "unsure": ("#d8d3c8", "#4b4f55"),
    "ink": ("#1d2126", "#e9e6df"),
    "quiet": ("#5c646d", "#a3abb4"),
    "rule": ("#dcd8cf", "#33373c"),
    "paper": ("#fbfaf7", "#16181b"),
    "card": ("#ffffff", "#1e2125"),
    "missing": ("#8a2f3b", "#f2a29b"),
}
_SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")
_UNSURE_SHAPE = "M-0.9,-0.9L0.9,-0.9L-0.9,0.9L0.9,0.9Z"  # an hourglass
_OTHER_SHAPE = "M0,-1A1,1,0,0,1,0,1A1,1,0,0,1,0,-1ZM0,-0.5A0.5,0.5,0,0,0,0,0.5A0.5,0.5,0,0,0,0,-0.5Z"  # a ring
COLOURS = len(_SHAPES)


def _light(name: str) -> str:
    return PALETTE[name][0]


INK, QUIET, RULE, PAPER, MISSING = map(_light, ("ink", "quiet", "rule", "paper", "missing"))
_FONT = "Liberation Sans"  # which the converter has with it, so that no text is measured otherwise elsewhere
_ALONE = "Liberation Sans, Arial, Helvetica, sans-serif"
_MARGIN = 24  # of a figure that stands alone
_DPI = 200  # so that a PNG is 18.5 cm wide in print, and its text of 12 pixels has 8.6 points
_SVG = "http://www.w3.org/2000/svg"
_KEPT = (
    *"xydr",
    "cx",
    "cy",
    "x1",
    "x2",
    "y1",
    "y2",
    "dx",
    "dy",
    "width",
    "height",
    "transform",
    "fill",
    "stroke",
    "opacity",
)
_ATTRIBUTES = frozenset(
    (*_KEPT, "fill-opacity", "stroke-width", "stroke-opacity", "stroke-dasharray", "stroke-linecap", "stroke-linejoin")
) | {"text-anchor", "font-size", "font-weight", "font-style"}
_LONG_FRACTION = re.compile(r"(\d+\.\d{2})\d+")
_NAMES = {light: name for name, (light, _) in PALETTE.items()}

CONFIG: Mapping[str, Any] = {
    "font": _FONT,
    "view": {"stroke": None},
    "axis": {
        "aria": False,
        "domain": False,
        "ticks": False,
        "gridColor": RULE,
        "labelColor": QUIET,
        "labelFontSize": FONT_SIZE,
        "labelPadding": 6,
        "titleColor": QUIET,
        "titleFontSize": FONT_SIZE,
        "titleFontWeight": "normal",
    },
    "text": {"color": INK, "fontSize": FONT_SIZE},
}
PERCENT_AXIS = "round(datum.value * 1000) / 10 + '\N{NO-BREAK SPACE}%'"  # a Vega expression for labels


@dataclass(frozen=True, kw_only=True)
class Table:
    """Numbers as people read them: rows under `columns`, of the same length. The first column heads its row."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure. `name` is its file name without ending and its id on the page, `title` a sentence that says what is
    seen, `caption` how to read it, and `table` has all its numbers.

    `wide` and `narrow` are <svg> elements for the page, 680 and 340 pixels wide, hidden from screen readers, which have
    the table; `svg` and `png` (of twice the size, in print 200 dots an inch) stand alone, with title and caption.
    """

    name: str
    title: str
    caption: str
    wide: str
    narrow: str
    table: Table
    svg: str
    png: bytes


def draw(*, name: str, title: str, caption: str, spec: Callable[[int], Mapping[str, Any]], table: Table) -> Figure:
    """A figure from a Vega-Lite `spec` of a width in pixels, drawn with CONFIG.

    Colours in it are values of PALETTE or none. What a mark says when it is pointed at is its `description`, and marks
    that say nothing have `"aria": False`. Strings from outside are data or axis titles, never in an expression.
    """
    wide, narrow = (_drawn(spec(width), width) for width in (WIDE, NARROW))
    alone = _standing_alone(wide, title, caption)
    return Figure(
        name=name,
        title=title,
        caption=caption,
        wide=_on_page(wide, "wide"),
        narrow=_on_page(narrow, "narrow"),
        table=table,
        svg=alone,
        png=_png(alone),
    )


def colour(place: int) -> str:
    """The colour of the class at this place; those that there are no more for share one."""
    return _light(f"c{place}" if place < COLOURS else "quiet")


def looks(classes: Sequence[ClassTally]) -> dict[str, tuple[str, str]]:
    """Colour and Vega shape of each class by its label, in the order of the classes without the unsure; further ones
    share one look."""
    decided = [each.label for each in classes if each.label != UNSURE]
    shapes = dict(enumerate(_SHAPES))
    found = {label: (colour(place), shapes.get(place, _OTHER_SHAPE)) for place, label in enumerate(decided)}
    return found | {UNSURE: (_light("unsure"), _UNSURE_SHAPE)}


def cut(text: str, longest: int) -> str:
    """A text from outside on one line, of so many characters at most, without what can't be seen or turns others."""
    seen = "".join(
        " " if unicodedata.category(each) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") else each for each in text
    )
    line = " ".join(seen.split()) or "(no name)"
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def quoted(text: str, longest: int = 40) -> str:
    """A name within a sentence, cut and in quotes; one that is written from right to left doesn't turn what follows."""
    name = f"“{cut(text, longest)}”"
    turned = any(unicodedata.bidirectional(each) in ("R", "AL", "AN") for each in name)
    return f"\N{FIRST STRONG ISOLATE}{name}\N{POP DIRECTIONAL ISOLATE}" if turned else name


def fitted(text: str, width: float) -> str:
    """A text of FONT_SIZE that lacks its middle where it is wider than so many pixels: names differ at their ends.

    (Vega's `limit` cuts between the halves of a letter beyond 16 bits, and fails.)
    """
    if length(text) <= width:
        return text
    shorter = (
        f"{text[: (kept + 1) // 2].rstrip()}…{text[len(text) - kept // 2 :].lstrip()}"
        for kept in range(len(text) - 1, 0, -1)
    )
    return next((each for each in shorter if length(each) <= width), "…")


def length(text: str, size: float = FONT_SIZE) -> float:
    """How many pixels a text needs, as far as the widths of letters can be told without a font."""
    return size * sum(
        1.0
        if unicodedata.east_asian_width(each) in "WF"
        else 0.3
        if each in " \N{NO-BREAK SPACE}ijlt.,;:'’|()f"
        else 0.94
        if each in "MWmw—"
        else 0.72
        if each.isupper()
        else 0.57
        for each in text
    )


def lines(text: str, size: float, width: float) -> list[str]:
    """A text in lines that fit into a width, in pixels, as far as `length` can tell."""
    found, line = [], ""
    for word in _words(text, size, width):
        if line and length(f"{line} {word}", size) > width:
            found.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*found, line]


def _words(text: str, size: float, width: float) -> Iterator[str]:
    """The words of a text, those that don't fit into a line in pieces."""
    for word in text.split(" "):
        piece = ""
        for letter in word:
            if piece and length(piece + letter, size) > width:
                yield piece
                piece = ""
            piece += letter
        yield piece


def _drawn(spec: Mapping[str, Any], width: int) -> ElementTree.Element:
    """The <svg> of a spec, without all that a page doesn't need."""
    import vl_convert

    whole = {"$schema": "https://vega.github.io/schema/vega-lite/v6.json", "background": None, "config": CONFIG, **spec}
    root = ElementTree.fromstring(vl_convert.vegalite_to_svg(whole, allowed_base_urls=[]))
    found = [each for each in map(_cleaned, root) if each is not None]
    drawn, height = float(root.get("width", width)), float(root.get("height", 0))
    svg = ElementTree.Element("svg", {"viewBox": f"0 0 {max(drawn, width):g} {height:g}", "width": f"{width}"})
    svg.set("height", f"{height * width / max(drawn, width):g}")
    svg.extend(found)
    return svg


def _cleaned(element: ElementTree.Element) -> ElementTree.Element | None:
    """An element of Vega's with what is seen of it alone, and its description as <title>; None if nothing is seen."""
    tag = element.tag.removeprefix(f"{{{_SVG}}}")
    if tag not in ("g", "path", "line", "rect", "text", "tspan", "circle") or element.get("display") == "none":
        return None
    kept = {name: _LONG_FRACTION.sub(r"\1", value) for name, value in element.attrib.items() if name in _ATTRIBUTES}
    if kept.get("transform") == "translate(0,0)":
        del kept["transform"]
    if kept.get("opacity") == "1":
        del kept["opacity"]
    told = element.get("aria-label") if tag != "g" else None
    if told and not {"fill", "stroke"} & kept.keys():
        kept |= {"fill": _light("card"), "fill-opacity": "0"}  # not seen, but there to be pointed at
    own = ElementTree.Element(tag, kept)
    own.text = element.text
    if told:
        title = ElementTree.SubElement(own, "title")
        title.text, title.tail, own.text = told, own.text, None
    own.extend(each for each in map(_cleaned, element) if each is not None)
    if tag == "g" and not len(own):
        return None
    if tag == "path" and (not kept.get("d") or not ({"fill", "stroke"} & kept.keys())):
        return None
    return own


def _on_page(svg: ElementTree.Element, which: str) -> str:
    """The element as it stands on the page."""
    text = ElementTree.tostring(svg, encoding="unicode")
    text = re.sub(r'(fill|stroke)="(#[0-9a-f]{6})"', lambda found: f'{found[1]}="{_variable(found[2])}"', text)
    return text.replace("<svg ", f'<svg class="{which}" aria-hidden="true" focusable="false" ', 1)


def _variable(value: str) -> str:
    if value not in _NAMES:
        raise ValueError(f"the colour {value} is not in PALETTE, so it has no name on the page")
    return f"var(--{_NAMES[value]})"


def _standing_alone(svg: ElementTree.Element, title: str, caption: str) -> str:
    """The element with title above and caption below, on white."""
    inner = WIDE
    width, height = inner + 2 * _MARGIN, float(svg.get("height", 0))
    root = ElementTree.Element("svg", {"xmlns": _SVG, "font-family": _ALONE, "role": "img"})
    ElementTree.SubElement(root, "title").text = title
    ElementTree.SubElement(root, "rect", {"width": "100%", "height": "100%", "fill": "#ffffff"})
    top = float(_MARGIN)
    for line in lines(title, 17, inner):
        top += 22
        _text(root, line, top - 5, {"font-size": "17", "font-weight": "bold", "fill": INK})
    top += 14
    place = ElementTree.SubElement(root, "g", {"transform": f"translate({_MARGIN},{top:g})"})
    place.extend(svg)
    top += height + 10
    for line in lines(caption, FONT_SIZE, inner):
        top += 17
        _text(root, line, top - 4, {"font-size": f"{FONT_SIZE}", "fill": QUIET})
    top += _MARGIN
    root.attrib |= {"viewBox": f"0 0 {width} {top:g}", "width": f"{width}", "height": f"{top:g}"}
    return ElementTree.tostring(root, encoding="unicode").replace(f'fill="{PAPER}"', 'fill="#ffffff"') + "\n"


def _text(root: ElementTree.Element, line: str, y: float, attributes: Mapping[str, str]) -> None:
    ElementTree.SubElement(root, "text", {"x": f"{_MARGIN}", "y": f"{y:g}", **attributes}).text = line


def _png(svg: str) -> bytes:
    import vl_convert
    from PIL import Image

    drawn = io.BytesIO(vl_convert.svg_to_png(svg, scale=2))
    smaller = io.BytesIO()  # by two thirds: without transparency, and compressed
    Image.open(drawn).convert("RGB").save(smaller, "PNG", dpi=(_DPI, _DPI))
    return smaller.getvalue()
