"""What the first stage learns by: first the whole autoencoder, then its decoder alone, against a discriminator."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import nn
from torch.func import functional_call

from synfundus.images import to_tensor
from training.configuration.config import AutoencoderConfig
from training.data.prepared import PreparedData
from training.losses.perceptual import PerceptualDistance

Losses = dict[str, torch.Tensor]


class AutoencoderLoss(nn.Module):
    """Absolute error + perceptual distance + a small Kullback-Leibler term (Rombach et al. 2022, without the GAN)."""

    def __init__(self, vae: AutoencoderKL, config: AutoencoderConfig, data: PreparedData) -> None:
        super().__init__()
        self.vae, self.config = vae, config
        self.perceptual = PerceptualDistance() if config.perceptual_weight else None
        self._data = data

    def forward(self, rows: np.ndarray, generator: torch.Generator) -> Losses:
        """The losses on these photographs, some mirrored."""
        images, decoded, kl = self._reconstruct(rows, generator)
        losses = self._compare(images, decoded) | {"kl": kl}
        losses["loss"] = losses["loss"] + self.config.kl_weight * kl
        return losses

    def _reconstruct(
        self, rows: np.ndarray, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The photographs, what is left of them, and the Kullback-Leibler term per latent value."""
        images = to_tensor(self._data.images[np.sort(rows)], self.vae.device)
        flipped = torch.rand(len(images), generator=generator).lt(0.5).to(images.device)
        images = torch.where(flipped[:, None, None, None], images.flip(-1), images)
        posterior = self.vae.encode(images).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=generator).to(images)
        decoded = self.vae.decode(posterior.mean + posterior.std * noise).sample
        return images, decoded, posterior.kl().mean() / posterior.mean[0].numel()

    def _compare(self, images: torch.Tensor, decoded: torch.Tensor) -> Losses:
        losses = {"l1": (decoded - images).abs().mean()}
        losses["loss"] = losses["l1"]
        if self.perceptual is not None:
            losses["perceptual"] = self.perceptual(decoded, images)
            losses["loss"] = losses["loss"] + self.config.perceptual_weight * losses["perceptual"]
        return losses


class PatchDiscriminator(nn.Sequential):
    """Tells patches of photographs from reconstructed ones (Isola et al. 2017); a score sees 38 pixels a side.

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
    """Absolute error + perceptual distance + an adversarial hinge loss (Rombach et al. 2022), for the decoder alone.

    Errors alone teach a decoder to blur whatever a latent no longer says; the discriminator wants it sharp. The encoder
    stays as it is, and with it all latents. The discriminator learns in the same step, but neither moves the other's
    weights: its loss sees the reconstructions, and the decoder's its weights, as constants.
    """

    def __init__(self, vae: AutoencoderKL, config: AutoencoderConfig, data: PreparedData) -> None:
        super().__init__(vae, config, data)
        vae.requires_grad_(False)
        vae.decoder.requires_grad_(True)
        self.discriminator = PatchDiscriminator()

    def forward(self, rows: np.ndarray, generator: torch.Generator) -> Losses:
        """The losses on these photographs, some mirrored."""
        assert self.config.decoder is not None
        images, decoded, _ = self._reconstruct(rows, generator)
        losses = self._compare(images, decoded)
        constant = {name: weights.detach() for name, weights in self.discriminator.named_parameters()}
        losses["adversarial"] = -functional_call(self.discriminator, constant, decoded).float().mean()
        real, made = self.discriminator(torch.cat([images, decoded.detach().to(images)])).float().chunk(2)
        losses["discriminator"] = (1 - real).relu().mean() + (1 + made).relu().mean()
        contest = losses["adversarial"] + losses["discriminator"]
        losses["loss"] = losses["loss"] + self.config.decoder.adversarial_weight * contest
        return losses
