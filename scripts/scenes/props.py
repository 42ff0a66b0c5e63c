"""Things and animals that people hold, stand next to or leave alone in the picture."""

from __future__ import annotations

import math
import random

from scenes.canvas import CIRCLE, Canvas, Color, Point, darker, lighter, mix, rgb, smooth

COATS = {
    "brown": "#A5673F",
    "golden": "#E0A959",
    "black": "#34303A",
    "white": "#F3ECE0",
    "gray": "#8F8F99",
    "ginger": "#D97B3C",
}


def local(x: float, y: float, k: float, face: int, points: tuple[Point, ...]) -> list[Point]:
    """Shape drawn with y upwards around (0, 0), put at a place, size and direction."""
    return [(x + u * k * face, y - v * k) for u, v in points]


def dog(c: Canvas, x: float, y: float, k: float, face: int, coat: Color, sitting: bool) -> Point:
    """A dog of height about k; returns the top of its head, where a hand may go."""
    shade = darker(coat, 0.16)
    c.ellipse(x, y, 0.55 * k, 0.06 * k, (16, 20, 44), 60)

    def put(points: tuple[Point, ...], color: Color) -> None:
        c.poly(local(x, y, k, face, points), color)

    if sitting:
        c.line(local(x, y, k, face, ((-0.34, 0.06), (-0.5, 0.1), (-0.56, 0.24))), 0.07 * k, shade)
        put(
            smooth(((-0.36, 0), (-0.38, 0.22), (-0.2, 0.48), (0.02, 0.72), (0.2, 0.68), (0.22, 0.4), (0.2, 0.0)), 3),
            coat,
        )
        put(smooth(((-0.38, 0.0), (-0.38, 0.2), (-0.2, 0.3), (-0.04, 0.16), (-0.02, 0.0)), 3), shade)
        put(((0.06, 0.4), (0.08, 0.0), (0.24, 0.0), (0.2, 0.42)), coat)
        put(((0.08, 0.0), (0.08, 0.05), (0.28, 0.05), (0.3, 0.0)), shade)
        put(((-0.3, 0.0), (-0.3, 0.05), (0.02, 0.05), (0.04, 0.0)), darker(coat, 0.25))
        hx, hy = 0.2, 0.82
    else:
        c.line(local(x, y, k, face, ((-0.42, 0.5), (-0.56, 0.6), (-0.6, 0.76))), 0.065 * k, coat)
        for u, color in ((-0.3, shade), (0.26, shade), (-0.4, coat), (0.16, coat)):
            put(
                smooth(
                    (
                        (u - 0.03, 0.46),
                        (u + 0.02, 0.2),
                        (u + 0.02, 0.03),
                        (u + 0.03, 0.0),
                        (u + 0.13, 0.0),
                        (u + 0.14, 0.05),
                        (u + 0.1, 0.07),
                        (u + 0.1, 0.2),
                        (u + 0.17, 0.46),
                    ),
                    2,
                ),
                color,
            )
        put(
            smooth(
                ((-0.46, 0.36), (-0.44, 0.58), (0.0, 0.56), (0.3, 0.62), (0.36, 0.42), (0.1, 0.3), (-0.25, 0.32)), 3
            ),
            coat,
        )
        put(smooth(((0.2, 0.5), (0.28, 0.76), (0.46, 0.74), (0.4, 0.42)), 3), coat)
        hx, hy = 0.4, 0.82
    put(
        smooth(
            (
                (hx - 0.18, hy),
                (hx - 0.1, hy + 0.16),
                (hx + 0.08, hy + 0.15),
                (hx + 0.18, hy + 0.02),
                (hx + 0.34, hy - 0.02),
                (hx + 0.33, hy - 0.12),
                (hx + 0.1, hy - 0.16),
                (hx - 0.1, hy - 0.14),
            ),
            3,
        ),
        coat,
    )
    put(
        smooth(
            (
                (hx - 0.14, hy + 0.12),
                (hx - 0.24, hy + 0.02),
                (hx - 0.22, hy - 0.16),
                (hx - 0.1, hy - 0.08),
                (hx - 0.04, hy + 0.1),
            ),
            3,
        ),
        shade,
    )
    nose, eye = local(x, y, k, face, ((hx + 0.33, hy - 0.02), (hx + 0.08, hy + 0.05)))
    c.disc(*nose, 0.035 * k, (30, 26, 34))
    c.disc(*eye, 0.022 * k, (30, 26, 34))
    put(((hx - 0.16, hy - 0.15), (hx - 0.14, hy - 0.21), (hx + 0.12, hy - 0.22), (hx + 0.1, hy - 0.15)), rgb("#D1495B"))
    return local(x, y, k, face, ((hx - 0.02, hy + 0.15),))[0]


