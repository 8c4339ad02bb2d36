import numpy as np
import pytest
import torch
from diffusers.models.unets.unet_2d import UNet2DOutput
from torch import nn

from pipeline_synfundus.labels import UNKNOWN_CONDITION, from_codes, implied_values, to_codes
from training.configuration.config import GeneratorConfig, OptimizerConfig
from training.data.examples import Examples
from training.losses.flow_matching import TIME_SCALE, FlowMatchingLoss, assume_absent


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


def test_unknown_diseases_of_some_images_are_shown_as_absent() -> None:
    given = UNKNOWN_CONDITION | {"is_pm": 1, "is_amd": 0}
    codes = torch.tensor([to_codes(given)]).repeat(1000, 1)
    rows = assume_absent(codes, 0.4, torch.Generator().manual_seed(0)).tolist()
    shown = [from_codes(row) for row in rows if row != to_codes(given)]
    assert len(shown) / 1000 == pytest.approx(0.4, abs=0.05)
    assert all(condition == shown[0] for condition in shown)
    assert [name for name, value in shown[0].items() if value == 1] == ["is_pm"]
    assert [name for name, value in shown[0].items() if value == -1] == [
        *("is_fundus", "is_macular_readable", "is_optic_disc_readable", "is_retinal_region_readable", "eye_side")
    ]


def test_what_is_assumed_does_not_contradict_what_is_known() -> None:
    codes = torch.tensor([to_codes(UNKNOWN_CONDITION | {"is_dme": 1}), to_codes(UNKNOWN_CONDITION | {"dr_grade": 3})])
    edema, severe = (from_codes(row) for row in assume_absent(codes, 0.999, torch.Generator().manual_seed(0)).tolist())
    assert (edema["dr_grade"], edema["is_dme"], edema["is_gc"]) == (-1, 1, 0)
    assert (severe["dr_grade"], severe["is_dme"]) == (3, 0)
    assert implied_values(severe) == {}
