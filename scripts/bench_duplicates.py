"""How long it takes to group near-duplicates, and with how much memory: 100,000 images, and a million.

    python scripts/bench_duplicates.py [--images 1000000] [--dimension 1024] [--json]

The run folder is made first: photos and vectors in parts as the stages write them. Pictures are noise whose frequencies
fade as those of photographs do; three in ten images are another's thumbnail brighter, cropped, bordered, noisy or with
a strip, groups being of any size up to about one in 200 images; one in 100 is plain. Vectors are random, those of
copies near each other. A new process, in which torch is never loaded, then runs the stage. Reading is from the system's
cache.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hashtag_photos.images import THUMBNAIL_SIDE, one_shade, window_hashes
from hashtag_photos.run import Run
from hashtag_photos.stages.group import group, groups_path
from hashtag_photos.tables import PHOTOS, embeddings_schema, vector_column

MODEL = "bench"
PART = 5_000
COPIES = 0.3


def thumbnails(chance: np.random.Generator, rows: int) -> Any:
    """Noise that fades with frequency, (rows, side, side) of uint8."""
    frequency = np.fft.fftfreq(THUMBNAIL_SIDE)[:, np.newaxis], np.fft.rfftfreq(THUMBNAIL_SIDE)
    fade = 1 / np.maximum(np.hypot(*frequency), 1 / THUMBNAIL_SIDE)
    waves = np.fft.rfft2(chance.normal(size=(rows, THUMBNAIL_SIDE, THUMBNAIL_SIDE))) * fade
    pixels = np.fft.irfft2(waves, s=(THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    pixels *= 45 / pixels.std(axis=(1, 2), keepdims=True)
    return np.clip(pixels - pixels.mean(axis=(1, 2), keepdims=True) + 128, 0, 255).astype(np.uint8)


def edited(chance: np.random.Generator, pixels: Any) -> Any:
    """The same pictures, each changed in one of five ways."""
    changed = np.clip(pixels + chance.normal(scale=2, size=pixels.shape), 0, 255)
    way = chance.integers(5, size=len(pixels))
    changed[way == 0] = np.clip(changed[way == 0] * 1.15, 0, 255)
    changed[way == 1] = changed[way == 1][:, :, np.linspace(0.8, 30.2, 32).round().astype(int)]
    changed[way == 2, :3] = 255
    for edge in (0, -1):
        changed[way == 3, edge] = changed[way == 3, :, edge] = 255
    return changed.astype(np.uint8)


def variant(pixels: Any, number: int) -> Any:
    """The same noise as up to 256 pictures unlike each other: turned, mirrored, shifted by quarters, negative."""
    if number & 1:
        pixels = pixels.transpose(0, 2, 1)
    if number & 2:
        pixels = pixels[:, ::-1]
    if number & 4:
        pixels = pixels[:, :, ::-1]
    pixels = np.roll(pixels, (8 * (number >> 3 & 3), 8 * (number >> 5 & 3)), axis=(1, 2))
    return 255 - pixels if number & 128 else pixels


def make(folder: Path, images: int, dimension: int) -> None:
    """A run that has photos and vectors."""
    run, chance = Run(folder), np.random.default_rng(0)
    run.ask(model=MODEL)
    run.record_stage("download")
    originals = int(images * (1 - COPIES))
    # of Zipf's kind: most have one copy, some have many
    of = np.minimum(chance.pareto(0.5, images - originals) * 20, originals - 1).astype(np.int64)
    most = max(2, images // 200)
    for _ in range(2):
        _, place, count = np.unique(of, return_inverse=True, return_counts=True)
        many = np.flatnonzero((count > most)[place])
        of[many] = np.where(chance.random(len(many)) < 0.1, of[many], chance.integers(originals, size=len(many)))
    shas = sorted(sha256(str(number).encode()).hexdigest() for number in range(images))
    noise = thumbnails(chance, PART)
    directions = chance.standard_normal((PART, dimension), dtype=np.float32)
    order = np.random.default_rng(1).permutation(images)  # which row an image has
    for start in range(0, images, PART):
        own = order[start : start + PART]
        picture = np.where(own < originals, own, of[np.maximum(own - originals, 0)])
        pixels = np.empty((len(own), THUMBNAIL_SIDE, THUMBNAIL_SIDE), dtype=np.uint8)
        vectors = np.empty((len(own), dimension), dtype=np.float32)
        for number in set((picture // PART).tolist()):
            rows = np.flatnonzero(picture // PART == number)
            pixels[rows] = variant(noise[picture[rows] % PART], number)
            vectors[rows] = np.roll(directions[picture[rows] % PART], number, axis=1)
        plain = picture % 100 == 99
        pixels[plain] = (picture[plain] * 37 % 256)[:, np.newaxis, np.newaxis]
        copies = own >= originals
        pixels[copies] = edited(chance, pixels[copies])
        # what models have in common in all their vectors, and what an edit changes
        vectors += 1 + 0.3 * copies[:, np.newaxis] * chance.standard_normal(vectors.shape, dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        few = [each.tobytes() for each in pixels]
        columns: dict[str, Any] = {
            "source": ["bench"] * len(own),
            "post_id": [str(start + row) for row in range(len(own))],
            "position": [0] * len(own),
            "url": ["http://bench.invalid/"] * len(own),
            "status": ["ok"] * len(own),
            "attempt": [1] * len(own),
            "sha256": shas[start : start + PART],
            "width": [960] * len(own),
            "height": [720] * len(own),
            "window_hashes": window_hashes(few),
            "one_shade": one_shade(few),
            "thumbnail": [b64encode(each).decode() for each in few],
        }
        values = {name: columns.get(name, [None] * len(own)) for name in PHOTOS.names}
        run.append("photos", pa.Table.from_pydict(values, schema=PHOTOS))
        column = vector_column(vectors.astype(np.float16))
        table = pa.table([pa.array(columns["sha256"]), column], schema=embeddings_schema(dimension))
        run.append(f"embeddings/{MODEL}", table)


def ask(folder: Path) -> dict[str, Any]:
    """Seconds, the process's peak, and how many pictures there are."""
    run = Run(folder)
    begun = time.perf_counter()
    pictures = group(run, MODEL)
    seconds = time.perf_counter() - begun
    peak = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
    table = run.read_table(groups_path(MODEL))
    assert table is not None
    return {
        "images": len(table),
        "pictures": pictures,
        "seconds": round(seconds, 1),
        "peak_mb": round(int(peak[1]) / 1024 if peak else 0),
    }


def measure(images: int, dimension: int) -> dict[str, Any]:
    """Make a run of so many images, and group it in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder) / "run", images, dimension)
        words = [sys.executable, __file__, "--ask", str(Path(folder) / "run")]
        measured: dict[str, Any] = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
    if measured["images"] != images:
        raise SystemExit(f"{measured['images']} of {images} images were grouped")
    return measured


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=1024, help="1024 is what `large` has")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--ask", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.ask:
        print(json.dumps(ask(asked.ask)))
        return
    tenth, whole = (measure(images, asked.dimension) for images in (asked.images // 10, asked.images))
    if asked.json:
        print(json.dumps({"tenth": tenth, "whole": whole}))
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for each in (tenth, whole):
        print(
            f"{each['images']:>10,} images, {each['pictures']:,} pictures  {each['seconds']:6.1f} s  "
            f"peak {each['peak_mb']:,} MiB"
        )


if __name__ == "__main__":
    main()
