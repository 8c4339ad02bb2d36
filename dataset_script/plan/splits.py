"""The rule that assigns rows to splits.

The split of a row is a function of the plan and of the row's number, as its labels are. The rows of each stratum go to
the splits in a fixed sequence with the shares of the splits, for example train, validation, test, then 17 times train,
and so on. So all splits have the same distribution of strata, to within one row per stratum and split.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .interleave import interleave, largest_remainder

# Shares of splits are rounded to 1/SEQUENCE.
SEQUENCE = 1_000


def split_numbers(strata: np.ndarray, shares: Mapping[str, float], num_rows: int) -> np.ndarray:
    """Returns the number of the split of each row, in the order of `shares`; shape (num_rows,).

    Args:
        strata: the stratum number of each row of a cycle, shape (cycle,).
        shares: split to its share of all rows.
        num_rows: number of rows, from row 0.
    """
    if len(shares) == 1:
        return np.zeros(num_rows, np.int32)
    sequence = interleave(largest_remainder(list(shares.values()), SEQUENCE))
    counts = np.bincount(strata)
    # The position of each row of a cycle among the rows of its stratum.
    positions = np.empty(len(strata), np.int64)
    order = np.argsort(strata, kind="stable")
    positions[order] = np.arange(len(strata)) - np.repeat(np.cumsum(counts) - counts, counts)
    cycles, places = np.divmod(np.arange(num_rows), len(strata))
    stratum = strata[places]
    # Each stratum starts at another element: otherwise the first row of every stratum would go to the first split.
    return sequence[(cycles * counts[stratum] + positions[places] + stratum) % SEQUENCE]
