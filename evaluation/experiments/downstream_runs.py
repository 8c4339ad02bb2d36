"""What synthetic images are worth to a classifier of real photographs: the paper's downstream experiment.

One real task, held out by patient, learned in several ways from several fractions of the real patients. Each training
run is kept on disk, so that an interrupted experiment goes on with the run it was at.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.metrics import f1_score
from torch import nn

from evaluation.cache import fingerprint
from evaluation.data.photographs import Photographs
from evaluation.data.study import Study
from evaluation.errors import EvaluationError, NotMeasurable
from evaluation.measures.classifier import QUESTIONS, Classifier, answers, build_classifier
from evaluation.measures.classifier_training import Schedule, predict, train_classifier
from evaluation.measures.statistics import MIN_PER_CLASS, Interval, auc, bootstrap, quadratic_kappa
from pipeline_synfundus.labels import UNKNOWN
from synfundus.files import write_json, write_whole

POINTS = 10  # on a learning curve
METRICS = ("AUC", "quadratic kappa", "accuracy", "F1 (macro)")


@dataclass(frozen=True)
class Plan:
    """What is run.

    Attributes:
        task: a disease label.
        size: side of the images in pixels.
        fractions: of the real training patients.
        seeds: of weights, order and the fraction's patients.
        networks: architectures that learn from random weights.
        initialised: architectures that come with weights, or folders of checkpoints.
        schedule: of the last stage; pretraining is as long.
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
    """One training run: who learns, in which way, from which fraction of the real patients, with which seed."""

    network: str
    way: str
    fraction: float
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What a run led to.

    Attributes:
        probabilities: of each question of the task on each held-out photograph, shape (N, Q).
        seen: images seen at the points of the learning curve.
        curve: AUC on the held-out photographs at these points.
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
        study: the material.
        plan: what to run.

    Raises:
        NotMeasurable: if the held-out patients or the synthetic images do not support the task.
        EvaluationError: if the task is no disease.
    """

    def __init__(self, study: Study, plan: Plan) -> None:
        self.columns = [column for column, (name, _) in enumerate(QUESTIONS) if name == plan.task]
        if not self.columns:
            allowed = ", ".join(dict.fromkeys(name for name, _ in QUESTIONS))
            raise EvaluationError(f"task is {plan.task!r}; allowed are {allowed}")
        self.plan = plan
        self.folder = study.cache / "downstream"
        parts = (study.synthetic[study.synthetic.readable()], study.train, study.held_out)
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

    def _targets(self, part: Photographs) -> np.ndarray:
        return answers(part.codes)[:, self.columns]

    def task_auc(self, probabilities: np.ndarray, rows: np.ndarray) -> float:
        """Mean AUC over the questions of the task that these held-out rows can measure."""
        pairs = [(self.truth[rows, column], probabilities[rows, column]) for column in range(len(self.columns))]
        both = [pair for pair in pairs if 0 < pair[0].sum() < len(rows)]
        if not both:
            raise NotMeasurable("only one class is there")
        return float(np.mean([auc(*pair) for pair in both]))

    def outcome(self, run: Run) -> Outcome:
        """The outcome of a run, from the disk where it is there."""
        parts = [part.fingerprint for part in (self.synthetic, self.train, self.held_out)]
        path = self.folder / f"run-{fingerprint(*parts, asdict(run), self.plan.size, asdict(self.plan.schedule))}.json"
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

    def _material(self, run: Run) -> tuple[np.ndarray, np.ndarray]:
        """Images and targets of the last stage; in a mix, each side is half of what is seen."""
        patients = np.random.default_rng([run.seed, 7]).permutation(np.unique(self.train.patients))
        chosen = np.isin(self.train.patients, patients[: max(1, round(len(patients) * run.fraction))])
        images, targets = self.train.images[chosen], self._targets(self.train)[chosen]
        if run.way != "mixed":
            return images, targets
        count = max(len(images), len(self.synthetic))
        rows = np.arange(count)
        sides = [(images, targets), (self.synthetic.images, self._targets(self.synthetic))]
        images, targets = (np.concatenate([side[part][rows % len(side[0])] for side in sides]) for part in (0, 1))
        return images, targets

    def _pretrained(self, name: str, network: Classifier, schedule: Schedule) -> Classifier:
        """The network after learning from synthetic images alone; learned once for each seed."""
        key = fingerprint(self.synthetic.fingerprint, name, self.plan.task, self.plan.size, asdict(schedule))
        path = self.folder / f"pretrained-{key}.pt"
        if path.exists():
            network.load_state_dict(torch.load(path, weights_only=True))
            return network.eval()
        network = train_classifier(network, self.synthetic.images, self._targets(self.synthetic), schedule)
        write_whole(path, lambda temporary: torch.save(network.state_dict(), temporary))
        return network

    def score(self, outcomes: list[Outcome], metric: str) -> Interval:
        """A metric of `METRICS`: the mean over the seeds' outcomes, with the interval by held-out patients."""
        grade = np.nan_to_num(self.truth).sum(axis=1).astype(int)
        predicted = [(outcome.probabilities > 0.5).sum(axis=1) for outcome in outcomes]
        scores = {
            "AUC": lambda number, rows: self.task_auc(outcomes[number].probabilities, rows),
            "quadratic kappa": lambda number, rows: quadratic_kappa(grade[rows], predicted[number][rows]),
            "accuracy": lambda number, rows: float((grade[rows] == predicted[number][rows]).mean()),
            "F1 (macro)": lambda number, rows: float(
                f1_score(grade[rows], predicted[number][rows], average="macro", zero_division=0)
            ),
        }
        score = scores[metric]
        return bootstrap(
            lambda rows: float(np.mean([score(number, rows) for number in range(len(outcomes))])),
            self.held_out.patients,
            seed=0,
        )


def _shrink(photographs: Photographs, size: int) -> Photographs:
    if photographs.images.shape[1] == size:
        return photographs
    images = [
        np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BOX)) for image in photographs.images
    ]
    return replace(photographs, images=np.stack(images) if images else np.empty((0, size, size, 3), np.uint8))
