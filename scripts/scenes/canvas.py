"""A small drawing surface in world units, so that every scene scales and mirrors without knowing pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]
Point = tuple[float, float]


def rgb(text: str) -> Color:
    """Colour from ``#rrggbb``; palettes read better that way."""
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def mix(a: Color, b: Color, t: float) -> Color:
    """Colour between ``a`` (t=0) and ``b`` (t=1)."""
    return (
        int(a[0] + (b[0] - a[0]) * t + 0.5),
        int(a[1] + (b[1] - a[1]) * t + 0.5),
        int(a[2] + (b[2] - a[2]) * t + 0.5),
    )


def darker(color: Color, t: float = 0.2) -> Color:
    """Shade towards a blue-black rather than black: flat shadows look less dead."""
    return mix(color, (18, 20, 44), t)


def lighter(color: Color, t: float = 0.2) -> Color:
    """Tint towards a warm white."""
    return mix(color, (255, 250, 238), t)


def _spline(p0: float, p1: float, p2: float, p3: float, t: float) -> float:
    bend = 2 * p0 - 5 * p1 + 4 * p2 - p3
    return 0.5 * (2 * p1 + (p2 - p0) * t + bend * (t * t) + (3 * p1 - p0 - 3 * p2 + p3) * (t * t * t))


def smooth(points: Sequence[Point], steps: int = 4) -> tuple[Point, ...]:
    """Closed Catmull-Rom curve through the points: few numbers by hand, round shapes on paper."""
    out: list[Point] = []
    n = len(points)
    for i in range(n):
        (x0, y0), (x1, y1), (x2, y2), (x3, y3) = (points[(i + k - 1) % n] for k in range(4))
        for s in range(steps):
            t = s / steps
            out.append((_spline(x0, x1, x2, x3, t), _spline(y0, y1, y2, y3, t)))
    return tuple(out)


CIRCLE: tuple[Point, ...] = tuple((math.cos(i * math.pi / 9), math.sin(i * math.pi / 9)) for i in range(18))


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


@lru_cache(maxsize=4)
def _radial(size: int) -> Image.Image:
    """Soft disc, bright in the middle; Pillow's own gradient runs the other way and ends in a hard edge."""
    axis = np.linspace(-1, 1, size)
    fall = np.clip(1 - np.hypot(axis[None, :], axis[:, None]), 0, 1) ** 1.7
    return Image.fromarray((fall * 255).astype(np.uint8))


