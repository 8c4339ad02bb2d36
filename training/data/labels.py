"""Reads the labels of a source as integer codes, from label columns and from rules on other columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from pipeline_synfundus.labels import CONDITION_NAMES, LABEL_NAMES, ConditionError, parse_value
from synfundus.label_columns import read_label_columns
from training.configuration.config import ConfigError
from training.sources.record import conclude, fill_unknown

# Column to value to labels, as in `DataConfig.label_rules`.
Rules = Mapping[str, Mapping[str, Mapping[str, int]]]


def check_rules(rules: Rules, columns: Iterable[str]) -> None:
    """Checks the rules against the columns of a source.

    Raises:
        ConfigError: for a column that the source lacks, or a label or value that does not exist.
    """
    for column, values in rules.items():
        if column not in columns:
            raise ConfigError(f"data.label_rules names the column {column!r}, but the source has {', '.join(columns)}")
        for value, labels in values.items() if isinstance(values, Mapping) else [("", None)]:
            where = f"data.label_rules.{column}.{value}"
            if not isinstance(labels, Mapping) or not set(labels) <= set(LABEL_NAMES):
                raise ConfigError(f"{where} is {labels!r}, but must map some of {', '.join(LABEL_NAMES)} to values")
            for name, label in labels.items():
                try:
                    parse_value(name, label)
                except ConditionError as error:
                    raise ConfigError(f"{where}: {error}") from None


def read_codes(table: Any, rules: Rules) -> np.ndarray:
    """Reads the labels; a label without a column and without a rule is unknown in every row.

    Args:
        table: a `datasets.Dataset`.
        rules: fill in labels that the columns leave unknown. The result is made consistent as for public sets
            (`training.sources.record`): in an unusable photograph nothing is readable, and no disease counts as absent.

    Returns:
        int8 array of shape (N, 16), -1 unknown.

    Raises:
        ConfigError: for a value that is not allowed; the message names the row.
    """
    try:
        codes = read_label_columns(table, "the source")
    except ConditionError as error:
        raise ConfigError(str(error)) from None
    for rule, values in rules.items():
        for row, value in enumerate(table[rule]):
            if str(value) in values:
                known = dict(zip(CONDITION_NAMES, codes[row].tolist(), strict=True))
                filled = known | fill_unknown(known, conclude([values[str(value)]]))
                codes[row] = [filled[name] for name in CONDITION_NAMES]
    return codes
