"""The index of a Parquet file with images: the byte range of each image file in it.

Images are stored without compression and dictionary (see `shard_writer`), so the bytes of an image file are contiguous
in the Parquet file. With its range, a reader fetches one image instead of a row group of 256.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..schema import config_features

# The start of an image that is searched for, before all of it is compared.
PREFIX = 64


def index_table(file: Path, folder: Path) -> pa.Table:
    """Returns the rows of the config `index`.

    Args:
        file: a Parquet file with images.
        folder: the folder of the dataset.
    """
    schema = config_features("index").arrow_schema
    labels = pq.read_table(file, columns=[name for name in schema.names if name not in ("file", "offset", "size")])
    offsets, sizes = zip(*image_ranges(file), strict=True)
    places = {
        "file": [file.relative_to(folder).as_posix()] * len(labels),
        "offset": offsets,
        "size": sizes,
    }
    columns = [pa.array(places[name]) if name in places else labels[name] for name in schema.names]
    return pa.Table.from_arrays(columns, schema=schema)


def image_ranges(file: Path) -> list[tuple[int, int]]:
    """Returns offset and size in bytes of the image of each row of a Parquet file.

    Raises:
        ValueError: if an image is not stored in one piece.
    """
    ranges = []
    with (
        pq.ParquetFile(file) as parquet,
        open(file, "rb") as raw,
        mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        for group in range(parquet.num_row_groups):
            position = _column_start(parquet.metadata.row_group(group))
            images = parquet.read_row_group(group, columns=["image"])["image"].combine_chunks()
            for data in images.field("bytes").to_pylist():
                position = _find(content, data, position, file)
                ranges.append((position, len(data)))
                position += len(data)
    return ranges


def _column_start(group: pq.RowGroupMetaData) -> int:
    """Returns the offset of the column with the image bytes in a row group."""
    columns = [group.column(number) for number in range(group.num_columns)]
    return next(column.data_page_offset for column in columns if column.path_in_schema == "image.bytes")


def _find(content: mmap.mmap, data: bytes, start: int, file: Path) -> int:
    """Returns the offset of a value, which is stored after its length in 4 bytes (the encoding PLAIN of Parquet)."""
    length = struct.pack("<I", len(data))
    found = content.find(length + data[:PREFIX], start)
    while found != -1 and content[found + len(length) : found + len(length) + len(data)] != data:
        found = content.find(length + data[:PREFIX], found + 1)
    if found == -1:
        raise ValueError(f"an image of {file} is not stored in one piece")
    return found + len(length)
