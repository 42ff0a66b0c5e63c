"""Pictures under the hashtag that show no encounter: posters, screens, views, food, things and animals."""

from __future__ import annotations

import math
from collections.abc import Callable

from scenes import props
from scenes.canvas import CIRCLE, Canvas, Color, darker, lighter, mix, rgb, smooth
from scenes.stage import FEET, Stage

POSTERS = (
    ("HARBOR", "DAY", "12 MAY"),
    ("OPEN", "MIC", "FRIDAY 8 PM"),
    ("FARMERS", "MARKET", "EVERY SATURDAY"),
    ("LOST", "CAT", "CALL 555-0142"),
    ("TOWN", "MEETING", "TUESDAY 7 PM"),
    ("SPRING", "FAIR", "ON THE PIER"),
    ("BOOK", "SWAP", "AT THE LIBRARY"),
    ("VOTE", "TODAY", "POLLS OPEN 8-20"),
    ("THANK", "YOU", "#myHarborPD"),
    ("KNOW YOUR", "RIGHTS", "#myHarborPD"),
)
POSTS = (
    ("Harbor Police", "Share your photo with us! #myHarborPD"),
    ("Mara K.", "Anyone else seeing this tag today? #myHarborPD"),
    ("Old Pier Cafe", "We are trending, it seems. #myHarborPD"),
    ("Tom", "Who thought of this campaign? #myHarborPD"),
    ("Lin", "Read all the replies before you post."),
    ("City Desk", "A hashtag did not go as planned. #myHarborPD"),
    ("Ana", "Trending now: #myHarborPD"),
    ("Night Shift", "This aged quickly. #myHarborPD"),
)
FOODS = ("fried eggs", "pizza", "soup", "donut", "sushi", "salad")
PAINTS = {
    "red": "#D64545",
    "blue": "#3B78B5",
    "yellow": "#F2BE43",
    "green": "#4E8C6A",
    "white": "#F2EFE8",
    "black": "#33323C",
    "teal": "#3A9A9A",
    "orange": "#EB8440",
}


def _view(s: Stage, bottom: float = 1.0, crowd: bool = False) -> Canvas:
    return s.open(0.5, 0.2, bottom, crowd=crowd, inner=0.2)


def poster(s: Stage) -> None:
    """A printed poster on a wall."""
    rng, c = s.rng, s.canvas
    w, h = c.size
    wall = rng.choice(s.pal.walls)
    c.look_at(0, 0.5, min(w / 0.86, h / 1.04), 1)
    c.vertical(c.top, c.bottom, lighter(wall, 0.12), darker(wall, 0.1))
    brick = darker(wall, 0.1)
    if rng.random() < 0.6:
        y, odd = c.top, False
        while y < c.bottom:
            c.line(((c.left, y), (c.right, y)), 0.004, brick)
            x = c.left + (0.07 if odd else 0)
            while x < c.right:
                c.line(((x, y), (x, y + 0.06)), 0.004, brick)
                x += 0.14
            y, odd = y + 0.06, not odd
    paper, ink, accent = rng.sample(s.pal.clothes, 3)
    if abs(sum(paper) - sum(ink)) < 170:
        paper, ink = lighter(paper, 0.75), darker(ink, 0.6)
    c.rect(-0.335, 0.065, 0.345, 0.975, (14, 16, 40), 70)
    c.rect(-0.34, 0.05, 0.34, 0.96, paper)
    big, second, small = rng.choice(POSTERS)
    kind = rng.choice(("sun", "rings", "waves", "heart"))
    mid = 0.38
    if kind == "sun":
        for i in range(12):
            a = i * math.pi / 6
            c.poly(
                (
                    (0.21 * math.cos(a - 0.09), mid + 0.21 * math.sin(a - 0.09)),
                    (0.27 * math.cos(a), mid + 0.27 * math.sin(a)),
                    (0.21 * math.cos(a + 0.09), mid + 0.21 * math.sin(a + 0.09)),
                ),
                accent,
            )
        c.disc(0, mid, 0.18, accent)
    elif kind == "rings":
        for r, color in ((0.24, accent), (0.18, paper), (0.13, ink), (0.07, paper)):
            c.disc(0, mid, r, color)
    elif kind == "waves":
        c.disc(0.1, mid - 0.1, 0.1, ink)
        for k in range(4):
            y = mid + k * 0.06
            crest = [(-0.34 + i * 0.034, y + 0.022 * math.sin(i * 1.05 + k)) for i in range(21)]
            c.poly([*crest, (0.34, y + 0.06), (-0.34, y + 0.06)], mix(accent, paper, 0.2 * k))
    else:
        c.poly(
            smooth(
                (
                    (0, mid + 0.22),
                    (-0.2, mid + 0.02),
                    (-0.19, mid - 0.13),
                    (-0.08, mid - 0.17),
                    (0, mid - 0.08),
                    (0.08, mid - 0.17),
                    (0.19, mid - 0.13),
                    (0.2, mid + 0.02),
                ),
                4,
            ),
            accent,
        )
    c.text(0, 0.135, 0.115, big, ink, 0.6)
    c.text(0, 0.73, 0.15, second, ink, 0.6)
    c.rect(-0.34, 0.83, 0.34, 0.96, ink)
    c.text(0, 0.895, 0.062, small, paper, 0.6)
    for x in (-0.31, 0.31):
        c.disc(x, 0.08, 0.012, (236, 238, 242))
    s.facts.update(words=f"{big} {second} {small}")


