"""People and officers as flat shapes on a two-bone skeleton: scenes say where hands and feet go, joints follow."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from scenes.canvas import CIRCLE, Canvas, Color, Point, darker, lighter, mix, rgb, smooth
from scenes.looks import Look

UPPER_ARM, FOREARM = 0.165, 0.155
THIGH, SHIN = 0.255, 0.25
SPINE = 0.315

GOLD = rgb("#F4C04E")
INK = rgb("#1C1B2E")

FACE = smooth(
    [
        (-0.048, 0.012),
        (-0.044, 0.046),
        (-0.014, 0.066),
        (0.02, 0.066),
        (0.045, 0.048),
        (0.051, 0.018),
        (0.064, -0.008),
        (0.053, -0.019),
        (0.051, -0.041),
        (0.035, -0.066),
        (0.008, -0.064),
        (-0.028, -0.036),
    ],
    3,
)
FACE_FRONT = smooth(
    [
        (-0.051, 0.015),
        (-0.044, 0.05),
        (0, 0.069),
        (0.044, 0.05),
        (0.051, 0.015),
        (0.044, -0.036),
        (0.02, -0.066),
        (-0.02, -0.066),
        (-0.044, -0.036),
    ],
    3,
)
HAIR = {
    "short": smooth(
        [
            (0.046, 0.038),
            (0.054, 0.06),
            (0.026, 0.084),
            (-0.02, 0.082),
            (-0.056, 0.056),
            (-0.062, 0.012),
            (-0.05, -0.022),
            (-0.038, -0.012),
            (-0.032, 0.016),
            (-0.02, 0.03),
            (0.012, 0.038),
        ],
        3,
    ),
    "long": smooth(
        [
            (0.046, 0.042),
            (0.046, 0.07),
            (0.01, 0.086),
            (-0.036, 0.076),
            (-0.066, 0.03),
            (-0.07, -0.04),
            (-0.078, -0.105),
            (-0.04, -0.118),
            (-0.018, -0.06),
            (-0.022, 0.01),
            (0.006, 0.036),
        ],
        3,
    ),
    "bob": smooth(
        [
            (0.048, 0.036),
            (0.05, 0.066),
            (0.012, 0.087),
            (-0.04, 0.076),
            (-0.07, 0.026),
            (-0.072, -0.036),
            (-0.05, -0.064),
            (-0.012, -0.054),
            (-0.016, 0.01),
            (0.006, 0.034),
        ],
        3,
    ),
    "beanie": smooth(
        [
            (0.054, 0.026),
            (0.056, 0.06),
            (0.022, 0.098),
            (-0.03, 0.096),
            (-0.062, 0.058),
            (-0.06, 0.014),
            (-0.03, 0.016),
            (0.02, 0.026),
        ],
        3,
    ),
    "hood": smooth(
        [
            (0.03, 0.062),
            (0.024, 0.086),
            (-0.02, 0.09),
            (-0.066, 0.06),
            (-0.078, 0.0),
            (-0.074, -0.07),
            (-0.04, -0.12),
            (0.03, -0.11),
            (0.04, -0.074),
            (0.0, -0.062),
            (-0.024, -0.02),
            (-0.018, 0.034),
        ],
        3,
    ),
    "beard": smooth(
        [
            (-0.03, 0.0),
            (-0.018, -0.02),
            (0.012, -0.026),
            (0.05, -0.03),
            (0.05, -0.052),
            (0.034, -0.078),
            (0.006, -0.076),
            (-0.03, -0.04),
        ],
        3,
    ),
    "tail": smooth(
        [(-0.05, 0.04), (-0.09, 0.046), (-0.112, 0.0), (-0.1, -0.07), (-0.086, -0.08), (-0.082, -0.02), (-0.062, 0.01)],
        3,
    ),
}
HAIR_FRONT = {
    "short": smooth(
        [
            (-0.054, 0.0),
            (-0.058, 0.05),
            (-0.03, 0.084),
            (0.03, 0.086),
            (0.058, 0.05),
            (0.054, 0.0),
            (0.045, 0.028),
            (0.02, 0.042),
            (-0.02, 0.036),
            (-0.044, 0.026),
        ],
        3,
    ),
    "long": smooth(
        [
            (-0.05, -0.1),
            (-0.074, -0.105),
            (-0.072, -0.02),
            (-0.062, 0.05),
            (-0.03, 0.086),
            (0.03, 0.086),
            (0.062, 0.05),
            (0.072, -0.02),
            (0.074, -0.105),
            (0.05, -0.1),
            (0.046, 0.0),
            (0.03, 0.04),
            (-0.01, 0.048),
            (-0.044, 0.02),
        ],
        3,
    ),
    "bob": smooth(
        [
            (-0.05, -0.05),
            (-0.07, -0.054),
            (-0.07, 0.03),
            (-0.034, 0.086),
            (0.034, 0.086),
            (0.07, 0.03),
            (0.07, -0.054),
            (0.05, -0.05),
            (0.046, 0.012),
            (0.02, 0.036),
            (-0.03, 0.036),
            (-0.046, 0.012),
        ],
        3,
    ),
    "beanie": smooth(
        [(-0.056, 0.022), (-0.058, 0.06), (-0.028, 0.098), (0.028, 0.098), (0.058, 0.06), (0.056, 0.022), (0, 0.03)], 3
    ),
    "hood": smooth(
        [
            (-0.074, -0.07),
            (-0.078, 0.01),
            (-0.058, 0.07),
            (0, 0.092),
            (0.058, 0.07),
            (0.078, 0.01),
            (0.074, -0.07),
            (0.04, -0.12),
            (0.03, -0.07),
            (0.05, -0.02),
            (0.046, 0.03),
            (0, 0.058),
            (-0.046, 0.03),
            (-0.05, -0.02),
            (-0.03, -0.07),
            (-0.04, -0.12),
        ],
        3,
    ),
    "beard": smooth(
        [
            (-0.051, 0.004),
            (-0.04, -0.026),
            (0, -0.022),
            (0.04, -0.026),
            (0.051, 0.004),
            (0.044, -0.05),
            (0.018, -0.08),
            (-0.018, -0.08),
            (-0.044, -0.05),
        ],
        3,
    ),
}
CAP_CROWN = smooth(
    [(-0.056, 0.046), (-0.072, 0.07), (-0.062, 0.094), (-0.01, 0.104), (0.05, 0.108), (0.08, 0.092), (0.058, 0.052)], 3
)
CAP_BAND = ((-0.058, 0.026), (-0.057, 0.05), (0.0, 0.058), (0.058, 0.056), (0.058, 0.034), (0.0, 0.03))
CAP_VISOR = smooth([(0.03, 0.04), (0.06, 0.042), (0.094, 0.022), (0.09, 0.013), (0.058, 0.022), (0.028, 0.028)], 2)
CAP_CROWN_FRONT = smooth(
    [(-0.054, 0.046), (-0.082, 0.074), (-0.06, 0.094), (0, 0.108), (0.06, 0.094), (0.082, 0.074), (0.054, 0.046)], 3
)
CAP_BAND_FRONT = ((-0.056, 0.03), (-0.056, 0.054), (0.056, 0.054), (0.056, 0.03))
CAP_VISOR_FRONT = smooth([(-0.052, 0.036), (0, 0.04), (0.052, 0.036), (0.046, 0.018), (0, 0.006), (-0.046, 0.018)], 2)
HELMET = smooth(
    [
        (0.06, 0.024),
        (0.066, 0.06),
        (0.034, 0.1),
        (-0.02, 0.104),
        (-0.068, 0.07),
        (-0.08, 0.012),
        (-0.076, -0.05),
        (-0.05, -0.054),
        (-0.036, -0.004),
        (0.01, 0.02),
    ],
    3,
)
HELMET_FRONT = smooth(
    [
        (-0.07, -0.03),
        (-0.076, 0.03),
        (-0.05, 0.086),
        (0, 0.106),
        (0.05, 0.086),
        (0.076, 0.03),
        (0.07, -0.03),
        (0.056, -0.03),
        (0.052, 0.026),
        (0, 0.034),
        (-0.052, 0.026),
        (-0.056, -0.03),
    ],
    3,
)
VISOR = smooth([(0.064, 0.04), (0.084, 0.0), (0.074, -0.064), (0.048, -0.08), (0.016, -0.06), (0.006, 0.028)], 2)
VISOR_FRONT = smooth(
    [(-0.062, 0.034), (0, 0.042), (0.062, 0.034), (0.06, -0.05), (0.034, -0.08), (-0.034, -0.08), (-0.06, -0.05)], 2
)
SHOE: tuple[Point, ...] = (
    (-0.036, 0),
    (-0.036, 0.04),
    (-0.026, 0.058),
    (0.022, 0.058),
    (0.044, 0.036),
    (0.08, 0.024),
    (0.09, 0.008),
    (0.088, 0),
)
SHOE_FRONT: tuple[Point, ...] = (
    (-0.03, 0),
    (-0.03, 0.03),
    (-0.026, 0.058),
    (0.026, 0.058),
    (0.034, 0.03),
    (0.042, 0.006),
    (0.04, 0),
)


@lru_cache(maxsize=256)
def _torso(spread: float, waist: float, hips: float) -> tuple[Point, ...]:
    """Outline of a trunk in spine coordinates (across, along), round at the shoulders."""
    s = spread + 0.028
    return smooth(
        [
            (-hips, -0.03),
            (-waist, 0.1),
            (-s, 0.235),
            (-s + 0.004, 0.285),
            (-s * 0.45, 0.322),
            (s * 0.45, 0.322),
            (s - 0.004, 0.285),
            (s, 0.235),
            (waist, 0.1),
            (hips, -0.03),
        ],
        3,
    )


def _joint(a: Point, b: Point, la: float, lb: float, bend: float) -> tuple[Point, Point]:
    """Two-bone reach from a to b: the elbow or knee, and where the end really gets to."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    d = math.hypot(dx, dy) or 1e-6
    reach = min(max(d, abs(la - lb) + 0.01), (la + lb) * 0.995)
    ux, uy = dx / d, dy / d
    along = (la * la - lb * lb + reach * reach) / (2 * reach)
    off = math.sqrt(max(la * la - along * along, 0.0)) * bend
    return (a[0] + ux * along - uy * off, a[1] + uy * along + ux * off), (a[0] + ux * reach, a[1] + uy * reach)


