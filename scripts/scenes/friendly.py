"""Friendly scenes: each a composition on a stage."""

from __future__ import annotations

import math
from collections.abc import Callable

from scenes import props
from scenes.canvas import Canvas, Point, lighter, rgb
from scenes.figures import Figure
from scenes.stage import FEET, KNEEL, Stage, up


def sparkle(c: Canvas, at: Point, r: float) -> None:
    """Short rays around a point of joy."""
    for i in range(8):
        a = math.pi * (i / 4 + 0.12)
        p = (at[0] + r * 0.6 * math.cos(a), at[1] + r * 0.6 * math.sin(a))
        c.line((p, (at[0] + r * math.cos(a), at[1] + r * math.sin(a))), 0.006, (255, 250, 235), 220)


def handshake(s: Stage) -> None:
    """Officer and citizen shake hands."""
    rng = s.rng
    gap = rng.uniform(0.115, 0.14)
    second = rng.random() < 0.35
    a = s.officer(
        -gap,
        1,
        turn=0.4,
        spine=rng.uniform(0, 6),
        nod=rng.uniform(-2, 6),
        mood="smile",
        gear=s.force_gear and rng.random() < 0.3,
    )
    b = s.civilian(gap, -1, turn=0.4, spine=rng.uniform(0, 7), nod=rng.uniform(-2, 6), mood="smile")
    other = s.officer(-gap - 0.17, 1, FEET - 0.03, 0.58, turn=1.0, mood="smile") if second else None
    c = s.open(rng.uniform(0.3, 0.42), 0.3, rng.choice((1.0, 1.0, 0.82)))
    meet = (rng.uniform(-0.01, 0.01), up(rng.uniform(0.56, 0.62)))
    a.reach(meet)
    b.reach(meet)
    if rng.random() < 0.3:
        b.far_hand = b.local((meet[0] - 0.02, meet[1] + 0.006))
    elif rng.random() < 0.4:
        b.far_hand = b.local((a.x + 0.035, up(0.76)))
    if other:
        other.draw(c)
    a.draw(c)
    b.draw(c)
    c.capsule((meet[0] - 0.014, meet[1] - 0.003), (meet[0] + 0.012, meet[1] + 0.004), 0.0155, 0.0155, b.look.skin)
    c.capsule((meet[0] - 0.018, meet[1] + 0.002), (meet[0] - 0.002, meet[1] - 0.004), 0.0125, 0.011, a.look.skin)
    s.close()


def selfie(s: Stage) -> None:
    """Somebody holds the phone out, everybody squeezes in."""
    rng = s.rng
    n = rng.randint(1, 3)
    cast = ["o"] + ["c"] * n + (["o"] if rng.random() < 0.3 else [])
    rng.shuffle(cast)
    step = rng.uniform(0.125, 0.15)
    start = -step * (len(cast) - 1) / 2 + 0.05
    half = max(0.3, step * len(cast) / 2 + 0.16)
    figures: list[Figure] = []
    for i, kind in enumerate(cast):
        x, y = start + i * step, FEET - (0.012 if i % 2 else 0)
        make = s.officer if kind == "o" else s.civilian
        figures.append(
            make(
                x,
                1,
                y,
                turn=1.0,
                mood="smile",
                nod=rng.uniform(-11, 3) if i else 8.0,
                spine=rng.uniform(-5, 1) if i else 3.0,
            )
        )
    c = s.open(half, 0.3, rng.choice((0.76, 0.84, 1.0)), inner=half)
    holder = figures[0]
    hand = (holder.x - 0.17, up(rng.uniform(0.82, 0.93)))
    holder.reach(hand)
    holder.near_elbow = 1
    for i, f in enumerate(figures[1:], 1):
        if i == len(figures) - 1 and rng.random() < 0.7:
            f.far_hand, f.far_elbow = (0.2, 0.93), -1
    for f in reversed(figures):
        f.draw(c)
    at = holder.hand_at()
    props.phone(c, at[0] - 0.008, at[1] - 0.018, 0.062)
    if s.bg.night:
        c.glow(at[0] + 0.05, at[1], 0.12, 0.1, (230, 240, 255), 90)
    s.facts["props"] = "phone"
    s.close()