class Canvas:
    """Draws in world units (y downwards) through a camera; ``flip`` mirrors everything but text."""

    def __init__(self, width: int, height: int, supersample: int) -> None:
        self.size = (width, height)
        self.ss = supersample
        self.w, self.h = width * supersample, height * supersample
        self.image = Image.new("RGB", (self.w, self.h))
        self.pen = ImageDraw.Draw(self.image, "RGBA")
        self.cast: float | None = None  # where low light throws shadows, once the sky is painted
        self.look_at(0.0, 0.5, float(height), 1)

    def look_at(self, cx: float, cy: float, ppu: float, flip: int) -> None:
        """Point the camera: world point in the middle, final pixels for each unit, mirrored or not."""
        self.k = ppu * self.ss
        self.flip = flip
        self.kx = self.k * flip
        self.ox = self.w / 2 - cx * self.kx
        self.oy = self.h / 2 - cy * self.k
        half_w, half_h = self.w / 2 / self.k, self.h / 2 / self.k
        self.left, self.right = cx - half_w, cx + half_w
        self.top, self.bottom = cy - half_h, cy + half_h

    def tiny(self, length: float, pixels: float = 1.2) -> bool:
        """True where a detail of that length would not be seen, and need not be drawn."""
        return length * self.k < pixels * self.ss

    def px(self, points: Sequence[Point]) -> list[Point]:
        """World points to pixels."""
        kx, k, ox, oy = self.kx, self.k, self.ox, self.oy
        return [(x * kx + ox, y * k + oy) for x, y in points]

    def poly(self, points: Sequence[Point], color: Color, alpha: int = 255) -> None:
        """Filled polygon."""
        self.pen.polygon(self.px(points), fill=color if alpha == 255 else (*color, alpha))

    def ellipse(self, x: float, y: float, rx: float, ry: float, color: Color, alpha: int = 255) -> None:
        """Filled upright ellipse."""
        px, py = x * self.kx + self.ox, y * self.k + self.oy
        rx, ry = rx * self.k, ry * self.k
        self.pen.ellipse((px - rx, py - ry, px + rx, py + ry), fill=color if alpha == 255 else (*color, alpha))

    def disc(self, x: float, y: float, r: float, color: Color, alpha: int = 255) -> None:
        """Filled circle."""
        self.ellipse(x, y, r, r, color, alpha)

    def rect(
        self, x0: float, y0: float, x1: float, y1: float, color: Color, alpha: int = 255, radius: float = 0.0
    ) -> None:
        """Filled rectangle, with round corners if asked for."""
        (ax, ay), (bx, by) = self.px(((x0, y0), (x1, y1)))
        if ax > bx:
            ax, bx = bx, ax
        fill = color if alpha == 255 else (*color, alpha)
        if radius * self.k >= 2:
            self.pen.rounded_rectangle((ax, ay, bx, by), radius * self.k, fill=fill)
        else:
            self.pen.rectangle((ax, ay, bx, by), fill=fill)

    def line(self, points: Sequence[Point], width: float, color: Color, alpha: int = 255) -> None:
        """Open polyline with round joints."""
        fill = color if alpha == 255 else (*color, alpha)
        wide = max(1, round(width * self.k))
        self.pen.line(self.px(points), fill=fill, width=wide, joint="curve" if wide > 3 and alpha == 255 else None)

    def capsule(self, p: Point, q: Point, rp: float, rq: float, color: Color) -> None:
        """Tapered stroke with round ends: the building block of limbs, trunks and poles."""
        dx, dy = q[0] - p[0], q[1] - p[1]
        n = math.hypot(dx, dy) or 1e-6
        nx, ny = -dy / n, dx / n
        self.poly(
            (
                (p[0] + nx * rp, p[1] + ny * rp),
                (q[0] + nx * rq, q[1] + ny * rq),
                (q[0] - nx * rq, q[1] - ny * rq),
                (p[0] - nx * rp, p[1] - ny * rp),
            ),
            color,
        )
        self.disc(p[0], p[1], rp, color)
        self.disc(q[0], q[1], rq, color)

    def vertical(self, y0: float, y1: float, top: Color, bottom: Color) -> None:
        """Gradient across the whole width from y0 to y1."""
        a, b = max(0, round(y0 * self.k + self.oy)), min(self.h, round(y1 * self.k + self.oy))
        if b <= a:
            return
        ramp = np.linspace(np.array(top, float), np.array(bottom, float), 48)[:, None, :]
        strip = Image.fromarray((ramp + 0.5).astype(np.uint8))
        self.image.paste(strip.resize((1, b - a), Image.Resampling.BILINEAR).resize((self.w, b - a)), (0, a))

    def veil(self, y0: float, y1: float, color: Color, alpha0: int, alpha1: int) -> None:
        """Layer of haze whose strength runs from alpha0 at y0 to alpha1 at y1."""
        a, b = max(0, round(y0 * self.k + self.oy)), min(self.h, round(y1 * self.k + self.oy))
        if b <= a:
            return
        ramp = Image.fromarray(np.linspace(alpha0, alpha1, 48)[:, None].astype(np.uint8))
        mask = ramp.resize((1, b - a), Image.Resampling.BILINEAR).resize((self.w, b - a))
        self.image.paste(color, (0, a), mask)

    def glow(self, x: float, y: float, rx: float, ry: float, color: Color, alpha: int) -> None:
        """Soft light (or smoke) around a point."""
        w, h = max(2, round(2 * rx * self.k)), max(2, round(2 * ry * self.k))
        left, top = round(x * self.kx + self.ox - w / 2), round(y * self.k + self.oy - h / 2)
        if left > self.w or top > self.h or left + w < 0 or top + h < 0:
            return
        mask = _radial(64).resize((w, h), Image.Resampling.BILINEAR).point([v * alpha // 255 for v in range(256)])
        self.image.paste(color, (left, top), mask)

    def text(self, x: float, y: float, size: float, words: str, color: Color, width: float = 0.0) -> None:
        """Centred words; ``width`` is the room they may take, and they shrink to fit it."""
        pixels = size * self.k
        if pixels < 5:
            return
        font = _font(max(4, int(pixels)))
        length = font.getlength(words)
        if width and length > width * self.k:
            font = _font(max(4, int(pixels * width * self.k / length)))
        self.pen.text((x * self.kx + self.ox, y * self.k + self.oy), words, fill=color, font=font, anchor="mm")

    def mirror_ground(self, y: float, depth: float, strength: int) -> None:
        """Wet ground: what stands above ``y`` shows again below it, fading out over ``depth``."""
        edge = round(y * self.k + self.oy)
        rows = min(round(depth * self.k), self.h - edge, edge)
        if rows < 4:
            return
        part = self.image.crop((0, edge - rows, self.w, edge)).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        fade = np.linspace(strength, 0, rows)[:, None].astype(np.uint8)
        self.image.paste(part, (0, edge), Image.fromarray(fade).resize((self.w, rows)))

    def finish(self) -> Image.Image:
        """The picture at its final size."""
        return self.image.reduce(self.ss) if self.ss > 1 else self.image
