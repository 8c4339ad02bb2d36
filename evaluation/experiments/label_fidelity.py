"""Whether synthetic images show the requested findings, judged by a classifier trained on real photographs only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluation.data.photographs import Photographs
from evaluation.data.study import MAX_SAMPLE, Study
from evaluation.errors import NotMeasurable
from evaluation.experiments.readability import add_readability
from evaluation.measures.classifier import QUESTION_NAMES, answers, grades
from evaluation.measures.judge import Judge
from evaluation.measures.statistics import (
    Interval,
    bootstrap,
    bootstrap_auc,
    bootstrap_within_source_auc,
    quadratic_kappa,
    sources_with_both,
)
from evaluation.report_page import figures
from evaluation.report_page.results import Cell, Figure, Result, Table, measured
from pipeline_synfundus.labels import DISEASES, UNKNOWN

METHOD = (
    "A classifier ({architecture}) was trained on the labels of the real photographs of the training patients; unknown "
    "labels have no loss. It is then applied to the held-out real patients and to the synthetic images, and its answer "
    "is compared with the label or the requested label. In the real photographs, label and camera go together: some "
    "sets have a disease in most images, others in none. So the AUC within source comes first: only pairs of "
    "photographs of the same set count. The pooled AUC over all sets is given beside it; what it has more may be "
    "recognition of the camera. Synthetic images have one source. Images with an unreadable part are left out of the "
    "diseases. At most {count} synthetic images are used, at random. Intervals are 95 % intervals of a bootstrap by "
    "patient. Readability has no real labels. There, measures of the region are compared between images requested to "
    "be readable and unreadable; an AUC of 1 means that the measure always separates them. What can be expected is the "
    "AUC of the same measure between clear held-out photographs and copies of them, degraded as in training."
)
KAPPA = "dr_grade, quadratic kappa"
COLUMNS = ["label", "held-out real, within source", "sources", "held-out real, pooled", "synthetic"]
COLUMNS += ["synthetic over real within source"]
Value = Interval | str


@dataclass(frozen=True)
class Judged:
    """How well the judge's answers match the labels of some photographs.

    Attributes:
        pooled: for each question the AUC, and the kappa of the grade, with the interval or why it is not measurable.
        within: for each question the AUC within source.
        sources: for each question, how many sources have photographs with and without the finding.
    """

    pooled: dict[str, Value]
    within: dict[str, Value]
    sources: dict[str, int]


def judge_labels(judge: Judge, photographs: Photographs, seed: int) -> Judged:
    """Compares the judge's answers with the labels of these photographs."""
    probabilities, truth = judge.predict(photographs.images), answers(photographs.codes)
    judged = Judged({}, {}, {})
    for column, name in enumerate(QUESTION_NAMES):
        known = ~np.isnan(truth[:, column])
        pair = truth[known, column], probabilities[known, column]
        sources, patients = photographs.sources[known], photographs.patients[known]
        judged.pooled[name] = measured(bootstrap_auc, *pair, patients, seed)
        judged.within[name] = measured(bootstrap_within_source_auc, *pair, sources, patients, seed)
        judged.sources[name] = len(sources_with_both(pair[0], sources))
    judged.pooled[KAPPA] = measured(_kappa, photographs, grades(probabilities), seed)
    return judged


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
        study: the data.
        judge: trained on `study.train`.
        architecture: of the judge, for the report.
    """
    result = Result("Label fidelity", METHOD.format(architecture=architecture, count=MAX_SAMPLE))
    real, synthetic = (judge_labels(judge, part, study.seed) for part in (study.held_out, study.sample))
    rows: list[list[Cell]] = [
        [
            name,
            real.within[name],
            real.sources[name],
            real.pooled[name],
            synthetic.pooled[name],
            _retained(real.within[name], synthetic.pooled[name]),
        ]
        for name in QUESTION_NAMES
    ]
    rows.append([KAPPA, "pooled only", "", real.pooled[KAPPA], synthetic.pooled[KAPPA], ""])
    result.tables.append(Table("label-fidelity", "AUC of each label, and kappa of the grade", COLUMNS, rows))
    _summarise(result, "within source", real.within, synthetic.pooled)
    _summarise(result, "pooled over the sources", real.pooled, synthetic.pooled)
    result.figures.append(_label_figure(study, real.within, synthetic.pooled))
    _add_matched_pairs(study, result)
    add_readability(study, result)
    return result


def _summarise(result: Result, kind: str, real: dict[str, Value], synthetic: dict[str, Value]) -> None:
    both = [
        (of_real.value, of_synthetic.value)
        for name in QUESTION_NAMES
        if isinstance(of_real := real[name], Interval) and isinstance(of_synthetic := synthetic[name], Interval)
    ]
    if both:
        real_mean, synthetic_mean = np.mean(both, axis=0)
        result.findings.append(
            f"Over the {len(both)} labels measurable on both sides, the mean AUC is {synthetic_mean:.3f} on synthetic "
            f"images and, {kind}, {real_mean:.3f} on held-out real patients: {synthetic_mean / real_mean:.0%}."
        )


def _retained(real: Value, synthetic: Value) -> Cell:
    if isinstance(real, str) or isinstance(synthetic, str) or real.value <= 0:
        return "not measurable: one side is missing"
    return synthetic.value / real.value


def _label_figure(study: Study, real: dict[str, Value], synthetic: dict[str, Value]) -> Figure:
    groups = {
        name: {key: value for key, value in found.items() if isinstance(value, Interval) and key != KAPPA}
        for name, found in (("held-out real patients, within source", real), ("synthetic", synthetic))
    }
    file = figures.intervals(
        study.folder, "label-fidelity", groups, "AUC of a classifier trained on real photographs", 0.5
    )
    return Figure(file, "AUC of each label with its 95 % interval, on real and on synthetic images; dashed: chance")


def _add_matched_pairs(study: Study, result: Result) -> None:
    """Adds a synthetic and a real image of each disease that both sides have (Figure 5 of the paper)."""
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
            Figure(file, "Synthetic (above) and real (below) images with the same disease, drawn at random")
        )
