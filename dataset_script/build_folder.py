"""The folder a dataset is built in.

```
README.md                          the card, written last
plan.yaml                          the plan
data/train-00000-of-00004.parquet  rows with images
labels/train-00000-of-00004.parquet  the same rows without images
.build/build.json                  what was asked for: plan, generator, number of rows, settings
.build/00000-of-00004.json         one manifest a shard, written last: the shard is complete
```

`datasets` reads only what the card names, and passes over hidden folders even without it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .files import atomic_file, file_sha256, write_json

# Rows that a reader decodes at once: few enough for images, as datasets' own writer chooses.
ROW_GROUP = 100
FOLDERS = {"default": "data", "labels": "labels"}


class BuildError(ValueError):
    """A build that cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Record:
    """What a build was asked for. Only the same again may go on in its folder.

    The batch size and the device are no part of it: they do not change what a row is.
    """

    plan_hash: str
    generator: str
    generator_revision: str
    num_rows: int
    shard_rows: int
    num_inference_steps: int
    guidance_scale: float

    @property
    def num_shards(self) -> int:
        """Number of shards; the last one may be shorter."""
        return -(-self.num_rows // self.shard_rows)


@dataclass(frozen=True)
class BuildFolder:
    """A folder and the record of the build in it; `open_build` makes one."""

    path: Path
    record: Record

    @property
    def card(self) -> Path:
        """The card; once it is there, the dataset is complete."""
        return self.path / "README.md"

    def rows(self, shard: int) -> range:
        """The rows of a shard."""
        first = shard * self.record.shard_rows
        return range(first, min(first + self.record.shard_rows, self.record.num_rows))

    def file(self, config: str, shard: int) -> Path:
        """The Parquet file of a shard in a config."""
        return self.path / FOLDERS[config] / f"train-{self._name(shard)}.parquet"

    def manifest(self, shard: int) -> dict[str, dict[str, Any]] | None:
        """Returns the sizes and checksums of a complete shard's files, by config; None for a shard to be made.

        A file that is gone or has another size makes its shard one to be made. Checksums are not computed here: that
        takes as long as reading the dataset.
        """
        try:
            files = json.loads(self._manifest_file(shard).read_text(encoding="utf-8"))["files"]
            whole = all(self.file(config, shard).stat().st_size == files[config]["bytes"] for config in FOLDERS)
        except (FileNotFoundError, ValueError, KeyError):
            return None
        return files if whole else None

    def missing_shards(self) -> list[int]:
        """Returns the shards that are still to be made."""
        return [shard for shard in range(self.record.num_shards) if self.manifest(shard) is None]

    def write_shard(self, shard: int, tables: dict[str, pa.Table]) -> None:
        """Writes the tables of a shard, by config, and then marks it complete."""
        files = {}
        for config, table in tables.items():
            path = self.file(config, shard)
            with atomic_file(path) as file:
                pq.write_table(table, file, row_group_size=ROW_GROUP)
            files[config] = {
                "file": path.relative_to(self.path).as_posix(),
                "bytes": path.stat().st_size,
                "sha256": file_sha256(path),
                "arrow_bytes": table.nbytes,
            }
        rows = self.rows(shard)
        write_json(self._manifest_file(shard), {"first_row": rows.start, "rows": len(rows), "files": files})

    def _name(self, shard: int) -> str:
        return f"{shard:05d}-of-{self.record.num_shards:05d}"

    def _manifest_file(self, shard: int) -> Path:
        return self.path / ".build" / f"{self._name(shard)}.json"


def open_build(path: Path, record: Record) -> BuildFolder:
    """Returns the folder of a build, begun or to be gone on with.

    Raises:
        BuildError: if the folder holds another build, or anything else.
    """
    file = path / ".build" / "build.json"
    if file.exists():
        _check_same(path, file, record)
    else:
        if path.exists() and (not path.is_dir() or any(entry.name != ".build" for entry in path.iterdir())):
            raise BuildError(f"{path} exists and holds no build; give --out a new or an empty folder")
        write_json(file, asdict(record))
    return BuildFolder(path, record)


def _check_same(path: Path, file: Path, record: Record) -> None:
    try:
        earlier = json.loads(file.read_text(encoding="utf-8"))
        differences = [
            f"{field} was {earlier[field]}, now it is {value}"
            for field, value in asdict(record).items()
            if earlier[field] != value
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BuildError(f"{file} cannot be read ({error!r}); give --out a new folder") from None
    if differences:
        raise BuildError(
            f"{path} was begun with other arguments: {'; '.join(differences)}. Repeat the earlier arguments to go on "
            "with it, or give --out a new folder"
        )
