"""What a million posts cost whatever stage looks at all of them: the tally, finding nothing left to do, a new question.

    python scripts/bench_scale.py [--posts 1000000] [--runs FOLDER] [--rounds 3] [--json]

Runs of 1,000, 10,000, 100,000 and 1,000,000 posts, and as many images, are made by make_synthetic_run.py: tables alone
(about 3 GB on the disk), in a temporary folder, or once in FOLDER. Each step is done by a new process in each round,
and what Python takes to start and to import is left out. The least seconds and the greatest peak of all rounds are
told. Reading is from the system's cache.

- *summarize*: the tally with all its files, into a run that has none
- *resume*: the download and the classify stage, which find a finished run
- *rescore*: all vectors, of 1,024 numbers, against the bundled label set with prompts of random vectors

The cost per post is of all three steps together, in seconds of the processor, and of further passes in the same
process, up to ten where the run is small: their median, of all rounds. What a step costs whatever the size is what
a run of 1,000 posts takes; the cost per post is what a run takes beyond that, by the posts beyond 1,000.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hashtag_photos.labels import DEFAULT, find_labels
from hashtag_photos.run import Run
from hashtag_photos.stages.classify import Classifier, classify
from hashtag_photos.stages.download import download
from hashtag_photos.stages.score import filled, prompt_vectors, score
from hashtag_photos.stages.summarize import summarize
from make_synthetic_run import DIMENSION, MODEL, make

START = 1_000  # posts of the run that tells what a step costs whatever the size
SIZES = (10_000, 100_000, 1_000_000)
_PASSES, _POSTS_PASSED = 10, 100_000  # further passes: at most so many, and of about so many posts in all


def _summarize(run: Run) -> None:
    summarize(run)


def _resume(run: Run) -> None:
    assert download(run).new == 0
    done = classify(run, Classifier(MODEL, device="cpu"))
    assert (done.new, done.scored) == (0, False)


def _rescore(run: Run) -> None:
    labels = find_labels(DEFAULT)
    texts = np.random.default_rng(1).standard_normal((len(filled(labels)), DIMENSION), dtype=np.float32)
    prompts = prompt_vectors(texts / np.linalg.norm(texts, axis=1, keepdims=True), labels, 100.0)
    score(run, f"embeddings/{run.asked['model_key']}", prompts, labels)


STEPS: dict[str, Callable[[Run], None]] = {"summarize": _summarize, "resume": _resume, "rescore": _rescore}


def ask(step: str, folder: Path, passes: int) -> dict[str, Any]:
    """Seconds, seconds of the processor, the process's peak; and seconds of the processor of so many further passes."""
    took = _once(step, folder)
    peak = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
    further = [_once(step, folder)["cpu_s"] for _ in range(passes)]
    return {**took, "peak_mb": round(int(peak[1]) / 1024) if peak else 0, "further_cpu_s": further}


def _once(step: str, folder: Path) -> dict[str, float]:
    shutil.rmtree(folder / "report", ignore_errors=True)
    run = Run(folder)
    begun, used = time.perf_counter(), time.process_time()
    STEPS[step](run)
    return {"s": time.perf_counter() - begun, "cpu_s": time.process_time() - used}


def measure(step: str, folder: Path, rounds: int, passes: int) -> dict[str, float]:
    """Of so many new processes the least seconds, the greatest peak, and the median of all further passes."""
    found = []
    for _ in range(rounds):
        words = [sys.executable, __file__, "--ask", step, "--runs", str(folder), "--passes", str(passes)]
        answer = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
        found.append(json.loads(answer.stdout.splitlines()[-1]))
    return {
        **{name: min(each[name] for each in found) for name in ("s", "cpu_s")},
        "peak_mb": max(each["peak_mb"] for each in found),
        "further_cpu_s": statistics.median(used for each in found for used in each["further_cpu_s"]),
    }


def figures(runs: Path, most: int, rounds: int) -> tuple[dict[str, Any], dict[int, dict[str, Any]]]:
    """What is printed as JSON, and per size what each step took."""
    sizes = [START, *(size for size in SIZES if size < most), most]
    by_size: dict[int, dict[str, Any]] = {}
    for size in sizes:
        folder = runs / str(size)
        if not folder.exists():
            make(folder, size, files=False)
        passes = max(1, min(_PASSES, _POSTS_PASSED // size))
        by_size[size] = {step: measure(step, folder, rounds, passes) for step in STEPS}
        by_size[size]["cpu_s"] = sum(by_size[size][step]["further_cpu_s"] for step in STEPS)
    start = by_size[START]["cpu_s"]
    for size in sizes[1:]:
        by_size[size]["us_per_post"] = (by_size[size]["cpu_s"] - start) / (size - START) * 1e6
    largest = by_size[most]
    costs = {size: by_size[size]["us_per_post"] for size in sizes[1:]}
    told = {
        "summarize_s": round(largest["summarize"]["s"], 2),
        "summarize_peak_mb": largest["summarize"]["peak_mb"],
        "resume_s": round(largest["resume"]["s"], 2),
        "rescore_s": round(largest["rescore"]["s"], 2),
        "cost_ratio_1m_to_10k": round(costs[most] / costs[SIZES[0]], 3),
        "cost_ratio_largest_to_smallest": round(max(costs.values()) / min(costs.values()), 3),
        "us_per_post": {str(size): round(cost, 1) for size, cost in costs.items()},
        "cpu_s_of_1000_posts": round(start, 3),
    }
    return told, by_size


def main() -> None:
    """Make, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--posts", type=int, default=SIZES[-1], help="the largest run, more than 10,000")
    parser.add_argument("--runs", type=Path, help="make the runs here, and leave them; those that are there are taken")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--ask", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--passes", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ask:
        print(json.dumps(ask(given.ask, given.runs, given.passes)))
        return
    if given.posts <= SIZES[0]:
        parser.error(f"--posts {given.posts}: more than {SIZES[0]:,}, which is the smallest run to compare it with")
    with tempfile.TemporaryDirectory() as temporary:
        told, by_size = figures(given.runs or Path(temporary), given.posts, given.rounds)
    told |= {"cores": os.cpu_count(), "python": platform.python_version()}
    if given.json:
        print(json.dumps(told))
        return
    print("| posts | " + " | ".join(f"{step}, s | of the processor | peak MiB" for step in STEPS) + " | us a post |")
    print("|" + "---|" * (2 + 3 * len(STEPS)))
    for size, each in by_size.items():
        cells = [f"{each[step]['s']:.2f} | {each[step]['cpu_s']:.2f} | {each[step]['peak_mb']:,}" for step in STEPS]
        print(f"| {size:,} | {' | '.join(cells)} | {each.get('us_per_post', float('nan')):.1f} |")
    for name, value in told.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
