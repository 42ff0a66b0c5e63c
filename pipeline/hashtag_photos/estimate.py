"""The statistics: pure functions of numbers and arrays. They know no table, no picture and no file."""

from __future__ import annotations

import math

Z_95 = 1.959963984540054  # the 97.5 % point of the standard normal distribution


def wilson(count: int, total: int, z: float = Z_95) -> tuple[float, float]:
    """The Wilson score interval of a share, as (low, high) from 0 to 1; of nothing out of nothing it is (0, 1).

    Wilson 1927, "Probable inference, the law of succession, and statistical inference", JASA 22; the form without
    continuity correction, as in Brown, Cai and DasGupta 2001, doi:10.1214/ss/1009213286, equation 4. It takes the items
    as a random sample of independent ones, and their labels as right.

    Raises ValueError unless 0 <= count <= total.
    """
    if not 0 <= count <= total:
        raise ValueError(f"count must be from 0 to total, not {count} of {total}")
    if total == 0:
        return 0.0, 1.0
    share = count / total
    center = share + z * z / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    # the ends are exact where all or none count; rounding would leave them a hair inside
    low = 0.0 if count == 0 else (center - spread) / scale
    high = 1.0 if count == total else (center + spread) / scale
    return low, high
