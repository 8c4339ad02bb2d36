"""Readability as measured in the pixels: sharpness, exposure and visibility of the region that a label speaks of."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from pipeline_synfundus.labels import READABILITY, UNKNOWN

from .images import FIELD_THRESHOLD, Photographs

MEASURES = ("sharpness", "exposure", "visibility")
# Pictures are measured at one size, so that sharpness means the same at every resolution.
MEASURED_SIZE = 128
REGION_RADIUS = 0.14
# Where disc and macula are in a picture centred between them or on the macula, as shares of the side from the centre.
DISC_OFFSET, MACULA_OFFSET = 0.25, 0.05
GOOD_LUMA = 110.0


def regions(eye_side: int) -> dict[str, np.ndarray]:
    """Where each readability label looks, masks of shape (128, 128).

    Args:
        eye_side: 0 right (disc on the right of the picture), 1 left; with -1 both places of the disc count.
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


def measure(image: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Measures a region of one photograph; higher is more readable.

    Args:
        image: uint8, shape (S, S, 3).
        region: mask of shape (128, 128).

    Returns:
        Sharpness (spread of the green channel's Laplacian over its mean), exposure (minus the distance of its mean from
        a good exposure, 0-255), visibility (spread of the green channel, blurred to the size of vessels and lesions,
        over its mean). Shape (3,); zeros where nothing of the region is lit.
    """
    small = Image.fromarray(image).resize((MEASURED_SIZE, MEASURED_SIZE), Image.Resampling.BOX)
    lit = Image.fromarray(np.asarray(small).max(axis=2) > FIELD_THRESHOLD).convert("L").filter(ImageFilter.MinFilter(5))
    inside = region & (np.asarray(lit) > 0)
    picture = small.getchannel("G")
    green = np.asarray(picture, dtype=np.float32)
    if not inside.any():
        return np.array([0.0, -GOOD_LUMA, 0.0])
    padded = np.pad(green, 1, mode="edge")
    laplacian = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:] - 4 * green
    detail = np.asarray(picture.filter(ImageFilter.GaussianBlur(1)), dtype=np.float32)
    detail = detail - np.asarray(picture.filter(ImageFilter.GaussianBlur(6)), dtype=np.float32)
    mean = max(float(green[inside].mean()), 1.0)
    return np.array([laplacian[inside].std() / mean, -abs(mean - GOOD_LUMA), detail[inside].std() / mean])


def measure_all(photographs: Photographs) -> dict[str, np.ndarray]:
    """For each readability label, the measures of its region in each image, shape (N, 3)."""
    by_side = {side: regions(side) for side in (UNKNOWN, 0, 1)}
    sides = photographs.label("eye_side")
    return {
        label.name: np.stack(
            [
                measure(image, by_side[int(side)][label.name])
                for image, side in zip(photographs.images, sides, strict=True)
            ]
        )
        for label in READABILITY
    }
