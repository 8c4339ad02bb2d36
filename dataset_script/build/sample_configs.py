"""The configurations `sample-1k` and `sample-10k`: the first rows of a dataset in small files of their own.

The first rows of a plan contain all strata with their shares, so they represent the dataset. The files hold copies of
rows of the shards: no image is generated again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from synfundus.files import write_json

from ..plan.condition_plan import ConditionPlan
from ..schema import ROW_GROUP, SAMPLES, config_features, sample_configs
from .folder import BuildFolder
from .record import GenerationRecord, Shard
from .shard_writer import parquet_file


def write_sample_configs(folder: BuildFolder[GenerationRecord], plan: ConditionPlan) -> None:
    """Writes the missing sample configurations of a folder whose shards are all complete."""
    for config in sample_configs(folder.record.num_rows):
        if sample_manifest(folder, config) is None:
            _write(folder, plan, config)


def sample_splits(plan: ConditionPlan, config: str) -> dict[str, int]:
    """Returns the number of rows of each split in a sample configuration."""
    return {split: len(rows) for split, rows in plan.split_rows(SAMPLES[config]).items()}


def sample_file(folder: BuildFolder[GenerationRecord], config: str, split: str) -> Path:
    """Returns the file of a split in a sample configuration."""
    return folder.path / config / f"{Shard(split, 0, 0, 0).name}.parquet"


def sample_manifest(folder: BuildFolder[GenerationRecord], config: str) -> dict[str, dict[str, Any]] | None:
    """Returns the sizes and checksums of the files of a sample configuration, by split; None if it is incomplete."""
    try:
        files = json.loads(_manifest_file(folder, config).read_text(encoding="utf-8"))
        whole = all(sample_file(folder, config, split).stat().st_size == files[split]["bytes"] for split in files)
    except (FileNotFoundError, ValueError, KeyError):
        return None
    return files if whole else None


def _write(folder: BuildFolder[GenerationRecord], plan: ConditionPlan, config: str) -> None:
    described = {}
    for split, rows in sample_splits(plan, config).items():
        with parquet_file(sample_file(folder, config, split), config_features(config).arrow_schema) as file:
            for table in _first_rows(folder, split, rows):
                file.write(table)
        described[split] = file.facts
    write_json(_manifest_file(folder, config), described)


def _first_rows(folder: BuildFolder[GenerationRecord], split: str, rows: int) -> Iterator[pa.Table]:
    """Yields the first rows of a split, in tables of a row group."""
    for shard in folder.record.shards:
        if shard.split == split and rows > 0:
            with pq.ParquetFile(folder.file("default", shard)) as file:
                for batch in file.iter_batches(ROW_GROUP):
                    if rows > 0:
                        yield pa.Table.from_batches([batch[:rows]], schema=file.schema_arrow)
                        rows -= len(batch)


def _manifest_file(folder: BuildFolder[GenerationRecord], config: str) -> Path:
    return folder.path / ".build" / f"{config}.json"
