"""Where a picture happens: weather and places built up in layers from the sky forwards."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from scenes.canvas import Canvas, Color, Point, darker, lighter, mix, rgb, smooth
from scenes.palettes import PALETTES, Palette

WEATHERS = ("clear", "clear", "clear", "cloudy", "rain", "snow", "fog")
PLACES = ("street", "park", "harbour", "square", "shops", "town hall")


@dataclass
class Backdrop:
    """One place, hour and weather; ``paint`` lays it down, ``weather_front`` falls before the people."""

    rng: random.Random
    pal: Palette
    weather: str
    place: str
    season: str
    horizon: float

    @property
    def cold(self) -> bool:
        """Whether people dress warmly."""
        return self.season == "winter" or self.weather == "snow"

    @property
    def wet(self) -> bool:
        """Whether the ground mirrors."""
        return self.weather == "rain"

    @property
    def night(self) -> bool:
        """Whether lamps and windows are lit."""
        return self.pal.time == "night"

    def leaf(self) -> Color:
        """Colour of leaves in this season."""
        turn = {"autumn": rgb("#D9843B"), "spring": rgb("#9CC46B")}.get(self.season)
        return mix(self.pal.leaf, turn, 0.6 if self.pal.time != "night" else 0.3) if turn else self.pal.leaf

    def paint(self, c: Canvas) -> None:
        """Sky, place and ground."""
        self.sky(c)
        {
            "street": self._street,
            "park": self._park,
            "harbour": self._harbour,
            "square": self._square,
            "shops": self._shops,
            "town hall": self._town_hall,
        }[self.place](c)
        if self.weather == "fog":
            c.veil(c.top, self.horizon, self.pal.sky[1], 30, 190)
            c.veil(self.horizon, c.bottom, self.pal.sky[1], 190, 40)
        elif self.weather in ("rain", "snow"):
            c.veil(self.horizon - 0.5, self.horizon, self.pal.sky[1], 0, 70)
            c.veil(self.horizon, c.bottom, self.pal.sky[1], 70, 0)

    def sky(self, c: Canvas) -> None:
        rng, pal = self.rng, self.pal
        top, low = pal.sky
        if self.weather in ("rain", "snow", "fog", "cloudy"):
            gray = mix(top, low, 0.5)
            top, low = mix(top, gray, 0.45), mix(low, gray, 0.25)
        c.vertical(c.top, self.horizon + 0.01, top, low)
        x = rng.uniform(-0.5, 0.5)
        y = rng.uniform(0.06, 0.3)
        if self.night:
            for _ in range(0 if self.weather != "clear" else 40):
                c.disc(
                    rng.uniform(c.left, c.right),
                    rng.uniform(c.top, self.horizon - 0.1),
                    rng.uniform(0.0012, 0.0032),
                    (255, 255, 240),
                    170,
                )
            if self.weather in ("clear", "cloudy"):
                c.glow(x, y, 0.22, 0.22, lighter(low, 0.5), 120)
                c.disc(x, y, 0.045, (250, 244, 220))
                c.disc(x + 0.014, y - 0.008, 0.04, mix(top, low, 0.2), 60)
        elif self.weather in ("clear", "cloudy"):
            y += 0.22 if pal.time == "dusk" else 0.0
            c.glow(x, y, 0.4, 0.4, lighter(low, 0.6), 170)
            c.disc(x, y, 0.06, mix(lighter(low, 0.7), (255, 214, 120), 0.35))
            c.cast = -x * 0.5
        if self.weather in ("cloudy", "rain", "snow") or rng.random() < 0.6:
            for _ in range(rng.randint(2, 5)):
                self._cloud(
                    c,
                    rng.uniform(c.left, c.right),
                    rng.uniform(c.top + 0.04, c.top + 0.34),
                    rng.uniform(0.08, 0.2),
                    mix(low, lighter(top, 0.4), 0.4),
                )

    def _cloud(self, c: Canvas, x: float, y: float, r: float, color: Color) -> None:
        for dx, dy, k in ((-0.8, 0, 0.42), (-0.3, -0.18, 0.55), (0.3, -0.1, 0.5), (0.8, 0.03, 0.36)):
            c.ellipse(x + dx * r, y + dy * r, k * r, k * r * 0.62, color)
        c.rect(x - 1.1 * r, y, x + 1.1 * r, y + 0.28 * r, color, radius=0.14 * r)

    def _ground(self, c: Canvas, near: Color | None = None, far: Color | None = None) -> None:
        g, d = self.pal.ground
        near, far = near or g, far or d
        if self.season == "winter" and self.weather == "snow":
            snow = self.pal.lit(rgb("#EEF3F8"))
            near, far = mix(near, snow, 0.72), mix(far, snow, 0.6)
        c.vertical(self.horizon, c.bottom, mix(far, self.pal.sky[1], 0.25), near)

    def skyline(self, c: Canvas, base: float, t: float, tall: float) -> None:
        rng, x = self.rng, c.left - 0.05
        color = self.pal.far(self.pal.walls[2], t)
        while x < c.right:
            w, h = rng.uniform(0.06, 0.17), rng.uniform(0.35, 1) * tall
            c.rect(x, base - h, x + w, base, color)
            kind = rng.random()
            if kind < 0.25:
                c.poly(((x, base - h), (x + w / 2, base - h - w * 0.5), (x + w, base - h)), color)
            elif kind < 0.4:
                c.rect(x + w * 0.45, base - h - 0.05, x + w * 0.5, base - h, color)
            if self.night:
                for _ in range(3):
                    wx, wy = x + rng.uniform(0.1, 0.8) * w, base - rng.uniform(0.1, 0.9) * h
                    c.rect(wx, wy, wx + 0.008, wy + 0.012, self.pal.lamp, 150)
            x += w

    def _window(self, c: Canvas, x: float, y: float, w: float, h: float, wall: Color) -> None:
        lit = self.rng.random() < {"night": 0.5, "dusk": 0.4, "day": 0.0}[self.pal.time]
        glass = mix(self.pal.lamp, wall, 0.12) if lit else mix(wall, darker(self.pal.sky[0], 0.35), 0.6)
        c.rect(x, y, x + w, y + h, glass)
        if not c.tiny(w * 0.2):
            c.rect(x + w * 0.46, y, x + w * 0.54, y + h, wall)
            c.rect(x - w * 0.12, y + h, x + w * 1.12, y + h * 1.08, lighter(wall, 0.25))
            if not lit:
                c.poly(((x, y + h * 0.55), (x, y + h * 0.2), (x + w * 0.4, y), (x + w * 0.46, y)), (255, 255, 255), 36)

    def _house(self, c: Canvas, x: float, w: float, top: float, base: float, wall: Color, shop: bool) -> None:
        rng, pal = self.rng, self.pal
        c.rect(x, top, x + w + 0.002, base, wall)
        c.rect(x + w * 0.86, top, x + w + 0.002, base, darker(wall, 0.1))
        roof = rng.random()
        if roof < 0.4:
            c.poly(
                ((x - 0.008, top), (x + w * 0.12, top - 0.07), (x + w * 0.88, top - 0.07), (x + w + 0.008, top)),
                darker(wall, 0.35),
            )
            if rng.random() < 0.6:
                cx = x + w * rng.uniform(0.2, 0.7)
                c.rect(cx, top - 0.11, cx + 0.025, top - 0.04, darker(wall, 0.45))
        elif roof < 0.65:
            c.poly(((x - 0.006, top), (x + w / 2, top - w * 0.42), (x + w + 0.006, top)), darker(wall, 0.32))
        else:
            c.rect(x - 0.008, top - 0.016, x + w + 0.008, top + 0.004, lighter(wall, 0.25))
        if self.weather == "snow":
            c.rect(x - 0.006, top - 0.022, x + w + 0.006, top, pal.lit(rgb("#F4F7FA")))
        columns = max(1, int(w / 0.07))
        gap = w / columns
        y = top + 0.035
        stop = base - (0.17 if shop else 0.04)
        while y + 0.06 < stop:
            for i in range(columns):
                self._window(c, x + gap * (i + 0.27), y, gap * 0.46, 0.058, wall)
            y += 0.1
        if shop:
            self._shop(c, x + w * 0.06, w * 0.88, base, wall)

    def _shop(self, c: Canvas, x: float, w: float, base: float, wall: Color) -> None:
        rng, pal = self.rng, self.pal
        awning = pal.far(pal.lit(rng.choice(pal.clothes)), 0.12)
        glass = mix(pal.lamp, wall, 0.2) if pal.time != "day" else mix(wall, darker(pal.sky[0], 0.3), 0.55)
        c.rect(x, base - 0.13, x + w, base - 0.012, glass)
        door = x + w * rng.choice((0.08, 0.68))
        c.rect(door, base - 0.125, door + w * 0.22, base, darker(wall, 0.4))
        c.rect(door + w * 0.03, base - 0.115, door + w * 0.19, base - 0.04, glass)
        n = max(4, int(w / 0.026))
        step = (w + 0.02) / n
        for i in range(n):
            a = x - 0.01 + i * step
            color = awning if i % 2 else lighter(awning, 0.7)
            c.poly(
                (
                    (a + 0.006, base - 0.168),
                    (a + step + 0.004, base - 0.168),
                    (a + step, base - 0.125),
                    (a, base - 0.125),
                ),
                color,
            )
            c.disc(a + step / 2, base - 0.125, step / 2, color)

    def _row(self, c: Canvas, base: float, low: float, high: float, air: float, shops: float) -> None:
        rng = self.rng
        x = c.left - rng.uniform(0, 0.1)
        last: Color | None = None
        while x < c.right:
            w, h = rng.uniform(0.17, 0.32), rng.uniform(low, high)
            wall = rng.choice([v for v in self.pal.walls if v != last])
            last = wall
            self._house(c, x, w, base - h, base, self.pal.far(wall, air), rng.random() < shops)
            x += w + rng.choice((0, 0, 0.006))

    def lamp_post(self, c: Canvas, x: float, base: float, h: float) -> None:
        """Street lamp, glowing from dusk on."""
        pole = darker(self.pal.walls[2], 0.5)
        c.capsule((x, base), (x, base - h), 0.008, 0.005, pole)
        c.rect(x - 0.018, base - 0.02, x + 0.018, base, pole)
        c.line(((x, base - h), (x + 0.03, base - h - 0.03), (x + 0.07, base - h - 0.03)), 0.009, pole)
        c.poly(
            (
                (x + 0.045, base - h - 0.035),
                (x + 0.095, base - h - 0.035),
                (x + 0.105, base - h - 0.012),
                (x + 0.035, base - h - 0.012),
            ),
            pole,
        )
        if self.pal.time != "day":
            c.ellipse(x + 0.07, base - h - 0.01, 0.026, 0.012, lighter(self.pal.lamp, 0.5))
            c.glow(x + 0.07, base - h, 0.3, 0.3, self.pal.lamp, 130 if self.night else 80)
            c.glow(x + 0.07, base, 0.34, 0.07, self.pal.lamp, 90)
        else:
            c.ellipse(x + 0.07, base - h - 0.01, 0.026, 0.01, (250, 246, 232))

    def tree(self, c: Canvas, x: float, base: float, h: float, air: float) -> None:
        """A tree in its season's dress."""
        rng, pal = self.rng, self.pal
        trunk = pal.far(darker(mix(rgb("#7A5240"), pal.ambient, pal.strength * 1.5), 0.15), air)
        c.capsule((x, base), (x, base - h * 0.55), h * 0.03, h * 0.018, trunk)
        if self.season == "winter":
            for side, up, out in ((-1, 0.4, 0.2), (1, 0.46, 0.24), (-1, 0.55, 0.16), (1, 0.62, 0.13), (-1, 0.7, 0.08)):
                tip = (x + side * out * h, base - h * (up + 0.24))
                c.capsule((x, base - h * up), tip, h * 0.013, h * 0.004, trunk)
                mid = ((x + tip[0]) / 2, (base - h * up + tip[1]) / 2)
                c.capsule(mid, (mid[0] + side * 0.02 * h, mid[1] - 0.13 * h), h * 0.007, h * 0.003, trunk)
            c.capsule((x, base - h * 0.5), (x, base - h), h * 0.017, h * 0.004, trunk)
            return
        leaf = pal.far(self.leaf(), air)
        shade = darker(leaf, 0.16)
        form = rng.random()
        if form < 0.3:
            c.poly(
                smooth(
                    (
                        (x - h * 0.16, base - h * 0.3),
                        (x - h * 0.1, base - h * 0.75),
                        (x, base - h),
                        (x + h * 0.1, base - h * 0.75),
                        (x + h * 0.16, base - h * 0.3),
                    ),
                    3,
                ),
                leaf,
            )
            c.poly(
                smooth(
                    (
                        (x, base - h * 0.28),
                        (x + 0.01, base - h * 0.95),
                        (x + h * 0.1, base - h * 0.75),
                        (x + h * 0.16, base - h * 0.3),
                    ),
                    3,
                ),
                shade,
            )
        else:
            for dx, dy, r, col in (
                (0.1, 0.55, 0.23, shade),
                (-0.13, 0.58, 0.22, leaf),
                (0.0, 0.76, 0.22, leaf),
                (0.13, 0.68, 0.17, leaf),
            ):
                c.ellipse(x + dx * h, base - dy * h, r * h, r * h * 0.92, col)
            c.capsule((x, base - h * 0.35), (x + h * 0.07, base - h * 0.6), h * 0.012, h * 0.006, trunk)

    def _street(self, c: Canvas) -> None:
        rng, hz = self.rng, self.horizon
        self.skyline(c, hz, 0.72, 0.5)
        self._row(c, hz, 0.3, 0.55, 0.32, 0.7)
        g, d = self.pal.ground
        self._ground(c, darker(g, 0.12), darker(d, 0.1))
        c.rect(c.left, hz, c.right, hz + 0.028, self.pal.far(lighter(g, 0.25), 0.2))
        c.rect(c.left, hz + 0.028, c.right, hz + 0.034, darker(d, 0.3))
        y = hz + (c.bottom - hz) * 0.42
        paint = mix(g, (250, 245, 230), 0.5)
        x = c.left - rng.uniform(0, 0.2)
        while x < c.right:
            c.poly(((x, y), (x + 0.15, y), (x + 0.14, y + 0.014), (x - 0.012, y + 0.014)), paint)
            x += 0.3
        for x in (rng.uniform(-0.6, -0.25), rng.uniform(0.3, 0.6)):
            if rng.random() < 0.5:
                self.tree(c, x, hz + 0.03, rng.uniform(0.34, 0.46), 0.12)
            else:
                self.lamp_post(c, x, hz + 0.03, rng.uniform(0.4, 0.5))

    def _park(self, c: Canvas) -> None:
        rng, hz, pal = self.rng, self.horizon, self.pal
        if rng.random() < 0.5:
            self.skyline(c, hz - 0.03, 0.75, 0.36)
        for air, lift in ((0.7, 0.16), (0.52, 0.08)):
            color = pal.far(self.leaf() if self.season != "winter" else mix(pal.leaf, pal.ground[0], 0.5), air)
            step = (c.right - c.left) / 7
            ridge: list[Point] = [(c.left + i * step, hz - lift * rng.uniform(0.4, 1.1)) for i in range(-1, 9)]
            c.poly(smooth([(c.left - 0.3, hz + 0.02), *ridge, (c.right + 0.3, hz + 0.02)], 3), color)
        for _ in range(rng.randint(3, 6)):
            self.tree(c, rng.uniform(c.left, c.right), hz + rng.uniform(-0.01, 0.01), rng.uniform(0.2, 0.34), 0.42)
        grass = mix(self.leaf() if self.season != "winter" else mix(pal.leaf, pal.ground[0], 0.6), pal.ground[0], 0.25)
        self._ground(c, grass, mix(grass, pal.ground[1], 0.3))
        path = pal.far(lighter(pal.ground[0], 0.15), 0.1)
        bend = rng.uniform(-0.25, 0.25)
        c.poly(
            smooth(
                (
                    (bend - 0.03, hz),
                    (bend + 0.05, hz),
                    (0.2, hz + 0.1),
                    (0.62, c.bottom + 0.2),
                    (-0.56, c.bottom + 0.2),
                    (-0.1, hz + 0.12),
                ),
                4,
            ),
            path,
        )
        for x in (rng.uniform(c.left, -0.32), rng.uniform(0.36, c.right + 0.05)):
            self.tree(c, x, hz + rng.uniform(0.02, 0.08), rng.uniform(0.5, 0.72), 0.05)
        if rng.random() < 0.6:
            self._bench(c, rng.choice((-0.36, 0.3)), hz + 0.09)
        if rng.random() < 0.6:
            self.lamp_post(c, rng.uniform(-0.2, 0.2), hz + 0.03, 0.4)
        if self.season in ("autumn", "spring"):
            for _ in range(26):
                c.ellipse(
                    rng.uniform(c.left, c.right),
                    rng.uniform(hz + 0.03, c.bottom),
                    0.008,
                    0.004,
                    lighter(self.leaf(), 0.2),
                )

    def _bench(self, c: Canvas, x: float, y: float) -> None:
        wood = self.pal.far(darker(mix(rgb("#A4633F"), self.pal.ambient, self.pal.strength), 0.05), 0.1)
        for dy in (0.085, 0.062):
            c.rect(x - 0.1, y - dy - 0.006, x + 0.1, y - dy + 0.008, wood)
        c.rect(x - 0.105, y - 0.042, x + 0.105, y - 0.03, darker(wood, 0.2))
        for dx in (-0.09, 0.085):
            c.rect(x + dx, y - 0.09, x + dx + 0.008, y, darker(wood, 0.5))

    def _harbour(self, c: Canvas) -> None:
        rng, hz, pal = self.rng, self.horizon, self.pal
        sea = hz - 0.17
        c.vertical(sea, hz + 0.02, pal.far(pal.water, 0.6), pal.water)
        if rng.random() < 0.6:
            self.skyline(c, sea, 0.66, 0.22)
        else:
            step = 0.25
            ridge = [
                (c.left + i * step, sea - rng.uniform(0.02, 0.12))
                for i in range(-1, int((c.right - c.left) / step) + 3)
            ]
            c.poly([(c.left - 0.3, sea), *smooth(ridge, 3)[:-6], (c.right + 0.3, sea)], pal.far(pal.leaf, 0.7))
        if rng.random() < 0.55:
            self._lighthouse(c, rng.choice((-1, 1)) * rng.uniform(0.28, 0.5), sea + 0.01)
        for _ in range(12):
            x, y = rng.uniform(c.left, c.right), rng.uniform(sea + 0.01, hz)
            c.line(((x, y), (x + rng.uniform(0.03, 0.09), y)), 0.003, lighter(pal.water, 0.55), 150)
        for _ in range(rng.randint(2, 4)):
            self.boat(
                c, rng.uniform(c.left + 0.05, c.right - 0.05), sea + rng.uniform(0.04, 0.13), rng.uniform(0.7, 1.15)
            )
        self._ground(c)
        g, d = pal.ground
        c.rect(c.left, hz, c.right, hz + 0.02, lighter(g, 0.25))
        c.rect(c.left, hz + 0.02, c.right, hz + 0.028, darker(d, 0.35))
        self._planks(c, hz + 0.03)
        for x in (rng.uniform(-0.6, -0.3), rng.uniform(0.25, 0.6)):
            c.rect(x - 0.02, hz - 0.035, x + 0.02, hz + 0.02, darker(d, 0.5))
            c.ellipse(x, hz - 0.036, 0.028, 0.01, darker(d, 0.4))
        if rng.random() < 0.6:
            self.lamp_post(c, rng.uniform(-0.45, 0.45), hz + 0.03, 0.5)

    def _planks(self, c: Canvas, top: float) -> None:
        seam = darker(self.pal.ground[1], 0.12)
        cx = self.rng.uniform(-0.2, 0.2)
        for i in range(-14, 15):
            c.line(((cx + i * 0.09, top), (cx + i * 0.3, c.bottom + 0.02)), 0.003, seam, 80)
        y, step = top, 0.012
        while y < c.bottom:
            c.line(((c.left, y), (c.right, y)), 0.0025, seam, 70)
            y += step
            step *= 1.5

    def _lighthouse(self, c: Canvas, x: float, base: float) -> None:
        pal = self.pal
        white, red = pal.far(pal.lit((250, 246, 238)), 0.35), pal.far(pal.lit(rgb("#D1495B")), 0.35)
        c.poly(
            smooth(((x - 0.12, base), (x - 0.07, base - 0.03), (x + 0.06, base - 0.025), (x + 0.12, base)), 3),
            pal.far(pal.walls[2], 0.4),
        )
        for i in range(5):
            a, b = 0.03 - i * 0.003, 0.03 - (i + 1) * 0.003
            y0, y1 = base - 0.02 - i * 0.05, base - 0.02 - (i + 1) * 0.05
            c.poly(((x - a, y0), (x + a, y0), (x + b, y1), (x - b, y1)), red if i % 2 else white)
        y = base - 0.27
        c.rect(x - 0.022, y - 0.004, x + 0.022, y + 0.003, darker(red, 0.4))
        c.rect(x - 0.011, y - 0.03, x + 0.011, y - 0.004, pal.lamp)
        c.poly(((x - 0.017, y - 0.03), (x, y - 0.052), (x + 0.017, y - 0.03)), red)
        if pal.time != "day":
            c.glow(x, y - 0.017, 0.2, 0.12, pal.lamp, 190)

    def boat(self, c: Canvas, x: float, y: float, k: float) -> None:
        rng, pal = self.rng, self.pal
        hull = pal.far(pal.lit(rng.choice(pal.clothes)), 0.25)
        mast = pal.far(darker(pal.walls[2], 0.4), 0.2)
        c.ellipse(x, y + 0.004, 0.1 * k, 0.007, darker(pal.water, 0.25), 120)
        if rng.random() < 0.65:
            c.rect(x - 0.003, y - 0.23 * k, x + 0.003, y - 0.03 * k, mast)
            sail = pal.far(pal.lit((250, 244, 232)), 0.2)
            c.poly(((x + 0.008, y - 0.22 * k), (x + 0.008, y - 0.05 * k), (x + 0.085 * k, y - 0.05 * k)), sail)
            c.poly(
                ((x - 0.008, y - 0.19 * k), (x - 0.008, y - 0.05 * k), (x - 0.06 * k, y - 0.05 * k)), darker(sail, 0.08)
            )
        else:
            c.rect(x - 0.03 * k, y - 0.085 * k, x + 0.03 * k, y - 0.03 * k, pal.far(pal.lit((246, 240, 228)), 0.2))
            c.rect(x - 0.02 * k, y - 0.072 * k, x + 0.02 * k, y - 0.052 * k, darker(pal.water, 0.3))
            c.rect(x + 0.012 * k, y - 0.12 * k, x + 0.024 * k, y - 0.085 * k, hull)
        c.poly(
            ((x - 0.1 * k, y - 0.036 * k), (x + 0.105 * k, y - 0.042 * k), (x + 0.075 * k, y), (x - 0.075 * k, y)), hull
        )
        c.poly(
            (
                (x - 0.1 * k, y - 0.036 * k),
                (x + 0.105 * k, y - 0.042 * k),
                (x + 0.101 * k, y - 0.032 * k),
                (x - 0.097 * k, y - 0.027 * k),
            ),
            lighter(hull, 0.6),
        )

    def _paving(self, c: Canvas) -> None:
        hz, seam = self.horizon, darker(self.pal.ground[1], 0.18)
        cx = self.rng.uniform(-0.25, 0.25)
        for i in range(-16, 17):
            c.line(((cx + i * 0.055, hz), (cx + i * 0.3, c.bottom + 0.02)), 0.003, seam, 70)
        y, step = hz + 0.012, 0.016
        while y < c.bottom:
            c.line(((c.left, y), (c.right, y)), 0.003, seam, 70)
            y += step
            step *= 1.35

    def _square(self, c: Canvas) -> None:
        rng, hz, pal = self.rng, self.horizon, self.pal
        self.skyline(c, hz, 0.7, 0.42)
        self._row(c, hz, 0.22, 0.36, 0.42, 0.5)
        x = rng.choice((-0.3, 0.3))
        wall = pal.far(pal.walls[1], 0.3)
        c.rect(x - 0.055, hz - 0.58, x + 0.055, hz, wall)
        c.rect(x + 0.03, hz - 0.58, x + 0.055, hz, darker(wall, 0.12))
        c.poly(((x - 0.065, hz - 0.58), (x, hz - 0.74), (x + 0.065, hz - 0.58)), darker(wall, 0.4))
        c.disc(x, hz - 0.5, 0.034, darker(wall, 0.35))
        c.disc(x, hz - 0.5, 0.028, pal.lamp if pal.time != "day" else lighter(wall, 0.7))
        c.line(((x, hz - 0.522), (x, hz - 0.5), (x + 0.014, hz - 0.494)), 0.005, darker(wall, 0.6))
        for y in (0.4, 0.28, 0.16):
            self._window(c, x - 0.018, hz - y, 0.03, 0.06, wall)
        self._ground(c)
        self._paving(c)
        if rng.random() < 0.5:
            self._fountain(c, -x * rng.uniform(0.6, 1), hz + 0.045)
        for lx in (rng.uniform(-0.6, -0.42), rng.uniform(0.42, 0.6)):
            self.lamp_post(c, lx, hz + 0.05, 0.46)

    def _fountain(self, c: Canvas, x: float, y: float) -> None:
        stone, water = self.pal.far(lighter(self.pal.walls[3], 0.2), 0.2), lighter(self.pal.water, 0.35)
        c.ellipse(x, y, 0.15, 0.025, darker(stone, 0.25))
        c.poly(((x - 0.15, y - 0.03), (x + 0.15, y - 0.03), (x + 0.135, y + 0.012), (x - 0.135, y + 0.012)), stone)
        c.ellipse(x, y - 0.03, 0.15, 0.02, water)
        c.rect(x - 0.014, y - 0.12, x + 0.014, y - 0.03, darker(stone, 0.1))
        c.poly(((x - 0.06, y - 0.13), (x + 0.06, y - 0.13), (x + 0.02, y - 0.105), (x - 0.02, y - 0.105)), stone)
        for side in (-1, 1):
            for k in (0.05, 0.085):
                c.line(
                    [
                        (x + side * k * t, y - 0.14 - 0.05 * math.sin(math.pi * t) + 0.1 * t * t)
                        for t in (0, 0.25, 0.5, 0.75, 1)
                    ],
                    0.004,
                    (240, 250, 255),
                    190,
                )

    def _shops(self, c: Canvas) -> None:
        rng, hz, pal = self.rng, self.horizon, self.pal
        x = c.left - rng.uniform(0, 0.25)
        names = ["BAKERY", "CAFE", "BOOKS", "FLOWERS", "BIKES", "FISH", "TEA", "MUSIC"]
        rng.shuffle(names)
        i = 0
        while x < c.right:
            w = rng.uniform(0.42, 0.58)
            wall = pal.far(pal.walls[i % len(pal.walls)], 0.26)
            c.rect(x, c.top, x + w + 0.003, hz, wall)
            c.rect(x + w - 0.02, c.top, x + w + 0.003, hz, darker(wall, 0.1))
            for y in (-0.2, -0.04, 0.12):
                top = hz - 0.62 + y
                for k in range(3):
                    self._window(c, x + w * (0.12 + 0.29 * k), top, w * 0.17, 0.11, wall)
            c.rect(x + 0.02, hz - 0.36, x + w - 0.02, hz - 0.3, darker(wall, 0.4))
            c.text(x + w / 2, hz - 0.33, 0.042, names[i % len(names)], lighter(wall, 0.65), w * 0.8)
            glass = mix(pal.lamp, wall, 0.22) if pal.time != "day" else mix(wall, darker(pal.sky[0], 0.25), 0.5)
            c.rect(x + 0.03, hz - 0.29, x + w * 0.64, hz - 0.07, glass)
            c.rect(x + 0.03, hz - 0.07, x + w * 0.64, hz, darker(wall, 0.25))
            for k in range(4):
                c.disc(
                    x + 0.07 + k * w * 0.13,
                    hz - 0.095,
                    0.024,
                    mix(pal.far(pal.lit(rng.choice(pal.clothes)), 0.2), glass, 0.25),
                )
            c.rect(x + w * 0.7, hz - 0.28, x + w * 0.9, hz, darker(wall, 0.45))
            c.rect(x + w * 0.725, hz - 0.26, x + w * 0.875, hz - 0.08, glass)
            awning = pal.far(pal.lit(rng.choice(pal.clothes)), 0.15)
            n = 9
            step = (w - 0.03) / n
            for k in range(n):
                a = x + 0.015 + k * step
                color = awning if k % 2 else lighter(awning, 0.72)
                c.poly(
                    ((a + 0.004, hz - 0.295), (a + step + 0.002, hz - 0.295), (a + step, hz - 0.225), (a, hz - 0.225)),
                    color,
                )
                c.disc(a + step / 2, hz - 0.225, step / 2, color)
            x += w
            i += 1
        self._ground(c)
        self._paving(c)
        c.rect(c.left, hz - 0.002, c.right, hz + 0.012, darker(pal.ground[1], 0.3))
        for px in (rng.uniform(-0.6, -0.4), rng.uniform(0.35, 0.6)):
            if rng.random() < 0.6:
                pot = pal.far(pal.lit(rgb("#B5654A")), 0.1)
                for off in (-0.03, 0.0, 0.03):
                    c.disc(px + off, hz - 0.055, 0.035, pal.far(pal.leaf, 0.05 + abs(off) * 4))
                c.poly(
                    (
                        (px - 0.035, hz - 0.045),
                        (px + 0.035, hz - 0.045),
                        (px + 0.026, hz + 0.025),
                        (px - 0.026, hz + 0.025),
                    ),
                    pot,
                )
            else:
                self.lamp_post(c, px, hz + 0.03, 0.5)

    def _town_hall(self, c: Canvas) -> None:
        rng, hz, pal = self.rng, self.horizon, self.pal
        self.skyline(c, hz, 0.74, 0.34)
        wall = pal.far(pal.walls[3], 0.22)
        dark = darker(wall, 0.2)
        x, half = rng.uniform(-0.15, 0.15), 0.46
        for side in (-1, 1):
            self._house(c, x + (half if side > 0 else -half - 0.34), 0.34, hz - 0.3, hz, pal.far(wall, 0.12), False)
        c.rect(x - half, hz - 0.36, x + half, hz, wall)
        c.poly(((x - half - 0.02, hz - 0.36), (x, hz - 0.52), (x + half + 0.02, hz - 0.36)), lighter(wall, 0.15))
        c.poly(((x - half + 0.06, hz - 0.375), (x, hz - 0.49), (x + half - 0.06, hz - 0.375)), dark)
        c.disc(x, hz - 0.415, 0.03, lighter(wall, 0.3))
        c.line(((x, hz - 0.433), (x, hz - 0.415), (x + 0.012, hz - 0.41)), 0.004, darker(wall, 0.6))
        c.rect(x - half - 0.02, hz - 0.368, x + half + 0.02, hz - 0.34, lighter(wall, 0.25))
        c.rect(x - 0.004, hz - 0.68, x + 0.004, hz - 0.51, darker(wall, 0.5))
        flag = pal.far(pal.lit(rng.choice(pal.clothes[:3])), 0.1)
        c.poly(
            (
                (x, hz - 0.675),
                (x + 0.06, hz - 0.685),
                (x + 0.12, hz - 0.67),
                (x + 0.12, hz - 0.61),
                (x + 0.06, hz - 0.625),
                (x, hz - 0.615),
            ),
            flag,
        )
        c.rect(x - half + 0.02, hz - 0.34, x + half - 0.02, hz - 0.03, dark)
        c.rect(x - 0.06, hz - 0.24, x + 0.06, hz - 0.03, darker(wall, 0.5))
        for k in range(4):
            wx = x + (-0.36, -0.2, 0.13, 0.29)[k]
            self._window(c, wx, hz - 0.26, 0.07, 0.14, dark)
        for k in range(7):
            px = x - half + 0.05 + k * (2 * half - 0.1) / 6
            c.rect(px - 0.022, hz - 0.34, px + 0.022, hz - 0.03, lighter(wall, 0.2))
            c.rect(px + 0.008, hz - 0.34, px + 0.022, hz - 0.03, darker(wall, 0.06))
        self._ground(c)
        self._paving(c)
        for k in range(3):
            c.rect(
                x - half - 0.03 * k,
                hz - 0.035 + k * 0.016,
                x + half + 0.03 * k,
                hz - 0.019 + k * 0.016,
                lighter(wall, 0.3 - 0.1 * k),
            )
        for lx in (x - 0.56, x + 0.5):
            self.lamp_post(c, lx, hz + 0.05, 0.4)

    def weather_front(self, c: Canvas, feet: float) -> None:
        """Wet mirror, then rain or snow in front of everybody."""
        rng = self.rng
        if self.wet:
            c.mirror_ground(feet + 0.012, c.bottom - feet + 0.25, 90)
            for _ in range(95):
                x, y, n = rng.uniform(c.left - 0.1, c.right), rng.uniform(c.top, c.bottom), rng.uniform(0.03, 0.07)
                c.line(((x, y), (x + n * 0.25, y + n)), 0.0026, (240, 246, 252), 135)
            for _ in range(9):
                x, y = rng.uniform(c.left, c.right), rng.uniform(max(feet - 0.05, self.horizon), c.bottom)
                c.pen.arc(self._box(c, x, y, 0.03, 0.007), 0, 360, fill=(240, 246, 252, 120), width=max(1, c.ss // 2))
        elif self.weather == "snow":
            for _ in range(80):
                r = rng.choice((0.003, 0.0045, 0.0045, 0.007))
                c.disc(rng.uniform(c.left, c.right), rng.uniform(c.top, c.bottom), r, (252, 253, 255), 215)

    def foreground(self, c: Canvas, color: Color) -> None:
        """A branch, grass or bollards at the rim, dark and near: depth for the picture."""
        rng = self.rng
        kind, side = rng.random(), rng.choice((-1, 1))
        edge = c.left if side < 0 else c.right
        if kind < 0.4 and self.season != "winter":
            for i in range(7):
                x, y = edge - side * (0.04 + 0.045 * i), c.top + 0.02 + 0.018 * i * rng.uniform(0.5, 1.2)
                for turn in (-0.9, 0.7):
                    tip = (x - side * 0.07 * math.cos(turn), y + 0.07 * math.sin(turn) + 0.03)
                    c.poly(
                        smooth(
                            (
                                (x, y),
                                ((x + tip[0]) / 2 + 0.016, (y + tip[1]) / 2 - 0.012),
                                tip,
                                ((x + tip[0]) / 2 - 0.016, (y + tip[1]) / 2 + 0.012),
                            ),
                            3,
                        ),
                        color,
                    )
            c.line(((edge + side * 0.02, c.top), (edge - side * 0.34, c.top + 0.14)), 0.008, color)
        elif kind < 0.75:
            for _ in range(11):
                x, tall = edge - side * rng.uniform(-0.02, 0.2), rng.uniform(0.06, 0.17)
                lean = rng.uniform(-0.05, 0.05) - side * 0.02
                c.poly(
                    (
                        (x - 0.012, c.bottom),
                        (x + lean * 0.5 - 0.007, c.bottom - tall * 0.6),
                        (x + lean, c.bottom - tall),
                        (x + lean * 0.5 + 0.007, c.bottom - tall * 0.6),
                        (x + 0.012, c.bottom),
                    ),
                    color,
                )
        else:
            for i in range(2):
                x = edge - side * (0.06 + 0.17 * i)
                c.capsule((x, c.bottom - 0.11), (x, c.bottom + 0.05), 0.022, 0.024, color)
                c.rect(x - 0.024, c.bottom - 0.085, x + 0.024, c.bottom - 0.072, lighter(color, 0.35))

    def _box(self, c: Canvas, x: float, y: float, rx: float, ry: float) -> tuple[float, float, float, float]:
        px, py = c.px(((x, y),))[0]
        return px - rx * c.k, py - ry * c.k, px + rx * c.k, py + ry * c.k


def random_backdrop(rng: random.Random, place: str | None = None) -> Backdrop:
    """Any light, weather, season and place: drawn the same way whatever the picture is about."""
    pal = rng.choice(PALETTES)
    weather = rng.choice(WEATHERS)
    season = "winter" if weather == "snow" else rng.choice(("spring", "summer", "summer", "autumn", "winter"))
    return Backdrop(rng, pal, weather, place or rng.choice(PLACES), season, rng.uniform(0.66, 0.82))
