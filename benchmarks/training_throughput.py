"""Compares the training speed with two other programs: images per second of the same work, in one run.

    python -m benchmarks.training_throughput --out benchmarks/results/training-throughput.json

The peers are (a) a plain loop in the manner of diffusers' unconditional example (JPEG files decoded and resized in a
`DataLoader`, float32, an unfused AdamW, EMA) and (b) `denoising-diffusion-pytorch` from PyPI
(`pip install denoising-diffusion-pytorch`), its `Unet` and `GaussianDiffusion` at the width that gives as many
parameters. All train on pixels of the same resolution with the same batch size. The rounds alternate, so that other
load on the machine affects all. Each uses its own defaults, ours `mixed_precision: bf16` as in the presets. (a) is also
measured with bf16.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import statistics
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from diffusers import DDPMScheduler, UNet2DModel
from diffusers.training_utils import EMAModel
from PIL import Image
from torch import nn

from pipeline_synfundus import FundusConditionEncoder
from pipeline_synfundus.labels import CARDINALITIES, CONDITION_NAMES
from training.configuration.config import GeneratorConfig, OptimizerConfig
from training.data.examples import Examples
from training.data.order import EpochOrder
from training.loop.trainer import Trainer
from training.losses.flow_matching import FlowMatchingLoss

ORIGINAL_PIXELS = 512  # of the JPEG files that the peers decode
Step = Callable[[], object]


def find_device() -> torch.device:
    """Returns the GPU if there is one, otherwise the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def make_unet(resolution: int, width: int, conditional: bool) -> UNet2DModel:
    """Returns the network of ours and of (a); ours also takes the embedding of the labels."""
    return UNet2DModel(
        sample_size=resolution,
        block_out_channels=(width, 2 * width, 2 * width),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        attention_head_dim=32,
        class_embed_type="identity" if conditional else None,
    )


class TimedExamples(Examples):
    """Examples that measure how long the training loop waited for them."""

    waited = 0.0

    def take(self, rows: np.ndarray, flipped: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """As in `Examples`."""
        started = time.perf_counter()
        result = super().take(rows, flipped)
        TimedExamples.waited += time.perf_counter() - started
        return result


def our_step(images: np.ndarray, batch: int, width: int, folder: Path) -> Step:
    """One step of `training.loop.trainer.Trainer`."""
    resolution = images.shape[1]
    codes = np.zeros((len(images), len(CONDITION_NAMES)), dtype=np.int8)
    unet = make_unet(resolution, width, conditional=True)
    encoder = FundusConditionEncoder(list(CONDITION_NAMES), list(CARDINALITIES), 4 * width)
    optimizer = OptimizerConfig(images=10**9, batch_size=batch, learning_rate=1e-4)
    examples = TimedExamples(images, codes, np.full(len(codes), "noise"), np.arange(len(codes)))
    loss = FlowMatchingLoss(unet, encoder, examples, GeneratorConfig({}, optimizer), shift=1.0)
    trainer = Trainer(
        loss,
        optimizer,
        EpochOrder(np.arange(len(images))),
        folder,
        Accelerator(mixed_precision="bf16"),
        0,
        lambda _: {},
        {},
    )
    return lambda: trainer.step(0) and None


class Photographs(torch.utils.data.Dataset):
    """JPEG files, decoded, resized, mirrored and scaled as in diffusers' example."""

    def __init__(self, files: list[bytes], resolution: int) -> None:
        self.files, self.resolution = files, resolution

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> torch.Tensor:
        """One image, (3, resolution, resolution) in [-1, 1]."""
        image = Image.open(io.BytesIO(self.files[number])).convert("RGB")
        image = image.resize((self.resolution, self.resolution), Image.Resampling.BILINEAR)
        values = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float() / 127.5 - 1
        return values.flip(-1) if torch.rand(()) < 0.5 else values


def endless(files: list[bytes], resolution: int, batch: int) -> Iterator[torch.Tensor]:
    """Yields batches without end."""
    loader = torch.utils.data.DataLoader(Photographs(files, resolution), batch, shuffle=True, drop_last=True)
    while True:
        yield from loader


def plain_step(files: list[bytes], resolution: int, batch: int, width: int, bf16: bool) -> Step:
    """One step of (a): diffusers' examples/unconditional_image_generation with its defaults, and --use_ema.

    Without its `Accelerator`, which changes nothing on one device, but shares its precision with ours.
    """
    device = find_device()
    unet = make_unet(resolution, width, conditional=False).to(device)
    ema = EMAModel(unet.parameters(), use_ema_warmup=True)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=1e-4)
    scheduler, batches = DDPMScheduler(), endless(files, resolution, batch)

    def step() -> None:
        images = next(batches).to(device)
        noise = torch.randn_like(images)
        times = torch.randint(0, 1000, (batch,), device=device)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            predicted = unet(scheduler.add_noise(images, noise, times), times).sample
        nn.functional.mse_loss(predicted.float(), noise).backward()
        nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        ema.step(unet.parameters())

    return step


