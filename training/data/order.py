"""The order of the training rows, a pure function of the seed: resuming needs only the number of images seen."""

from __future__ import annotations

import numpy as np

from pipeline_synfundus.labels import DISEASES

RARITY_EXPONENT = 0.75
SMALLEST_WEIGHT = 0.25
BALANCING_ROUNDS = 5


def rare_label_weights(codes: np.ndarray, largest: float) -> np.ndarray:
    """Returns how often each row is seen per epoch, so that rare findings are seen more often.

    The weight of a row is that of its rarest finding: (rows of the most frequent finding / rows of this one) ** 0.75,
    between 1 and `largest`. Mahajan et al. 2018 use the exponent 0.5. Each grade of a disease is a separate finding.

    Args:
        codes: integer array of shape (N, 16), -1 unknown.
        largest: upper bound of a weight.

    Returns:
        float array of shape (N,).
    """
    findings = [codes[:, i] == value for i, label in enumerate(DISEASES) for value in range(1, label.cardinality)]
    positive = np.stack(findings, axis=1)
    counts = positive.sum(axis=0)
    rarity = (counts.max(initial=1) / np.maximum(counts, 1)) ** RARITY_EXPONENT
    return np.clip(np.where(positive, rarity, 1.0).max(axis=1, initial=1.0), 1.0, largest)


def balanced_weights(codes: np.ndarray, sources: np.ndarray, largest: float) -> np.ndarray:
    """`rare_label_weights`, with each finding made about as frequent in every source that has eyes with and without it.

    If a finding is common in the photographs of one camera and rare in those of another, a generator learns the camera
    instead of the finding. Iterative proportional fitting moves the share of positives in each source to the share over
    all of these sources; the bounds on the weights limit how often single photographs are repeated.

    Args:
        codes: integer array of shape (N, 16), -1 unknown.
        sources: names of the sources, shape (N,).
        largest: upper bound of a weight; the lower bound is 0.25.

    Returns:
        float array of shape (N,).
    """
    weights = rare_label_weights(codes, largest)
    for _ in range(BALANCING_ROUNDS):
        for column in range(len(DISEASES)):
            weights = _balance_one(weights, codes[:, column], sources).clip(SMALLEST_WEIGHT, largest)
    return weights


def _balance_one(weights: np.ndarray, values: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Moves the share of positives in each source to the share over all sources that have both; sums are kept."""
    positive, negative = values > 0, values == 0
    mixed = np.intersect1d(sources[positive], sources[negative])
    usable = np.isin(sources, mixed)
    weights = weights.copy()
    total = weights[usable & (positive | negative)].sum()
    wanted = weights[usable & positive].sum() / total if total else 0.0
    for source in mixed:
        here = sources == source
        present, absent = weights[here & positive].sum(), weights[here & negative].sum()
        weights[here & positive] *= wanted * (present + absent) / present
        weights[here & negative] *= (1 - wanted) * (present + absent) / absent
    return weights


class EpochOrder:
    """An infinite sequence of rows, shuffled in each epoch; the same for any number of processes.

    Args:
        rows: the row numbers to draw from.
        weights: how often each row occurs per epoch on average (fractions are rounded at random in each epoch).
        seed: seed of the shuffle.
    """

    def __init__(self, rows: np.ndarray, weights: np.ndarray | None = None, seed: int = 0) -> None:
        if len(rows) == 0:
            raise ValueError("there is no row to train on")
        self._rows = rows
        self._weights = np.ones(len(rows)) if weights is None else weights
        self._seed = seed
        # Rounding differs between epochs; with a fixed length, the start of every epoch is known.
        self.epoch_length = int(self._weights.sum())
        self._cached: tuple[int, np.ndarray] = (-1, rows)

    def _epoch(self, number: int) -> np.ndarray:
        if self._cached[0] != number:
            generator = np.random.default_rng([self._seed, 2, number])
            repeats = np.floor(self._weights + generator.random(len(self._rows))).astype(int)
            drawn = generator.permutation(np.repeat(self._rows, repeats))
            self._cached = (number, np.resize(drawn, self.epoch_length))
        return self._cached[1]

    def take(self, start: int, count: int) -> np.ndarray:
        """Returns the rows `start` to `start + count` of the infinite sequence."""
        parts = []
        while count > 0:
            epoch, offset = divmod(start, self.epoch_length)
            parts.append(self._epoch(epoch)[offset : offset + count])
            start, count = start + len(parts[-1]), count - len(parts[-1])
        return np.concatenate(parts)
