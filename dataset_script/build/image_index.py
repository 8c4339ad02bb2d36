"""The index of a Parquet file with images: the byte range of each image file in it.

Images are stored without compression and dictionary (see `shard_writer`), so the bytes of an image file are contiguous
in the Parquet file. With its range, a reader fetches one image instead of a row group of 256.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..schema import config_features

# The start of an image that is searched for, before all of it is compared.
PREFIX = 64


class ImageFinder:
    """Finds the images of a table in the content of the Parquet file, as it is written or read.

    Args:
        images: the column with the images.
        file: the Parquet file, for the message of an error.
    """

    def __init__(self, images: pa.ChunkedArray, file: Path) -> None:
        self._images = _image_bytes(images)
        self._next = next(self._images, None)
        self._file = file
        self._ranges: list[tuple[int, int]] = []

    def look(self, content: bytes, offset: int) -> None:
        """Finds the next images in the next part of the file, which starts at `offset`."""
        position = 0
        while self._next is not None and (found := _find(content, self._next, position)) != -1:
            self._ranges.append((offset + found, len(self._next)))
            position = found + len(self._next)
            self._next = next(self._images, None)

    def ranges(self) -> list[tuple[int, int]]:
        """Returns offset and size in bytes of each image.

        Raises:
            ValueError: if an image was not found in one part.
        """
        if self._next is not None:
            raise ValueError(f"an image of {self._file} is not stored in one piece")
        return self._ranges


def index_table(labels: Path, file: str, ranges: Sequence[tuple[int, int]]) -> pa.Table:
    """Returns the rows of the config `index`.

    Args:
        labels: a Parquet file with the labels of the same rows.
        file: the Parquet file with the images, relative to the folder of the dataset.
        ranges: offset and size in bytes of the image of each row in it.
    """
    schema = config_features("index").arrow_schema
    offsets, sizes = zip(*ranges, strict=True)
    places = {"file": [file] * len(ranges), "offset": offsets, "size": sizes}
    table = pq.read_table(labels, columns=[name for name in schema.names if name not in places])
    columns = [pa.array(places[name]) if name in places else table[name] for name in schema.names]
    return pa.Table.from_arrays(columns, schema=schema)


def image_ranges(file: Path) -> list[tuple[int, int]]:
    """Returns offset and size in bytes of the image of each row of a Parquet file.

    Raises:
        ValueError: if an image is not stored in one piece.
    """
    ranges = []
    with pq.ParquetFile(file) as parquet, open(file, "rb") as raw:
        for group in range(parquet.num_row_groups):
            finder = ImageFinder(parquet.read_row_group(group, columns=["image"])["image"], file)
            column = _bytes_column(parquet.metadata.row_group(group))
            raw.seek(column.data_page_offset)
            finder.look(raw.read(column.total_compressed_size), column.data_page_offset)
            ranges += finder.ranges()
    return ranges


def _bytes_column(group: pq.RowGroupMetaData) -> pq.ColumnChunkMetaData:
    """Returns the description of the column with the image bytes in a row group."""
    columns = [group.column(number) for number in range(group.num_columns)]
    return next(column for column in columns if column.path_in_schema == "image.bytes")


def _image_bytes(images: pa.ChunkedArray) -> Iterator[bytes]:
    """Yields the image files of a column, one at a time: a list of them would need the memory of a row group."""
    for chunk in images.chunks:
        for data in chunk.field("bytes"):
            yield data.as_py()


def _find(content: bytes, data: bytes, start: int) -> int:
    """Returns the position of a value, which is stored after its length in 4 bytes (the encoding PLAIN of Parquet).

    Returns -1 if there is none.
    """
    length = struct.pack("<I", len(data))
    found = content.find(length + data[:PREFIX], start)
    while found != -1 and not content.startswith(data, found + len(length)):
        found = content.find(length + data[:PREFIX], found + 1)
    return found if found == -1 else found + len(length)
