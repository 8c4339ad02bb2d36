"""The conditions of a dataset: a plan gives each row its labels and its noise seed.

Row i is a pure function of (plan, i). It depends neither on the number of rows nor on batches, shards or processes. So
a single image can be generated again, and a smaller dataset is the beginning of a larger one.

`python -m dataset_script.conditions PLAN` shows the rows of a plan.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from pipeline_synfundus.labels import CONDITION_NAMES, complete_condition

from .interleave import interleave, largest_remainder
from .plan_file import Distribution, Stratum, read_plan_file
from .seed_words import seed_words
from .splits import split_numbers

DEFAULT_PLAN = Path(__file__).parents[1] / "plans" / "synfundus-1m.yaml"
# The order of strata repeats after this many rows, if the plan gives shares; shares are rounded to 1/CYCLE.
CYCLE = 10_000
# Part of a plan's hash. Increase it with every change that gives the same plan different rows.
SCHEME = 1


@dataclass(frozen=True)
class Row:
    """The input of the generator for one image.

    Attributes:
        idx: the row's number, 0 or more.
        stratum: name of its stratum.
        condition: a complete condition, see `pipeline_synfundus.labels`.
        noise_seed: seed of its noise, 0 to 2**63 - 1.
    """

    idx: int
    stratum: str
    condition: dict[str, int]
    noise_seed: int


@dataclass(frozen=True)
class ConditionPlan:
    """Strata of conditions and the seed of all draws; `load_plan` reads a plan.

    Attributes:
        seed: of all draws.
        strata: the kinds of rows.
        num_rows: the number of rows of the whole dataset; None if the plan gives none. Rows do not depend on it.
        splits: split to its share of all rows. Rows do not depend on it, and it is not part of `hash`.
    """

    seed: int
    strata: tuple[Stratum, ...]
    num_rows: int | None = None
    splits: Mapping[str, float] = field(default_factory=lambda: {"train": 1.0})
    _order: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        counts = [stratum.count for stratum in self.strata if stratum.count is not None]
        shares = [stratum.share for stratum in self.strata]
        object.__setattr__(self, "_order", interleave(counts or largest_remainder(shares, CYCLE)))

    @property
    def hash(self) -> str:
        """Identifies the rows of the plan: 16 hexadecimal digits.

        Comments, the layout of the file and the source of a joint distribution do not change it.
        """
        content = {"scheme": SCHEME, "seed": self.seed, "strata": [_content(stratum) for stratum in self.strata]}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def cycle(self) -> int:
        """The order of strata repeats after this many rows: `CYCLE`, or the sum of the counts in a plan of counts."""
        return len(self._order)

    def row(self, idx: int) -> Row:
        """Returns row `idx`; `rows` is much faster for many.

        Raises:
            IndexError: if `idx` is negative.
        """
        return self.rows([idx])[0]

    def rows(self, numbers: Sequence[int] | np.ndarray) -> list[Row]:
        """Returns rows by their numbers, in the given order.

        Raises:
            IndexError: if a number is negative.
        """
        idx = np.asarray(numbers, np.int64)
        if (idx < 0).any():
            raise IndexError(f"idx is {idx.min()}, but must be 0 or more")
        # One word for the noise and one per label, also for labels that the stratum does not draw: a stratum that
        # draws one more label keeps its noise and its other labels. The last word is for the joint distribution.
        words = seed_words(self.seed, idx, 2 + len(CONDITION_NAMES))
        uniform, strata = words[:, 1:] / 2.0**64, self._order[idx % self.cycle]
        conditions: list[dict[str, int]] = [{}] * len(idx)
        for number in np.unique(strata):
            positions = np.flatnonzero(strata == number)
            drawn = _draw_conditions(self.strata[number], uniform[positions])
            for position, condition in zip(positions.tolist(), drawn, strict=True):
                conditions[position] = condition
        names = [self.strata[number].name for number in strata.tolist()]
        return list(map(Row, idx.tolist(), names, conditions, (words[:, 0] >> np.uint64(1)).tolist()))

    def split_rows(self, num_rows: int) -> dict[str, np.ndarray]:
        """Returns the numbers of the first `num_rows` rows by split, ascending; splits without rows are omitted.

        The rows of a split of a smaller dataset are the first ones of that split in a larger dataset.
        """
        numbers = split_numbers(self._order, self.splits, num_rows)
        rows = {split: np.flatnonzero(numbers == number) for number, split in enumerate(self.splits)}
        return {split: idx for split, idx in rows.items() if len(idx)}

    def stratum_counts(self, num_rows: int) -> dict[str, int]:
        """Returns the number of rows of each stratum among the first `num_rows`, by name, in the order of the plan."""
        cycles, rest = divmod(num_rows, self.cycle)
        whole, part = (np.bincount(order, minlength=len(self.strata)) for order in (self._order, self._order[:rest]))
        counts = cycles * whole + part
        return {stratum.name: int(count) for stratum, count in zip(self.strata, counts, strict=True)}


def load_plan(path: str | Path = DEFAULT_PLAN) -> ConditionPlan:
    """Returns the plan in a YAML file.

    Raises:
        PlanError: if the file cannot be read or is not a valid plan; the message names the error and what is allowed.
    """
    return ConditionPlan(*read_plan_file(path))


def plan_text(path: Path, plan: ConditionPlan) -> str:
    """Returns the text of a plan that needs no other file.

    A plan without tables keeps the text of its file. Otherwise the joint distributions replace the tables that they
    were counted in: these tables may hold more data about patients.
    """
    if not any(stratum.joint for stratum in plan.strata):
        return path.read_text(encoding="utf-8")
    strata = []
    for stratum in plan.strata:
        size = {"share": stratum.share} if stratum.count is None else {"count": stratum.count}
        labels = {name: dict(distribution) for name, distribution in stratum.labels.items()}
        joint = {"joint": stratum.joint.content()} if stratum.joint else {}
        strata.append({"name": stratum.name, **size, "labels": labels, **joint})
    rows = {} if plan.num_rows is None else {"rows": plan.num_rows}
    content = {"seed": plan.seed, **rows, "splits": dict(plan.splits), "strata": strata}
    return yaml.safe_dump(content, sort_keys=False)


def _content(stratum: Stratum) -> dict[str, Any]:
    """Returns the part of the hash that a stratum contributes."""
    content: dict[str, Any] = {"name": stratum.name, "share": stratum.share, "labels": stratum.labels}
    if stratum.count is not None:
        content["count"] = stratum.count
    if stratum.joint is not None:
        content["joint"] = stratum.joint.content()
    return content


def _draw_conditions(stratum: Stratum, uniform: np.ndarray) -> list[dict[str, int]]:
    """Returns the complete conditions of rows of a stratum.

    Args:
        stratum: the stratum.
        uniform: a number in [0, 1] per row and condition label, and one for the joint distribution; shape (rows, 17).
    """
    columns = {name: _draw(law, uniform[:, CONDITION_NAMES.index(name)]) for name, law in stratum.labels.items()}
    drawn = list(zip(*columns.values(), strict=True)) or [()] * len(uniform)
    names, joint = tuple(columns), stratum.joint
    if joint is None:
        return [dict(_complete(names, values)) for values in drawn]
    return [
        complete_condition(joint.draw(last) | dict(zip(names, values, strict=True)))
        for last, values in zip(uniform[:, -1].tolist(), drawn, strict=True)
    ]


@lru_cache(maxsize=4096)
def _complete(names: tuple[str, ...], values: tuple[int, ...]) -> dict[str, int]:
    """Returns a complete condition, which must not be changed: the rows of a stratum have few different ones."""
    return complete_condition(dict(zip(names, values, strict=True)))


def _draw(distribution: Distribution, uniform: np.ndarray) -> list[int]:
    """Returns a value of the distribution for each number in [0, 1]."""
    values, probabilities = zip(*distribution, strict=True)
    positions = np.searchsorted(np.cumsum(probabilities), uniform, side="right")
    # The probabilities may sum to slightly less than 1.
    return np.array(values)[np.minimum(positions, len(values) - 1)].tolist()
