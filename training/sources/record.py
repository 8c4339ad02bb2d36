"""What a public set says about one photograph, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline_synfundus.labels import DISEASES, LABEL_NAMES, LABELS, READABILITY, UNKNOWN, get_label, implied_values

# What one cell, keyword or folder says: label names to values, `UNKNOWN` where it makes a label doubtful. It says
# nothing about labels that it does not name.
Statement = Mapping[str, int]

# The ICDR scale as digits.
GRADES: Mapping[str, Statement] = {
    str(grade): {"dr_grade": grade} for grade in range(get_label("dr_grade").cardinality)
}
NO_DISEASE: Statement = {label.name: label.default for label in DISEASES}
USABLE: Statement = {"is_fundus": 1}
UNUSABLE: Statement = {"is_fundus": 0}
READABLE: Statement = {label.name: label.default for label in READABILITY}

# A finding may be hidden where its region cannot be read: then its absence is not known.
FINDINGS_IN: Mapping[str, tuple[str, ...]] = {
    "is_fundus": tuple(NO_DISEASE),
    "is_macular_readable": ("is_amd", "is_dme", "is_em"),
    "is_optic_disc_readable": ("is_aon", "is_gc"),
}


def presence(disease: str) -> Mapping[str, Statement]:
    """Returns the values of a column that is 1 where the disease, or one form of it, is present, and 0 elsewhere."""
    return {"0": {disease: 0}, "1": {disease: 1}}


class SourceError(ValueError):
    """A set that cannot be read; the message names set, file and column, the value found and the values allowed."""


@dataclass(frozen=True)
class Photograph:
    """One photograph of a set.

    Attributes:
        source: the set's name.
        path: the file.
        patient: unique within the set; the name of the photograph where the set names no patients.
        labels: the fifteen labels, -1 unknown.
        eye_side: 0 right, 1 left, -1 unknown.
        native_px: the longer side of its field of view in pixels; 0 if not measured.
    """

    source: str
    path: Path
    patient: str
    labels: dict[str, int]
    eye_side: int = UNKNOWN
    native_px: int = 0


def conclude(statements: Iterable[Statement]) -> dict[str, int]:
    """Returns the fifteen labels that follow from all statements of a set about one photograph.

    Of several statements about a label, an abnormal value (a disease present, the highest grade, a region unreadable)
    takes precedence over doubt, and doubt over the normal value. A label without a statement is unknown: a set that did
    not look for a disease does not say that it is absent.
    """
    said: dict[str, list[int]] = {name: [] for name in LABEL_NAMES}
    for statement in statements:
        for name, value in statement.items():
            said[name].append(value)
    labels = {}
    for label in LABELS:
        values = said[label.name]
        abnormal = [value for value in values if value not in (UNKNOWN, label.default)]
        doubtful = not values or UNKNOWN in values
        labels[label.name] = max(abnormal) if abnormal else UNKNOWN if doubtful else label.default
    _apply_rules(labels)
    return labels


def fill_unknown(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    """Returns the labels of `first`, and those of `second` where they are unknown in `first`, made consistent."""
    labels = {name: second[name] if first[name] == UNKNOWN else first[name] for name in LABEL_NAMES}
    _apply_rules(labels)
    return labels


def _apply_rules(labels: dict[str, int]) -> None:
    """Makes the labels consistent with `pipeline_synfundus.labels`: a disease that contradicts the rules is unknown."""
    for name, value in implied_values(labels).items():
        # Edema at grade 0: the exudates have another cause, or the grade is wrong.
        contradiction = name in NO_DISEASE and labels[name] not in (UNKNOWN, value)
        labels[name] = UNKNOWN if contradiction else value
    for region, findings in FINDINGS_IN.items():
        for name in findings if labels[region] == 0 else ():
            labels[name] = UNKNOWN if labels[name] == 0 else labels[name]
