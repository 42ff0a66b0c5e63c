"""Makes tests/ppi_reference.json: intervals of ppi-python for tests/test_estimate.py to be held against.

    python -m venv /tmp/ppi && /tmp/ppi/bin/pip install ppi-python==0.2.3
    /tmp/ppi/bin/python scripts/make_ppi_reference.py

ppi-python needs numba and more, so it is no dependency of ours, not even for development.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

OUT = Path(__file__).parent.parent / "tests/ppi_reference.json"


def main() -> None:
    from ppi_py import ppi_mean_ci, ppi_mean_pointestimate

    rng = np.random.default_rng(6)
    cases = []
    for n, total in ((30, 100), (200, 400), (12, 40)):
        y = (rng.random(n) < 0.3).astype(float)
        f = np.round(np.clip(0.7 * y + 0.3 * rng.random(n), 0, 1), 6)
        others = np.round(rng.random(total) * 0.8, 6)
        for weighted in (False, True):
            w = np.round(rng.pareto(2, n) + 1, 6) if weighted else None
            v = np.round(rng.pareto(2, total) + 1, 6) if weighted else None
            results = []
            for lam in (None, 0.0, 0.4, 1.0):
                given = {"lam": lam, "w": w, "w_unlabeled": v}
                low, high = ppi_mean_ci(y, f, others, alpha=0.05, **given)
                # the middle of the interval: without lam, both functions choose the same one
                value = ppi_mean_pointestimate(y, f, others, **given)
                results.append([lam, *(float(np.squeeze(number)) for number in (value, low, high))])
            cases.append(
                {
                    "labels": y.tolist(),
                    "predictions": f.tolist(),
                    "others": others.tolist(),
                    "weights": None if w is None else w.tolist(),
                    "weights_of_others": None if v is None else v.tolist(),
                    "results": results,  # each: lam, value, low, high
                }
            )
    OUT.write_text(json.dumps({"made_with": "ppi-python 0.2.3", "cases": cases}) + "\n")


if __name__ == "__main__":
    main()
