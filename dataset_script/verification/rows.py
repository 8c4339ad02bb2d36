"""The checks of the rows of a dataset: columns, numbers, labels, index."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline_synfundus.labels import CARDINALITIES, CONDITION_NAMES, UNKNOWN, to_codes

from ..build.folder import BuildFolder
from ..build.image_index import image_ranges
from ..build.record import GenerationRecord, Shard
from ..build.shards import shard_rows
from ..plan.condition_plan import ConditionPlan
from ..schema import FOLDERS, config_features
from .checks import Checks


def check_rows(
    folder: BuildFolder[GenerationRecord], shard: Shard, plan: ConditionPlan, checks: Checks
) -> np.ndarray | None:
    """Checks columns, idx and labels of a shard in all configs.

    Returns:
        idx of the rows with images, int64 of shape (rows,), in file order; None if it cannot be read.
    """
    rows = shard_rows(plan, folder.record, shard)
    numbers = np.array([row.idx for row in rows])
    wanted = np.array([to_codes(row.condition) for row in rows])
    found: dict[str, np.ndarray] = {}
    for config in FOLDERS:
        path = folder.file(config, shard)
        name = str(path.relative_to(folder.path))
        table = _read_labels(path, config_features(config).arrow_schema, name, checks)
        if table is None:
            continue
        found[config] = idx = table["idx"].to_numpy()
        codes = np.stack([table[label].to_numpy() for label in CONDITION_NAMES], axis=1)
        _check_idx(name, idx, numbers, checks)
        outside = ((codes < UNKNOWN) | (codes >= np.array(CARDINALITIES))).any(axis=1)
        checks.ranges.add(*(f"{name}, idx {idx[row]}" for row in np.flatnonzero(outside)), checked=len(idx))
        if len(idx) == len(rows):
            other = (codes != wanted).any(axis=1)
            problems = [
                f"{name}, idx {idx[row]}: {_difference(codes[row], wanted[row])}" for row in np.flatnonzero(other)
            ]
            checks.labels.add(*problems, checked=len(idx))
    return found.get("default")


def check_index(folder: BuildFolder[GenerationRecord], shard: Shard, checks: Checks) -> None:
    """Checks that the index of a shard has the byte range of each image."""
    path = folder.file("index", shard)
    try:
        stored = pq.read_table(path)
        actual = image_ranges(folder.file("default", shard))
    except (OSError, ValueError, pa.ArrowException) as error:
        checks.index.add(f"{path.relative_to(folder.path)} cannot be checked: {str(error).splitlines()[0]}")
        return
    file = folder.file("default", shard).relative_to(folder.path).as_posix()
    places = zip(stored["file"].to_pylist(), stored["offset"].to_pylist(), stored["size"].to_pylist(), strict=True)
    pairs = zip(places, actual, strict=False)  # the check of idx reports missing rows
    wrong = [row for row, (place, found) in enumerate(pairs) if place != (file, *found)]
    checks.index.add(*(f"{path.relative_to(folder.path)}, row {row}" for row in wrong), checked=len(actual))


def _read_labels(path: Path, schema: pa.Schema, name: str, checks: Checks) -> pa.Table | None:
    try:
        with pq.ParquetFile(path) as file:
            if not file.schema_arrow.equals(schema):
                checks.columns.add(f"{name} has other columns", checked=1)
                return None
            table = file.read(["idx", *CONDITION_NAMES])
    except (OSError, pa.ArrowException) as error:
        checks.columns.add(f"{name} cannot be read: {str(error).splitlines()[0]}", checked=1)
        return None
    nulls = [column for column in table.column_names if table[column].null_count]
    checks.columns.add(*(f"{name}: {column} has null values" for column in nulls), checked=1)
    return None if nulls else table


def _check_idx(name: str, idx: np.ndarray, expected: np.ndarray, checks: Checks) -> None:
    problems = []
    if len(idx) != len(expected):
        problems.append(f"{name} has {len(idx)} rows, but must have {len(expected)}")
    else:
        wrong = np.flatnonzero(idx != expected)
        problems += [f"{name}, row {row}: idx is {idx[row]}, but must be {expected[row]}" for row in wrong]
    checks.idx.add(*problems, checked=len(idx))


def _difference(codes: np.ndarray, wanted: np.ndarray) -> str:
    wrong = zip(CONDITION_NAMES, codes.tolist(), wanted.tolist(), strict=True)
    return ", ".join(f"{name} is {code}, but must be {right}" for name, code, right in wrong if code != right)