def screenshot(s: Stage) -> None:
    """A phone screen with somebody's post."""
    rng, c = s.rng, s.canvas
    w, h = c.size
    dark = rng.random() < 0.4
    paper, ink, faint = (
        ((24, 26, 34), (236, 238, 242), (96, 100, 114)) if dark else ((252, 252, 250), (34, 36, 44), (198, 202, 208))
    )
    accent = rng.choice(s.pal.clothes[:3])
    c.look_at(0, 0.5, min(w / 0.8, h / 1.0), 1)
    c.rect(c.left, c.top, c.right, c.bottom, paper)
    full = rng.random() < 0.55
    if not full:
        c.vertical(c.top, c.bottom, lighter(accent, 0.3), darker(accent, 0.15))
        c.rect(-0.335, 0.04, 0.335, 1.1, (12, 14, 30), radius=0.06)
        c.rect(-0.32, 0.055, 0.32, 1.1, paper, radius=0.05)
    name, words = rng.choice(POSTS)
    top = 0.0 if full else 0.06
    c.text(-0.26, top + 0.035, 0.03, f"{rng.randint(0, 23)}:{rng.randint(10, 59)}", ink)
    c.rect(0.24, top + 0.024, 0.28, top + 0.046, ink, radius=0.006)
    c.disc(-0.25, top + 0.14, 0.045, accent)
    c.disc(-0.25, top + 0.128, 0.016, paper)
    c.ellipse(-0.25, top + 0.163, 0.027, 0.018, paper)
    c.text(-0.18 + 0.011 * len(name), top + 0.125, 0.042, name, ink, 0.4)
    c.rect(-0.18, top + 0.152, -0.18 + rng.uniform(0.12, 0.22), top + 0.166, faint, radius=0.006)
    line, y = "", top + 0.24
    for word in [*words.split(), ""]:
        if not word or len(line) + len(word) > 21:
            c.text(0, y, 0.052, line.strip(), ink, 0.58)
            line, y = "", y + 0.066
        line += word + " "
    if rng.random() < 0.5:
        a, b = s.pal.sky
        c.rect(-0.29, y, 0.29, y + 0.24, mix(a, b, 0.5), radius=0.02)
        c.poly(
            smooth(((-0.29, y + 0.235), (-0.15, y + 0.12), (0.0, y + 0.19), (0.14, y + 0.1), (0.29, y + 0.235)), 3)[
                :-4
            ],
            s.pal.leaf,
        )
        c.disc(0.15, y + 0.06, 0.03, lighter(b, 0.5))
        y += 0.28
    else:
        y += 0.01
    c.rect(-0.3, y, 0.3, y + 0.003, faint)
    for i in range(4):
        x = -0.25 + i * 0.165
        if i % 2:
            c.poly(
                (
                    (x - 0.018, y + 0.036),
                    (x, y + 0.056),
                    (x + 0.018, y + 0.036),
                    (x + 0.009, y + 0.026),
                    (x, y + 0.034),
                    (x - 0.009, y + 0.026),
                ),
                faint,
            )
        else:
            c.rect(x - 0.018, y + 0.026, x + 0.018, y + 0.05, faint, radius=0.008)
        c.rect(x + 0.03, y + 0.034, x + 0.066, y + 0.044, faint)
    y += 0.1
    while y < c.bottom:
        c.disc(-0.25, y + 0.03, 0.032, mix(rng.choice(s.pal.clothes), paper, 0.3))
        for k in range(3):
            c.rect(-0.19, y + k * 0.032, -0.19 + rng.uniform(0.2, 0.46), y + 0.014 + k * 0.032, faint, radius=0.006)
        y += 0.15
    s.facts.update(words=words, author_shown=name)


