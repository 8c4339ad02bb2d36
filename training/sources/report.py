"""Counts the photographs, patients and label values of the result of `training.harmonize`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline_synfundus.labels import CONDITION_LABELS, UNKNOWN
from training.sources.record import Photograph


def build_report(splits: Mapping[str, Sequence[Photograph]], left_out: Sequence[str]) -> dict[str, Any]:
    """Returns the counts, ready for JSON.

    Args:
        splits: the photographs of each split; empty splits are not reported.
        left_out: the reasons why photographs were left out.

    Returns:
        `splits` and `sources`: name to the numbers of `photographs` and `patients`; `labels`: label name to the numbers
        of photographs by value (text, -1 unknown); `left_out`.
    """
    everything = [photograph for photographs in splits.values() for photograph in photographs]
    sources = list(dict.fromkeys(photograph.source for photograph in everything))
    by_source = {name: [photograph for photograph in everything if photograph.source == name] for name in sources}
    labels = {}
    for label in CONDITION_LABELS:
        counts = Counter(_value(photograph, label.name) for photograph in everything)
        labels[label.name] = {str(value): counts[value] for value in (*range(label.cardinality), UNKNOWN)}
    return {
        "splits": {name: _count(photographs) for name, photographs in splits.items() if photographs},
        "sources": {name: _count(photographs) for name, photographs in by_source.items()},
        "labels": labels,
        "left_out": list(left_out),
    }


def _value(photograph: Photograph, name: str) -> int:
    return photograph.eye_side if name == "eye_side" else photograph.labels[name]


def _count(photographs: Sequence[Photograph]) -> dict[str, int]:
    patients = {(photograph.source, photograph.patient) for photograph in photographs}
    return {"photographs": len(photographs), "patients": len(patients)}


def format_table(report: Mapping[str, Any]) -> str:
    """Returns the report as text: a table of the labels, then the sources and the splits."""
    lines = [f"{'label':28}{'positive':>10}{'negative':>10}{'unknown':>10}"]
    for label in CONDITION_LABELS:
        counts = report["labels"][label.name]
        # Positive means 1, or any grade but 0; grades are also listed separately.
        positive = [counts[str(value)] for value in range(1, label.cardinality)]
        each = f"  ({' + '.join(map(str, positive))} of grade 1 to {len(positive)})" if len(positive) > 1 else ""
        lines.append(f"{label.name:28}{sum(positive):10}{counts['0']:10}{counts[str(UNKNOWN)]:10}{each}")
    for kind in ("sources", "splits"):
        lines += ["", f"{kind:28}{'photographs':>12}{'patients':>10}"]
        lines += [f"{name:28}{n['photographs']:12}{n['patients']:10}" for name, n in report[kind].items()]
    if report["left_out"]:
        lines += ["", f"left out: {len(report['left_out'])}, the first: {report['left_out'][0]}"]
    return "\n".join(lines)
