"""The folder of a set, as downloaded: finds its tables and photographs, and reads the tables."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zipfile import BadZipFile

import pandas as pd

from training.sources.record import SourceError, Statement

# No bitmaps: sets store segmentation masks as bitmaps, beside the photographs and under the same names.
PHOTOGRAPH_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".avif", ".webp", ".dcm"})


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        where: the set, the file and the row, for error messages.
        cells: column to text, without surrounding spaces; an empty string where the table has no value.
    """

    where: str
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells[column]

    def look_up(self, column: str, meanings: Mapping[str, Statement], separators: str = "") -> list[Statement]:
        """Returns the statements that the values of a cell mean.

        Args:
            column: the column.
            meanings: value to statement.
            separators: the characters that separate several values; without any, the whole cell is one value.

        Raises:
            SourceError: if `meanings` lacks a value of the cell; an empty cell counts as an empty value.
        """
        values = [self[column]]
        if separators:
            values = [value.strip() for value in re.split(f"[{separators}]", self[column]) if value.strip()] or [""]
        for value in values:
            if value not in meanings:
                allowed = ", ".join(repr(allowed) for allowed in meanings)
                raise SourceError(f"{self.where}, column {column!r}: found {value!r}; allowed are {allowed}")
        return [meanings[value] for value in values]


@dataclass(frozen=True)
class SourceFolder:
    """The folder of one set.

    Attributes:
        name: the set's name.
        root: the folder as downloaded and unpacked, or any folder that contains it.
        layout: description of the files that the set needs, for error messages.
    """

    name: str
    root: Path
    layout: str

    def __post_init__(self) -> None:
        if not self.root.is_dir():
            raise SourceError(f"{self.name}: {self.root} is not a folder; give the one with {self.layout}")

    @cached_property
    def _files(self) -> list[tuple[str, Path]]:
        """All files: the lower-case path from the root's parent, and the absolute path.

        The names of the folders above the root do not count. Hidden files, the resource forks of macOS archives, and
        symbolic links to a folder that contains them are skipped.
        """
        root = self.root.absolute()
        files = []
        containing = {str(root): {os.path.realpath(root)}}  # of each folder to visit, the real paths that lead to it
        for folder, folders, names in os.walk(root, followlinks=True):
            above = containing.pop(folder)
            inside = {name: os.path.realpath(os.path.join(folder, name)) for name in sorted(folders)}
            folders[:] = [
                name for name, real in inside.items() if real not in above and not name.startswith((".", "__MACOSX"))
            ]
            containing |= {os.path.join(folder, name): above | {inside[name]} for name in folders}
            below = Path("/", root.name, Path(folder).relative_to(root)).as_posix().lower()
            visible = (name for name in sorted(names) if not name.startswith("."))
            files += [(f"{below}/{name.lower()}", Path(folder, name)) for name in visible]
        return files

    def find(self, patterns: Sequence[str]) -> list[Path]:
        """Returns the files that match the first pattern with a match.

        Args:
            patterns: the last parts of a path, in lower case, with the wildcards of `fnmatch`; file names are compared
                without regard to case.
        """
        for pattern in patterns:
            found = [path for text, path in self._files if fnmatch.fnmatchcase(text, f"*/{pattern}")]
            if found:
                return found
        return []

    def find_table(self, patterns: Sequence[str]) -> Path | None:
        """Returns the table that matches, or None.

        Raises:
            SourceError: if several match.
        """
        found = self.find(patterns)
        if len(found) > 1:
            raise SourceError(f"{self.name}: {found[0]} and {found[1]} both exist; keep one of them")
        return found[0] if found else None

    def find_photographs(self, patterns: Sequence[str]) -> dict[str, Path]:
        """Returns the photographs that match, by name without suffix in lower case: tables often differ in both.

        Raises:
            SourceError: if two have the same name.
        """
        photographs: dict[str, Path] = {}
        for path in self.find(patterns):
            if path.suffix.lower() not in PHOTOGRAPH_SUFFIXES:
                continue
            other = photographs.setdefault(path.stem.lower(), path)
            if other != path:
                raise SourceError(f"{self.name}: {other} and {path} have the same name; keep one of them")
        return photographs

    def missing(self, what: str) -> SourceError:
        """Returns the error for a file that is missing."""
        return SourceError(f"{self.name}: no {what} under {self.root}; expected are {self.layout}")


def read_table(name: str, path: Path, columns: Sequence[str]) -> list[Row]:
    """Reads a CSV (commas or semicolons) or Excel table as text.

    Args:
        name: the set's name.
        path: the table.
        columns: the required columns.

    Raises:
        SourceError: if it cannot be read, has no rows, or lacks a column.
    """
    try:
        table = _read_text_cells(path)
    except (OSError, ValueError, KeyError, ImportError, BadZipFile) as error:  # a broken workbook is a broken archive
        raise SourceError(f"{name}: {path} cannot be read as a table: {error}") from error
    table.columns = [str(column).strip() for column in table.columns]
    for column in columns:
        if column not in table.columns:
            found = ", ".join(map(repr, table.columns))
            raise SourceError(f"{name}: {path} has no column {column!r}; found are {found}")
    if table.empty:
        raise SourceError(f"{name}: {path} has no rows")
    rows = enumerate(table[list(columns)].to_dict("records"), start=2)  # numbered as in a spreadsheet, below the header
    cleaned = (
        Row(f"{name}: {path}, row {i}", {str(key): _clean(value) for key, value in row.items()}) for i, row in rows
    )
    return [row for row in cleaned if any(row.cells.values())]


def _read_text_cells(path: Path) -> pd.DataFrame:
    if path.suffix.lower() == ".xlsx":
        return pd.read_excel(path, dtype=str, na_filter=False)
    with path.open(encoding="utf-8-sig") as file:
        header = file.readline()
    separator = ";" if ";" in header and "," not in header else ","
    # index_col=False: a comma at the end of every row except the header must not shift the columns.
    return pd.read_csv(path, dtype=str, na_filter=False, sep=separator, index_col=False, encoding="utf-8-sig")


def _clean(value: object) -> str:
    """Text with single spaces, and whole numbers without the decimals that spreadsheets add."""
    return re.sub(r"^(-?\d+)\.0+$", r"\1", " ".join(str(value).split()))
