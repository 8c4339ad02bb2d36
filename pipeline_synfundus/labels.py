"""The labels of SynFundus-1M (arXiv 2312.00377): names, full names, values, and the rules between them.

No other module defines them. A *condition* is a mapping from label names to values; a *complete* condition
has a value for each of the sixteen condition labels (the fifteen labels of a row, then `eye_side`), -1 for unknown.
Only the standard library is imported here, so that every folder of the project can use it.
"""

from __future__ import annotations

import difflib
import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

UNKNOWN = -1


@dataclass(frozen=True)
class Label:
    """One label.

    Attributes:
        name: the column's name in the published release.
        full_name: the meaning of the column.
        explanation: the same in one sentence, for forms and cards.
        values: the names of the values 0, 1, ...
        default: the value if a caller leaves the label out.
    """

    name: str
    full_name: str
    explanation: str
    values: tuple[str, ...]
    default: int = 0

    @property
    def cardinality(self) -> int:
        """Number of known values."""
        return len(self.values)

    def value_name(self, value: int) -> str:
        """Returns the name of a value, "unknown" for -1. Do not index `values` with labels: -1 would be the last one.

        Raises:
            ConditionError: if the value is out of range.
        """
        number = parse_value(self.name, value)
        return "unknown" if number == UNKNOWN else self.values[number]

    @property
    def allowed(self) -> str:
        """The allowed values in words, for error messages."""
        return f"0 to {self.cardinality - 1}, or None or {UNKNOWN} for unknown"


def _finding(name: str, full_name: str, explanation: str) -> Label:
    return Label(name, full_name, explanation, ("absent", "present"))


def _readability(name: str, full_name: str, explanation: str) -> Label:
    values = ("unusable", "usable") if name == "is_fundus" else ("unreadable", "readable")
    return Label(name, full_name, explanation, values, default=1)


DISEASES: tuple[Label, ...] = (
    Label(
        "dr_grade",
        "diabetic retinopathy grade",
        "Grade of diabetic retinopathy on the international clinical scale (ICDR); NPDR is its non-proliferative form.",
        ("none", "mild NPDR", "moderate NPDR", "severe NPDR", "proliferative DR"),
    ),
    _finding("is_amd", "age-related macular degeneration", "Drusen, atrophy or bleeding of the ageing macula."),
    _finding("is_aon", "anomalies of the optic nerve", "Swelling, pallor, atrophy or malformation of the optic disc."),
    _finding("is_crp", "choroidal retinal pathology", "Disease of the choroid and the retina above it."),
    _finding("is_dm", "degenerative myopia", "Degeneration of the retina in a highly short-sighted eye."),
    _finding("is_dme", "diabetic macular edema", "Swelling of the macula in diabetes, often with hard exudates."),
    _finding("is_em", "epimacular membrane", "A thin membrane on the macula that wrinkles the retina."),
    _finding("is_gc", "glaucoma", "Damage of the optic nerve with a widened cup of the disc."),
    _finding("is_htr", "hypertensive retinopathy", "Narrowed, crossed or leaking vessels from high blood pressure."),
    _finding("is_pm", "pathological myopia", "Stretched, thinned eye ground with a pale crescent around the disc."),
    _finding("is_rvo", "retinal vein occlusion", "A blocked vein with flame-shaped bleeding along its course."),
)

READABILITY: tuple[Label, ...] = (
    _readability("is_fundus", "usable fundus photograph", "The image is a usable fundus photograph."),
    _readability("is_macular_readable", "macula readable", "The macula can be read."),
    _readability("is_optic_disc_readable", "optic disc readable", "The optic disc can be read."),
    _readability("is_retinal_region_readable", "retinal region readable", "The rest of the retina can be read."),
)

EYE_SIDE = Label("eye_side", "eye side", "Which eye was photographed.", ("right", "left"), default=UNKNOWN)

LABELS: tuple[Label, ...] = DISEASES + READABILITY
CONDITION_LABELS: tuple[Label, ...] = (*LABELS, EYE_SIDE)

LABEL_NAMES: tuple[str, ...] = tuple(label.name for label in LABELS)
CONDITION_NAMES: tuple[str, ...] = tuple(label.name for label in CONDITION_LABELS)
CARDINALITIES: tuple[int, ...] = tuple(label.cardinality for label in CONDITION_LABELS)

# The condition of a call without labels: healthy and readable, eye side unknown.
DEFAULT_CONDITION: dict[str, int] = {label.name: label.default for label in CONDITION_LABELS}
UNKNOWN_CONDITION: dict[str, int] = dict.fromkeys(CONDITION_NAMES, UNKNOWN)

