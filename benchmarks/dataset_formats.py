"""Measures size, quality and speed of the image formats, with images of the bundled generator.

    python -m benchmarks.dataset_formats --out benchmarks/results/dataset-formats.json

The files are encoded as in a dataset, with their provenance, on one core. The images are also enlarged to 512 pixels,
the size of the published release. Enlarged images are smoother than native ones, so their size is a lower bound.
"""

from __future__ import annotations

import io
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from dataset_script.build.image_format import FORMATS, encode_image, image_facts

from .dataset_replay import read_pictures, resize
from .dataset_result import parser_of, seconds_of, write_result


def peak_signal_to_noise(pictures: np.ndarray, decoded: np.ndarray) -> float | None:
    """Returns the mean PSNR of images in dB, over all three channels; None for identical images.

    Args:
        pictures: uint8 of shape (pictures, height, width, 3).
        decoded: the decoded images, of the same shape.
    """
    errors = np.square(pictures.astype(np.float64) - decoded).mean(axis=(1, 2, 3))
    if not errors.any():
        return None
    return float(np.mean(10 * np.log10(255**2 / errors[errors > 0])))


def decode(file: bytes) -> np.ndarray:
    """Returns the pixels of an image file."""
    with Image.open(io.BytesIO(file)) as image:
        return np.asarray(image.convert("RGB"))


def measure(pictures: np.ndarray, rounds: int) -> dict[str, dict[str, Any]]:
    """Measures each format, in turn."""
    facts = image_facts(0, "pipeline_synfundus", "0123456789abcdef", "0123456789abcdef")
    files: dict[str, list[bytes]] = {}
    encoding: dict[str, list[float]] = {name: [] for name in FORMATS}
    decoding: dict[str, list[float]] = {name: [] for name in FORMATS}

    def encode_all(name: str) -> None:
        files[name] = [encode_image(picture, name, facts) for picture in pictures]

    def decode_all(name: str) -> None:
        for file in files[name]:
            decode(file)

    for _ in tqdm(range(rounds), desc=f"{pictures.shape[1]} pixels", unit="round"):
        for name in FORMATS:
            encoding[name].append(len(pictures) / seconds_of(lambda: encode_all(name)))  # noqa: B023
            decoding[name].append(len(pictures) / seconds_of(lambda: decode_all(name)))  # noqa: B023
    return {
        name: {
            "title": chosen.title,
            "bytes_per_image": statistics.mean(map(len, files[name])),
            "psnr": peak_signal_to_noise(pictures, np.stack([decode(file) for file in files[name]])),
            "encoded_per_second": statistics.median(encoding[name]),
            "decoded_per_second": statistics.median(decoding[name]),
        }
        for name, chosen in FORMATS.items()
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = parser_of("dataset_formats", __doc__)
    parser.add_argument("--images", type=int, default=256, help="images of each size (%(default)s)")
    parser.add_argument("--sides", type=int, nargs="+", default=[128, 512], metavar="PIXELS", help="(%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(%(default)s)")
    options = parser.parse_args(arguments)
    pictures = read_pictures(options.pictures, options.images)
    sizes = {str(side): measure(resize(pictures, side), options.rounds) for side in options.sides}
    write_result(options, "dataset_formats", (), {"images": options.images, "sizes": sizes})


if __name__ == "__main__":
    main()
