"""The result of an experiment: sentences, tables and figures, which can be saved, loaded and printed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from evaluation.errors import NotMeasurable
from evaluation.measures.statistics import Interval
from synfundus.files import write_text

Cell = float | int | str | Interval


@dataclass
class Table:
    """A table.

    Attributes:
        name: of its CSV file.
        title: what it shows.
        columns: headings.
        rows: cells; a number that is not measurable is replaced by the reason.
    """

    name: str
    title: str
    columns: list[str]
    rows: list[list[Cell]]

    def to_csv(self) -> str:
        """CSV with two more columns, `low` and `high`, for each column that holds an interval."""
        spread = [any(isinstance(row[column], Interval) for row in self.rows) for column in range(len(self.columns))]
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        names = zip(self.columns, spread, strict=True)
        writer.writerow(
            [part for name, wide in names for part in ((name, f"{name} low", f"{name} high")[: 3 if wide else 1])]
        )
        for row in self.rows:
            writer.writerow([part for cell, wide in zip(row, spread, strict=True) for part in _csv_parts(cell, wide)])
        return buffer.getvalue()


@dataclass
class Figure:
    """A picture in the report's folder.

    Attributes:
        file: path relative to the report's folder.
        caption: what it shows; also its text alternative.
    """

    file: str
    caption: str


@dataclass
class Result:
    """The outcome of one experiment.

    Attributes:
        title: heading.
        method: how it was measured, in sentences.
        findings: the main results, in sentences.
        tables: the numbers.
        figures: the figures.
        failures: why the report fails; empty if it does not.
        fingerprint: of the data, options and code from which it was computed.
    """

    title: str
    method: str
    findings: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    fingerprint: str = ""

    def save(self, path: Path) -> None:
        """Writes the result as JSON. NaN and infinities are refused: no table may hold them."""
        write_text(path, json.dumps(asdict(self), indent=1, allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: Path) -> Result:
        """Reads what `save` wrote."""
        content = json.loads(path.read_text(encoding="utf-8"))
        content["tables"] = [
            Table(**{**table, "rows": [[_cell(cell) for cell in row] for row in table["rows"]]})
            for table in content["tables"]
        ]
        content["figures"] = [Figure(**figure) for figure in content["figures"]]
        return cls(**content)


def measured(measure: Callable[..., Any], *arguments: Any) -> Any:
    """Returns `measure(*arguments)`, or the reason why it is not measurable."""
    try:
        return measure(*arguments)
    except NotMeasurable as reason:
        return f"not measurable: {reason}"


def text_of(cell: Cell) -> str:
    """A cell as printed: three decimals, intervals in brackets."""
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)


def _csv_parts(cell: Cell, wide: bool) -> list[Any]:
    if isinstance(cell, Interval):
        return [cell.value, cell.low, cell.high]
    return [cell, "", ""] if wide else [cell]


def _cell(saved: Any) -> Cell:
    return Interval(**saved) if isinstance(saved, dict) else saved