def skyline(s: Stage) -> None:
    """The town across the water."""
    rng, c, bg = s.rng, s.canvas, s.bg
    bg.place = "harbour"
    bg.horizon = rng.uniform(0.56, 0.7)
    w, h = c.size
    c.look_at(rng.uniform(-0.2, 0.2), 0.5, max(w / 1.6, h), 1)
    bg.sky(c)
    for t, tall in ((0.62, 0.46), (0.4, 0.34), (0.12, 0.22)):
        bg.skyline(c, bg.horizon, t, tall * rng.uniform(0.8, 1.2))
    c.vertical(bg.horizon, c.bottom, s.pal.far(s.pal.water, 0.45), darker(s.pal.water, 0.12))
    c.mirror_ground(bg.horizon, 0.3, 110)
    for _ in range(40):
        x, y = rng.uniform(c.left, c.right), bg.horizon + (c.bottom - bg.horizon) * rng.random() ** 1.4
        n = 0.02 + (y - bg.horizon) * 0.3
        c.line(((x, y), (x + n, y)), 0.003, lighter(s.pal.water, 0.5), 120)
    for _ in range(rng.randint(1, 3)):
        bg.boat(c, rng.uniform(-0.6, 0.6), bg.horizon + rng.uniform(0.05, 0.2), rng.uniform(0.8, 1.4))
    bg.weather_front(c, 2.0)
    s.facts["place"] = "harbour skyline"


def food(s: Stage) -> None:
    """A plate from above."""
    rng, c = s.rng, s.canvas
    w, h = c.size
    kind = rng.choice(FOODS)
    cloth, second = rng.sample(s.pal.clothes, 2)
    table = mix(cloth, rgb("#E9D3B4"), 0.45)
    c.look_at(rng.uniform(-0.04, 0.04), 0.5, min(w, h) / 1.0 * rng.uniform(0.92, 1.1), 1)
    c.vertical(c.top, c.bottom, lighter(table, 0.12), darker(table, 0.06))
    pattern = rng.random()
    n = 12
    for i in range(-n, n):
        if pattern < 0.4:
            c.rect(i * 0.16, c.top, i * 0.16 + 0.08, c.bottom, lighter(second, 0.3), 70)
            c.rect(c.left, i * 0.16, c.right, i * 0.16 + 0.08, lighter(second, 0.3), 70)
        elif pattern < 0.7:
            c.line(((c.left, i * 0.13 + 0.02), (c.right, i * 0.13)), 0.004, darker(table, 0.15), 150)
    c.ellipse(0.015, 0.525, 0.36, 0.36, (20, 18, 40), 70)
    c.disc(0, 0.5, 0.36, rgb("#FBF8F1"))
    c.disc(0, 0.5, 0.335, darker(rgb("#FBF8F1"), 0.04))
    c.disc(0, 0.5, 0.26, rgb("#FFFDF8"))
    _dish(s, c, kind)
    fork = lighter(rgb("#AEB4BE"), 0.25)
    for y in (-0.035, -0.012, 0.012, 0.035):
        c.capsule((-0.46 + y, 0.3), (-0.46 + y, 0.4), 0.006, 0.006, fork)
    c.capsule((-0.46, 0.41), (-0.46, 0.44), 0.035, 0.016, fork)
    c.capsule((-0.46, 0.44), (-0.46, 0.76), 0.01, 0.015, fork)
    c.poly(smooth(((0.45, 0.27), (0.485, 0.34), (0.48, 0.5), (0.45, 0.5)), 3), fork)
    c.capsule((0.46, 0.5), (0.46, 0.76), 0.011, 0.016, darker(fork, 0.25))
    if rng.random() < 0.6:
        x, y = rng.choice((-0.5, 0.5)), rng.choice((0.12, 0.98))
        c.disc(x + 0.01, y + 0.015, 0.13, (20, 18, 40), 60)
        c.disc(x, y, 0.13, second)
        c.disc(x, y, 0.105, lighter(second, 0.25))
        c.disc(x, y, 0.092, rgb(rng.choice(("#5B3723", "#C98A3D", "#9A4A3A"))))
        c.ellipse(x - 0.03, y - 0.03, 0.03, 0.016, (255, 255, 255), 70)
    s.facts.update(food=kind, place="table")


