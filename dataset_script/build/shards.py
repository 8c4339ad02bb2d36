"""Builds shards: other threads encode and write images while the source generates the next ones.

Shards are independent, and a process holds the lock of the shard that it builds. So any number of processes, on any
number of machines with a common file system, can build one folder together. If one dies, another builds its shard.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from synfundus.cores import available_cores

from ..errors import BuildError
from ..plan.condition_plan import ConditionPlan, Row
from ..schema import ROW_GROUP, config_features, features
from .folder import BuildFolder
from .image_format import FORMATS, encode_row
from .record import GenerationRecord, Shard
from .shard_writer import ParquetFile
from .tables import image_table

# Encoding threads. Pillow releases Python's global lock.
ENCODERS = available_cores()
# Images that a thread encodes per task: for small images, one task per image would cost much of the encoding time.
PIECE = 4
# Bounds the memory: the source waits while more pieces than this (and more than one batch) are to be encoded, and while
# a row group is being written when the next one is complete.
PIECES = 4 * ENCODERS


class Source(Protocol):
    """Generates images; `image_generator.ImageGenerator` is one."""

    def __call__(self, rows: Sequence[Row]) -> np.ndarray:
        """Returns one image per row: uint8 of shape (rows, height, width, 3), RGB."""


Advance = Callable[[int], object]


def build_missing_shards(
    folder: BuildFolder[GenerationRecord],
    plan: ConditionPlan,
    source: Source,
    batch_size: int,
    advance: Advance = lambda _: None,
) -> None:
    """Builds unlocked shards, waits for locked ones, then builds those left unfinished.

    Args:
        folder: the folder of the build.
        plan: the plan of the rows.
        source: generates the images.
        batch_size: images per batch.
        advance: called after each batch with its number of images.

    Raises:
        BuildError: if the source generates images of different sizes.
        OSError: if a file cannot be written.
    """
    for wait in (False, True):
        for shard in folder.missing_shards():
            build_shard(folder, shard, plan, source, batch_size, advance, wait)


def build_shard(
    folder: BuildFolder[GenerationRecord],
    shard: Shard,
    plan: ConditionPlan,
    source: Source,
    batch_size: int,
    advance: Advance = lambda _: None,
    wait: bool = True,
) -> None:
    """Builds one shard, unless it is complete when its lock is acquired; see `build_missing_shards`.

    If the dataset grows, the images of a shorter earlier version of the shard are copied and not generated again.

    Args:
        wait: whether to wait while another process builds the shard; otherwise it is skipped.
    """
    with folder.locked_shard(shard, wait) as mine:
        if mine and folder.manifest(shard) is None:
            rows = shard_rows(plan, folder.record, shard)
            kept = folder.finished_rows(shard)
            schemas = {config: config_features(config).arrow_schema for config in ("default", "labels")}
            with folder.open_shard(shard, schemas) as opened, ThreadPoolExecutor(ENCODERS) as encoders:
                files = _ShardFiles(opened, folder.record)
                batches = itertools.chain(
                    _keep(folder, shard, rows[:kept], files),
                    _generate(rows[kept:], source, batch_size, files, encoders),
                )
                _write(batches, files, advance)


def shard_rows(plan: ConditionPlan, record: GenerationRecord, shard: Shard) -> list[Row]:
    """Returns the rows of a shard."""
    numbers = plan.split_rows(record.num_rows)[shard.split][shard.first : shard.first + shard.rows]
    return plan.rows(numbers)


# A row, the task that encodes its image, and the position of the image in the task.
_Encoded = tuple[Row, Future[list[bytes]], int]


class _ShardFiles:
    """The files of a shard. `encode` and `write_group` run in other threads."""

    def __init__(self, files: dict[str, ParquetFile], record: GenerationRecord) -> None:
        self._files = files
        self._record = record
        self._labels: list[pa.Table] = []

    def encode(self, images: np.ndarray, rows: Sequence[Row]) -> list[bytes]:
        return [encode_row(image, row.idx, self._record) for image, row in zip(images, rows, strict=True)]

    def write_group(self, group: list[_Encoded]) -> None:
        """Writes a row group and clears the list."""
        rows = [row for row, _, _ in group]
        images = [piece.result()[position] for _, piece, position in group]
        group.clear()  # drops the last references, so that the next row group can reuse the memory
        table = image_table(rows, images, FORMATS[self._record.image_format].suffix)
        del images
        self._labels.append(table.drop_columns("image"))
        self._files["default"].write(table)

    def set_image_size(self, width: int, height: int) -> None:
        """Sets the size of the images in pixels; raises `BuildError` if it changes."""
        size, data = (width, height), self._files["default"]
        if data.image_size not in (None, size):
            raise BuildError(f"the generator returned images of size {size}, not {data.image_size}")
        data.image_size = size

    def write_labels(self) -> None:
        """Writes the labels of all row groups as one: they are small, and one row group is fastest to read."""
        labels = pa.concat_tables(self._labels)
        self._files["labels"].write(labels.replace_schema_metadata(features(images=False).arrow_schema.metadata))


def _keep(
    folder: BuildFolder[GenerationRecord], shard: Shard, rows: Sequence[Row], files: _ShardFiles
) -> Iterator[list[_Encoded]]:
    """Yields the rows of an earlier version of a shard with their image files."""
    if not rows:
        return
    files.set_image_size(*folder.read_manifest(shard)["files"]["default"]["image_size"])
    start = 0
    with pq.ParquetFile(folder.file("default", shard)) as earlier:
        for batch in earlier.iter_batches(ROW_GROUP, columns=["image"]):
            piece: Future[list[bytes]] = Future()
            piece.set_result(batch.column("image").field("bytes").to_pylist())
            yield [(row, piece, position) for position, row in enumerate(rows[start : start + len(batch)])]
            start += len(batch)


def _generate(
    rows: Sequence[Row], source: Source, batch_size: int, files: _ShardFiles, encoders: ThreadPoolExecutor
) -> Iterator[list[_Encoded]]:
    """Generates the images of rows and yields each batch of rows with the tasks that encode its images."""
    pieces: deque[Future[list[bytes]]] = deque()
    for first in range(0, len(rows), batch_size):
        batch = rows[first : first + batch_size]
        images = source(batch)
        height, width = images.shape[1:3]
        files.set_image_size(width, height)
        if images.shape != (len(batch), height, width, 3):
            raise BuildError(f"the generator returned images of shape {images.shape} for {len(batch)} rows")
        encoded: list[_Encoded] = []
        for start in range(0, len(batch), PIECE):
            part = batch[start : start + PIECE]
            pieces.append(encoders.submit(files.encode, images[start : start + PIECE], part))
            encoded += [(row, pieces[-1], position) for position, row in enumerate(part)]
        _wait(pieces, max(PIECES, len(batch) // PIECE))
        yield encoded


def _write(batches: Iterable[list[_Encoded]], files: _ShardFiles, advance: Advance) -> None:
    """Writes rows, one row group at a time, while the next ones are generated and encoded."""
    ready: list[_Encoded] = []
    writes: deque[Future[None]] = deque()
    with ThreadPoolExecutor(1) as writer:
        for batch in batches:
            ready += batch
            while len(ready) >= ROW_GROUP:
                _wait(writes, 0)
                writes.append(writer.submit(files.write_group, ready[:ROW_GROUP]))
                del ready[:ROW_GROUP]
            advance(len(batch))
        _wait(writes, 0)
        if ready:
            files.write_group(ready)
    files.write_labels()


def _wait(work: deque[Future[Any]], most: int) -> None:
    """Waits until at most `most` tasks are left, and removes the others."""
    while len(work) > most:
        work.popleft().result()
