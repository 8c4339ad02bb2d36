"""Whether synthetic images reproduce photographs that the generator was trained on: copies and membership."""

from __future__ import annotations

import numpy as np

from evaluation.data.photographs import concatenate
from evaluation.data.study import Study
from evaluation.errors import NotMeasurable
from evaluation.measures.copies import NEAR_QUANTILE, Copies, find_copies
from evaluation.measures.features import FeatureSpace
from evaluation.measures.neighbours import (
    FEATURE_CROPS,
    Describe,
    Neighbours,
    describe_layout,
    describe_thumbnail,
    nearest,
)
from evaluation.measures.statistics import bootstrap, bootstrap_auc
from evaluation.report_page import figures
from evaluation.report_page.results import Cell, Figure, Result, Table, measured
from synfundus.layouts import LAYOUT_CROPS
from synfundus.thumbnails import COPY_SHARE, THUMBNAIL_CROPS, Crop, unit

# The share of near copies above which the report fails.
MAX_NEAR_COPIES = 0.005
LISTED = 12
METHOD = (
    "For each synthetic image, the nearest training photograph is searched for; photographs are also flipped and "
    "cropped to {crop:.0%} or more. Thumbnails are images of 12 pixels. Layouts are the places of disc, vessels and "
    "scars without the colours. The copy distance is an absolute scale: training photographs are saved again "
    "as JPEG and their distance to the originals is measured. Photographs of different patients that "
    "are closer than this are duplicates; they do not count for the threshold, which is never below the copy distance. "
    "A near copy is a synthetic image that is closer to a training photograph than {near:.1%} of the real photographs "
    "are to one of another patient, or closer by the ratio of its distance to that of the next patient's; a copy is "
    "closer than {share:.0%} of the distance. "
    "The report fails for one copy, or for more than {allowed:.1%} near copies. Membership inference guesses that a "
    "real photograph was trained on if a synthetic image is close to it; an AUC of 0.5 is chance. All synthetic images "
    "were searched."
)
COLUMNS = [
    "distance in",
    "copy distance",
    "threshold",
    "relative threshold",
    "copies",
    "near copies",
    "share of near copies",
]
COLUMNS += ["real duplicates", "median to training", "median real to other patient", "median held-out to training"]
COLUMNS += ["membership AUC"]


def describe_with(space: FeatureSpace) -> Describe:
    """Features of length 1 as a description of images."""
    return lambda images: unit(space(images))


def membership_auc(study: Study, describe: Describe, crops: tuple[Crop, ...]) -> Cell:
    """AUC of telling training photographs from held-out ones by the distance to the nearest synthetic image.

    Raises:
        NotMeasurable: if it is not known which patients the generator has not seen.
    """
    if not study.held_out_known:
        raise NotMeasurable("it is not known which patients the generator has not seen")
    # In one search: it describes the views of the synthetic images once.
    everyone = concatenate([study.train, study.held_out])
    distance = nearest(everyone.images, study.synthetic.images, describe, crops).distance
    member = np.repeat([1, 0], [len(study.train), len(study.held_out)])
    return bootstrap_auc(member, -distance, everyone.patients, study.seed)


def run(study: Study, space: FeatureSpace) -> Result:
    """The experiment, in the features of a network, in thumbnails and in layouts.

    Args:
        study: the data.
        space: features in which images of the same eye are close.
    """
    method = METHOD.format(
        crop=min(share for share, _, _ in THUMBNAIL_CROPS),
        near=NEAR_QUANTILE,
        share=COPY_SHARE,
        allowed=MAX_NEAR_COPIES,
    )
    result = Result("Privacy", method)
    rows: list[list[Cell]] = []
    # The views of the synthetic images are described without keeping their features: there may be a million.
    for name, describe, uncached, crops in (
        (space.name, describe_with(space), describe_with(space.uncached()), FEATURE_CROPS),
        ("thumbnails", describe_thumbnail, describe_thumbnail, THUMBNAIL_CROPS),
        ("layouts", describe_layout, describe_layout, LAYOUT_CROPS),
    ):
        membership = measured(membership_auc, study, uncached, crops)
        try:
            copies = find_copies(study, describe, crops)
        except NotMeasurable as reason:
            rows.append([name, *[f"not measurable: {reason}"] * (len(COLUMNS) - 2), membership])
            result.findings.append(f"Copies in {name} are not measurable: {reason}.")
            continue
        held_out = nearest(study.held_out.images, study.train.images, describe, crops)
        rows.append([name, *_numbers(study, copies, held_out), membership])
        _report(study, name, copies, held_out, result)
    result.tables.insert(0, Table("privacy", "Copies and membership", COLUMNS, rows))
    return result


