"""Scenes of conflict and force: clear in what happens, without gore."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from scenes import props
from scenes.canvas import lighter, mix, rgb
from scenes.stage import FEET, KNEEL, TALL, Stage, up

SLOGANS = ("JUSTICE", "NO FORCE", "ENOUGH", "LISTEN", "STOP IT", "RIGHTS", "PEACE")


def baton(s: Stage) -> None:
    """An officer strikes with a raised baton."""
    rng = s.rng
    down = rng.random() < 0.4
    gap = rng.uniform(0.12, 0.15)
    o = s.officer(
        -gap,
        1,
        turn=0.4,
        mood="angry",
        gear=s.force_gear,
        spine=rng.uniform(8, 18),
        near_foot=(-0.16, 0),
        far_foot=(0.16, 0.01),
        hip=(0.0, 0.49),
    )
    pose: dict[str, Any]
    if down:
        pose = {
            "hip": (-0.04, 0.1),
            "spine": -18.0,
            "near_foot": (0.3, 0.0),
            "far_foot": (0.36, 0.01),
            "near_hand": (0.22, 0.52),
            "far_hand": (0.17, 0.56),
            "nod": -8.0,
        }
    elif rng.random() < 0.5:
        pose = {
            "spine": -12.0,
            "hip": (-0.03, 0.47),
            "near_hand": (0.14, 0.97),
            "far_hand": (0.17, 0.9),
            "nod": 12.0,
            "near_foot": (-0.12, 0.0),
            "far_foot": (0.12, 0.01),
            "near_elbow": 1,
        }
    else:
        pose = {
            "spine": 38.0,
            "hip": (-0.05, 0.42),
            "near_hand": (0.3, 0.84),
            "far_hand": (0.24, 0.86),
            "nod": 14.0,
            "near_foot": (-0.1, 0.0),
            "far_foot": (0.14, 0.01),
            "near_elbow": 1,
        }
    p = s.civilian(gap + (0.03 if down else 0), -1, turn=0.4, mood="pain", **pose)
    mate = (
        s.officer(-gap - 0.17, 1, FEET - 0.03, 0.58, turn=0.4, mood="angry", gear=s.force_gear)
        if rng.random() < 0.35
        else None
    )
    c = s.open(rng.uniform(0.32, 0.42), 0.2, 1.0)
    raised = rng.random() < 0.6
    hand, tip = ((-0.08, 1.06), (-0.27, 1.24)) if raised else ((0.2, 1.0), (0.44, 1.04))
    o.near_hand, o.near_elbow = hand, 1 if raised else -1
    o.far_hand = o.local((p.x - 0.05, up(0.7))) if not down else (0.26, 0.62)
    if mate:
        mate.near_hand = (0.2, 0.7)
        mate.draw(c)
    p.draw(c)
    o.draw(c, near_arm=False)
    grip = o.hand_at()
    end = (grip[0] + (tip[0] - hand[0]) * TALL, grip[1] - (tip[1] - hand[1]) * TALL)
    props.rod(c, grip, end, TALL * 1.15)
    o.draw_arm(c, True)
    centre = o.world((0.0, 0.8))
    r = math.hypot(end[0] - centre[0], end[1] - centre[1])
    angle = math.degrees(math.atan2(end[1] - centre[1], end[0] - centre[0]))
    props.swoosh(c, centre, r, angle - (44 if not raised else -8), angle + (-6 if not raised else 46))
    s.facts["props"] = "baton"
    s.close()


def riot_line(s: Stage) -> None:
    """A wall of shields, seen from the front or from the side with a crowd facing it."""
    rng = s.rng
    helmets = rng.random() < 0.75
    blue = s.pal.lit(rgb("#203A72"))
    if rng.random() < 0.55:
        n = rng.randint(4, 7)
        step = rng.uniform(0.145, 0.17)
        start = -step * (n - 1) / 2
        back = [
            s.officer(start + (i + 0.5) * step, 1, FEET - 0.05, 0.57, helmets, turn=1.0, mood="angry", shadow=0)
            for i in range(n - 1)
        ]
        line = [
            s.officer(
                start + i * step, 1, turn=1.0, mood="angry", gear=helmets, near_foot=(-0.09, 0), far_foot=(0.09, 0)
            )
            for i in range(n)
        ]
        c = s.open(step * n / 2 + 0.02, 0.28, rng.choice((1.0, 1.0, 0.86)))
        for f in back:
            f.draw(c)
        for i, f in enumerate(line):
            club = i % 2 == 0 and rng.random() < 0.7
            f.near_hand, f.near_elbow = ((-0.17, 0.92), 1) if club else ((-0.03, 0.6), -1)
            f.far_hand, f.far_elbow = (0.05, 0.62), 1
            f.draw(c)
            if club:
                hand = f.hand_at()
                props.rod(c, hand, (hand[0] + 0.05, hand[1] - 0.15), TALL)
        for f in line:
            props.shield(c, f.x + 0.012, up(0.46), 0.066, 0.17, blue)
    else:
        n, m = rng.randint(3, 5), rng.randint(2, 4)
        line = [
            s.officer(
                -0.08 - 0.085 * i,
                1,
                FEET - 0.012 * (i % 2),
                gear=helmets,
                turn=0.35,
                mood="angry",
                spine=7,
                near_foot=(-0.13, 0),
                far_foot=(0.12, 0),
            )
            for i in range(n)
        ]
        crowd = [
            s.civilian(
                0.17 + 0.11 * i,
                -1,
                FEET - 0.014 * (i % 2),
                main=i < 2,
                turn=0.4,
                mood=rng.choice(("angry", "calm")),
                near_hand=rng.choice(((0.17, 1.02), (0.2, 0.9), (0.1, 0.5))),
            )
            for i in range(m)
        ]
        c = s.open(0.46, 0.28, 1.0)
        for f in reversed(crowd):
            f.draw(c)
        for i, f in enumerate(reversed(line)):
            f.near_hand = (0.16, 0.62)
            f.draw(c)
            if i == n - 1 or rng.random() < 0.6:
                props.shield(c, f.x + 0.115, up(0.48), 0.036, 0.185, blue, -0.012)
    s.facts["props"] = "riot shields"
    s.close()


def held_down(s: Stage) -> None:
    """Officers kneel on somebody who lies on the ground."""
    rng = s.rng
    p = s.civilian(
        -0.13,
        1,
        turn=0.25,
        mood="pain",
        hip=(0.0, 0.085),
        spine=84.0,
        nod=-18.0,
        near_foot=(-0.42, 0.0),
        far_foot=(-0.44, 0.03),
        near_hand=(0.14, 0.2),
        far_hand=(0.62, 0.03),
        near_elbow=1,
        far_elbow=1,
        flat_feet=False,
        shadow=2.3,
        near_knee=-1,
        far_knee=-1,
    )
    pose: dict[str, Any] = {
        **KNEEL,
        "hip": (-0.03, 0.29),
        "near_foot": (-0.2, 0.06),
        "far_foot": (0.17, 0.0),
        "spine": rng.uniform(26, 40),
    }
    o = s.officer(rng.uniform(-0.07, -0.03), 1, turn=0.4, mood="angry", gear=s.force_gear, shadow=0, **pose)
    legs = rng.random() < 0.6
    mate = (
        s.officer(-0.36, 1, FEET - 0.01, turn=0.4, mood="angry", gear=s.force_gear, **{**KNEEL, "spine": 26.0})
        if legs
        else None
    )
    watch = (
        s.officer(0.3, -1, FEET - 0.03, 0.58, turn=0.45, mood="calm", gear=s.force_gear) if rng.random() < 0.4 else None
    )
    c = s.open(0.46 if legs else 0.4, rng.uniform(0.3, 0.44), 1.02)
    if watch:
        watch.near_hand = (0.22, 0.72)
        watch.draw(c)
    if mate:
        mate.reach((p.x - 0.17, FEET - 0.06))
        mate.reach((p.x - 0.14, FEET - 0.07), False)
        mate.draw(c, near_arm=False)
    p.draw(c)
    o.reach(p.world(p.trunk(0, 0.29)))
    o.far_hand = o.local(p.world(p.trunk(0.03, 0.36)))
    if rng.random() < 0.5:
        o.near_hand = o.local(p.hand_at())
    o.draw(c)
    if mate:
        mate.draw_arm(c, True)
    s.close()


def spray(s: Stage) -> None:
    """A cone of pepper spray into people's faces."""
    rng = s.rng
    n = rng.randint(1, 3)
    o = s.officer(
        -0.26, 1, turn=0.4, mood="angry", gear=s.force_gear, spine=5, near_foot=(-0.13, 0), far_foot=(0.12, 0)
    )
    crowd = []
    for i in range(n):
        low = rng.random() < 0.35
        crowd.append(
            s.civilian(
                0.17 + 0.13 * i,
                -1,
                FEET - 0.016 * i,
                turn=0.4,
                mood="pain",
                spine=rng.uniform(-16, -4) if not low else 26.0,
                hip=(-0.03, 0.5) if not low else (-0.05, 0.4),
                nod=rng.uniform(-4, 10),
                near_foot=(-0.12, 0),
                far_foot=(0.13, 0.01),
            )
        )
    mate = (
        s.officer(-0.4, 1, FEET - 0.03, 0.58, turn=0.4, mood="angry", gear=s.force_gear) if rng.random() < 0.4 else None
    )
    c = s.open(0.44, 0.28, rng.choice((1.0, 1.0, 0.9)))
    if mate:
        mate.draw(c)
    o.near_hand, o.near_elbow = (0.3, 0.84), -1
    for f in reversed(crowd):
        hx, hy = f.local(f.head_at())
        f.near_hand, f.near_elbow = (hx + 0.05, hy - 0.01), 1
        f.far_hand = (hx + 0.2, hy + 0.02) if rng.random() < 0.5 else (hx + 0.07, hy - 0.05)
        f.draw(c)
    o.draw(c)
    hand = o.hand_at()
    nozzle = (hand[0] + 0.03, hand[1] - 0.03)
    c.rect(hand[0] - 0.006, hand[1] - 0.035, hand[0] + 0.022, hand[1] + 0.022, (40, 38, 46), radius=0.006)
    c.rect(hand[0] + 0.002, hand[1] - 0.044, hand[0] + 0.02, hand[1] - 0.033, rgb("#D83A3A"))
    color = rng.choice((rgb("#FF8A2B"), rgb("#FFAF3A"), rgb("#FFF3E0")))
    far = crowd[-1].head_at()[0] + 0.02
    drop = (far - nozzle[0]) * 0.06
    for k, alpha in ((1.0, 80), (0.66, 85), (0.34, 100)):
        r = (0.04 + (far - nozzle[0]) * 0.3) * k
        c.poly(
            (
                nozzle,
                (far - 0.05, nozzle[1] - r + drop),
                (far, nozzle[1] - r * 0.5 + drop),
                (far + 0.02, nozzle[1] + drop),
                (far, nozzle[1] + r * 0.55 + drop),
                (far - 0.05, nozzle[1] + r + drop),
            ),
            mix(color, (255, 255, 255), 0.3 * (1 - k)),
            alpha,
        )
    for i in range(12):
        t = (i + 4) / 15
        x = nozzle[0] + (far - nozzle[0]) * t
        c.glow(
            x,
            nozzle[1] + drop * t + rng.uniform(-0.16, 0.16) * t * (far - nozzle[0]),
            0.07 * t + 0.02,
            0.06 * t + 0.02,
            lighter(color, 0.3),
            80,
        )
    s.facts["props"] = "pepper spray"
    s.close()


