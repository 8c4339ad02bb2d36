"""How the teacher and the student sample: the levels of noise, and deterministic steps between them."""

from __future__ import annotations

import copy
from typing import Any

import torch
from diffusers import DPMSolverMultistepScheduler, UNet2DModel

from pipeline_synfundus import FundusConditionEncoder, SynFundusPipeline
from pipeline_synfundus.guidance import guide
from pipeline_synfundus.labels import contrast_condition, from_codes, to_codes
from pipeline_synfundus.noise_levels import NoiseLevels

# Embeddings of the labels and of those that guidance leads away from, shape (B, width) each.
Conditions = tuple[torch.Tensor, torch.Tensor]


def student_scheduler(teacher: Any) -> DPMSolverMultistepScheduler:
    """The scheduler of a student: first-order DPM-Solver++, which is DDIM (Lu et al. 2022) and for flows Euler.

    Args:
        teacher: the scheduler of the generator; its noise schedule and prediction type are kept.
    """
    return DPMSolverMultistepScheduler.from_config(
        teacher.config,
        algorithm_type="dpmsolver++",
        solver_order=1,
        timestep_spacing="trailing",  # starts at pure noise, and every level of few steps is one of more steps
        final_sigmas_type="zero",
        euler_at_final=False,
        use_karras_sigmas=False,
        use_exponential_sigmas=False,
        use_beta_sigmas=False,
        use_lu_lambdas=False,
        thresholding=False,
    )


class Steps:
    """The timesteps and noise levels of sampling with so many steps.

    Attributes:
        levels: the noise levels of the timesteps.
        timesteps: shape (count,), from noisy to clean.
    """

    def __init__(self, scheduler: DPMSolverMultistepScheduler, count: int) -> None:
        scheduler.set_timesteps(count)
        self.timesteps = scheduler.timesteps.clone()
        self.levels = NoiseLevels(scheduler, self.timesteps)

    def __len__(self) -> int:
        return len(self.timesteps)


def contrast_codes(codes: torch.Tensor) -> torch.Tensor:
    """The labels that guidance leads away from; integers of shape (B, 16)."""
    rows = [to_codes(contrast_condition(from_codes(row))) for row in codes.tolist()]
    return torch.tensor(rows, device=codes.device)


class Teacher(torch.nn.Module):
    """A frozen copy of a generator that samples with guidance, in deterministic first-order steps.

    Args:
        pipeline: the generator; its guidance interval is used, and whether guidance keeps the colour.
        guidance_scale: weight of the guidance.
    """

    def __init__(self, pipeline: SynFundusPipeline, guidance_scale: float) -> None:
        super().__init__()
        self.unet: UNet2DModel = copy.deepcopy(pipeline.unet)
        self.encoder: FundusConditionEncoder = copy.deepcopy(pipeline.condition_encoder)
        self.requires_grad_(False)
        self.guidance_scale = guidance_scale
        self.keeps_colour = pipeline.config.guidance_keeps_colour
        self.interval = pipeline.config.default_guidance_start, pipeline.config.default_guidance_end

    @torch.no_grad()
    def encode(self, codes: torch.Tensor) -> Conditions:
        """Encodes labels of shape (B, 16), and those that guidance leads away from; the same for all steps."""
        return self.encoder(codes), self.encoder(contrast_codes(codes))

    @torch.no_grad()
    def advance(
        self, latents: torch.Tensor, conditions: Conditions, steps: Steps, start: int, count: int, guided: bool = True
    ) -> torch.Tensor:
        """Takes `count` steps.

        Args:
            latents: samples at level `start`, shape (B, C, h, w).
            conditions: their labels, as `encode` returns them.
            steps: the levels.
            start: number of the first step.
            count: number of steps.
            guided: False leaves out the guidance.

        Returns:
            The samples at level `start + count`.
        """
        wanted, unwanted = conditions
        first, last = (bound * len(steps) for bound in self.interval)
        for step in range(start, start + count):
            timestep = steps.timesteps[step]
            if guided and self.guidance_scale != 1 and first <= step < last:
                both = self.unet(torch.cat([latents, latents]), timestep, class_labels=torch.cat([unwanted, wanted]))
                without, with_labels = both.sample.float().chunk(2)
                prediction = guide(without, with_labels, self.guidance_scale, self.keeps_colour)
            else:
                prediction = self.unet(latents, timestep, class_labels=wanted).sample
            latents = steps.levels.step(prediction, latents, step)
        return latents
