"""Shows where two images of one eye differ."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

# Luminance differences below SEEN (as a share of white) are ignored; those above STRONG get the full mark colour.
SEEN, STRONG = 0.03, 0.3
MARK = (90, 220, 255)  # contrasts with the red of a fundus


def show_difference(reference: Image.Image, other: Image.Image) -> tuple[Image.Image, float]:
    """Returns the other image in grey with changed places highlighted, and the share of the image that changed.

    Args:
        reference, other: RGB images of one size.

    Returns:
        An RGB image, and the fraction in [0, 1] of pixels whose luminance differs visibly.

    Raises:
        ValueError: if the sizes differ.
    """
    if reference.size != other.size:
        raise ValueError(f"the images have the sizes {reference.size} and {other.size}, but must have one size")
    difference = np.abs(_luminance(reference) - _luminance(other))
    strength = np.clip((difference - SEEN) / (STRONG - SEEN), 0, 1)[..., None]
    grey = (_luminance(other) * 160)[..., None].repeat(3, axis=-1)
    lit = grey * (1 - strength) + np.array(MARK) * strength
    return Image.fromarray(lit.round().astype(np.uint8)), float((difference > SEEN).mean())


def _luminance(image: Image.Image) -> np.ndarray:
    """Luminance in [0, 1] without the finest noise, of shape (height, width)."""
    blurred = image.convert("L").filter(ImageFilter.GaussianBlur(max(image.size) / 128))
    return np.asarray(blurred, dtype=np.float32) / 255
