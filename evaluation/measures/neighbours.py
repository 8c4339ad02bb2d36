"""Nearest neighbours among images, under flips and crops: what a copy looks like after small changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

# From uint8 images of shape (B, S, S, 3) to float32 vectors of length 1, shape (B, D).
Describe = Callable[[np.ndarray], np.ndarray]
# A crop: its side as a share of the image's, and where it lies in the margin, from 0 to 1 down and right.
Crop = tuple[float, float, float]
# Features change little with the framing, and cost much: one crop. Thumbnails are the other way round.
FEATURE_CROPS: tuple[Crop, ...] = ((0.9, 0.5, 0.5),)
_PLACES = ((0.5, 0.5), (0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0))
THUMBNAIL_CROPS: tuple[Crop, ...] = tuple(
    (side, *place) for side in (0.97, 0.94, 0.91, 0.88, 0.85) for place in _PLACES
)
# Coarse on purpose. Of 50 real photographs cropped between two of the above, turned by 3 degrees, or saved as JPEG of
# quality 50, 49 or 50 are near copies of themselves at 12 pixels; at 24, as few as none for some crops.
THUMBNAIL = 12
BATCH = 512


@dataclass(frozen=True)
class Neighbours:
    """The nearest reference of each query.

    Attributes:
        distance: distance, shape (N,), 0 for a copy, 2 at most.
        row: its row number among the references, shape (N,).
    """

    distance: np.ndarray
    row: np.ndarray


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of shape (N, D) scaled to length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def describe_thumbnail(images: np.ndarray) -> np.ndarray:
    """Describes images by their small selves: averaged to 12x12, without mean and contrast, length 1.

    Two of these have a squared distance of twice one minus their correlation.
    """
    small = [np.asarray(Image.fromarray(image).resize((THUMBNAIL,) * 2, Image.Resampling.BOX)) for image in images]
    flat = np.stack(small).astype(np.float32).reshape(len(images), -1, 3)
    return unit((flat - flat.mean(axis=1, keepdims=True)).reshape(len(images), -1))


def views(images: np.ndarray, crops: tuple[Crop, ...]) -> Iterator[np.ndarray]:
    """The images, and these crops of them enlarged to their size, each also flipped left to right.

    Args:
        images: uint8, shape (N, S, S, 3).
        crops: which.

    Yields:
        uint8 arrays of the same shape.
    """
    size = images.shape[1]
    yield images
    yield images[:, :, ::-1]
    for share, down, right in crops:
        side = round(size * share)
        top, left = round((size - side) * down), round((size - side) * right)
        box = (left, top, left + side, top + side)
        view = np.stack([np.asarray(Image.fromarray(image).resize((size, size), box=box)) for image in images])
        yield view
        yield view[:, :, ::-1]


def nearest(
    queries: np.ndarray,
    references: np.ndarray,
    describe: Describe,
    crops: tuple[Crop, ...],
    query_patients: np.ndarray | None = None,
    reference_patients: np.ndarray | None = None,
) -> Neighbours:
    """Finds the nearest reference of each query, over all views of the references.

    Args:
        queries: uint8 images, shape (N, S, S, 3).
        references: uint8 images, shape (M, S, S, 3).
        describe: the space in which distances are taken.
        crops: which crops of the references are looked at.
        query_patients: with `reference_patients`, references of the query's own patient are passed over.
        reference_patients: the patient of each reference.
    """
    described = describe(queries)
    best = Neighbours(np.full(len(queries), np.inf, dtype=np.float32), np.zeros(len(queries), dtype=np.int64))
    number = 2 * (1 + len(crops))
    for view in tqdm(views(references, crops), total=number, desc="views", unit="view", leave=False):
        vectors = describe(view)
        for start in range(0, len(queries), BATCH):
            rows = slice(start, start + BATCH)
            # Of vectors of length 1: |a - b|^2 = 2 - 2 a'b.
            squared = np.maximum(2 - 2 * described[rows] @ vectors.T, 0)
            if query_patients is not None and reference_patients is not None:
                squared[query_patients[rows, None] == reference_patients[None]] = np.inf
            row = squared.argmin(axis=1)
            distance = np.sqrt(squared[np.arange(len(row)), row])
            closer = distance < best.distance[rows]
            best.distance[rows][closer] = distance[closer]
            best.row[rows][closer] = row[closer]
    return best
