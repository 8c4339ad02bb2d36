"""The noise levels of sampling with cosine spacing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    UniPCMultistepScheduler,
)
from PIL import Image

from pipeline_synfundus import SynFundusPipeline
from pipeline_synfundus.noise_levels import space_by_cosine

FLOWS: dict[str, Any] = {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": 1.0}
FLOW_SCHEDULERS = {
    "DPM-Solver++": lambda: DPMSolverMultistepScheduler(**FLOWS),
    "UniPC": lambda: UniPCMultistepScheduler(**FLOWS),
    "Euler": lambda: FlowMatchEulerDiscreteScheduler(),
}
POSITIONS = 1024


def sample_colours(scheduler: Any, count: int, cosine: bool) -> np.ndarray:
    """Colours of images of one colour each, by the exact flow of colours from a standard normal distribution."""
    scheduler.set_timesteps(count)
    if cosine:
        space_by_cosine(scheduler)
    noisy = torch.randn(200, 1, 1, POSITIONS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for step, timestep in enumerate(scheduler.timesteps):
        noise = scheduler.sigmas[step].item()
        average = noisy.mean(dim=-1, keepdim=True)
        colour = (1 - noise) * average / ((1 - noise) ** 2 + noise**2 / POSITIONS)
        flow = (noisy - (1 - noise) * colour) / noise - colour
        noisy = scheduler.step(flow, timestep, noisy, return_dict=False)[0]
    return noisy.mean(dim=-1).squeeze().numpy()


@pytest.mark.parametrize("name", FLOW_SCHEDULERS)
def test_levels_lie_closer_at_both_ends(name: str) -> None:
    scheduler = FLOW_SCHEDULERS[name]()
    scheduler.set_timesteps(9)
    before = scheduler.sigmas.numpy().copy()
    space_by_cosine(scheduler)
    levels = scheduler.sigmas.numpy()
    np.testing.assert_allclose(levels, np.sin(np.pi / 2 * before) ** 2, atol=1e-3)
    np.testing.assert_allclose(scheduler.timesteps, 1000 * levels[:-1], atol=1)
    assert (np.diff(levels) < 0).all()
    assert levels[1] > before[1] + 0.05


@pytest.mark.parametrize("name", FLOW_SCHEDULERS)
@pytest.mark.parametrize("count", [1, 2, 60])
def test_any_number_of_steps_ends_at_a_clean_image(name: str, count: int) -> None:
    scheduler = FLOW_SCHEDULERS[name]()
    colours = sample_colours(scheduler, count, cosine=True)
    assert scheduler.step_index == count
    assert np.isfinite(colours).all()


def test_nine_steps_keep_more_of_the_variety_of_colours_than_uniform_ones() -> None:
    """Exact sampling has the standard deviation 1 of the colours."""
    scheduler = FLOW_SCHEDULERS["DPM-Solver++"]()
    uniform, cosine = (sample_colours(scheduler, 9, cosine).std() for cosine in (False, True))
    assert uniform < 0.4
    assert cosine > 0.6


def test_a_scheduler_without_levels_of_flows_is_refused() -> None:
    for scheduler in (DDIMScheduler(), DPMSolverMultistepScheduler()):
        scheduler.set_timesteps(4)
        with pytest.raises(ValueError, match=f"step_spacing is 'cosine', but .*{type(scheduler).__name__}"):
            space_by_cosine(scheduler)


def test_images_have_the_spacing_of_the_model_and_edits_that_of_the_scheduler(tiny_pipeline: SynFundusPipeline) -> None:
    parts = tiny_pipeline.components | {"scheduler": FLOW_SCHEDULERS["DPM-Solver++"]()}
    pipeline = SynFundusPipeline(**parts, step_spacing="cosine")
    pipeline.set_progress_bar_config(disable=True)
    seen: list[int] = []

    def record(pipe: Any, step: int, timestep: torch.Tensor, tensors: dict) -> dict:
        seen.append(int(timestep))
        return {}

    options: dict[str, Any] = {"num_inference_steps": 4, "generator": 0, "callback_on_step_end": record}
    pipeline({}, **options)
    assert seen == [999, 852, 499, 146]
    seen.clear()
    pipeline({}, image=Image.new("RGB", (16, 16), (90, 60, 30)), strength=0.75, **options)
    assert seen == [749, 499, 249]


def test_an_unknown_spacing_is_refused(tiny_pipeline: SynFundusPipeline) -> None:
    with pytest.raises(ValueError, match="step_spacing is 'dense', but must be one of scheduler, cosine"):
        SynFundusPipeline(**tiny_pipeline.components, step_spacing="dense")
