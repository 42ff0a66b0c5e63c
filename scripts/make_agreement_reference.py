"""Makes tests/agreement_reference.json: alpha and AC1 of other packages for tests/test_agreement.py to be held against.

python -m venv /tmp/agreement && /tmp/agreement/bin/pip install krippendorff==0.9.0 irrCAC==0.4.4
/tmp/agreement/bin/python scripts/make_agreement_reference.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

OUT = Path(__file__).parent.parent / "tests/agreement_reference.json"


def main() -> None:
    import krippendorff
    import pandas
    from irrCAC.raw import CAC

    rng = np.random.default_rng(1)
    cases = []
    for units, coders, classes in ((40, 2, 3), (60, 4, 4), (25, 3, 2)):
        truth = rng.integers(0, classes, units)
        ratings = np.where(rng.random((units, coders)) < 0.7, truth[:, None], rng.integers(0, classes, (units, coders)))
        ratings[rng.random((units, coders)) < 0.2] = -1  # nothing was said
        table = np.where(ratings < 0, np.nan, ratings.astype(float))
        gwet = CAC(pandas.DataFrame(table), digits=9).gwet()["est"]
        cases.append(
            {
                "ratings": ratings.tolist(),
                "alpha": float(krippendorff.alpha(reliability_data=table.T, level_of_measurement="nominal")),
                "ac1": float(gwet["coefficient_value"]),
                "se": float(gwet["se"]),
            }
        )
    OUT.write_text(json.dumps(cases) + "\n")


if __name__ == "__main__":
    main()
