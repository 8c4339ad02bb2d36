"""Converts between uint8 images and the tensors of the models."""

from __future__ import annotations

import numpy as np
import torch

from pipeline_synfundus.photograph import FIELD_THRESHOLD


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


def field_psnr(image: np.ndarray, reconstruction: np.ndarray) -> float:
    """The peak signal-to-noise ratio of a reconstruction inside the field of view of a photograph.

    Args:
        image: uint8 photograph of shape (S, S, 3).
        reconstruction: uint8 image of the same shape.

    Returns:
        The ratio in dB, at most 108 (for equal images).
    """
    inside = image.max(axis=2) > FIELD_THRESHOLD
    error = np.square(reconstruction[inside].astype(np.float32) - image[inside]).mean() if inside.any() else 0.0
    return float(10 * np.log10(255**2 / max(float(error), 1e-6)))
