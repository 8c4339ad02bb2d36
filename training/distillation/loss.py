"""The loss of a distillation: one step of the student against several guided steps of the teacher."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from diffusers import UNet2DModel
from torch import nn

from dataset_script.plan.condition_plan import ConditionPlan
from pipeline_synfundus import FundusConditionEncoder, SynFundusPipeline
from pipeline_synfundus.labels import to_codes
from training.distillation.sampling import Steps, Teacher
from training.loop.step import draw_noise
from training.losses.flow_matching import drop_labels

# In the plan most labels are known; the student must also follow conditions with unknown ones.
LABEL_DROPOUT, CONDITION_DROPOUT = 0.2, 0.05


class DistillationLoss(nn.Module):
    """Mean squared error between the student's prediction and the one that leads where the guided teacher arrives.

    This is progressive distillation (Salimans and Ho 2022, algorithm 2) of a guided teacher (Meng et al. 2023) in one
    stage of `teacher_steps / steps` instead of several stages of two. The error is that of the velocity or flow (their
    weighting "SNR + 1"). Two things differ. Samples are drawn from the student itself, from pure noise on, so that it
    learns from the states that it will be in (as in Kohler et al. 2024, "Imagine Flash", section 3.1), and needs no
    photographs. And the guidance scale is fixed.

    Args:
        pipeline: the generator; its UNet and condition encoder become the student's.
        teacher: a frozen copy of it.
        plan: its rows have the labels.
        student_steps: the student's levels.
        teacher_steps: the teacher's, a whole number of steps for each of the student's.
    """

    def __init__(
        self,
        pipeline: SynFundusPipeline,
        teacher: Teacher,
        plan: ConditionPlan,
        student_steps: Steps,
        teacher_steps: Steps,
    ) -> None:
        super().__init__()
        self.unet: UNet2DModel = pipeline.unet
        self.encoder: FundusConditionEncoder = pipeline.condition_encoder
        self.teacher, self.student_steps, self.teacher_steps = teacher, student_steps, teacher_steps
        self._plan = plan

    @property
    def steps_per_step(self) -> int:
        """Steps of the teacher in one of the student."""
        return len(self.teacher_steps) // len(self.student_steps)

    def forward(self, rows: np.ndarray, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Samples images with the labels of these rows of the plan, and returns the mean error of the steps."""
        codes = drop_labels(self.read_labels(rows), LABEL_DROPOUT, CONDITION_DROPOUT, generator).to(self.unet.device)
        latents = self.draw_noise(len(rows), generator)
        conditions = self.teacher.encode(codes)
        errors = []
        for step, timestep in enumerate(self.student_steps.timesteps):
            prediction = self.unet(latents, timestep, class_labels=self.encoder(codes)).sample.float()
            start = step * self.steps_per_step
            arrived = self.teacher.advance(latents, conditions, self.teacher_steps, start, self.steps_per_step)
            target = self.student_steps.levels.prediction(latents, arrived, step)
            errors.append((prediction - target).square().mean())
            latents = self.student_steps.levels.step(prediction.detach(), latents, step)
        return {"loss": torch.stack(errors).mean()}

    @torch.no_grad()
    def sample(self, latents: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """The student's samples from noise, shape (B, C, h, w), with labels, shape (B, 16)."""
        for step, timestep in enumerate(self.student_steps.timesteps):
            prediction = self.unet(latents, timestep, class_labels=self.encoder(codes)).sample
            latents = self.student_steps.levels.step(prediction, latents, step)
        return latents

    def read_labels(self, rows: Sequence[int] | np.ndarray) -> torch.Tensor:
        """The labels of rows of the plan, shape (N, 16)."""
        return torch.tensor([to_codes(row.condition) for row in self._plan.rows(rows)])

    def draw_noise(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Pure noise, shape (count, C, h, w)."""
        size = self.unet.config.sample_size
        return draw_noise((count, self.unet.config.in_channels, size, size), generator, self.unet.device)
