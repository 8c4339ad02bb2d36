"""The training runs of the downstream experiment of the paper: diseases in real photographs, learned in several ways.

A network learns all tasks of the plan at once, from every photograph in which at least one of them is known.

Each run is saved when it is complete; an interrupted experiment continues with the first run that is missing.
"""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from evaluation.cache import code_fingerprint, fingerprint
from evaluation.data.images import Images, as_images, join
from evaluation.data.photographs import Photographs
from evaluation.data.study import Study
from evaluation.errors import EvaluationError, NotMeasurable
from evaluation.measures.classifier import QUESTIONS, Classifier, answers, architecture_key, build_classifier
from evaluation.measures.classifier_training import Schedule, predict, train_classifier
from evaluation.measures.statistics import (
    MIN_PER_CLASS,
    Interval,
    auc,
    bootstrap,
    macro_f1,
    quadratic_kappa,
    within_source_auc,
)
from pipeline_synfundus.labels import UNKNOWN
from synfundus.files import write_json, write_whole

POINTS = 6  # on a learning curve
METRICS = ("AUC within source", "AUC, pooled", "quadratic kappa", "accuracy", "F1 (macro)")


@dataclass(frozen=True)
class Plan:
    """The plan of the experiment.

    Attributes:
        tasks: disease labels.
        size: side of the images in pixels.
        fractions: of the real training patients.
        seeds: of weights, order and the fraction's patients.
        networks: architectures that learn from random weights.
        initialised: architectures with pretrained weights, or folders of checkpoints.
        schedule: of the last stage; pretraining has the same length.
    """

    tasks: tuple[str, ...] = ("dr_grade",)
    size: int = 64
    fractions: tuple[float, ...] = (0.01, 0.1, 0.5, 1.0)
    seeds: tuple[int, ...] = (0, 1, 2)
    networks: tuple[str, ...] = ("resnet", "vit")
    initialised: tuple[str, ...] = ("imagenet",)
    schedule: Schedule = field(default_factory=lambda: Schedule(images_seen=6000))

    @property
    def ways_alone(self) -> dict[str, str]:
        """For each network, the name of learning from real photographs alone."""
        return dict.fromkeys(self.networks, "scratch") | dict.fromkeys(self.initialised, "fine-tuned")


@dataclass(frozen=True)
class Run:
    """One training run: the network, the way of learning, the fraction of the real patients, and the seed."""

    network: str
    way: str
    fraction: float
    seed: int


@dataclass(frozen=True)
class Outcome:
    """The result of a run.

    Attributes:
        probabilities: of each question of the tasks on each held-out photograph, shape (N, Q).
        seen: images seen at the points of the learning curves.
        curves: of each task, the pooled AUC on the held-out photographs at these points.
    """

    probabilities: np.ndarray
    seen: list[int]
    curves: dict[str, list[float]]


def runs(plan: Plan) -> Iterator[Run]:
    """All runs of a plan."""
    for seed in plan.seeds:
        for network, way_alone in plan.ways_alone.items():
            yield Run(network, "synthetic only", 0.0, seed)
            for fraction in plan.fractions:
                for way in (way_alone, "pretrained", "mixed"):
                    yield Run(network, way, fraction, seed)


