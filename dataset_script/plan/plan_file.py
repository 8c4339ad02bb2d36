"""Reads a plan file: YAML text to validated strata.

Every error is reported before anything is generated, with the line, the stratum, the field, the value and what is
allowed.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from pipeline_synfundus.labels import EYE_SIDE, ConditionError, get_label, parse_value

from ..schema import SPLITS
from .joint import Joint, JointError, parse_joint
from .rules import ContradictionError, Distribution, check_rules
from .strict_yaml import find_line, load_yaml

PLAN_FIELDS = ("seed", "strata", "rows", "splits")
STRATUM_FIELDS = ("name", "share", "count", "labels", "joint")
OPTIONAL = ("rows", "splits", "share", "count", "labels", "joint")
# Shares and probabilities are typed with a few decimals: their sum may deviate from 1 by rounding only.
SUM_TOLERANCE = 1e-6
# A stratum with a smaller share would have no row in a cycle of `condition_plan.CYCLE` rows.
SMALLEST_SHARE = 1e-4
# A split with a smaller share would have no row in the sequence of `splits.SEQUENCE` rows.
SMALLEST_SPLIT = 1e-3
# The default of every stratum: the eye side is independent of the findings.
EITHER_EYE = {0: 0.5, 1: 0.5}

Place = tuple[Hashable, ...]


class PlanError(ValueError):
    """A plan is invalid. The message names the stratum, the field, the value and what is allowed.

    Attributes:
        place: the keys and positions that lead from the top of the plan to the error.
    """

    def __init__(self, message: str, place: Place = ()) -> None:
        super().__init__(message)
        self.place = place


@dataclass(frozen=True)
class Stratum:
    """A kind of row.

    Attributes:
        name: unique in the plan.
        share: share of all rows, above 0 and up to 1.
        labels: label name to its possible values and their probabilities, which sum to 1. Labels that are not listed
            are healthy and readable.
        count: number of rows, in a plan of counts; `share` is then its share of all counts.
        joint: combinations of labels that are drawn together, or None. `labels` takes precedence.
    """

    name: str
    share: float
    labels: Mapping[str, Distribution]
    count: int | None = None
    joint: Joint | None = None


class PlanContent(NamedTuple):
    """The content of a plan file.

    Attributes:
        seed: seed of all draws.
        strata: the kinds of rows.
        num_rows: the number of rows of the whole dataset; None if the plan gives none.
        splits: split to its share of all rows; they sum to 1.
    """

    seed: int
    strata: tuple[Stratum, ...]
    num_rows: int | None
    splits: dict[str, float]


def read_plan_file(path: str | Path) -> PlanContent:
    """Returns the content of a plan file. Paths of tables are relative to its folder.

    Raises:
        PlanError: if the file cannot be read or is not a valid plan; the message begins with the file and the line.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"the plan {path} cannot be read: {error}") from None
    try:
        return parse_plan(load_yaml(text), Path(path).parent)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise PlanError(f"{path}{line}: {error.problem}") from None
    except yaml.YAMLError as error:
        raise PlanError(f"{path}: {error}") from None
    except PlanError as error:
        raise PlanError(f"{path}, line {find_line(text, error.place)}: {error}", error.place) from None


def parse_plan(content: Any, folder: Path = Path()) -> PlanContent:
    """Returns the content of a plan, given as the mapping in its YAML.

    Args:
        content: the mapping.
        folder: paths of tables are relative to it.

    Raises:
        PlanError: if the plan is invalid.
    """
    if not isinstance(content, Mapping):
        raise PlanError(f"a plan is a mapping with seed and strata, not {content!r}")
    _check_fields("the plan", content, PLAN_FIELDS, ())
    seed, strata = content["seed"], content["strata"]
    if not _is_integer(seed) or seed < 0:
        raise PlanError(f"seed is {seed!r}, but must be an integer of 0 or more", ("seed",))
    if not isinstance(strata, list) or not strata:
        raise PlanError(f"strata is {strata!r}, but must be a list of at least one stratum", ("strata",))
    for number, stratum in enumerate(strata):
        _check_stratum(number, stratum, strata)
    counted = "count" in strata[0]
    total = sum(_check_size(number, stratum, counted) for number, stratum in enumerate(strata))
    if not counted:
        _check_sum("the shares of the strata", [stratum["share"] for stratum in strata], ("strata",))
    parsed = tuple(_parse_stratum(number, stratum, total, folder) for number, stratum in enumerate(strata))
    num_rows = _parse_rows(content.get("rows"), int(total) if counted else None)
    return PlanContent(seed, parsed, num_rows, _parse_splits(content.get("splits", {"train": 1.0})))


def _parse_rows(rows: Any, counted: int | None) -> int | None:
    if rows is None:
        return counted
    if not _is_integer(rows) or rows < 1:
        raise PlanError(f"rows is {rows!r}, but must be an integer of 1 or more", ("rows",))
    if counted is not None and rows != counted:
        raise PlanError(f"rows is {rows}, but the counts of the strata sum to {counted}; leave rows out", ("rows",))
    return rows