def cat(c: Canvas, x: float, y: float, k: float, face: int, coat: Color) -> None:
    """A sitting cat, tail around its feet."""
    shade = darker(coat, 0.18)
    c.ellipse(x, y, 0.42 * k, 0.05 * k, (16, 20, 44), 60)
    curl = tuple(
        (-0.3 - 0.24 * math.sin(2.5 * t) - 0.06 * t, 0.05 + 0.6 * t * t)
        for t in (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)
    )
    tail = local(x, y, k, face, curl)
    c.line(tail, 0.075 * k, shade)
    c.disc(*tail[-1], 0.037 * k, shade)
    c.poly(
        local(
            x, y, k, face, smooth(((-0.3, 0.0), (-0.32, 0.2), (-0.14, 0.5), (0.04, 0.66), (0.2, 0.5), (0.24, 0.0)), 3)
        ),
        coat,
    )
    c.poly(local(x, y, k, face, smooth(((-0.3, 0.0), (-0.3, 0.2), (-0.12, 0.26), (0.0, 0.1), (0.02, 0.0)), 3)), shade)
    for u in (-0.02, 0.12):
        c.poly(
            local(
                x,
                y,
                k,
                face,
                smooth(((u, 0.0), (u - 0.01, 0.06), (u + 0.06, 0.09), (u + 0.13, 0.06), (u + 0.13, 0.0)), 2),
            ),
            lighter(coat, 0.25),
        )
    c.poly(
        local(
            x,
            y,
            k,
            face,
            smooth(
                ((-0.16, 0.72), (-0.1, 0.86), (0.06, 0.9), (0.22, 0.86), (0.28, 0.72), (0.18, 0.58), (-0.06, 0.58)), 3
            ),
        ),
        coat,
    )
    for u in (-0.13, 0.11):
        c.poly(local(x, y, k, face, ((u, 0.78), (u + 0.02, 1.02), (u + 0.16, 0.86))), coat)
        c.poly(local(x, y, k, face, ((u + 0.03, 0.84), (u + 0.04, 0.96), (u + 0.11, 0.87))), rgb("#E9A7A0"))
    for u in (0.0, 0.15):
        ex, ey = local(x, y, k, face, ((u, 0.74),))[0]
        c.ellipse(ex, ey, 0.032 * k, 0.04 * k, rgb("#E7D35A"))
        c.ellipse(ex, ey, 0.011 * k, 0.035 * k, (24, 22, 30))
    c.poly(local(x, y, k, face, ((0.05, 0.68), (0.1, 0.68), (0.075, 0.65))), rgb("#D9777A"))
    for v in (0.62, 0.66):
        c.line(local(x, y, k, face, ((0.14, 0.65), (0.36, v))), 0.008 * k, lighter(coat, 0.6))
        c.line(local(x, y, k, face, ((0.0, 0.65), (-0.22, v))), 0.008 * k, lighter(coat, 0.6))