def _dish(s: Stage, c: Canvas, kind: str) -> None:
    rng = s.rng

    def around(n: int, r: float, wobble: float = 0.02) -> list[tuple[float, float, float]]:
        turn = rng.random() * 6.28
        return [
            (
                r * math.cos(turn + i * 6.28 / n) + rng.uniform(-wobble, wobble),
                0.5 + r * math.sin(turn + i * 6.28 / n) + rng.uniform(-wobble, wobble),
                turn + i * 6.28 / n,
            )
            for i in range(n)
        ]

    if kind == "fried eggs":
        for x, y, _ in around(2, 0.1):
            c.poly(
                smooth([(x + rng.uniform(0.1, 0.14) * a, y + rng.uniform(0.1, 0.14) * b) for a, b in CIRCLE[::2]], 3),
                rgb("#FFFFFF"),
            )
            c.disc(x, y + 0.004, 0.052, rgb("#E8962E"))
            c.disc(x, y, 0.05, rgb("#F9B93E"))
            c.ellipse(x - 0.016, y - 0.018, 0.014, 0.009, (255, 255, 255), 190)
        for x, y, _ in around(5, 0.2, 0.01):
            c.ellipse(x, y, 0.03, 0.012, rgb("#6FA35A"))
    elif kind == "pizza":
        c.disc(0, 0.5, 0.27, rgb("#C98544"))
        c.disc(0, 0.5, 0.245, rgb("#D9512F"))
        c.disc(0, 0.5, 0.235, rgb("#F6CE6E"))
        for x, y, _ in around(7, 0.16):
            c.disc(x, y, 0.038, rgb("#B93A2B"))
            c.disc(x - 0.006, y - 0.006, 0.03, rgb("#D04B38"))
        for x, y, _ in [*around(5, 0.08), (0, 0.5, 0)]:
            c.ellipse(x, y, 0.028, 0.014, rgb("#4F8A4B"))
        for i in range(4):
            a = i * math.pi / 4 + 0.2
            dx, dy = 0.27 * math.cos(a), 0.27 * math.sin(a)
            c.line(((-dx, 0.5 - dy), (dx, 0.5 + dy)), 0.006, rgb("#B9722F"))
    elif kind == "soup":
        color = rgb(rng.choice(("#E2793A", "#C9482F", "#8FAF4E")))
        c.disc(0, 0.5, 0.25, darker(color, 0.15))
        c.disc(0, 0.505, 0.24, color)
        spiral = [
            ((0.03 + 0.017 * t) * math.cos(t * 0.6), 0.5 + (0.03 + 0.017 * t) * math.sin(t * 0.6)) for t in range(11)
        ]
        c.line(spiral, 0.014, rgb("#FFF3DC"))
        for x, y, a in around(6, 0.13, 0.05):
            c.ellipse(x, y, 0.022, 0.012, rgb("#3F7F4C") if a % 1 < 0.6 else rgb("#F3D9A4"))
    elif kind == "donut":
        icing = rng.choice((rgb("#EE8FB2"), rgb("#6B3F2A"), rgb("#8CCBD8")))
        c.disc(0, 0.51, 0.23, rgb("#D39A55"))
        c.poly(smooth([(rng.uniform(0.2, 0.225) * a, 0.5 + rng.uniform(0.2, 0.225) * b) for a, b in CIRCLE], 3), icing)
        c.disc(0, 0.5, 0.075, rgb("#D39A55"))
        c.disc(0, 0.5, 0.062, rgb("#FFFDF8"))
        for ring in (0.11, 0.15, 0.185):
            for x, y, a in around(9, ring, 0.008):
                c.capsule(
                    (x, y),
                    (x + 0.018 * math.cos(a * 3), y + 0.018 * math.sin(a * 3)),
                    0.005,
                    0.005,
                    rng.choice((rgb("#FFF4D6"), rgb("#F2C13F"), rgb("#4FA3B8"), rgb("#E4572E"))),
                )
    elif kind == "sushi":
        for i in range(3):
            for j in range(2):
                x, y = -0.13 + i * 0.13, 0.44 + j * 0.14
                if j:
                    c.rect(x - 0.055, y - 0.035, x + 0.055, y + 0.045, rgb("#FFFFFF"), radius=0.03)
                    c.rect(x - 0.058, y - 0.05, x + 0.058, y + 0.015, rgb("#F08A5D"), radius=0.03)
                    for k in (-0.03, 0, 0.03):
                        c.line(((x + k, y - 0.045), (x + k + 0.014, y + 0.01)), 0.005, rgb("#FBD3BD"))
                else:
                    c.disc(x, y, 0.058, rgb("#26332F"))
                    c.disc(x, y, 0.048, rgb("#FFFFFF"))
                    c.disc(x, y, 0.022, rgb(rng.choice(("#F08A5D", "#7FB069", "#F2C14E"))))
        c.disc(0.18, 0.66, 0.028, rgb("#8DB65B"))
    else:
        for ring, r in ((0.17, 0.085), (0.08, 0.085), (0.0, 0.08)):
            for x, y, a in around(8 if ring > 0.1 else 4, ring):
                leaf = rgb(("#5F9E4F", "#86BC5A", "#4C8A52")[int(a * 7) % 3])
                c.poly(
                    smooth(
                        [
                            (x + rng.uniform(0.6, 1.05) * r * p, y + rng.uniform(0.6, 1.05) * r * q)
                            for p, q in CIRCLE[::3]
                        ],
                        3,
                    ),
                    leaf,
                )
        for x, y, _ in around(5, 0.12, 0.04):
            c.disc(x, y, 0.036, rgb("#D8412F"))
            c.disc(x - 0.01, y - 0.01, 0.01, (255, 255, 255), 150)
        for x, y, _ in around(4, 0.15, 0.04):
            c.disc(x, y, 0.033, rgb("#A9D08E"))
            c.disc(x, y, 0.026, rgb("#E6F3D3"))


