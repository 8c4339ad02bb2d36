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
from evaluation.measures.neighbours import Crop, Describe, Neighbours, nearest, own_distance

# A synthetic image is a near copy if it is closer to a training photograph than all but this share of the real
# photographs are to one of another patient.
NEAR_QUANTILE = 0.001
# It is a copy if it is closer than this share of that distance.
COPY_SHARE = 0.5
# Photographs that are saved again to measure the copy distance, and the quantile of their distances.
RESAVED, MIN_RESAVED, RESAVED_QUANTILE = 100, 20, 0.9
# Ways to save a photograph again, the strongest first: share of the side that is kept (which lies between the crops
# that are searched), brightness, JPEG quality. The features of a network hardly stand more than the last.
RESAVES = ((0.955, 0.85, 60), (0.985, 0.9, 75), (1.0, 1.0, 95))


@dataclass(frozen=True)
class Copies:
    """Copies and near copies in one space.

    Attributes:
        synthetic: the nearest training photograph of each synthetic image.
        real: the nearest training photograph of another patient, of each training photograph.
        floor: the copy distance, below which two real photographs are duplicates.
        threshold: distance below which an image is a near copy; at least `floor`.
    """

    synthetic: Neighbours
    real: Neighbours
    floor: float
    threshold: float

    @property
    def near(self) -> np.ndarray:
        """Row numbers of near copies among the synthetic images, nearest first."""
        return self._below(self.synthetic.distance, self.threshold)

    @property
    def copies(self) -> np.ndarray:
        """Row numbers of copies, nearest first."""
        return self._below(self.synthetic.distance, self.copy_threshold)

    @property
    def duplicates(self) -> np.ndarray:
        """Row numbers of training photographs that are also there under the name of another patient, nearest first."""
        return self._below(self.real.distance, self.floor)

    @property
    def copy_threshold(self) -> float:
        """Distance below which an image is a copy."""
        return COPY_SHARE * self.threshold

    def verdicts(self, rows: np.ndarray) -> list[str]:
        """For synthetic images: copy, near copy or nothing."""
        distances = self.synthetic.distance[rows]
        return ["copy" if d < self.copy_threshold else "near copy" if d < self.threshold else "" for d in distances]

    @staticmethod
    def _below(distance: np.ndarray, threshold: float) -> np.ndarray:
        order = np.argsort(distance, kind="stable")
        return order[distance[order] < threshold]


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
    distinct = real.distance[real.distance >= floor]
    # If every photograph has a duplicate, only the copy distance is left.
    threshold = float(np.quantile(distinct, NEAR_QUANTILE)) if len(distinct) else floor
    return Copies(nearest(study.synthetic.images, train.images, describe, crops), real, floor, threshold)


def copy_distance(photographs: Photographs, describe: Describe, crops: tuple[Crop, ...], seed: int) -> float:
    """The distance between a photograph and itself saved again, which 90 % of the photographs stay below.

    It depends on no pair of photographs: duplicates among them do not lower it. Of `RESAVES`, the strongest counts that
    keeps the distance below half of that between the photographs of two patients, as drawn at random.

    Raises:
        NotMeasurable: if there are too few photographs, or none of `RESAVES` keeps the distance small.
    """
    sample = photographs.sample(RESAVED, seed)
    if len(sample) < MIN_RESAVED:
        raise NotMeasurable(f"{len(sample)} training photographs; at least {MIN_RESAVED} are needed")
    vectors = describe(as_images(sample.images))
    between = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    allowed = COPY_SHARE * float(np.median(between[sample.patients[:, None] != sample.patients[None]]))
    for resave in RESAVES:
        resaved = np.stack([save_again(image, *resave) for image in sample.images])
        distance = float(np.quantile(own_distance(resaved, sample.images, describe, crops), RESAVED_QUANTILE))
        if 0 < distance <= allowed:
            return distance
    raise NotMeasurable(
        f"a photograph that is saved again has the distance {distance:.3f} from itself; it must be above 0 and at most "
        f"{allowed:.3f}, which is half the distance between two patients"
    )


def save_again(image: np.ndarray, share: float, brightness: float, quality: int) -> np.ndarray:
    """A uint8 image of shape (S, S, 3), cropped to a share of its side, darkened, and compressed as JPEG."""
    size = len(image)
    side = max(1, round(size * share))
    cropped = Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC, box=(0, 0, side, side))
    buffer = io.BytesIO()
    cropped.point(lambda value: round(value * brightness)).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as decoded:
        return np.asarray(decoded)
