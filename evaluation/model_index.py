"""Writes the results of a report into a model card: as the Hub's `model-index`, and as a section.

python -m evaluation.model_index --report report --card pipeline_synfundus/README.md
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import EvalResult, ModelCard

from evaluation.errors import EvaluationError, one_line_errors
from evaluation.measures.statistics import Interval
from evaluation.report_page.results import Cell, Result
from synfundus.files import write_text

TASK = "unconditional-image-generation"
HEADING = "## Measured"
INTRODUCTION = (
    "Written by `evaluation.model_index` from a report of `evaluation.report`, which says how each number was "
    "measured. The last column is the same measure of real photographs: two halves of the patients compared with each "
    "other, or the held-out patients judged (AUC within source). The distances are not the Inception-FID of other "
    "papers: they use other features, and depend on the number and size of the images."
)


class Measure(NamedTuple):
    """A column of a table of the report: `name` is formatted with the cells of the row; `real` is a column or empty."""

    experiment: str
    column: str
    real: str
    metric: str
    name: str


class Measured(NamedTuple):
    """A number of a report, and the same measure of real photographs if there is one."""

    metric: str
    name: str
    value: float
    real: float | None


MEASURES = (
    Measure("distances", "synthetic to real", "real to real", "{metric}", "{metric} to real, {features} features"),
    Measure("two-sample", "AUC", "", "roc_auc", "AUC of telling {sides}, by {classifier}"),
    Measure(
        "label-fidelity",
        "synthetic",
        "held-out real, within source",
        "label_fidelity",
        "{label}, judged by a classifier of real",
    ),
    Measure("privacy", "share of near copies", "", "near_copies", "share of near copies, {distance in}"),
    Measure("privacy", "membership AUC", "", "roc_auc", "AUC of membership inference, {distance in}"),
)


def read_results(report: Path) -> list[Measured]:
    """Returns all numbers of a report that a model card shows, without those that are not measurable or were not run.

    Args:
        report: folder of the report.

    Raises:
        EvaluationError: if the report has none of the experiments in `MEASURES`.
    """
    present = [measure for measure in MEASURES if _file(report, measure).exists()]
    if not present:
        known = ", ".join(dict.fromkeys(measure.experiment for measure in MEASURES))
        raise EvaluationError(f"--report is {report}, but there is no result of one of these experiments: {known}")
    return [found for measure in present for found in _read_column(report, measure)]


def _file(report: Path, measure: Measure) -> Path:
    return report / "results" / f"{measure.experiment}.json"


def _read_column(report: Path, measure: Measure) -> Iterator[Measured]:
    tables = Result.load(_file(report, measure)).tables
    table = next(table for table in tables if table.name == measure.experiment)
    for row in table.rows:
        cells = dict(zip(table.columns, row, strict=True))
        value = _number(cells[measure.column])
        if value is not None:
            metric = measure.metric.format_map(cells).replace(" ", "_")
            yield Measured(metric, measure.name.format_map(cells), value, _number(cells.get(measure.real, "")))


def _number(cell: Cell) -> float | None:
    value = cell.value if isinstance(cell, Interval) else cell
    return None if isinstance(value, str) else round(float(value), 4)


def write_results(card: Path, results: list[Measured], real: str) -> None:
    """Writes results into a card, as metadata and as a section, in place of earlier results.

    Args:
        card: `README.md` of the model.
        results: from `read_results`.
        real: name of the real photographs.
    """
    loaded = ModelCard.load(card)
    title = re.search(r"^# (.+)$", loaded.text, flags=re.MULTILINE)
    loaded.data.model_name = title[1] if title else card.parent.name
    loaded.data.eval_results = [
        EvalResult(TASK, real, real, found.metric, found.value, metric_name=found.name) for found in results
    ]
    loaded.text = _place_section(loaded.text, _section(results))
    write_text(card, str(loaded))


def _section(results: list[Measured]) -> str:
    rows = [
        f"| {found.name} | {found.value:g} | {'' if found.real is None else f'{found.real:g}'} |" for found in results
    ]
    return "\n".join([HEADING, "", INTRODUCTION, "", "| measure | synthetic | real |", "| --- | ---: | ---: |", *rows])


def _place_section(text: str, section: str) -> str:
    """Replaces the section with this heading; if there is none, inserts it before the limits or at the end."""
    old = re.search(rf"^{HEADING}\n.*?(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    before = re.search(r"^## Limits$", text, flags=re.MULTILINE)
    start, end = old.span() if old else (before.start(), before.start()) if before else (len(text), len(text))
    return f"{text[:start].rstrip()}\n\n{section}\n\n{text[end:]}".rstrip() + "\n"


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--report", type=Path, nargs="+", required=True, help="folders of reports with different experiments"
    )
    parser.add_argument("--card", type=Path, required=True, help="README.md of the model")
    parser.add_argument("--real", default="held-out fundus photographs", help="name of the real side (%(default)s)")
    options = parser.parse_args(arguments)
    with one_line_errors():
        results = [found for report in options.report for found in read_results(report)]
    write_results(options.card, results, options.real)
    print(f"{options.card} has {len(results)} results.")


if __name__ == "__main__":
    main()
