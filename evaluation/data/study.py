"""The data of all experiments: synthetic images, real photographs, and which of their patients are held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.cache import fingerprint
from evaluation.data.photographs import Photographs, load_photographs
from evaluation.data.splits import TEST, TRAINING, VALIDATION, assign_parts, refuse_chosen_on
from evaluation.errors import EvaluationError

MIN_IMAGES = 40
# Experiments that need no more measure a random sample of the synthetic images. All are searched for copies.
MAX_SAMPLE = 20_000


@dataclass(frozen=True)
class Study:
    """The data that an experiment is given.

    Attributes:
        synthetic: all synthetic images.
        train: real photographs from which classifiers here may learn, and which the generator may have seen.
        held_out: real photographs of the test patients.
        held_out_known: whether the generator is known not to have seen the patients of `held_out`.
        folder: for figures and caches.
        seed: determines everything random.
        has_validation: whether other patients than those of `held_out` were there for choices.
    """

    synthetic: Photographs
    train: Photographs
    held_out: Photographs
    held_out_known: bool
    folder: Path
    seed: int
    has_validation: bool = False

    @property
    def cache(self) -> Path:
        """Folder for what can be computed again."""
        return self.folder / "cache"

    @property
    def sample(self) -> Photographs:
        """The synthetic images in which everything was requested to be readable; a random sample if they are many."""
        return self.synthetic[self.synthetic.readable()].sample(MAX_SAMPLE, self.seed)

    @property
    def fingerprint(self) -> str:
        """Changes with any image, label, part or seed."""
        parts = [part.fingerprint for part in (self.synthetic, self.train, self.held_out)]
        return fingerprint(*parts, self.held_out_known, self.has_validation, self.seed)


def load_study(
    synthetic: str,
    real: str,
    folder: Path,
    size: int = 128,
    real_config: str | None = None,
    patient_column: str | None = "patient",
    splits: Path | None = None,
    chosen_on: Sequence[Path] = (),
    limit: int = 0,
    limit_synthetic: int = 0,
    seed: int = 0,
) -> Study:
    """Loads both sides. The photographs of the test patients are held out, those of validation patients are not used.

    Args:
        synthetic: `datasets` source of the synthetic images.
        real: `datasets` source of the real photographs.
        folder: the report's folder.
        size: side of the equalised images in pixels.
        real_config: configuration of the real source.
        patient_column: column of patients in the real source.
        splits: CSV file with the part of each patient, see `assign_parts`.
        chosen_on: lists of patients on whom something was chosen, see `refuse_chosen_on`.
        limit: maximum number of images per side, 0 for all.
        limit_synthetic: maximum number of synthetic images, 0 for all.
        seed: determines everything random.

    Raises:
        EvaluationError: for input that cannot be used.
    """
    if patient_column is None:
        raise EvaluationError("patient_column is missing; every experiment holds out by patient and needs one")
    cache = folder / "cache"
    photographs = load_photographs(real, size, cache, real_config, patient_column, limit)
    parts, known = assign_parts(photographs.patients, photographs.splits, splits)
    train, held_out = (photographs[parts == part] for part in (TRAINING, TEST))
    refuse_chosen_on(held_out.patients, chosen_on)
    limits = [number for number in (limit, limit_synthetic) if number]
    generated = load_photographs(synthetic, size, cache, limit=min(limits, default=0))
    sides = {"synthetic": generated, "the training part of the real source": train, "its test part": held_out}
    for name, part in sides.items():
        if len(part) < MIN_IMAGES:
            raise EvaluationError(f"{name} has {len(part)} images; at least {MIN_IMAGES} are needed")
    return Study(generated, train, held_out, known, folder, seed, bool((parts == VALIDATION).any()))
