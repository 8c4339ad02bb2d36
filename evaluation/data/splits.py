"""Splits of rows by patient."""

from __future__ import annotations

import numpy as np


def split_patients(patients: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Splits rows in two by patient.

    Args:
        patients: the patient of each row, shape (N,).
        share: share of the patients in the second part.
        seed: decides on the split.

    Returns:
        Row numbers of the first and of the second part; no patient is in both.
    """
    unique = np.unique(patients)
    second = np.random.default_rng(seed).permutation(unique)[: round(len(unique) * share)]
    in_second = np.isin(patients, second)
    return np.flatnonzero(~in_second), np.flatnonzero(in_second)
