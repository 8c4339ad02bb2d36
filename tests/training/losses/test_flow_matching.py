import numpy as np
import pytest
import torch
from diffusers.models.unets.unet_2d import UNet2DOutput
from torch import nn

from training.configuration.config import GeneratorConfig, OptimizerConfig
from training.data.examples import Examples
from training.losses.flow_matching import TIME_SCALE, FlowMatchingLoss


@pytest.mark.parametrize(("sampling", "share"), [("uniform", 0.1), ("logit-normal", 0.014)])
def test_uniform_times_are_nearly_pure_noise_more_often(sampling: str, share: float) -> None:
    config = GeneratorConfig({}, OptimizerConfig(1, 1, 0.1), timestep_sampling=sampling)
    loss = FlowMatchingLoss(nn.Identity(), nn.Identity(), None, config, shift=1.0)  # type: ignore[arg-type]
    times = loss.draw_times(20_000, torch.Generator().manual_seed(0))
    assert ((times > 0) & (times < 1)).all()
    assert (times > 0.9).float().mean() == pytest.approx(share, abs=0.01)


def test_sampling_has_the_shift_of_the_training_unless_it_has_its_own() -> None:
    optimizer = OptimizerConfig(1, 1, 0.1)
    assert GeneratorConfig({}, optimizer, timestep_shift=6.0).scheduler_shift == 6.0
    assert GeneratorConfig({}, optimizer, timestep_shift=6.0, sampling_shift=3.0).scheduler_shift == 3.0


class RecordingUNet(nn.Module):
    """Predicts zeros and keeps the times it was given."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        super().__init__()
        self.times = torch.empty(0)

    def forward(self, noisy: torch.Tensor, times: torch.Tensor, class_labels: torch.Tensor) -> UNet2DOutput:
        self.times = times / TIME_SCALE
        return UNet2DOutput(sample=torch.zeros_like(noisy))


@pytest.mark.parametrize("shift", [1.0, 6.0])
def test_enlarged_photographs_are_shown_at_high_noise_levels_only(shift: float) -> None:
    config = GeneratorConfig({}, OptimizerConfig(1, 1, 0.1), timestep_sampling="uniform", enlarged_smallest_time=0.7)
    enlarged = np.arange(2000) % 2 == 0
    latents, codes = np.zeros((2000, 2, 1, 1, 1), dtype=np.float16), np.zeros((2000, 16), dtype=np.int8)
    rows = np.arange(2000)
    examples = Examples(latents, codes, np.full(2000, "set"), rows, enlarged=enlarged)
    unet = RecordingUNet()
    loss = FlowMatchingLoss(unet, nn.Identity(), examples, config, shift)  # type: ignore[arg-type]
    loss(rows, torch.Generator().manual_seed(0))
    assert unet.times[enlarged].min() >= 0.7
    assert unet.times[enlarged].min() < 0.71
    assert unet.times[~enlarged].min() < 0.1
