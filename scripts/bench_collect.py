"""How fast posts are collected from a CSV, and with how much memory: for a million lines, and for a tenth of them.

    python scripts/bench_collect.py [--lines 1000000] [--json]

Each size is collected by a process of its own, whose start-up counts. Speeds are of this machine only.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COLUMNS = (
    *("id", "url", "author", "created_at", "text", "language", "hashtags", "likes", "reposts", "replies", "sensitive"),
    *("media_url", "alt", "views"),
)


def write_posts(path: Path, lines: int) -> None:
    """Posts of many authors, four of five with a picture, with a column that no field knows."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for n in range(lines):
            author, moment = (
                f"user{n % 90_000}",
                f"2024-04-{1 + n % 28:02d}T{n % 24:02d}:{n % 60:02d}:{n * 7 % 60:02d}Z",
            )
            text = f"Photo with an officer at the harbour, number {n}, what a day it was #myHarborPD #dike ünïcode"
            picture = f"https://media.example/{n % 700_000:07d}.jpg" if n % 5 else ""
            counts = (n % 500, n % 50, n % 9)
            address = f"https://social.example/@{author}/{n}"
            alt = "A picture" if n % 3 else ""
            tags = "myHarborPD dike"
            row = [1_782_000_000_000_000_000 + n * 7919, address, author, moment, text, "en", tags, *counts]
            table.writerow([*row, "false", picture, alt, n])


def collect(path: Path, folder: Path) -> None:
    """Collect in this process, and print what it took."""
    import hashtag_photos as hp

    begun = time.perf_counter()
    done = hp.collect(hp.Run(folder), hp.sources.exported(path))
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"posts": done.new, "seconds": seconds, "posts_per_s": done.new / seconds, "peak_mb": peak}))


def measure(lines: int, folder: Path) -> dict[str, float]:
    """What it takes to collect so many lines."""
    path = folder / f"{lines}.csv"
    write_posts(path, lines)
    words = [sys.executable, __file__, "--collect", str(path), str(folder / f"run-{lines}")]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    measured: dict[str, float] = json.loads(done.stdout)
    if measured["posts"] != lines:
        raise SystemExit(f"{measured['posts']} of {lines} posts were collected")
    return measured


def main() -> None:
    """Measure both sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--collect", nargs=2, type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.collect:
        collect(*asked.collect)
        return
    with tempfile.TemporaryDirectory() as folder:
        tenth, whole = (measure(lines, Path(folder)) for lines in (asked.lines // 10, asked.lines))
    if asked.json:
        print(
            json.dumps(
                {"posts_per_s": whole["posts_per_s"], "peak_mb": whole["peak_mb"], "peak_mb_10th": tenth["peak_mb"]}
            )
        )
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for each in (tenth, whole):
        print(
            f"{each['posts']:>10,.0f} posts  {each['seconds']:6.1f} s  {each['posts_per_s']:8,.0f} posts/s  "
            f"peak {each['peak_mb']:.0f} MiB"
        )


if __name__ == "__main__":
    main()
