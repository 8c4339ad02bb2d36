"""The training runs of the downstream experiment of the paper: one task on real photographs, learned in several ways.

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

POINTS = 10  # on a learning curve
METRICS = ("AUC within source", "AUC, pooled", "quadratic kappa", "accuracy", "F1 (macro)")


@dataclass(frozen=True)
class Plan:
    """The plan of the experiment.

    Attributes:
        task: a disease label.
        size: side of the images in pixels.
        fractions: of the real training patients.
        seeds: of weights, order and the fraction's patients.
        networks: architectures that learn from random weights.
        initialised: architectures with pretrained weights, or folders of checkpoints.
        schedule: of the last stage; pretraining has the same length.
    """

    task: str = "dr_grade"
    size: int = 64
    fractions: tuple[float, ...] = (0.01, 0.1, 0.5, 1.0)
    seeds: tuple[int, ...] = (0, 1, 2)
    networks: tuple[str, ...] = ("resnet", "vit")
    initialised: tuple[str, ...] = ("imagenet",)
    schedule: Schedule = field(default_factory=lambda: Schedule(images_seen=6000))


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
        probabilities: of each question of the task on each held-out photograph, shape (N, Q).
        seen: images seen at the points of the learning curve.
        curve: pooled AUC on the held-out photographs at these points.
    """

    probabilities: np.ndarray
    seen: list[int]
    curve: list[float]


def runs(plan: Plan) -> Iterator[Run]:
    """All runs of a plan."""
    for seed in plan.seeds:
        for network in plan.networks:
            yield Run(network, "synthetic only", 0.0, seed)
            for fraction in plan.fractions:
                for way in ("scratch", "pretrained", "mixed"):
                    yield Run(network, way, fraction, seed)
        for network in plan.initialised:
            for fraction in plan.fractions:
                yield Run(network, "fine-tuned", fraction, seed)


class Experiment:
    """Runs a plan on a study.

    Args:
        study: the data.
        plan: what to run.

    Raises:
        NotMeasurable: if there are too few photographs or images with and without the disease.
        EvaluationError: if the task is not a disease label.
    """

    def __init__(self, study: Study, plan: Plan) -> None:
        self.columns = [column for column, (name, _) in enumerate(QUESTIONS) if name == plan.task]
        if not self.columns:
            allowed = ", ".join(dict.fromkeys(name for name, _ in QUESTIONS))
            raise EvaluationError(f"task is {plan.task!r}; allowed are {allowed}")
        self.plan = plan
        self.folder = study.cache / "downstream"
        parts = (study.sample, study.train, study.held_out)
        known = [part[part.label(plan.task) != UNKNOWN] for part in parts]
        self.synthetic, self.train, self.held_out = (_shrink(part, plan.size) for part in known)
        for name, part in (("held-out", self.held_out), ("training", self.train), ("synthetic", self.synthetic)):
            positives = int((part.label(plan.task) > 0).sum())
            if min(positives, len(part) - positives) < MIN_PER_CLASS:
                raise NotMeasurable(
                    f"{positives} of {len(part)} {name} images with a known {plan.task} are positive; at least "
                    f"{MIN_PER_CLASS} of each kind are needed"
                )
        self.truth = self._targets(self.held_out)
        self.sources = np.unique(self.held_out.sources, return_inverse=True)[1]

    def _targets(self, part: Photographs) -> np.ndarray:
        return answers(part.codes)[:, self.columns]

    def task_auc(self, probabilities: np.ndarray, rows: np.ndarray, within: bool = False) -> float:
        """Mean AUC over the questions of the task that these held-out rows can measure.

        Args:
            probabilities: of all held-out photographs, shape (N, Q).
            rows: the row numbers to measure.
            within: whether only pairs of photographs of the same source count.

        Raises:
            NotMeasurable: if no question has both answers.
        """
        found = []
        for column in range(len(self.columns)):
            truth, scores = self.truth[rows, column], probabilities[rows, column]
            with contextlib.suppress(NotMeasurable):
                found.append(within_source_auc(truth, scores, self.sources[rows]) if within else auc(truth, scores))
        if not found:
            raise NotMeasurable("no question of the task has positives and negatives" + " in one source" * within)
        return float(np.mean(found))

    def outcome(self, run: Run) -> Outcome:
        """The outcome of a run, from the disk if it was done before."""
        parts = [part.fingerprint for part in (self.synthetic, self.train, self.held_out)]
        options = [self.plan.task, self.plan.size, asdict(self.plan.schedule), architecture_key(run.network)]
        key = fingerprint(*parts, asdict(run), options, code_fingerprint(__name__))
        path = self.folder / f"run-{key}.json"
        if not path.exists():
            found = self._execute(run)
            write_json(path, {**asdict(found), "probabilities": found.probabilities.tolist(), "run": asdict(run)})
        saved: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Outcome(np.array(saved["probabilities"]), saved["seen"], saved["curve"])

    def _execute(self, run: Run) -> Outcome:
        schedule = replace(self.plan.schedule, seed=run.seed)
        network = build_classifier(run.network, len(self.columns), self.plan.size, run.seed)
        if run.way in ("pretrained", "synthetic only"):
            learned = self._pretrained(run.network, network, schedule)
            if run.way == "synthetic only":
                return Outcome(predict(learned, self.held_out.images), [], [])
            network = copy.deepcopy(learned).cpu()
        images, targets = self._material(run)
        seen: list[int] = []
        curve: list[float] = []
        everyone = np.arange(len(self.held_out))

        def watch(count: int, model: nn.Module) -> None:
            seen.append(count)
            curve.append(self.task_auc(predict(model, self.held_out.images), everyone))

        every = max(schedule.images_seen // POINTS, schedule.batch_size)
        network = train_classifier(network, images, targets, schedule, watch, every)
        return Outcome(predict(network, self.held_out.images), seen, curve)

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
        options = [architecture_key(name), self.plan.task, self.plan.size, asdict(schedule)]
        key = fingerprint(self.synthetic.fingerprint, options, code_fingerprint(__name__))
        path = self.folder / f"pretrained-{key}.pt"
        if path.exists():
            network.load_state_dict(torch.load(path, weights_only=True))
            return network.eval()
        network = train_classifier(network, self.synthetic.images, self._targets(self.synthetic), schedule)
        write_whole(path, lambda temporary: torch.save(network.state_dict(), temporary))
        return network

    def score(self, outcomes: list[Outcome], metric: str) -> Interval:
        """A metric of `METRICS`: the mean over the seeds, with the interval of a bootstrap of the held-out patients."""
        grade = np.nan_to_num(self.truth).sum(axis=1).astype(int)
        predicted = [(outcome.probabilities > 0.5).sum(axis=1) for outcome in outcomes]
        scores = {
            "AUC within source": lambda number, rows: self.task_auc(outcomes[number].probabilities, rows, within=True),
            "AUC, pooled": lambda number, rows: self.task_auc(outcomes[number].probabilities, rows),
            "quadratic kappa": lambda number, rows: quadratic_kappa(grade[rows], predicted[number][rows]),
            "accuracy": lambda number, rows: float((grade[rows] == predicted[number][rows]).mean()),
            "F1 (macro)": lambda number, rows: macro_f1(grade[rows], predicted[number][rows]),
        }
        score = scores[metric]
        return bootstrap(
            lambda rows: float(np.mean([score(number, rows) for number in range(len(outcomes))])),
            self.held_out.patients,
            seed=0,
        )


def _shrink(photographs: Photographs, size: int) -> Photographs:
    return replace(photographs, images=as_images(photographs.images).resized(size))