def helping_child(s: Stage) -> None:
    """An officer down at a child's height, or hand in hand with it."""
    rng = s.rng
    kind = rng.choice(("teddy", "shoe", "hand", "balloon"))
    s.facts["helping"] = {
        "teddy": "giving back a teddy",
        "shoe": "tying a shoe",
        "hand": "holding hands",
        "balloon": "handing a balloon",
    }[kind]
    parent = rng.random() < 0.4
    if kind == "hand":
        o = s.officer(-0.06, 1, turn=0.35, mood="smile", nod=14, near_foot=(-0.1, 0), far_foot=(0.12, 0))
        kid = s.civilian(
            0.12, 1, h=0.36, child=True, turn=0.4, mood="smile", nod=-12, near_foot=(-0.1, 0), far_foot=(0.14, 0)
        )
    else:
        o = s.officer(-0.11, 1, turn=0.4, mood="smile", **KNEEL)
        kid = s.civilian(0.1, -1, h=0.36, child=True, turn=0.45, mood="smile")
    mum = s.civilian(0.27, -1, FEET - 0.015, 0.58, turn=0.5, mood="smile", nod=10) if parent else None
    c = s.open(0.36 if parent else 0.3, 0.32 if kind == "hand" or parent else 0.4, 1.0)
    if mum:
        mum.near_hand = (0.2, 0.5)
        mum.draw(c)
    if kind == "hand":
        meet = (0.055, up(0.42))
        o.reach(meet)
        kid.reach((0.062, up(0.40)))
        o.draw(c)
        kid.draw(c)
        if rng.random() < 0.5:
            props.teddy(c, *kid.hand_at(False), 0.05, s.pal.lit(rgb("#B9824F")))
    elif kind == "shoe":
        o.spine, o.nod = 34, -6
        o.reach((0.045, FEET - 0.03))
        o.reach((0.065, FEET - 0.026), False)
        kid.near_foot = (0.06, 0.0)
        kid.near_hand, kid.nod = (0.16, 0.62), 12
        kid.draw(c)
        o.draw(c)
    elif kind == "teddy":
        at = (0.012, up(0.36))
        o.reach((at[0] - 0.02, at[1] + 0.01))
        o.reach((at[0] - 0.01, at[1] - 0.012), False)
        kid.reach((at[0] + 0.03, at[1]))
        kid.reach((at[0] + 0.03, at[1] - 0.01), False)
        o.draw(c, near_arm=False)
        kid.draw(c, near_arm=False)
        props.teddy(c, at[0], at[1] - 0.012, 0.062, s.pal.lit(rgb(rng.choice(("#B9824F", "#8F5B3A", "#D9A66C")))))
        o.draw_arm(c, True)
        kid.draw_arm(c, True)
    else:
        at = (0.005, up(0.46))
        o.reach(at)
        kid.reach((at[0] + 0.02, at[1] + 0.02))
        top = (at[0] + 0.015, at[1] - 0.2)
        c.line((at, (at[0] + 0.012, at[1] - 0.09), top), 0.003, (250, 246, 236))
        color = s.pal.lit(rng.choice(s.pal.clothes[:3]))
        c.ellipse(top[0], top[1] - 0.05, 0.048, 0.058, color)
        c.ellipse(top[0] - 0.016, top[1] - 0.07, 0.012, 0.016, lighter(color, 0.5))
        o.draw(c)
        kid.draw(c)
    s.close()


def high_five(s: Stage) -> None:
    """Palms meet overhead."""
    rng = s.rng
    child = rng.random() < 0.35
    gap = rng.uniform(0.11, 0.135)
    if child:
        o = s.officer(-gap, 1, turn=0.4, mood="smile", **KNEEL)
        p = s.civilian(gap - 0.02, -1, h=0.37, child=True, turn=0.4, mood="smile", nod=-6)
        meet = (0.01, up(0.60))
    else:
        o = s.officer(
            -gap, 1, turn=0.4, mood="smile", nod=-8, spine=rng.uniform(0, 6), near_foot=(-0.12, 0), far_foot=(0.08, 0)
        )
        p = s.civilian(
            gap, -1, turn=0.4, mood="smile", nod=-8, spine=rng.uniform(0, 6), near_foot=(-0.12, 0), far_foot=(0.08, 0)
        )
        meet = (0, up(rng.uniform(0.96, 1.03)))
    c = s.open(rng.uniform(0.28, 0.4), 0.26 if not child else 0.4, 1.0)
    o.reach((meet[0] - 0.012, meet[1]), False)
    p.reach((meet[0] + 0.012, meet[1]), False)
    o.draw(c)
    p.draw(c)
    sparkle(c, (meet[0], meet[1] - 0.025), 0.075)
    s.close()


