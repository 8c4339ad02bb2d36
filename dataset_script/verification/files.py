"""The checks of the files of a dataset: card, plan, manifests, checksums, samples."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import DatasetCard

from synfundus.files import file_sha256

from ..build.folder import BuildFolder
from ..build.record import GenerationRecord, Shard
from ..build.sample_configs import sample_file, sample_manifest, sample_splits
from ..plan.condition_plan import ConditionPlan
from ..schema import FOLDERS, config_folder, sample_configs
from .checks import Checks

Folder = BuildFolder[GenerationRecord]


def check_folder(folder: Folder, plan: ConditionPlan, checks: Checks) -> None:
    """Checks the plan and the card, and looks for files that do not belong to the dataset."""
    record = folder.record
    if plan.hash != record.plan_hash:
        checks.folder.add(f"{folder.plan.name} is plan {plan.hash}, but the build is of plan {record.plan_hash}")
    expected = {config: {folder.file(config, shard) for shard in record.shards} for config in FOLDERS}
    rows = dict.fromkeys(FOLDERS, record.splits)
    for config in sample_configs(record.num_rows):
        rows[config] = sample_splits(plan, config)
        expected[config] = {sample_file(folder, config, split) for split in rows[config]}
    checks.folder.add(*_card_problems(folder, rows), checked=2)
    for config, files in expected.items():
        present = set((folder.path / config_folder(config)).glob("*"))
        extra = sorted(str(path.relative_to(folder.path)) for path in present - files)
        checks.folder.add(*(f"{name} is not part of the dataset" for name in extra), checked=len(present))


def _card_problems(folder: Folder, rows: dict[str, dict[str, int]]) -> list[str]:
    try:
        infos = DatasetCard.load(folder.card).data.dataset_info
        stated = {
            info["config_name"]: {split["name"]: split["num_examples"] for split in info["splits"]} for info in infos
        }
    except (OSError, ValueError, AttributeError, LookupError, TypeError) as error:
        return [f"{folder.card.name} cannot be read: {error!r}"]
    if stated != rows:
        return [f"{folder.card.name} says {stated} rows, but there are {rows}"]
    return []


def check_shard_files(folder: Folder, shard: Shard, checks: Checks, checksums: bool) -> bool:
    """Compares the files of a shard with its manifest; returns whether all files exist."""
    try:
        manifest = folder.read_manifest(shard)
        files, rows = manifest["files"], (manifest["first_row"], manifest["rows"])
        described = {
            folder.file(config, shard): (files[config]["bytes"], files[config]["sha256"]) for config in FOLDERS
        }
    except (OSError, ValueError, LookupError, TypeError) as error:
        checks.shards.add(f"shard {shard.name} has no manifest: {error!r}", checked=1)
        return False
    problems = list(_file_problems(folder.path, described, checks, checksums))
    if rows != (shard.first, shard.rows):
        problems.append(f"shard {shard.name}: the manifest has {rows[1]} rows from row {rows[0]} of its split")
    checks.shards.add(*problems, checked=1)
    return all(path.is_file() for path in described)


def check_samples(folder: Folder, plan: ConditionPlan, checks: Checks, checksums: bool) -> None:
    """Compares the sample configurations with their manifests and with the first rows of the splits."""
    for config in sample_configs(folder.record.num_rows):
        manifest = sample_manifest(folder, config)
        if manifest is None:
            checks.samples.add(f"{config} is incomplete", checked=1)
            continue
        files = {split: sample_file(folder, config, split) for split in manifest}
        described = {files[split]: (facts["bytes"], facts["sha256"]) for split, facts in manifest.items()}
        checks.samples.add(*_file_problems(folder.path, described, checks, checksums))
        for split, rows in sample_splits(plan, config).items():
            same = split in files and _same_rows(folder, files[split], split, rows)
            problem = f"{config}: {split} does not hold the first {rows} rows of the split"
            checks.samples.add(*([] if same else [problem]), checked=1)


def _file_problems(
    folder: Path, described: dict[Path, tuple[int, str]], checks: Checks, checksums: bool
) -> Iterator[str]:
    """Compares files with their size and checksum; yields the problems except wrong checksums."""
    for path, (size, sha256) in described.items():
        name = path.relative_to(folder)
        if not path.is_file():
            yield f"{name} is missing"
        elif path.stat().st_size != size:
            yield f"{name} has {path.stat().st_size:,} bytes, but the manifest says {size:,}"
        elif checksums:
            damaged = file_sha256(path) != sha256
            checks.checksums.add(*([f"{name} differs from the file that was written"] if damaged else []), checked=1)


def _same_rows(folder: Folder, sample: Path, split: str, rows: int) -> bool:
    """Compares a sample, column by column, with the beginning of its split."""
    try:
        stored = pq.read_table(sample)
        shards = [shard for shard in folder.record.shards if shard.split == split and shard.first < rows]
        source = pa.concat_tables(pq.read_table(folder.file("default", shard)) for shard in shards).slice(0, rows)
    except (OSError, pa.ArrowException):
        return False
    return stored.num_rows == rows and all(stored[name].equals(source[name]) for name in stored.column_names)