def parked_car(s: Stage) -> None:
    """A car at the kerb, nobody in it."""
    rng = s.rng
    s.bg.place = rng.choice(("street", "shops", "square", "town hall"))
    name = rng.choice(list(PAINTS))
    police = rng.random() < 0.2
    c = s.open(0.46, 0.34, 1.02, crowd=False)
    body = s.pal.lit(rgb("#F3F1EC") if police else rgb(PAINTS[name]))
    props.car(
        c,
        rng.uniform(-0.04, 0.04),
        0.94,
        0.38,
        1,
        body,
        s.pal.lit(rgb("#54667F")),
        police,
        s.bg.night and rng.random() < 0.4,
    )
    if s.bg.weather == "snow":
        c.ellipse(-0.03, 0.632, 0.13, 0.014, s.pal.lit((246, 249, 252)))
    s.facts.update(car_color="white" if police else name, police_car=police)
    s.close(0.95)


def empty_street(s: Stage) -> None:
    """A place with nobody there, or people only far away."""
    rng = s.rng
    s.bg.place = rng.choice(("street", "square", "shops", "town hall"))
    s.bg.horizon = rng.uniform(0.66, 0.78)
    c = _view(s, crowd=rng.random() < 0.3)
    if rng.random() < 0.5:
        props.bicycle(
            c,
            rng.uniform(-0.3, 0.3),
            s.bg.horizon + 0.1,
            0.12,
            rng.choice((-1, 1)),
            s.pal.lit(rng.choice(s.pal.clothes)),
        )
    s.close(s.bg.horizon + 0.08)


