"""Classifier-free guidance."""

from __future__ import annotations

import torch


def guide(
    without: torch.Tensor, with_labels: torch.Tensor, guidance_scale: float, keeps_colour: bool = False
) -> torch.Tensor:
    """Leads a prediction away from one without the wanted labels (Ho and Salimans 2022, eq. 6).

    Colours are correlated with labels, because many sets of photographs come from one camera and label one disease.
    Strong guidance of the average colour makes images saturated and alike. Without it only the differences within the
    image are guided, which are the findings. This is frequency-decoupled guidance (Sadat et al. 2025, arXiv 2506.19713)
    with a scale of 1 for the average over all positions, and the given one for the rest.

    Args:
        without: prediction with the labels that guidance leads away from, shape (B, C, H, W).
        with_labels: prediction with the wanted labels, of the same shape.
        guidance_scale: weight of the difference; 1 returns `with_labels`.
        keeps_colour: whether the average over the positions of each channel stays that of `with_labels`.
    """
    difference = with_labels - without
    guided = without + guidance_scale * difference
    if keeps_colour:
        guided = guided - (guidance_scale - 1) * difference.mean(dim=(2, 3), keepdim=True)
    return guided
