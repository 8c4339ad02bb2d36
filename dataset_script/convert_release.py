"""Converts the published SynFundus-1M release to Parquet: `python -m dataset_script.synfundus_1m RELEASE --out FOLDER`.

The folder has the layout of `build_folder`, which `load_dataset` reads. Images keep their bytes; zips stay packed.
Killed at any moment, it loses at most the shard in flight; the same command again goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from string import Template
from typing import cast

from tqdm import tqdm

from .build_folder import FOLDERS, BuildError, BuildFolder, Record, open_build
from .card import _label_table, _metadata
from synfundus.files import write_text
from .release_annotation import EXAMPLES, Problem, ReleaseError, report
from .release_source import Release, scan_release
from .synfundus_1m import SHARD_ROWS, features

TEMPLATE = Path(__file__).parent / "release_card.md"


@dataclass(frozen=True)
class ReleaseRecord:
    """What a conversion was asked for. Only the same again may go on in its folder.

    Attributes:
        rows_sha256: checksum of the rows: their numbers, labels, and the names of their images.
        num_rows: rows of the dataset.
        shard_rows: rows in a shard.
    """

    rows_sha256: str
    num_rows: int
    shard_rows: int

    @property
    def num_shards(self) -> int:
        """Number of shards; the last one may be shorter."""
        return -(-self.num_rows // self.shard_rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0 done, 2 refused, 130 interrupted."""
    options = _parse(arguments)
    try:
        _run(options)
    except ReleaseError as error:
        print(f"synfundus_1m: error: {error}", file=sys.stderr)
        _write_report(options.out, error.folder, error.problems)
        return 2
    except (BuildError, OSError) as error:
        print(f"synfundus_1m: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nInterrupted. The same command again goes on where {options.out} stands.", file=sys.stderr)
        return 130
    return 0


def _run(options: argparse.Namespace) -> None:
    if options.shard_rows < 1:
        raise BuildError(f"--shard-rows is {options.shard_rows}; allowed are 1 or more")
    release = _find_rows(options)
    record = ReleaseRecord(_checksum(release), len(release), options.shard_rows)
    # A build folder asks its record for no more than the numbers of rows and shards.
    folder = open_build(options.out, cast(Record, record))
    missing = folder.missing_shards()
    if not missing and folder.card.exists():
        print(f"{folder.path} is complete: {record.num_rows} rows in {record.num_shards} shards. Nothing to do.")
        return
    _check_space(folder, missing, release)
    _convert_shards(folder, missing, release)
    with folder.locked_folder():
        _write_card(folder)
    print(f"{folder.path} is complete: {record.num_rows} rows in {record.num_shards} shards.")


def _find_rows(options: argparse.Namespace) -> Release:
    release, problems = scan_release(str(options.release))
    if problems and (not options.skip_problems or not len(release)):
        raise ReleaseError(str(options.release), problems)
    if problems:
        print(f"Rows with problems are left out. {report(str(options.release), problems, EXAMPLES)}", file=sys.stderr)
        _write_report(options.out, str(options.release), problems)
    return release


def _convert_shards(folder: BuildFolder, missing: list[int], release: Release) -> None:
    """Writes the missing shards, but those with a bad image.

    Raises:
        ReleaseError: in the end, with all bad images.
    """
    problems: list[Problem] = []
    done = len(release) - sum(len(folder.rows(shard)) for shard in missing)
    with tqdm(total=len(release), initial=done, unit=" images", desc="Converting") as progress:
        for shard in missing:
            try:
                _convert_shard(folder, shard, release, progress)
            except ReleaseError as error:
                problems += error.problems
    if problems:
        raise ReleaseError(release.folder, problems)


def _convert_shard(folder: BuildFolder, shard: int, release: Release, progress: tqdm) -> None:
    rows = folder.rows(shard)
    schemas = {config: features(images=config == "default").arrow_schema for config in FOLDERS}
    with folder.locked_shard(shard):
        if folder.manifest(shard) is not None:  # another process was faster
            progress.update(len(rows))
            return
        with folder.open_shard(shard, schemas) as files:
            for table in release[rows.start : rows.stop].tables(schemas["default"]):
                files["default"].write(table)
                files["labels"].write(table.drop_columns(["image"]))
                progress.update(len(table))


def _check_space(folder: BuildFolder, missing: list[int], release: Release) -> None:
    rows = [folder.rows(shard) for shard in missing]
    needed = sum(file.size for part in rows for file in release.files[part.start : part.stop])
    free = shutil.disk_usage(folder.path).free
    if needed > free:
        raise BuildError(f"{folder.path} needs {needed / 1e9:.1f} GB more, but its disk has {free / 1e9:.1f} GB free")


def _checksum(release: Release) -> str:
    """Checksum of what the rows are. Sizes and places of images are left out: a damaged one may be replaced, and a zip
    unpacked, while the conversion stands."""
    digest = hashlib.sha256(release.idx.tobytes())
    digest.update(release.codes.tobytes())
    for file in release.files:
        digest.update(f"{PurePosixPath(file.name).name}\n".encode())
    return digest.hexdigest()


def _write_card(folder: BuildFolder) -> None:
    body = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        name=folder.path.resolve().name,
        num_rows=f"{folder.record.num_rows:,}",
        label_table=_label_table(folder),
    )
    write_text(folder.card, f"---\n{_metadata(folder)}\n---\n\n{body}")


def _write_report(out: Path, release: str, problems: Sequence[Problem]) -> None:
    path = out.with_name(f"{out.name}.problems.txt")
    write_text(path, report(release, problems) + "\n")
    print(f"All problems are listed in {path}.", file=sys.stderr)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m dataset_script.synfundus_1m",
        description="Converts the published SynFundus-1M release, as downloaded, to a folder of Parquet files. The "
        "same command again goes on with an interrupted conversion.",
    )
    add = parser.add_argument
    add("release", type=Path, metavar="RELEASE", help="folder with the CSV file, and folders or zips of PNG files")
    add("--out", type=Path, required=True, metavar="FOLDER", help="folder of the dataset")
    add("--shard-rows", type=int, default=SHARD_ROWS, metavar="N", help="rows in a Parquet shard (%(default)s)")
    add("--skip-problems", action="store_true", help="leave out rows with a problem, such as a missing file")
    return parser.parse_args(arguments)
