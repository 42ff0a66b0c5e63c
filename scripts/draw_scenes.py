"""Draw made-up scenes between police and people, for training and for the bundled sample.

What a picture is about is told only by what people do in it: light, weather, place, palette and the number of
people standing by are drawn the same way for every label, so that a classifier has to look at the deed.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from scenes.force import FORCE
from scenes.friendly import FRIENDLY
from scenes.sample import write_sample
from scenes.stage import Fact, Stage
from scenes.stills import STILLS

SAMPLE_SEED = 1_000_000
SAMPLE_DIR = Path(__file__).resolve().parent.parent / "pipeline" / "hashtag_photos" / "sources" / "sample"

_PAINTERS: dict[str, Callable[[Stage], None]] = {**FRIENDLY, **FORCE, **STILLS}
SCENES: dict[str, str] = {
    **dict.fromkeys(FRIENDLY, "friendly"),
    **dict.fromkeys(FORCE, "conflict_and_force"),
    **dict.fromkeys(STILLS, "neither"),
}


@dataclass(frozen=True)
class Drawing:
    """A finished picture, and what somebody describing it could say."""

    image: Image.Image
    scene: str
    label: str
    facts: dict[str, Fact]


def draw(scene: str, seed: int, width: int = 960, height: int = 720) -> Drawing:
    """Draw one scene; the same scene, seed and size always give the same pixels."""
    stage = Stage(random.Random(f"{scene}:{seed}"), width, height)
    _PAINTERS[scene](stage)
    return Drawing(stage.canvas.finish(), scene, SCENES[scene], stage.all_facts())


def main() -> None:
    """Write the sample."""
    parser = argparse.ArgumentParser(description="Draw the bundled sample #myHarborPD.")
    parser.add_argument("--out", type=Path, default=SAMPLE_DIR, help="folder to write (default: the package's sample)")
    args = parser.parse_args()
    print(write_sample(args.out, draw, SAMPLE_SEED))


if __name__ == "__main__":
    main()