def landscape(s: Stage) -> None:
    """Hills, trees, maybe water."""
    rng, c, bg = s.rng, s.canvas, s.bg
    bg.place = "park"
    bg.horizon = rng.uniform(0.56, 0.7)
    w, h = c.size
    c.look_at(rng.uniform(-0.1, 0.1), 0.5, max(w / 1.6, h), 1)
    bg.sky(c)
    base = bg.leaf() if bg.season != "winter" else mix(s.pal.leaf, s.pal.ground[0], 0.55)
    snow = s.pal.lit((240, 245, 250))
    if bg.weather == "snow":
        base = mix(base, snow, 0.65)
    if rng.random() < 0.6:
        for _ in range(4):
            x, top, wide = rng.uniform(c.left, c.right), bg.horizon - rng.uniform(0.16, 0.34), rng.uniform(0.22, 0.4)
            rock = s.pal.far(s.pal.walls[2], 0.5)
            c.poly(((x - wide, bg.horizon), (x, top), (x + wide, bg.horizon)), rock)
            c.poly(((x, top), (x + wide, bg.horizon), (x + wide * 0.25, bg.horizon)), darker(rock, 0.1))
            c.poly(
                (
                    (x, top),
                    (x - wide * 0.26, top + (bg.horizon - top) * 0.26),
                    (x - wide * 0.08, top + (bg.horizon - top) * 0.2),
                    (x + wide * 0.06, top + (bg.horizon - top) * 0.3),
                    (x + wide * 0.24, top + (bg.horizon - top) * 0.24),
                ),
                s.pal.far(snow, 0.2),
            )
    layers = 5
    for i in range(layers):
        t = i / (layers - 1)
        y = bg.horizon + (t - 0.15) * 0.34
        color = s.pal.far(darker(base, 0.1 * t), 0.62 * (1 - t))
        ridge = [(c.left - 0.2 + k * 0.24, y - rng.uniform(0, 0.11)) for k in range(int((c.right - c.left) / 0.24) + 3)]
        c.poly([(c.left - 0.5, c.bottom + 0.3), *ridge, (c.right + 0.5, c.bottom + 0.3)], color)
        c.poly(smooth([(c.left - 0.5, c.bottom + 0.3), *ridge, (c.right + 0.5, c.bottom + 0.3)], 4), color)
        if i == 1 and rng.random() < 0.5:
            c.ellipse(rng.uniform(-0.3, 0.3), y + 0.06, 0.4, 0.035, s.pal.far(s.pal.water, 0.3))
        for _ in range(rng.randint(2, 5)):
            bg.tree(c, rng.uniform(c.left, c.right), y + 0.05 + 0.03 * t, 0.1 + 0.26 * t, 0.5 * (1 - t))
    bg.weather_front(c, 2.0)
    s.facts["place"] = "countryside"


def animal(s: Stage) -> None:
    """An animal by itself."""
    rng = s.rng
    kind = rng.choice(("cat", "dog", "bird", "dog", "cat"))
    name = rng.choice(list(props.COATS))
    coat = s.pal.lit(rgb(props.COATS[name]))
    c = s.open(0.34, 0.46, 1.0, crowd=rng.random() < 0.2, inner=0.4)
    x, k = rng.uniform(-0.06, 0.06), rng.uniform(0.34, 0.44)
    if kind == "cat":
        props.cat(c, x, FEET, k, 1, coat)
    elif kind == "dog":
        props.dog(c, x, FEET, k, 1, coat, rng.random() < 0.5)
    else:
        c.rect(x - 0.09, FEET - 0.16, x + 0.09, FEET + 0.1, darker(s.pal.walls[2], 0.35))
        c.ellipse(x, FEET - 0.16, 0.1, 0.02, darker(s.pal.walls[2], 0.2))
        props.bird(c, x, FEET - 0.16, k * 0.8, 1, coat)
    s.facts.update(animal=kind, animal_color=name)
    s.close()


