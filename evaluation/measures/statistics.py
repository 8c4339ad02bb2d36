"""Numbers with their uncertainty: bootstrap by patient, halves of patients, and scores that refuse to be NaN."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from evaluation.errors import NotMeasurable

# Fewer positives or negatives than this make an AUC's interval wider than anything one could conclude from it.
MIN_PER_CLASS = 10
RESAMPLES = 200


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % confidence interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def interval(value: float, draws: np.ndarray) -> Interval:
    """The 95 % percentile interval of `draws` about the estimate `value`.

    Raises:
        NotMeasurable: if a number is not finite.
    """
    numbers = [float(value), *map(float, np.quantile(draws, [0.025, 0.975]))]
    if not np.isfinite(numbers).all():
        raise NotMeasurable(f"the estimate {value} or its interval is not a finite number")
    return Interval(*numbers)


def bootstrap(
    statistic: Callable[[np.ndarray], float], patients: np.ndarray, seed: int, resamples: int = RESAMPLES
) -> Interval:
    """Bootstrap by patient: draws patients with replacement, with all their rows.

    Args:
        statistic: from row numbers to a number; raises `NotMeasurable` where a resample does not support it.
        patients: the patient of each row, shape (N,).
        seed: decides on the draws.
        resamples: number of draws.

    Raises:
        NotMeasurable: where the whole does not support the statistic, or too few resamples do.
    """
    value = statistic(np.arange(len(patients)))
    order = np.argsort(patients, kind="stable")
    rows_of = np.split(order, np.flatnonzero(np.diff(np.unique(patients, return_inverse=True)[1][order])) + 1)
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(resamples):
        drawn = rng.integers(len(rows_of), size=len(rows_of))
        try:
            draws.append(statistic(np.concatenate([rows_of[patient] for patient in drawn])))
        except NotMeasurable:
            continue
    if len(draws) < resamples / 2:
        raise NotMeasurable(f"only {len(draws)} of {resamples} resamples of the patients support it")
    return interval(value, np.array(draws))


def auc(truth: np.ndarray, scores: np.ndarray, min_per_class: int = 1) -> float:
    """Area under the ROC curve.

    Args:
        truth: 0 or 1, shape (N,).
        scores: higher for 1, shape (N,).
        min_per_class: how many positives and negatives are needed.

    Raises:
        NotMeasurable: with fewer positives or negatives.
    """
    positives, negatives = int((truth == 1).sum()), int((truth == 0).sum())
    if min(positives, negatives) < min_per_class:
        raise NotMeasurable(f"{positives} positives and {negatives} negatives; at least {min_per_class} of each needed")
    return float(roc_auc_score(truth, scores))


def quadratic_kappa(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Cohen's kappa with quadratic weights, of integer grades.

    Raises:
        NotMeasurable: if the truth has fewer than two grades.
    """
    if len(np.unique(truth)) < 2:
        raise NotMeasurable(f"the truth has {len(np.unique(truth))} grades; at least 2 are needed")
    return float(cohen_kappa_score(truth, predicted, weights="quadratic"))


def bootstrap_auc(truth: np.ndarray, scores: np.ndarray, patients: np.ndarray, seed: int) -> Interval:
    """AUC with its interval; `NotMeasurable` below `MIN_PER_CLASS` positives or negatives."""
    auc(truth, scores, MIN_PER_CLASS)
    return bootstrap(lambda rows: auc(truth[rows], scores[rows]), patients, seed)
