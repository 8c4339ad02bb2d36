"""The order in which rows are seen, as a pure function of the seed: resuming needs no state but the images seen."""

from __future__ import annotations

import numpy as np

from pipeline_synfundus.labels import DISEASES

RARITY_EXPONENT = 0.75
SMALLEST_WEIGHT = 0.25
BALANCING_ROUNDS = 5


def rare_label_weights(codes: np.ndarray, largest: float) -> np.ndarray:
    """How often each row is seen in an epoch, so that rare findings are not drowned by the common ones.

    A row's weight is that of its rarest finding: (rows of the commonest finding / rows of this one) ** 0.75, between 1
    and `largest`. Mahajan et al. 2018 use the exponent 0.5; every grade of a graded disease is a finding of its own.

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

    Where a finding is common in one camera's photographs and rare in another's, a generator learns the camera in the
    place of the finding. Iterative proportional fitting moves the share of positives in each source to the share over
    all of these sources; the bounds on the weights keep it from repeating a few photographs without end.

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
    """An endless sequence of rows, shuffled anew each epoch; the same for any number of processes.

    Args:
        rows: the row numbers to draw from.
        weights: how often each of them stands in an epoch on average (its fraction is rounded at random each epoch).
        seed: seed of the shuffle.
    """

    def __init__(self, rows: np.ndarray, weights: np.ndarray | None = None, seed: int = 0) -> None:
        if len(rows) == 0:
            raise ValueError("there is no row to train on")
        self._rows = rows
        self._weights = np.ones(len(rows)) if weights is None else weights
        self._seed = seed
        # Rounding differs from epoch to epoch; a fixed length keeps the start of every epoch known without counting.
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
        """Rows number `start` to `start + count` of the endless sequence."""
        parts = []
        while count > 0:
            epoch, offset = divmod(start, self.epoch_length)
            parts.append(self._epoch(epoch)[offset : offset + count])
            start, count = start + len(parts[-1]), count - len(parts[-1])
        return np.concatenate(parts)
