"""Converts between uint8 images and the tensors of the models."""

from __future__ import annotations

import numpy as np
import torch


def to_tensor(images: np.ndarray, device: torch.device | str = "cpu") -> torch.Tensor:
    """Converts uint8 images of shape (B, H, W, 3) to a float tensor of shape (B, 3, H, W) in [-1, 1].

    The tensor is contiguous: with channels last, a CPU's bfloat16 convolutions are a quarter slower.
    """
    # A copy, because the images may be a read-only memory map or flipped by a negative stride.
    tensor = torch.from_numpy(np.array(images, order="C")).to(device)
    return tensor.permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1


def to_images(tensor: torch.Tensor) -> np.ndarray:
    """Converts a tensor of shape (B, 3, H, W) in [-1, 1] to uint8 images of shape (B, H, W, 3).

    The inverse of `to_tensor`. Values outside the range are clamped.
    """
    return ((tensor.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
