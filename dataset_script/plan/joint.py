"""Joint distributions of labels: combinations and their frequencies, for example counted in a table of real labels."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline_synfundus.labels import CONDITION_NAMES, UNKNOWN, ConditionError, parse_value

COMBINATION_FIELDS = ("weight", "labels")


class JointError(ValueError):
    """A joint distribution is invalid. The message names the row, the label, the value and what is allowed.

    Attributes:
        place: the keys and positions that lead to the error, if the plan itself lists the combinations.
    """

    def __init__(self, message: str, place: tuple[Hashable, ...] = ()) -> None:
        super().__init__(message)
        self.place = place


@dataclass(frozen=True)
class Joint:
    """Combinations of labels and their frequencies.

    Attributes:
        names: the labels, in the order of `CONDITION_NAMES`.
        combinations: the values of each combination, -1 for unknown, in ascending order.
        weights: the frequency of each combination, integers of 1 or more.
    """

    names: tuple[str, ...]
    combinations: tuple[tuple[int, ...], ...]
    weights: tuple[int, ...]

    def draw(self, uniform: float) -> dict[str, int]:
        """Returns one combination; `uniform` is in [0, 1]."""
        position = int(np.searchsorted(self._reached, uniform * self._reached[-1], side="right"))
        return self._condition(min(position, len(self.weights) - 1))  # rounding: uniform may be 1

    def conditions(self) -> list[dict[str, int]]:
        """Returns all combinations."""
        return [self._condition(position) for position in range(len(self.weights))]

    def content(self) -> list[dict[str, Any]]:
        """Returns the distribution as `parse_joint` reads it in a plan."""
        pairs = zip(self.weights, self.conditions(), strict=True)
        return [{"weight": weight, "labels": labels} for weight, labels in pairs]

    def _condition(self, position: int) -> dict[str, int]:
        return dict(zip(self.names, self.combinations[position], strict=True))

    @cached_property
    def _reached(self) -> np.ndarray:
        return np.cumsum(self.weights)


def parse_joint(content: Any, folder: Path) -> Joint:
    """Returns the joint distribution that a plan gives.

    Args:
        content: the path of a CSV or Parquet table relative to `folder`, whose label columns are counted; or the
            combinations themselves, a list of mappings with `weight` and `labels`.
        folder: see `content`.

    Raises:
        JointError: if it cannot be read, has no labels, or has an invalid value.
    """
    if isinstance(content, str):
        return _count(read_label_table(folder / content))
    if not isinstance(content, list) or not content:
        raise JointError(f"{content!r} is neither the path of a table nor a list of combinations")
    weights: dict[tuple[int, ...], int] = {}
    names: tuple[str, ...] | None = None
    for number, combination in enumerate(content):
        labels, weight = _parse_combination(number, combination)
        names = names or tuple(labels)
        if tuple(labels) != names:
            raise JointError(f"combination {number} has other labels than the first", (number, "labels"))
        values = tuple(labels.values())
        if values in weights:
            raise JointError(f"combination {number} is a duplicate", (number,))
        weights[values] = weight
    assert names is not None
    combinations = sorted(weights)
    return Joint(names, tuple(combinations), tuple(weights[values] for values in combinations))


def read_label_table(path: Path) -> pd.DataFrame:
    """Returns the label columns of a CSV or Parquet table as integers, -1 for unknown.

    Raises:
        JointError: as `parse_joint`; the message names the table and counts the rows from 0.
    """
    table = _read_columns(path)
    if table.empty:
        raise JointError(f"{path} has no rows" if len(table.columns) else f"{path} has no column that is a label")
    for name in table.columns:
        positions, values = pd.factorize(_numbers(table[name]))
        codes = []
        for number, value in enumerate(values):
            try:
                codes.append(parse_value(name, value))
            except ConditionError as error:
                raise JointError(f"{path}, row {int((positions == number).argmax())}: {error}") from None
        table[name] = np.array([*codes, UNKNOWN])[positions]  # factorize gives missing values the position -1
    return table


def _read_columns(path: Path) -> pd.DataFrame:
    try:
        if path.suffix == ".csv":
            table = pd.read_csv(path, usecols=lambda name: name in CONDITION_NAMES)
        elif path.suffix == ".parquet":
            present = pq.read_schema(path).names
            table = pd.read_parquet(path, columns=[name for name in CONDITION_NAMES if name in present])
        else:
            raise JointError(f"{path} is neither a .csv nor a .parquet file")
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError, pa.ArrowException) as error:
        raise JointError(f"{path} cannot be read: {error}") from None
    return table[[name for name in CONDITION_NAMES if name in table.columns]]


def _numbers(column: pd.Series) -> pd.Series:
    """Converts numeric text to numbers. pandas reads a whole CSV column as text if a single cell is not a number."""
    numbers = pd.to_numeric(column, errors="coerce")
    return numbers.astype(object).where(numbers.notna() | column.isna(), column)


def _count(table: pd.DataFrame) -> Joint:
    names = tuple(table.columns)
    counts = table.value_counts(sort=False).sort_index()
    combinations = tuple(tuple(int(value) for value in values) for values in counts.index)
    return Joint(names, combinations, tuple(int(count) for count in counts))


def _parse_combination(number: int, content: Any) -> tuple[dict[str, int], int]:
    """Returns the labels, in the order of `CONDITION_NAMES`, and the weight."""
    if not isinstance(content, Mapping) or set(content) != set(COMBINATION_FIELDS):
        raise JointError(
            f"combination {number} is {content!r}, but must be a mapping with weight and labels", (number,)
        )
    weight, labels = content["weight"], content["labels"]
    if not isinstance(weight, int) or isinstance(weight, bool) or weight < 1:
        raise JointError(
            f"combination {number}: weight is {weight!r}, but must be an integer of 1 or more", (number, "weight")
        )
    if not isinstance(labels, Mapping) or not labels:
        raise JointError(f"combination {number}: labels is {labels!r}, but must be a mapping", (number, "labels"))
    parsed = {}
    for name, value in labels.items():
        try:
            parsed[name] = parse_value(name, value)
        except ConditionError as error:
            raise JointError(f"combination {number}: {error}", (number, "labels", name)) from None
    return {name: parsed[name] for name in CONDITION_NAMES if name in parsed}, weight
