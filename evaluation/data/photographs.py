"""Synthetic and real images with their labels, brought to the same field of view, size, colour mode and codec.

A detector of synthetic images needs no medicine if one side is PNG and the other JPEG, or one side is cropped and the
other is not. Every image of both sides goes through the steps of `EQUALISING`, and the experiments see only the result.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from evaluation.cache import code_fingerprint, fingerprint, write_rows
from evaluation.data.images import Images, Rows, join, open_images, select
from evaluation.errors import EvaluationError
from pipeline_synfundus.labels import CONDITION_NAMES, READABILITY, UNKNOWN, ConditionError
from pipeline_synfundus.photograph import PhotographError, crop_to_field, decode_photograph
from synfundus.files import atomic_folder, write_whole
from synfundus.label_columns import read_label_columns

JPEG_QUALITY = 92
# Before all images are equalised, the size of this many is checked.
CHECKED_IMAGES = 100
EQUALISING = (
    "All images of both sides were decoded to RGB, cropped to the field of view, padded with black to a square, "
    "resized to {size}x{size} pixels (Lanczos), encoded as JPEG of quality {quality} (4:4:4) and decoded again."
)
_FIELDS = ("codes", "patients", "splits", "names", "sources")


@dataclass(frozen=True)
class Photographs:
    """Equalised images of one side, with their labels.

    Attributes:
        images: uint8, shape (N, size, size, 3), in memory or on disk.
        codes: int8, shape (N, 16), in the order of `CONDITION_NAMES`, -1 unknown.
        patients: strings, shape (N,). A synthetic image is its own patient.
        splits: strings, shape (N,): the split of the `datasets` source from which the row comes.
        names: strings, shape (N,): the name of the row in tables.
        sources: strings, shape (N,): the photograph set from which the row comes.
    """

    images: np.ndarray | Images
    codes: np.ndarray
    patients: np.ndarray
    splits: np.ndarray
    names: np.ndarray
    sources: np.ndarray

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: Rows) -> Photographs:
        """The rows with these numbers, or for which this mask is true; images on disk are not read."""
        return Photographs(select(self.images, rows), *(getattr(self, field)[rows] for field in _FIELDS))

    def label(self, name: str) -> np.ndarray:
        """Values of one condition label, int8, shape (N,), -1 unknown."""
        return self.codes[:, CONDITION_NAMES.index(name)]

    @cached_property
    def fingerprint(self) -> str:
        """Hexadecimal digits that change with any pixel, label, patient, split, name or source."""
        pixels = self.images.fingerprint if isinstance(self.images, Images) else self.images
        return fingerprint(pixels, *(getattr(self, field) for field in _FIELDS))

    def readable(self) -> np.ndarray:
        """Mask of the rows without a readability label of 0."""
        columns = [CONDITION_NAMES.index(label.name) for label in READABILITY]
        return (self.codes[:, columns] != 0).all(axis=1)

    def sample(self, count: int, seed: int) -> Photographs:
        """At most `count` rows, drawn at random without replacement and kept in order."""
        if len(self) <= count:
            return self
        return self[np.sort(np.random.default_rng(seed).permutation(len(self))[:count])]


def concatenate(parts: Sequence[Photographs]) -> Photographs:
    """All rows of the parts, in their order."""
    fields = (np.concatenate([getattr(part, field) for part in parts]) for field in _FIELDS)
    return Photographs(join([part.images for part in parts]), *fields)


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
    source: str,
    size: int,
    cache: Path,
    config: str | None = None,
    patient_column: str | None = None,
    limit: int = 0,
    source_column: str = "source",
    names: Sequence[str] | np.ndarray | None = None,
) -> Photographs:
    """Reads all splits of a `datasets` source and equalises the images on disk; a second call uses the same files.

    Args:
        source: a folder (Parquet, or images with a `metadata.csv`) or a Hub id with an image column `image` and any of
            the label columns. Labels that the source lacks are unknown.
        size: side of the equalised images, in pixels.
        cache: folder for the equalised images.
        config: the configuration of the source.
        patient_column: column of patients. None: every image is its own patient.
        limit: maximum number of rows, drawn at random with a fixed seed; 0 takes all.
        source_column: column that names the photograph set of a row; without it, all rows are of one set.
        names: the rows to read, by their `names` in the result of a call with the same `limit`; None reads all.

    Raises:
        EvaluationError: for a source, an image or a label that cannot be used, or images smaller than `size`.
    """
    table = everything = _load_table(source, config, patient_column, limit)
    if names is None:
        names = [str(row) for row in range(len(table))]
    else:
        table = everything.select([int(name) for name in names])
    options = [source, config, patient_column, limit, source_column, size]
    key = fingerprint(str(table._fingerprint), options, code_fingerprint("evaluation.data.photographs"))
    folder = cache / f"photographs-{size}-{key}"
    if not folder.exists():
        _check_sizes(everything, source, size)
        fields = _read_fields(table, source, names, patient_column, source_column)
        with atomic_folder(folder) as temporary:
            write_rows(temporary / "images.npy", len(table), _equalise_all(table, source, size))
            write_whole(temporary / "fields.npz", lambda path: np.savez(path, allow_pickle=False, **fields))
    with np.load(folder / "fields.npz") as saved:
        return Photographs(open_images(folder / "images.npy"), *(saved[field] for field in _FIELDS))


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


def _check_sizes(table: Any, source: str, size: int) -> None:
    rows = np.unique(np.linspace(0, len(table) - 1, min(CHECKED_IMAGES, len(table))).astype(int))
    side = np.median([max(_decode(table[int(row)]["image"], int(row), source).size) for row in rows])
    if side < size:
        raise EvaluationError(
            f"size is {size}, but half of the images of {source!r} have at most {int(side)} pixels a side; allowed are "
            "sizes to which no side is enlarged, because enlarging makes the sides distinguishable"
        )


def _equalise_all(table: Any, source: str, size: int) -> Iterator[np.ndarray]:
    progress = tqdm(table["image"], desc=f"equalising {Path(source).name}", unit="image")
    for row, cell in enumerate(progress):
        yield equalise(_decode(cell, row, source), size)[None]


def _decode(cell: dict[str, Any], row: int, source: str) -> Image.Image:
    try:
        return decode_photograph(cell["bytes"] if cell.get("bytes") else cell["path"])
    except PhotographError as error:
        raise EvaluationError(f"the image in row {row} of {source!r} cannot be read: {error}") from error


def _read_fields(
    table: Any, source: str, names: Sequence[str] | np.ndarray, patient_column: str | None, source_column: str
) -> dict[str, np.ndarray]:
    has_sources = source_column in table.column_names
    fields = {
        "patients": [str(name) for name in table[patient_column]] if patient_column else names,
        "splits": table["__split__"][:],
        "names": names,
        "sources": [str(name) for name in table[source_column]] if has_sources else [Path(source).name] * len(table),
    }
    return {"codes": read_codes(table, source), **{name: np.array(v, dtype=str) for name, v in fields.items()}}


def read_codes(table: Any, source: str) -> np.ndarray:
    """Reads the label columns of a table; int8, shape (N, 16), -1 unknown.

    Raises:
        EvaluationError: for a value that is not allowed, or if no label is known.
    """
    try:
        codes = read_label_columns(table, repr(source))
    except ConditionError as error:
        raise EvaluationError(str(error)) from None
    if (codes == UNKNOWN).all():
        raise EvaluationError(f"{source!r} has no known label; allowed columns are {', '.join(CONDITION_NAMES)}")
    return codes
