"""A simple filter for vessels, to ask whether they are in the same places in two images of one eye."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from pipeline_synfundus.photograph import FIELD_THRESHOLD

SCALES = (1.5, 2.5, 4.0)  # standard deviations of the Gaussian at 512 pixels
VESSEL_SHARE = 0.1  # of the field of view


def find_vessels(image: np.ndarray) -> np.ndarray:
    """Marks the tenth of the field of view that looks most like dark lines.

    The filter is the larger eigenvalue of the green channel's Hessian, scaled by the squared deviation of the Gaussian
    and maximized over `SCALES` (Frangi et al. 1998, without their measures of shape).

    Args:
        image: uint8 image of shape (S, S, 3).

    Returns:
        Boolean array of shape (S, S).
    """
    green = image[..., 1].astype(np.float32)
    field = ndimage.binary_erosion(image.max(axis=2) > FIELD_THRESHOLD, iterations=max(1, len(image) // 40))
    response = np.full(green.shape, -np.inf, dtype=np.float32)
    for scale in SCALES:
        sigma = scale * len(image) / 512
        orders = ((2, 0), (0, 2), (1, 1))
        rows, columns, mixed = (ndimage.gaussian_filter(green, sigma, order=order) for order in orders)
        largest = (rows + columns) / 2 + np.sqrt(((rows - columns) / 2) ** 2 + mixed**2)
        response = np.maximum(response, sigma**2 * largest)
    if not field.any():
        return field
    return field & (response > np.quantile(response[field], 1 - VESSEL_SHARE))


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """The Dice coefficient of two boolean masks: twice the overlap over the sum of the areas; 1 for two empty masks."""
    areas = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / areas if areas else 1.0
