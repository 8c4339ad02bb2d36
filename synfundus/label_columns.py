"""Reads the label columns of a table as integer codes, for training and evaluation."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline_synfundus.labels import CONDITION_NAMES, UNKNOWN, ConditionError, contradicted_values, parse_value


def read_label_columns(table: Any, source: str) -> np.ndarray:
    """Returns the labels of each row; a label without a column is unknown in every row.

    A value that another label of its row excludes is unknown, too: IDRiD has a few eyes without diabetic retinopathy
    but with diabetic macular edema.

    Args:
        table: a `datasets.Dataset`; columns that are not labels are ignored.
        source: the table's name in error messages.

    Returns:
        int8 array of shape (N, 16), in the order of `CONDITION_NAMES`, -1 unknown.

    Raises:
        ConditionError: for a value that is not allowed; the message names the row and the source.
    """
    codes = np.full((len(table), len(CONDITION_NAMES)), UNKNOWN, dtype=np.int8)
    for column, name in enumerate(CONDITION_NAMES):
        for row, value in enumerate(table[name][:] if name in table.column_names else ()):
            try:
                codes[row, column] = parse_value(name, value)
            except ConditionError as error:
                raise ConditionError(f"row {row} of {source}: {error}") from None
    return _without_contradictions(codes)


def _without_contradictions(codes: np.ndarray) -> np.ndarray:
    """Replaces values by unknown that differ from those that follow from other labels of their row."""
    different, rows = np.unique(codes, axis=0, return_inverse=True)
    for row in different:
        for name in contradicted_values(dict(zip(CONDITION_NAMES, row.tolist(), strict=True))):
            row[CONDITION_NAMES.index(name)] = UNKNOWN
    return different[rows.reshape(-1)]
