"""The judge: a classifier of the labels that was trained on real photographs only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from evaluation.cache import code_fingerprint, fingerprint
from evaluation.data.photographs import Photographs
from evaluation.measures.classifier import Classifier, answers, architecture_key, build_classifier
from evaluation.measures.classifier_training import Schedule, train_classifier
from evaluation.measures.features import FeatureSpace, device, network_extract
from synfundus.files import write_whole


@dataclass(frozen=True)
class Judge:
    """A classifier that learned on real photographs.

    Attributes:
        network: from tensors in [-1, 1] to logits of `QUESTIONS`.
        version: fingerprint of its training data, settings and code.
    """

    network: Classifier
    version: str


def train_judge(train: Photographs, cache: Path, architecture: str, schedule: Schedule) -> Judge:
    """Trains the classifier on the real training photographs, or loads it if it was trained before.

    Args:
        train: the photographs.
        cache: folder of the trained classifier.
        architecture: see `build_classifier`.
        schedule: length and settings.
    """
    version = fingerprint(
        train.fingerprint, architecture_key(architecture), vars(schedule), code_fingerprint("evaluation.measures.judge")
    )
    path = cache / f"judge-{version}.pt"
    targets = answers(train.codes)
    network = build_classifier(architecture, targets.shape[1], train.images.shape[1], schedule.seed)
    if path.exists():
        network.load_state_dict(torch.load(path, weights_only=True))
        return Judge(network.to(device()).eval(), version)
    network = train_classifier(network, train.images, targets, schedule)
    write_whole(path, lambda temporary: torch.save(network.state_dict(), temporary))
    return Judge(network, version)


def retina_space(judge: Judge, cache: Path) -> FeatureSpace:
    """The features that the judge has learned, as a feature space of the retina; vectors are kept in `cache`."""
    return FeatureSpace("retina", network_extract(judge.network.features), cache, judge.version)