class Experiment:
    """Runs a plan on a study.

    Args:
        study: the data.
        plan: what to run.

    Attributes:
        tasks: those of the plan that can be measured.
        unmeasurable: why the others cannot.

    Raises:
        EvaluationError: if a task is not a disease label.
        NotMeasurable: if no task has enough photographs and images with and without the disease.
    """

    def __init__(self, study: Study, plan: Plan) -> None:
        allowed = list(dict.fromkeys(name for name, _ in QUESTIONS))
        if unknown := [task for task in plan.tasks if task not in allowed]:
            raise EvaluationError(f"tasks has {', '.join(map(repr, unknown))}; allowed are {', '.join(allowed)}")
        self.plan = plan
        self.folder = study.cache / "downstream"
        parts = {"held-out": study.held_out, "training": study.train, "synthetic": study.sample}
        reasons = {task: _too_few(parts, task) for task in plan.tasks}
        self.unmeasurable = [reason for reason in reasons.values() if reason]
        self.tasks = [task for task, reason in reasons.items() if not reason]
        if not self.tasks:
            raise NotMeasurable("; ".join(self.unmeasurable))
        self.questions = [column for column, (name, _) in enumerate(QUESTIONS) if name in self.tasks]
        self.synthetic, self.train, self.held_out = (
            self._material_of(part) for part in (study.sample, study.train, study.held_out)
        )
        self.truth = self._targets(self.held_out)
        self.sources = np.unique(self.held_out.sources, return_inverse=True)[1]

    def _targets(self, part: Photographs) -> np.ndarray:
        return answers(part.codes)[:, self.questions]

    def _material_of(self, part: Photographs) -> Photographs:
        """The photographs in which at least one task is known, at the size of the plan."""
        known = np.flatnonzero(~np.isnan(self._targets(part)).all(axis=1))
        return replace(part[known], images=as_images(part[known].images).resized(self.plan.size))

    def columns(self, task: str) -> list[int]:
        """Where the questions of a task stand among the network's outputs."""
        return [column for column, question in enumerate(self.questions) if QUESTIONS[question][0] == task]

    def known_rows(self, task: str) -> np.ndarray:
        """The numbers of the held-out photographs in which a task is known."""
        return np.flatnonzero(~np.isnan(self.truth[:, self.columns(task)]).any(axis=1))

    def task_auc(self, probabilities: np.ndarray, task: str, rows: np.ndarray, within: bool = False) -> float:
        """Mean AUC over the questions of a task that these held-out rows can measure.

        Args:
            probabilities: of all held-out photographs, shape (N, Q).
            task: the label.
            rows: the row numbers to measure.
            within: whether only pairs of photographs of the same source count.

        Raises:
            NotMeasurable: if no question has both answers.
        """
        found = []
        for column in self.columns(task):
            truth, scores = self.truth[rows, column], probabilities[rows, column]
            with contextlib.suppress(NotMeasurable):
                found.append(within_source_auc(truth, scores, self.sources[rows]) if within else auc(truth, scores))
        if not found:
            raise NotMeasurable("no question of the task has positives and negatives" + " in one source" * within)
        return float(np.mean(found))

    def outcome(self, run: Run) -> Outcome:
        """The outcome of a run, from the disk if it was done before."""
        parts = [part.fingerprint for part in (self.synthetic, self.train, self.held_out)]
        options = [self.tasks, self.plan.size, asdict(self.plan.schedule), architecture_key(run.network)]
        key = fingerprint(*parts, asdict(run), options, code_fingerprint(__name__))
        path = self.folder / f"run-{key}.json"
        if not path.exists():
            found = self._execute(run)
            write_json(path, {**asdict(found), "probabilities": found.probabilities.tolist(), "run": asdict(run)})
        saved: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Outcome(np.array(saved["probabilities"]), saved["seen"], saved["curves"])

    def _execute(self, run: Run) -> Outcome:
        schedule = replace(self.plan.schedule, seed=run.seed)
        network = build_classifier(run.network, len(self.questions), self.plan.size, run.seed)
        if run.way in ("pretrained", "synthetic only"):
            learned = self._pretrained(run.network, network, schedule)
            if run.way == "synthetic only":
                return Outcome(predict(learned, self.held_out.images), [], {})
            network = copy.deepcopy(learned).cpu()
        images, targets = self._material(run)
        seen: list[int] = []
        curves: dict[str, list[float]] = {task: [] for task in self.tasks}

        def watch(count: int, model: nn.Module) -> None:
            seen.append(count)
            probabilities = predict(model, self.held_out.images)
            for task, curve in curves.items():
                curve.append(self.task_auc(probabilities, task, self.known_rows(task)))

        every = max(schedule.images_seen // POINTS, schedule.batch_size)
        network = train_classifier(network, images, targets, schedule, watch, every)
        return Outcome(predict(network, self.held_out.images), seen, curves)

    def _material(self, run: Run) -> tuple[Images, np.ndarray]:
        """Images and targets of the last stage; in a mix, each side is half of the images seen."""
        patients = np.random.default_rng([run.seed, 7]).permutation(np.unique(self.train.patients))
        chosen = np.isin(self.train.patients, patients[: max(1, round(len(patients) * run.fraction))])
        images, targets = as_images(self.train.images).select(chosen), self._targets(self.train)[chosen]
        if run.way != "mixed":
            return images, targets
        count = max(len(images), len(self.synthetic))
        rows = np.arange(count)
        sides = [(images, targets), (as_images(self.synthetic.images), self._targets(self.synthetic))]
        mixed = join([side.select(rows % len(side)) for side, _ in sides])
        return as_images(mixed), np.concatenate([of_side[rows % len(of_side)] for _, of_side in sides])

    def _pretrained(self, name: str, network: Classifier, schedule: Schedule) -> Classifier:
        """The network after training on synthetic images alone; trained once for each seed."""
        options = [architecture_key(name), self.tasks, self.plan.size, asdict(schedule)]
        key = fingerprint(self.synthetic.fingerprint, options, code_fingerprint(__name__))
        path = self.folder / f"pretrained-{key}.pt"
        if path.exists():
            network.load_state_dict(torch.load(path, weights_only=True))
            return network.eval()
        network = train_classifier(network, self.synthetic.images, self._targets(self.synthetic), schedule)
        write_whole(path, lambda temporary: torch.save(network.state_dict(), temporary))
        return network

    def score(self, outcomes: list[Outcome], task: str, metric: str) -> Interval:
        """A metric of `METRICS`: the mean over the seeds, with the interval of a bootstrap of the held-out patients."""
        known, columns = self.known_rows(task), self.columns(task)
        grade = self.truth[known][:, columns].sum(axis=1).astype(int)
        predicted = [(outcome.probabilities[known][:, columns] > 0.5).sum(axis=1) for outcome in outcomes]
        scores = {
            "AUC within source": lambda number, rows: self.task_auc(
                outcomes[number].probabilities, task, known[rows], within=True
            ),
            "AUC, pooled": lambda number, rows: self.task_auc(outcomes[number].probabilities, task, known[rows]),
            "quadratic kappa": lambda number, rows: quadratic_kappa(grade[rows], predicted[number][rows]),
            "accuracy": lambda number, rows: float((grade[rows] == predicted[number][rows]).mean()),
            "F1 (macro)": lambda number, rows: macro_f1(grade[rows], predicted[number][rows]),
        }
        score = scores[metric]
        return bootstrap(
            lambda rows: float(np.mean([score(number, rows) for number in range(len(outcomes))])),
            self.held_out.patients[known],
            seed=0,
        )


def _too_few(parts: dict[str, Photographs], task: str) -> str:
    """Why a task cannot be measured; empty if it can."""
    for name, part in parts.items():
        values = part.label(task)
        known, positives = int((values != UNKNOWN).sum()), int((values > 0).sum())
        if min(positives, known - positives) < MIN_PER_CLASS:
            return (
                f"{positives} of {known} {name} images with a known {task} are positive; at least {MIN_PER_CLASS} of "
                "each kind are needed"
            )
    return ""
