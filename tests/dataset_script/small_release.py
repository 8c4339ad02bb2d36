"""Creates small releases in the layout of the published one: a CSV file beside folders or zips of 512x512 PNG files."""

import csv
import io
import zipfile
from pathlib import Path

import datasets
from PIL import Image

from dataset_script.published_release.annotation import ANNOTATION
from pipeline_synfundus.labels import CONDITION_LABELS


def png(number: int, size: tuple[int, int] = (512, 512)) -> bytes:
    """A PNG file that is unique to the number."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (number % 256, number // 256, 77)).save(buffer, "PNG")
    return buffer.getvalue()


def labels(idx: int) -> dict[str, int]:
    """Labels for a row; all values occur, also unknown."""
    return {
        label.name: (idx + position) % (label.cardinality + 1) - 1 for position, label in enumerate(CONDITION_LABELS)
    }


def write_annotation(folder: Path, rows: list[dict], name: str = ANNOTATION) -> Path:
    """Writes rows, all of the same columns."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / name, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return folder / name


def write_images(folder: Path, images: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> None:
    """Writes files by their names; `00.zip/1.png` goes into the zip `00.zip`."""
    for name, content in images.items():
        archive, inside, member = name.partition(".zip/")
        path = folder / (archive + ".zip" if inside else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if inside:
            with zipfile.ZipFile(path, "a", method) as file:
                file.writestr(member, content)
        else:
            path.write_bytes(content)


def write_release(folder: Path, places: list[str]) -> Path:
    """A complete release whose row i has its image, `{i}.png`, in the folder or zip `places[i]`."""
    write_annotation(folder, [{"idx": idx, **labels(idx)} for idx in range(len(places))])
    write_images(folder, {f"{place}/{idx}.png": png(idx) for idx, place in enumerate(places)})
    return folder


PLACES = ["00.zip", "00.zip", "01.zip", "02", "02"]
ROWS = [{"idx": idx, **labels(idx)} for idx in range(len(PLACES))]
IMAGES = [{"bytes": png(idx), "path": f"{idx}.png"} for idx in range(len(PLACES))]


def raw(dataset):
    """The dataset with the bytes of its images."""
    return dataset.cast_column("image", datasets.Image(decode=False))


def check_rows(dataset) -> None:
    """The dataset has the rows and the image files of the release of `PLACES`."""
    rows = list(raw(dataset))
    assert [{name: value for name, value in row.items() if name != "image"} for row in rows] == ROWS
    assert [row["image"] for row in rows] == IMAGES
