"""The loss of generators that predict the velocity, as the first bundled one does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import DDPMScheduler, UNet2DModel

from pipeline_synfundus import FundusConditionEncoder
from training.configuration.config import GeneratorConfig
from training.data.examples import Examples
from training.loop.step import draw_noise
from training.losses.flow_matching import FlowMatchingLoss


class VelocityLoss(FlowMatchingLoss):
    """Mean squared error of the predicted velocity (Salimans and Ho 2022), at uniformly drawn times.

    Args:
        unet, encoder, examples, config: see `FlowMatchingLoss`.
        schedule: the configuration of the pipeline's scheduler, for its noise levels.
    """

    def __init__(
        self,
        unet: UNet2DModel,
        encoder: FundusConditionEncoder,
        examples: Examples,
        config: GeneratorConfig,
        schedule: Mapping[str, Any],
    ) -> None:
        super().__init__(unet, encoder, examples, config, shift=1.0)
        self.schedule = DDPMScheduler.from_config(schedule)

    def draw_times(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Draws times in [0, 1), shape (count,)."""
        return torch.rand(count, generator=generator)

    def errors(
        self, inputs: torch.Tensor, codes: torch.Tensor, times: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """Returns the mean squared error of each image with random noise; see `FlowMatchingLoss.errors`."""
        device = self.unet.device
        noise = draw_noise(inputs.shape, generator, device)
        inputs, steps = inputs.to(device), (times * self.schedule.config.num_train_timesteps).long().to(device)
        noisy = self.schedule.add_noise(inputs, noise, steps)
        target = self.schedule.get_velocity(inputs, noise, steps)
        predicted = self.unet(noisy, steps, class_labels=self.encoder(codes.to(device))).sample
        return (predicted.float() - target).square().mean(dim=(1, 2, 3))