def bird(c: Canvas, x: float, y: float, k: float, face: int, coat: Color) -> None:
    """A gull-like bird on two legs."""
    for u in (-0.04, 0.08):
        c.line(local(x, y, k, face, ((u, 0.26), (u, 0.0), (u + 0.08, 0.0))), 0.026 * k, rgb("#E8903A"))
    c.poly(local(x, y, k, face, ((-0.3, 0.42), (-0.66, 0.3), (-0.6, 0.42), (-0.3, 0.56))), darker(coat, 0.35))
    c.poly(
        local(
            x,
            y,
            k,
            face,
            smooth(((-0.42, 0.4), (-0.2, 0.24), (0.14, 0.26), (0.3, 0.5), (0.3, 0.7), (0.1, 0.64), (-0.16, 0.6)), 3),
        ),
        lighter(coat, 0.75),
    )
    c.poly(
        local(x, y, k, face, smooth(((-0.58, 0.34), (-0.2, 0.34), (0.12, 0.44), (0.08, 0.58), (-0.16, 0.6)), 3)), coat
    )
    hx, hy = local(x, y, k, face, ((0.26, 0.78),))[0]
    c.disc(hx, hy, 0.14 * k, lighter(coat, 0.75))
    c.poly(local(x, y, k, face, ((0.36, 0.82), (0.56, 0.74), (0.36, 0.72))), rgb("#F2A33A"))
    ex, ey = local(x, y, k, face, ((0.3, 0.81),))[0]
    c.disc(ex, ey, 0.025 * k, (24, 22, 30))


def car(
    c: Canvas, x: float, y: float, k: float, face: int, color: Color, glass: Color, police: bool, lights: bool
) -> None:
    """A car of length about 2k, seen from the side."""

    def put(points: tuple[Point, ...], fill: Color, alpha: int = 255) -> None:
        c.poly(local(x, y, k, face, points), fill, alpha)

    c.ellipse(x, y + 0.01 * k, 1.08 * k, 0.07 * k, (16, 20, 44), 90)
    put(
        smooth(
            (
                (-0.98, 0.16),
                (-1.0, 0.42),
                (-0.86, 0.5),
                (-0.62, 0.54),
                (-0.4, 0.8),
                (0.18, 0.82),
                (0.48, 0.54),
                (0.86, 0.47),
                (0.99, 0.36),
                (0.98, 0.16),
            ),
            4,
        ),
        color,
    )
    put(((-0.96, 0.14), (-0.98, 0.26), (0.98, 0.26), (0.97, 0.14)), darker(color, 0.22))
    put(smooth(((-0.5, 0.55), (-0.36, 0.75), (-0.08, 0.76), (-0.08, 0.55)), 2), glass)
    put(smooth(((-0.02, 0.55), (-0.02, 0.76), (0.15, 0.75), (0.38, 0.55)), 2), glass)
    put(((-0.4, 0.56), (-0.28, 0.74), (-0.2, 0.74), (-0.32, 0.56)), (255, 255, 255), 70)
    for u in (-0.05, 0.42, -0.56):
        c.line(local(x, y, k, face, ((u, 0.52), (u + 0.01, 0.24))), 0.012 * k, darker(color, 0.3))
    put(((0.08, 0.46), (0.2, 0.46), (0.2, 0.43), (0.08, 0.43)), darker(color, 0.4))
    if police:
        put(((-0.9, 0.32), (-0.92, 0.42), (0.9, 0.4), (0.94, 0.31)), rgb("#2A4C9B"))
        px, py = local(x, y, k, face, ((0.0, 0.365),))[0]
        c.text(px, py, 0.1 * k, "POLICE", (255, 255, 255), 0.6 * k)
        put(((-0.2, 0.81), (-0.2, 0.87), (0.0, 0.87), (0.0, 0.81)), rgb("#D83A3A"))
        put(((0.0, 0.81), (0.0, 0.87), (0.2, 0.87), (0.2, 0.81)), rgb("#3A6FE0"))
    for u in (-0.6, 0.6):
        wx, wy = local(x, y, k, face, ((u, 0.15),))[0]
        c.disc(wx, wy, 0.19 * k, darker(color, 0.5))
        c.disc(wx, wy, 0.16 * k, rgb("#26242E"))
        c.disc(wx, wy, 0.09 * k, rgb("#C9CCD2"))
        c.disc(wx, wy, 0.035 * k, rgb("#6A6D75"))
    fx, fy = local(x, y, k, face, ((0.93, 0.38),))[0]
    c.ellipse(fx, fy, 0.045 * k, 0.035 * k, (255, 240, 190))
    put(((-0.985, 0.34), (-0.985, 0.42), (-0.93, 0.42), (-0.93, 0.34)), rgb("#D83A3A"))
    if lights:
        c.glow(fx + 0.35 * k * face, fy + 0.05 * k, 0.55 * k, 0.2 * k, (255, 236, 170), 150)


