"""Images that are read in batches from disk: memory holds one batch, however many images there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from evaluation.cache import fingerprint
from synfundus.thumbnails import Crop, resize

BATCH = 64
Rows = np.ndarray | slice


@dataclass(frozen=True)
class Images:
    """Square images in `.npy` files or arrays, with a crop, a flip and a size that are applied when they are read.

    Indexing with row numbers or a slice reads images: uint8, shape (B, size, size, 3).

    Attributes:
        sources: files or arrays of uint8 images, shape (n, S, S, 3) each, all with the same S.
        source: the number of the source of each image, shape (N,).
        row: the row of each image in its source, shape (N,).
        size: side of the images in pixels.
        crop: the part of each image to read, resized to `size`; None reads all of it.
        flipped: whether images are flipped left to right.
    """

    sources: tuple[Path | np.ndarray, ...]
    source: np.ndarray
    row: np.ndarray
    size: int
    crop: Crop | None = None
    flipped: bool = False

    def __len__(self) -> int:
        return len(self.row)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, size, size, 3)."""
        return len(self), self.size, self.size, 3

    def __getitem__(self, rows: int | np.integer | Rows) -> np.ndarray:
        if isinstance(rows, (int, np.integer)):
            return self[slice(rows, rows + 1)][0]
        source, row = self.source[rows], self.row[rows]
        images = np.empty((len(row), *_open(self.sources[0]).shape[1:]), dtype=np.uint8)
        for number in np.unique(source):
            images[source == number] = _open(self.sources[number])[row[source == number]]
        return self._transform(images)

    def __iter__(self) -> Iterator[np.ndarray]:
        for batch in self.batches():
            yield from batch

    def batches(self, count: int = BATCH) -> Iterator[np.ndarray]:
        """Reads all images, `count` at a time."""
        for start in range(0, len(self), count):
            yield self[start : start + count]

    def select(self, rows: Rows) -> Images:
        """These rows (numbers, mask or slice), without reading them."""
        return replace(self, source=self.source[rows], row=self.row[rows])

    def resized(self, size: int) -> Images:
        """The same images at another size, averaged over areas."""
        return replace(self, size=size)

    def view(self, crop: Crop | None, flipped: bool) -> Images:
        """The same images with another crop and flip."""
        return replace(self, crop=crop, flipped=flipped)

    @cached_property
    def fingerprint(self) -> str:
        """Hexadecimal digits that change with any pixel. The names of files are fingerprints of their content."""
        sources = [fingerprint(s) if isinstance(s, np.ndarray) else f"{s.parent.name}/{s.name}" for s in self.sources]
        return fingerprint(sources, self.source, self.row, self.size, self.crop, self.flipped)

    def _transform(self, images: np.ndarray) -> np.ndarray:
        images = resize(images, self.size, self.crop)
        return images[:, :, ::-1] if self.flipped else images


def as_images(images: np.ndarray | Images) -> Images:
    """An array of shape (N, S, S, 3) as `Images`; `Images` as they are."""
    if isinstance(images, Images):
        return images
    return Images((images,), np.zeros(len(images), dtype=np.int32), np.arange(len(images)), images.shape[1])


def open_images(file: Path) -> Images:
    """All images of a `.npy` file."""
    array = _open(file)
    return Images((file,), np.zeros(len(array), dtype=np.int32), np.arange(len(array)), array.shape[1])


def join(parts: Sequence[np.ndarray | Images]) -> np.ndarray | Images:
    """All images of the parts in their order: an array if all parts are arrays.

    Raises:
        ValueError: for parts with different sizes, crops or flips.
    """
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if len(arrays) == len(parts):
        return np.concatenate(arrays)
    images = [as_images(part) for part in parts]
    kinds = {(part.size, part.crop, part.flipped, _open(part.sources[0]).shape[1]) for part in images}
    if len(kinds) > 1:
        raise ValueError(f"the parts have sizes, crops and flips {sorted(map(str, kinds))}; allowed is one of each")
    sources: list[Path | np.ndarray] = []
    numbers = []
    for part in images:
        known = [_number_of(source, sources) for source in part.sources]
        numbers.append(np.array(known, dtype=np.int32)[part.source])
    rows = np.concatenate([part.row for part in images])
    first = images[0]
    return Images(tuple(sources), np.concatenate(numbers), rows, first.size, first.crop, first.flipped)


def _number_of(source: Path | np.ndarray, sources: list[Path | np.ndarray]) -> int:
    """The number of a source in the list, to which it is added if it is not there."""
    for number, known in enumerate(sources):
        if known is source or (isinstance(known, Path) and isinstance(source, Path) and known == source):
            return number
    sources.append(source)
    return len(sources) - 1


def select(images: np.ndarray | Images, rows: Rows) -> np.ndarray | Images:
    """These rows of an array, or of `Images` without reading them."""
    return images.select(rows) if isinstance(images, Images) else images[rows]


def _open(source: Path | np.ndarray) -> np.ndarray:
    # Opened for each batch: the pages of a map that stays open count as memory of the process.
    return source if isinstance(source, np.ndarray) else np.load(source, mmap_mode="r")
