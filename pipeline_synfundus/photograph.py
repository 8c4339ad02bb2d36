"""The one way to read a fundus photograph: decoded, cropped to its field of view, padded to a square, resized."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from .decoding import PhotographError, Source, decode_photograph, decode_reduced

__all__ = [
    "FIELD_THRESHOLD",
    "PhotographError",
    "crop_like_photograph",
    "crop_to_field",
    "decode_photograph",
    "erode",
    "measure_field",
    "read_photograph",
]

# In a square from `crop_to_field`, a pixel whose brightest channel exceeds this (0-255) is in the field of view: noise
# and JPEG artefacts in the black surround stay below it.
FIELD_THRESHOLD = 12
# The field is searched for with a lower threshold where the corners of the photograph show little noise, so that its
# dim parts are found.
_LOWEST_THRESHOLD = 5
# The field is searched for in a copy of at most this side; its edges are then found in the photograph itself.
_SEARCH_SIDE = 256
# Text, orientation marks and scratches are thinner than this share of the side.
_THIN = 0.035
# A region smaller than this share of the largest one (a logo, a block of text) is not part of the field.
_SMALL_REGION = 0.05
# A field of view is at least this share of the side, horizontally and vertically. Something smaller is a bright spot
# in a dark photograph, which is then kept whole.
_SMALLEST_FIELD = 0.2
# The surround is grey, uniform, and the same in three corners at least; otherwise it is taken to be black (0-255).
_SURROUND_CHROMA, _SURROUND_SPREAD = 16, 10

Box = tuple[int, int, int, int]
LANCZOS = Image.Resampling.LANCZOS


@dataclass(frozen=True)
class _Surround:
    """What is outside the field: its colour, and by how much the field differs from it at least (0-255)."""

    colour: tuple[int, int, int] = (0, 0, 0)
    threshold: int = FIELD_THRESHOLD

    @property
    def is_black(self) -> bool:
        return max(self.colour) <= FIELD_THRESHOLD / 2

    def differs(self, pixels: np.ndarray) -> np.ndarray:
        """Mask of the pixels that are not of this colour; `pixels` is uint8 of shape (H, W, 3)."""
        mask = np.zeros(pixels.shape[:2], dtype=bool)
        for channel, value in enumerate(self.colour):
            values = pixels[..., channel]
            mask |= (values > min(255, value + self.threshold)) | (values < max(0, value - self.threshold))
        return mask


def read_photograph(source: Source, size: int) -> Image.Image:
    """Reads a photograph of any common file type as a square.

    Args:
        source: a path, the bytes of a file, a PIL image or an array, see `decode_photograph`.
        size: side of the result in pixels.

    Returns:
        An RGB image of `size` x `size` pixels, as from `crop_to_field`.

    Raises:
        PhotographError: if the source cannot be decoded.
    """
    return crop_to_field(decode_photograph(source), size)


def measure_field(source: Source) -> int:
    """Returns the longer side of the field of view in pixels of the file, within about one percent.

    The whole file is decoded, a JPEG at reduced size, so this is also a fast check.

    Raises:
        PhotographError: if the source cannot be decoded.
    """
    image, scale = decode_reduced(source)
    found = _find_field(image)
    left, top, right, bottom = found[0] if found else (0, 0, *image.size)
    return round(scale * max(right - left, bottom - top))


def crop_to_field(image: Image.Image, size: int) -> Image.Image:
    """Crops a photograph to its field of view, makes what is outside black, pads it to a square and resizes it.

    The surround may be black, grey or white, the field round, clipped or rectangular. Text, marks and margins outside
    the field are removed.

    Args:
        image: an RGB photograph of any size.
        size: side of the result in pixels.

    Returns:
        An RGB image of `size` x `size` pixels. A picture in which no field of view is found is kept whole.
    """
    return _to_square(_cut_out_field(image)[0], size)


def crop_like_photograph(mask: Image.Image, photograph: Image.Image, size: int) -> Image.Image:
    """Crops a mask of a photograph as `crop_to_field` crops the photograph.

    Args:
        mask: an image of mode "L", of the photograph's size.
        photograph: an RGB photograph of any size.
        size: side of the result in pixels.

    Returns:
        An image of mode "L" of `size` x `size` pixels, 0 outside the photograph.
    """
    # Averaging, because an interpolation with overshoot would mark pixels beside the mask.
    return _to_square(mask.crop(_cut_out_field(photograph)[1]), size, Image.Resampling.BOX)


def erode(mask: np.ndarray, radius: int) -> np.ndarray:
    """A mask without the pixels that have others than its own within a square around them.

    Rows first, then columns: Pillow's `MinFilter`, which sorts each square, takes eighty times as long.

    Args:
        mask: booleans, shape (H, W).
        radius: of the square, in pixels; beyond the border, everything counts as the mask's.
    """
    padded = np.pad(mask, radius, constant_values=True)
    (height, width), steps = mask.shape, range(2 * radius + 1)
    rows = np.logical_and.reduce([padded[step : step + height] for step in steps])
    return np.logical_and.reduce([rows[:, step : step + width] for step in steps])


def _cut_out_field(image: Image.Image) -> tuple[Image.Image, Box]:
    """The field of view on black, and its box in the photograph."""
    left = top = 0
    for _ in range(2):  # a photograph on a white page has its own black surround
        found = _find_field(image)
        if found is None:
            break
        box, kept, surround = found
        image = Image.composite(image, Image.new("RGB", image.size), kept).crop(box)
        left, top = left + box[0], top + box[1]
        if surround.is_black:
            break
    return image, (left, top, left + image.width, top + image.height)


def _to_square(image: Image.Image, size: int, resampling: Image.Resampling = LANCZOS) -> Image.Image:
    side = max(image.size)
    square = Image.new(image.mode, (side, side))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square.resize((size, size), resampling)


def _find_field(image: Image.Image) -> tuple[Box, Image.Image, _Surround] | None:
    """The box of the field of view, a mask (mode "L") of what to keep of `image`, and the surround."""
    scale = max(1.0, max(image.size) / _SEARCH_SIDE)
    small = np.asarray(image.resize([max(1, round(side / scale)) for side in image.size], Image.Resampling.BOX))
    surround = _find_surround(small)
    differs = surround.differs(small)
    field = _large_regions(_without_thin_parts(differs))
    rows, columns = (np.flatnonzero(field.any(axis=axis)) for axis in (1, 0))
    if not len(rows) or min(np.ptp(rows) / len(field), np.ptp(columns) / field.shape[1]) < _SMALLEST_FIELD:
        return None
    if surround.is_black:  # everything is kept but what stands apart from the field: its edge may be dim
        labels = _label_regions(differs)
        outside = Image.fromarray(differs & ~np.isin(labels, np.unique(labels[_fill(field)]))).convert("L")
        mask = outside.filter(ImageFilter.MaxFilter(3)).point(lambda value: 255 - value)
    else:  # a pixel less, so that no rim of the surround stays
        mask = Image.fromarray(_fill(field)).convert("L").filter(ImageFilter.MinFilter(3))
    kept = mask.resize(image.size, Image.Resampling.BILINEAR).point(lambda value: 255 if value > 127 else 0)
    rough = [scale * edge for edge in (columns[0] - 1, rows[0] - 1, columns[-1] + 2, rows[-1] + 2)]
    return _exact_box(image, kept, surround, rough), kept, surround


def _find_surround(pixels: np.ndarray) -> _Surround:
    side = max(1, round(0.03 * max(pixels.shape)))
    ends = (slice(side), slice(-side, None))
    corners = [pixels[rows, columns].reshape(-1, 3).astype(int) for rows in ends for columns in ends]
    common = np.median([np.median(corner, axis=0) for corner in corners], axis=0)
    noise = sorted(int(np.abs(corner - common).max()) for corner in corners)[2]  # of the third-best corner
    if noise > _SURROUND_SPREAD or np.ptp(common) > _SURROUND_CHROMA:
        return _Surround()
    red, green, blue = (int(value) for value in common)
    return _Surround((red, green, blue), min(FIELD_THRESHOLD, _LOWEST_THRESHOLD + noise))


def _without_thin_parts(mask: np.ndarray) -> np.ndarray:
    """A morphological opening; parts at the border are taken to go on beyond it."""
    radius = round(_THIN * max(mask.shape) / 2)
    return ~erode(~erode(mask, radius), radius)


def _large_regions(mask: np.ndarray) -> np.ndarray:
    """The connected regions of a mask that are not small beside the largest."""
    labels = _label_regions(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return (sizes >= max(1, _SMALL_REGION * sizes.max()))[labels]


def _label_regions(mask: np.ndarray) -> np.ndarray:
    """Numbers the connected regions (4 neighbours) of a mask; 0 outside. Numbers are positive, with gaps."""
    padded = np.pad(mask, 1)
    labels = np.arange(padded.size).reshape(padded.shape) * padded
    before = None
    while before is None or not np.array_equal(before, labels):  # the largest number of a region spreads over it
        before = labels
        labels = _spread_along_rows(_spread_along_rows(labels, padded).T, padded.T).T
    return labels[1:-1, 1:-1]


def _spread_along_rows(labels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Gives every run of set pixels in a row its largest label; the border of the mask is not set."""
    flat = mask.ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    largest = np.maximum.reduceat(labels.ravel(), starts)
    return np.repeat(largest, np.diff(starts, append=flat.size)).reshape(mask.shape) * mask