def _numbers(study: Study, copies: Copies, held_out: Neighbours) -> list[Cell]:
    is_near = copies.is_near.astype(float)
    return [
        copies.floor,
        copies.threshold,
        copies.relative_threshold,
        len(copies.copies),
        len(copies.near),
        bootstrap(lambda rows: float(is_near[rows].mean()), study.synthetic.patients, study.seed),
        len(copies.duplicates),
        float(np.median(copies.synthetic.distance)),
        float(np.median(copies.real.distance)),
        float(np.median(held_out.distance)),
    ]


def _report(study: Study, name: str, copies: Copies, held_out: Neighbours, result: Result) -> None:
    """Adds what was found in one space: sentences, failures, lists and figures."""
    share = len(copies.near) / len(study.synthetic)
    result.findings.append(
        f"In {name}, {len(copies.copies)} of {len(study.synthetic)} synthetic images are copies and {len(copies.near)} "
        f"({share:.2%}) near copies of the {len(study.train)} training photographs that were searched; "
        f"{len(copies.duplicates)} of these photographs have a duplicate under another patient's name."
    )
    if len(copies.copies):
        result.failures.append(f"{len(copies.copies)} synthetic images are copies of training photographs ({name})")
    if share > MAX_NEAR_COPIES:
        result.failures.append(
            f"{share:.2%} of the synthetic images are near copies ({name}); allowed {MAX_NEAR_COPIES:.1%}"
        )
    _list_nearest(study, name, copies, result)
    _list_duplicates(study, name, copies, result)
    values = {
        "synthetic to training": copies.synthetic.distance,
        "real to another patient": copies.real.distance,
        "held-out to training": held_out.distance,
    }
    file = figures.distributions(study.folder, f"distances-{name}", values, copies.threshold)
    result.figures.append(Figure(file, f"Distance to the nearest photograph in {name}; near copies left of the line"))


def _list_nearest(study: Study, name: str, copies: Copies, result: Result) -> None:
    """Adds the nearest pairs, first by distance and then by relative distance."""
    found = copies.synthetic
    _list_pairs(study, f"nearest-{name}", f"The nearest pairs in {name}", copies, found.distance, result)
    title = f"The nearest pairs in {name}, relative to the next patient"
    _list_pairs(study, f"relative-{name}", title, copies, found.relative, result)


def _list_pairs(study: Study, name: str, title: str, copies: Copies, order: np.ndarray, result: Result) -> None:
    """Adds a table and a picture of the pairs that come first in this order, and their verdicts."""
    listed = np.argsort(order, kind="stable")[:LISTED]
    found = copies.synthetic
    pairs = found.row[listed]
    rows: list[list[Cell]] = [
        [
            study.synthetic.names[row],
            study.train.names[pair],
            study.train.patients[pair],
            float(found.distance[row]),
            float(found.relative[row]),
            verdict,
        ]
        for row, pair, verdict in zip(listed, pairs, copies.verdicts(listed), strict=True)
    ]
    columns = ["synthetic row", "real row", "patient", "distance", "relative distance", "verdict"]
    result.tables.append(Table(name, title, columns, rows))
    file = figures.pairs(study.folder, name, study.synthetic.images[listed], study.train.images[pairs])
    result.figures.append(Figure(file, f"{title}: synthetic above, real below"))


def _list_duplicates(study: Study, name: str, copies: Copies, result: Result) -> None:
    if not len(copies.duplicates):
        return
    train, other = study.train, copies.real.row
    rows: list[list[Cell]] = [
        [train.names[row], train.patients[row], train.names[other[row]], train.patients[other[row]], distance]
        for row, distance in zip(
            copies.duplicates[:LISTED], map(float, copies.real.distance[copies.duplicates]), strict=False
        )
    ]
    columns = ["real row", "patient", "duplicate of row", "of patient", "distance"]
    title = f"Duplicates among the training photographs in {name} (the first {len(rows)})"
    result.tables.append(Table(f"duplicates-{name}", title, columns, rows))
