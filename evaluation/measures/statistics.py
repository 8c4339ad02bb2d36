"""Numbers with their uncertainty: bootstrap by patient, AUC (pooled and within source), kappa."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from evaluation.errors import NotMeasurable

# With fewer positives or negatives, the interval of an AUC is too wide for any conclusion.
MIN_PER_CLASS = 10
RESAMPLES = 1000


@dataclass(frozen=True)
class Interval:
    """An estimate with bounds: a 95 % confidence interval unless the table says otherwise."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def interval(value: float, draws: np.ndarray) -> Interval:
    """The estimate `value` with the 2.5 % and 97.5 % quantiles of bootstrap draws.

    Raises:
        NotMeasurable: if a number is not finite.
    """
    return _finite(value, *np.quantile(draws, [0.025, 0.975]))


def full_range(values: np.ndarray) -> Interval:
    """The mean of some values with the smallest and the largest: not a confidence interval.

    Raises:
        NotMeasurable: if a number is not finite.
    """
    return _finite(values.mean(), values.min(), values.max())


def _finite(*numbers: float) -> Interval:
    if not np.isfinite(numbers).all():
        raise NotMeasurable(f"the estimate {numbers[0]} or its interval is not a finite number")
    return Interval(*map(float, numbers))


def bootstrap(
    statistic: Callable[[np.ndarray], float], patients: np.ndarray, seed: int, resamples: int | None = None
) -> Interval:
    """Percentile bootstrap by patient (Efron 1979): patients are drawn with replacement, with all their rows.

    Args:
        statistic: from row numbers to a number; raises `NotMeasurable` if a resample does not support it.
        patients: the patient of each row, shape (N,).
        seed: determines the draws.
        resamples: number of draws; `RESAMPLES` if None.

    Raises:
        NotMeasurable: if the data or most resamples do not support the statistic.
    """
    resamples = RESAMPLES if resamples is None else resamples
    value = statistic(np.arange(len(patients)))
    order = np.argsort(patients, kind="stable")
    counts = np.unique(patients, return_counts=True)[1]
    starts = np.cumsum(counts) - counts
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(resamples):
        drawn = rng.integers(len(counts), size=len(counts))
        lengths = counts[drawn]
        before = np.cumsum(lengths) - lengths
        try:
            draws.append(statistic(order[np.arange(lengths.sum()) + np.repeat(starts[drawn] - before, lengths)]))
        except NotMeasurable:
            continue
    if len(draws) < resamples / 2:
        raise NotMeasurable(f"only {len(draws)} of {resamples} resamples of the patients support it")
    return interval(value, np.array(draws))


def auc(truth: np.ndarray, scores: np.ndarray, min_per_class: int = 1) -> float:
    """Area under the ROC curve: the share of pairs that are in order, ties as half (Mann and Whitney 1947).

    Args:
        truth: 0 or 1, shape (N,).
        scores: higher for 1, shape (N,).
        min_per_class: how many positives and negatives are needed.

    Raises:
        NotMeasurable: with fewer positives or negatives.
    """
    positive = truth == 1
    positives, negatives = int(positive.sum()), int((truth == 0).sum())
    if min(positives, negatives) < min_per_class:
        raise NotMeasurable(f"{positives} positives and {negatives} negatives; at least {min_per_class} of each needed")
    if np.isnan(scores).any():
        return float("nan")
    # Counts pairs, because the ranks of scipy's `rankdata` would take most of the time of a bootstrap.
    below = np.sort(scores[truth == 0])
    wins = (
        np.searchsorted(below, scores[positive], "left").sum() + np.searchsorted(below, scores[positive], "right").sum()
    )
    return float(wins / 2 / (positives * negatives))


def measurable_questions(truth: np.ndarray) -> np.ndarray:
    """The columns with at least `MIN_PER_CLASS` positives and as many negatives, of answers 0, 1 or NaN, (N, Q)."""
    rarest = np.minimum((truth == 1).sum(axis=0), (truth == 0).sum(axis=0))
    return np.flatnonzero(rarest >= MIN_PER_CLASS)


