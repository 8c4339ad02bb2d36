from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import UNet2DModel
from torch import nn

from tests.training.loop.tiny import Line, make_trainer
from training.configuration.config import ConfigError, OptimizerConfig
from training.loop.optimizers import ConvolutionMuon, _orthogonalize, make_optimizers

MUON = OptimizerConfig(images=1, batch_size=1, learning_rate=0.1, algorithm="muon")


class Blocks(Line):
    """A line after a hidden matrix, which Muon trains."""

    def __init__(self) -> None:
        super().__init__()
        self.down_blocks = nn.ModuleList([nn.Linear(1, 6), nn.Linear(6, 1)])

    def forward(self, rows: np.ndarray, generator: torch.Generator) -> dict[str, torch.Tensor]:
        x = torch.from_numpy(rows / 10).float()[:, None]
        hidden = self.down_blocks[1](torch.tanh(self.down_blocks[0](x)))
        noise = torch.randn(x.shape, generator=generator)
        return {"loss": (self.slope(hidden) - x - 0.01 * noise).square().mean() + 0 * self.judge(x).sum()}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_step_moves_a_convolution_along_the_orthogonal_factor_of_its_gradient(layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(8, 4, 3, 3).contiguous(memory_format=layout))
    before = weight.detach().clone()
    weight.grad = torch.randn(8, 4, 3, 3).contiguous(memory_format=layout)
    left, _, right = torch.linalg.svd(weight.grad.flatten(1), full_matrices=False)
    ConvolutionMuon([weight], lr=0.1, weight_decay=0.0).step()
    moved = (before - weight.detach()).flatten(1) / (0.1 * 0.2 * 36**0.5)
    singular_values = torch.linalg.svdvals(moved)
    assert 0.6 < singular_values.min() < singular_values.max() < 1.3  # the iterations end near 1, not at it
    cosine = nn.functional.cosine_similarity(moved.flatten(), (left @ right).flatten(), dim=0)
    assert cosine > 0.97
    assert weight.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("units", [True, False])
def test_the_iterations_compute_in_bfloat16_only_where_that_is_fast(
    units: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.loop.precision.computes_bfloat16", lambda: units)
    matrices = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(0))
    orthogonal = _orthogonalize(matrices)
    assert orthogonal.dtype == (torch.bfloat16 if units else torch.float32)
    singular_values = torch.linalg.svdvals(orthogonal.float())
    assert 0.5 < singular_values.min() < singular_values.max() < 1.5


def test_muon_trains_the_matrices_of_the_blocks_and_adamw_all_else() -> None:
    unet = UNet2DModel(
        sample_size=8,
        block_out_channels=(32, 32),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        class_embed_type="identity",
    )
    parameters = {f"unet.{name}": parameter for name, parameter in unet.named_parameters()}
    (adamw, others), (muon, matrices) = make_optimizers(parameters, MUON)
    assert isinstance(adamw, torch.optim.AdamW)
    assert isinstance(muon, ConvolutionMuon)
    assert sorted([*others, *matrices]) == sorted(parameters)
    assert all(name.endswith("weight") and ".norm" not in name for name in matrices)
    assert {"unet.conv_in.weight", "unet.conv_out.weight", "unet.time_embedding.linear_1.weight"} < set(others)
    assert {"unet.down_blocks.0.resnets.0.conv1.weight", "unet.mid_block.attentions.0.to_q.weight"} < set(matrices)


def test_muon_for_a_network_without_blocks_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"optimizer\.algorithm is 'muon', which trains UNets"):
        make_optimizers(dict(nn.Linear(2, 2).named_parameters()), MUON)


def test_steps_are_those_of_torchs_muon() -> None:
    torch.manual_seed(0)
    shapes = [(6, 4), (6, 4), (4, 6), (5, 5)]
    ours = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    theirs = [nn.Parameter(weight.detach().clone()) for weight in ours]
    settings = {"lr": 0.1, "weight_decay": 0.3}
    optimizers = ConvolutionMuon(ours, **settings), torch.optim.Muon(theirs, **settings, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        for weight, other in zip(ours, theirs, strict=True):
            weight.grad = torch.randn(weight.shape)
            other.grad = weight.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for weight, other in zip(ours, theirs, strict=True):
        assert torch.allclose(weight, other, atol=2e-3)  # bfloat16 inside; each step moves a value by 0.02 or so


def test_a_run_with_muon_that_is_resumed_equals_an_unbroken_one(tmp_path: Path) -> None:
    modules = [Blocks(), Blocks(), Blocks()]
    make_trainer(tmp_path / "unbroken", modules[0], algorithm="muon").run()
    make_trainer(tmp_path / "resumed", modules[1], algorithm="muon", images=200).run()
    make_trainer(tmp_path / "resumed", modules[2], algorithm="muon").run()
    unbroken, resumed = (module.state_dict() for module in (modules[0], modules[2]))
    assert all(torch.equal(resumed[name], tensor) for name, tensor in unbroken.items())
    assert not torch.equal(resumed["down_blocks.0.weight"], Blocks().down_blocks[0].weight)