def arrest(s: Stage) -> None:
    """Hands cuffed behind the back."""
    rng = s.rng
    hood = rng.random() < 0.3
    p = s.civilian(
        0.07,
        1,
        turn=0.3,
        mood=rng.choice(("pain", "angry", "calm")),
        spine=34.0 if hood else rng.uniform(6, 22),
        nod=rng.uniform(4, 20),
        near_hand=(-0.14, 0.56),
        far_hand=(-0.12, 0.55),
        far_elbow=-1,
        near_foot=(-0.09, 0),
        far_foot=(0.09, 0.01),
    )
    o = s.officer(
        -0.1,
        1,
        turn=0.4,
        mood="angry",
        gear=s.force_gear,
        spine=rng.uniform(4, 12),
        nod=6,
        near_foot=(-0.12, 0),
        far_foot=(0.1, 0.01),
    )
    mate = (
        s.officer(0.29, -1, FEET - 0.02, 0.6, turn=0.4, mood="angry", gear=s.force_gear, spine=6)
        if not hood and rng.random() < 0.5
        else None
    )
    c = s.open(0.44 if hood else rng.uniform(0.32, 0.42), 0.3, rng.choice((1.0, 1.0, 0.9)))
    if hood:
        props.car(
            c, 0.42, FEET - 0.03, 0.34, -1, s.pal.lit(rgb("#F3F1EC")), s.pal.lit(rgb("#5C6F8C")), True, s.bg.night
        )
        s.facts["props"] = "handcuffs, police car"
    else:
        s.facts["props"] = "handcuffs"
    if mate:
        mate.reach(p.world(p.trunk(0.04, 0.22)))
        mate.draw(c, near_arm=False)
    wrist = p.hand_at()
    o.reach(wrist)
    o.far_hand = o.local(p.world(p.trunk(-0.03, 0.29)))
    p.draw(c, near_arm=False)
    o.draw(c, near_arm=False)
    p.draw_arm(c, True)
    if mate:
        mate.draw_arm(c, True)
    o.near_hand = o.local((wrist[0] - 0.035, wrist[1] - 0.03))
    o.draw_arm(c, True)
    for dx, dy in ((0.004, -0.004), (0.02, 0.012)):
        if not c.tiny(0.008):
            c.pen.ellipse(
                [
                    v
                    for q in c.px(
                        (
                            (wrist[0] + dx - 0.014 * c.flip, wrist[1] + dy - 0.012),
                            (wrist[0] + dx + 0.014 * c.flip, wrist[1] + dy + 0.012),
                        )
                    )
                    for v in q
                ],
                outline=(236, 239, 245),
                width=max(2, round(0.006 * c.k)),
            )
    s.close()


