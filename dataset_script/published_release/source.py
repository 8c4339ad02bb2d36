"""A copy of the published SynFundus-1M release: a CSV file beside folders or zips of images, or Parquet files.

With a CSV file, the image of a row is the one that `file_name` (or text in `idx`) names, in any folder or zip, even if
its suffix differs. Without names it is `{idx}.png`, with or without leading zeros. All problems are found before any
image is read, and reported in one error.
"""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa

from pipeline_synfundus.labels import CONDITION_NAMES, UNKNOWN

from ..schema import ROW_GROUP
from .annotation import (
    Annotation,
    Problem,
    PublishedReleaseError,
    find_annotation,
    has_csv_file,
    read_annotation,
)
from .image_content import ImageError
from .image_files import ImageFile, find_images
from .parquet_copy import ParquetImage, find_parquet_files, read_parquet_copy

SHARD_ROWS = 1000  # rows of a shard: the unit of work of a process, 400 MB of images


@dataclass(frozen=True)
class PublishedRelease:
    """Rows of a release, in the order of its annotation; a slice is a `PublishedRelease` too.

    Attributes:
        folder: the release's folder.
        idx: the numbers of the rows; shape (rows,), int64.
        codes: label values in the order of `CONDITION_NAMES`, -1 for unknown; shape (rows, 16), int8.
        files: the images of the rows.
        missing: the condition labels without a column: they are unknown in all rows.
        extra: the other columns of the annotation as text, by name.
    """

    folder: str
    idx: np.ndarray
    codes: np.ndarray
    files: list[ImageFile | ParquetImage]
    missing: list[str]
    extra: dict[str, list[str]]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, rows: slice) -> PublishedRelease:
        extra = {name: values[rows] for name, values in self.extra.items()}
        return PublishedRelease(self.folder, self.idx[rows], self.codes[rows], self.files[rows], self.missing, extra)

    def split(self, size: int) -> list[PublishedRelease]:
        """Returns the rows in parts of `size` rows; the last part may be shorter."""
        return [self[first : first + size] for first in range(0, len(self), size)]

    def tables(self, schema: pa.Schema) -> Iterator[pa.Table]:
        """Yields the rows as tables of up to `ROW_GROUP` rows. Images keep their bytes and the names of their files.

        Args:
            schema: the schema of the tables; images are read only if it has the column `image`.

        Raises:
            PublishedReleaseError: if images cannot be used; it lists all of them, so all are read first.
        """
        problems: list[Problem] = []
        for part in self.split(ROW_GROUP):
            table = part._table(schema, problems)
            if not problems:
                yield table
        if problems:
            raise PublishedReleaseError(self.folder, problems)

    def _table(self, schema: pa.Schema, problems: list[Problem]) -> pa.Table:
        """Returns all rows as a table. Unusable images are added to the problems, and null in the table."""
        labels = zip(CONDITION_NAMES, self.codes.T.astype(np.int64), strict=True)
        columns = {"idx": pa.array(self.idx), **{name: pa.array(codes) for name, codes in labels}}
        columns |= {name: pa.array(values, pa.string()) for name, values in self.extra.items() if name not in columns}
        if "image" in schema.names:
            images = pa.array((self._read_image(row, problems) for row in range(len(self))), pa.binary())
            names = pa.array([PurePosixPath(file.name).name for file in self.files], pa.string())
            columns["image"] = pa.StructArray.from_arrays([images, names], ["bytes", "path"])
        return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)

    def _read_image(self, row: int, problems: list[Problem]) -> bytes | None:
        try:
            return self.files[row].read()
        except ImageError as error:
            problems.append(Problem("bad images", f"{self.files[row].name} (idx {self.idx[row]}) {error}"))
            return None


def load_release(folder: str) -> PublishedRelease:
    """Returns the release in a folder. Its images are located, but not read.

    Raises:
        PublishedReleaseError: with all problems.
    """
    release, problems = scan_release(folder)
    if problems:
        raise PublishedReleaseError(folder, problems)
    return release


def release_tables(folder: str) -> list[str]:
    """Returns the tables of a release: its CSV file, or else its Parquet files with images.

    Raises:
        PublishedReleaseError: if there are none.
    """
    return ([] if has_csv_file(folder) else find_parquet_files(folder)) or [find_annotation(folder)]


