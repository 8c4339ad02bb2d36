"""The judge: a classifier of the labels that was trained on real photographs only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from evaluation.cache import code_fingerprint, fingerprint
from evaluation.data.images import Images
from evaluation.data.photographs import Photographs, equalise
from evaluation.measures.classifier import Classifier, answers, architecture_key, build_classifier
from evaluation.measures.classifier_training import Schedule, predict, train_classifier
from evaluation.measures.features import FeatureSpace, device, network_extract
from synfundus.files import write_whole

# The architecture of the judge unless another is asked for. Starting from ImageNet's weights, it tells the labels of
# validation patients with a mean AUC within source of 0.85, the ResNet without them with 0.63 (both after 16,000 images
# of 128 pixels).
ARCHITECTURE = "imagenet"


@dataclass(frozen=True)
class Judge:
    """A classifier that learned on real photographs.

    Attributes:
        network: from tensors in [-1, 1] to logits of `QUESTIONS`.
        version: fingerprint of its training data, settings and code.
        size: side of the images that it learned on, in pixels.
    """

    network: Classifier
    version: str
    size: int

    def predict(self, images: np.ndarray | Images) -> np.ndarray:
        """Probabilities of the answer yes to each question, float32, shape (N, Q).

        Args:
            images: equalised, uint8, shape (N, S, S, 3); larger ones are reduced to `size`.
        """
        if images.shape[1] != self.size:
            images = np.stack([equalise(Image.fromarray(image), self.size) for image in images])
        return predict(self.network, images)


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
    size = train.images.shape[1]
    network = build_classifier(architecture, targets.shape[1], size, schedule.seed)
    if path.exists():
        network.load_state_dict(torch.load(path, weights_only=True))
        return Judge(network.to(device()).eval(), version, size)
    network = train_classifier(network, train.images, targets, schedule)
    write_whole(path, lambda temporary: torch.save(network.state_dict(), temporary))
    return Judge(network, version, size)


def retina_space(judge: Judge, cache: Path) -> FeatureSpace:
    """The features that the judge has learned, as a feature space of the retina; vectors are kept in `cache`."""
    return FeatureSpace("retina", network_extract(judge.network.features), cache, judge.version)
