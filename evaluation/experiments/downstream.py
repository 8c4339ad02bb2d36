"""The downstream experiment: how well and how fast a classifier of real photographs learns with synthetic images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from evaluation.data.study import Study
from evaluation.errors import NotMeasurable
from evaluation.experiments.downstream_runs import METRICS, Experiment, Outcome, Plan, runs
from evaluation.measures.statistics import Interval
from evaluation.report_page import figures
from evaluation.report_page.results import Cell, Figure, Result, Table, measured

METHOD = (
    "The tasks are {tasks}, on held-out real patients, at {size}x{size} pixels; each network learns all of them from "
    "the photographs in which at least one is known. Ways to learn them: from real photographs "
    "alone, from random weights (scratch) or from those of a network that is there, such as ImageNet's (fine-tuned); "
    "from the same weights, but first from synthetic images and then from real ones (pretrained); from both mixed in "
    "equal parts; and from synthetic images alone. Every run sees {images} images in its last stage. Values are means "
    "over {seeds} seeds, with the 95 % interval of a bootstrap of the held-out "
    "patients. For the AUC within source, only pairs of photographs of the same set count; findings and figures use it "
    "if it is measurable. The learning curves, of pooled AUC, are on the same patients; nothing was chosen by them."
)
# By network, way of learning and fraction of the real patients: one outcome for each seed.
Outcomes = dict[tuple[str, str, float], list[Outcome]]
# The AUC of findings and figures, by task, network, way and fraction.
Means = dict[tuple[str, str, str, float], float]


def images_until(seen: list[int], curve: list[float], target: float) -> float:
    """Images seen until a learning curve first reaches `target`; infinite if it never does."""
    return next((count for count, value in zip(seen, curve, strict=True) if value >= target), np.inf)


def run(study: Study, plan: Plan) -> Result:
    """The experiment.

    Args:
        study: the data.
        plan: the runs.
    """
    tasks = ", ".join(plan.tasks)
    method = METHOD.format(tasks=tasks, size=plan.size, images=plan.schedule.images_seen, seeds=len(plan.seeds))
    result = Result("Downstream value", method)
    try:
        experiment = Experiment(study, plan)
    except NotMeasurable as reason:
        result.findings.append(f"Not measurable: {reason}.")
        return result
    result.findings += [f"Not measurable: {reason}." for reason in experiment.unmeasurable]
    outcomes: Outcomes = {}
    for one in tqdm(list(runs(plan)), desc="downstream", unit="run"):
        outcomes.setdefault((Path(one.network).name, one.way, one.fraction), []).append(experiment.outcome(one))
    means: Means = {}
    rows: list[list[Cell]] = []
    for task in experiment.tasks:
        for key, found in outcomes.items():
            scores = [measured(experiment.score, found, task, metric) for metric in METRICS]
            rows.append([task, key[0], key[1], f"{key[2]:.0%}", *scores])
            leading = next((score for score in scores[:2] if isinstance(score, Interval)), None)
            if leading is not None:
                means[task, *key] = leading.value
    columns = ["task", "network", "way", "real data", *METRICS]
    result.tables.append(Table("downstream", "Learning from real photographs and synthetic images", columns, rows))
    result.tables.append(_convergence(experiment.tasks, outcomes, plan))
    for task in experiment.tasks:
        result.findings += _compare(task, means, plan)
        result.figures += _draw(study, task, outcomes, means, plan)
    return result


def _ways_alone(plan: Plan) -> dict[str, str]:
    """`Plan.ways_alone` by the names of networks in the result."""
    return {Path(network).name: way for network, way in plan.ways_alone.items()}


def _compare(task: str, means: Means, plan: Plan) -> list[str]:
    findings = []
    for network, way_alone in _ways_alone(plan).items():
        alone = {fraction: means.get((task, network, way_alone, fraction)) for fraction in plan.fractions}
        for way in ("pretrained", "mixed"):
            gains = [
                f"{mean - before:+.3f} with {fraction:.0%}"
                for fraction, before in alone.items()
                if before is not None and (mean := means.get((task, network, way, fraction))) is not None
            ]
            findings.append(
                f"AUC of {task}, {network} {way} against {way_alone}: {', '.join(gains)} of the real patients."
            )
    return findings


def _convergence(tasks: list[str], outcomes: Outcomes, plan: Plan) -> Table:
    """Images seen until the AUC that learning from real photographs alone ends with, mean over seeds."""
    ways_alone = _ways_alone(plan)
    rows: list[list[Cell]] = []
    for task in tasks:
        for (network, way, fraction), found in outcomes.items():
            if not found[0].seen:
                continue
            alone = outcomes[network, ways_alone[network], fraction]
            target = float(np.mean([outcome.curves[task][-1] for outcome in alone]))
            needed = [images_until(outcome.seen, outcome.curves[task], target) for outcome in found]
            reached = [number for number in needed if np.isfinite(number)]
            cell: Cell = float(np.mean(reached)) if reached else f"not within {plan.schedule.images_seen}"
            rows.append([task, network, way, f"{fraction:.0%}", target, cell, f"{len(reached)} of {len(needed)}"])
    columns = ["task", "network", "way", "real data", "target AUC", "images seen until then", "seeds that reached it"]
    title = "Images seen until the AUC that learning from real photographs alone ends with"
    return Table("convergence", title, columns, rows)


def _draw(study: Study, task: str, outcomes: Outcomes, means: Means, plan: Plan) -> list[Figure]:
    by_fraction, by_time = {}, {}
    for network, way in dict.fromkeys((key[0], key[1]) for key in outcomes if key[2] > 0):
        fractions = [fraction for fraction in plan.fractions if (task, network, way, fraction) in means]
        if fractions:
            values = np.array([[means[task, network, way, fraction] for fraction in fractions]])
            by_fraction[f"{network}, {way}"] = ([100 * fraction for fraction in fractions], values)
        found = outcomes[network, way, plan.fractions[-1]]
        by_time[f"{network}, {way}"] = (found[0].seen, np.array([outcome.curves[task] for outcome in found]))
    label = f"AUC of {task}"
    return [
        Figure(
            figures.curves(study.folder, f"downstream-{task}-fractions", by_fraction, ("real patients (%)", label)),
            f"{label} on held-out patients by the share of the real patients that was learned from",
        ),
        Figure(
            figures.curves(study.folder, f"downstream-{task}-convergence", by_time, ("images seen", label)),
            f"{label} on held-out patients while learning from all real patients; band: range over the seeds",
        ),
    ]
