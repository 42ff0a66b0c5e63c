"""Who is in the picture: skin, hair and clothes of officers and townspeople."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from scenes.canvas import Color, darker, mix, rgb

SKINS = [rgb(c) for c in ("#F6D2B8", "#EAB893", "#D69C72", "#B4764F", "#8C5638", "#643A28")]
HAIRS = [rgb(c) for c in ("#22191C", "#3B2620", "#5E3A26", "#9C5B2E", "#D9A65A", "#B9B4AE", "#7C2F23")]
GRAY = HAIRS[5]
GARMENTS = {
    "tee": "T-shirt",
    "hoodie": "hoodie",
    "jacket": "jacket",
    "stripes": "striped jumper",
    "dress": "dress",
    "coat": "coat",
}
NAMED = {
    name: rgb(value)
    for name, value in {
        "red": "#D9403A",
        "orange": "#F08A45",
        "yellow": "#F5CC50",
        "green": "#4F8F62",
        "teal": "#2C8F97",
        "blue": "#2E75B0",
        "light blue": "#8CC4DC",
        "purple": "#7B4A86",
        "pink": "#E59ABB",
        "white": "#F6F2EA",
        "gray": "#8D9096",
        "black": "#26262C",
        "brown": "#85533A",
        "beige": "#EAD3B4",
    }.items()
}


def color_name(color: Color) -> str:
    """The everyday word nearest to a colour, for whoever writes the caption."""
    return min(NAMED, key=lambda name: sum((a - b) ** 2 for a, b in zip(NAMED[name], color, strict=True)))


class Tint(Protocol):
    """The light of a picture, and the colours it is made of."""

    @property
    def clothes(self) -> tuple[Color, ...]: ...

    def lit(self, color: Color) -> Color: ...


@dataclass(frozen=True)
class Look:
    """Colours and clothes of one person, already under the light of the picture."""

    skin: Color
    hair: Color
    style: str
    top: Color
    cut: str
    bottom: Color
    shoes: Color
    hat: Color
    officer: bool = False
    headgear: str = ""
    vest: Color | None = None
    beard: bool = False
    glasses: bool = False
    scarf: Color | None = None
    child: bool = False
    wears: str = "dark blue uniform"


def _skin(rng: random.Random, lit: Callable[[Color], Color]) -> Color:
    """Skin takes on only half of the light: faces stay alive at night."""
    skin = rng.choice(SKINS)
    return mix(skin, lit(skin), 0.5)


def officer_look(rng: random.Random, tint: Tint, helmet: bool = False, vest: bool = False) -> Look:
    """An officer's dress: dark blue, badge, cap or helmet; hair and skin as varied as everybody's."""
    lit = tint.lit
    blue = rgb(rng.choice(("#22376B", "#1E3160", "#263C78")))
    style = rng.choice(("short", "short", "short", "tail", "bob", "bun", "bald"))
    return Look(
        skin=_skin(rng, lit),
        hair=lit(rng.choice(HAIRS[:6])),
        style=style,
        top=lit(blue),
        cut="uniform",
        bottom=lit(darker(blue, 0.3)),
        shoes=lit(rgb("#15172A")),
        hat=lit(blue),
        officer=True,
        headgear="helmet" if helmet else "cap",
        vest=lit(rgb("#16213F")) if vest else None,
        beard=style in ("short", "bald") and rng.random() < 0.18,
    )


def civilian_look(rng: random.Random, tint: Tint, cold: bool, child: bool = False) -> Look:
    """Somebody from town, dressed for the weather in the picture's own colours."""
    lit, clothes = tint.lit, tint.clothes
    top, bottom, hat = rng.sample(clothes, 3)
    if cold:
        cut = rng.choice(("coat", "jacket", "hoodie", "coat"))
        style = rng.choice(("beanie", "short", "long", "hijab", "beanie", "bob", "hood" if cut == "hoodie" else "tail"))
    else:
        cut = rng.choice(("tee", "hoodie", "jacket", "stripes", "dress", "tee"))
        style = rng.choice(("short", "long", "bob", "bun", "afro", "curly", "tail", "bald", "hijab", "beanie", "short"))
    if cut == "dress":
        style = style if style in ("long", "bob", "bun", "afro", "tail", "hijab") else "long"
    if child and style in ("bald", "hood"):
        style = "curly"
    beard = style in ("short", "bald", "beanie", "curly", "hood") and not child and rng.random() < 0.35
    return Look(
        skin=_skin(rng, lit),
        hair=lit(rng.choice([v for v in HAIRS if v != GRAY] if child else HAIRS)),
        style=style,
        top=lit(top),
        cut=cut,
        bottom=lit(
            darker(bottom, 0.25) if rng.random() < 0.4 else rng.choice((rgb("#34466B"), rgb("#4A4450"), rgb("#5C6B7A")))
        ),
        shoes=lit(rng.choice((rgb("#F4EFE6"), rgb("#3A2C2C"), rgb("#8A4B32"), rgb("#2A2D45")))),
        hat=lit(hat),
        beard=beard,
        glasses=rng.random() < 0.18,
        scarf=lit(rng.choice(clothes)) if cold and rng.random() < 0.5 else None,
        child=child,
        wears=f"{color_name(top)} {GARMENTS[cut]}",
    )