def within_source_auc(truth: np.ndarray, scores: np.ndarray, sources: np.ndarray) -> float:
    """AUC within source: the probability that a positive scores higher than a negative of the same source.

    If a label is more common in one photograph set than in another, a classifier can earn a pooled AUC by recognising
    the camera. Here only pairs from the same set count: the mean of the sets' AUCs, weighted by their pairs (the
    stratified Mann-Whitney statistic of van Elteren 1960).

    Args:
        truth: 0 or 1, shape (N,).
        scores: higher for 1, shape (N,).
        sources: the set of each row, shape (N,).

    Raises:
        NotMeasurable: if no source has both positives and negatives.
    """
    total = pairs = 0.0
    for source in np.unique(sources):
        rows = sources == source
        count = float((truth[rows] == 1).sum()) * float((truth[rows] == 0).sum())
        if count:
            total += count * auc(truth[rows], scores[rows])
            pairs += count
    if not pairs:
        raise NotMeasurable("no source has both positives and negatives")
    return total / pairs


def quadratic_kappa(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Cohen's kappa with quadratic weights (Cohen 1968), of integer grades from 0.

    Raises:
        NotMeasurable: if the truth has fewer than two grades.
    """
    counts = _confusion(truth, predicted)
    if (counts.sum(axis=1) > 0).sum() < 2:
        raise NotMeasurable(f"the truth has {int((counts.sum(axis=1) > 0).sum())} grades; at least 2 are needed")
    grades = np.arange(len(counts))
    weights = np.square(grades[:, None] - grades[None])
    by_chance = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    return float(1 - (weights * counts).sum() / (weights * by_chance).sum())


def macro_f1(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Mean F1 over the classes that occur in the truth or in the predictions, which are integers from 0."""
    counts = _confusion(truth, predicted)
    total = counts.sum(axis=0) + counts.sum(axis=1)
    there = total > 0
    return float((2 * np.diag(counts)[there] / total[there]).mean())


def _confusion(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """How often each class (row) is predicted as each class (column)."""
    truth, predicted = truth.astype(int), predicted.astype(int)
    classes = int(max(truth.max(), predicted.max())) + 1
    return np.bincount(truth * classes + predicted, minlength=classes**2).reshape(classes, classes)


def bootstrap_auc(truth: np.ndarray, scores: np.ndarray, patients: np.ndarray, seed: int) -> Interval:
    """AUC with its interval; `NotMeasurable` below `MIN_PER_CLASS` positives or negatives."""
    auc(truth, scores, MIN_PER_CLASS)
    return bootstrap(lambda rows: auc(truth[rows], scores[rows]), patients, seed)


def bootstrap_within_source_auc(
    truth: np.ndarray, scores: np.ndarray, sources: np.ndarray, patients: np.ndarray, seed: int
) -> Interval:
    """AUC within source with its interval, over the sources with both classes.

    Raises:
        NotMeasurable: if these sources have fewer than `MIN_PER_CLASS` positives or negatives together.
    """
    both = np.isin(sources, sources_with_both(truth, sources))
    truth, scores, sources, patients = truth[both], scores[both], sources[both], patients[both]
    positives, negatives = int((truth == 1).sum()), int((truth == 0).sum())
    if min(positives, negatives) < MIN_PER_CLASS:
        raise NotMeasurable(
            f"{positives} positives and {negatives} negatives in sources that have both; at least {MIN_PER_CLASS} of "
            "each needed"
        )
    numbers = np.unique(sources, return_inverse=True)[1]
    return bootstrap(lambda rows: within_source_auc(truth[rows], scores[rows], numbers[rows]), patients, seed)


def sources_with_both(truth: np.ndarray, sources: np.ndarray) -> list[str]:
    """The sources that have both positives and negatives."""
    return sorted({str(source) for source in sources[truth == 1]} & {str(source) for source in sources[truth == 0]})
