"""Whether synthetic images give away the photographs that the generator learned from: copies and membership."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluation.data.study import Study
from evaluation.errors import NotMeasurable
from evaluation.measures.features import FeatureSpace
from evaluation.measures.neighbours import (
    FEATURE_CROPS,
    THUMBNAIL_CROPS,
    Crop,
    Describe,
    Neighbours,
    describe_thumbnail,
    nearest,
    unit,
)
from evaluation.measures.statistics import bootstrap, bootstrap_auc
from evaluation.report_page import figures
from evaluation.report_page.results import Cell, Figure, Result, Table, measured

# A synthetic image is a near copy when it is closer to a training photograph than all but one in a thousand real
# photographs are to one of another patient. The very closest real pair is no measure: public sets hold duplicates.
NEAR_QUANTILE = 0.001
# It is a copy when it is closer than half of that, which no two patients' photographs are.
COPY_SHARE = 0.5
# What fails the report.
MAX_NEAR_COPIES = 0.005
LISTED = 12
METHOD = (
    "For each synthetic image the nearest training photograph is searched, which is also looked at flipped and cropped "
    "to {crop:.0%} or more. The same is done for each real photograph and photographs of other patients. A near copy "
    "is closer than {near:.1%} of the real photographs are to another patient's, a copy closer than half of that "
    "distance. The report fails for one copy, or for more than {allowed:.1%} near copies. Membership inference guesses "
    "that a real photograph was trained on when a synthetic image is near it; an AUC of 0.5 is no better than chance."
)


@dataclass(frozen=True)
class Copies:
    """Near copies in one space.

    Attributes:
        synthetic: the nearest training photograph of each synthetic image.
        real: the nearest training photograph of another patient, of each training photograph.
        threshold: distance below which an image is a near copy.
    """

    synthetic: Neighbours
    real: Neighbours
    threshold: float

    @property
    def near(self) -> np.ndarray:
        """Row numbers of near copies among the synthetic images, nearest first."""
        order = np.argsort(self.synthetic.distance, kind="stable")
        return order[self.synthetic.distance[order] < self.threshold]

    @property
    def copies(self) -> np.ndarray:
        """Row numbers of copies, nearest first."""
        return self.near[self.synthetic.distance[self.near] < self.threshold * COPY_SHARE]


def describe_with(space: FeatureSpace) -> Describe:
    """Features of length 1 as a description of images."""
    return lambda images: unit(space(images))


def find_copies(study: Study, describe: Describe, crops: tuple[Crop, ...]) -> Copies:
    """Searches training photographs for what the synthetic images may have been copied from.

    Args:
        study: the material.
        describe: the space in which distances are taken.
        crops: those that are looked at.
    """
    train = study.train
    synthetic = nearest(study.synthetic.images, train.images, describe, crops)
    real = nearest(train.images, train.images, describe, crops, train.patients, train.patients)
    return Copies(synthetic, real, float(np.quantile(real.distance, NEAR_QUANTILE)))


def membership_auc(study: Study, describe: Describe, crops: tuple[Crop, ...]) -> Cell:
    """AUC of telling trained-on from held-out photographs by the distance to the nearest synthetic image.

    Raises:
        NotMeasurable: where it is not known whom the generator has not seen.
    """
    if not study.held_out_known:
        raise NotMeasurable("it is not known which patients the generator has not seen")
    parts = (study.train, study.held_out)
    distance = np.concatenate(
        [nearest(part.images, study.synthetic.images, describe, crops).distance for part in parts]
    )
    member = np.repeat([1, 0], [len(part) for part in parts])
    return bootstrap_auc(member, -distance, np.concatenate([part.patients for part in parts]), study.seed)


def run(study: Study, space: FeatureSpace) -> Result:
    """The experiment, in the features of a network and in thumbnails.

    Args:
        study: the material.
        space: features in which images of the same eye are near.
    """
    result = Result(
        "Privacy",
        METHOD.format(crop=min(share for share, _, _ in THUMBNAIL_CROPS), near=NEAR_QUANTILE, allowed=MAX_NEAR_COPIES),
        tables=[],
        figures=[],
    )
    columns = ["distance in", "threshold", "copies", "near copies", "share of near copies", "median to training"]
    columns += ["median real to other patient", "median held-out to training", "membership AUC"]
    rows: list[list[Cell]] = []
    for name, describe, crops in (
        (space.name, describe_with(space), FEATURE_CROPS),
        ("thumbnails", describe_thumbnail, THUMBNAIL_CROPS),
    ):
        copies = find_copies(study, describe, crops)
        held_out = nearest(study.held_out.images, study.train.images, describe, crops)
        membership = measured(membership_auc, study, describe, crops)
        rows.append([name, *_numbers(study, copies, held_out), membership])
        _report(study, name, copies, held_out, result)
    result.tables.insert(0, Table("privacy", "Copies and membership", columns, rows))
    return result


def _numbers(study: Study, copies: Copies, held_out: Neighbours) -> list[Cell]:
    is_near = (copies.synthetic.distance < copies.threshold).astype(float)
    return [
        copies.threshold,
        len(copies.copies),
        len(copies.near),
        bootstrap(lambda rows: float(is_near[rows].mean()), study.synthetic.patients, study.seed),
        float(np.median(copies.synthetic.distance)),
        float(np.median(copies.real.distance)),
        float(np.median(held_out.distance)),
    ]


def _report(study: Study, name: str, copies: Copies, held_out: Neighbours, result: Result) -> None:
    """Adds what was found in one space: the list, the pictures, the sentences, the failures."""
    share = len(copies.near) / len(study.synthetic)
    result.findings.append(
        f"In {name}, {len(copies.copies)} of {len(study.synthetic)} synthetic images are copies and {len(copies.near)} "
        f"({share:.2%}) near copies of the {len(study.train)} training photographs that were searched."
    )
    if len(copies.copies):
        result.failures.append(f"{len(copies.copies)} synthetic images are copies of training photographs ({name})")
    if share > MAX_NEAR_COPIES:
        result.failures.append(
            f"{share:.2%} of the synthetic images are near copies ({name}); allowed {MAX_NEAR_COPIES:.1%}"
        )
    listed = np.argsort(copies.synthetic.distance, kind="stable")[:LISTED]
    pairs = copies.synthetic.row[listed]
    rows: list[list[Cell]] = [
        [study.synthetic.names[row], study.train.names[pair], study.train.patients[pair], float(distance), verdict]
        for row, pair, distance, verdict in zip(
            listed, pairs, copies.synthetic.distance[listed], _verdicts(copies, listed), strict=True
        )
    ]
    columns = ["synthetic row", "real row", "patient", "distance", "verdict"]
    result.tables.append(Table(f"nearest-{name}", f"The nearest pairs in {name}", columns, rows))
    result.figures += [
        Figure(
            figures.pairs(study.folder, f"nearest-{name}", study.synthetic.images[listed], study.train.images[pairs]),
            f"The nearest pairs in {name}: synthetic above, real below",
        ),
        Figure(
            figures.distributions(
                study.folder,
                f"distances-{name}",
                {
                    "synthetic to training": copies.synthetic.distance,
                    "real to another patient": copies.real.distance,
                    "held-out to training": held_out.distance,
                },
                copies.threshold,
            ),
            f"Distance to the nearest photograph in {name}; dashed: near copies are left of it",
        ),
    ]


def _verdicts(copies: Copies, rows: np.ndarray) -> list[str]:
    distances = copies.synthetic.distance[rows] / copies.threshold if copies.threshold else np.zeros(len(rows))
    return ["copy" if share < COPY_SHARE else "near copy" if share < 1 else "" for share in distances]