def shield(c: Canvas, x: float, y: float, w: float, h: float, blue: Color, lean: float = 0.0) -> None:
    """Clear riot shield around (x, y), with its band."""
    shape = smooth(
        (
            (x - w + lean, y - h * 0.9),
            (x - w * 0.5 + lean, y - h),
            (x + w * 0.5 + lean, y - h),
            (x + w + lean, y - h * 0.9),
            (x + w, y + h * 0.9),
            (x + w * 0.5, y + h),
            (x - w * 0.5, y + h),
            (x - w, y + h * 0.9),
        ),
        2,
    )
    c.poly(shape, (212, 230, 242), 135)
    c.line((*shape, shape[0]), 0.007, mix(blue, (225, 235, 245), 0.35))
    c.poly(
        (
            (x - w * 0.98 + lean * 0.6, y - h * 0.42),
            (x + w * 0.98 + lean * 0.6, y - h * 0.42),
            (x + w * 0.98 + lean * 0.5, y - h * 0.12),
            (x - w * 0.98 + lean * 0.5, y - h * 0.12),
        ),
        blue,
    )
    if w > h * 0.4:
        c.text(x + lean * 0.55, y - h * 0.27, h * 0.2, "POLICE", (255, 255, 255), w * 1.7)
    c.poly(
        (
            (x - w * 0.7 + lean, y - h * 0.85),
            (x - w * 0.45 + lean, y - h * 0.85),
            (x - w * 0.1, y + h * 0.75),
            (x - w * 0.6, y + h * 0.75),
        ),
        (255, 255, 255),
        60,
    )


def rod(c: Canvas, hand: Point, tip: Point, h: float, color: Color = (24, 22, 32)) -> None:
    """A baton, gripped a little above its end."""
    dx, dy = tip[0] - hand[0], tip[1] - hand[1]
    c.capsule((hand[0] - dx * 0.22, hand[1] - dy * 0.22), tip, 0.012 * h, 0.013 * h, color)
    c.line(
        ((hand[0] + dx * 0.2, hand[1] + dy * 0.2), (hand[0] + dx * 0.8, hand[1] + dy * 0.8)),
        0.004 * h,
        lighter(color, 0.45),
    )


def swoosh(c: Canvas, centre: Point, r: float, start: float, stop: float) -> None:
    """Arcs that show a blow or a slap moving."""
    for k, alpha in ((1.0, 190), (0.86, 130), (0.72, 80)):
        arc = [
            (
                centre[0] + r * k * math.cos(math.radians(start + (stop - start) * t / 8)),
                centre[1] + r * k * math.sin(math.radians(start + (stop - start) * t / 8)),
            )
            for t in range(9)
        ]
        c.line(arc, 0.007, (255, 252, 240), alpha)


def phone(c: Canvas, x: float, y: float, k: float) -> None:
    """A phone held out, its back to us."""
    c.rect(x - 0.3 * k, y - 0.55 * k, x + 0.3 * k, y + 0.55 * k, (32, 30, 44), radius=0.1 * k)
    c.rect(x - 0.24 * k, y - 0.49 * k, x + 0.24 * k, y + 0.49 * k, (70, 74, 98), radius=0.06 * k)
    c.disc(x - 0.1 * k, y - 0.32 * k, 0.09 * k, (20, 20, 30))
    c.disc(x + 0.12 * k, y - 0.32 * k, 0.05 * k, (255, 246, 205))


