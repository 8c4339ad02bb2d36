"""Photographs of the fundus: cropped to their field of view and made square."""

from __future__ import annotations

import numpy as np
from PIL import Image

# A pixel belongs to the field of view when its brightest channel exceeds this (0-255). JPEG noise in the black
# surround stays below it.
FIELD_THRESHOLD = 12


def crop_to_field(image: Image.Image, resolution: int) -> Image.Image:
    """Crops a photograph to its field of view, pads it with black to a square and resizes it.

    Args:
        image: an RGB photograph of any size.
        resolution: side of the result in pixels.

    Returns:
        An RGB image of `resolution` x `resolution` pixels. A picture with no bright part is kept whole.
    """
    bright = np.asarray(image).max(axis=2) > FIELD_THRESHOLD
    # A row or column belongs to the field when 1 % of it is bright: hot pixels and burnt-in letters do not count.
    rows = np.flatnonzero(bright.mean(axis=1) > 0.01)
    columns = np.flatnonzero(bright.mean(axis=0) > 0.01)
    if len(rows) and len(columns):
        image = image.crop((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    side = max(image.size)
    square = Image.new("RGB", (side, side))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square.resize((resolution, resolution), Image.Resampling.LANCZOS)
