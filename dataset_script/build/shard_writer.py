"""Writes a Parquet file incrementally, so that memory does not grow with the file."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from synfundus.files import atomic_file

from ..schema import ROW_GROUP
from .image_index import ImageFinder


class ParquetFile:
    """A Parquet file open for writing; `parquet_file` opens one.

    Attributes:
        image_size: width and height of its images, in pixels; set by the code that writes them.
        image_ranges: offset and size in bytes of the image of each row that was written.
    """

    def __init__(self, file: BinaryIO, schema: pa.Schema, path: Path) -> None:
        self._file = _HashingFile(file)
        self._path = path
        self._writer = pq.ParquetWriter(self._file, schema, **_options(schema))
        self._rows = 0
        self.image_size: tuple[int, int] | None = None
        self.image_ranges: list[tuple[int, int]] = []
        self._arrow_bytes = 0

    def write(self, table: pa.Table) -> None:
        """Writes rows: with images, in row groups of at most `ROW_GROUP`; without images, in one row group.

        Raises:
            ValueError: if an image is not stored in one piece.
        """
        if "image" in table.column_names:
            self._file.finder = finder = ImageFinder(table["image"], self._path)
            self._writer.write_table(table, row_group_size=ROW_GROUP)
            self._file.finder = None
            self.image_ranges += finder.ranges()
        else:
            self._writer.write_table(table)
        self._rows += table.num_rows
        self._arrow_bytes += table.nbytes

    def close(self) -> None:
        """Writes the footer of the file."""
        self._writer.close()

    def abandon(self) -> None:
        """Closes the writer without writing: it would otherwise write a footer when it is garbage-collected."""
        self._file.broken = True
        self._writer.close()

    @property
    def facts(self) -> dict[str, Any]:
        """Size and SHA-256 of the file, its number of rows, their size in memory in bytes, and `image_size`."""
        return {
            "bytes": self._file.bytes,
            "sha256": self._file.digest.hexdigest(),
            "rows": self._rows,
            "arrow_bytes": self._arrow_bytes,
            **({"image_size": list(self.image_size)} if self.image_size else {}),
        }


@contextlib.contextmanager
def parquet_file(path: Path, schema: pa.Schema) -> Iterator[ParquetFile]:
    """Opens a Parquet file for writing. It gets its name only after it is complete and synced to the disk."""
    with atomic_file(path) as raw:
        file = ParquetFile(raw, schema, path)
        try:
            yield file
        except BaseException:
            file.abandon()
            raise
        file.close()


def _options(schema: pa.Schema) -> dict[str, Any]:
    """Returns the options of the Parquet writer.

    The page index lets readers skip pages. Content-defined chunking lets the Hub store only the changed chunks of an
    edited file. Images are compressed already, so they get no compression, statistics or dictionary.
    """
    columns = [name for name in schema.names if name != "image"]
    return {
        "compression": {name: "zstd" for name in columns},
        "use_dictionary": [name for name in columns if name != "idx"],
        "write_statistics": columns,
        "write_page_index": True,
        "use_content_defined_chunking": True,
    }


class _HashingFile:
    """A file for writing that computes the checksum and the size of its content, and shows it to `finder`."""

    closed = False
    mode = "wb"
    broken = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.bytes = 0
        self.finder: ImageFinder | None = None

    def write(self, data: Any) -> int:
        if self.broken:
            return len(data)
        if self.finder:
            self.finder.look(bytes(data), self.bytes)
        self.digest.update(data)
        self.bytes += len(data)
        return self._file.write(data)

    def tell(self) -> int:
        return self.bytes

    def flush(self) -> None:
        """`atomic_file` flushes the file."""

    def close(self) -> None:
        """`atomic_file` closes the file, when it is on the disk."""
