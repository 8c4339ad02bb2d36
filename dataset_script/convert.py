"""Converts the published SynFundus-1M release to Parquet: `python -m dataset_script.convert RELEASE --out FOLDER`.

The result has the layout of `build.folder`, which `load_dataset` reads. Image files are copied without decoding, zip
files are not unpacked. The conversion can be killed at any moment and loses at most one shard; run the same command
again to continue.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from synfundus.files import write_text
from synfundus.interrupts import interrupts_kept

from .build.folder import BuildFolder, open_build
from .build.record import ConversionRecord, Shard
from .card.published_release import write_release_card
from .card.tables import count_labels, unknown_text
from .errors import BuildError
from .published_release.annotation import EXAMPLES, Problem, PublishedReleaseError, report
from .published_release.source import SHARD_ROWS, PublishedRelease, scan_release
from .schema import config_features


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0 done, 2 invalid input, 130 interrupted."""
    options = _parse(arguments)
    try:
        with interrupts_kept():
            _run(options)
    except PublishedReleaseError as error:
        print(f"convert: error: {error}", file=sys.stderr)
        _write_report(options.out, error.folder, error.problems)
        return 2
    except (BuildError, OSError) as error:
        print(f"convert: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nInterrupted. Run the same command again to continue {options.out}.", file=sys.stderr)
        return 130
    return 0


def _run(options: argparse.Namespace) -> None:
    if options.shard_rows < 1:
        raise BuildError(f"--shard-rows is {options.shard_rows}; allowed are 1 or more")
    release = _find_rows(options)
    record = ConversionRecord(
        rows_sha256=_checksum(release),
        num_rows=len(release),
        shard_rows=options.shard_rows,
        splits={"train": len(release)},
        extra_columns=[name for name in release.extra if name != "image"] if options.keep_columns else [],
    )
    folder = open_build(options.out, record)
    missing = folder.missing_shards()
    if not missing and folder.card.exists():
        print(f"{folder.path} is complete: {record.num_rows} rows in {record.num_shards} shards. Nothing to do.")
        return
    _check_space(folder, missing, release)
    _convert_shards(folder, missing, release)
    counted = count_labels(folder)
    with folder.locked_folder():
        write_release_card(folder, counted)
    print(f"{folder.path} is complete: {record.num_rows} rows in {record.num_shards} shards. {unknown_text(counted)}")


def _find_rows(options: argparse.Namespace) -> PublishedRelease:
    release, problems = scan_release(str(options.release))
    if problems and (not options.skip_problems or not len(release)):
        raise PublishedReleaseError(str(options.release), problems)
    if problems:
        print(f"Rows with problems are left out. {report(str(options.release), problems, EXAMPLES)}", file=sys.stderr)
        _write_report(options.out, str(options.release), problems)
    if release.missing:
        print(f"Missing columns, unknown (-1) in all {len(release):,} rows: {', '.join(release.missing)}.")
    if release.extra and not options.keep_columns:
        print(f"Other columns: {', '.join(release.extra)}. Add --keep-columns to keep them as text.")
    return release


def _convert_shards(folder: BuildFolder[ConversionRecord], missing: list[Shard], release: PublishedRelease) -> None:
    """Writes the missing shards, except those with an unusable image.

    Raises:
        PublishedReleaseError: at the end, with all unusable images.
    """
    problems: list[Problem] = []
    done = len(release) - sum(shard.rows for shard in missing)
    with tqdm(total=len(release), initial=done, unit=" images", desc="Converting") as progress:
        for shard in missing:
            try:
                _convert_shard(folder, shard, release, progress)
            except PublishedReleaseError as error:
                problems += error.problems
    if problems:
        raise PublishedReleaseError(release.folder, problems)


def _convert_shard(
    folder: BuildFolder[ConversionRecord], shard: Shard, release: PublishedRelease, progress: tqdm
) -> None:
    extra = folder.record.extra_columns
    schemas = {config: config_features(config, extra).arrow_schema for config in ("default", "labels")}
    with folder.locked_shard(shard):
        if folder.manifest(shard) is not None:  # another process built it
            progress.update(shard.rows)
            return
        with folder.open_shard(shard, schemas) as files:
            for table in release[shard.first : shard.first + shard.rows].tables(schemas["default"]):
                files["default"].write(table)
                files["labels"].write(table.drop_columns(["image"]))
                progress.update(len(table))


def _check_space(folder: BuildFolder[ConversionRecord], missing: list[Shard], release: PublishedRelease) -> None:
    parts = [release.files[shard.first : shard.first + shard.rows] for shard in missing]
    needed = sum(file.size for part in parts for file in part)
    free = shutil.disk_usage(folder.path).free
    if needed > free:
        raise BuildError(f"{folder.path} needs {needed / 1e9:.1f} GB more, but its disk has {free / 1e9:.1f} GB free")


def _checksum(release: PublishedRelease) -> str:
    """Returns a checksum of the rows. It excludes the sizes and folders of images, so that a damaged image may be
    replaced, or a zip unpacked, before the conversion is continued."""
    digest = hashlib.sha256(release.idx.tobytes())
    digest.update(release.codes.tobytes())
    digest.update(json.dumps(release.extra).encode())
    for file in release.files:
        digest.update(f"{PurePosixPath(file.name).name}\n".encode())
    return digest.hexdigest()


def _write_report(out: Path, release: str, problems: Sequence[Problem]) -> None:
    path = out.with_name(f"{out.name}.problems.txt")
    write_text(path, report(release, problems) + "\n")
    print(f"All problems are listed in {path}.", file=sys.stderr)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m dataset_script.convert",
        description="Converts the published SynFundus-1M release, as downloaded, to a folder of Parquet files. Run "
        "the same command again to continue an interrupted conversion.",
    )
    add = parser.add_argument
    add(
        "release",
        type=Path,
        metavar="RELEASE",
        help="folder of the release, see the README for its layouts",
    )
    add("--out", type=Path, required=True, metavar="FOLDER", help="folder of the dataset")
    add("--shard-rows", type=int, default=SHARD_ROWS, metavar="N", help="rows per Parquet shard (%(default)s)")
    add("--keep-columns", action="store_true", help="keep other columns of the annotation as text")
    add("--skip-problems", action="store_true", help="leave out rows with a problem, such as a missing file")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