def _fill(mask: np.ndarray) -> np.ndarray:
    """Sets what lies between set pixels both of its row and of its column: a field has no holes."""
    filled = np.ones_like(mask)
    for axis in (0, 1):
        before = np.maximum.accumulate(mask, axis=axis)
        after = np.flip(np.maximum.accumulate(np.flip(mask, axis), axis=axis), axis)
        filled &= before & after
    return filled


def _exact_box(image: Image.Image, kept: Image.Image, surround: _Surround, rough: list[float]) -> Box:
    """The field's box in whole pixels, searched for within a rough one (left, top, right, bottom)."""
    left, top = (max(0, int(edge)) for edge in rough[:2])
    right, bottom = (min(side, int(np.ceil(edge))) for side, edge in zip(image.size, rough[2:], strict=True))
    box = (left, top, right, bottom)
    inside = surround.differs(np.asarray(image.crop(box))) & (np.asarray(kept.crop(box)) > 0)
    # A row or column belongs to the field when 1 % of it does: hot pixels do not count.
    rows, columns = (np.flatnonzero(inside.mean(axis=axis) > 0.01) for axis in (1, 0))
    if not len(rows) or not len(columns):
        return box
    return int(left + columns[0]), int(top + rows[0]), int(left + columns[-1] + 1), int(top + rows[-1] + 1)
