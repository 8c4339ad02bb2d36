"""A copy of the published release as Parquet files with images, such as a re-upload on the Hub."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from .annotation import Annotation, Problem, PublishedReleaseError, parse_annotation
from .image_content import ImageError, check_image


class ParquetImage(NamedTuple):
    """An image in a Parquet file.

    Attributes:
        name: its file name.
        path: the Parquet file.
        size: its approximate size in bytes: the mean of its row group.
        group: its row group.
        position: its position in the row group.
    """

    name: str
    path: str
    size: int
    group: int
    position: int

    def read(self) -> bytes:
        """Returns the bytes of the image file after checking them, see `check_image`.

        Raises:
            ImageError: if it cannot be used or read.
        """
        try:
            data = _read_group(self.path, self.group)[self.position].as_py()
        except (OSError, pa.ArrowException) as error:
            raise ImageError(f"cannot be read: {str(error).splitlines()[0]}") from None
        if data is None:
            raise ImageError("has no bytes in the Parquet file")
        check_image(data)
        return data


def find_parquet_files(folder: str) -> list[str]:
    """Returns the Parquet files with an image column in a folder and its subfolders, in the order of their names."""
    files = sorted(str(path) for path in Path(folder).rglob("*.parquet") if not path.name.startswith("."))
    return [file for file in files if _has_images(file)]


def read_parquet_copy(folder: str, files: list[str]) -> tuple[Annotation, list[ParquetImage]]:
    """Returns the rows of Parquet files, and the image of each row.

    Raises:
        PublishedReleaseError: if the files have different columns, no rows, or lack columns.
    """
    header = [name for name in pq.read_schema(files[0]).names if name != "image"]
    for file in files[1:]:
        if [name for name in pq.read_schema(file).names if name != "image"] != header:
            place = os.path.relpath(file, folder)
            raise PublishedReleaseError(folder, [Problem("files with other columns than the first", place)])
    annotation = parse_annotation(folder, header, _rows(files, header), images_in_rows=True)
    return annotation, list(_images(files, annotation.names))


def _has_images(file: str) -> bool:
    try:
        return "image" in pq.read_schema(file).names
    except (OSError, pa.ArrowException):
        return False


def _rows(files: list[str], header: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Yields the number of each row, counted from 1, and its cells as text."""
    number = 0
    for file in files:
        with pq.ParquetFile(file) as parquet:
            for batch in parquet.iter_batches(10_000, columns=header):
                columns = [batch.column(name).to_pylist() for name in header]
                for cells in zip(*columns, strict=True):
                    number += 1
                    yield number, ["" if cell is None else str(cell) for cell in cells]


def _images(files: list[str], names: list[str]) -> Iterator[ParquetImage]:
    """Yields the image of each row. Its name is that in the table, or in the image column, or else its number."""
    number = 0
    for file in files:
        with pq.ParquetFile(file) as parquet:
            for group in range(parquet.num_row_groups):
                metadata = parquet.metadata.row_group(group)
                size = metadata.total_byte_size // max(1, metadata.num_rows)
                stored = _stored_names(parquet, group)
                for position in range(metadata.num_rows):
                    name = (names[number] if names else None) or stored[position] or f"{number}.png"
                    yield ParquetImage(name, file, size, group, position)
                    number += 1


def _stored_names(parquet: pq.ParquetFile, group: int) -> list[str | None]:
    """Returns the file names in the image column of a row group; only the names are read."""
    if not pa.types.is_struct(parquet.schema_arrow.field("image").type):
        return [None] * parquet.metadata.row_group(group).num_rows
    column = parquet.read_row_group(group, columns=["image.path"])["image"].combine_chunks()
    return column.field("path").to_pylist()


@functools.lru_cache(maxsize=1)
def _read_group(path: str, group: int) -> pa.Array:
    """Returns the image bytes of a row group. Rows are read in order, so each row group is read once."""
    with pq.ParquetFile(path) as parquet:
        column = parquet.read_row_group(group, columns=["image"])["image"].combine_chunks()
    return column.field("bytes") if pa.types.is_struct(column.type) else column