def dragging(s: Stage) -> None:
    """Somebody is pulled over the ground by the arms."""
    rng = s.rng
    two = rng.random() < 0.6
    seat = rng.uniform(0.09, 0.12)
    p = s.civilian(
        0.13,
        1,
        turn=0.3,
        mood="pain",
        hip=(0.0, seat),
        spine=rng.uniform(-62, -46),
        nod=18.0,
        near_foot=(0.4, 0.0),
        far_foot=(0.44, 0.03),
        shadow=2.0,
        near_elbow=1,
        far_elbow=1,
    )
    o = s.officer(
        -0.22,
        -1,
        turn=0.35,
        mood="angry",
        gear=s.force_gear,
        spine=rng.uniform(16, 26),
        near_foot=(-0.2, 0),
        far_foot=(0.16, 0),
        hip=(0, 0.48),
    )
    mate = (
        s.officer(
            -0.13,
            -1,
            FEET - 0.035,
            0.6,
            turn=0.35,
            mood="angry",
            gear=s.force_gear,
            spine=16,
            near_foot=(-0.18, 0),
            far_foot=(0.14, 0),
            hip=(0, 0.48),
        )
        if two
        else None
    )
    c = s.open(0.46, 0.32, 1.02)
    grip = (-0.065, up(rng.uniform(0.4, 0.46)))
    p.reach(grip)
    p.reach((grip[0] + 0.012, grip[1] - 0.02), False)
    o.near_hand, o.near_elbow = o.local(p.hand_at()), 1
    o.far_hand = o.local(p.hand_at(False))
    if mate:
        mate.near_hand = mate.local(p.hand_at(False))
        mate.draw(c)
    p.draw(c)
    o.draw(c)
    if rng.random() < 0.6:
        for i in range(3):
            c.line(
                ((0.38 + 0.01 * i, FEET + 0.012 * i - 0.004), (0.46 + 0.03 * i, FEET + 0.012 * i - 0.004)),
                0.004,
                (255, 252, 240),
                150,
            )
    s.close()


