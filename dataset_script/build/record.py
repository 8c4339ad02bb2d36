"""The record of a build: the arguments that decide its rows and files, stored in `.build/build.json`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Shard(NamedTuple):
    """A Parquet file of each configuration, the unit of work of a build.

    Attributes:
        split: its split.
        number: its number in the split.
        first: position of its first row in the split.
        rows: number of its rows.
    """

    split: str
    number: int
    first: int
    rows: int

    @property
    def name(self) -> str:
        """The stem of its files. It does not have the number of shards: files keep their names as a dataset grows."""
        return f"{self.split}-{self.number:05d}"


@dataclass(frozen=True, kw_only=True)
class BuildRecord:
    """What every build records. A later run continues a build only if its record is equal.

    Attributes:
        num_rows: rows of the dataset.
        shard_rows: rows of a shard; the last shard of a split may be shorter.
        splits: rows of each split.
        extra_columns: columns besides those of `schema.features`, kept as text.
    """

    num_rows: int
    shard_rows: int
    splits: dict[str, int]
    extra_columns: list[str] = field(default_factory=list)

    @property
    def shards(self) -> list[Shard]:
        """All shards, split by split."""
        return [
            Shard(split, number, first, min(self.shard_rows, rows - first))
            for split, rows in self.splits.items()
            for number, first in enumerate(range(0, rows, self.shard_rows))
        ]

    @property
    def num_shards(self) -> int:
        """Number of shards."""
        return len(self.shards)


@dataclass(frozen=True, kw_only=True)
class GenerationRecord(BuildRecord):
    """The record of a dataset that `dataset_script.generate` builds.

    Batch size, device and number of workers are not recorded: they do not change the rows.
    """

    plan_hash: str
    generator: str
    generator_revision: str
    num_inference_steps: int
    guidance_scale: float
    dtype: str
    backend: str
    image_format: str


@dataclass(frozen=True, kw_only=True)
class ConversionRecord(BuildRecord):
    """The record of a dataset that `dataset_script.convert` builds.

    Attributes:
        rows_sha256: checksum of the rows: their numbers, labels and image names.
    """

    rows_sha256: str
