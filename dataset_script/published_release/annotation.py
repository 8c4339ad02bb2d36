"""The annotation of a copy of the published release: the rows of a table, read with a list of all problems.

It has the columns `idx` or `file_name` and the labels. Without `idx`, or if `idx` holds the names of image files, rows
are numbered from 0. Labels are numbers or the names of their values; -1, an empty cell and a missing column mean
unknown. The rules between labels are not applied. Other columns are kept as text.
"""

from __future__ import annotations

import csv
import os
from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pipeline_synfundus.labels import (
    CONDITION_NAMES,
    LABEL_NAMES,
    UNKNOWN,
    ConditionError,
    get_label,
    parse_value,
)

from ..schema import LARGEST_IDX
from .image_content import SUFFIXES

ANNOTATION = "SynFundus-1M_annotation.csv"
EXAMPLES = 5  # of each kind of problem in an error message


class Problem(NamedTuple):
    """A problem of a release: its kind, in the plural, and its description with the place."""

    kind: str
    text: str


class PublishedReleaseError(ValueError):
    """A release cannot be used. The message counts the problems and lists a few.

    Attributes:
        folder: the release's folder.
        problems: all problems that were found.
    """

    def __init__(self, folder: str, problems: Iterable[Problem]) -> None:
        self.folder = folder
        self.problems = list(problems)
        super().__init__(report(folder, self.problems, EXAMPLES))

    def __reduce__(self) -> tuple[type[PublishedReleaseError], tuple[str, list[Problem]]]:
        return type(self), (self.folder, self.problems)  # to pass from a worker process to its parent


def report(folder: str, problems: Iterable[Problem], examples: int | None = None) -> str:
    """Returns the problems as text: their number, then a list by kind, limited to `examples` of each kind."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for problem in problems:
        kinds[problem.kind].append(problem.text)
    lines = [f"{folder}: " + ", ".join(f"{len(texts):,} {kind}" for kind, texts in kinds.items())]
    for kind, texts in kinds.items():
        shown = texts[:examples]
        lines += [f"{kind}:", *(f"  {text}" for text in shown)]
        if len(shown) < len(texts):
            lines.append(f"  and {len(texts) - len(shown):,} more")
    return "\n".join(lines)


@dataclass
class Annotation:
    """The rows of a table, in their order, as columns.

    Attributes:
        path: path of the file.
        lines: the line number of each row, counted from 1.
        idx: the number of each row; -1 for an invalid one.
        codes: the label values, row after row, each in the order of `CONDITION_NAMES`, -1 for unknown.
        names: the file names of the images, "" for an invalid one; an empty list if the table has none.
        missing: the condition labels without a column: they are unknown in all rows.
        extra: the columns that are neither labels nor `idx` nor `file_name`, as text, by name.
        bad: positions of the rows with a problem.
        problems: all problems.
    """

    path: str
    lines: array[int] = field(default_factory=lambda: array("q"))
    idx: array[int] = field(default_factory=lambda: array("q"))
    codes: array[int] = field(default_factory=lambda: array("b"))
    names: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    extra: dict[str, list[str]] = field(default_factory=dict)
    bad: set[int] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.lines)

    def add_problem(self, row: int, kind: str, what: str) -> None:
        """Adds a problem of a row."""
        self.bad.add(row)
        self.problems.append(Problem(kind, f"line {self.lines[row]}: {what}"))


def has_csv_file(folder: str) -> bool:
    """Returns whether there is a CSV file in a folder."""
    return os.path.isdir(folder) and any(name.lower().endswith(".csv") for name in os.listdir(folder))


def find_annotation(folder: str) -> str:
    """Returns the path of the annotation: the file with the published name, or else the only CSV file of the folder.

    Raises:
        PublishedReleaseError: if there is no such file.
    """
    try:
        tables = sorted(name for name in os.listdir(folder) if name.lower().endswith(".csv"))
    except OSError as error:
        raise PublishedReleaseError(folder, [Problem("unreadable folders", f"{folder}: {error.strerror}")]) from None
    if ANNOTATION in tables:
        return os.path.join(folder, ANNOTATION)
    if len(tables) == 1:
        return os.path.join(folder, tables[0])
    found = f"; there are {', '.join(tables)}" if tables else ""
    raise PublishedReleaseError(
        folder,
        [Problem("missing annotations", f"{ANNOTATION}, a single other CSV file, or Parquet files with images{found}")],
    )


def read_annotation(path: str) -> Annotation:
    """Returns the annotation in a CSV file; problems of its rows are in its `problems`.

    Raises:
        PublishedReleaseError: if it is not a CSV file, has no rows, or lacks columns.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            # A blank line has no cells.
            return parse_annotation(path, header, ((reader.line_num, cells) for cells in reader if cells))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PublishedReleaseError(path, [Problem("unreadable annotations", str(error))]) from None


