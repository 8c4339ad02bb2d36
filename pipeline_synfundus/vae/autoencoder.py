"""The autoencoder: a linear patch transform with learned residuals, from photographs to latents and back.

It is driven by its config alone and imports nothing of this project, because diffusers loads it from its own folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput
from diffusers.models.modeling_utils import ModelMixin
from diffusers.utils import BaseOutput
from torch import nn
from torch.nn import functional


class EncoderOutput(BaseOutput):
    """The output of `FundusAutoencoder.encode`.

    Attributes:
        latent: latents of shape (B, latent_channels, H / patch_size, W / patch_size).
    """

    latent: torch.Tensor


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside an identity; the last one starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, kernel_size=3, padding=1)
        self.last = _zeroed(nn.Conv2d(width, width, kernel_size=3, padding=1))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Maps a tensor of shape (B, width, H, W) to one of the same shape."""
        return hidden + self.last(functional.silu(self.first(functional.silu(hidden))))


class FundusAutoencoder(ModelMixin, ConfigMixin):
    """A deterministic autoencoder: a linear transform of patches plus convolutional residuals on both sides.

    The linear part starts as the principal components of patches (`initialize_linear`), the residuals start at zero, so
    that training starts where principal component analysis ends. There are no normalization layers, which lets
    channels-last bfloat16 run at full speed. The scale of the channels is part of the weights: the standard deviation
    of channel k is proportional to the square root of that of its principal component, with overall RMS 1, so that
    diffusion noise hides fine structure before coarse structure.

    Args:
        patch_size: side of a patch, in pixels; images have sides that are multiples of it.
        latent_channels: channels of the latents.
        widths: channels of the residual networks at 1 / `shuffle`, 1 / (2 shuffle), ... of the image's side; the last
            of these levels is the latents'.
        encoder_blocks: residual blocks of the encoder at each level.
        decoder_blocks: residual blocks of the decoder at each level.
        shuffle: factor of the pixel unshuffle in front of the encoder and of the pixel shuffle behind the decoder.

    Raises:
        ValueError: if the levels do not lead from `shuffle` to `patch_size` or their numbers differ.
    """

    @register_to_config
    def __init__(
        self,
        patch_size: int = 16,
        latent_channels: int = 16,
        widths: Sequence[int] = (64, 128, 192),
        encoder_blocks: Sequence[int] = (1, 2, 2),
        decoder_blocks: Sequence[int] = (2, 2, 3),
        shuffle: int = 4,
    ) -> None:
        super().__init__()
        if not len(widths) == len(encoder_blocks) == len(decoder_blocks):
            raise ValueError("widths, encoder_blocks and decoder_blocks must have the same length")
        if shuffle * 2 ** (len(widths) - 1) != patch_size:
            raise ValueError(f"shuffle * 2 ** (levels - 1) must be patch_size, {patch_size}, but shuffle is {shuffle}")
        self.analysis: Any = nn.Conv2d(3, latent_channels, patch_size, stride=patch_size)
        self.synthesis: Any = nn.ConvTranspose2d(latent_channels, 3, patch_size, stride=patch_size)
        self.encoder = _make_encoder(latent_channels, widths, encoder_blocks, shuffle)
        self.decoder = _make_decoder(latent_channels, widths, decoder_blocks, shuffle)

    def encode(self, images: torch.Tensor, return_dict: bool = True) -> EncoderOutput | tuple[torch.Tensor]:
        """Encodes images of shape (B, 3, H, W) in [-1, 1] to latents of shape (B, C, H / patch, W / patch)."""
        latents = self.analysis(images) + self.encoder(images)
        return EncoderOutput(latent=latents) if return_dict else (latents,)

    def decode(self, latents: torch.Tensor, return_dict: bool = True) -> DecoderOutput | tuple[torch.Tensor]:
        """Decodes latents of shape (B, C, h, w) to images of shape (B, 3, h * patch, w * patch), about [-1, 1]."""
        images = self.synthesis(latents) + self.decoder(latents)
        return DecoderOutput(sample=images) if return_dict else (images,)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Reconstructs images of shape (B, 3, H, W) in [-1, 1]."""
        return self.decode(self.encode(images, return_dict=False)[0], return_dict=False)[0]

    @torch.no_grad()
    def initialize_linear(self, patches: torch.Tensor) -> None:
        """Sets the linear part to the principal components of patches.

        The scale of component k is chosen so that its latents' standard deviation is the square root of the
        component's own, and the mean square over all channels is 1.

        Args:
            patches: float32 tensor of shape (N, 3, patch_size, patch_size) in [-1, 1], N of at least a few thousand.
        """
        size, channels = self.config.patch_size, self.config.latent_channels
        flat = patches.flatten(1)
        mean = flat.mean(dim=0)
        covariance = torch.cov((flat - mean).T)
        variances, vectors = torch.linalg.eigh(covariance)  # in rising order
        components = vectors.flip(1).T[:channels]
        deviations = variances.flip(0)[:channels].clamp_min(1e-12).sqrt()
        scales = deviations.sqrt()  # of the latents
        scales = scales / scales.square().mean().sqrt()
        gains = scales / deviations
        self.analysis.weight.copy_((components * gains[:, None]).view(channels, 3, size, size))
        self.analysis.bias.copy_(-(components @ mean) * gains)
        self.synthesis.weight.copy_((components / gains[:, None]).view(channels, 3, size, size))
        # A transposed convolution has one bias a channel: the mean colour. The rest of the mean patch is tiny.
        self.synthesis.bias.copy_(mean.view(3, -1).mean(dim=1))

    @torch.no_grad()
    def scale_channels(self, factors: torch.Tensor) -> None:
        """Multiplies the latents by one factor a channel; reconstructions stay the same.

        Args:
            factors: positive factors, shape (latent_channels,).
        """
        for layer in (self.analysis, self.encoder[-1]):
            for parameter in layer.parameters():  # weight and bias: output channels come first
                parameter.mul_(factors.view(-1, *[1] * (parameter.ndim - 1)))
        self.synthesis.weight.div_(factors.view(-1, 1, 1, 1))
        first: Any = self.decoder[0]
        first.weight.div_(factors.view(1, -1, 1, 1))


@torch.no_grad()
def _zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    for parameter in layer.parameters():
        parameter.zero_()
    return layer


def _make_encoder(latent_channels: int, widths: Sequence[int], blocks: Sequence[int], shuffle: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.PixelUnshuffle(shuffle), nn.Conv2d(3 * shuffle**2, widths[0], 3, padding=1)]
    layers += [ResidualBlock(widths[0]) for _ in range(blocks[0])]
    for (before, after), count in zip(pairwise(widths), blocks[1:], strict=True):
        layers.append(nn.Conv2d(before, after, kernel_size=2, stride=2))
        layers += [ResidualBlock(after) for _ in range(count)]
    return nn.Sequential(*layers, nn.SiLU(), _zeroed(nn.Conv2d(widths[-1], latent_channels, 3, padding=1)))


def _make_decoder(latent_channels: int, widths: Sequence[int], blocks: Sequence[int], shuffle: int) -> nn.Sequential:
    widths, blocks = widths[::-1], blocks[::-1]
    layers: list[nn.Module] = [nn.Conv2d(latent_channels, widths[0], 3, padding=1)]
    layers += [ResidualBlock(widths[0]) for _ in range(blocks[0])]
    for (before, after), count in zip(pairwise(widths), blocks[1:], strict=True):
        layers += [nn.Conv2d(before, 4 * after, 3, padding=1), nn.PixelShuffle(2)]
        layers += [ResidualBlock(after) for _ in range(count)]
    last = _zeroed(nn.Conv2d(widths[-1], 3 * shuffle**2, 3, padding=1))
    return nn.Sequential(*layers, nn.SiLU(), last, nn.PixelShuffle(shuffle))
