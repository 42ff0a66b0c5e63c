"""A stage holds one picture in the making: its canvas, backdrop, cast and the facts about them."""

from __future__ import annotations

import random
from typing import Any

from scenes.backdrops import Backdrop, random_backdrop
from scenes.canvas import Canvas, darker
from scenes.figures import Figure
from scenes.looks import Look, civilian_look, officer_look
from scenes.palettes import Palette

Fact = str | int | bool

FEET = 0.96
TALL = 0.62
KNEEL: dict[str, Any] = {
    "hip": (0.0, 0.27),
    "near_foot": (0.15, 0.0),
    "far_foot": (-0.2, 0.0),
    "near_hand": (0.2, 0.4),
    "far_hand": (0.24, 0.42),
    "spine": 8.0,
}


def up(height: float) -> float:
    """World y of a point that far above the feet, in body heights."""
    return FEET - height * TALL


class Stage:
    """Casts people, frames the picture, and keeps count of what is in it."""

    def __init__(self, rng: random.Random, width: int, height: int) -> None:
        self.rng = rng
        self.canvas = Canvas(width, height, 2 if width * height <= 300 * 300 else 3)
        self.bg: Backdrop = random_backdrop(rng)
        self.facts: dict[str, Fact] = {}
        self.people = 0
        self.officers = 0
        self.clothes: list[str] = []
        self.force_gear = rng.random() < 0.4
        self.vests = rng.random() < 0.35

    @property
    def pal(self) -> Palette:
        """The palette of the picture."""
        return self.bg.pal

    def all_facts(self) -> dict[str, Fact]:
        """What a caption writer may say."""
        facts: dict[str, Fact] = {
            "weather": self.bg.weather,
            "time": self.pal.time,
            "place": self.bg.place,
            "season": self.bg.season,
            "people": self.people,
            "officers": self.officers,
        }
        if self.clothes:
            facts["clothes"] = ", ".join(self.clothes)
        return {**facts, **self.facts}

    def officer(
        self, x: float, face: int = 1, y: float = FEET, h: float = TALL, gear: bool = False, **pose: Any
    ) -> Figure:
        """An officer; ``gear`` puts on a helmet."""
        self.officers += 1
        look = officer_look(self.rng, self.pal, helmet=gear, vest=self.vests or gear)
        pose.setdefault("mood", "calm")
        return Figure(look, x, y, h * self.rng.uniform(0.97, 1.03), face, **pose)

    def civilian(
        self,
        x: float,
        face: int = 1,
        y: float = FEET,
        h: float = TALL,
        child: bool = False,
        main: bool = True,
        **pose: Any,
    ) -> Figure:
        """Somebody from town; ``main`` ones are worth naming in a caption."""
        self.people += 1
        look: Look = civilian_look(self.rng, self.pal, self.bg.cold, child)
        if main:
            self.clothes.append(look.wears)
        return Figure(look, x, y, h * self.rng.uniform(0.95, 1.04), face, **pose)

    def open(self, half: float, top: float, bottom: float, crowd: bool = True, inner: float | None = None) -> Canvas:
        """Frame a box of the world, paint the backdrop, and put bystanders beyond ``inner``."""
        rng, c = self.rng, self.canvas
        w, h = c.size
        ppu = min(w / (2 * half), h / (bottom - top)) * rng.uniform(0.74, 1.0)
        slack_x, slack_y = w / ppu - 2 * half, h / ppu - (bottom - top)
        c.look_at(
            rng.uniform(-0.25, 0.25) * slack_x,
            (top + bottom) / 2 - slack_y * rng.uniform(0.08, 0.3),
            ppu,
            rng.choice((1, -1)),
        )
        self.bg.paint(c)
        if self.pal.time == "night":
            c.glow(0, 0.62, 0.75, 0.5, self.pal.lamp, 62)
            c.glow(0, FEET, 0.8, 0.12, self.pal.lamp, 70)
        if crowd:
            self.bystanders(half + 0.02 if inner is None else inner)
        return c

    def bystanders(self, inner: float) -> None:
        """People (now and then an officer) who happen to be there, whatever happens in front."""
        rng = self.rng
        spots = []
        for _ in range(rng.choice((0, 0, 1, 2, 3, 5))):
            side = rng.choice((-1, 1))
            spots.append((rng.uniform(0.85, 0.9), side * rng.uniform(inner, inner + 0.32), -side))
        for y, x, face in sorted(spots):
            h = TALL * (1 - (FEET - y) * 2.4)
            mood = rng.choice(("calm", "calm", "smile"))
            turn = rng.choice((0.2, 0.45, 1.0))
            if rng.random() < 0.18:
                figure = self.officer(x, face, y, h, turn=turn, mood=mood)
            else:
                figure = self.civilian(x, face, y, h, main=False, turn=turn, mood=mood)
            if rng.random() < 0.3 and turn < 0.85:
                figure.near_hand = (0.2, 0.78)
            figure.draw(self.canvas)

    def close(self, feet: float = FEET) -> None:
        """Something near at the rim, and the weather in front of it all."""
        if self.rng.random() < 0.4:
            self.bg.foreground(self.canvas, darker(self.pal.lit(self.bg.leaf()), 0.42))
        self.bg.weather_front(self.canvas, feet)
