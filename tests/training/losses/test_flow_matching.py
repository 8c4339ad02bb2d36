import pytest
import torch
from torch import nn

from training.configuration.config import GeneratorConfig, OptimizerConfig
from training.losses.flow_matching import FlowMatchingLoss


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
