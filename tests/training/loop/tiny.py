"""A run that takes a second: one weight is fitted to the rows' numbers, with every part of the real training loop."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from training.configuration.config import OptimizerConfig
from training.data.order import EpochOrder
from training.loop.processes import PROCESS_GROUP_TIMEOUT, InitProcessGroupKwargs
from training.loop.stopping import TrainingStopped
from training.loop.trainer import Trainer


class Line(nn.Module):
    """Predicts a row's number, and has a second part with a loss of its own, 1000 times as large.

    Args:
        bad: rows whose loss is not a number.
        seconds: how long a step takes.
    """

    def __init__(self, bad: tuple[int, ...] = (), seconds: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.slope, self.judge = nn.Linear(1, 1), nn.Linear(1, 1)
        self.bad, self.seconds, self.seen = bad, seconds, list[int]()

    def forward(self, rows: np.ndarray, generator: torch.Generator) -> dict[str, torch.Tensor]:
        time.sleep(self.seconds)
        self.seen += rows.tolist()
        x = torch.from_numpy(rows / 10).float()[:, None].to(self.slope.weight.device)
        noise = torch.randn(x.shape, generator=generator).to(x)
        loss = (self.slope(x) - x - 0.01 * noise).square().mean() + 1000 * (self.judge(x) - 5).square().mean()
        return {"loss": loss * float("nan") if set(self.bad) & set(rows.tolist()) else loss}


def make_trainer(folder: Path, module: nn.Module, clipped_apart: tuple[str, ...] = (), **config: Any) -> Trainer:
    settings = {"images": 400, "batch_size": 4, "learning_rate": 0.01, "checkpoint_images": 100} | config
    optimizer = OptimizerConfig(**{"sample_images": 10**6} | settings)
    folder.mkdir(parents=True, exist_ok=True)

    def evaluate(path: Path) -> dict[str, float]:
        path.write_bytes(b"samples")
        return {"validation_loss": float(module.slope.weight.detach())}

    accelerator = Accelerator(kwargs_handlers=[InitProcessGroupKwargs(timeout=PROCESS_GROUP_TIMEOUT)])
    order = EpochOrder(np.arange(20), seed=1)
    return Trainer(module, optimizer, order, folder, accelerator, 1, evaluate, {"objective": "line"}, clipped_apart)


if __name__ == "__main__":
    # `NODE_DISKS` gives every process a folder of its own, as on nodes without a common disk.
    disk = os.environ.get("RANK", "") if "NODE_DISKS" in os.environ else ""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    module = Line(bad=tuple(int(row) for row in sys.argv[3:]), seconds=float(sys.argv[2]))
    try:
        make_trainer(Path(sys.argv[1]) / disk, module, images=100_000, checkpoint_images=100_000).run()
    except TrainingStopped as stopped:
        print(stopped, file=sys.stderr)
        raise SystemExit(stopped.status) from None