def _parse_splits(splits: Any) -> dict[str, float]:
    """Returns the shares of the splits, in the order of `SPLITS`."""
    if not isinstance(splits, Mapping) or "train" not in splits:
        raise PlanError(
            f"splits is {splits!r}, but must be a mapping with train and other splits to shares", ("splits",)
        )
    for split, share in splits.items():
        place = ("splits", split)
        if split not in SPLITS:
            raise PlanError(f"splits: unknown split {split!r}; allowed are {', '.join(SPLITS)}", place)
        if not _is_number(share) or not SMALLEST_SPLIT <= share <= 1:
            raise PlanError(f"splits: {split} is {share!r}, but must be a number from {SMALLEST_SPLIT} to 1", place)
    _check_sum("the shares of the splits", list(splits.values()), ("splits",))
    return {split: float(splits[split]) for split in SPLITS if split in splits}


def _check_stratum(number: int, content: Any, strata: list) -> None:
    """Checks the fields and the name of a stratum."""
    where, place = f"strata[{number}]", ("strata", number)
    if not isinstance(content, Mapping):
        raise PlanError(f"{where} is {content!r}, but must be a mapping with name, share and labels", place)
    _check_fields(where, content, STRATUM_FIELDS, place)
    name = content["name"]
    if not isinstance(name, str) or not name:
        raise PlanError(f"{where}: name is {name!r}, but must be a text", (*place, "name"))
    if name in [earlier["name"] for earlier in strata[:number]]:
        raise PlanError(f"{where}: the name {name!r} is taken; names must differ", (*place, "name"))
    if "labels" not in content and "joint" not in content:
        raise PlanError(f"{where}: the field 'labels' is missing", place)


def _check_size(number: int, content: Mapping, counted: bool) -> float:
    """Checks the share or the count of a stratum, and returns it."""
    field, other = ("count", "share") if counted else ("share", "count")
    where, place = f"stratum {content['name']!r}", ("strata", number)
    if other in content:
        raise PlanError(
            f"{where} has a {other}, but the first stratum a {field}; give all strata the same", (*place, other)
        )
    if field not in content:
        raise PlanError(f"{where}: the field {field!r} is missing", place)
    size = content[field]
    if counted and (not _is_integer(size) or size < 1):
        raise PlanError(f"{where}: count is {size!r}, but must be an integer of 1 or more", (*place, field))
    if not counted and (not _is_number(size) or not SMALLEST_SHARE <= size <= 1):
        raise PlanError(
            f"{where}: share is {size!r}, but must be a number from {SMALLEST_SHARE:.4f} to 1", (*place, field)
        )
    return size


def _parse_stratum(number: int, content: Mapping, total: float, folder: Path) -> Stratum:
    where, place = f"stratum {content['name']!r}", ("strata", number)
    labels = content.get("labels", {})
    if not isinstance(labels, Mapping):
        raise PlanError(
            f"{where}: labels is {labels!r}, but must be a mapping from label names ({{}} for healthy)",
            (*place, "labels"),
        )
    parsed = {
        name: _parse_values(f"{where}, {name}", name, values, (*place, "labels", name))
        for name, values in labels.items()
    }
    try:
        joint = parse_joint(content["joint"], folder) if "joint" in content else None
        check_rules(parsed, joint)
    except JointError as error:
        raise PlanError(f"{where}, joint: {error}", (*place, "joint", *error.place)) from None
    except ContradictionError as error:
        wrong = ("joint",) if error.label is None else ("labels", error.label)
        raise PlanError(f"{where}: {error}", (*place, *wrong)) from None
    if joint is None or EYE_SIDE.name not in joint.names:
        parsed.setdefault(EYE_SIDE.name, tuple(EITHER_EYE.items()))
    count = content.get("count")
    return Stratum(content["name"], content["share"] * 1.0 if count is None else count / total, parsed, count, joint)


def _parse_values(where: str, label: str, values: Any, place: Place) -> Distribution:
    """One fixed value, or a mapping from values to probabilities, as a distribution."""
    try:
        if not isinstance(values, Mapping):
            return ((parse_value(label, values), 1.0),)
        get_label(label)
        numbers = [parse_value(label, value) for value in values]
    except ConditionError as error:
        raise PlanError(f"{where}: {error}", place) from None
    if not values:
        raise PlanError(f"{where}: the values are empty; give at least one value and its probability", place)
    for value, probability in values.items():
        if not _is_number(probability) or not 0 < probability <= 1:
            raise PlanError(
                f"{where}: the probability of {value!r} is {probability!r}, but must be a number above 0 and up to 1",
                (*place, value),
            )
    _check_sum(f"{where}: the probabilities", list(values.values()), place)
    if len(set(numbers)) < len(numbers):
        raise PlanError(f"{where}: {list(values)} holds a value twice; give each once", place)
    return tuple(zip(numbers, map(float, values.values()), strict=True))


def _check_fields(where: str, content: Mapping, fields: Collection[str], place: Place) -> None:
    for field in content:
        if field not in fields:
            close = difflib.get_close_matches(str(field), fields, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"allowed are {', '.join(fields)}"
            raise PlanError(f"{where}: unknown field {field!r}; {hint}", (*place, field))
    for field in fields:
        if field not in content and field not in OPTIONAL:
            raise PlanError(f"{where}: the field {field!r} is missing", place)


def _check_sum(what: str, parts: Collection[float], place: Place) -> None:
    total = math.fsum(parts)
    if abs(total - 1) > SUM_TOLERANCE:
        raise PlanError(f"{what} sum to {total:.6g}, but must sum to 1", place)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_integer(value) or isinstance(value, float)