def sign(c: Canvas, hand: Point, h: float, words: str, board: Color, tilt: float) -> None:
    """Placard on a stick."""
    top = (hand[0] + tilt, hand[1] - 0.42 * h)
    c.capsule((hand[0] - tilt * 0.2, hand[1] + 0.08 * h), top, 0.009 * h, 0.009 * h, rgb("#9A6B47"))
    w, k = 0.175 * h, 0.12 * h
    c.poly(
        (
            (top[0] - w, top[1] - k + tilt * 0.3),
            (top[0] + w, top[1] - k - tilt * 0.3),
            (top[0] + w, top[1] + k - tilt * 0.3),
            (top[0] - w, top[1] + k + tilt * 0.3),
        ),
        board,
    )
    ink = darker(board, 0.8) if sum(board) > 330 else (255, 250, 240)
    c.text(top[0], top[1], 0.12 * h, words, ink, w * 1.8)


def smoke(c: Canvas, rng: random.Random, x: float, y: float, r: float, color: Color, n: int = 8) -> None:
    """Drifting smoke."""
    for _ in range(n):
        c.glow(
            x + rng.uniform(-0.9, 0.9) * r,
            y - rng.uniform(0, 1.1) * r,
            r * rng.uniform(0.5, 0.95),
            r * rng.uniform(0.4, 0.7),
            color,
            170,
        )


def teddy(c: Canvas, x: float, y: float, k: float, color: Color) -> None:
    """A toy bear."""
    c.ellipse(x, y + 0.35 * k, 0.34 * k, 0.4 * k, color)
    c.ellipse(x, y + 0.38 * k, 0.2 * k, 0.25 * k, lighter(color, 0.35))
    for s in (-1, 1):
        c.disc(x + s * 0.24 * k, y - 0.4 * k, 0.14 * k, darker(color, 0.15))
        c.ellipse(x + s * 0.36 * k, y + 0.25 * k, 0.13 * k, 0.2 * k, color)
        c.ellipse(x + s * 0.25 * k, y + 0.72 * k, 0.16 * k, 0.13 * k, darker(color, 0.12))
    c.disc(x, y - 0.18 * k, 0.34 * k, color)
    c.ellipse(x, y - 0.08 * k, 0.15 * k, 0.11 * k, lighter(color, 0.45))
    for s in (-1, 1):
        c.disc(x + s * 0.13 * k, y - 0.24 * k, 0.04 * k, (32, 26, 30))
    c.disc(x, y - 0.11 * k, 0.05 * k, (32, 26, 30))


def bicycle(c: Canvas, x: float, y: float, k: float, face: int, color: Color) -> None:
    """A parked bicycle of length about 2k."""
    c.ellipse(x, y, 1.0 * k, 0.05 * k, (16, 20, 44), 60)

    def at(u: float, v: float) -> Point:
        return x + u * k * face, y - v * k

    dark = (40, 38, 48)
    for u in (-0.6, 0.6):
        wx, wy = at(u, 0.38)
        ring = [(wx + 0.36 * k * a, wy + 0.36 * k * b) for a, b in CIRCLE]
        c.line([*ring, ring[0], ring[1]], 0.05 * k, dark)
        for a, b in CIRCLE[:9:2]:
            c.line(
                ((wx - 0.33 * k * a, wy - 0.33 * k * b), (wx + 0.33 * k * a, wy + 0.33 * k * b)),
                0.008 * k,
                (150, 152, 160),
            )
    for path in (
        ((-0.6, 0.38), (-0.22, 0.84), (0.4, 0.86), (-0.05, 0.36), (-0.6, 0.38)),
        ((-0.26, 0.92), (-0.05, 0.36)),
        ((0.6, 0.38), (0.36, 1.02)),
    ):
        c.line([at(*p) for p in path], 0.055 * k, color)
    c.line([at(-0.42, 0.94), at(-0.14, 0.94)], 0.08 * k, dark)
    c.line([at(0.3, 1.04), at(0.5, 1.06), at(0.52, 0.98)], 0.05 * k, dark)
    bx, by = at(0.62, 0.86)
    c.rect(bx - 0.16 * k, by - 0.1 * k, bx + 0.16 * k, by + 0.14 * k, rgb("#C79A63"), radius=0.04 * k)
