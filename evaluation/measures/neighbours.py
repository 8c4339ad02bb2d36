"""Nearest neighbours among images, also flipped and cropped: how copies look after small changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from tqdm.auto import tqdm

from evaluation.data.images import Images, as_images
from synfundus.layouts import LAYOUT, describe_layouts
from synfundus.thumbnails import THUMBNAIL, Crop, describe_thumbnails

# From N images to float32 vectors of length 1, shape (N, D).
Describe = Callable[[Images], np.ndarray]
# The features of a network change little with the framing and are expensive: one crop. For thumbnails it is reversed.
FEATURE_CROPS: tuple[Crop, ...] = ((0.9, 0.5, 0.5),)
# Vectors that are in memory together: of the queries, of the references, and rows of a matrix of distances.
QUERY_CHUNK, REFERENCE_CHUNK, DISTANCE_ROWS = 16_384, 8_192, 512


@dataclass(frozen=True)
class Neighbours:
    """The nearest reference of each query.

    Attributes:
        distance: distance, shape (N,), 0 for a copy, 2 at most; infinite if there is no reference.
        row: its row number among the references, shape (N,).
        next_distance: distance to the nearest reference of another patient than that one's, shape (N,).
    """

    distance: np.ndarray
    row: np.ndarray
    next_distance: np.ndarray

    @property
    def relative(self) -> np.ndarray:
        """The distance as a share of that to the next patient, shape (N,), 0 to 1; NaN without any neighbour.

        It tells what was learned by heart from images without details, which are near to many photographs (relative
        distances of Carlini et al. 2023, arXiv 2301.13188, section 4.2).
        """
        with np.errstate(invalid="ignore"):  # infinite distances
            return self.distance / np.maximum(self.next_distance, 1e-12)


def describe_thumbnail(images: np.ndarray | Images) -> np.ndarray:
    """Describes images by their thumbnails, see `synfundus.thumbnails`; float32, shape (N, 432)."""
    return describe_thumbnails(np.concatenate(list(as_images(images).resized(THUMBNAIL).batches())))


def describe_layout(images: np.ndarray | Images) -> np.ndarray:
    """Describes images by their layouts, see `synfundus.layouts`; float32, shape (N, D)."""
    return np.concatenate([describe_layouts(batch) for batch in as_images(images).resized(LAYOUT).batches()])


def views(images: Images, crops: tuple[Crop, ...]) -> Iterator[Images]:
    """The images, and these crops of them enlarged to the size of the images, each also flipped left to right."""
    for crop in (None, *crops):
        yield images.view(crop, flipped=False)
        yield images.view(crop, flipped=True)


def nearest(
    queries: np.ndarray | Images,
    references: np.ndarray | Images,
    describe: Describe,
    crops: tuple[Crop, ...],
    query_patients: np.ndarray | None = None,
    reference_patients: np.ndarray | None = None,
) -> Neighbours:
    """Finds the nearest reference of each query, over all views of the references.

    Memory is bounded however many queries and references there are; each view of the references is described once for
    every `QUERY_CHUNK` queries.

    Args:
        queries: N uint8 images.
        references: M uint8 images of the same size.
        describe: maps images to vectors of length 1, between which distances are taken.
        crops: the crops of the references to look at.
        query_patients: with `reference_patients`, references of the query's own patient are skipped.
        reference_patients: the patient of each reference; without them each is of a patient of its own.
    """
    queries, references = as_images(queries), as_images(references)
    far = np.full(len(queries), np.inf, dtype=np.float32)
    best = Neighbours(far, np.zeros(len(queries), dtype=np.int64), far.copy())
    of_reference = np.arange(len(references)) if reference_patients is None else reference_patients
    own = None if query_patients is None else _number(query_patients, of_reference)
    numbers = _number(of_reference, of_reference)
    for start in range(0, len(queries), QUERY_CHUNK):
        rows = slice(start, start + QUERY_CHUNK)
        described = describe(queries.select(rows))
        # Views: what is written to them is in `best`.
        found = Neighbours(best.distance[rows], best.row[rows], best.next_distance[rows])
        for first in tqdm(range(0, len(references), REFERENCE_CHUNK), desc="neighbours", unit="chunk", leave=False):
            chunk = slice(first, first + REFERENCE_CHUNK)
            for view in views(references.select(chunk), crops):
                _update(found, described, describe(view), first, numbers, None if own is None else own[rows])
    return best


def own_distance(
    queries: np.ndarray | Images, references: np.ndarray | Images, describe: Describe, crops: tuple[Crop, ...]
) -> np.ndarray:
    """Distance of each query to the reference with the same row number, over all views of it; shape (N,)."""
    described = describe(as_images(queries))
    distances = [np.linalg.norm(described - describe(view), axis=1) for view in views(as_images(references), crops)]
    return np.min(distances, axis=0)


def _number(patients: np.ndarray, among: np.ndarray) -> np.ndarray:
    """The number of each patient among the distinct patients of `among`; -1 for one who is not there."""
    distinct = np.unique(among)
    found = np.minimum(np.searchsorted(distinct, patients), len(distinct) - 1)
    return np.where(distinct[found] == patients, found, -1)


def _update(
    best: Neighbours,
    queries: np.ndarray,
    references: np.ndarray,
    first: int,
    patients: np.ndarray,
    own: np.ndarray | None,
) -> None:
    """Replaces neighbours by nearer ones among these references, whose row numbers start at `first`.

    Args:
        best: what was found so far, changed in place.
        queries: their descriptions.
        references: descriptions of one view of these references.
        first: row number of the first.
        patients: number of the patient of each reference, of all rows.
        own: number of the patient of each query, whose references are skipped.
    """
    here = patients[first : first + len(references)]
    for start in range(0, len(queries), DISTANCE_ROWS):
        rows = slice(start, start + DISTANCE_ROWS)
        # Of vectors of length 1: |a - b|^2 = 2 - 2 a'b.
        squared = np.maximum(2 - 2 * queries[rows] @ references.T, 0)
        if own is not None:
            squared[own[rows, None] == here] = np.inf
        row = squared.argmin(axis=1)
        distance = np.sqrt(squared[np.arange(len(row)), row])
        squared[here[row][:, None] == here] = np.inf
        of_others = np.sqrt(squared.min(axis=1))  # than the patient of `row`
        known, known_next = best.distance[rows], best.next_distance[rows]
        same = patients[best.row[rows]] == here[row]
        closer = distance < known
        best.next_distance[rows] = np.where(
            closer,
            np.minimum(np.where(same, known_next, known), of_others),
            np.minimum(known_next, np.where(same, of_others, distance)),
        )
        known[closer] = distance[closer]
        best.row[rows][closer] = first + row[closer]
