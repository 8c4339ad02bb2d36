"""The folder that a dataset is built in.

```
README.md                       the card, written last
samples.png                     the contact sheet in it
distribution.png                the distribution of labels in it
pictures/is_gc.png              the rows of a finding in it
plan.yaml                       the plan
data/train-00000.parquet        rows with images; also validation-*, test-*
labels/train-00000.parquet      the same rows without images
index/train-00000.parquet       the same rows, with the byte ranges of their images in data/
sample-1k/train-00000.parquet   the first 1,000 rows of the dataset with images
.build/build.json               the record: plan, generator, number of rows, settings
.build/train-00000.json         one manifest per shard, written last: the shard is complete
.build/train-00000.lock         exists while a process builds the shard
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
from ..schema import FOLDERS, config_folder
from .image_index import index_table
from .record import BuildRecord, Shard
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

    def file(self, config: str, shard: Shard) -> Path:
        """The Parquet file of a shard in a config."""
        return self.path / config_folder(config) / f"{shard.name}.parquet"

    def manifest(self, shard: Shard) -> dict[str, dict[str, Any]] | None:
        """Returns the sizes and checksums of a complete shard's files, by config; None for an incomplete shard.

        A shard is incomplete if it lacks rows, or a file is missing or has another size. Checksums are not computed
        here, because that would take as long as reading the dataset; `dataset_script.verify` does it.
        """
        try:
            manifest = self.read_manifest(shard)
            files = manifest["files"]
            whole = manifest["rows"] == shard.rows and self._has_files(shard, files)
        except (FileNotFoundError, ValueError, KeyError):
            return None
        return files if whole else None

    def finished_rows(self, shard: Shard) -> int:
        """Returns the number of rows of an intact, shorter earlier version of a shard; 0 if there is none.

        A dataset that grows has such a shard at the end of each split.
        """
        try:
            manifest = self.read_manifest(shard)
            return manifest["rows"] if self._has_files(shard, manifest["files"]) else 0
        except (FileNotFoundError, ValueError, KeyError):
            return 0

    def _has_files(self, shard: Shard, described: dict[str, dict[str, Any]]) -> bool:
        return all(self.file(config, shard).stat().st_size == described[config]["bytes"] for config in FOLDERS)

    def read_manifest(self, shard: Shard) -> dict[str, Any]:
        """Returns the manifest that was written when the shard was completed, without checking its files.

        Raises:
            FileNotFoundError: if the shard was never completed.
            ValueError: if its manifest is damaged.
        """
        return json.loads(self._hidden_file(shard, "json").read_text(encoding="utf-8"))

    def missing_shards(self) -> list[Shard]:
        """Returns the incomplete shards."""
        return [shard for shard in self.record.shards if self.manifest(shard) is None]

    def locked_shard(self, shard: Shard, wait: bool = True) -> contextlib.AbstractContextManager[bool]:
        """Holds the lock of a shard, required to build it; see `files.locked`."""
        return locked(self._hidden_file(shard, "lock"), wait)

    def locked_folder(self) -> contextlib.AbstractContextManager[bool]:
        """Waits for and holds the lock of the files that are written once per build: the plan, the card."""
        return locked(_lock_file(self.path))

    @contextlib.contextmanager
    def open_shard(self, shard: Shard, schemas: dict[str, pa.Schema]) -> Iterator[dict[str, ParquetFile]]:
        """Opens the files of a shard for writing: the configs `default` and `labels`.

        When the block ends without an error, it writes the shard's index and then its manifest. The caller holds the
        shard's lock. After an error the shard is incomplete.
        """
        with contextlib.ExitStack() as stack:
            files = {
                config: stack.enter_context(parquet_file(self.file(config, shard), schema))
                for config, schema in schemas.items()
            }
            yield files
            self._hidden_file(shard, "json").unlink(missing_ok=True)  # it describes the previous files
        images = self.file("default", shard).relative_to(self.path).as_posix()
        index = index_table(self.file("labels", shard), images, files["default"].image_ranges)
        with parquet_file(self.file("index", shard), index.schema) as file:
            file.write(index)
        files = {**files, "index": file}
        described = {
            config: {"file": self.file(config, shard).relative_to(self.path).as_posix(), **file.facts}
            for config, file in files.items()
        }
        manifest = {"split": shard.split, "first_row": shard.first, "rows": shard.rows, "files": described}
        write_json(self._hidden_file(shard, "json"), manifest)

    def _hidden_file(self, shard: Shard, suffix: str) -> Path:
        return self.path / ".build" / f"{shard.name}.{suffix}"


def open_build(path: Path, record: RecordT, grow: bool = False) -> BuildFolder[RecordT]:
    """Starts a build, or opens the folder of an earlier one to continue it.

    Args:
        path: the folder.
        record: the record of the build.
        grow: whether to continue an earlier build that has fewer rows.

    Raises:
        BuildError: if the folder holds another build or other files.
    """
    file = _record_file(path)
    foreign = path.exists() and (not path.is_dir() or any(entry.name != ".build" for entry in path.iterdir()))
    if foreign and not file.exists():  # checked last: a build that starts now writes its record first
        raise BuildError(f"{path} exists and holds no build; give --out a new or empty folder")
    folder = BuildFolder(path, record)
    if grow or not file.exists():
        with locked(_lock_file(path)):
            if not file.exists():
                write_json(file, asdict(record))
            elif grow:
                _grow(folder)
    _check_same(path, record)
    return folder


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


def _grow(folder: BuildFolder[Any]) -> None:
    """Replaces the record of an earlier build by that of a larger one with otherwise equal arguments."""
    record = folder.record
    earlier = read_record(folder.path) or {}
    smaller = {**asdict(record), "num_rows": earlier.get("num_rows"), "splits": earlier.get("splits")}
    if earlier != smaller or earlier["num_rows"] >= record.num_rows:
        return  # `_check_same` reports the difference
    if any(rows > record.splits.get(split, 0) for split, rows in earlier["splits"].items()):
        raise BuildError(
            f"{folder.path} has the splits {earlier['splits']}, which are not the beginning of {record.splits}: its "
            "plan had other splits. Give --out a new folder"
        )
    folder.card.unlink(missing_ok=True)  # a card means that the dataset is complete
    write_json(_record_file(folder.path), asdict(record))


def _check_same(path: Path, record: BuildRecord) -> None:
    earlier = read_record(path) or {}
    absent = [field for field in asdict(record) if field not in earlier]
    if absent:
        raise BuildError(
            f"{_record_file(path)} has no {', '.join(absent)}: another version wrote it; give --out a new folder"
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
