"""What a public set says about one photograph, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline_synfundus.labels import DISEASES, LABEL_NAMES, LABELS, UNKNOWN

# What one cell, keyword or folder says: label names to values, `UNKNOWN` where it casts doubt on a label. A label that
# is not named is left alone.
Statement = Mapping[str, int]

GRADES: Mapping[str, Statement] = {str(grade): {"dr_grade": grade} for grade in range(5)}  # the ICDR scale as digits
NO_DISEASE: Statement = {label.name: 0 for label in DISEASES}

# A finding whose place cannot be read may be there unseen: its absence is not known.
PLACES: Mapping[str, tuple[str, ...]] = {
    "is_fundus": tuple(NO_DISEASE),
    "is_macular_readable": ("is_amd", "is_dme", "is_em"),
    "is_optic_disc_readable": ("is_aon", "is_gc"),
}


class SourceError(ValueError):
    """A set that cannot be read; the message names set, file and column, what was found and what is allowed."""


@dataclass(frozen=True)
class Photograph:
    """One photograph of a set.

    Attributes:
        source: the set's name.
        path: the photograph's file.
        patient: unique within the set; the photograph's own name where the set names no patients.
        labels: the fifteen labels, -1 unknown.
        eye_side: 0 right, 1 left, -1 unknown.
    """

    source: str
    path: Path
    patient: str
    labels: dict[str, int]
    eye_side: int = UNKNOWN


def conclude(statements: Iterable[Statement]) -> dict[str, int]:
    """Returns the fifteen labels that follow from all that a set says about one photograph.

    Of several statements on a label, one that tells something of note (a disease present, the highest grade, a place
    unreadable) wins over a doubt, and a doubt over what is ordinary. A label nobody speaks of is unknown: a set that
    did not look for a disease does not deny it.
    """
    said: dict[str, list[int]] = {name: [] for name in LABEL_NAMES}
    for statement in statements:
        for name, value in statement.items():
            said[name].append(value)
    labels = {}
    for label in LABELS:
        values = said[label.name]
        notable = [value for value in values if value not in (UNKNOWN, label.default)]
        doubtful = not values or UNKNOWN in values
        labels[label.name] = max(notable) if notable else UNKNOWN if doubtful else label.default
    _apply_rules(labels)
    return labels


def fill_unknown(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    """Returns the labels of `first`, and those of `second` where `first` does not know; then the rules again."""
    labels = {name: second[name] if first[name] == UNKNOWN else first[name] for name in LABEL_NAMES}
    _apply_rules(labels)
    return labels


def _apply_rules(labels: dict[str, int]) -> None:
    """Makes the labels keep the rules of `pipeline_synfundus.labels`, by doubt where they contradict each other."""
    if labels["dr_grade"] == 0:
        # Diabetic edema is part of diabetic retinopathy: without it, exudates have another cause, or a grade is wrong.
        labels["is_dme"] = UNKNOWN if labels["is_dme"] == 1 else 0
    if labels["is_fundus"] == 0:
        for name in ("is_macular_readable", "is_optic_disc_readable", "is_retinal_region_readable"):
            labels[name] = 0
    for place, findings in PLACES.items():
        for name in findings if labels[place] == 0 else ():
            labels[name] = UNKNOWN if labels[name] == 0 else labels[name]
