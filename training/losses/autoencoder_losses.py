"""The losses of the autoencoder: of the whole network, then of the decoder against a discriminator."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from pipeline_synfundus import FundusAutoencoder
from training.configuration.config import AutoencoderConfig
from training.data.crops import random_crops
from training.data.prepared import PreparedData
from training.losses.perceptual import PerceptualDistance

Losses = dict[str, torch.Tensor]


def high_pass(images: torch.Tensor) -> torch.Tensor:
    """Returns images of shape (B, C, H, W) minus their average over 5x5 pixels, which leaves the fine structure."""
    return images - functional.avg_pool2d(images, 5, stride=1, padding=2, count_include_pad=False)


class AutoencoderLoss(nn.Module):
    """Absolute error, absolute error of fine structure, squared error and perceptual distance of random crops.

    Noise on the latents makes the decoder tolerate the generator's errors. There is no Kullback-Leibler term: the
    scale of the latents is set after the training.
    """

    def __init__(self, vae: FundusAutoencoder, config: AutoencoderConfig, data: PreparedData) -> None:
        super().__init__()
        self.vae, self.config = vae, config
        self.perceptual = PerceptualDistance() if config.perceptual_weight else None
        self._data = data

    def forward(self, rows: np.ndarray, generator: torch.Generator) -> Losses:
        """The losses on one crop of each of these photographs."""
        return self._compare(*self._reconstruct(rows, generator))

    def _reconstruct(self, rows: np.ndarray, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """The crops and their reconstructions from latents with noise."""
        images = random_crops(self._data, rows, self.config, generator).to(self.vae.device)
        latents = self.vae.encode(images, return_dict=False)[0]
        level = self.config.latent_noise * torch.rand(len(latents), 1, 1, 1, generator=generator)
        noise = level * torch.randn(latents.shape, generator=generator)
        return images, self.vae.decode(latents + noise.to(latents), return_dict=False)[0]

    def _compare(self, images: torch.Tensor, decoded: torch.Tensor) -> Losses:
        decoded = decoded.float()
        losses = {
            "l1": (decoded - images).abs().mean(),
            "high_pass": (high_pass(decoded) - high_pass(images)).abs().mean(),
            "mse": (decoded - images).square().mean(),
        }
        losses["loss"] = losses["l1"] + self.config.high_pass_weight * losses["high_pass"] + losses["mse"]
        if self.perceptual is not None:
            losses["perceptual"] = self.perceptual(decoded, images)
            losses["loss"] = losses["loss"] + self.config.perceptual_weight * losses["perceptual"]
        return losses


class PatchDiscriminator(nn.Sequential):
    """Distinguishes patches of photographs from reconstructed ones (Isola et al. 2017); a score sees 38x38 pixels.

    Maps images of shape (B, 3, H, W) in [-1, 1] to scores of shape (B, 1, H / 8, W / 8), high for photographs.
    """

    def __init__(self, width: int = 32) -> None:
        widths = (3, width, 2 * width, 4 * width)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, kernel_size=4, stride=2, padding=1), nn.GroupNorm(8, after)]
            layers.append(nn.LeakyReLU(0.2))
        super().__init__(*layers, nn.Conv2d(widths[-1], 1, kernel_size=3, padding=1))


class DecoderLoss(AutoencoderLoss):
    """The errors of `AutoencoderLoss` and an adversarial hinge loss (Rombach et al. 2022), for the decoder alone.

    Errors alone teach a decoder to blur what a latent does not determine; the discriminator rewards sharpness. The
    encoder and the linear analysis stay fixed, and so do all latents. The discriminator is trained in the same step;
    each loss detaches the other network.
    """

    def __init__(self, vae: FundusAutoencoder, config: AutoencoderConfig, data: PreparedData) -> None:
        super().__init__(vae, config, data)
        vae.requires_grad_(False)
        vae.decoder.requires_grad_(True)
        vae.synthesis.requires_grad_(True)
        self.discriminator = PatchDiscriminator()

    def forward(self, rows: np.ndarray, generator: torch.Generator) -> Losses:
        """The losses on one crop of each of these photographs."""
        assert self.config.decoder is not None
        images, decoded = self._reconstruct(rows, generator)
        losses = self._compare(images, decoded)
        constant = {name: weights.detach() for name, weights in self.discriminator.named_parameters()}
        losses["adversarial"] = -functional_call(self.discriminator, constant, decoded).float().mean()
        real, made = self.discriminator(torch.cat([images, decoded.detach().to(images)])).float().chunk(2)
        losses["discriminator"] = (1 - real).relu().mean() + (1 + made).relu().mean()
        contest = losses["adversarial"] + losses["discriminator"]
        losses["loss"] = losses["loss"] + self.config.decoder.adversarial_weight * contest
        return losses
