"""Checks the photographs of an adaptation before any work: their number, label columns and size."""

from __future__ import annotations

import difflib
from typing import Any

import numpy as np

from pipeline_synfundus.labels import CONDITION_NAMES
from pipeline_synfundus.photograph import PhotographError, measure_field
from synfundus.photographs import list_problems, read_many
from training.configuration.config import ConfigError, TrainingConfig
from training.data.examples import Examples
from training.data.generator_data import GeneratorData
from training.data.labels import read_codes
from training.data.prepared import load_source

MIN_TRAINING, MIN_VALIDATION = 40, 8


def check_source(config: TrainingConfig) -> None:
    """Checks the columns and values of the source and the size of its photographs; prints the labels found.

    Photographs that cannot be decoded are left to the preparation, which lists all of them.

    Raises:
        ConfigError: for test patients without a column of patients, too few photographs, a column that is almost a
            label's, a value that is not allowed, or photographs that would have to be enlarged; the message lists all
            of these.
    """
    if config.data.test_share and config.data.group_column is None:
        raise ConfigError(
            f"--test-share is {config.data.test_share}, which needs --group-column: the column of patients"
        )
    table = load_source(config.data)
    wanted = MIN_TRAINING + MIN_VALIDATION
    if len(table) < wanted:
        raise ConfigError(
            f"--photographs {config.data.source!r} has {len(table)} photographs; at least {wanted} are needed"
        )
    _check_columns(table.column_names, config)
    codes = read_codes(table, config.data.label_rules)
    known = {name: int(count) for name, count in zip(CONDITION_NAMES, (codes >= 0).sum(axis=0), strict=True) if count}
    labels = ", ".join(f"{name} {count}" for name, count in known.items()) or "none: all labels are unknown"
    print(f"{len(table)} photographs; labels known: {labels}")
    if config.data.group_column is None:
        print(
            "no --group-column: photographs of one patient may be in both parts, and make the search for copies lenient"
        )
    _check_sizes(table[config.data.image_column], config)


def _check_columns(columns: list[str], config: TrainingConfig) -> None:
    """Refuses columns that look like labels but are none: their values would be ignored without a word."""
    data = config.data
    others = {*CONDITION_NAMES, data.image_column, data.group_column, data.source_column}
    for column in columns:
        close = difflib.get_close_matches(column, CONDITION_NAMES, n=1, cutoff=0.75)
        if column not in others and (close or column.startswith("is_")):
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ConfigError(
                f"the column {column!r} is no label.{hint} Rename or remove it; labels are {', '.join(CONDITION_NAMES)}"
            )


def _check_sizes(cells: list[dict[str, Any]], config: TrainingConfig) -> None:
    """Refuses photographs that are too small for the generator: they would teach it blur."""
    smallest = int(config.generator.smallest_native_share * config.resolution)
    sides = read_many(lambda cell: measure_field(cell["bytes"] or cell["path"]), cells, "checking sizes")
    small = [
        f"row {row}: {side} pixels"
        for row, side in enumerate(sides)
        if not isinstance(side, PhotographError) and side < smallest
    ]
    if small:
        raise ConfigError(
            f"{len(small)} photographs have a field of view too small for images of {config.resolution} pixels. "
            f"At least {smallest} are needed; remove these:\n{list_problems(small)}"
        )


def check_split(data: GeneratorData, config: TrainingConfig) -> Examples:
    """Checks that both parts of the split have enough photographs, and returns those to validate on.

    Raises:
        ConfigError: if one has not.
    """
    training = len(np.unique(data.training.source_rows))
    validation = len(data.validation.codes) if data.validation is not None else 0
    if data.validation is None or training < MIN_TRAINING or validation < MIN_VALIDATION:
        column = config.data.group_column
        raise ConfigError(
            f"--validation-share {config.data.validation_share} leaves {training} photographs to train on and "
            f"{validation} to validate on, by {f'the column {column!r}' if column else 'row'}; at least {MIN_TRAINING} "
            f"and {MIN_VALIDATION} are needed"
        )
    return data.validation
