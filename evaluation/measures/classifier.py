"""Classifiers of fundus photographs: transformers' ResNet and ViT, and EfficientNet-Lite0 with ImageNet weights.

Labels become binary questions: a finding is present or absent; the grade of diabetic retinopathy is at least 1, 2, 3
or 4 (ordinal regression, Frank and Hall 2001). Unknown answers are NaN.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from evaluation.cache import files_fingerprint
from evaluation.errors import EvaluationError
from pipeline_synfundus.labels import CONDITION_NAMES, DISEASES, UNKNOWN
from synfundus.efficientnet import FEATURE_WIDTH, load_efficientnet_lite0

GRADES = tuple(range(1, DISEASES[0].cardinality))
# For each question, the label and the smallest value for which the answer is yes.
QUESTIONS: tuple[tuple[str, int], ...] = (
    *(("dr_grade", grade) for grade in GRADES),
    *((label.name, 1) for label in DISEASES[1:]),
)
QUESTION_NAMES = tuple(f"dr_grade >= {value}" if name == "dr_grade" else name for name, value in QUESTIONS)
ARCHITECTURES = ("resnet", "vit", "imagenet")


def answers(codes: np.ndarray) -> np.ndarray:
    """Answers to `QUESTIONS`, float32 of shape (N, 14), NaN unknown, from codes of shape (N, 16)."""
    columns = []
    for name, value in QUESTIONS:
        known = codes[:, CONDITION_NAMES.index(name)]
        columns.append(np.where(known == UNKNOWN, np.nan, known >= value))
    return np.stack(columns, axis=1).astype(np.float32)


def grades(probabilities: np.ndarray) -> np.ndarray:
    """Grades 0 to 4 of diabetic retinopathy from probabilities of shape (N, 14): how many thresholds are passed."""
    return (probabilities[:, : len(GRADES)] > 0.5).sum(axis=1)


class Classifier(nn.Module):
    """A network from images of shape (B, 3, S, S) and range [-1, 1] to logits, which also gives its features."""

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """The input of the last layer, shape (B, D)."""
        raise NotImplementedError


class ImageNetClassifier(Classifier):
    """The ImageNet network with a new head, initialised with its ImageNet weights.

    Args:
        num_outputs: number of logits.
    """

    def __init__(self, num_outputs: int) -> None:
        super().__init__()
        self.backbone: Any = load_efficientnet_lite0()
        self.head = nn.Linear(FEATURE_WIDTH, num_outputs)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Features of shape (B, 1280), averaged over positions, of images in [-1, 1]."""
        return self.backbone.extract_features(images).mean(dim=(2, 3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of shape (B, num_outputs)."""
        return self.head(self.features(images))


class HubClassifier(Classifier):
    """An image classifier of transformers as a function from images in [-1, 1] to logits.

    Args:
        model: with an image classification head.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """The input of the head, shape (B, D)."""
        found = self.model.base_model(pixel_values=images)
        pooled = getattr(found, "pooler_output", None)
        return found.last_hidden_state[:, 0] if pooled is None else pooled.flatten(1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of shape (B, number of outputs)."""
        return self.model(pixel_values=images).logits


def architecture_key(architecture: str) -> str:
    """The architecture for cache keys: of a checkpoint, with a fingerprint of its files."""
    folder = Path(architecture)
    return f"{architecture} {files_fingerprint(folder)}" if folder.is_dir() else architecture


def build_classifier(architecture: str, num_outputs: int, size: int, seed: int) -> Classifier:
    """Builds a classifier.

    Args:
        architecture: `resnet` or `vit` (transformers, random weights, small enough for two CPU cores), `imagenet`
            (EfficientNet-Lite0 from ImageNet), or the folder of a checkpoint of transformers.
        num_outputs: number of logits.
        size: side of the images in pixels.
        seed: of the random weights.

    Raises:
        EvaluationError: for anything else.
    """
    from transformers import (
        AutoModelForImageClassification,
        ResNetConfig,
        ResNetForImageClassification,
        ViTConfig,
        ViTForImageClassification,
    )

    torch.manual_seed(seed)
    if architecture == "imagenet":
        return ImageNetClassifier(num_outputs)
    if architecture == "resnet":
        resnet = ResNetConfig(
            embedding_size=32,
            hidden_sizes=[32, 64, 128, 256],
            depths=[1, 1, 1, 1],
            layer_type="basic",
            num_labels=num_outputs,
        )
        return HubClassifier(ResNetForImageClassification(resnet))
    if architecture == "vit":
        vit = ViTConfig(
            image_size=size,
            patch_size=size // 8,
            hidden_size=128,
            num_hidden_layers=4,
            num_attention_heads=4,
            intermediate_size=256,
            num_labels=num_outputs,
        )
        return HubClassifier(ViTForImageClassification(vit))
    if Path(architecture).is_dir():
        return HubClassifier(
            AutoModelForImageClassification.from_pretrained(
                architecture, num_labels=num_outputs, ignore_mismatched_sizes=True, local_files_only=True
            )
        )
    raise EvaluationError(f"architecture is {architecture!r}; allowed are {', '.join(ARCHITECTURES)} or a folder")
