"""The training loop of both stages, on `accelerate`.

Everything random in it is a function of (seed, images seen, process), and the order of the rows of (seed, images seen):
a run that was killed goes on from its newest checkpoint as if nothing had happened.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from PIL import Image
from torch import nn
from tqdm.auto import tqdm

from training.configuration.config import ConfigError, OptimizerConfig, TrainingConfig
from training.data.order import EpochOrder
from training.loop.checkpoint import Checkpoint, load_newest_checkpoint, save_checkpoint

LOG_STEPS = 50


def learning_rate_at(config: OptimizerConfig, images_seen: int) -> float:
    """Linear warm-up, then a cosine to 0 at the end."""
    if images_seen < config.warmup_images:
        return config.learning_rate * (images_seen + config.batch_size) / (config.warmup_images + config.batch_size)
    progress = (images_seen - config.warmup_images) / (config.images - config.warmup_images)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def seeded_generator(*numbers: int) -> torch.Generator:
    """A CPU generator whose stream is a function of these numbers alone."""
    state = np.random.SeedSequence(numbers).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(state[0]) << 32 | int(state[1]))


def make_accelerator(config: TrainingConfig, folder: Path) -> Accelerator:
    """The accelerator of one stage, with its loggers open.

    Raises:
        ConfigError: if a logger that the configuration names is not installed.
    """
    missing = [name for name in config.log_with if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"log_with names {missing[0]}, which is not installed; pip install {missing[0]}")
    folder.mkdir(parents=True, exist_ok=True)
    loggers = config.log_with or None
    accelerator = Accelerator(mixed_precision=config.mixed_precision, log_with=loggers, project_dir=folder)
    if config.log_with:
        accelerator.init_trackers(f"{Path(config.output_dir).name}-{folder.name}")
    return accelerator


def memory_layout(device: torch.device) -> torch.memory_format:
    """The layout of convolutions' weights: what tensor cores read; a CPU's bfloat16 is slower with it."""
    return torch.channels_last if device.type == "cuda" else torch.contiguous_format


class Trainer:
    """Trains a module whose forward maps (rows, generator) to a dict of losses with the key `loss`.

    Args:
        module: the module; parameters that need no gradient are neither trained nor saved.
        config: length and speed.
        order: the rows' order.
        folder: checkpoints, `log.jsonl` and sample grids go here.
        accelerator: accelerate's view of devices, processes and precision.
        seed: seed of everything random.
        evaluate: called now and then, and at the end, by every process, with the averaged weights in place and the
            path of a PNG to draw samples to; the processes share its work, so that none waits long for another. What
            it measures is logged.
    """

    def __init__(
        self,
        module: nn.Module,
        config: OptimizerConfig,
        order: EpochOrder,
        folder: Path,
        accelerator: Accelerator,
        seed: int,
        evaluate: Callable[[Path], dict[str, float]],
    ) -> None:
        share, rest = divmod(config.batch_size, accelerator.num_processes * config.accumulation_steps)
        if rest or share == 0:
            raise ConfigError(
                f"optimizer.batch_size is {config.batch_size}, but must be a multiple of "
                f"processes x accumulation_steps = {accelerator.num_processes} x {config.accumulation_steps}"
            )
        self.micro_batch = share
        self.module, self.config, self.order, self.folder = module, config, order, folder
        self.accelerator, self.seed, self.evaluate = accelerator, seed, evaluate
        self.images_seen = 0
        module.to(accelerator.device)
        module.to(memory_format=memory_layout(accelerator.device))  # type: ignore[call-overload]
        self.parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
        fused = accelerator.device.type in ("cpu", "cuda")
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=fused
        )
        self.ema = EMAModel(self.parameters.values(), decay=config.ema_decay, use_ema_warmup=True, power=0.75)
        self._resume()
        self.wrapped, self.prepared_optimizer = accelerator.prepare(module, self.optimizer)

    @property
    def _fingerprint(self) -> dict:
        fields = asdict(self.config)
        kept = ("images", "batch_size", "learning_rate", "warmup_images", "weight_decay", "gradient_clip", "ema_decay")
        return {key: fields[key] for key in kept} | {"seed": self.seed}

    def _resume(self) -> None:
        checkpoint = load_newest_checkpoint(self.folder / "checkpoints", self._fingerprint)
        if checkpoint is None:
            return
        with torch.no_grad():
            for shadow, (name, parameter) in zip(self.ema.shadow_params, self.parameters.items(), strict=True):
                parameter.copy_(checkpoint.weights[name])
                shadow.copy_(checkpoint.ema[name])
        self.ema.optimization_step = checkpoint.ema_step
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.images_seen = checkpoint.images_seen
        if self.accelerator.is_main_process:
            self._forget_later_log_entries()
        self.accelerator.print(f"going on from {self.images_seen} images seen")

    def _forget_later_log_entries(self) -> None:
        """What a killed run logged after its last checkpoint is about to be logged again."""
        path = self.folder / "log.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        path.write_text("".join(line for line in lines if json.loads(line)["images_seen"] <= self.images_seen))

    def _save(self) -> None:
        if not self.accelerator.is_main_process:
            return
        names = list(self.parameters)
        checkpoint = Checkpoint(
            images_seen=self.images_seen,
            weights={name: p.detach().cpu().contiguous() for name, p in self.parameters.items()},
            ema={name: p.cpu().contiguous() for name, p in zip(names, self.ema.shadow_params, strict=True)},
            ema_step=self.ema.optimization_step,
            optimizer=self.optimizer.state_dict(),
            fingerprint=self._fingerprint,
        )
        save_checkpoint(self.folder / "checkpoints", checkpoint)

    def _step(self) -> dict[str, torch.Tensor]:
        """One optimizer step over `batch_size` images; returns the mean losses of this process."""
        config, accelerator = self.config, self.accelerator
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate_at(config, self.images_seen)
        sums: dict[str, torch.Tensor] = {}
        for part in range(config.accumulation_steps):
            offset = (part * accelerator.num_processes + accelerator.process_index) * self.micro_batch
            rows = self.order.take(self.images_seen + offset, self.micro_batch)
            generator = seeded_generator(self.seed, 3, self.images_seen + offset)
            last = part == config.accumulation_steps - 1
            with _synchronised(accelerator, self.wrapped, last):
                losses = self.wrapped(rows, generator)
                accelerator.backward(losses["loss"] / config.accumulation_steps)
            for key, value in losses.items():
                sums[key] = sums.get(key, 0) + value.detach() / config.accumulation_steps
        sums["gradient_norm"] = accelerator.clip_grad_norm_(self.parameters.values(), config.gradient_clip)
        self.prepared_optimizer.step()
        self.prepared_optimizer.zero_grad(set_to_none=True)
        self.ema.step(self.parameters.values())
        self.images_seen += config.batch_size
        return sums

    def run(self) -> None:
        """Trains to the end, from the newest checkpoint if there is one, and leaves the averaged weights in place."""
        main = self.accelerator.is_main_process
        bar = tqdm(
            total=self.config.images, initial=self.images_seen, unit="image", desc=self.folder.name, disable=not main
        )
        window: list[dict[str, torch.Tensor]] = []
        started = time.monotonic()
        try:
            while self.images_seen < self.config.images:
                window.append(self._step())
                bar.update(self.config.batch_size)
                if self._passed(LOG_STEPS * self.config.batch_size) or self.images_seen >= self.config.images:
                    self._log(window, time.monotonic() - started, bar)
                    window, started = [], time.monotonic()
                self._now_and_then()
        except KeyboardInterrupt:  # perhaps in the middle of a step: only the newest checkpoint is sound
            raise SystemExit("interrupted; the same command goes on from the newest checkpoint") from None
        bar.close()
        self.accelerator.wait_for_everyone()
        self.ema.copy_to(self.parameters.values())
        # safetensors takes no other layout
        self.module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self._evaluate(self.folder / "samples.png")
        for tracker in self.accelerator.trackers:
            tracker.finish()

    def _now_and_then(self) -> None:
        config, done = self.config, self.images_seen >= self.config.images
        if done or self._passed(config.checkpoint_images):
            self._save()
        if not done and self._passed(config.sample_images):
            self.ema.store(self.parameters.values())
            self.ema.copy_to(self.parameters.values())
            self._evaluate(self.folder / f"samples-{self.images_seen:09d}.png")
            self.ema.restore(self.parameters.values())

    def _evaluate(self, path: Path) -> None:
        self.module.eval()
        measured = self.evaluate(path)
        self.module.train()
        if not self.accelerator.is_main_process:
            return
        if measured:
            self._write({"images_seen": self.images_seen, **measured})
        for tracker in self.accelerator.trackers:
            if tracker.name == "tensorboard":  # trackio's tracker takes no images
                images = {"samples": np.asarray(Image.open(path))[None]}
                tracker.log_images(images, step=self.images_seen, dataformats="NHWC")

    def _passed(self, interval: int) -> bool:
        return self.images_seen // interval > (self.images_seen - self.config.batch_size) // interval

    def _log(self, window: list[dict[str, torch.Tensor]], seconds: float, bar: tqdm) -> None:
        tensors = {key: torch.stack([entry[key] for entry in window]).mean() for key in window[0]}
        means = {key: float(self.accelerator.reduce(value, "mean")) for key, value in tensors.items()}
        if not math.isfinite(means["loss"]):
            raise FloatingPointError(
                f"the loss is {means['loss']} at {self.images_seen} images; lower optimizer.learning_rate or use "
                "mixed_precision: no, and start again: the newest checkpoint is sound"
            )
        if not self.accelerator.is_main_process:
            return
        bar.set_postfix(loss=f"{means['loss']:.4f}")
        speed = len(window) * self.config.batch_size / seconds
        rate = learning_rate_at(self.config, self.images_seen)
        self._write({"images_seen": self.images_seen, **means, "images_per_second": speed, "learning_rate": rate})

    def _write(self, entry: dict[str, float]) -> None:
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps({key: float(f"{value:.6g}") for key, value in entry.items()}) + "\n")
        self.accelerator.log(entry, step=self.images_seen)


def _synchronised(accelerator: Accelerator, module: nn.Module, last: bool) -> contextlib.AbstractContextManager:
    """Gradients are summed over the processes only with the last part of an accumulated batch."""
    return contextlib.nullcontext() if last else accelerator.no_sync(module)
