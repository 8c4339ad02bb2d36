"""Writes what a report measured into a model's card, as the Hub's `model-index`.

python -m evaluation.model_index --report report --card pipeline_synfundus/README.md
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import EvalResult, ModelCard

from .results import Result
from .statistics import Interval

TASK = "unconditional-image-generation"


class Measure(NamedTuple):
    """A column of a report's table: `name` is filled in with the cells of the row."""

    experiment: str
    table: str
    column: str
    metric: str
    name: str


MEASURES = (
    Measure("distances", "distances", "synthetic to real", "{metric}", "{metric} to real, {features} features"),
    Measure("two-sample", "two-sample", "AUC", "roc_auc", "AUC of telling {sides}, by {classifier}"),
    Measure(
        "label-fidelity", "label-fidelity", "synthetic", "label_fidelity", "{label}, judged by a classifier of real"
    ),
    Measure("privacy", "privacy", "membership AUC", "roc_auc", "AUC of membership inference, {distance in}"),
)


def read_results(report: Path, real: str) -> list[EvalResult]:
    """Returns all numbers of a report that a model's card shows; what could not be measured is left out.

    Args:
        report: folder of the report.
        real: name of the photographs that the images were compared with.

    Raises:
        OSError: if the report lacks one of the experiments in `MEASURES`.
    """
    return [
        EvalResult(TASK, real, real, metric, value, metric_name=name)
        for measure in MEASURES
        for metric, name, value in _read_column(report, measure)
    ]


def _read_column(report: Path, measure: Measure) -> Iterator[tuple[str, str, float]]:
    tables = Result.load(report / "results" / f"{measure.experiment}.json").tables
    table = next(table for table in tables if table.name == measure.table)
    for row in table.rows:
        cells = dict(zip(table.columns, row, strict=True))
        value = cells[measure.column]
        number = value.value if isinstance(value, Interval) else value
        if isinstance(number, int | float):
            metric = measure.metric.format_map(cells).replace(" ", "_")
            yield metric, measure.name.format_map(cells), round(float(number), 4)


def write_results(card: Path, results: list[EvalResult]) -> None:
    """Puts results into a card's metadata, in the place of those that were there."""
    loaded = ModelCard.load(card)
    title = re.search(r"^# (.+)$", loaded.text, flags=re.MULTILINE)
    loaded.data.model_name = title[1] if title else card.parent.name
    loaded.data.eval_results = results
    temporary = card.with_name(f".{card.name}.tmp")
    temporary.write_text(str(loaded), encoding="utf-8")
    os.replace(temporary, card)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--report", type=Path, required=True, help="folder of a report of all experiments")
    parser.add_argument("--card", type=Path, required=True, help="README.md of the model")
    parser.add_argument("--real", default="held-out fundus photographs", help="name of the real side (%(default)s)")
    options = parser.parse_args(arguments)
    results = read_results(options.report, options.real)
    write_results(options.card, results)
    print(f"{options.card} has {len(results)} results.")


if __name__ == "__main__":
    main()
