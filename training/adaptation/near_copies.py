"""Whether generated images are nearer to training photographs than photographs of two patients are: memorisation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from synfundus.layouts import LAYOUT, LAYOUT_CROPS, describe_layouts
from synfundus.thumbnails import COPY_SHARE, THUMBNAIL, THUMBNAIL_CROPS, Crop, describe_thumbnails, resize

# The floor is this quantile of the distances between a photograph and the nearest one of another patient.
FLOOR_QUANTILE = 0.01
# The share of generated images below the floor from which on the generator counts as memorising. Among images that are
# as far from the training photographs as other patients are, FLOOR_QUANTILE of them are below.
MAX_NEAR_SHARE = 0.05
# Photographs that are closer are the same photograph under the names of two patients: saved again as JPEG of quality
# 95, nine of ten photographs stay closer than 0.018 to themselves in thumbnails, and than 0.18 in layouts.
DUPLICATE_THUMBNAILS, DUPLICATE_LAYOUTS = 0.02, 0.2
# Images are cropped at this size, or at their own where that is smaller: large ones need not be in memory together.
COMPARED_SIDE = 96


@dataclass(frozen=True)
class Memorisation:
    """What a search among the training photographs found.

    Attributes:
        samples: generated images that were searched for.
        near_copies: those closer to a training photograph than the floor, in thumbnails or in layouts.
        copies: those closer than half the floor.
        nearest: the smallest distance to a training photograph, in thumbnails.
        median: the median distance to the nearest training photograph, in thumbnails.
        floor: the floor, in thumbnails.
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
    """Searches the training photographs for originals of generated images, in thumbnails and in layouts.

    Training photographs are also flipped and cropped, as in the privacy experiment of the evaluation.

    Args:
        images: all photographs, uint8, shape (P, S, S, 3); may be memory-mapped.
        patients: the patient of each, shape (P,).
        training: rows of the photographs that are trained on, shape (N,).
        held_out: rows of photographs that are not, shape (M,).

    Attributes:
        thumbnails, layouts: the spaces; what a distance between photographs of two patients is seldom below in each is
            its `floor`.
    """

    def __init__(self, images: np.ndarray, patients: np.ndarray, training: np.ndarray, held_out: np.ndarray) -> None:
        trained_on, others = _shrink(images, training), _shrink(images, held_out)
        names = patients[np.concatenate([training, held_out])]
        same_patient = names[:, None] == patients[training][None]
        photographs = trained_on, others, same_patient
        self.thumbnails = _Space(describe_thumbnails, THUMBNAIL, THUMBNAIL_CROPS, DUPLICATE_THUMBNAILS, *photographs)
        self.layouts = _Space(describe_layouts, LAYOUT, LAYOUT_CROPS, DUPLICATE_LAYOUTS, *photographs)

    def search(self, images: np.ndarray) -> Memorisation:
        """Searches for generated uint8 images of shape (B, S, S, 3)."""
        small = _shrink(images, np.arange(len(images)))
        distances = self.thumbnails.nearest(small)
        of_floor = np.minimum(distances / self.thumbnails.floor, self.layouts.nearest(small) / self.layouts.floor)
        return Memorisation(
            samples=len(images),
            near_copies=int((of_floor < 1).sum()),
            copies=int((of_floor < COPY_SHARE).sum()),
            nearest=round(float(distances.min()), 4),
            median=round(float(np.median(distances)), 4),
            floor=round(self.thumbnails.floor, 4),
        )


class _Space:
    """Descriptions of the training photographs, in which distances are taken.

    Args:
        describe: maps uint8 images to vectors of length 1.
        size: side of the images that it takes.
        crops: the crops of the training photographs to look at.
        duplicate: distance below which two photographs are the same one, under the names of two patients.
        trained_on: the training photographs, uint8, shape (N, S, S, 3).
        held_out: other photographs, shape (M, S, S, 3).
        same_patient: whether a photograph of both and a training photograph are of one patient, shape (N + M, N).

    Attributes:
        floor: what a distance between photographs of two patients is seldom below.
    """

    def __init__(
        self,
        describe: Callable[[np.ndarray], np.ndarray],
        size: int,
        crops: tuple[Crop, ...],
        duplicate: float,
        trained_on: np.ndarray,
        held_out: np.ndarray,
        same_patient: np.ndarray,
    ) -> None:
        self._describe, self._size = describe, size
        self._views = [
            describe(small[:, :, ::-1] if flipped else small)
            for small in (resize(trained_on, size, crop) for crop in (None, *crops))
            for flipped in (False, True)
        ]
        unchanged = describe(resize(held_out, size))
        distances = self._nearest(np.concatenate([self._views[0], unchanged]), same_patient)
        distinct = distances[np.isfinite(distances) & (distances >= duplicate)]
        self.floor = float(np.quantile(distinct, FLOOR_QUANTILE)) if len(distinct) else duplicate

    def nearest(self, images: np.ndarray) -> np.ndarray:
        """Distance of uint8 images, shape (B, S, S, 3), to the nearest view of a training photograph; shape (B,)."""
        return self._nearest(self._describe(resize(images, self._size)))

    def _nearest(self, described: np.ndarray, skipped: np.ndarray | None = None) -> np.ndarray:
        """The same of descriptions, without the pairs that are skipped."""
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