def clash(s: Stage) -> None:
    """A crowd with signs and a line of officers run into each other."""
    rng = s.rng
    helmets = rng.random() < 0.7
    blue = s.pal.lit(rgb("#203A72"))
    n, m = rng.randint(3, 4), rng.randint(3, 5)
    police = [
        s.officer(
            -0.1 - 0.12 * i + rng.uniform(-0.02, 0.02),
            1,
            FEET - 0.035 * (i % 2),
            gear=helmets,
            turn=0.35,
            mood="angry",
            spine=rng.uniform(6, 16),
            near_foot=(-0.15, 0),
            far_foot=(0.15, 0.02),
            hip=(0, 0.49),
        )
        for i in range(n)
    ]
    crowd = [
        s.civilian(
            0.1 + 0.115 * i + rng.uniform(-0.02, 0.02),
            -1,
            FEET - 0.035 * (i % 2),
            main=i < 3,
            turn=0.35,
            mood=rng.choice(("angry", "pain")),
            spine=rng.uniform(-8, 12),
            near_foot=(-0.12, 0),
            far_foot=(0.14, 0.02),
            hip=(0, 0.5),
        )
        for i in range(m)
    ]
    c = s.open(0.5, 0.03, 1.0)
    haze = mix(s.pal.sky[1], (250, 248, 244), 0.5)
    props.smoke(c, rng, rng.uniform(-0.1, 0.2), 0.82, 0.3, haze, 6)
    slogans = rng.sample(SLOGANS, 4)
    for f in sorted(police + crowd, key=lambda f: f.y):
        if f in police:
            i = police.index(f)
            if i % 2 == 0:
                f.near_hand = (0.2, 0.62) if i else (0.24, 0.66)
                f.draw(c)
                props.shield(c, f.x + 0.135, up(0.5), 0.036, 0.165, blue, -0.014)
            else:
                f.near_hand, f.near_elbow = (-0.04, 1.07), 1
                f.draw(c, near_arm=False)
                hand = f.hand_at()
                props.rod(c, hand, (hand[0] - 0.1, hand[1] - 0.12), TALL * 1.1)
                f.draw_arm(c, True)
        else:
            i = crowd.index(f)
            if i % 2 == 1 or (i == 0 and rng.random() < 0.3):
                f.near_hand = (0.1, 0.98)
                props.sign(
                    c,
                    f.hand_at(),
                    TALL * (1.0, 0.8, 1.0, 1.18)[i % 4],
                    slogans[i % 4],
                    s.pal.lit(rng.choice((rgb("#FBF6EA"), *s.pal.clothes[:2]))),
                    rng.uniform(-0.04, 0.05),
                )
            elif i == 0:
                f.near_hand, f.far_hand, f.far_elbow = (0.2, 0.74), (0.16, 0.98), 1
            else:
                f.near_hand = rng.choice(((0.12, 1.05), (0.22, 0.95)))
            f.draw(c)
    props.smoke(c, rng, rng.choice((-0.3, 0.0, 0.3)), FEET - 0.01, 0.16, haze, 5)
    if rng.random() < 0.5:
        x = rng.uniform(-0.02, 0.04)
        c.disc(x, FEET + 0.005, 0.012, (255, 244, 214))
        c.glow(x, FEET, 0.17, 0.13, rgb("#FF6B3D"), 190)
    s.facts["props"] = "shields, signs, smoke"
    s.facts["words"] = slogans[1]
    s.close()


FORCE: dict[str, Callable[[Stage], None]] = {
    "baton": baton,
    "riot_line": riot_line,
    "held_down": held_down,
    "spray": spray,
    "arrest": arrest,
    "dragging": dragging,
    "clash": clash,
}
