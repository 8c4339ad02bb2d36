"""Copies of training photographs among synthetic images, by thresholds that duplicates among the real cannot lower."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from evaluation.data.images import as_images
from evaluation.data.photographs import Photographs
from evaluation.data.study import Study
from evaluation.errors import NotMeasurable
from evaluation.measures.neighbours import Describe, Neighbours, nearest, own_distance
from synfundus.thumbnails import COPY_SHARE, Crop

# A synthetic image is a near copy if it is closer to a training photograph than all but this share of the real
# photographs are to one of another patient, absolutely or relative to the next patient.
NEAR_QUANTILE = 0.001
# Photographs that are saved again as JPEG to measure the copy distance, and the quantile of their distances that it is.
# On real photographs of 128 pixels this is 0.016 in thumbnails, 0.18 in layouts and 0.21 in the features of
# EfficientNet-Lite0, below nearly all distances between patients. Stronger changes (a crop, JPEG of quality 75) are
# not: 0.12 in thumbnails and 0.48 in these features.
RESAVED, MIN_RESAVED, RESAVED_QUANTILE, RESAVED_QUALITY = 100, 20, 0.9, 95


@dataclass(frozen=True)
class Copies:
    """Copies and near copies in one space.

    Attributes:
        synthetic: the nearest training photograph of each synthetic image.
        real: the nearest training photograph of another patient, of each training photograph.
        floor: the copy distance, below which two real photographs are duplicates.
        threshold: distance below which an image is a near copy; at least `floor`.
        relative_threshold: relative distance (`Neighbours.relative`) below which an image is a near copy, too.
    """

    synthetic: Neighbours
    real: Neighbours
    floor: float
    threshold: float
    relative_threshold: float

    @property
    def is_near(self) -> np.ndarray:
        """Whether each synthetic image is a near copy, shape (N,)."""
        found = self.synthetic
        return (found.distance < self.threshold) | (found.relative < self.relative_threshold)

    @property
    def near(self) -> np.ndarray:
        """Row numbers of near copies among the synthetic images, nearest first."""
        return self._nearest_first(self.synthetic.distance, self.is_near)

    @property
    def copies(self) -> np.ndarray:
        """Row numbers of copies, nearest first."""
        return self._nearest_first(self.synthetic.distance, self.is_copy)

    @property
    def is_copy(self) -> np.ndarray:
        """Whether each synthetic image is a copy, shape (N,)."""
        return self.synthetic.distance < self.copy_threshold

    @property
    def duplicates(self) -> np.ndarray:
        """Row numbers of training photographs that are also there under the name of another patient, nearest first."""
        return self._nearest_first(self.real.distance, self.real.distance < self.floor)

    @property
    def copy_threshold(self) -> float:
        """Distance below which an image is a copy."""
        return COPY_SHARE * self.threshold

    def verdicts(self, rows: np.ndarray) -> list[str]:
        """For synthetic images: copy, near copy or nothing."""
        both = zip(self.is_copy[rows], self.is_near[rows], strict=True)
        return ["copy" if is_copy else "near copy" if is_near else "" for is_copy, is_near in both]

    @staticmethod
    def _nearest_first(distance: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        order = np.argsort(distance, kind="stable")
        return order[chosen[order]]


def find_copies(study: Study, describe: Describe, crops: tuple[Crop, ...]) -> Copies:
    """Searches the training photographs for originals of the synthetic images.

    Args:
        study: the data.
        describe: the space in which distances are taken.
        crops: the crops of the photographs to look at.

    Raises:
        NotMeasurable: if the copy distance cannot be measured.
    """
    train = study.train
    real = nearest(train.images, train.images, describe, crops, train.patients, train.patients)
    floor = copy_distance(train, describe, crops, study.seed)
    distinct = real.distance >= floor
    # If every photograph has a duplicate, only the copy distance is left.
    threshold = float(np.quantile(real.distance[distinct], NEAR_QUANTILE)) if distinct.any() else floor
    relative = float(np.quantile(real.relative[distinct], NEAR_QUANTILE)) if distinct.any() else 0.0
    found = nearest(study.synthetic.images, train.images, describe, crops, reference_patients=train.patients)
    return Copies(found, real, floor, threshold, relative)


def copy_distance(photographs: Photographs, describe: Describe, crops: tuple[Crop, ...], seed: int) -> float:
    """The distance between a photograph and itself saved again, which 90 % of the photographs stay below.

    It depends on no pair of photographs: duplicates among them do not lower it.

    Raises:
        NotMeasurable: if there are too few photographs, or saving changes them not at all, or so much that they are
            farther from themselves than half the distance between two patients drawn at random (the median).
    """
    sample = photographs.sample(RESAVED, seed)
    if len(sample) < MIN_RESAVED:
        raise NotMeasurable(f"{len(sample)} training photographs; at least {MIN_RESAVED} are needed")
    vectors = describe(as_images(sample.images))
    between = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    allowed = COPY_SHARE * float(np.median(between[sample.patients[:, None] != sample.patients[None]]))
    resaved = np.stack([save_again(image) for image in sample.images])
    distance = float(np.quantile(own_distance(resaved, sample.images, describe, crops), RESAVED_QUANTILE))
    if not 0 < distance <= allowed:
        raise NotMeasurable(
            f"a photograph that is saved again has the distance {distance:.3f} from itself; it must be above 0 and at "
            f"most {allowed:.3f}, which is half the distance between two patients"
        )
    return distance


def save_again(image: np.ndarray) -> np.ndarray:
    """A uint8 image of shape (S, S, 3) after JPEG compression."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=RESAVED_QUALITY)
    with Image.open(buffer) as decoded:
        return np.asarray(decoded)
