"""Thumbnails: coarse descriptions in which copies stay close although they were cropped or saved again."""

from __future__ import annotations

import numpy as np
from PIL import Image

# A crop: its side as a share of the image's side, and its place in the margin, from 0 to 1 down and right.
Crop = tuple[float, float, float]
_PLACES = ((0.5, 0.5), (0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0))
# The crops of photographs that are compared with an image.
THUMBNAIL_CROPS: tuple[Crop, ...] = tuple(
    (side, *place) for side in (0.97, 0.94, 0.91, 0.88, 0.85) for place in _PLACES
)
# Thumbnails are coarse on purpose. Of 50 real photographs cropped between two of the above, rotated by 3 degrees, or
# saved as JPEG with quality 50, 49 or 50 are near copies of themselves at 12 pixels; at 24 pixels few are, for some
# crops none.
THUMBNAIL = 12
# An image closer to a photograph than photographs of two patients ever are is a near copy. It is a copy if it is closer
# than this share of that distance.
COPY_SHARE = 0.5


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of shape (N, D) scaled to length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def resize(images: np.ndarray, size: int, crop: Crop | None = None) -> np.ndarray:
    """Crops uint8 images of shape (N, S, S, 3) and resizes them; averaged over areas where they become smaller."""
    side = images.shape[1]
    if crop is None and size == side:
        return images
    box = (0, 0, side, side) if crop is None else _box(side, crop)
    method = Image.Resampling.BICUBIC if size >= side else Image.Resampling.BOX
    resized = [np.asarray(Image.fromarray(image).resize((size, size), method, box)) for image in images]
    return np.stack(resized) if resized else np.empty((0, size, size, 3), np.uint8)


def describe_thumbnails(thumbnails: np.ndarray) -> np.ndarray:
    """Describes images of `THUMBNAIL` pixels: less their mean colour, scaled to length 1; float32, shape (N, 432).

    The squared distance of two of these is twice one minus their correlation.
    """
    flat = thumbnails.astype(np.float32).reshape(len(thumbnails), -1, 3)
    return unit((flat - flat.mean(axis=1, keepdims=True)).reshape(len(thumbnails), -1))


def _box(size: int, crop: Crop) -> tuple[int, int, int, int]:
    """A crop in pixels: left, top, right, bottom."""
    share, down, right = crop
    side = round(size * share)
    top, left = round((size - side) * down), round((size - side) * right)
    return left, top, left + side, top + side
