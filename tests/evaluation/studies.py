"""Photographs drawn by hand for the tests of the experiments."""

import numpy as np
from PIL import Image

from evaluation.data.photographs import Photographs
from pipeline_synfundus.labels import CARDINALITIES, CONDITION_NAMES
from tests.phantom import draw_phantom


def draw_photographs(rows: int, size: int, seed: int, names: tuple[str, ...], per_patient: int = 1) -> Photographs:
    """Phantoms in which the labels called `names` vary; the others are unknown and not drawn."""
    rng = np.random.default_rng(seed)
    codes = np.full((rows, len(CONDITION_NAMES)), -1, dtype=np.int8)
    for name in names:
        column = CONDITION_NAMES.index(name)
        codes[:, column] = rng.integers(CARDINALITIES[column], size=rows)
    images = [draw_phantom({name: int(row[CONDITION_NAMES.index(name)]) for name in names}, size, rng) for row in codes]
    patients = np.array([f"{seed}-{row // per_patient}" for row in range(rows)])
    numbers, sources = np.array([str(row) for row in range(rows)]), np.full(rows, "phantoms")
    return Photographs(np.stack(images), codes, patients, np.full(rows, "train"), numbers, sources)


def make_individual(images: np.ndarray, seed: int) -> np.ndarray:
    """Gives each phantom a shading of its own, as every real eye has vessels of its own; shape (N, S, S, 3)."""
    rng = np.random.default_rng(seed)
    size = images.shape[1]
    result = []
    for image in images:
        coarse = Image.fromarray(rng.uniform(0.4, 1.6, (7, 7)).astype(np.float32))
        shading = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))[..., None]
        result.append((image * shading).clip(0, 255).astype(np.uint8))
    return np.stack(result)
