"""Distances between the distributions of synthetic and real images, and between two halves of the real ones.

Frechet distance, KID, precision, recall, density and coverage, in any feature space. All values of a row are from the
same number of images, because most of these numbers depend on it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from tqdm.auto import tqdm

from evaluation.data.splits import split_patients
from evaluation.data.study import Study
from evaluation.errors import NotMeasurable
from evaluation.measures.features import FeatureSpace
from evaluation.measures.metrics.frechet_distance.frechet_distance import frechet_distance
from evaluation.measures.metrics.kid.kid import kid
from evaluation.measures.metrics.prdc.prdc import prdc
from evaluation.measures.statistics import Interval, full_range
from evaluation.report_page.results import Cell, Result, Table

REPEATS = 20
MIN_HALF = 20
# Larger halves take time with the cube of the number, and narrow the range no more than the patients do.
MAX_HALF = 1000
NAMES = ("frechet distance", "kid", "precision", "recall", "density", "coverage")
METHOD = (
    "The held-out real photographs are split by patient into two halves, {repeats} times at random; each time the "
    "second half is compared with the first (the floor: real against real) and with as many synthetic images. In "
    "brackets is the range over these splits, from the smallest to the largest value. It is not a confidence interval: "
    "the splits overlap. A bootstrap is not used because it repeats images, which the metrics that count neighbours "
    "take for near copies. Images with an unreadable part are left out on both sides. The Frechet distance in the "
    "features of Inception-v3 is the FID."
)


def measure_all(generated: np.ndarray, real: np.ndarray) -> np.ndarray:
    """The numbers called `NAMES` between vectors of shapes (N, D) and (M, D), shape (6,)."""
    neighbours = prdc(generated, real)
    return np.array([frechet_distance(generated, real), kid(generated, real), *neighbours.values()])


def halves(patients: np.ndarray, available: int, seed: int, repeats: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Random halves by patient, cut to equal numbers of rows.

    Args:
        patients: the patient of each row, shape (N,).
        available: maximum number of rows per half.
        seed: determines the halves.
        repeats: number of splits.

    Raises:
        NotMeasurable: if a half would have fewer than `MIN_HALF` rows.
    """
    for repeat in range(repeats):
        rng = np.random.default_rng([seed, repeat])
        parts = split_patients(patients, 0.5, int(rng.integers(2**31)))
        count = min(*map(len, parts), available, MAX_HALF)
        if count < MIN_HALF:
            raise NotMeasurable(f"a half has {count} images; at least {MIN_HALF} are needed")
        yield rng.permutation(parts[0])[:count], rng.permutation(parts[1])[:count]


def compare(
    generated: np.ndarray, real: np.ndarray, patients: np.ndarray, seed: int, repeats: int = REPEATS
) -> dict[str, tuple[Interval, Interval, Interval]]:
    """Compares synthetic with real vectors, and real with real.

    Args:
        generated: shape (N, D).
        real: shape (M, D).
        patients: the patient of each real vector, shape (M,).
        seed: determines the halves.
        repeats: number of random halves.

    Returns:
        For each of `NAMES`: synthetic against real, real against real, and the difference of the two. For the Frechet
        distance the third is the ratio.
    """
    values: list[np.ndarray] = []
    floors: list[np.ndarray] = []
    splits = halves(patients, len(generated), seed, repeats)
    for repeat, (first, second) in enumerate(tqdm(splits, total=repeats, desc="halves", unit="split", leave=False)):
        chosen = np.random.default_rng([seed, repeat, 1]).permutation(len(generated))[: len(second)]
        values.append(measure_all(generated[chosen], real[second]))
        floors.append(measure_all(real[first], real[second]))
    synthetic, floor = np.array(values), np.array(floors)
    third = synthetic - floor
    third[:, 0] = synthetic[:, 0] / floor[:, 0]

    def of(table: np.ndarray, column: int) -> Interval:
        return full_range(table[:, column])

    return {name: (of(synthetic, column), of(floor, column), of(third, column)) for column, name in enumerate(NAMES)}


def run(study: Study, spaces: dict[str, FeatureSpace | NotMeasurable]) -> Result:
    """The experiment: a table with each of `NAMES` in each feature space.

    Args:
        study: the data.
        spaces: feature spaces by name, or why one is not available.
    """
    generated, real = study.sample, study.held_out[study.held_out.readable()]
    rows: list[list[Cell]] = []
    findings = []
    for name, space in spaces.items():
        try:
            if isinstance(space, NotMeasurable):
                raise space
            found = compare(space(generated.images), space(real.images), real.patients, study.seed)
        except NotMeasurable as reason:
            rows.append([name, "all", *[f"not measurable: {reason}"] * 3])
            continue
        rows += [[space.network, metric, *numbers] for metric, numbers in found.items()]
        findings.append(
            f"In the features of {space.network}, the Frechet distance of the synthetic images is "
            f"{found['frechet distance'][2].value:.2f} times that between two halves of the real patients (from "
            f"{found['frechet distance'][2].low:.2f} to {found['frechet distance'][2].high:.2f} over {REPEATS} splits)."
        )
    columns = ["features", "metric", "synthetic to real", "real to real", "ratio (Frechet) or difference"]
    table = Table("distances", "Distances between distributions", columns, rows)
    return Result("Distances and diversity", METHOD.format(repeats=REPEATS), findings, [table])
