"""The material of all experiments: synthetic images, real photographs, and who among the real is held out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.cache import fingerprint
from evaluation.data.photographs import Photographs, load_photographs
from evaluation.data.splits import split_patients
from evaluation.errors import EvaluationError

# Where nobody says whom the generator has not seen, this share of the patients is kept from our own classifiers.
HELD_OUT_SHARE = 0.25
MIN_IMAGES = 40


@dataclass(frozen=True)
class Study:
    """What an experiment is given.

    Attributes:
        synthetic: all synthetic images.
        train: real photographs that classifiers here may learn from, and that the generator may have seen.
        held_out: real photographs of other patients.
        held_out_known: whether the generator is known not to have seen `held_out`.
        folder: where figures and caches go.
        seed: decides on everything random.
    """

    synthetic: Photographs
    train: Photographs
    held_out: Photographs
    held_out_known: bool
    folder: Path
    seed: int

    @property
    def cache(self) -> Path:
        """Folder of what can be computed again."""
        return self.folder / "cache"

    @property
    def fingerprint(self) -> str:
        """Changes with any image, label, split or seed."""
        parts = [part.fingerprint for part in (self.synthetic, self.train, self.held_out)]
        return fingerprint(*parts, self.held_out_known, self.seed)


def load_study(
    synthetic: str,
    real: str,
    folder: Path,
    size: int = 128,
    real_config: str | None = None,
    patient_column: str | None = "patient",
    held_out_patients: Path | None = None,
    limit: int = 0,
    seed: int = 0,
) -> Study:
    """Loads both sides and decides who is held out.

    Held out are the patients listed in `held_out_patients`; or else the rows of the real source's splits other than
    `train`; or else a quarter of the patients, drawn by `seed`, whom the generator may have seen.

    Args:
        synthetic: `datasets` source of the synthetic images.
        real: `datasets` source of the real photographs.
        folder: the report's folder.
        size: side of the equalised images in pixels.
        real_config: configuration of the real source.
        patient_column: column of patients in the real source.
        held_out_patients: text file, one patient a line.
        limit: at most so many images of either side, 0 for all.
        seed: decides on everything random.

    Raises:
        EvaluationError: for input that cannot be used.
    """
    if patient_column is None:
        raise EvaluationError("patient_column is missing; every experiment holds out by patient and needs one")
    cache = folder / "cache"
    photographs = load_photographs(real, size, cache, real_config, patient_column, limit)
    generated = load_photographs(synthetic, size, cache, limit=limit)
    train, held_out, known = hold_out(photographs, held_out_patients, seed)
    parts = {"synthetic": generated, "real train": photographs[train], "real held-out": photographs[held_out]}
    for name, part in parts.items():
        if len(part) < MIN_IMAGES:
            raise EvaluationError(f"{name} has {len(part)} images; at least {MIN_IMAGES} are needed")
    return Study(generated, photographs[train], photographs[held_out], known, folder, seed)


def hold_out(photographs: Photographs, listed: Path | None, seed: int) -> tuple[np.ndarray, np.ndarray, bool]:
    """Decides who is held out, see `load_study`.

    Returns:
        Row numbers of the others and of the held-out, and whether the generator is known not to have seen the latter.

    Raises:
        EvaluationError: if nobody listed is there, or a patient is on both sides.
    """
    if listed is not None:
        names = {line.strip() for line in listed.read_text(encoding="utf-8").splitlines() if line.strip()}
        chosen = np.isin(photographs.patients, list(names))
        if not chosen.any():
            raise EvaluationError(
                f"held_out_patients {str(listed)!r} names none of the patients of the real photographs"
            )
        return np.flatnonzero(~chosen), np.flatnonzero(chosen), True
    other = photographs.splits != "train"
    if other.any() and not other.all():
        both = set(photographs.patients[other]) & set(photographs.patients[~other])
        if both:
            raise EvaluationError(f"patient {str(min(both))!r} is in the split train and in another; allowed is one")
        return np.flatnonzero(~other), np.flatnonzero(other), True
    return *split_patients(photographs.patients, HELD_OUT_SHARE, seed), False
