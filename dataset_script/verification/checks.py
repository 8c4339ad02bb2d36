"""The checks of all files of a dataset except the images themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import DatasetCard

from pipeline_synfundus.labels import CARDINALITIES, CONDITION_NAMES, UNKNOWN, to_codes
from synfundus.files import file_sha256

from ..build.folder import BuildFolder
from ..build.record import GenerationRecord
from ..plan.condition_plan import ConditionPlan
from ..schema import FOLDERS, config_features

EXAMPLES = 5


@dataclass
class Check:
    """One check: how many items were checked, and which problems were found.

    Attributes:
        name: the property that must hold.
        unit: the items that are counted.
        checked: number of items checked.
        problems: number of problems found.
        examples: the first problems.
        skipped: why the check was not run; empty if it was.
    """

    name: str
    unit: str
    checked: int = 0
    problems: int = 0
    examples: list[str] = field(default_factory=list)
    skipped: str = ""

    def add(self, *problems: str, checked: int = 0) -> None:
        """Adds checked items and problems."""
        self.checked += checked
        self.problems += len(problems)
        self.examples += problems[: EXAMPLES - len(self.examples)]


class Checks:
    """All checks."""

    def __init__(self) -> None:
        self.folder = Check("card, plan and no other files exist", "files")
        self.shards = Check("shards match their manifests", "shards")
        self.checksums = Check("checksums match the manifests", "files")
        self.columns = Check("columns and their types", "files")
        self.idx = Check("idx is 0 to N-1, no gaps or duplicates", "rows")
        self.ranges = Check("labels are in range", "rows")
        self.labels = Check("labels match the plan", "rows")
        self.images = Check("images decode at the stated size", "images")
        self.facts = Check("images name their generator and row", "images")
        self.identical = Check("no two images are identical", "images")

    def all(self) -> list[Check]:
        """Returns all checks, in the order of the report."""
        return list(vars(self).values())


def check_folder(folder: BuildFolder[GenerationRecord], plan: ConditionPlan, checks: Checks) -> None:
    """Checks the plan and the card, and looks for files that do not belong to the dataset."""
    record = folder.record
    if plan.hash != record.plan_hash:
        checks.folder.add(f"{folder.plan.name} is plan {plan.hash}, but the build is of plan {record.plan_hash}")
    checks.folder.add(*_card_problems(folder), checked=2)
    for config, name in FOLDERS.items():
        expected = {folder.file(config, shard).name for shard in range(record.num_shards)}
        present = {path.name for path in (folder.path / name).glob("*")}
        checks.folder.add(
            *(f"{name}/{extra} is not part of the dataset" for extra in sorted(present - expected)),
            checked=len(present),
        )


def _card_problems(folder: BuildFolder[GenerationRecord]) -> list[str]:
    try:
        data = DatasetCard.load(folder.card).data
        rows = {info["splits"][0]["num_examples"] for info in data.dataset_info}
    except (OSError, ValueError, AttributeError, LookupError, TypeError) as error:
        return [f"{folder.card.name} cannot be read: {error!r}"]
    if rows != {folder.record.num_rows}:
        return [f"{folder.card.name} says {rows} rows, but there are {folder.record.num_rows}"]
    return []


def check_shard_files(folder: BuildFolder[GenerationRecord], shard: int, checks: Checks, checksums: bool) -> bool:
    """Compares the files of a shard with its manifest; returns whether all files exist."""
    try:
        manifest = folder.read_manifest(shard)
        files, rows = manifest["files"], range(manifest["first_row"], manifest["first_row"] + manifest["rows"])
        described = {config: (files[config]["bytes"], files[config]["sha256"]) for config in FOLDERS}
    except (OSError, ValueError, LookupError, TypeError) as error:
        checks.shards.add(f"shard {shard} has no manifest: {error!r}", checked=1)
        return False
    problems = [] if rows == folder.rows(shard) else [f"shard {shard}: the manifest says rows {rows}"]
    for config, (size, sha256) in described.items():
        path = folder.file(config, shard)
        name = path.relative_to(folder.path)
        if not path.is_file():
            problems.append(f"{name} is not there")
        elif path.stat().st_size != size:
            problems.append(f"{name} has {path.stat().st_size:,} bytes, but the manifest says {size:,}")
        elif checksums:
            damaged = file_sha256(path) != sha256
            checks.checksums.add(*([f"{name} differs from the file that was written"] if damaged else []), checked=1)
    checks.shards.add(*problems, checked=1)
    return all(folder.file(config, shard).is_file() for config in FOLDERS)


def check_labels(
    folder: BuildFolder[GenerationRecord], shard: int, plan: ConditionPlan, checks: Checks
) -> np.ndarray | None:
    """Checks columns, idx and labels of a shard in both configs.

    Returns:
        idx of the rows with images, int64 of shape (rows,), in file order; None if it cannot be read.
    """
    idx = None
    rows = folder.rows(shard)
    wanted = np.array([to_codes(plan.row(number).condition) for number in rows])
    for config in FOLDERS:
        path = folder.file(config, shard)
        name = str(path.relative_to(folder.path))
        table = _read_labels(path, config_features(config).arrow_schema, name, checks)
        if table is None:
            continue
        idx = table["idx"].to_numpy()
        codes = np.stack([table[label].to_numpy() for label in CONDITION_NAMES], axis=1)
        _check_idx(name, idx, rows, checks)
        outside = ((codes < UNKNOWN) | (codes >= np.array(CARDINALITIES))).any(axis=1)
        checks.ranges.add(*(f"{name}, idx {idx[row]}" for row in np.flatnonzero(outside)), checked=len(idx))
        if len(idx) == len(rows):
            other = (codes != wanted).any(axis=1)
            problems = [
                f"{name}, idx {idx[row]}: {_difference(codes[row], wanted[row])}" for row in np.flatnonzero(other)
            ]
            checks.labels.add(*problems, checked=len(idx))
    return idx


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
    checks.columns.add(*(f"{name}: {column} has gaps" for column in nulls), checked=1)
    return None if nulls else table


def _check_idx(name: str, idx: np.ndarray, rows: range, checks: Checks) -> None:
    expected = np.arange(rows.start, rows.stop)
    problems = []
    if len(idx) != len(rows):
        problems.append(f"{name} has {len(idx)} rows, but must have {len(rows)}")
    else:
        wrong = np.flatnonzero(idx != expected)
        problems += [f"{name}, row {row}: idx is {idx[row]}, but must be {expected[row]}" for row in wrong]
    checks.idx.add(*problems, checked=len(idx))


def _difference(codes: np.ndarray, wanted: np.ndarray) -> str:
    wrong = zip(CONDITION_NAMES, codes.tolist(), wanted.tolist(), strict=True)
    return ", ".join(f"{name} is {code}, but must be {right}" for name, code, right in wrong if code != right)
