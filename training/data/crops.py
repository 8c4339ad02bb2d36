"""Random crops of photographs, which the autoencoder is trained on."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from synfundus.images import to_tensor
from training.configuration.config import AutoencoderConfig
from training.data.prepared import PreparedData


def random_crops(
    data: PreparedData, rows: np.ndarray, config: AutoencoderConfig, generator: torch.Generator
) -> torch.Tensor:
    """One random crop of each photograph, some mirrored, some at half resolution.

    A crop at half resolution is an average over 2x2 pixels of one of twice the side, or of the whole photograph where
    that is smaller.

    Args:
        data: the photographs.
        rows: those to use, shape (B,).
        config: its `crop_size` and `half_resolution_share` are used.
        generator: decides on places, mirroring and resolution.

    Returns:
        float32 tensor of shape (B, 3, side, side) in [-1, 1]; the side is `crop_size`, or that of the photographs
        where they are smaller.
    """
    size = data.images.shape[1]
    side = min(config.crop_size, size)
    crops = []
    for row in rows:
        share, mirrored, down, right = torch.rand(4, generator=generator).tolist()
        halved = share < config.half_resolution_share and 2 * side <= size
        window = 2 * side if halved else side
        top, left = (int(place * (size - window + 1)) for place in (down, right))
        crop = to_tensor(data.images[row, top : top + window, left : left + window][None])
        crop = functional.avg_pool2d(crop, 2) if halved else crop
        crops.append(crop.flip(-1) if mirrored < 0.5 else crop)
    return torch.cat(crops)


def sample_patches(
    data: PreparedData, rows: np.ndarray, config: AutoencoderConfig, count: int, seed: int
) -> torch.Tensor:
    """Random patches for `FundusAutoencoder.initialize_linear`; float32, shape (about `count`, 3, patch, patch)."""
    patch = config.model.get("patch_size", 16)
    generator = torch.Generator().manual_seed(seed)
    chosen = np.random.default_rng([seed, 7]).permutation(rows)
    crops = random_crops(data, chosen[: max(1, count // 64)], config, generator)
    patches = functional.unfold(crops, patch, stride=patch)  # (B, 3 * patch * patch, positions)
    flat = patches.transpose(1, 2).reshape(-1, 3, patch, patch)
    return flat[torch.randperm(len(flat), generator=generator)[:count]]
