"""A perceptual distance in the features of EfficientNet-Lite0, which needs no download."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from synfundus.efficientnet import load_efficientnet_lite0

# The last block of each resolution up to 1/16: features of 16, 24, 40 and 80 channels.
TAPPED_BLOCKS = (0, 2, 4, 7)


class PerceptualDistance(nn.Module):
    """Distance of two images in the features of an ImageNet network, similar to LPIPS (Zhang et al. 2018).

    The features of each tapped layer are scaled to unit length over the channels; the squared differences are summed
    over the channels and averaged over positions and layers. There are no learned weights per channel.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network: Any = load_efficientnet_lite0().requires_grad_(False)

    def train(self, mode: bool = True) -> PerceptualDistance:
        """Keeps the network in evaluation mode."""
        return super().train(False)

    def features(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Unit-length features of images in [-1, 1], shape (B, 3, H, W), one tensor per tapped layer."""
        network = self.network
        hidden = network._swish(network._bn0(network._conv_stem(images)))
        result = []
        for number, block in enumerate(network._blocks[: TAPPED_BLOCKS[-1] + 1]):
            hidden = block(hidden)
            if number in TAPPED_BLOCKS:
                result.append(nn.functional.normalize(hidden.float(), dim=1))
        return result

    def forward(self, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mean distance over the batch, a scalar. Both inputs have shape (B, 3, H, W) and range [-1, 1]."""
        with torch.no_grad():
            wanted = self.features(targets)
        pairs = zip(self.features(images), wanted, strict=True)
        return torch.stack([(a - b).square().sum(dim=1).mean() for a, b in pairs]).mean()
