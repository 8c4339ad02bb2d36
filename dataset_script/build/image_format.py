"""Image files: the formats a dataset may have, and the statement inside each file that it is synthetic.

What the choice costs in bytes, time and quality is measured by `benchmarks/dataset_formats.py`.
"""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

SYNTHETIC = "Synthetic retinal fundus image, made by a diffusion model. Not a photograph, not for diagnosis."
# Exif tags, for the formats that have no text chunks.
DESCRIPTION, SOFTWARE, EXIF_FOLDER, USER_COMMENT = 0x010E, 0x0131, 0x8769, 0x9286
USER_COMMENT_IS_ASCII = b"ASCII\0\0\0"


@dataclass(frozen=True)
class ImageFormat:
    """A format of image files.

    Attributes:
        name: its name in Pillow.
        suffix: the end of its files' names, with the dot.
        title: what a reader should know of it, for the card.
        options: how Pillow saves it.
    """

    name: str
    suffix: str
    title: str
    options: Mapping[str, Any]


FORMATS = {
    # zlib's run-length matching: pictures hold hardly anything else to match, and looking for it takes 4 times as long.
    "png": ImageFormat("PNG", ".png", "PNG", {"compress_type": zlib.Z_RLE}),
    # Method 0 of 6: the others take 3 to 30 times as long for a few percent less.
    "webp": ImageFormat("WEBP", ".webp", "lossless WebP", {"lossless": True, "method": 0, "exact": True}),
    # Full resolution of the colours: lesions differ from the retina in colour more than in brightness.
    "jpeg": ImageFormat("JPEG", ".jpg", "JPEG of quality 95, 4:4:4", {"quality": 95, "subsampling": 0}),
}


def image_facts(idx: int, generator: str, revision: str, plan_hash: str) -> dict[str, str]:
    """Returns what an image file says of itself beyond being synthetic.

    Args:
        idx: its row.
        generator: name of the generator.
        revision: revision of the generator.
        plan_hash: hash of the plan.
    """
    return {
        "SynFundus-Synthetic": "true",
        "SynFundus-Generator": generator,
        "SynFundus-Revision": revision,
        "SynFundus-Plan": plan_hash,
        "SynFundus-Row": str(idx),
    }


def encode_image(pixels: np.ndarray, image_format: str, facts: Mapping[str, str]) -> bytes:
    """Returns an image file that says what it is.

    Args:
        pixels: RGB values from 0 to 255; uint8 of shape (height, width, 3).
        image_format: a key of `FORMATS`.
        facts: see `image_facts`; text chunks in a PNG, JSON in the Exif user comment elsewhere.
    """
    chosen = FORMATS[image_format]
    software = f"SynFundus, generator {facts['SynFundus-Generator']}, revision {facts['SynFundus-Revision']}"
    metadata: dict[str, Any] = {}
    if chosen.name == "PNG":
        metadata["pnginfo"] = text = PngInfo()
        for key, value in {"Description": SYNTHETIC, "Software": software, **facts}.items():
            text.add_text(key, value)
    else:
        metadata["exif"] = exif = Image.Exif()
        exif[DESCRIPTION], exif[SOFTWARE] = SYNTHETIC, software
        exif.get_ifd(EXIF_FOLDER)[USER_COMMENT] = USER_COMMENT_IS_ASCII + json.dumps(dict(facts)).encode("ascii")
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, chosen.name, **chosen.options, **metadata)
    return buffer.getvalue()


def read_facts(image: Image.Image) -> dict[str, str]:
    """Returns what an image file says of itself, see `image_facts`; empty if it says nothing."""
    if isinstance(text := getattr(image, "text", None), dict):
        return {key: value for key, value in text.items() if key.startswith("SynFundus-")}
    comment = image.getexif().get_ifd(EXIF_FOLDER).get(USER_COMMENT, b"")
    try:
        return json.loads(comment.removeprefix(USER_COMMENT_IS_ASCII))
    except ValueError:
        return {}