def parse_annotation(
    path: str, header: Sequence[str], rows: Iterable[tuple[int, Sequence[str]]], images_in_rows: bool = False
) -> Annotation:
    """Returns the annotation in a table of text; problems of its rows are in its `problems`.

    Args:
        path: path of the table, for messages.
        header: the names of the columns.
        rows: the number of each line and its cells.
        images_in_rows: whether the rows hold their images, so that they need no names.

    Raises:
        PublishedReleaseError: if the table has no rows, or lacks columns.
    """
    annotation = Annotation(path)
    _check_header(path, header, images_in_rows)
    annotation.missing = [name for name in CONDITION_NAMES if name not in header]
    parse = _RowParser(header, annotation)
    for line, cells in rows:
        parse(line, cells)
    if not len(annotation) and not annotation.problems:
        raise PublishedReleaseError(path, [Problem("missing rows", "there is no row below the line of the columns")])
    _find_repeated_idx(annotation)
    return annotation


def _check_header(path: str, header: Sequence[str], images_in_rows: bool) -> None:
    problems = []
    if not any(name in header for name in LABEL_NAMES):
        problems += [Problem("missing columns", name) for name in LABEL_NAMES]
    if not images_in_rows and "idx" not in header and "file_name" not in header:
        problems.append(Problem("missing columns", "idx or file_name"))
    problems += [Problem("repeated columns", name) for name in dict.fromkeys(header) if header.count(name) > 1]
    if problems:
        raise PublishedReleaseError(path, problems)


class _Codes(dict[str, int]):
    """Cache from the text of a cell to the value of a label: a million cells hold few different texts."""

    def __init__(self, label: str) -> None:
        super().__init__()
        self.label = label

    def __missing__(self, text: str) -> int:
        self[text] = parse_value(self.label, _value(self.label, text))
        return self[text]


class _RowParser:
    """Adds rows to an annotation."""

    def __init__(self, header: Sequence[str], annotation: Annotation) -> None:
        self.annotation = annotation
        self.columns = {name: header.index(name) for name in header}
        self.width = len(header)
        self.codes = [(self.columns.get(name), _Codes(name)) for name in CONDITION_NAMES]
        self.extra = [name for name in header if name not in ("idx", "file_name", *CONDITION_NAMES)]
        annotation.extra.update({name: [] for name in self.extra})
        self.idx = self.columns.get("idx")
        self.name = self.columns.get("file_name")

    def __call__(self, line: int, cells: Sequence[str]) -> None:
        annotation, row = self.annotation, len(self.annotation)
        if len(cells) != self.width:
            text = f"line {line}: {len(cells)} cells; allowed are {self.width}, one per column"
            annotation.problems.append(Problem("bad lines", text))
            return
        if row == 0 and self.idx is not None and is_image_name(cells[self.idx]):
            self.name, self.idx = self.idx if self.name is None else self.name, None
        annotation.lines.append(line)
        annotation.idx.append(row if self.idx is None else self._parse_idx(row, cells[self.idx].strip()))
        annotation.codes.extend([self._parse_label(row, cells, position, codes) for position, codes in self.codes])
        for name in self.extra:
            annotation.extra[name].append(cells[self.columns[name]])
        if self.name is not None:
            annotation.names.append(self._parse_name(row, cells[self.name].strip()))

    def _parse_label(self, row: int, cells: Sequence[str], position: int | None, codes: _Codes) -> int:
        if position is None:  # the table has no such column
            return UNKNOWN
        try:
            return codes[cells[position]]
        except ConditionError as error:
            self.annotation.add_problem(row, "bad values", str(error))
            return UNKNOWN

    def _parse_idx(self, row: int, text: str) -> int:
        if text.isdecimal() and int(text) <= LARGEST_IDX:
            return int(text)
        self.annotation.add_problem(row, "bad values", f"idx is {text!r}; allowed are integers of 0 or more")
        return UNKNOWN

    def _parse_name(self, row: int, text: str) -> str:
        if is_image_name(text):
            return text
        allowed = "allowed are names of PNG and JPEG files"
        self.annotation.add_problem(row, "bad values", f"file_name is {text!r}; {allowed}")
        return ""


def is_image_name(text: str) -> bool:
    """Returns whether a text is the name of an image file."""
    return text.strip().lower().endswith(SUFFIXES)


def _value(label: str, text: str) -> Any:
    """Returns a cell as a value for `parse_value`: None if it is empty, a number, or else the text.

    Text may be the name of a value, such as "severe NPDR" or "present", or a truth value of a label with two values.
    """
    known = {name.lower(): value for value, name in enumerate(get_label(label).values)}
    if len(known) == 2:
        known |= {"false": 0, "true": 1}
    stripped = text.strip().lower()
    if stripped in known:
        return known[stripped]
    try:
        return float(stripped) if stripped not in ("", "unknown") else None
    except ValueError:
        return text


def _find_repeated_idx(annotation: Annotation) -> None:
    """Adds a problem for each row whose idx is not unique."""
    rows: dict[int, list[int]] = defaultdict(list)
    for row, idx in enumerate(annotation.idx):
        if idx != UNKNOWN:
            rows[idx].append(row)
    for idx, same in rows.items():
        for row in same if len(same) > 1 else ():
            lines = ", ".join(str(annotation.lines[other]) for other in same if other != row)
            annotation.add_problem(row, "duplicate idx", f"idx is {idx}, as on line {lines}")
