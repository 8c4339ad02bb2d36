"""Whether generated images are nearer to training photographs than photographs of two patients are: memorisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synfundus.thumbnails import COPY_SHARE, THUMBNAIL, THUMBNAIL_CROPS, describe_thumbnails, resize

# The floor is this quantile of the distances between a photograph and the nearest one of another patient.
FLOOR_QUANTILE = 0.01
# The share of generated images below the floor from which on the generator counts as memorising. Among images that are
# as far from the training photographs as other patients are, FLOOR_QUANTILE of them are below.
MAX_NEAR_SHARE = 0.05
# Photographs that are closer are the same photograph under the names of two patients: saved again as JPEG of quality
# 95, nine of ten photographs stay closer than 0.016 to themselves.
DUPLICATE_DISTANCE = 0.02
# Images are cropped at this size, or at their own where that is smaller: large ones need not be in memory together.
COMPARED_SIDE = 96


@dataclass(frozen=True)
class Memorisation:
    """What a search among the training photographs found.

    Attributes:
        samples: generated images that were searched for.
        near_copies: those closer to a training photograph than the floor.
        copies: those closer than half the floor.
        nearest: the smallest distance to a training photograph.
        median: the median distance to the nearest training photograph.
        floor: the floor.
    """

    samples: int
    near_copies: int
    copies: int
    nearest: float
    median: float
    floor: float

    @property
    def found(self) -> bool:
        """Whether the generator memorises: one copy, or too many near copies."""
        return self.copies > 0 or self.near_copies > MAX_NEAR_SHARE * self.samples


class CopySearch:
    """Searches the training photographs for originals of generated images, in the space of thumbnails.

    Training photographs are also flipped and cropped, as in the privacy experiment of the evaluation.

    Args:
        images: all photographs, uint8, shape (P, S, S, 3); may be memory-mapped.
        patients: the patient of each, shape (P,).
        training: rows of the photographs that are trained on, shape (N,).
        held_out: rows of photographs that are not, shape (M,).

    Attributes:
        floor: what a distance between photographs of two patients is seldom below.
    """

    def __init__(self, images: np.ndarray, patients: np.ndarray, training: np.ndarray, held_out: np.ndarray) -> None:
        trained_on = _shrink(images, training)
        self._views = [
            describe_thumbnails(small[:, :, ::-1] if flipped else small)
            for small in (resize(trained_on, THUMBNAIL, crop) for crop in (None, *THUMBNAIL_CROPS))
            for flipped in (False, True)
        ]
        unchanged = describe_thumbnails(resize(_shrink(images, held_out), THUMBNAIL))
        names = patients[np.concatenate([training, held_out])]
        same_patient = names[:, None] == patients[training][None]
        distances = self._nearest(np.concatenate([self._views[0], unchanged]), same_patient)
        distinct = distances[np.isfinite(distances) & (distances >= DUPLICATE_DISTANCE)]
        self.floor = float(np.quantile(distinct, FLOOR_QUANTILE)) if len(distinct) else DUPLICATE_DISTANCE

    def search(self, images: np.ndarray) -> Memorisation:
        """Searches for generated uint8 images of shape (B, S, S, 3)."""
        small = _shrink(images, np.arange(len(images)))
        distances = self._nearest(describe_thumbnails(resize(small, THUMBNAIL)))
        return Memorisation(
            samples=len(images),
            near_copies=int((distances < self.floor).sum()),
            copies=int((distances < COPY_SHARE * self.floor).sum()),
            nearest=round(float(distances.min()), 4),
            median=round(float(np.median(distances)), 4),
            floor=round(self.floor, 4),
        )

    def _nearest(self, described: np.ndarray, skipped: np.ndarray | None = None) -> np.ndarray:
        """Distance to the nearest view of a training photograph, without the pairs that are skipped; shape (B,)."""
        best = np.full(len(described), np.inf, dtype=np.float32)
        for view in self._views:
            squared = np.maximum(2 - 2 * described @ view.T, 0)  # of vectors of length 1
            if skipped is not None:
                squared[skipped] = np.inf
            best = np.minimum(best, squared.min(axis=1))
        return np.sqrt(best)


def _shrink(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """These rows at `COMPARED_SIDE` pixels, read one after the other."""
    side = min(COMPARED_SIDE, images.shape[1])
    return np.concatenate([resize(images[row : row + 1], side) for row in rows])
