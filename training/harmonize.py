"""Converts public fundus sets, as downloaded, into one folder that `datasets` loads and training reads.

    python -m training.harmonize --set odir=path/to/ODIR-5K --set idrid=path/to/IDRiD --out harmonized

The result has one Parquet file per split, with the columns `image`, the fifteen labels, `eye_side` (-1 unknown),
`patient`, `source`, `split` and `native_px`, the side of the field of view in pixels. The photographs stay where they
are and `image` holds their paths; with `--copy`, the Parquet files contain the photographs themselves.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pipeline_synfundus.photograph import PhotographError, measure_field
from synfundus.photographs import list_problems, read_many
from training.sources import SOURCES
from training.sources.folder import SourceFolder
from training.sources.output import Harmonized, check_out, write_dataset
from training.sources.part import Missing
from training.sources.record import Photograph, SourceError, fill_unknown
from training.sources.report import format_table


def read_sources(folders: Mapping[str, Path], skip_unusable: bool = False) -> Harmonized:
    """Reads the labels of the sets and checks that each photograph can be decoded.

    Args:
        folders: names of sets, as in `SOURCES`, and their folders as downloaded.
        skip_unusable: whether to leave out listed photographs that are missing or cannot be decoded.

    Raises:
        SourceError: for an unknown set, a missing or malformed table, and, unless `skip_unusable`, for photographs
            that are missing or cannot be decoded; the message lists all of them.
    """
    opened = _open_folders(folders)
    by_path: dict[Path, Photograph] = {}
    unusable: list[str] = []
    for name, folder in opened.items():
        source = SOURCES[name]
        print(f"{name}: reading the labels of {source.title}")
        count = 0
        for item in source.read(folder, opened[source.photographs_of or name]):
            if isinstance(item, Missing):
                unusable.append(item.message)
                continue
            count += 1
            known = by_path.get(item.path)
            by_path[item.path] = replace(known, labels=fill_unknown(known.labels, item.labels)) if known else item
        if not count:
            raise folder.missing("labelled photograph")
    usable, broken = _check_photographs(list(by_path.values()))
    unusable += broken
    if unusable and not skip_unusable:
        raise SourceError(
            f"{len(unusable)} of {len(usable) + len(unusable)} photographs cannot be used:\n{list_problems(unusable)}\n"
            "complete or replace them, or leave them out with --skip-unusable"
        )
    return Harmonized([SOURCES[name].title for name in opened], usable, unusable)


def _open_folders(folders: Mapping[str, Path]) -> dict[str, SourceFolder]:
    """The folders of the sets in the order of `SOURCES`, checked before anything is read."""
    for name in folders:
        if name not in SOURCES:
            raise SourceError(f"unknown set {name!r}; allowed are {', '.join(SOURCES)}")
        needed = SOURCES[name].photographs_of
        if needed and needed not in folders:
            raise SourceError(f"{name} labels the photographs of {needed}; give --set {needed}=... as well")
    return {name: SourceFolder(name, Path(folders[name]), SOURCES[name].layout) for name in SOURCES if name in folders}


def _check_photographs(photographs: Sequence[Photograph]) -> tuple[list[Photograph], list[str]]:
    """Decodes every photograph; returns those that can be decoded, with their size, and why the others cannot."""
    usable, broken = [], []
    results = read_many(lambda item: measure_field(item.path), photographs, "checking photographs")
    for photograph, result in zip(photographs, results, strict=True):
        if isinstance(result, PhotographError):
            broken.append(f"{photograph.source}: {result}")
        else:
            usable.append(replace(photograph, native_px=result))
    return usable, broken


def parse_sets(assignments: Sequence[str]) -> dict[str, Path]:
    """Parses arguments like `odir=path/to/ODIR-5K` to names of sets and their folders.

    Raises:
        SourceError: for an argument of another form, or a set given twice.
    """
    folders: dict[str, Path] = {}
    for assignment in assignments:
        name, equals, path = assignment.partition("=")
        if not (name and equals and path):
            raise SourceError(f"--set is {assignment!r}, but must be like odir=path/to/ODIR-5K")
        if name in folders:
            raise SourceError(f"--set {name} is given twice: {folders[name]} and {path}")
        folders[name] = Path(path)
    return folders


def main() -> None:
    """The command line."""
    sets = "\n\n".join(f"{name}: {source.title}\n    {source.layout}" for name, source in SOURCES.items())
    parser = argparse.ArgumentParser(
        description="Converts public fundus sets into one folder that datasets loads.",
        epilog=f"the sets and the files they need:\n\n{sets}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--set", action="append", required=True, metavar="NAME=FOLDER", help="may be repeated")
    parser.add_argument("--out", type=Path, required=True, help="the folder to create")
    parser.add_argument(
        "--skip-unusable",
        action="store_true",
        help="leave out listed photographs that are missing or cannot be decoded; the report lists them",
    )
    parser.add_argument("--copy", action="store_true", help="store the photographs in the Parquet files")
    options = parser.parse_args()
    try:
        check_out(options.out)
        harmonized = read_sources(parse_sets(options.set), options.skip_unusable)
        report = write_dataset(harmonized, options.out, options.copy)
    except SourceError as error:
        raise SystemExit(f"error: {error}") from None
    print(f"{format_table(report)}\nthe result is in {options.out}")


if __name__ == "__main__":
    main()