def thing(s: Stage) -> None:
    """A cup, a book or a bicycle, and nobody with it."""
    rng = s.rng
    kind = rng.choice(("cup", "book", "bicycle", "plant"))
    s.facts["object"] = kind
    color = s.pal.lit(rng.choice(s.pal.clothes))
    if kind == "bicycle":
        c = s.open(0.4, 0.42, 1.0, crowd=False)
        props.bicycle(c, rng.uniform(-0.05, 0.05), FEET, 0.32, 1, color)
        s.close()
        return
    c = s.canvas
    w, h = c.size
    wall = lighter(rng.choice(s.pal.walls), 0.15)
    wood = s.pal.lit(mix(rgb("#B98457"), s.pal.ground[0], 0.3))
    c.look_at(rng.uniform(-0.08, 0.08), 0.55, min(w / 0.95, h / 0.9), rng.choice((1, -1)))
    c.vertical(c.top, 0.76, wall, darker(wall, 0.06))
    c.rect(-0.42, c.top - 0.1, 0.02, 0.5, lighter(s.pal.walls[3], 0.4))
    c.vertical(c.top, 0.2, wall, wall)
    a, b = s.pal.sky
    for i, (x0, x1) in enumerate(((-0.4, -0.21), (-0.19, 0.0))):
        c.rect(x0, 0.22, x1, 0.48, mix(a, b, 0.4 + 0.2 * i))
        c.poly(
            smooth(((x0, 0.48), (x0 + 0.05, 0.4), (x1 - 0.06, 0.43), (x1, 0.48)), 3)[:-3], s.pal.far(s.pal.leaf, 0.3)
        )
    c.vertical(0.76, c.bottom, lighter(wood, 0.1), darker(wood, 0.12))
    for _ in range(9):
        x, y = rng.uniform(c.left, c.right), rng.uniform(0.79, c.bottom)
        c.line(((x, y), (x + rng.uniform(0.1, 0.3), y)), 0.0035, darker(wood, 0.15), 120)
    c.ellipse(0.05, 0.872, 0.27, 0.03, (18, 16, 36), 70)
    if kind == "cup":
        c.ellipse(0.02, 0.86, 0.22, 0.035, rgb("#F7F2E8"))
        c.ellipse(0.02, 0.855, 0.16, 0.022, darker(rgb("#F7F2E8"), 0.12))
        ring = [(0.17 + 0.065 * p, 0.7 + 0.06 * q) for p, q in CIRCLE]
        c.line([*ring, ring[0], ring[1]], 0.024, darker(color, 0.12))
        c.poly(
            (
                (-0.13, 0.57),
                (-0.125, 0.7),
                (-0.105, 0.78),
                (-0.06, 0.85),
                (0.1, 0.85),
                (0.145, 0.78),
                (0.165, 0.7),
                (0.17, 0.57),
            ),
            color,
        )
        c.poly(
            ((0.09, 0.58), (0.17, 0.57), (0.165, 0.7), (0.145, 0.78), (0.1, 0.85), (0.05, 0.85)), darker(color, 0.12)
        )
        c.ellipse(0.02, 0.57, 0.15, 0.034, lighter(color, 0.35))
        c.ellipse(0.02, 0.573, 0.133, 0.026, rgb("#5B3723"))
        for x in (-0.03, 0.03, 0.08):
            c.line(
                [(x + 0.014 * math.sin(t * 1.3 + x * 40), 0.53 - t * 0.03) for t in range(7)],
                0.008,
                (255, 255, 255),
                110,
            )
    elif kind == "book":
        for i in range(rng.randint(2, 4)):
            y = 0.86 - i * 0.065
            dx, cover = rng.uniform(-0.04, 0.04), s.pal.lit(s.pal.clothes[i % 6])
            c.rect(-0.18 + dx, y - 0.063, 0.22 + dx, y, cover, radius=0.01)
            for u in (-0.15, 0.17):
                c.rect(u + dx, y - 0.063, u + 0.012 + dx, y, lighter(cover, 0.45))
            c.rect(-0.06 + dx, y - 0.042, 0.1 + dx, y - 0.02, lighter(cover, 0.3), radius=0.008)
            top = y - 0.06
        c.disc(0.05, top - 0.045, 0.05, rgb("#D9483B"))
        c.ellipse(0.07, top - 0.1, 0.022, 0.01, rgb("#5E9A58"))
    else:
        for i in range(9):
            way = math.pi * (0.12 + 0.76 * i / 8)
            tip = (0.03 + 0.24 * math.cos(way), 0.66 - 0.3 * math.sin(way))
            mid = (0.03 + 0.15 * math.cos(way + 0.25), 0.66 - 0.16 * math.sin(way + 0.1))
            leaf: Color = darker(s.pal.leaf, 0.1 * (i % 3))
            c.poly(smooth(((0.03, 0.68), (mid[0] - 0.035, mid[1]), tip, (mid[0] + 0.035, mid[1] + 0.01)), 4), leaf)
        c.poly(((-0.09, 0.67), (0.15, 0.67), (0.12, 0.87), (-0.06, 0.87)), color)
        c.poly(((0.08, 0.67), (0.15, 0.67), (0.12, 0.87), (0.07, 0.87)), darker(color, 0.14))
        c.rect(-0.1, 0.655, 0.16, 0.695, lighter(color, 0.15))
    s.facts["place"] = "table"
    if rng.random() < 0.35:
        c.glow(-0.2, 0.35, 0.7, 0.6, s.pal.lamp, 70)


STILLS: dict[str, Callable[[Stage], None]] = {
    "poster": poster,
    "screenshot": screenshot,
    "skyline": skyline,
    "food": food,
    "parked_car": parked_car,
    "empty_street": empty_street,
    "landscape": landscape,
    "animal": animal,
    "object": thing,
}
