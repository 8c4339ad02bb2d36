"""Analyses the answers: confusion matrices, F1 for each disease, agreement, and the test against chance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import binomtest

from evaluation.errors import NotMeasurable
from evaluation.measures.statistics import Interval, interval
from evaluation.report_page.figures import COLOURS, PUBLIC
from evaluation.report_page.results import Cell, Figure, Result, Table, measured
from synfundus.files import write_whole

from .answers import all_answers
from .blend import Item, load_key

RESAMPLES = 1000
METHOD = (
    "Annotators classified each image as real or synthetic without knowing which; half of them were synthetic. F1 is "
    "that of finding synthetic images; guessing gives 0.5. The p-value is that of the accuracy against chance "
    "(binomial, two-sided). Fleiss' kappa is the agreement of the annotators over the images that all of them "
    "answered. Intervals are 95 % intervals of a bootstrap of the images."
)
Score = Callable[[np.ndarray, np.ndarray], float]


def fleiss_kappa(counts: np.ndarray) -> float:
    """Fleiss' kappa (1971).

    Args:
        counts: how many raters put each subject into each category, shape (subjects, categories); every row has the
            same sum, of at least two.

    Raises:
        NotMeasurable: if all answers are in one category, or raters or subjects are missing.
    """
    if len(counts) == 0 or counts[0].sum() < 2:
        raise NotMeasurable("agreement needs two annotators who answered the same images")
    raters = counts[0].sum()
    agreement = ((counts * (counts - 1)).sum(axis=1) / (raters * (raters - 1))).mean()
    chance = np.square(counts.sum(axis=0) / counts.sum()).sum()
    if chance == 1:
        raise NotMeasurable("all annotators gave the same answer to every image")
    return float((agreement - chance) / (1 - chance))


def analyse(folder: Path) -> Result:
    """Analyses a study, including annotators who have not finished.

    Args:
        folder: the study's; the figures are written to `analysis/` in it.

    Raises:
        EvaluationError: if the folder has no study or no answers.
    """
    items = {item.name: item for item in load_key(folder)}
    answers = all_answers(folder)
    result = Result("Can people tell?", METHOD)
    rows: list[list[Cell]] = []
    matrices: dict[str, np.ndarray] = {}
    for annotator, given in answers.items():
        truth, said = _pairs(items, given)
        matrices[annotator] = np.bincount(2 * truth + said, minlength=4).reshape(2, 2)
        right = int((truth == said).sum())
        accuracy = _bootstrap(truth, said, lambda t, s: float((t == s).mean()))
        p_value = float(binomtest(right, len(truth)).pvalue)
        rows.append(
            [annotator, len(truth), *map(int, matrices[annotator].ravel()), accuracy, _f1(truth, said), p_value]
        )
    columns = ["annotator", "answers", "real as real", "real as synthetic", "synthetic as real"]
    columns += ["synthetic as synthetic", "accuracy", "F1", "p against chance"]
    result.tables.append(Table("annotators", "Each annotator", columns, rows))
    result.tables.append(_by_disease(items, answers))
    agreement = measured(lambda: _agreement(items, answers))
    result.findings.append(f"Agreement of the annotators (Fleiss' kappa): {agreement}.")
    accuracies = [row[6].value for row in rows if isinstance(row[6], Interval)]
    result.findings.append(f"Mean accuracy of {len(rows)} annotators: {np.mean(accuracies):.3f}; chance is 0.5.")
    result.figures += [
        _draw_matrices(folder / "analysis", matrices),
        _draw_diseases(folder / "analysis", result.tables[1]),
    ]
    return result


def _pairs(items: dict[str, Item], given: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    names = [name for name in given if name in items]
    return np.array([items[name].is_synthetic for name in names]), np.array([given[name] for name in names])


def _f1(truth: np.ndarray, said: np.ndarray) -> Interval:
    """F1 of finding synthetic images; 0 where none is found."""
    return _bootstrap(truth, said, lambda t, s: 2 * float((t & s).sum()) / max(1, int(t.sum() + s.sum())))


def _bootstrap(truth: np.ndarray, said: np.ndarray, score: Score) -> Interval:
    rng = np.random.default_rng(0)
    draws = [rng.integers(len(truth), size=len(truth)) for _ in range(RESAMPLES)]
    return interval(score(truth, said), np.array([score(truth[rows], said[rows]) for rows in draws]))


def _by_disease(items: dict[str, Item], answers: dict[str, dict[str, int]]) -> Table:
    """F1 of each annotator for each disease."""
    diseases = list(dict.fromkeys(item.disease for item in sorted(items.values(), key=lambda item: item.disease)))
    rows: list[list[Cell]] = []
    for disease in diseases:
        cells: list[Cell] = [disease, sum(item.disease == disease for item in items.values())]
        for given in answers.values():
            of_disease = {
                name: value for name, value in given.items() if name in items and items[name].disease == disease
            }
            truth, said = _pairs(items, of_disease)
            both = len(np.unique(truth)) == 2
            cells.append(_f1(truth, said) if both else "not measurable: answers to one side only")
        rows.append(cells)
    return Table("diseases", "F1 for each disease", ["disease", "images", *answers], rows)


def _agreement(items: dict[str, Item], answers: dict[str, dict[str, int]]) -> float:
    common = [name for name in items if all(name in given for given in answers.values())]
    said = np.array([[given[name] for given in answers.values()] for name in common]).reshape(-1, len(answers))
    return fleiss_kappa(np.stack([(said == value).sum(axis=1) for value in (0, 1)], axis=1))


def _draw_matrices(folder: Path, matrices: dict[str, np.ndarray]) -> Figure:
    figure, axes = plt.subplots(1, len(matrices), figsize=(2.4 * len(matrices) + 0.6, 2.6), squeeze=False)
    for axis, (annotator, matrix) in zip(axes[0], matrices.items(), strict=True):
        shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        axis.imshow(shares, vmin=0, vmax=1, cmap="Blues")
        for row, column in np.ndindex(2, 2):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axis.text(column, row, matrix[row, column], ha="center", va="center", color=colour)
        axis.set(xticks=(0, 1), yticks=(0, 1), xticklabels=("real", "synth."), title=annotator, xlabel="said")
        axis.set_yticklabels(("real", "synth.") if axis is axes[0][0] else ("", ""))
    axes[0][0].set_ylabel("is")
    return _save(folder, figure, "confusion", "Confusion matrix of each annotator")


def _draw_diseases(folder: Path, table: Table) -> Figure:
    figure, axis = plt.subplots(figsize=(0.8 * len(table.rows) + 2, 3.2))
    annotators = table.columns[2:]
    width = 0.8 / len(annotators)
    for number, annotator in enumerate(annotators):
        cells = [row[2 + number] for row in table.rows]
        heights = [cell.value if isinstance(cell, Interval) else 0.0 for cell in cells]
        places = np.arange(len(cells)) + (number - (len(annotators) - 1) / 2) * width
        axis.bar(places, heights, width * 0.9, label=annotator, color=COLOURS[number % len(COLOURS)])
    axis.axhline(0.5, color="black", linestyle="--", linewidth=1)
    axis.set(ylim=(0, 1), ylabel="F1 of finding synthetic images", xticks=range(len(table.rows)))
    axis.set_xticklabels([str(row[0]) for row in table.rows], rotation=30, ha="right")
    axis.legend(frameon=False, fontsize=8)
    return _save(folder, figure, "f1-by-disease", "F1 of each annotator for each disease; dashed: 0.5")


def _save(folder: Path, figure: plt.Figure, name: str, caption: str) -> Figure:
    file = f"{PUBLIC}/{name}.png"
    write_whole(folder / file, lambda path: figure.savefig(path, dpi=130, bbox_inches="tight"))
    plt.close(figure)
    return Figure(file, caption)
