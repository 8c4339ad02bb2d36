"""The three parts of the patients: training, validation (for choices) and test (for results)."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from evaluation.errors import EvaluationError

TRAINING, VALIDATION, TEST = PARTS = ("training", "validation", "test")
# Parts by the names that `datasets` gives to splits.
SPLIT_NAMES = {"train": TRAINING, "training": TRAINING, "validation": VALIDATION, "valid": VALIDATION, "test": TEST}
# Where neither a list nor the source names the parts, these shares of the patients are drawn.
DRAWN_SHARES = {VALIDATION: 0.15, TEST: 0.25}
DRAWN_SEED = 0


def split_patients(patients: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Splits rows in two by patient.

    Args:
        patients: the patient of each row, shape (N,).
        share: share of the patients in the second part.
        seed: determines the split.

    Returns:
        Row numbers of the first and of the second part; no patient is in both.
    """
    unique = np.unique(patients)
    second = np.random.default_rng(seed).permutation(unique)[: round(len(unique) * share)]
    in_second = np.isin(patients, second)
    return np.flatnonzero(~in_second), np.flatnonzero(in_second)


def assign_parts(patients: np.ndarray, splits: np.ndarray, listed: Path | None) -> tuple[np.ndarray, bool]:
    """Assigns each row to a part; all rows of a patient are in the same part.

    The parts are those of the file `listed`; without it, those of the source's splits if there is more than one;
    otherwise they are drawn from the patients, always in the same way.

    Args:
        patients: the patient of each row, shape (N,).
        splits: the split of the source from which each row comes, shape (N,).
        listed: CSV file with columns `patient` and `part`, as `python -m training.splits` writes it.

    Returns:
        The part of each row, shape (N,), and whether the parts are those that the generator was trained with.

    Raises:
        EvaluationError: if a patient is in no part or in two, or a part has an unknown name.
    """
    if listed is not None:
        return _listed_parts(patients, listed), True
    if len(np.unique(splits)) > 1:
        return _parts_of_splits(patients, splits), True
    unique = np.random.default_rng(DRAWN_SEED).permutation(np.unique(patients))
    first, second = (round(len(unique) * share) for share in DRAWN_SHARES.values())
    parts = np.full(len(patients), TRAINING, dtype="<U10")
    parts[np.isin(patients, unique[:first])] = VALIDATION
    parts[np.isin(patients, unique[first : first + second])] = TEST
    return parts, False


def read_parts(path: Path) -> dict[str, str]:
    """Reads a CSV file with columns `patient` and `part`.

    Raises:
        EvaluationError: for missing columns, an unknown part, or a patient in two parts.
    """
    parts: dict[str, str] = {}
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if not {"patient", "part"} <= set(reader.fieldnames or ()):
            raise EvaluationError(f"splits {str(path)!r} has columns {reader.fieldnames}; needed are patient and part")
        for row in reader:
            patient, part = row["patient"], row["part"]
            if part not in PARTS:
                raise EvaluationError(f"the part of patient {patient!r} in {str(path)!r} is {part!r}; {_allowed()}")
            if parts.setdefault(patient, part) != part:
                raise EvaluationError(f"patient {patient!r} in {str(path)!r} is in two parts; allowed is one")
    return parts


def refuse_chosen_on(patients: Iterable[str], files: Iterable[Path]) -> None:
    """Refuses test patients on whom something was chosen.

    Args:
        patients: the test patients.
        files: text files of patients, one per line, as `evaluation.sampling_sweep` writes them.

    Raises:
        EvaluationError: if a test patient is in one of the files.
    """
    tested = set(patients)
    for file in files:
        seen = tested & set(file.read_text(encoding="utf-8").splitlines())
        if seen:
            raise EvaluationError(
                f"{len(seen)} test patients are listed in {str(file)!r}, for instance {min(seen)!r}: a choice was made "
                "on them; allowed are test patients on whom nothing was chosen"
            )


def _listed_parts(patients: np.ndarray, listed: Path) -> np.ndarray:
    parts = read_parts(listed)
    missing = sorted(set(patients) - set(parts))
    if missing and len(missing) == len(set(patients)):
        raise EvaluationError(f"splits {str(listed)!r} names none of the patients of the real photographs")
    if missing:
        raise EvaluationError(
            f"{len(missing)} patients are in no part of splits {str(listed)!r}, for instance {str(missing[0])!r}; "
            "every patient of the real photographs needs a part"
        )
    return np.array([parts[patient] for patient in patients])


def _parts_of_splits(patients: np.ndarray, splits: np.ndarray) -> np.ndarray:
    unknown = sorted(set(splits) - set(SPLIT_NAMES))
    if unknown:
        raise EvaluationError(f"the real source has a split {str(unknown[0])!r}; allowed are {', '.join(SPLIT_NAMES)}")
    split_of: dict[str, str] = {}
    for patient, split in zip(patients, splits, strict=True):
        if split_of.setdefault(patient, split) != split:
            raise EvaluationError(
                f"patient {str(patient)!r} is in the split {split_of[patient]} and in another; allowed is one"
            )
    return np.array([SPLIT_NAMES[split] for split in splits])


def _allowed() -> str:
    return f"allowed are {', '.join(PARTS)}"
