"""How long a new question takes about vectors that are stored: a label set is scored against a million of them.

    python scripts/bench_rescore.py [--images 1000000] [--dimension 1024] [--json]

The run folder is made first, of random unit vectors in parts of 5,000 as the embed stage writes them. A new process, in
which torch is never loaded, then scores them against the bundled label set with prompts of random vectors, and counts
how far the answers hang on the prompts. Reading is from the system's cache.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hashtag_photos.labels import DEFAULT, find_labels
from hashtag_photos.run import Run
from hashtag_photos.stages.score import filled, prompt_vectors, robustness, score
from hashtag_photos.tables import embeddings_schema, vector_column

TABLE = "embeddings/bench"
PART = 5_000


def unit(chance: np.random.Generator, rows: int, dimension: int) -> Any:
    """Random vectors of length 1."""
    vectors = chance.normal(size=(rows, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def make(folder: Path, images: int, dimension: int) -> None:
    """A run that has nothing but vectors; each part has the first one's, shifted."""
    run, vectors = Run(folder), unit(np.random.default_rng(0), PART, dimension)
    run.ask(model="bench")
    shas = sorted(sha256(str(number).encode()).hexdigest() for number in range(images))
    for start in range(0, images, PART):
        own = shas[start : start + PART]
        column = vector_column(np.roll(vectors[: len(own)], start // PART, axis=1).astype(np.float16))
        run.append(TABLE, pa.table([pa.array(own), column], schema=embeddings_schema(dimension)))


def ask(folder: Path, dimension: int) -> dict[str, float]:
    """Seconds and the process's peak."""
    run, labels = Run(folder), find_labels(DEFAULT)
    texts = unit(np.random.default_rng(1), len(filled(labels)), dimension)
    prompts = prompt_vectors(texts, labels, 100.0)
    begun = time.perf_counter()
    scores = score(run, TABLE, prompts, labels)
    scored = time.perf_counter()
    robustness(run, TABLE, prompts, labels)
    counted = time.perf_counter()
    peak = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
    return {
        "images": scores.num_rows,
        "rescore_s": round(scored - begun, 2),
        "robustness_s": round(counted - scored, 2),
        "peak_mb": round(int(peak[1]) / 1024 if peak else 0, 1),
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=1024, help="1024 is what `large` has")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--ask", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.ask:
        print(json.dumps(ask(asked.ask, asked.dimension)))
        return
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder) / "run", asked.images, asked.dimension)
        words = [sys.executable, __file__, "--dimension", str(asked.dimension), "--ask", str(Path(folder) / "run")]
        rounds = [json.loads(subprocess.run(words, capture_output=True, check=True).stdout) for _ in range(3)]
    middle = {name: sorted(each[name] for each in rounds)[1] for name in rounds[0]}
    if asked.json:
        print(json.dumps(middle))
    else:
        print(
            f"{middle['images']:,} vectors of {asked.dimension}: scored in {middle['rescore_s']} s, how they hang on "
            f"prompts in {middle['robustness_s']} s, peak {middle['peak_mb']} MiB (medians of 3)"
        )


if __name__ == "__main__":
    main()
