"""Declares how a part of a set is read: a table with a row per photograph, or a folder of photographs of one class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pipeline_synfundus.labels import UNKNOWN
from training.sources.folder import PHOTOGRAPH_SUFFIXES, Row, SourceFolder, read_table
from training.sources.record import Photograph, SourceError, Statement, conclude

RIGHT, LEFT = 0, 1


@dataclass(frozen=True)
class Missing:
    """A photograph that a table lists but the folder lacks.

    Attributes:
        message: the set, the table, the row and the name of the photograph.
    """

    message: str


@dataclass(frozen=True)
class Part:
    """A part of a set. It is skipped if both its table and its photographs are absent, because it was not downloaded.

    Attributes:
        name: distinguishes photographs that have the same name in several parts.
        photographs: patterns of their paths, see `SourceFolder.find`; the first that matches is used.
        table: patterns of the path of the table; without a table, all photographs found belong to one class.
        photograph_column: the column with the names of the photographs, with or without suffix or folder.
        columns: column to the meaning of each value.
        separators: the characters that separate several values in one cell; without any, a cell is one value.
        always: the statement that holds for every photograph of this part.
        table_optional: whether photographs without the table are skipped instead of an error.
        patient_column: the column with the patient.
        patient: maps the lower-case name of a photograph to its patient. Without this and the column, each photograph
            is its own patient.
        eye_side: maps the lower-case name of a photograph to the eye.
    """

    name: str
    photographs: Sequence[str]
    table: Sequence[str] = ()
    photograph_column: str = ""
    columns: Mapping[str, Mapping[str, Statement]] = field(default_factory=dict)
    separators: str = ""
    always: Statement = field(default_factory=dict)
    table_optional: bool = False
    patient_column: str = ""
    patient: Callable[[str], str] | None = None
    eye_side: Callable[[str], int] = lambda name: UNKNOWN

    def read(self, tables: SourceFolder, pictures: SourceFolder) -> Iterator[Photograph | Missing]:
        """Yields the photographs of the part, and those that its table lists but the folder lacks.

        Args:
            tables: the folder with the table.
            pictures: the folder with the photographs; the same one for most sets.

        Raises:
            SourceError: for a missing table, a table that cannot be read, or a value that has no meaning.
        """
        found = pictures.find_photographs(self.photographs)
        if not self.table:
            for name, path in found.items():
                yield self._photograph(pictures.name, path, self._patient(name), [self.always])
            return
        table = tables.find_table(self.table)
        if table is not None:
            yield from self._read_table(tables.name, table, pictures.name, found)
        elif found and not self.table_optional:
            raise tables.missing(self.table[0])

    def _read_table(
        self, name: str, table: Path, source: str, found: Mapping[str, Path]
    ) -> Iterator[Photograph | Missing]:
        patient_columns = [self.patient_column] if self.patient_column else []
        listed: set[str] = set()
        for row in read_table(name, table, [self.photograph_column, *self.columns, *patient_columns]):
            photograph = photograph_name(row[self.photograph_column])
            if not photograph or photograph in listed:
                problem = "is listed twice" if photograph else "is empty"
                raise SourceError(f"{row.where}, column {self.photograph_column!r}: the name {photograph!r} {problem}")
            listed.add(photograph)
            statements = [self.always]
            for column, meanings in self.columns.items():
                statements += row.look_up(column, meanings, self.separators)
            if photograph in found:
                yield self._photograph(source, found[photograph], self._patient(photograph, row), statements)
            else:
                yield Missing(f"{row.where}: there is no photograph {row[self.photograph_column]!r}")

    def _patient(self, name: str, row: Row | None = None) -> str:
        if row is not None and self.patient_column:
            if not row[self.patient_column]:
                raise SourceError(f"{row.where}, column {self.patient_column!r}: is empty; a patient is needed")
            return row[self.patient_column]
        return self.patient(name) if self.patient else f"{self.name}/{name}"

    def _photograph(self, source: str, path: Path, patient: str, statements: Sequence[Statement]) -> Photograph:
        return Photograph(source, path, patient, conclude(statements), self.eye_side(path.stem.lower()))


@dataclass(frozen=True)
class Source:
    """A public set.

    Attributes:
        title: its full name and its reference.
        layout: description of the files it needs, for error messages and help.
        parts: how it is read.
        photographs_of: the set whose photographs this one labels, if it has none of its own.
        adapt: modifies a part according to other files of the folder.
    """

    title: str
    layout: str
    parts: Sequence[Part]
    photographs_of: str = ""
    adapt: Callable[[SourceFolder, Part], Part] = lambda folder, part: part

    def read(self, tables: SourceFolder, pictures: SourceFolder) -> Iterator[Photograph | Missing]:
        """Yields the photographs of all parts, see `Part.read`."""
        for part in self.parts:
            yield from self.adapt(tables, part).read(tables, pictures)


def photograph_name(text: str) -> str:
    """Returns the name of a photograph as `SourceFolder.find_photographs` does: no folder, no suffix, lower case."""
    name = PurePosixPath(text.replace("\\", "/").lower())
    return name.stem if name.suffix in PHOTOGRAPH_SUFFIXES else name.name


def number_before_underscore(name: str) -> str:
    """Returns the patient of photographs named like `10_left`."""
    return name.partition("_")[0]


def side_from_name(name: str) -> int:
    """Returns the eye of photographs named like `10_left` and `10_right`."""
    return LEFT if name.endswith("_left") else RIGHT if name.endswith("_right") else UNKNOWN
