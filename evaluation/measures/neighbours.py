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
    """

    distance: np.ndarray
    row: np.ndarray


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
        reference_patients: the patient of each reference.
    """
    queries, references = as_images(queries), as_images(references)
    best = Neighbours(np.full(len(queries), np.inf, dtype=np.float32), np.zeros(len(queries), dtype=np.int64))
    others = query_patients is not None and reference_patients is not None
    for start in range(0, len(queries), QUERY_CHUNK):
        rows = slice(start, start + QUERY_CHUNK)
        described = describe(queries.select(rows))
        found = Neighbours(best.distance[rows], best.row[rows])  # views: what is written to them is in `best`
        for first in tqdm(range(0, len(references), REFERENCE_CHUNK), desc="neighbours", unit="chunk", leave=False):
            chunk = slice(first, first + REFERENCE_CHUNK)
            same = (query_patients[rows], reference_patients[chunk]) if others else None  # type: ignore[index]
            for view in views(references.select(chunk), crops):
                _update(found, described, describe(view), first, same)
    return best


def own_distance(
    queries: np.ndarray | Images, references: np.ndarray | Images, describe: Describe, crops: tuple[Crop, ...]
) -> np.ndarray:
    """Distance of each query to the reference with the same row number, over all views of it; shape (N,)."""
    described = describe(as_images(queries))
    distances = [np.linalg.norm(described - describe(view), axis=1) for view in views(as_images(references), crops)]
    return np.min(distances, axis=0)


def _update(
    best: Neighbours,
    queries: np.ndarray,
    references: np.ndarray,
    first: int,
    patients: tuple[np.ndarray, np.ndarray] | None,
) -> None:
    """Replaces neighbours by nearer ones among these references, whose row numbers start at `first`."""
    for start in range(0, len(queries), DISTANCE_ROWS):
        rows = slice(start, start + DISTANCE_ROWS)
        # Of vectors of length 1: |a - b|^2 = 2 - 2 a'b.
        squared = np.maximum(2 - 2 * queries[rows] @ references.T, 0)
        if patients is not None:
            squared[patients[0][rows, None] == patients[1][None]] = np.inf
        row = squared.argmin(axis=1)
        distance = np.sqrt(squared[np.arange(len(row)), row])
        closer = distance < best.distance[rows]
        best.distance[rows][closer] = distance[closer]
        best.row[rows][closer] = first + row[closer]
