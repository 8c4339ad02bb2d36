"""The predefined conditions of a dataset: a plan gives each row its labels and its noise.

Row i is a pure function of (plan, i). It depends neither on the number of rows nor on batches, shards or processes, so
any image can be made again alone, and a smaller dataset is the beginning of a larger one.

`python -m dataset_script.conditions PLAN` shows what a plan gives.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from pipeline_synfundus.labels import CONDITION_NAMES, complete_condition

from .plan_file import Distribution, Stratum, read_plan_file

DEFAULT_PLAN = Path(__file__).parents[1] / "plans" / "synfundus-1m.yaml"
# The strata of a plan of shares repeat after this many rows; shares are rounded to 1/CYCLE.
CYCLE = 10_000
# Part of a plan's hash. Raise it with any change after which the same plan would give other rows.
SCHEME = 1


@dataclass(frozen=True)
class Row:
    """What one image is made from.

    Attributes:
        idx: the row's number, 0 or more.
        stratum: name of the stratum it belongs to.
        condition: a complete condition, see `pipeline_synfundus.labels`.
        noise_seed: seed of its noise, 0 to 2**63 - 1.
    """

    idx: int
    stratum: str
    condition: dict[str, int]
    noise_seed: int


@dataclass(frozen=True)
class ConditionPlan:
    """Strata of conditions and the seed they are drawn with; `load_plan` reads one.

    Attributes:
        seed: of all draws.
        strata: the kinds of rows.
        num_rows: the number of rows that the plan is meant for; None if it says nothing. No part of what a row is.
    """

    seed: int
    strata: tuple[Stratum, ...]
    num_rows: int | None = None
    _order: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        counts = [stratum.count for stratum in self.strata if stratum.count is not None]
        order = _interleave(counts or _largest_remainder([stratum.share for stratum in self.strata]))
        object.__setattr__(self, "_order", order)

    @property
    def hash(self) -> str:
        """Identifies the rows that the plan gives: 16 hexadecimal digits. Comments and layout of the file are no part
        of it, nor where the combinations of a joint distribution were counted."""
        content = {"scheme": SCHEME, "seed": self.seed, "strata": [_content(stratum) for stratum in self.strata]}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def cycle(self) -> int:
        """The strata repeat after this many rows: `CYCLE`, or all of them in a plan of counts."""
        return len(self._order)

    def row(self, idx: int) -> Row:
        """Returns row `idx`.

        Raises:
            IndexError: if `idx` is negative.
        """
        if idx < 0:
            raise IndexError(f"idx is {idx}, but must be 0 or more")
        stratum = self.strata[int(self._order[idx % self.cycle])]
        # One word for the noise and one for each label, whether the stratum draws it or not: drawing one label more
        # leaves the noise and the other labels as they are. The last word is for the joint distribution.
        words = np.random.SeedSequence(self.seed, spawn_key=(idx,)).generate_state(2 + len(CONDITION_NAMES), np.uint64)
        *draws, joint_draw = (words[1:] / 2.0**64).tolist()
        uniform = dict(zip(CONDITION_NAMES, draws, strict=True))
        labels = stratum.joint.draw(joint_draw) if stratum.joint else {}
        labels |= {name: _draw(distribution, uniform[name]) for name, distribution in stratum.labels.items()}
        return Row(idx, stratum.name, complete_condition(labels), int(words[0]) >> 1)

    def stratum_counts(self, num_rows: int) -> dict[str, int]:
        """Returns how many of the first `num_rows` rows each stratum has, by name, in the order of the plan."""
        cycles, rest = divmod(num_rows, self.cycle)
        whole, part = (np.bincount(order, minlength=len(self.strata)) for order in (self._order, self._order[:rest]))
        counts = cycles * whole + part
        return {stratum.name: int(count) for stratum, count in zip(self.strata, counts, strict=True)}


def load_plan(path: str | Path = DEFAULT_PLAN) -> ConditionPlan:
    """Returns the plan in a YAML file.

    Raises:
        PlanError: if the file cannot be read, or is no plan; the message names what is wrong and what is allowed.
    """
    return ConditionPlan(*read_plan_file(path))


def plan_text(path: Path, plan: ConditionPlan) -> str:
    """Returns the text of a plan that needs no other file: that of its file, if it names no tables; otherwise the
    joint distributions stand in it, and not the tables they were counted in, which may hold more about patients."""
    if not any(stratum.joint for stratum in plan.strata):
        return path.read_text(encoding="utf-8")
    strata = []
    for stratum in plan.strata:
        size = {"share": stratum.share} if stratum.count is None else {"count": stratum.count}
        labels = {name: dict(distribution) for name, distribution in stratum.labels.items()}
        joint = {"joint": stratum.joint.content()} if stratum.joint else {}
        strata.append({"name": stratum.name, **size, "labels": labels, **joint})
    rows = {} if plan.num_rows is None else {"rows": plan.num_rows}
    return yaml.safe_dump({"seed": plan.seed, **rows, "strata": strata}, sort_keys=False)


def _content(stratum: Stratum) -> dict[str, Any]:
    """What a stratum adds to the hash."""
    content: dict[str, Any] = {"name": stratum.name, "share": stratum.share, "labels": stratum.labels}
    if stratum.count is not None:
        content["count"] = stratum.count
    if stratum.joint is not None:
        content["joint"] = stratum.joint.content()
    return content


def _interleave(counts: Sequence[int] | np.ndarray) -> np.ndarray:
    """Returns the number of the stratum of each row of a cycle; shape (sum of counts,).

    Independent draws would leave a stratum of 1 % out of every second dataset of 64 rows. Here the k-th of the q rows
    of a stratum wants to stand k/q into the cycle, and the rows stand in that order: the first rows are one of each
    stratum in the order of the plan, and from then on each stratum comes at even distances. So any beginning holds
    all strata as soon as it is long enough, and the shares of a longer one are right to within a few rows.
    """
    strata = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    wanted = np.concatenate([np.arange(count) / count for count in counts])
    return strata[np.lexsort((strata, wanted))]


def _largest_remainder(shares: Sequence[float]) -> np.ndarray:
    """Returns how many of the rows of a cycle each stratum has: whole numbers that sum to CYCLE, each 1 or more."""
    exact = np.asarray(shares) / np.sum(shares) * CYCLE
    counts = np.maximum(np.floor(exact + 1e-6).astype(int), 1)
    missing = CYCLE - int(counts.sum())
    order = np.argsort(counts - exact, kind="stable")
    counts[order[:missing]] += 1
    return counts


def _draw(distribution: Distribution, uniform: float) -> int:
    """Returns a value of the distribution; `uniform` is in [0, 1]."""
    reached = 0.0
    for value, probability in distribution:
        reached += probability
        if uniform < reached:
            return value
    return distribution[-1][0]  # rounding: the probabilities' sum, or uniform itself, may miss 1 by a hair
