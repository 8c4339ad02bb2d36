"""The loss of the generator, in training and validation: the error of the predicted flow from noise to latents."""

from __future__ import annotations

import numpy as np
import torch
from accelerate import Accelerator
from diffusers import UNet2DModel
from torch import nn

from pipeline_synfundus import FundusConditionEncoder
from pipeline_synfundus.labels import CONDITION_NAMES, DISEASES, UNKNOWN
from training.configuration.config import GeneratorConfig
from training.data.examples import Examples
from training.loop.step import draw_noise, seeded_generator

VALIDATION_BATCH = 32
VALIDATION_ROWS = 256
# The scale of the UNet's time input: its sinusoidal embedding was made for 1000 integer times.
TIME_SCALE = 1000
_DR_GRADE, _IS_DME = CONDITION_NAMES.index("dr_grade"), CONDITION_NAMES.index("is_dme")


def assume_absent(codes: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """Shows the unknown diseases of some images as absent, as in learning from single positive labels.

    Most sets label one or two diseases. A network that never sees one of their findings beside known absences draws it
    only where all else is unknown, and users ask for one finding and nothing else. See Cole et al. 2021 (arXiv
    2106.09708, "assume negative").

    Args:
        codes: integers of shape (B, 16).
        share: share of the images.
        generator: source of random numbers.
    """
    chosen = torch.rand(len(codes), 1, generator=generator) < share
    absent = chosen & (codes == UNKNOWN)
    absent[:, len(DISEASES) :] = False
    absent[:, _DR_GRADE] &= codes[:, _IS_DME] != 1  # no edema without retinopathy
    return torch.where(absent, 0, codes)


def drop_labels(
    codes: torch.Tensor, label_dropout: float, condition_dropout: float, generator: torch.Generator
) -> torch.Tensor:
    """Replaces some known labels, and all labels of some images, by unknown.

    Args:
        codes: integers of shape (B, 16).
        label_dropout: largest share of an image's labels that is replaced; the share is drawn for each image.
        condition_dropout: probability that all labels of an image are replaced.
        generator: source of random numbers.
    """
    share = label_dropout * torch.rand(len(codes), 1, generator=generator)
    single = torch.rand(codes.shape, generator=generator) < share
    whole = torch.rand(len(codes), 1, generator=generator) < condition_dropout
    return torch.where(single | whole, UNKNOWN, codes)


class FlowMatchingLoss(nn.Module):
    """Mean squared error of the predicted flow (rectified flow; Liu et al. 2023, Lipman et al. 2023).

    The times are drawn from a logit-normal (Esser et al. 2024, section 3.1) or a uniform distribution and shifted
    towards noise (eq. 23 there). Enlarged photographs are shown at high noise levels only (Daras et al. 2025, arXiv
    2506.10038): there they teach layout and findings, and not their lack of detail.

    Args:
        unet: predicts noise minus image from (1 - t) * image + t * noise.
        encoder: encodes the labels.
        examples: the training examples.
        config: its dropout shares and its distribution of times are used.
        shift: shift of the times; 1 for none.
    """

    def __init__(
        self,
        unet: UNet2DModel,
        encoder: FundusConditionEncoder,
        examples: Examples,
        config: GeneratorConfig,
        shift: float,
    ) -> None:
        super().__init__()
        self.unet, self.encoder, self.config, self.shift = unet, encoder, config, shift
        self._examples = examples

    def forward(self, rows: np.ndarray, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Returns the loss on these examples, randomly mirrored and with labels dropped."""
        flipped = (torch.rand(len(rows), generator=generator) < 0.5).numpy()
        inputs, codes = self._examples.take(rows, flipped)
        times = self.draw_times(len(rows), generator)
        enlarged = self._examples.enlarged
        if enlarged is not None:
            times = torch.where(torch.from_numpy(enlarged[rows]), self._above_smallest(times), times)
        if self.config.assumed_absent_share:
            codes = assume_absent(codes, self.config.assumed_absent_share, generator)
        codes = drop_labels(codes, self.config.label_dropout, self.config.condition_dropout, generator)
        return {"loss": self.errors(inputs, codes, times, generator).mean()}

    def draw_times(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Draws noise levels before the shift, in (0, 1), shape (count,)."""
        if self.config.timestep_sampling == "uniform":
            return torch.rand(count, generator=generator)
        return torch.randn(count, generator=generator).sigmoid()

    def _above_smallest(self, times: torch.Tensor) -> torch.Tensor:
        """Squeezes times into those whose shifted noise level is at least `enlarged_smallest_time`."""
        level = self.config.enlarged_smallest_time or 0.0
        smallest = level / (self.shift - (self.shift - 1) * level)  # the shift, inverted
        return smallest + (1 - smallest) * times

    def errors(
        self, inputs: torch.Tensor, codes: torch.Tensor, times: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """Returns the mean squared error of each image with random noise; shape (B,).

        Args:
            inputs: latents or images of shape (B, C, h, w).
            codes: labels of shape (B, 16), -1 unknown.
            times: noise levels before the shift, in (0, 1), shape (B,).
            generator: draws the noise.
        """
        device = self.unet.device
        noise = draw_noise(inputs.shape, generator, device)
        inputs, times = inputs.to(device), times.to(device)
        times = self.shift * times / (1 + (self.shift - 1) * times)
        level = times[:, None, None, None]
        noisy = (1 - level) * inputs + level * noise
        predicted = self.unet(noisy, times * TIME_SCALE, class_labels=self.encoder(codes.to(device))).sample
        return (predicted.float() - (noise - inputs)).square().mean(dim=(1, 2, 3))


@torch.no_grad()
def validation_loss(loss: FlowMatchingLoss, examples: Examples, seed: int, accelerator: Accelerator) -> float:
    """The loss on a random sample of the validation examples, with the same times and noise at every call.

    Every process calls this and measures a part.
    """
    sample = np.random.default_rng([seed, 5]).permutation(len(examples.codes))[:VALIDATION_ROWS]
    starts = range(0, len(sample), VALIDATION_BATCH)[accelerator.process_index :: accelerator.num_processes]
    total = torch.zeros((), device=accelerator.device)
    for start in starts:
        rows = np.sort(sample[start : start + VALIDATION_BATCH])
        inputs, codes = examples.take(rows, np.zeros(len(rows), dtype=bool))
        times = (torch.arange(len(rows)) + 0.5) / len(rows)  # evenly spread: less noise than random times
        total += loss.errors(inputs, codes, times, seeded_generator(seed, 5, start)).sum()
    return float(accelerator.reduce(total, "sum")) / len(sample)