def hug(s: Stage) -> None:
    """Two people in each other's arms."""
    rng = s.rng
    o = s.officer(-0.056, 1, turn=0.3, mood="smile", spine=5, nod=4)
    p = s.civilian(0.056, -1, turn=0.3, mood="smile", spine=5, nod=8)
    third = s.civilian(0.2, -1, FEET - 0.02, 0.58, turn=0.5, mood="smile") if rng.random() < 0.3 else None
    c = s.open(rng.uniform(0.24, 0.36), 0.28, rng.choice((1.0, 1.0, 0.8)))
    high, low = rng.choice(((0.74, 0.62), (0.62, 0.74)))
    o.reach((p.x + 0.05, up(high)))
    p.reach((o.x - 0.05, up(low)))
    o.near_elbow = p.near_elbow = -1
    if third:
        third.near_hand = (0.22, 0.72)
        third.draw(c)
    first, last = (o, p) if rng.random() < 0.5 else (p, o)
    first.draw(c, near_arm=False, far_arm=False)
    last.draw(c, near_arm=False, far_arm=False)
    last.draw_arm(c, True)
    first.draw_arm(c, True)
    s.close()


def group_photo(s: Stage) -> None:
    """A row of people and officers posing together."""
    rng = s.rng
    n = rng.randint(4, 7)
    cast = ["o"] * rng.randint(1, max(1, n // 2)) + ["c"] * n
    cast = [*cast[: n - 1], "c"]
    rng.shuffle(cast)
    step = rng.uniform(0.125, 0.145)
    start = -step * (n - 1) / 2
    figures = []
    for i, kind in enumerate(cast):
        make = s.officer if kind == "o" else s.civilian
        figures.append(make(start + i * step, 1, FEET - 0.03, 0.58, turn=1.0, mood="smile", nod=rng.uniform(-5, 5)))
    kids = [
        s.civilian(
            rng.uniform(start, -start),
            1,
            FEET + 0.01,
            rng.uniform(0.32, 0.38),
            child=True,
            main=False,
            turn=1.0,
            mood="smile",
        )
        for _ in range(rng.choice((0, 0, 1, 2)))
    ]
    c = s.open(step * n / 2 + 0.06, 0.3, rng.choice((1.0, 1.0, 0.84)))
    for i, f in enumerate(figures):
        pose = rng.random()
        if i in (0, n - 1) and pose < 0.5:
            if i == 0:
                f.near_hand, f.near_elbow = (-0.2, 0.98), 1
            else:
                f.far_hand, f.far_elbow = (0.2, 0.98), -1
        elif pose < 0.5:
            f.near_hand, f.far_hand = (-0.045, 0.53), (0.05, 0.53)
    rng.shuffle(figures)
    for f in figures:
        f.draw(c)
    for kid in kids:
        if rng.random() < 0.6:
            kid.near_hand, kid.near_elbow = (-0.22, 0.96), 1
        kid.draw(c)
    s.close()


def petting_dog(s: Stage) -> None:
    """An officer crouches to a dog."""
    rng = s.rng
    o = s.officer(-0.15, 1, turn=0.4, mood="smile", **KNEEL)
    owner = s.civilian(0.27, -1, FEET - 0.01, turn=0.45, mood="smile", nod=12) if rng.random() < 0.75 else None
    c = s.open(0.37 if owner else 0.32, 0.3 if owner else 0.42, 1.0)
    name = rng.choice(list(props.COATS))
    coat, k = s.pal.lit(rgb(props.COATS[name])), rng.uniform(0.2, 0.26)
    head_x = 0.2 * k
    if owner:
        owner.near_hand = (0.16, 0.5)
        hand = owner.hand_at()
        c.line((hand, (0.19, FEET - k * 0.5), (0.1 - head_x, FEET - k * 0.64)), 0.004, s.pal.lit(rgb("#D1495B")))
        owner.draw(c)
    top = props.dog(c, 0.06, FEET, k, -1, coat, True)
    o.reach((top[0] - 0.005, top[1] - 0.004))
    o.spine = 14
    o.draw(c)
    s.facts.update(animal="dog", animal_color=name)
    s.close()


FRIENDLY: dict[str, Callable[[Stage], None]] = {
    "handshake": handshake,
    "selfie": selfie,
    "helping_child": helping_child,
    "high_five": high_five,
    "hug": hug,
    "group_photo": group_photo,
    "petting_dog": petting_dog,
}
