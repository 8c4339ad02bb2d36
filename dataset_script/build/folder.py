"""The folder that a dataset is built in.

```
README.md                          the card, written last
samples.png                        the picture in it
plan.yaml                          the plan
data/train-00000-of-00004.parquet  rows with images
labels/train-00000-of-00004.parquet  the same rows without images
.build/build.json                  the record: plan, generator, number of rows, settings
.build/00000-of-00004.json         one manifest per shard, written last: the shard is complete
.build/00000-of-00004.lock         exists while a process builds the shard
```

`datasets` reads only the files that the card names, and ignores hidden folders.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow as pa

from synfundus.files import locked, write_json

from ..errors import BuildError
from ..schema import FOLDERS
from .record import BuildRecord
from .shard_writer import ParquetFile, parquet_file

RecordT = TypeVar("RecordT", bound=BuildRecord)


@dataclass(frozen=True)
class BuildFolder(Generic[RecordT]):
    """A folder and the record of its build; `open_build` creates or opens one."""

    path: Path
    record: RecordT

    @property
    def card(self) -> Path:
        """The card; written last, so a dataset with a card is complete."""
        return self.path / "README.md"

    @property
    def samples(self) -> Path:
        """The contact sheet in the card."""
        return self.path / "samples.png"

    @property
    def plan(self) -> Path:
        """The plan."""
        return self.path / "plan.yaml"

    def rows(self, shard: int) -> range:
        """The rows of a shard."""
        first = shard * self.record.shard_rows
        return range(first, min(first + self.record.shard_rows, self.record.num_rows))

    def file(self, config: str, shard: int) -> Path:
        """The Parquet file of a shard in a config."""
        return self.path / FOLDERS[config] / f"train-{self._name(shard)}.parquet"

    def manifest(self, shard: int) -> dict[str, dict[str, Any]] | None:
        """Returns the sizes and checksums of a complete shard's files, by config; None for an incomplete shard.

        A shard is incomplete if a file is missing or has another size. Checksums are not computed here, because that
        would take as long as reading the dataset; `dataset_script.verify` does it.
        """
        try:
            files = self.read_manifest(shard)["files"]
            whole = all(self.file(config, shard).stat().st_size == files[config]["bytes"] for config in FOLDERS)
        except (FileNotFoundError, ValueError, KeyError):
            return None
        return files if whole else None

    def read_manifest(self, shard: int) -> dict[str, Any]:
        """Returns the manifest that was written when the shard was completed, without checking its files.

        Raises:
            FileNotFoundError: if the shard was never completed.
            ValueError: if its manifest is damaged.
        """
        return json.loads(self._hidden_file(shard, "json").read_text(encoding="utf-8"))

    def missing_shards(self) -> list[int]:
        """Returns the numbers of the incomplete shards."""
        return [shard for shard in range(self.record.num_shards) if self.manifest(shard) is None]

    def locked_shard(self, shard: int, wait: bool = True) -> contextlib.AbstractContextManager[bool]:
        """Holds the lock of a shard, required to build it; see `files.locked`."""
        return locked(self._hidden_file(shard, "lock"), wait)

    def locked_folder(self) -> contextlib.AbstractContextManager[bool]:
        """Waits for and holds the lock of the files that are written once per build: the plan, the card."""
        return locked(_lock_file(self.path))

    @contextlib.contextmanager
    def open_shard(self, shard: int, schemas: dict[str, pa.Schema]) -> Iterator[dict[str, ParquetFile]]:
        """Opens the files of a shard for writing, by config; writes its manifest when the block ends without an error.

        The caller holds the shard's lock. After an error the shard is incomplete.
        """
        self._hidden_file(shard, "json").unlink(missing_ok=True)  # it describes the previous files
        with contextlib.ExitStack() as stack:
            files = {
                config: stack.enter_context(parquet_file(self.file(config, shard), schema))
                for config, schema in schemas.items()
            }
            yield files
        described = {
            config: {"file": self.file(config, shard).relative_to(self.path).as_posix(), **file.facts}
            for config, file in files.items()
        }
        rows = self.rows(shard)
        manifest = {"first_row": rows.start, "rows": len(rows), "files": described}
        write_json(self._hidden_file(shard, "json"), manifest)

    def write_shard(self, shard: int, tables: dict[str, pa.Table]) -> None:
        """Writes the tables of a whole shard, by config, and then marks it complete."""
        with (
            self.locked_shard(shard),
            self.open_shard(shard, {config: table.schema for config, table in tables.items()}) as files,
        ):
            for config, table in tables.items():
                files[config].write(table)

    def _name(self, shard: int) -> str:
        return f"{shard:05d}-of-{self.record.num_shards:05d}"

    def _hidden_file(self, shard: int, suffix: str) -> Path:
        return self.path / ".build" / f"{self._name(shard)}.{suffix}"


def open_build(path: Path, record: RecordT) -> BuildFolder[RecordT]:
    """Starts a build, or opens the folder of an earlier one to continue it.

    Raises:
        BuildError: if the folder holds another build or other files.
    """
    file = _record_file(path)
    foreign = path.exists() and (not path.is_dir() or any(entry.name != ".build" for entry in path.iterdir()))
    if foreign and not file.exists():  # checked last: a build that starts now writes its record first
        raise BuildError(f"{path} exists and holds no build; give --out a new or empty folder")
    if not file.exists():
        with locked(_lock_file(path)):
            if not file.exists():
                write_json(file, asdict(record))
    _check_same(path, record)
    return BuildFolder(path, record)


def read_record(path: Path) -> dict[str, Any] | None:
    """Returns the record of the build in a folder, by field; None if there is no build.

    Raises:
        BuildError: if the record is damaged.
    """
    file = _record_file(path)
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(record, dict):
            raise ValueError(f"it holds {record!r}")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise BuildError(f"{file} cannot be read ({error!r}); give --out a new folder") from None
    return record


def _record_file(path: Path) -> Path:
    return path / ".build" / "build.json"


def _lock_file(path: Path) -> Path:
    return path / ".build" / "build.lock"


def _check_same(path: Path, record: BuildRecord) -> None:
    earlier = read_record(path) or {}
    absent = [field for field in asdict(record) if field not in earlier]
    if absent:
        raise BuildError(
            f"{_record_file(path)} has no {', '.join(absent)}: an earlier version wrote it; give --out a new folder"
        )
    differences = [
        f"{field} was {earlier[field]}, now it is {value}"
        for field, value in asdict(record).items()
        if earlier[field] != value
    ]
    if differences:
        raise BuildError(
            f"{path} was begun with other arguments: {'; '.join(differences)}. Repeat the earlier arguments to "
            "continue that build, or give --out a new folder"
        )
