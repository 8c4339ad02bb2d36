"""Checks that the labels that a stratum may draw do not contradict each other."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from pipeline_synfundus.labels import UNKNOWN, ConditionError, complete_condition

from .joint import Joint

Distribution = tuple[tuple[int, float], ...]


class ContradictionError(ValueError):
    """Labels that may be drawn together but contradict each other.

    Attributes:
        label: one of these labels, if the stratum itself gives one; None if all come from the joint distribution.
    """

    def __init__(self, message: str, label: str | None) -> None:
        super().__init__(message)
        self.label = label


def check_rules(labels: Mapping[str, Distribution], joint: Joint | None) -> None:
    """Checks that no values contradict each other that can be drawn together.

    Each rule concerns two labels, and unknown values satisfy it. So it is enough to check all pairs of values with all
    other labels unknown; checking all combinations would take too long. Each combination of a joint distribution is
    checked with each value of the stratum, without the labels that the stratum overrides.

    Raises:
        ContradictionError: with the broken rule.
    """
    names = [name for name in (joint.names if joint else ()) if name not in labels]
    unknown = dict.fromkeys([*labels, *names], UNKNOWN)
    choices = [(name, value) for name, distribution in labels.items() for value, _ in distribution]
    for one, other in itertools.combinations_with_replacement(choices, 2):
        if one[0] != other[0] or one == other:
            _check({**unknown, **dict([one, other])}, other[0])
    drawn = {tuple((name, condition[name]) for name in names) for condition in (joint.conditions() if joint else ())}
    for combination in sorted(drawn):
        _check({**unknown, **dict(combination)}, None)
        for name, value in choices:
            _check({**unknown, **dict(combination), name: value}, name)


def _check(condition: Mapping[str, int], label: str | None) -> None:
    try:
        complete_condition(condition)
    except ConditionError as error:
        raise ContradictionError(str(error), label) from None