_BY_NAME = {label.name: label for label in CONDITION_LABELS}
# The other columns of a dataset row. They are ignored, so that a row can be used as a condition.
_ROW_COLUMNS = frozenset({"image", "idx", "file_name"})


class ConditionError(ValueError):
    """An invalid condition; the message names the label, the value given and what is allowed."""


def get_label(name: str) -> Label:
    """Returns the label called `name`.

    Raises:
        ConditionError: if there is none; the message suggests the closest name.
    """
    try:
        return _BY_NAME[name]
    except (KeyError, TypeError):
        close = difflib.get_close_matches(str(name).lower(), CONDITION_NAMES, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"allowed are {', '.join(CONDITION_NAMES)}"
        raise ConditionError(f"unknown label {name!r}; {hint}") from None


def parse_value(name: str, value: Any) -> int:
    """Returns the value of one label as an integer, -1 for unknown.

    Args:
        name: the label's name.
        value: an integer (Python's, NumPy's, or a whole float, as pandas makes of a column with gaps), a boolean for
            a label with two values, or None, NaN or -1 for unknown.

    Raises:
        ConditionError: for an unknown label, a wrong type or a value out of range.
    """
    label = get_label(name)
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()  # NumPy's scalars
    if value is None or type(value).__name__ == "NAType" or (isinstance(value, float) and math.isnan(value)):
        return UNKNOWN
    if isinstance(value, bool) and label.cardinality != 2:
        raise ConditionError(f"{name} is {value!r} of type bool; allowed are the integers {label.allowed}")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    try:
        number = operator.index(value)
    except TypeError:
        kind = type(value).__name__
        raise ConditionError(f"{name} is {value!r} of type {kind}; allowed are the integers {label.allowed}") from None
    if not UNKNOWN <= number < label.cardinality:
        raise ConditionError(f"{name} is {number}; allowed are {label.allowed}")
    return number


def _is_mapping(value: Any) -> bool:
    """Whether this is a mapping or a row (`Series`) of a pandas table, but not a table."""
    return isinstance(value, Mapping) or (
        hasattr(value, "keys") and hasattr(value, "items") and not hasattr(value, "columns")
    )


def complete_condition(condition: Mapping[str, Any], base: Mapping[str, int] | None = None) -> dict[str, int]:
    """Returns a condition with a value for each of the sixteen condition labels, checked.

    Labels left out are healthy and readable (0 for diseases, 1 for readability); `eye_side` left out is unknown.
    `is_fundus=0` makes the other three readability labels 0. The columns `image`, `idx` and `file_name` of a dataset
    row are ignored.

    Args:
        condition: label names to values, see `parse_value`; also a row of a pandas table.
        base: a complete condition from which labels left out take their values, instead of healthy and readable.

    Returns:
        All condition labels in the order of `CONDITION_NAMES`, each with an integer value.

    Raises:
        ConditionError: if it is not a mapping, has an unknown label or an invalid value, or contradicts itself.
    """
    if not _is_mapping(condition):
        kind = type(condition).__name__
        raise ConditionError(f"a condition is a mapping from label names to values, not {condition!r} of type {kind}")
    given = {name: parse_value(name, value) for name, value in condition.items() if name not in _ROW_COLUMNS}
    base = DEFAULT_CONDITION if base is None else base
    complete = {name: given.get(name, base[name]) for name in CONDITION_NAMES}
    _apply_rules(complete, given)
    return complete


def implied_values(condition: Mapping[str, int]) -> dict[str, int]:
    """Returns the values of labels that follow from other labels of a complete condition: the rules between labels.

    In an image that is not a usable fundus photograph nothing is readable. Diabetic macular edema is part of diabetic
    retinopathy, so there is none at grade 0.
    """
    implied: dict[str, int] = {}
    if condition["is_fundus"] == 0:
        implied |= {label.name: 0 for label in READABILITY[1:]}
    if condition["dr_grade"] == 0:
        implied["is_dme"] = 0
    return implied


def contradicted_values(condition: Mapping[str, int]) -> dict[str, int]:
    """Returns those of the `implied_values` of a complete condition that its own known values contradict."""
    implied = implied_values(condition)
    return {name: value for name, value in implied.items() if condition[name] not in (UNKNOWN, value)}


def _apply_rules(complete: dict[str, int], given: Mapping[str, int]) -> None:
    """Sets the readability labels that are implied, and refuses values that contradict implied ones."""
    implied = implied_values(complete)
    for label in READABILITY[1:]:
        if label.name in implied:
            if given.get(label.name) == 1:
                raise ConditionError(
                    f"{label.name} is 1, but is_fundus is 0; an image that is not a usable fundus photograph allows "
                    f"only {label.name}=0"
                )
            complete[label.name] = 0
    if complete["is_dme"] == 1 and "is_dme" in implied:
        origin = "is 0" if "dr_grade" in given or "is_dme" not in given else "was left out, which means 0"
        raise ConditionError(
            f"is_dme is 1, but dr_grade {origin}; diabetic macular edema allows dr_grade 1 to 4, or None for unknown"
        )


def list_conditions(conditions: Any) -> list[Any]:
    """Returns a list of conditions, not yet checked, from one mapping, a sequence of mappings, or a table.

    Args:
        conditions: one condition, an iterable of conditions (also a `datasets.Dataset`), or a pandas table whose
            columns are label names.

    Raises:
        ConditionError: if it is none of these, or empty.
    """
    if _is_mapping(conditions):
        return [conditions]
    if hasattr(conditions, "to_dict") and hasattr(conditions, "columns"):
        conditions = conditions.to_dict("records")
    if isinstance(conditions, (str, bytes)) or not isinstance(conditions, Iterable):
        raise ConditionError(f"conditions is {conditions!r}, but must be a mapping, a list of mappings or a table")
    result = list(conditions)
    if not result:
        raise ConditionError("conditions is empty; give at least one mapping from label names to values")
    return result


def complete_conditions(conditions: Any, bases: Sequence[Mapping[str, int]] | None = None) -> list[dict[str, int]]:
    """Returns complete conditions from one mapping, a sequence of mappings, or a table; see `list_conditions`.

    Args:
        conditions: the conditions.
        bases: for each condition, the complete condition from which labels left out take their values.

    Raises:
        ConditionError: as `complete_condition`, with the row's number in front; and for an empty input.
    """
    rows = list_conditions(conditions)
    if _is_mapping(conditions):
        return [complete_condition(rows[0], None if bases is None else bases[0])]
    result = []
    for number, condition in enumerate(rows):
        try:
            result.append(complete_condition(condition, None if bases is None else bases[number]))
        except ConditionError as error:
            raise ConditionError(f"conditions[{number}]: {error}") from None
    return result


def contrast_condition(condition: Mapping[str, int]) -> dict[str, int]:
    """Returns the condition that guidance steers away from: the same eye without the requested findings.

    Requested readability is unknown in it, so that guidance also steers towards clear images. This counteracts findings
    that are more frequent in poor photographs. Unknown labels stay unknown.

    Args:
        condition: a complete condition.
    """
    contrast = dict(condition)
    for label in (*DISEASES, *READABILITY):
        if condition[label.name] != UNKNOWN:
            contrast[label.name] = label.default
    return contrast | {label.name: UNKNOWN for label in READABILITY if condition[label.name] == label.default}


def to_codes(condition: Mapping[str, int]) -> list[int]:
    """Returns the values of a complete condition in the order of `CONDITION_NAMES`, -1 for unknown."""
    return [condition[name] for name in CONDITION_NAMES]


def from_codes(codes: Sequence[int]) -> dict[str, int]:
    """Returns the complete condition with these values, the inverse of `to_codes`.

    Raises:
        ConditionError: for a wrong number of values or a value out of range.
    """
    if len(codes) != len(CONDITION_NAMES):
        raise ConditionError(f"{len(codes)} values given; allowed are {len(CONDITION_NAMES)}, one per condition label")
    return {name: parse_value(name, code) for name, code in zip(CONDITION_NAMES, codes, strict=True)}


def _describe_value(label: Label, value: int) -> str:
    if value == UNKNOWN:
        return f"{label.full_name} unknown"
    if label.name == "dr_grade":
        name = label.value_name(value)
        return f"{name} (grade {value})" if "DR" in name.split() else f"{name} (DR grade {value})"
    if label is EYE_SIDE:
        return f"{label.value_name(value)} eye"
    if label.name == "is_fundus":
        return f"not a {label.full_name}"
    if label in READABILITY:
        return label.full_name.replace("readable", "unreadable")
    return label.full_name


def describe(condition: Mapping[str, int]) -> str:
    """Returns a complete condition in words: its differences from a healthy, readable eye."""
    asked = [label for label in CONDITION_LABELS if condition[label.name] != label.default]
    return ", ".join(_describe_value(label, condition[label.name]) for label in asked) or "healthy, readable"
