"""Readability measured in the pixels: sharpness, exposure and visibility of the region that a label describes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image, ImageFilter

from evaluation.data.photographs import Photographs, concatenate
from evaluation.data.study import MAX_SAMPLE, Study
from evaluation.measures.statistics import bootstrap_auc
from evaluation.report_page import figures
from evaluation.report_page.results import Cell, Figure, Result, Table, measured
from pipeline_synfundus.labels import CONDITION_NAMES, READABILITY, UNKNOWN
from pipeline_synfundus.photograph import FIELD_THRESHOLD, erode
from synfundus.readability import degrade, is_clear

MEASURES = ("sharpness", "exposure", "visibility")
# Images are measured at one size, so that sharpness means the same at every resolution.
MEASURED_SIZE = 128
REGION_RADIUS = 0.14
# Horizontal distance of disc and macula from the centre of the image, as a share of the side; the centre is on the
# macula or between both.
DISC_OFFSET, MACULA_OFFSET = 0.25, 0.05
GOOD_LUMA = 110.0
# Real photographs that are degraded for comparison, at most: their copies are in memory.
MAX_DEGRADED = 1000


def regions(eye_side: int) -> dict[str, np.ndarray]:
    """The region of each readability label, as masks of shape (128, 128).

    Args:
        eye_side: 0 right (disc on the right of the image), 1 left; with -1 both places of the disc count.
    """
    down, right = (np.mgrid[:MEASURED_SIZE, :MEASURED_SIZE] + 0.5) / MEASURED_SIZE - 0.5
    sides = {0: (1,), 1: (-1,)}.get(eye_side, (1, -1))
    disc = np.any([np.hypot(down, right - side * DISC_OFFSET) < REGION_RADIUS for side in sides], axis=0)
    macula = np.any([np.hypot(down, right + side * MACULA_OFFSET) < REGION_RADIUS for side in sides], axis=0)
    whole = np.hypot(down, right) < 0.45
    return {
        "is_fundus": whole,
        "is_macular_readable": macula,
        "is_optic_disc_readable": disc,
        "is_retinal_region_readable": whole & ~disc & ~macula,
    }


def measure(image: np.ndarray, areas: Sequence[np.ndarray]) -> np.ndarray:
    """Measures regions of one photograph; higher is more readable.

    Args:
        image: uint8, shape (S, S, 3).
        areas: of each region a mask of shape (128, 128).

    Returns:
        Sharpness (spread of the green channel's Laplacian), exposure (minus the distance of its mean from a good
        exposure), visibility (spread of the green channel at the size of vessels and lesions: the difference of blurs
        of 1 and 3 pixels), all in grey levels of 0-255. Shape (regions, 3). If no pixel of a region is lit, its
        sharpness and visibility are 0. Spread is the interquartile range, which ignores the soft edge of a shadow. Grey
        levels are not divided by the mean: that would make noise in dark regions look sharp.
    """
    small = Image.fromarray(image).resize((MEASURED_SIZE, MEASURED_SIZE), Image.Resampling.BOX)
    lit = erode(np.asarray(small).max(axis=2) > FIELD_THRESHOLD, 2)
    picture = small.getchannel("G")
    green = np.asarray(picture, dtype=np.float32)
    padded = np.pad(green, 1, mode="edge")
    laplacian = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:] - 4 * green
    fine, coarse = (np.asarray(picture.filter(ImageFilter.GaussianBlur(r)), dtype=np.float32) for r in (1, 3))
    details = fine - coarse
    found = []
    for area in areas:
        inside = area & lit
        if inside.any():
            exposure = -abs(float(green[inside].mean()) - GOOD_LUMA)
            found.append([_spread(laplacian[inside]), exposure, _spread(details[inside])])
        else:
            found.append([0.0, -GOOD_LUMA, 0.0])
    return np.array(found)


def _spread(values: np.ndarray) -> float:
    low, high = np.percentile(values, [25, 75])
    return float(high - low)


def measure_all(photographs: Photographs) -> dict[str, np.ndarray]:
    """For each readability label, the measures of its region in each image, shape (N, 3)."""
    names = [label.name for label in READABILITY]
    by_side = {side: [regions(side)[name] for name in names] for side in (UNKNOWN, 0, 1)}
    sides = photographs.label("eye_side")
    found = [measure(image, by_side[int(side)]) for image, side in zip(photographs.images, sides, strict=True)]
    measures = np.array(found).reshape(-1, len(names), len(MEASURES))
    return {name: measures[:, column] for column, name in enumerate(names)}


def select_clear(photographs: Photographs) -> Photographs:
    """The sharp and well exposed photographs, which training treats as completely readable."""
    clear = photographs[np.array([is_clear(image) for image in photographs.images], dtype=bool)]
    codes = clear.codes.copy()
    codes[:, [CONDITION_NAMES.index(label.name) for label in READABILITY]] = 1
    return replace(clear, codes=codes)


def spoil(photographs: Photographs, seed: int) -> Photographs:
    """Readable photographs, then a degraded, labelled copy of each in which disc and macula are found."""
    rng = np.random.default_rng(seed)
    copies = [degrade(image, row, rng) for image, row in zip(photographs.images, photographs.codes, strict=True)]
    found = np.array([copy is not None for copy in copies], dtype=bool)
    if not found.any():
        return photographs
    images, codes = (np.stack(part) for part in zip(*filter(None, copies), strict=True))
    return concatenate([photographs, replace(photographs[found], images=images, codes=codes)])


def add_readability(study: Study, result: Result) -> None:
    """Adds the measured readability by requested label, and examples (Figure 2 of the paper).

    Images in which everything is readable are compared with images in which the region is not. Unusable images count
    for `is_fundus` only.
    """
    clear = select_clear(study.held_out.sample(MAX_DEGRADED, study.seed))
    reference, synthetic = (
        _tell_apart(part, study.seed)
        for part in (spoil(clear, study.seed), study.synthetic.sample(MAX_SAMPLE, study.seed))
    )
    columns = ["label", "measure of its region", "real, degraded", "synthetic"]
    rows: list[list[Cell]] = [[*name, reference[name], synthetic[name]] for name in synthetic]
    title = "Readability: AUC of each measure between readable and unreadable images"
    result.tables.append(Table("readability", title, columns, rows))
    _add_examples(study, result)


def _parts(photographs: Photographs, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Masks of the readable images and of the images whose label says that the region is unreadable."""
    bad = photographs.label(name) == 0
    if name != "is_fundus":
        bad &= photographs.label("is_fundus") != 0
    return photographs.readable() & (photographs.label(name) == 1), bad


