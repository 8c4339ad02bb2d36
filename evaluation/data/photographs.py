"""Synthetic and real images made equal: field of view, size, colour mode and codec, before anything is measured.

A detector of synthetic images needs no medicine when one side is PNG and the other JPEG, one 256 and the other 128
pixels wide, one cropped and the other not. So every image of either side goes through the same steps, see
`EQUALISING`, and every experiment sees only the result.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from evaluation.cache import fingerprint
from evaluation.errors import EvaluationError
from pipeline_synfundus.labels import CONDITION_NAMES, READABILITY, UNKNOWN, ConditionError, parse_value
from pipeline_synfundus.photograph import PhotographError, crop_to_field, decode_photograph
from synfundus.files import write_whole

JPEG_QUALITY = 92
EQUALISING = (
    "Every image of either side was decoded to RGB, cropped to its field of view, padded with black to a square, "
    "resized to {size}x{size} pixels (Lanczos), written as JPEG of quality {quality} (4:4:4) and read again."
)


@dataclass(frozen=True)
class Photographs:
    """Equalised images of one side.

    Attributes:
        images: uint8, shape (N, size, size, 3).
        codes: int8, shape (N, 16), in the order of `CONDITION_NAMES`, -1 unknown.
        patients: strings, shape (N,). A synthetic image is its own patient.
        splits: strings, shape (N,): the name of the split that the row came from.
        names: strings, shape (N,): what to call the row in a table.
    """

    images: np.ndarray
    codes: np.ndarray
    patients: np.ndarray
    splits: np.ndarray
    names: np.ndarray

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: np.ndarray) -> Photographs:
        """The rows with these numbers, or where this mask is true."""
        return Photographs(*(getattr(self, field)[rows] for field in self.__dataclass_fields__))

    def label(self, name: str) -> np.ndarray:
        """Values of one condition label, int8, shape (N,), -1 unknown."""
        return self.codes[:, CONDITION_NAMES.index(name)]

    @cached_property
    def fingerprint(self) -> str:
        """Hexadecimal digits that change with any pixel, label or patient."""
        return fingerprint(self.images, self.codes, self.patients.tolist())

    def readable(self) -> np.ndarray:
        """Mask of the rows of which no readability label says that something cannot be read."""
        columns = [CONDITION_NAMES.index(label.name) for label in READABILITY]
        return (self.codes[:, columns] != 0).all(axis=1)


def concatenate(parts: Sequence[Photographs]) -> Photographs:
    """All rows of the parts, in their order."""
    return Photographs(
        *(np.concatenate([getattr(part, field) for part in parts]) for field in Photographs.__dataclass_fields__)
    )


def equalise(image: Image.Image, size: int) -> np.ndarray:
    """Applies the steps of `EQUALISING` to one image.

    Args:
        image: of any size and mode.
        size: side of the result in pixels.

    Returns:
        uint8 array of shape (size, size, 3). An image without a field of view is kept whole.
    """
    buffer = io.BytesIO()
    crop_to_field(image.convert("RGB"), size).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    with Image.open(buffer) as decoded:
        return np.asarray(decoded)


def load_photographs(
    source: str, size: int, cache: Path, config: str | None = None, patient_column: str | None = None, limit: int = 0
) -> Photographs:
    """Reads all splits of a `datasets` source and equalises the images; a second call reads the cache.

    Args:
        source: a folder (Parquet, or images with a `metadata.csv`) or a Hub id with an image column `image` and any of
            the label columns. A label the source lacks is unknown.
        size: side of the equalised images, in pixels.
        cache: folder for the equalised images.
        config: the configuration of the source.
        patient_column: column of patients. None: every image is its own patient.
        limit: at most so many rows, drawn at random with a fixed seed; 0 takes all.

    Raises:
        EvaluationError: for a source, an image or a label that cannot be used, or images smaller than `size`.
    """
    table = _load_table(source, config, patient_column, limit)
    version = [str(table._fingerprint), source, config, patient_column, limit, size, JPEG_QUALITY]
    path = cache / f"images-{size}-{fingerprint(version)}.npz"
    if not path.exists():
        fields = _read_fields(table, source, size, patient_column)
        write_whole(path, lambda temporary: np.savez(temporary, allow_pickle=False, **fields))
    with np.load(path) as saved:
        return Photographs(**{name: saved[name] for name in Photographs.__dataclass_fields__})


def _load_table(source: str, config: str | None, patient_column: str | None, limit: int) -> Any:
    """All splits in one table, with a column `__split__`; its images not decoded."""
    import datasets  # here, not above: it takes a second, and tests of arrays do without it

    try:
        splits = datasets.load_dataset(source, config)
    except Exception as error:
        raise EvaluationError(f"source {source!r} (config {config!r}) cannot be read by datasets: {error}") from error
    tables = [split.add_column("__split__", [str(name)] * len(split)) for name, split in splits.items()]
    table = datasets.concatenate_datasets(tables)
    for field, column in (("image column", "image"), ("patient column", patient_column)):
        if column is not None and column not in table.column_names:
            raise EvaluationError(
                f"the {field} {column!r} is not in {source!r}; it has {', '.join(table.column_names)}"
            )
    if len(table) == 0:
        raise EvaluationError(f"source {source!r} has no rows")
    if limit and limit < len(table):
        table = table.select(np.sort(np.random.default_rng(0).permutation(len(table))[:limit]))
    return table.cast_column("image", datasets.Image(decode=False))


def _read_fields(table: Any, source: str, size: int, patient_column: str | None) -> dict[str, np.ndarray]:
    images = np.empty((len(table), size, size, 3), dtype=np.uint8)
    sides = []
    for row, cell in enumerate(tqdm(table["image"], desc=f"equalising {Path(source).name}", unit="image")):
        try:
            image = decode_photograph(cell["bytes"] if cell.get("bytes") else cell["path"])
        except PhotographError as error:
            raise EvaluationError(f"the image in row {row} of {source!r} cannot be read: {error}") from error
        sides.append(max(image.size))
        images[row] = equalise(image, size)
    if np.median(sides) < size:
        raise EvaluationError(
            f"size is {size}, but half of the images of {source!r} have at most {int(np.median(sides))} pixels a side; "
            "allowed are sizes that enlarge neither side, because enlarging tells them apart"
        )
    numbers = [str(row) for row in range(len(table))]
    patients = [str(name) for name in table[patient_column]] if patient_column else numbers
    fields = {"patients": patients, "splits": table["__split__"][:], "names": numbers}
    arrays = {name: np.array(values, dtype=str) for name, values in fields.items()}
    return {"images": images, "codes": _read_codes(table, source), **arrays}


def _read_codes(table: Any, source: str) -> np.ndarray:
    codes = np.full((len(table), len(CONDITION_NAMES)), UNKNOWN, dtype=np.int8)
    for column, name in enumerate(CONDITION_NAMES):
        if name in table.column_names:
            for row, value in enumerate(table[name][:]):
                try:
                    codes[row, column] = parse_value(name, value)
                except ConditionError as error:
                    raise EvaluationError(f"row {row} of {source!r}: {error}") from None
    if (codes == UNKNOWN).all():
        raise EvaluationError(f"{source!r} has no known label; allowed columns are {', '.join(CONDITION_NAMES)}")
    return codes
