"""An image folder with label columns, as `datasets` reads it."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image


def write_image_folder(folder: Path, images: Sequence[Image.Image], labels: Mapping[str, Sequence[object]]) -> Path:
    """Writes `0.png` and so on, and a `metadata.csv` with these columns; None is an empty cell."""
    folder.mkdir()
    for number, image in enumerate(images):
        image.save(folder / f"{number}.png")
    names = [f"{number}.png" for number in range(len(images))]
    with (folder / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file_name", *labels), *zip(names, *labels.values(), strict=True)])
    return folder
