"""Builds shards: images from a source, encoded and written by other threads while the source makes the next ones.

A shard needs nothing of the others, and whoever makes one holds its lock. So any number of processes, on any number of
machines with a common file system, may build one folder at once; a shard whose maker dies is made by the next.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from ..errors import BuildError
from ..plan.condition_plan import ConditionPlan, Row
from ..schema import FOLDERS, ROW_GROUP, config_features, features
from .folder import BuildFolder
from .image_format import FORMATS, encode_image, image_facts
from .record import GenerationRecord
from .shard_writer import ParquetFile
from .tables import image_table

# Encoding threads. Pillow works without Python's lock.
ENCODERS = os.cpu_count() or 1
# Images that a thread encodes in one go: handing over small ones one by one takes a good part of encoding them.
PIECE = 4
# What bounds the memory: the source waits while more pieces than this are to be encoded (a batch may always be), and
# while a row group is being written when the next one is ready.
PIECES = 4 * ENCODERS


class Source(Protocol):
    """Makes images; `generator.Generator` is one."""

    def __call__(self, rows: Sequence[Row]) -> np.ndarray:
        """Returns one image a row: uint8 of shape (rows, height, width, 3), RGB."""


Advance = Callable[[int], object]


def build_missing_shards(
    folder: BuildFolder[GenerationRecord],
    plan: ConditionPlan,
    source: Source,
    batch_size: int,
    advance: Advance = lambda _: None,
) -> None:
    """Makes all missing shards that nobody else makes, waits for those that somebody does, and makes what they left.

    Args:
        folder: where to.
        plan: gives the rows.
        source: makes the images.
        batch_size: images made at once.
        advance: told how many images were made, after each batch.

    Raises:
        BuildError: if the source makes images of different sizes.
        OSError: if a file cannot be written.
    """
    for wait in (False, True):
        for shard in folder.missing_shards():
            build_shard(folder, shard, plan, source, batch_size, advance, wait)


def build_shard(
    folder: BuildFolder[GenerationRecord],
    shard: int,
    plan: ConditionPlan,
    source: Source,
    batch_size: int,
    advance: Advance = lambda _: None,
    wait: bool = True,
) -> None:
    """Makes one shard, unless it is complete when its lock is had; see `build_missing_shards`.

    Args:
        wait: whether to wait for somebody else who is making it; otherwise it is left to them.
    """
    with folder.locked_shard(shard, wait) as mine:
        if mine and folder.manifest(shard) is None:
            schemas = {config: config_features(config).arrow_schema for config in FOLDERS}
            with folder.open_shard(shard, schemas) as files:
                _fill(_ShardFiles(files, folder.record), folder.rows(shard), plan, source, batch_size, advance)


# A row, the piece that its image is encoded in, and where in it.
_Encoded = tuple[Row, Future[list[bytes]], int]


class _ShardFiles:
    """The files of a shard. `encode` and `write_group` are for other threads."""

    def __init__(self, files: dict[str, ParquetFile], record: GenerationRecord) -> None:
        self._files = files
        self._record = record
        self._labels: list[pa.Table] = []

    def encode(self, images: np.ndarray, rows: Sequence[Row]) -> list[bytes]:
        record = self._record
        facts = [image_facts(row.idx, record.generator, record.generator_revision, record.plan_hash) for row in rows]
        return [encode_image(image, record.image_format, fact) for image, fact in zip(images, facts, strict=True)]

    def write_group(self, group: list[_Encoded]) -> None:
        """Writes a row group, and empties the list."""
        rows = [row for row, _, _ in group]
        images = [piece.result()[position] for _, piece, position in group]
        group.clear()  # nobody else holds the images, so that those of the next group may take their place
        table = image_table(rows, images, FORMATS[self._record.image_format].suffix)
        del images
        self._labels.append(table.drop_columns("image"))
        self._files["default"].write(table)

    def set_image_size(self, shape: tuple[int, ...]) -> None:
        height, width = shape[:2]
        self._files["default"].image_size = (width, height)

    def write_labels(self) -> None:
        """Writes the labels of all groups at once: they are small, and read best in one piece."""
        labels = pa.concat_tables(self._labels)
        self._files["labels"].write(labels.replace_schema_metadata(features(images=False).arrow_schema.metadata))


def _fill(
    files: _ShardFiles, rows: range, plan: ConditionPlan, source: Source, batch_size: int, advance: Advance
) -> None:
    """Makes the images of these rows and writes them, row group by row group."""
    ready: list[_Encoded] = []
    pieces: deque[Future[list[bytes]]] = deque()
    writes: deque[Future[None]] = deque()
    shape = None
    with ThreadPoolExecutor(ENCODERS) as encoders, ThreadPoolExecutor(1) as writer:
        for first in range(0, len(rows), batch_size):
            batch = [plan.row(idx) for idx in rows[first : first + batch_size]]
            images = source(batch)
            if shape is None:
                shape = images.shape[1:]
                files.set_image_size(shape)
            if images.shape != (len(batch), *shape):
                raise BuildError(f"the generator made images of shape {images.shape}, not {(len(batch), *shape)}")
            for start in range(0, len(batch), PIECE):
                part = batch[start : start + PIECE]
                pieces.append(encoders.submit(files.encode, images[start : start + PIECE], part))
                ready += [(row, pieces[-1], position) for position, row in enumerate(part)]
            _wait(pieces, max(PIECES, len(batch) // PIECE))
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
    """Waits until at most so many are left, and forgets the others."""
    while len(work) > most:
        work.popleft().result()
