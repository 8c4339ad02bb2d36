"""The order in which rows are seen, as a pure function of the seed: resuming needs no state but the images seen."""

from __future__ import annotations

import numpy as np

from pipeline_synfundus.labels import DISEASES


def rare_label_weights(codes: np.ndarray, largest: float) -> np.ndarray:
    """How often each row is seen in an epoch, so that rare findings are not drowned by the common ones.

    A row's weight is that of its rarest finding: the square root of (rows of the commonest finding / rows of this
    one), as in Mahajan et al. 2018 (square-root resampling), between 1 and `largest`.

    Args:
        codes: integer array of shape (N, 16), -1 unknown.
        largest: upper bound of a weight.

    Returns:
        float array of shape (N,).
    """
    positive = codes[:, : len(DISEASES)] > 0
    counts = positive.sum(axis=0)
    rarity = np.sqrt(counts.max(initial=1) / np.maximum(counts, 1))
    return np.clip(np.where(positive, rarity, 1.0).max(axis=1, initial=1.0), 1.0, largest)


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
