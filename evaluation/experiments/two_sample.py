"""Classifier two-sample tests (Lopez-Paz and Oquab 2017): can a machine tell synthetic from real images?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import binomtest
from sklearn.neighbors import KNeighborsClassifier

from evaluation.data.images import Images, join, select
from evaluation.data.photographs import Photographs, concatenate
from evaluation.data.splits import split_patients
from evaluation.data.study import Study
from evaluation.errors import NotMeasurable
from evaluation.measures.classifier import build_classifier
from evaluation.measures.classifier_training import Schedule, predict, train_classifier
from evaluation.measures.features import FeatureSpace
from evaluation.measures.statistics import Interval, bootstrap, bootstrap_auc
from evaluation.report_page import figures
from evaluation.report_page.results import Cell, Figure, Result, Table

TEST_SHARE = 0.4
NEIGHBOURS = 5
MIN_SIDE = 50
METHOD = (
    "Equally many synthetic images and real ones, from half of all real patients, are mixed and split by patient. A "
    "classifier is trained on {train:.0%} of the patients to tell them apart, and tested on the others. An AUC of 0.5 "
    "means that it cannot tell them apart. The floor is the same test between the two halves of the real patients. "
    "Classifiers: a ResNet and a ViT of transformers, from random weights, and the {neighbours} nearest neighbours in "
    "a feature space. Images with an unreadable part are left out on both sides. Intervals are 95 % intervals of a "
    "bootstrap of the test patients."
)
# From training images, their truths and test images to the probability of being synthetic.
Tell = Callable[[np.ndarray | Images, np.ndarray, np.ndarray | Images], np.ndarray]


def tell_by_network(architecture: str, schedule: Schedule) -> Tell:
    """A test by a classifier that learns from pixels, see `build_classifier`."""

    def tell(train: np.ndarray | Images, truth: np.ndarray, test: np.ndarray | Images) -> np.ndarray:
        network = build_classifier(architecture, 1, train.shape[1], schedule.seed)
        return predict(train_classifier(network, train, truth[:, None].astype(np.float32), schedule), test)[:, 0]

    return tell


def tell_by_neighbours(space: FeatureSpace) -> Tell:
    """A test by the nearest neighbours in a feature space."""

    def tell(train: np.ndarray | Images, truth: np.ndarray, test: np.ndarray | Images) -> np.ndarray:
        return KNeighborsClassifier(NEIGHBOURS).fit(space(train), truth).predict_proba(space(test))[:, 1]

    return tell


def two_sample_test(
    synthetic: Photographs, real: Photographs, tell: Tell, seed: int
) -> tuple[Interval, Interval, float]:
    """Tests whether a classifier can tell the sides apart.

    Args:
        synthetic: the side of truth 1.
        real: the side of truth 0.
        tell: is trained and predicts.
        seed: determines the test patients.

    Returns:
        Accuracy and AUC on held-out patients, and the p-value of the accuracy against chance (binomial, two-sided).

    Raises:
        NotMeasurable: if a side has fewer than `MIN_SIDE` images.
    """
    count = min(len(synthetic), len(real))
    if count < MIN_SIDE:
        raise NotMeasurable(
            f"{len(synthetic)} synthetic and {len(real)} real images; at least {MIN_SIDE} of each needed"
        )
    rng = np.random.default_rng(seed)
    sides = [side[np.sort(rng.permutation(len(side))[:count])] for side in (real, synthetic)]
    images = join([side.images for side in sides])
    truth = np.repeat([0, 1], count)
    patients = np.concatenate([np.char.add(f"{number}:", side.patients) for number, side in enumerate(sides)])
    # Each side is split separately, so that its share of test images does not depend on its number of patients.
    splits = [split_patients(side.patients, TEST_SHARE, seed) for side in sides]
    train, test = (
        np.concatenate([rows[part] + number * count for number, rows in enumerate(splits)]) for part in (0, 1)
    )
    scores = tell(select(images, train), truth[train], select(images, test))
    right = ((scores > 0.5) == truth[test]).astype(float)
    accuracy = bootstrap(lambda rows: float(right[rows].mean()), patients[test], seed)
    chance = max(truth[test].mean(), 1 - truth[test].mean())
    p_value = binomtest(int(right.sum()), len(right), chance).pvalue
    return accuracy, bootstrap_auc(truth[test], scores, patients[test], seed), float(p_value)


def run(study: Study, spaces: dict[str, FeatureSpace | NotMeasurable], schedule: Schedule) -> Result:
    """The experiment: each classifier on synthetic against real, and on real against real.

    Args:
        study: the data.
        spaces: feature spaces for nearest neighbours, not trained on these photographs. Unavailable ones are left out.
        schedule: of the networks.
    """
    tests = {name: tell_by_network(name, schedule) for name in ("resnet", "vit")}
    for space in spaces.values():
        if not isinstance(space, NotMeasurable):
            tests[f"neighbours in {space.network}"] = tell_by_neighbours(space)
    everyone = concatenate([study.train, study.held_out])
    synthetic, real = study.sample, everyone[everyone.readable()]
    first, second = (real[rows] for rows in split_patients(real.patients, 0.5, study.seed))
    result = Result("Telling synthetic from real", METHOD.format(train=1 - TEST_SHARE, neighbours=NEIGHBOURS))
    rows: list[list[Cell]] = []
    drawn: dict[str, dict[str, Interval]] = {"synthetic against real": {}, "real against real": {}}
    for name, tell in tests.items():
        for kind, side, other in (("synthetic against real", synthetic, second), ("real against real", first, second)):
            try:
                accuracy, found, p_value = two_sample_test(side, other, tell, study.seed)
            except NotMeasurable as reason:
                rows.append([name, kind, *[f"not measurable: {reason}"] * 3])
                continue
            rows.append([name, kind, accuracy, found, p_value])
            drawn[kind][name] = found
    if told := drawn["synthetic against real"]:
        best = max(told, key=lambda name: told[name].value)
        result.findings.append(
            f"The best of the classifiers ({best}) tells synthetic from real with an AUC of {told[best]}."
        )
    result.tables.append(
        Table("two-sample", "Two-sample tests", ["classifier", "sides", "accuracy", "AUC", "p (accuracy)"], rows)
    )
    file = figures.intervals(study.folder, "two-sample", drawn, "AUC of telling the sides apart", 0.5)
    result.figures.append(Figure(file, "AUC of telling synthetic from real, and real from real; dashed: chance"))
    return result