def scan_release(folder: str) -> tuple[PublishedRelease, list[Problem]]:
    """Returns the rows of a release without problems, and all problems.

    Raises:
        PublishedReleaseError: if there is no annotation with the required columns.
    """
    tables = release_tables(folder)
    images: Sequence[ImageFile | ParquetImage]
    if tables[0].endswith(".parquet"):
        annotation, images = read_parquet_copy(folder, tables)
        found = dict(enumerate(range(len(images))))
    else:
        annotation = read_annotation(tables[0])
        images, unreadable = find_images(folder)
        annotation.problems += [Problem("unreadable files", f"{path}: {why}") for path, why in unreadable.items()]
        found = _match(annotation, images)
    good = [row for row in range(len(annotation)) if row not in annotation.bad]
    release = PublishedRelease(
        folder,
        np.array(annotation.idx, np.int64)[good],
        np.array(annotation.codes, np.int8).reshape(-1, len(CONDITION_NAMES))[good],
        [images[found[row]] for row in good],
        annotation.missing,
        {name: [values[row] for row in good] for name, values in annotation.extra.items()},
    )
    return release, annotation.problems


def _match(annotation: Annotation, images: Sequence[ImageFile]) -> dict[int, int]:
    """Returns the position of the image of each row that has one of its own. Adds problems for all other rows and for
    images that no row names."""
    find = _find_by_name if annotation.names else _find_by_idx
    row_of: dict[int, int] = {}  # position of an image to its row
    extra = set(range(len(images)))
    for row, (wanted, candidates) in enumerate(find(annotation, images)):
        extra.difference_update(candidates)
        if len(candidates) > 1:
            places = ", ".join(images[image].name for image in candidates)
            annotation.add_problem(row, "ambiguous files", f"{wanted} may be any of {places}")
        elif not candidates and wanted:
            annotation.add_problem(row, "missing files", wanted)
        elif candidates and images[candidates[0]].size == 0:
            annotation.add_problem(row, "empty files", images[candidates[0]].name)
        elif candidates and row not in annotation.bad:
            first = row_of.setdefault(candidates[0], row)
            if first != row:
                annotation.bad.add(first)
                annotation.add_problem(
                    row, "shared files", f"{wanted} is also the image of line {annotation.lines[first]}"
                )
    # Pictures of another format than those of the rows, such as a preview, are no images of the release.
    suffixes = {_suffix(images[image].name) for image in row_of}
    names = [images[image].name for image in sorted(extra)]
    annotation.problems += [Problem("extra files", name) for name in names if not suffixes or _suffix(name) in suffixes]
    return {row: image for image, row in row_of.items()}


# The name that a row gives ("" if it is invalid), and the positions of all images with that name.
Candidates = Iterator[tuple[str, list[int]]]


def _find_by_name(annotation: Annotation, images: Sequence[ImageFile]) -> Candidates:
    """`file_name` is a path relative to the release's folder, or the end of such a path. Its suffix may differ."""
    names = [posixpath.normpath(given.replace("\\", "/")).lstrip("/") for given in annotation.names]
    lengths = {name.count("/") + 1 for name in names}
    by_end: dict[str, list[int]] = defaultdict(list)
    for position, image in enumerate(images):
        parts = image.unpacked_name.split("/")
        for length in lengths:
            if length <= len(parts):
                end = "/".join(parts[-length:])
                by_end[end].append(position)
                by_end[f"{posixpath.splitext(end)[0]}.*"].append(position)
    for given, name in zip(annotation.names, names, strict=True):
        candidates = by_end.get(name) or by_end.get(f"{posixpath.splitext(name)[0]}.*", []) if given else []
        exact = [position for position in candidates if images[position].unpacked_name == name]
        yield given, exact or candidates


def _suffix(name: str) -> str:
    return posixpath.splitext(name)[1].lower().replace(".jpeg", ".jpg")


def _find_by_idx(annotation: Annotation, images: Sequence[ImageFile]) -> Candidates:
    by_idx: dict[int, list[int]] = defaultdict(list)
    for position, image in enumerate(images):
        stem = PurePosixPath(image.name).stem
        if stem.isdecimal():
            by_idx[int(stem)].append(position)
    for idx in annotation.idx:
        yield (f"{idx}.png", by_idx.get(idx, [])) if idx != UNKNOWN else ("", [])
