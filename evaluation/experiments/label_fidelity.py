"""Whether synthetic images show what they were asked to show, judged by a classifier that learned on real ones only."""

from __future__ import annotations

import numpy as np

from evaluation.data.photographs import Photographs
from evaluation.data.study import Study
from evaluation.errors import NotMeasurable
from evaluation.experiments.readability import add_readability
from evaluation.measures.classifier import QUESTION_NAMES, answers, grades
from evaluation.measures.classifier_training import predict
from evaluation.measures.judge import Judge
from evaluation.measures.statistics import Interval, bootstrap, bootstrap_auc, quadratic_kappa
from evaluation.report_page import figures
from evaluation.report_page.results import Cell, Figure, Result, Table, measured
from pipeline_synfundus.labels import DISEASES, UNKNOWN

METHOD = (
    "A classifier ({architecture}) learned the labels from the real photographs of the training patients only, with no "
    "loss where a label is unknown. It is then asked about held-out real patients, and about the synthetic images: how "
    "well does its answer match the label that was asked for? Images asked to be unreadable are left out of the "
    "diseases. Readability has no real labels; there, what is measured in the pixels of the region is compared "
    "between images asked to be readable and unreadable: an AUC of 1 says that the measure always tells them apart. "
    "What can be expected of the measure is its AUC between clear held-out photographs and copies of them that were "
    "spoiled as in training."
)
KAPPA = "dr_grade, quadratic kappa"


def judge_labels(judge: Judge, photographs: Photographs, seed: int) -> dict[str, Interval | str]:
    """How well the judge's answers match the labels of these photographs.

    Returns:
        The AUC of each question, and the kappa of the grade, each with its interval or why it is not measurable.
    """
    probabilities, truth = predict(judge.network, photographs.images), answers(photographs.codes)
    found: dict[str, Interval | str] = {}
    for column, name in enumerate(QUESTION_NAMES):
        known = ~np.isnan(truth[:, column])
        parts = truth[known, column], probabilities[known, column], photographs.patients[known]
        found[name] = measured(bootstrap_auc, *parts, seed)
    found[KAPPA] = measured(_kappa, photographs, grades(probabilities), seed)
    return found


def _kappa(photographs: Photographs, predicted: np.ndarray, seed: int) -> Interval:
    truth = photographs.label("dr_grade")
    known = np.flatnonzero(truth != UNKNOWN)
    if len(known) == 0:
        raise NotMeasurable("no photograph has a known dr_grade")
    truth, predicted = truth[known], predicted[known]
    return bootstrap(lambda rows: quadratic_kappa(truth[rows], predicted[rows]), photographs.patients[known], seed)


def run(study: Study, judge: Judge, architecture: str) -> Result:
    """The experiment: each label on synthetic images beside held-out real ones, and readability.

    Args:
        study: the material.
        judge: learned on `study.train`.
        architecture: of the judge, for the report.
    """
    result = Result("Label fidelity", METHOD.format(architecture=architecture))
    readable = study.synthetic[study.synthetic.readable()]
    on_real, on_synthetic = (judge_labels(judge, part, study.seed) for part in (study.held_out, readable))
    rows: list[list[Cell]] = [
        [name, on_real[name], on_synthetic[name], _retained(on_real[name], on_synthetic[name])] for name in on_real
    ]
    columns = ["label", "held-out real", "synthetic", "synthetic over real"]
    result.tables.append(Table("label-fidelity", "AUC of each label, and kappa of the grade", columns, rows))
    both = [
        (real.value, synthetic.value)
        for name in QUESTION_NAMES
        if isinstance(real := on_real[name], Interval) and isinstance(synthetic := on_synthetic[name], Interval)
    ]
    if both:
        real_mean, synthetic_mean = np.mean(both, axis=0)
        result.findings.append(
            f"Over the {len(both)} labels that both sides can measure, the mean AUC is {synthetic_mean:.3f} on "
            f"synthetic images and {real_mean:.3f} on held-out real patients: {synthetic_mean / real_mean:.0%} of it."
        )
    result.figures.append(_label_figure(study, on_real, on_synthetic))
    _add_matched_pairs(study, result)
    add_readability(study, result)
    return result


def _retained(real: Interval | str, synthetic: Interval | str) -> Cell:
    if isinstance(real, str) or isinstance(synthetic, str) or real.value <= 0:
        return "not measurable: one side is missing"
    return synthetic.value / real.value


def _label_figure(study: Study, real: dict[str, Interval | str], synthetic: dict[str, Interval | str]) -> Figure:
    groups = {
        name: {key: value for key, value in found.items() if isinstance(value, Interval) and key != KAPPA}
        for name, found in (("held-out real patients", real), ("synthetic", synthetic))
    }
    file = figures.intervals(
        study.folder, "label-fidelity", groups, "AUC of a classifier trained on real photographs", 0.5
    )
    return Figure(file, "AUC of each label with its 95 % interval, on real and on synthetic images; dashed: chance")


def _add_matched_pairs(study: Study, result: Result) -> None:
    """For each disease that both sides have, a synthetic and a real image that show it (Figure 5 of the paper)."""
    above, below, titles = [], [], []
    rng = np.random.default_rng(study.seed)
    for label in DISEASES:
        rows = [
            np.flatnonzero((part.label(label.name) >= 1) & part.readable())
            for part in (study.synthetic, study.held_out)
        ]
        if all(map(len, rows)):
            above.append(study.synthetic.images[rng.choice(rows[0])])
            below.append(study.held_out.images[rng.choice(rows[1])])
            titles.append(label.name)
    if titles:
        file = figures.pairs(study.folder, "matched-pairs", np.stack(above), np.stack(below), titles)
        result.figures.append(
            Figure(file, "Synthetic (above) and real (below) images of the same disease, drawn at random")
        )