@dataclass
class Figure:
    """One person. Local coordinates: x forwards, y up, one unit is the height; (0, 0) is the ground underneath.

    ``turn`` runs from 0 (seen from the side) to 1 (seen from the front). Hands and feet are targets that the
    limbs reach for; ``near`` is the viewer's side. Bends are +1 or -1: which way elbow or knee gives.
    """

    look: Look
    x: float
    y: float
    h: float
    face: int = 1
    turn: float = 0.45
    hip: Point = (0.0, 0.518)
    spine: float = 0.0
    nod: float = 0.0
    near_hand: Point = (-0.085, 0.475)
    far_hand: Point = (0.11, 0.48)
    near_elbow: int = -1
    far_elbow: int = -1
    near_foot: Point = (-0.05, 0.0)
    far_foot: Point = (0.06, 0.012)
    near_knee: int = 1
    far_knee: int = 1
    mood: str = "smile"
    shadow: float = 1.0
    head_scale: float = 1.0
    flat_feet: bool = True

    def __post_init__(self) -> None:
        if self.look.child:
            self.head_scale = 1.38
        if self.front and self.far_hand == (0.11, 0.48):
            self.far_hand, self.far_elbow = (-self.near_hand[0] + 0.03, self.near_hand[1]), 1
        if self.front and self.far_foot == (0.06, 0.012):
            self.near_foot, self.far_foot, self.near_knee = (-0.055, 0.0), (0.055, 0.0), -1

    def world(self, p: Point) -> Point:
        """Local point to world."""
        return self.x + p[0] * self.h * self.face, self.y - p[1] * self.h

    def local(self, p: Point) -> Point:
        """World point to local, so that two people can meet at one spot."""
        return (p[0] - self.x) / self.h * self.face, (self.y - p[1]) / self.h

    def reach(self, p: Point, near: bool = True) -> None:
        """Send a hand to a world point."""
        if near:
            self.near_hand = self.local(p)
        else:
            self.far_hand = self.local(p)

    @property
    def front(self) -> bool:
        """Whether the face looks at the viewer."""
        return self.turn > 0.85

    @property
    def spread(self) -> float:
        """Half the distance between the shoulders as seen."""
        return 0.036 + 0.054 * self.turn

    def trunk(self, across: float, along: float) -> Point:
        """Point in spine coordinates to local."""
        a = math.radians(self.spine)
        s, c = math.sin(a), math.cos(a)
        return self.hip[0] + across * c + along * s, self.hip[1] - across * s + along * c

    def head_point(self, p: Point) -> Point:
        """Point in head coordinates to local."""
        a = math.radians(self.spine + self.nod)
        s, c = math.sin(a), math.cos(a)
        nx, ny = self.trunk(0.008, SPINE)
        x, y = p[0] * self.head_scale, (p[1] + 0.096) * self.head_scale
        return nx + x * c + y * s, ny - x * s + y * c

    def head_at(self) -> Point:
        """World position of the middle of the head."""
        return self.world(self.head_point((0, 0)))

    def hand_at(self, near: bool = True) -> Point:
        """World position a hand really reaches."""
        return self.world(self._arm(near)[2])

    def _arm(self, near: bool) -> tuple[Point, Point, Point]:
        shoulder = self.trunk(-self.spread if near else self.spread, SPINE - 0.05)
        bend = self.near_elbow if near else self.far_elbow
        elbow, hand = _joint(shoulder, self.near_hand if near else self.far_hand, UPPER_ARM, FOREARM, bend)
        return shoulder, elbow, hand

    def draw(self, c: Canvas, near_arm: bool = True, far_arm: bool = True) -> None:
        """The whole person; arms can be left for later when they go around somebody else."""
        if self.shadow:
            self.draw_shadow(c)
        if far_arm:
            self.draw_arm(c, near=False)
        self._leg(c, near=False)
        self._leg(c, near=True)
        self._body(c)
        self._head(c)
        if near_arm:
            self.draw_arm(c, near=True)

    def draw_shadow(self, c: Canvas) -> None:
        """Soft patch on the ground."""
        x, _ = self.world((self.hip[0], 0))
        if c.cast is not None and not c.tiny(0.05 * self.h):
            dx, w = c.cast * self.h, 0.06 * self.h * max(self.shadow, 0.8)
            end = self.y + 0.17 * self.h
            c.poly(
                (
                    (x - w, self.y),
                    (x + w, self.y),
                    (x + w * 1.2 + dx * 0.8, end),
                    (x + dx + w * 0.6, end + 0.03 * self.h),
                    (x + dx - w * 0.6, end + 0.03 * self.h),
                    (x - w * 1.2 + dx * 0.8, end),
                ),
                (20, 18, 50),
                42,
            )
        c.ellipse(x + 0.02 * self.h, self.y + 0.004, 0.17 * self.h * self.shadow, 0.026 * self.h, (16, 20, 44), 70)

    def draw_arm(self, c: Canvas, near: bool) -> None:
        """Sleeve, forearm and hand."""
        look = self.look
        shoulder, elbow, hand = (self.world(p) for p in self._arm(near))
        h = self.h
        cloth = look.top if near else darker(look.top, 0.16)
        skin = look.skin if near else darker(look.skin, 0.1)
        bare = look.cut in ("tee", "dress")
        if near and look.officer:
            cloth = lighter(cloth, 0.05)
        dx, dy = hand[0] - elbow[0], hand[1] - elbow[1]
        tip = (hand[0] + dx * 0.14, hand[1] + dy * 0.14)
        c.capsule(hand, tip, 0.02 * h, 0.017 * h, skin)
        if bare:
            mid = ((shoulder[0] + 2 * elbow[0]) / 3, (shoulder[1] + 2 * elbow[1]) / 3)
            c.capsule(mid, elbow, 0.03 * h, 0.027 * h, skin)
            c.capsule(elbow, hand, 0.027 * h, 0.02 * h, skin)
            c.capsule(shoulder, mid, 0.039 * h, 0.037 * h, cloth)
        else:
            cuff = (hand[0] - dx * 0.06, hand[1] - dy * 0.06)
            c.capsule(elbow, cuff, 0.033 * h, 0.026 * h, cloth)
            c.capsule(shoulder, elbow, 0.04 * h, 0.033 * h, cloth)
        if look.officer and near and not c.tiny(0.012 * h):
            px, py = shoulder[0] * 0.72 + elbow[0] * 0.28, shoulder[1] * 0.72 + elbow[1] * 0.28
            c.disc(px, py, 0.015 * h, GOLD)
            c.disc(px, py, 0.009 * h, darker(look.top, 0.1))

    def _leg(self, c: Canvas, near: bool) -> None:
        look, h = self.look, self.h
        side = -1 if near else 1
        hip = self.trunk(side * (0.022 + 0.02 * self.turn), -0.01)
        foot = self.near_foot if near else self.far_foot
        ankle_target = (foot[0], foot[1] + 0.05)
        bend = self.near_knee if near else self.far_knee
        knee, ankle = _joint(hip, ankle_target, THIGH, SHIN - 0.05, bend)
        cloth = look.bottom if near else darker(look.bottom, 0.2)
        shoes = look.shoes if near else darker(look.shoes, 0.2)
        skirt = look.cut == "dress"
        shin = (look.skin if near else darker(look.skin, 0.12)) if skirt else cloth
        wk, wa, wj = self.world(knee), self.world(ankle), self.world(hip)
        angle = 0.0 if self.flat_feet else math.atan2(ankle[0] - knee[0], knee[1] - ankle[1])
        s, k = math.sin(-angle), math.cos(-angle)
        shape = SHOE_FRONT if self.front and self.flat_feet else SHOE
        mirror = side if shape is SHOE_FRONT else 1
        base = (ankle[0], ankle[1])
        points = []
        for px, py in shape:
            qx, qy = px * mirror, py - 0.05
            points.append(self.world((base[0] + qx * k - qy * s, base[1] + qx * s + qy * k)))
        c.poly(points, shoes)
        c.capsule(wk, wa, (0.03 if skirt else 0.042) * h, (0.023 if skirt else 0.034) * h, shin)
        c.capsule(wj, wk, 0.058 * h, 0.043 * h, shin)

    def _shape(self, c: Canvas, points: tuple[Point, ...], color: Color, alpha: int = 255) -> None:
        a = math.radians(self.spine)
        s, k = math.sin(a), math.cos(a)
        hx, hy, h, f = self.hip[0], self.hip[1], self.h, self.h * self.face
        c.poly(
            [(self.x + (hx + u * k + v * s) * f, self.y - (hy - u * s + v * k) * h) for u, v in points], color, alpha
        )

    def _body(self, c: Canvas) -> None:
        look, h = self.look, self.h
        spread = round(self.spread, 3)
        wide = 0.062 + 0.016 * self.turn
        skirt = look.cut == "dress"
        long = look.cut == "coat"
        if not skirt:
            self._shape(
                c,
                ((-wide, -0.055), (-wide + 0.006, 0.08), (wide - 0.006, 0.08), (wide, -0.055), (0, -0.075)),
                look.bottom,
            )
        neck, chin = self.world(self.trunk(0.004, SPINE - 0.03)), self.world(self.head_point((0.004, -0.05)))
        c.capsule(neck, chin, 0.03 * h, 0.027 * h * self.head_scale, darker(look.skin, 0.16))
        shape = _torso(
            spread,
            wide * 0.96 if not look.officer else wide,
            wide + (0.012 if look.cut in ("hoodie", "jacket") else 0.004),
        )
        if skirt:
            self._shape(
                c,
                ((-wide, 0.1), (-0.125, -0.22), (-0.04, -0.24), (0.05, -0.235), (0.125, -0.21), (wide, 0.1)),
                look.top,
            )
        if long:
            self._shape(c, ((-wide, 0.12), (-0.098, -0.2), (0, -0.215), (0.098, -0.19), (wide, 0.12)), look.top)
        self._shape(c, shape, look.top)
        if not c.tiny(0.03 * h):
            self._shape(
                c,
                (*tuple((u, v) for u, v in shape if u <= 0.002), (-0.02, 0.3), (-0.034, 0.05)),
                darker(look.top, 0.3),
                110,
            )
        if look.officer:
            self._uniform(c, spread, wide)
        elif not c.tiny(0.02 * h):
            self._clothes(c, spread, wide)
        if look.scarf:
            self._shape(c, ((-0.06, 0.285), (-0.05, 0.335), (0.055, 0.335), (0.06, 0.28), (0.0, 0.262)), look.scarf)
            self._shape(c, ((0.01, 0.29), (0.045, 0.29), (0.05, 0.15), (0.018, 0.15)), darker(look.scarf, 0.12))

    def _uniform(self, c: Canvas, spread: float, wide: float) -> None:
        look, h = self.look, self.h
        if look.vest is not None:
            s = spread + 0.012
            self._shape(
                c,
                (
                    (-s * 0.9, 0.07),
                    (-s, 0.25),
                    (-s * 0.55, 0.31),
                    (-0.02, 0.24),
                    (0.025, 0.24),
                    (s * 0.55, 0.31),
                    (s, 0.25),
                    (s * 0.9, 0.07),
                ),
                look.vest,
            )
            if not c.tiny(0.03 * h):
                strip = lighter(look.vest, 0.55)
                self._shape(c, ((-s * 0.92, 0.12), (-s * 0.93, 0.145), (s * 0.93, 0.145), (s * 0.92, 0.12)), strip)
        dark = darker(look.top, 0.45)
        self._shape(c, ((-wide - 0.004, 0.0), (-wide - 0.002, 0.036), (wide + 0.002, 0.036), (wide + 0.004, 0.0)), dark)
        if c.tiny(0.015 * h):
            bx, by = self.world(self.trunk(0.03, 0.225))
            c.disc(bx, by, 0.018 * h, GOLD)
            return
        for u in (-wide * 0.8, wide * 0.55):
            self._shape(c, ((u - 0.016, -0.03), (u - 0.016, 0.03), (u + 0.016, 0.03), (u + 0.016, -0.03)), dark)
        self._shape(c, ((-0.011, 0.005), (-0.011, 0.031), (0.015, 0.031), (0.015, 0.005)), GOLD)
        if look.vest is None:
            self._shape(c, ((-0.03, 0.318), (0.008, 0.262), (0.04, 0.318), (0.012, 0.3)), lighter(look.top, 0.65))
            self._shape(c, ((0.002, 0.29), (0.018, 0.29), (0.02, 0.19), (0.01, 0.175), (0.0, 0.19)), dark)
            for v in (0.21, 0.15, 0.09):
                x, y = self.world(self.trunk(0.034 + 0.01 * self.turn, v - 0.02))
                c.disc(x, y, 0.0065 * h, GOLD)
            self._shape(c, ((-spread - 0.004, 0.232), (-spread - 0.004, 0.242), (-0.014, 0.24), (-0.014, 0.23)), dark)
        x, y = self.world(self.trunk(0.052 + 0.012 * self.turn if self.front else 0.048, 0.232))
        star = [
            (
                x + 0.021 * h * (1 if i % 2 else 0.62) * CIRCLE[(i * 18 // 10) % 18][0],
                y + 0.024 * h * (1 if i % 2 else 0.62) * CIRCLE[(i * 18 // 10) % 18][1],
            )
            for i in range(10)
        ]
        c.poly(star, GOLD)
        c.disc(x, y, 0.007 * h, lighter(GOLD, 0.5))

    def _clothes(self, c: Canvas, spread: float, wide: float) -> None:
        look = self.look
        if look.cut == "hoodie":
            self._shape(
                c,
                smooth(((-0.055, 0.3), (-0.04, 0.335), (0.04, 0.335), (0.06, 0.3), (0.012, 0.262)), 2),
                darker(look.top, 0.18),
            )
            self._shape(c, ((-0.03, 0.03), (-0.022, 0.095), (0.04, 0.095), (0.05, 0.03)), darker(look.top, 0.14))
        elif look.cut in ("jacket", "coat"):
            low = -0.03 if look.cut == "jacket" else -0.2
            shirt = look.scarf or lighter(look.bottom, 0.6)
            self._shape(c, ((-0.022, 0.322), (0.012, 0.2), (0.042, 0.322)), shirt)
            self._shape(c, ((0.008, 0.21), (0.004, low), (0.013, low), (0.016, 0.21)), darker(look.top, 0.3))
            self._shape(c, ((-0.03, 0.325), (-0.045, 0.26), (0.01, 0.2), (-0.018, 0.318)), lighter(look.top, 0.13))
            self._shape(c, ((0.045, 0.325), (0.058, 0.262), (0.014, 0.2), (0.036, 0.318)), lighter(look.top, 0.13))
        elif look.cut == "stripes":
            s = wide * 0.98
            for v in (0.02, 0.09, 0.16, 0.225):
                self._shape(c, ((-s, v), (-s, v + 0.03), (s, v + 0.03), (s, v)), lighter(look.top, 0.6))
        elif look.cut in ("tee", "dress"):
            self._shape(c, smooth(((-0.03, 0.318), (0.004, 0.292), (0.04, 0.318), (0.004, 0.33)), 2), look.skin)

    def _head(self, c: Canvas) -> None:
        look, h, sc = self.look, self.h, self.head_scale
        a = math.radians(self.spine + self.nod)
        s, k = math.sin(a), math.cos(a)
        nx, ny = self.trunk(0.008, SPINE)
        bx, by = self.x, self.y
        f = h * self.face

        def at(u: float, v: float) -> Point:
            u, v = u * sc, (v + 0.096) * sc
            return bx + (nx + u * k + v * s) * f, by - (ny - u * s + v * k) * h

        def put(points: tuple[Point, ...], color: Color, alpha: int = 255) -> None:
            c.poly([at(u, v) for u, v in points], color, alpha)

        def dot(u: float, v: float, r: float, color: Color) -> None:
            x, y = at(u, v)
            c.disc(x, y, r * h * sc, color)

        front = self.front
        shapes = HAIR_FRONT if front else HAIR
        style = look.style
        covered = look.headgear in ("cap", "helmet")
        fine = not c.tiny(0.02 * h)
        if style == "afro" and not covered:
            dot(-0.012 if not front else 0, 0.026, 0.088, look.hair)
        elif style in ("bun", "tail") and not front:
            if style == "bun" and not covered:
                dot(-0.05, 0.07, 0.034, look.hair)
            else:
                put(HAIR["tail"], look.hair)
        elif style == "bun" and not covered:
            dot(0, 0.104, 0.032, look.hair)
        elif style == "long" and front:
            put(((-0.07, 0.04), (-0.074, -0.12), (0.074, -0.12), (0.07, 0.04)), darker(look.hair, 0.2))
        if style == "hijab":
            put(
                smooth(
                    (
                        (-0.07, 0.02),
                        (-0.05, 0.08),
                        (0.02, 0.088),
                        (0.058, 0.05),
                        (0.056, -0.04),
                        (0.06, -0.1),
                        (0.0, -0.135),
                        (-0.08, -0.1),
                    ),
                    3,
                ),
                look.hat,
            )
            oval = 0.0 if front else 0.014
            put(tuple((u * 0.8 + oval, v * 0.86) for u, v in (FACE_FRONT if front else FACE)), look.skin)
        else:
            put(FACE_FRONT if front else FACE, look.skin)
            if fine and not front:
                dot(-0.012, -0.004, 0.013, darker(look.skin, 0.12))
        if look.beard:
            put(shapes["beard"], look.hair)
        if fine:
            self._features(put, dot)
        if style in ("short", "bun", "tail", "afro", "curly") or (covered and style in ("bald",)):
            if style != "bald":
                put(shapes["short"], look.hair)
            if style == "curly" and not covered:
                for u, v in ((-0.05, 0.04), (-0.036, 0.07), (0, 0.084), (0.034, 0.072), (-0.056, 0.004)):
                    dot(u, v, 0.026, look.hair)
        elif style in ("long", "bob", "hood"):
            put(shapes[style], look.hair if style != "hood" else darker(look.top, 0.1))
        elif style == "beanie":
            put(shapes["short"], look.hair)
            put(shapes["beanie"], look.hat)
            if fine:
                dot(-0.01 if not front else 0, 0.1, 0.018, lighter(look.hat, 0.4))
        if look.headgear == "cap":
            cloth, dark = lighter(look.top, 0.06), darker(look.top, 0.5)
            put(CAP_CROWN_FRONT if front else CAP_CROWN, cloth)
            put(CAP_BAND_FRONT if front else CAP_BAND, dark)
            put(CAP_VISOR_FRONT if front else CAP_VISOR, INK)
            dot(0 if front else 0.05, 0.074, 0.017, GOLD)
        elif look.headgear == "helmet":
            put(HELMET_FRONT if front else HELMET, lighter(look.top, 0.1))
            put(VISOR_FRONT if front else VISOR, (206, 228, 240), 120)
            if fine:
                put(
                    ((-0.06, 0.05), (-0.052, 0.066), (0.052, 0.07), (0.058, 0.052))
                    if not front
                    else ((-0.068, 0.05), (-0.062, 0.066), (0.062, 0.066), (0.068, 0.05)),
                    lighter(look.top, 0.7),
                )
                put(((0.05, 0.01), (0.06, 0.02), (0.064, -0.05), (0.056, -0.06)), (255, 255, 255), 90)

    def _features(self, put: Callable[..., None], dot: Callable[..., None]) -> None:
        """Eyes, brows, mouth: little enough to stay flat, enough to tell joy from pain."""
        skin = self.look.skin
        line = darker(skin, 0.62)
        lips = mix(darker(skin, 0.35), (168, 52, 58), 0.45)
        eyes = (-0.02, 0.02) if self.front else (0.012, 0.04)
        for u in eyes:
            if self.mood == "pain":
                put(((u - 0.01, 0.006), (u + 0.008, 0.001), (u + 0.008, -0.004), (u - 0.01, 0.0)), line)
            else:
                dot(u, 0.002, 0.0058, line)
            tilt = {"smile": 0.0, "angry": -0.007, "pain": 0.007}.get(self.mood, 0.0)
            inner = 1 if (u < sum(eyes) / 2) else -1
            if not self.front:
                inner = 1
            put(
                (
                    (u - 0.011, 0.019 - tilt * inner * -0.6),
                    (u - 0.011, 0.024 - tilt * inner * -0.6),
                    (u + 0.011, 0.024 + tilt * inner * 0.6),
                    (u + 0.011, 0.019 + tilt * inner * 0.6),
                ),
                mix(self.look.hair, line, 0.4),
            )
            if self.look.glasses:
                put(
                    ((u - 0.015, 0.013), (u + 0.015, 0.013), (u + 0.013, -0.012), (u - 0.013, -0.012)),
                    (230, 240, 245),
                    120,
                )
        m = sum(eyes) / 2 + (0.004 if not self.front else 0)
        if self.front:
            put(((m - 0.006, -0.016), (m + 0.006, -0.016), (m, -0.009)), darker(skin, 0.2))
        if self.mood == "smile":
            put(((m - 0.02, -0.031), (m + 0.018, -0.031), (m + 0.01, -0.044), (m - 0.011, -0.044)), (252, 250, 244))
            put(((m - 0.02, -0.03), (m + 0.018, -0.03), (m + 0.017, -0.034), (m - 0.019, -0.034)), lips)
        elif self.mood == "pain":
            put(tuple((m + 0.001 + 0.012 * u, -0.04 + 0.012 * v) for u, v in CIRCLE[::2]), darker(lips, 0.5))
        elif self.mood == "angry":
            put(
                (
                    (m - 0.014, -0.043),
                    (m, -0.037),
                    (m + 0.014, -0.041),
                    (m + 0.014, -0.045),
                    (m, -0.041),
                    (m - 0.014, -0.047),
                ),
                lips,
            )
        else:
            put(((m - 0.013, -0.038), (m + 0.013, -0.038), (m + 0.013, -0.042), (m - 0.013, -0.042)), lips)
