"""Turns public fundus sets, as they were downloaded, into one folder that `datasets` loads and training reads.

    python -m training.harmonize --set odir=path/to/ODIR-5K --set idrid=path/to/IDRiD --out harmonized

The result holds one Parquet file a split, with the columns `image`, the fifteen labels and `eye_side` (-1 unknown),
`patient`, `source` and `split`. The photographs stay where they are, and `image` names their files, unless `--copy`
asks for them in the Parquet files.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image
from tqdm.auto import tqdm

from training.sources import SOURCES
from training.sources.folder import SourceFolder
from training.sources.output import Harmonized, check_out, write_dataset
from training.sources.part import Missing
from training.sources.record import Photograph, SourceError, fill_unknown
from training.sources.report import format_table


def read_sources(folders: Mapping[str, Path], skip_unusable: bool = False) -> Harmonized:
    """Reads the labels of the sets and opens each photograph's header.

    Args:
        folders: set names, as in `SOURCES`, to the folders as downloaded.
        skip_unusable: whether listed photographs that are missing or no pictures are left out; otherwise they are an
            error.

    Raises:
        SourceError: for an unknown set, and for a file that is missing or malformed.
    """
    opened = _open_folders(folders)
    by_path: dict[Path, Photograph] = {}
    left_out: list[str] = []
    for name, folder in opened.items():
        source = SOURCES[name]
        print(f"{name}: reading the labels of {source.title}")
        missing, count = [], 0
        for item in source.read(folder, opened[source.photographs_of or name]):
            if isinstance(item, Missing):
                missing.append(item.message)
                continue
            count += 1
            known = by_path.get(item.path)
            by_path[item.path] = replace(known, labels=fill_unknown(known.labels, item.labels)) if known else item
        if missing and not skip_unusable:
            more = f", and {len(missing) - 1} more like it" if len(missing) > 1 else ""
            raise SourceError(f"{missing[0]}{more}; complete the set, or leave them out with --skip-unusable")
        if not count:
            raise folder.missing("labelled photograph")
        left_out += missing
    usable, broken = _check_pictures(list(by_path.values()), skip_unusable)
    return Harmonized([SOURCES[name].title for name in opened], usable, left_out + broken)


def _open_folders(folders: Mapping[str, Path]) -> dict[str, SourceFolder]:
    """The sets' folders in the order of `SOURCES`, checked before anything is read."""
    for name in folders:
        if name not in SOURCES:
            raise SourceError(f"unknown set {name!r}; allowed are {', '.join(SOURCES)}")
        needed = SOURCES[name].photographs_of
        if needed and needed not in folders:
            raise SourceError(f"{name} labels the photographs of {needed}; give --set {needed}=... as well")
    return {name: SourceFolder(name, Path(folders[name]), SOURCES[name].layout) for name in SOURCES if name in folders}


def _check_pictures(photographs: Sequence[Photograph], skip_unusable: bool) -> tuple[list[Photograph], list[str]]:
    usable, broken = [], []
    for photograph in tqdm(photographs, desc="opening photographs", unit="image"):
        try:
            with Image.open(photograph.path):  # reads the header only
                usable.append(photograph)
        except (OSError, Image.DecompressionBombError) as error:
            problem = f"{photograph.source}: {photograph.path} is no picture: {error}"
            if not skip_unusable:
                raise SourceError(f"{problem}; replace it, or leave it out with --skip-unusable") from error
            broken.append(problem)
    return usable, broken


def parse_sets(assignments: Sequence[str]) -> dict[str, Path]:
    """Returns set names to folders from texts like `odir=path/to/ODIR-5K`.

    Raises:
        SourceError: for another form, or a set given twice.
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
        description="Turns public fundus sets into one folder that datasets loads.",
        epilog=f"the sets and the files they need:\n\n{sets}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--set", action="append", required=True, metavar="NAME=FOLDER", help="may be repeated")
    parser.add_argument("--out", type=Path, required=True, help="the folder to make")
    parser.add_argument(
        "--skip-unusable", action="store_true", help="leave out listed photographs that are missing or no pictures"
    )
    parser.add_argument("--copy", action="store_true", help="put the photographs themselves into the result")
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
