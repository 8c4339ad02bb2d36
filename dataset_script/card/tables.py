"""The tables in a dataset card, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline_synfundus.labels import CONDITION_LABELS, UNKNOWN, Label

from ..build.folder import BuildFolder
from ..plan.condition_plan import ConditionPlan
from ..schema import FOLDERS

# Label name to values to their number of rows.
Counts = Mapping[str, Mapping[int, int]]


def count_labels(folder: BuildFolder[Any]) -> dict[str, dict[int, int]]:
    """Returns the number of rows of each value of each label, as counted in the files."""
    counted = {}
    for label in CONDITION_LABELS:
        # One column at a time: a column of a million rows takes 8 MB.
        column = pq.read_table(folder.path / FOLDERS["labels"], columns=[label.name])[label.name]
        counted[label.name] = {item["values"]: item["counts"] for item in pc.value_counts(column).to_pylist()}
    return counted


def unknown_text(counted: Counts) -> str:
    """Returns a sentence with the number of unknown values of each label."""
    unknown = {name: counts[UNKNOWN] for name, counts in counted.items() if counts.get(UNKNOWN)}
    if not unknown:
        return "No label is unknown."
    return "Unknown (-1) in " + ", ".join(f"{name}: {count:,} rows" for name, count in unknown.items()) + "."


def label_table(counted: Counts) -> str:
    """Returns one line per label, with the number of rows of each value."""
    lines = []
    for label in CONDITION_LABELS:
        counts = counted[label.name]
        values = "<br>".join(
            f"{value} {_value_name(label, value)} ({counts.get(value, 0):,})"
            for value in sorted({*counts, *range(label.cardinality)})
        )
        lines.append(f"| `{label.name}` | {label.full_name} | {label.explanation} | {values} |")
    return "\n".join(lines)


def stratum_table(plan: ConditionPlan, num_rows: int) -> str:
    """Returns one line per stratum of the plan, with its share and its number of rows."""
    counts = plan.stratum_counts(num_rows)
    return "\n".join(f"| {stratum.name} | {stratum.share:.2%} | {counts[stratum.name]:,} |" for stratum in plan.strata)


def _value_name(label: Label, value: int) -> str:
    return "unknown" if value == UNKNOWN else label.values[value]