def stand_in_for_torchvision() -> None:
    """Makes (b) importable without torchvision, which only its own data loading and FID use."""
    if importlib.util.find_spec("torchvision") is not None:
        return
    for name in ("torchvision", "pytorch_fid", "pytorch_fid.fid_score", "pytorch_fid.inception"):
        module = types.ModuleType(name)
        module.__getattr__ = lambda attribute: object  # type: ignore[method-assign]
        sys.modules[name] = module


def ddp_step(files: list[bytes], resolution: int, batch: int, parameters: int) -> tuple[Step, int]:
    """Returns one step of (b) at the width whose number of parameters is nearest to `parameters`, and that number."""
    stand_in_for_torchvision()
    from denoising_diffusion_pytorch import GaussianDiffusion, Unet
    from ema_pytorch import EMA

    def build(width: int) -> nn.Module:
        return Unet(dim=width, dim_mults=(1, 2, 2), flash_attn=False)

    def count(module: nn.Module) -> int:
        return sum(parameter.numel() for parameter in module.parameters())

    width = min(range(16, 160, 8), key=lambda width: abs(count(build(width)) - parameters))
    device = find_device()
    diffusion = GaussianDiffusion(build(width), image_size=resolution).to(device)
    ema = EMA(diffusion, update_every=10)
    optimizer = torch.optim.Adam(diffusion.parameters(), lr=1e-4)
    batches = endless(files, resolution, batch)

    def step() -> None:
        images = (next(batches).to(device) + 1) / 2
        diffusion(images).backward()
        nn.utils.clip_grad_norm_(diffusion.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        ema.update()

    return step, count(diffusion.model)


def measure(steps: dict[str, Step], batch: int, rounds: int, steps_a_round: int) -> dict[str, float]:
    """Returns the median over the rounds of the images per second of each."""
    speeds: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():  # warm-up
        step()
    for _ in range(rounds):
        for name, step in steps.items():
            started = time.perf_counter()
            for _ in range(steps_a_round):
                step()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            speeds[name].append(batch * steps_a_round / (time.perf_counter() - started))
    return {name: statistics.median(values) for name, values in speeds.items()}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--width", type=int, default=64, help="channels of the network's first level")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="steps per round")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (64, options.resolution, options.resolution, 3), dtype=np.uint8)
    files = []
    for image in small:
        buffer = io.BytesIO()
        size = (ORIGINAL_PIXELS, ORIGINAL_PIXELS)
        Image.fromarray(image).resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        files.append(buffer.getvalue())
    unet = make_unet(options.resolution, options.width, conditional=False)
    parameters = sum(parameter.numel() for parameter in unet.parameters())
    with tempfile.TemporaryDirectory() as folder:
        steps = {
            "ours": our_step(small, options.batch, options.width, Path(folder)),
            "diffusers_example": plain_step(files, options.resolution, options.batch, options.width, bf16=False),
            "diffusers_example_bf16": plain_step(files, options.resolution, options.batch, options.width, bf16=True),
        }
        counts = dict.fromkeys(steps, parameters)
        steps["denoising_diffusion_pytorch"], counts["denoising_diffusion_pytorch"] = ddp_step(
            files, options.resolution, options.batch, parameters
        )
        speeds = measure(steps, options.batch, options.rounds, options.steps)
    seen = options.batch * (options.rounds * options.steps + 1)
    machine = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU cores"
    result = {
        "command": "python -m benchmarks.training_throughput",
        "machine": machine,
        "options": {name: value for name, value in vars(options).items() if name != "out"},
        "parameters": counts,
        "images_per_second": {name: round(value, 2) for name, value in speeds.items()},
        "ratio_to": {name: round(speeds["ours"] / value, 2) for name, value in speeds.items() if name != "ours"},
        "share_waiting_for_data": round(TimedExamples.waited / (seen / speeds["ours"]), 4),
    }
    print(json.dumps(result, indent=1))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