def _tell_apart(photographs: Photographs, seed: int) -> dict[tuple[str, str], Cell]:
    """By label and measure, the AUC between the two of `_parts`."""
    found = measure_all(photographs)
    result = {}
    for label in READABILITY:
        good, bad = _parts(photographs, label.name)
        both = good | bad
        for column, measure_name in enumerate(MEASURES):
            scores = found[label.name][both, column]
            result[label.name, measure_name] = measured(
                bootstrap_auc, good[both], scores, photographs.patients[both], seed
            )
    return result


def _add_examples(study: Study, result: Result) -> None:
    examples: dict[str, list[np.ndarray]] = {"readable": [], "unreadable": []}
    titles = []
    rng = np.random.default_rng(study.seed)
    for label in READABILITY:
        parts = _parts(study.synthetic, label.name)
        if all(part.any() for part in parts):
            for name, part in zip(examples, parts, strict=True):
                examples[name].append(study.synthetic.images[rng.choice(np.flatnonzero(part))])
            titles.append(label.full_name)
    if titles:
        pictures = {name: np.stack(images) for name, images in examples.items()}
        file = figures.grid(study.folder, "readability", pictures, titles, figures.PUBLIC)
        result.figures.append(Figure(file, "Synthetic images requested to be readable (above) and unreadable (below)"))
