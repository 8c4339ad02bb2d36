"""The record of a build: the arguments that decide its rows, stored in `.build/build.json`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class BuildRecord:
    """What every build records. A later run continues a build only if its record is equal.

    Attributes:
        num_rows: rows of the dataset.
        shard_rows: rows of a shard; the last shard may be shorter.
    """

    num_rows: int
    shard_rows: int

    @property
    def num_shards(self) -> int:
        """Number of shards."""
        return -(-self.num_rows // self.shard_rows)


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
    image_format: str


@dataclass(frozen=True, kw_only=True)
class ConversionRecord(BuildRecord):
    """The record of a dataset that `dataset_script.convert` builds.

    Attributes:
        rows_sha256: checksum of the rows: their numbers, labels and image names.
    """

    rows_sha256: str
