"""Reads a plan file: YAML text to checked strata. Every mistake names the stratum, the field, the value and what is
allowed, before anything is generated."""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline_synfundus.labels import EYE_SIDE, UNKNOWN, ConditionError, complete_condition, get_label, parse_value

PLAN_FIELDS = ("seed", "strata")
STRATUM_FIELDS = ("name", "share", "labels")
# Shares and probabilities are written by hand with a few decimals; their sum may be off by rounding, not by a slip.
SUM_TOLERANCE = 1e-6
# A stratum below this share would have no row in a cycle of `conditions.CYCLE` rows.
SMALLEST_SHARE = 1e-4
# Which eye was photographed says nothing about its findings, so a stratum need not repeat that either is as likely.
EITHER_EYE = {0: 0.5, 1: 0.5}

Distribution = tuple[tuple[int, float], ...]


class PlanError(ValueError):
    """A plan that cannot be used; the message names the stratum, the field, the value and what is allowed."""


@dataclass(frozen=True)
class Stratum:
    """A kind of row.

    Attributes:
        name: unique in the plan.
        share: of all rows, above 0 and up to 1.
        labels: label name to the values it may take and their probabilities, which sum to 1. Labels left out are
            healthy and readable.
    """

    name: str
    share: float
    labels: Mapping[str, Distribution]


def read_plan_file(path: str | Path) -> tuple[int, tuple[Stratum, ...]]:
    """Returns the seed and the strata of a plan file.

    Raises:
        PlanError: if the file cannot be read, or is no plan.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"the plan {path} cannot be read: {error}") from None
    try:
        return parse_plan(yaml.load(text, Loader=_StrictLoader))
    except (yaml.YAMLError, PlanError) as error:
        raise PlanError(f"{path}: {error}") from None


def parse_plan(content: Any) -> tuple[int, tuple[Stratum, ...]]:
    """Returns the seed and the strata of a plan given as the mapping that its YAML holds.

    Raises:
        PlanError: if it is no plan.
    """
    if not isinstance(content, Mapping):
        raise PlanError(f"a plan is a mapping with {' and '.join(PLAN_FIELDS)}, not {content!r}")
    _check_fields("the plan", content, PLAN_FIELDS)
    seed, strata = content["seed"], content["strata"]
    if not _is_integer(seed) or seed < 0:
        raise PlanError(f"seed is {seed!r}, but must be an integer of 0 or more")
    if not isinstance(strata, list) or not strata:
        raise PlanError(f"strata is {strata!r}, but must be a list of at least one stratum")
    parsed = tuple(_parse_stratum(number, stratum) for number, stratum in enumerate(strata))
    for number, stratum in enumerate(parsed):
        if stratum.name in {earlier.name for earlier in parsed[:number]}:
            raise PlanError(f"strata[{number}]: the name {stratum.name!r} is taken; names must differ")
    _check_sum("the shares of the strata", [stratum.share for stratum in parsed])
    return seed, parsed


def _parse_stratum(number: int, content: Any) -> Stratum:
    where = f"strata[{number}]"
    if not isinstance(content, Mapping):
        raise PlanError(f"{where} is {content!r}, but must be a mapping with {', '.join(STRATUM_FIELDS)}")
    _check_fields(where, content, STRATUM_FIELDS)
    name, share, labels = (content[field] for field in STRATUM_FIELDS)
    if not isinstance(name, str) or not name:
        raise PlanError(f"{where}: name is {name!r}, but must be a text")
    where = f"stratum {name!r}"
    if not _is_number(share) or not SMALLEST_SHARE <= share <= 1:
        raise PlanError(f"{where}: share is {share!r}, but must be a number from {SMALLEST_SHARE:.4f} to 1")
    if not isinstance(labels, Mapping):
        raise PlanError(f"{where}: labels is {labels!r}, but must be a mapping from label names ({{}} for healthy)")
    try:
        parsed = {label: _parse_values(f"{where}, {label}", label, values) for label, values in labels.items()}
        _check_rules(parsed)
    except ConditionError as error:
        raise PlanError(f"{where}: {error}") from None
    parsed.setdefault(EYE_SIDE.name, tuple(EITHER_EYE.items()))
    return Stratum(name, float(share), parsed)


def _parse_values(where: str, label: str, values: Any) -> Distribution:
    """One fixed value, or a mapping from values to probabilities, as a distribution."""
    if not isinstance(values, Mapping):
        return ((parse_value(label, values), 1.0),)
    get_label(label)
    if not values:
        raise PlanError(f"{where}: the values are empty; give at least one value and its probability")
    for value, probability in values.items():
        if not _is_number(probability) or not 0 < probability <= 1:
            raise PlanError(
                f"{where}: the probability of {value!r} is {probability!r}, but must be a number above 0 and up to 1"
            )
    _check_sum(f"{where}: the probabilities", list(values.values()))
    numbers = [parse_value(label, value) for value in values]
    if len(set(numbers)) < len(numbers):
        raise PlanError(f"{where}: {list(values)} holds a value twice; give each once")
    return tuple(zip(numbers, map(float, values.values()), strict=True))


def _check_rules(labels: Mapping[str, Distribution]) -> None:
    """Raises a `ConditionError` if values that can be drawn together contradict each other.

    Each rule of the labels is between two of them and satisfied by unknown. So all pairs of values are tried, with the
    other given labels unknown; all combinations would be too many.
    """
    unknown: dict[str, int] = dict.fromkeys(labels, UNKNOWN)
    choices = [(name, value) for name, distribution in labels.items() for value, _ in distribution]
    for one, other in itertools.combinations_with_replacement(choices, 2):
        if one[0] != other[0] or one == other:
            complete_condition({**unknown, **dict([one, other])})


def _check_fields(where: str, content: Mapping, fields: Collection[str]) -> None:
    for field in content:
        if field not in fields:
            close = difflib.get_close_matches(str(field), fields, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"allowed are {', '.join(fields)}"
            raise PlanError(f"{where}: unknown field {field!r}; {hint}")
    for field in fields:
        if field not in content:
            raise PlanError(f"{where}: the field {field!r} is missing")


def _check_sum(what: str, parts: Collection[float]) -> None:
    total = math.fsum(parts)
    if abs(total - 1) > SUM_TOLERANCE:
        raise PlanError(f"{what} sum to {total:.6g}, but must sum to 1")


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_integer(value) or isinstance(value, float)


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key given twice, of which plain YAML silently keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for number, (key, (key_node, _)) in enumerate(zip(keys, node.value, strict=True)):
            if key in keys[:number]:
                raise PlanError(f"{key!r} is given twice (line {key_node.start_mark.line + 1})")
        return super().construct_mapping(node, deep)
