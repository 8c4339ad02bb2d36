"""Decodes a photograph of any common file type to upright 8-bit RGB, or says why it cannot be decoded."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

Source = str | Path | bytes | Image.Image | np.ndarray
# Bit depths at which cameras store their data in wider integers.
_DEPTHS = (8, 12, 16)
_DICOM_SUFFIXES = (".dcm", ".dicom")
# Side to which `decode_reduced` may reduce a JPEG; the file is read to its end nevertheless.
_REDUCED_SIDE = 256


class PhotographError(ValueError):
    """A photograph that cannot be decoded; the message names the file, if there is one, and the reason."""


def decode_photograph(source: Source) -> Image.Image:
    """Decodes a photograph.

    The orientation stored in the file (EXIF) is applied, transparent parts become black, and grey, palette, CMYK and
    16-bit images are converted to 8-bit RGB. Of several frames or pages, the first is taken.

    Args:
        source: a path, the bytes of a file, a PIL image, or an array of shape (H, W), (H, W, 1), (H, W, 3) or
            (H, W, 4): unsigned integers, or floats in [0, 1] or [0, 255]. Files: all types that Pillow reads (JPEG,
            PNG, TIFF, AVIF, WebP, ...), and DICOM where pydicom is installed (`pip install synfundus[dicom]`).
            Integers below 2 ** 12 in a wider type are read as 12-bit data, others as 16-bit data.

    Returns:
        An RGB image that is independent of `source`.

    Raises:
        PhotographError: if the source is missing, no image, damaged, truncated, empty, or far too large.
    """
    return _decode(source)[0]


def decode_reduced(source: Source) -> tuple[Image.Image, float]:
    """Decodes a photograph as `decode_photograph` does, but a JPEG several times faster at a fraction of its size.

    Returns:
        The RGB image, and how many pixels of the file one of its pixels is wide.
    """
    return _decode(source, reduced=True)


def _decode(source: Source, reduced: bool = False) -> tuple[Image.Image, float]:
    try:
        if isinstance(source, Image.Image):
            return _upright_rgb(source), 1.0
        if isinstance(source, np.ndarray):
            return _array_to_rgb(source), 1.0
        content = source if isinstance(source, bytes) else Path(source).read_bytes()
        by_name = not isinstance(source, bytes) and Path(source).suffix.lower() in _DICOM_SUFFIXES
        if by_name or content[128:132] == b"DICM":
            return _decode_dicom(content), 1.0
        with Image.open(io.BytesIO(content)) as image:
            width = image.width
            if reduced:
                image.draft("RGB", (_REDUCED_SIDE, _REDUCED_SIDE))
            return _upright_rgb(image), width / image.width
    except UnidentifiedImageError as error:
        raise PhotographError(f"{_name(source)} cannot be read as a photograph: the file type is unknown") from error
    except Exception as error:  # damaged files raise anything: OSError, SyntaxError, struct.error, IndexError, ...
        reason = str(error) or type(error).__name__
        raise PhotographError(f"{_name(source)} cannot be read as a photograph: {reason}") from error


def _name(source: Source) -> str:
    return str(source) if isinstance(source, (str, Path)) else "the image"


def _upright_rgb(image: Image.Image) -> Image.Image:
    image = ImageOps.exif_transpose(image)  # a copy; this also decodes the file
    if image.mode.startswith("I") or image.mode == "F":
        return _array_to_rgb(np.asarray(image))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    return image.convert("RGB")


def _array_to_rgb(array: np.ndarray, largest: float | None = None) -> Image.Image:
    """An array of shape (H, W) or (H, W, C) as an RGB image; `largest` is the value of white, guessed if not given."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.size == 0 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise ValueError(f"its shape is {array.shape}; allowed are (H, W), (H, W, 1), (H, W, 3) and (H, W, 4)")
    if array.dtype != np.uint8:
        scaled = array.astype(np.float32) * (255 / (largest or _guess_white(array)))
        array = scaled.round().clip(0, 255).astype(np.uint8)
    return _upright_rgb(Image.fromarray(array))


def _guess_white(array: np.ndarray) -> float:
    low, high = float(array.min()), float(array.max())
    if array.dtype.kind not in "buif" or not 0 <= low <= high < 2**16:  # also refuses NaN
        raise ValueError(f"its values are {array.dtype} from {low:g} to {high:g}; allowed are 0 to 65535")
    if array.dtype.kind == "b" or (array.dtype.kind == "f" and high <= 1):
        return 1.0
    return next(2.0**depth - 1 for depth in _DEPTHS if high < 2**depth)


def _decode_dicom(content: bytes) -> Image.Image:
    try:
        import pydicom
        from pydicom import pixels
    except ImportError:
        raise ImportError("DICOM files need pydicom: pip install synfundus[dicom]") from None
    dataset = pydicom.dcmread(io.BytesIO(content), force=True)
    if "PixelData" not in dataset:
        raise ValueError("the DICOM file has no picture, or is truncated")
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    if Image.MAX_IMAGE_PIXELS and rows * columns > 2 * Image.MAX_IMAGE_PIXELS:
        raise Image.DecompressionBombError(f"{columns}x{rows} pixels are more than any camera takes")
    array = pixels.pixel_array(dataset, index=0)  # YCbCr is converted to RGB
    white = float(2 ** int(dataset.BitsStored) - 1)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        array = pixels.apply_color_lut(array, dataset)
        white = float(np.iinfo(array.dtype).max)
    elif dataset.PhotometricInterpretation == "MONOCHROME1":  # white is 0
        array = white - array.astype(np.float32)
    return _array_to_rgb(array, white)
