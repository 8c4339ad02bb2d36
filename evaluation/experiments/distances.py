"""Distances between the distributions of synthetic and real images, beside the same between two halves of the real.

Frechet distance, KID, precision, recall, density and coverage, in any feature space. All values of a row come from
equally many images, because most of these numbers depend on how many there are.
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
from evaluation.measures.statistics import Interval, interval
from evaluation.report_page.results import Cell, Result, Table

REPEATS = 20
MIN_HALF = 20
# More images a half cost time with the cube, and narrow the interval no more than the patients do.
MAX_HALF = 1000
NAMES = ("frechet distance", "kid", "precision", "recall", "density", "coverage")
METHOD = (
    "The held-out real photographs are split by patient into two halves, {repeats} times at random; each time the "
    "second half is compared with the first (the floor: real against real) and with as many synthetic images. "
    "Intervals are the 95 % range over these splits: halves drawn without replacement vary like a bootstrap by "
    "patient, but hold no image twice, which would look like a near copy to the metrics that count neighbours. Images "
    "in which something was asked to be unreadable are left out on both sides."
)


def measure_all(generated: np.ndarray, real: np.ndarray) -> np.ndarray:
    """The numbers called `NAMES` between vectors of shapes (N, D) and (M, D), shape (6,)."""
    neighbours = prdc(generated, real)
    return np.array([frechet_distance(generated, real), kid(generated, real), *neighbours.values()])


def halves(patients: np.ndarray, available: int, seed: int, repeats: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Random halves by patient, cut to equal numbers of rows.

    Args:
        patients: the patient of each row, shape (N,).
        available: at most so many rows a half.
        seed: decides on the halves.
        repeats: how many.

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
        seed: decides on the halves.
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
        return interval(float(table[:, column].mean()), table[:, column])

    return {name: (of(synthetic, column), of(floor, column), of(third, column)) for column, name in enumerate(NAMES)}


def run(study: Study, spaces: dict[str, FeatureSpace | NotMeasurable]) -> Result:
    """The experiment: a table with each of `NAMES` in each feature space.

    Args:
        study: the material.
        spaces: feature spaces by name, or why one is not to be had.
    """
    generated, real = (part[part.readable()] for part in (study.synthetic, study.held_out))
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
        rows += [[name, metric, *numbers] for metric, numbers in found.items()]
        findings.append(
            f"In the features of the {name} network, the Frechet distance of the synthetic images is "
            f"{found['frechet distance'][2]} times that between two halves of the real patients."
        )
    columns = ["features", "metric", "synthetic to real", "real to real", "ratio (Frechet) or difference"]
    table = Table("distances", "Distances between distributions", columns, rows)
    return Result("Distances and diversity", METHOD.format(repeats=REPEATS), findings, [table])
