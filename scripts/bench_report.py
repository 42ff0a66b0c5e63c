"""What the report of a million posts costs: seconds, memory, bytes.

    python scripts/bench_report.py [--posts 1000000] [--run FOLDER] [--json]

The run is made by make_synthetic_run.py (minutes, and about 4 GB on the disk) in a temporary folder, or once in FOLDER.
A new process then does what `hashtag-photos report` does: the tally with all its files, and the page. Reading is from
the system's cache; peaks are the process's own.
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
from pathlib import Path
from typing import Any

from hashtag_photos.report import write_report
from hashtag_photos.run import Run
from hashtag_photos.stages.summarize import summarize
from make_synthetic_run import make


def ask(folder: Path) -> dict[str, Any]:
    """Seconds of both steps, the process's peak after each, and the page's bytes."""
    begun, run = time.perf_counter(), Run(folder)
    tally = summarize(run)
    summarized, peak = time.perf_counter(), _peak_mb()
    page = write_report(run, tally)
    return {
        "posts": tally.coverage.posts,
        "images": tally.images,
        "summarize_s": round(summarized - begun, 1),
        "report_s": round(time.perf_counter() - summarized, 1),
        "total_s": round(time.perf_counter() - begun, 1),
        "summarize_peak_mb": peak,
        "peak_mb": _peak_mb(),
        "page_mb": round(Path(page).stat().st_size / 1e6, 2),
    }


def _peak_mb() -> int:
    found = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
    return round(int(found[1]) / 1024) if found else 0


def measure(folder: Path) -> dict[str, Any]:
    """The figures of a run, by a process of its own."""
    asked = [sys.executable, __file__, "--ask", str(folder)]
    answer = subprocess.run(asked, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Make, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--posts", type=int, default=1_000_000)
    parser.add_argument("--run", type=Path, help="make the run here, and leave it; one that is there is taken")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--ask", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ask:
        print(json.dumps(ask(given.ask)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.run or Path(temporary) / "run"
        if not Run(folder).exists:
            make(folder, given.posts)
        found = measure(folder) | {"cores": os.cpu_count(), "python": platform.python_version()}
    if given.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:<20}{value:>14,}" if isinstance(value, int | float) else f"{name:<20}{value:>14}")


if __name__ == "__main__":
    main()
