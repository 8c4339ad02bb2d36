import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import UNet2DModel
from torch import nn

from tests.phantom import write_phantom_dataset
from training.command_line.dry_run import measure_step

CONFIG = """
preset: small-256
output_dir: {folder}/run
data: {{source: {folder}/data, group_column: patient, validation_share: 0.1}}
"""


class Pointwise(nn.Module):
    """One matrix product and one activation, whose costs are known."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(32, 64, bias=False)

    def forward(self, values: torch.Tensor) -> object:
        return type("Output", (), {"sample": torch.relu(self.linear(values))})


def test_flops_and_memory_are_those_of_the_network() -> None:
    flops, kept = measure_step(Pointwise(), torch.zeros(10, 32, requires_grad=True))
    assert flops == 3 * (2 * 10 * 32 * 64)  # forward, and the gradients of weights and inputs
    assert kept == 4 * (10 * 32 + 10 * 64)  # the input and the activation


def test_cost_grows_with_the_image() -> None:
    blocks = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    unet = UNet2DModel(block_out_channels=(32, 32), **blocks)
    small, large = (measure_step(unet, torch.zeros(1, 3, size, size), torch.zeros(1)) for size in (16, 32))
    assert large[0] == pytest.approx(4 * small[0], rel=0.05)
    assert large[1] == pytest.approx(4 * small[1], rel=0.1)


def test_a_dry_run_reports_and_writes_nothing(tmp_path: Path, warm_python: Path) -> None:
    write_phantom_dataset(tmp_path / "data", 40, 32, np.random.default_rng(0), label_columns=["is_amd"])
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG.format(folder=tmp_path))
    command = [warm_python, "-m", "training.train_generator", "--config", str(config), "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for line in ("autoencoder:", "decoder:", "generator:", "photographs            40, about 36 of them to train on"):
        assert line in done.stdout
    assert not (tmp_path / "run").exists()
