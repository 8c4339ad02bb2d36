"""The training loop of all stages, on `accelerate`.

Everything random in it is a function of (seed, images seen, process), and the order of the rows of (seed, images seen):
a run that was stopped or killed continues from its newest checkpoint and gives the weights of an unbroken run.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn
from tqdm.auto import tqdm

from training.configuration.config import OptimizerConfig
from training.data.order import EpochOrder
from training.loop.checkpoint import CheckpointError, load_newest_checkpoint, save_checkpoint
from training.loop.log import TrainingLog
from training.loop.processes import call_on_main_process, memory_layout
from training.loop.schedule import learning_rate_at, make_schedule
from training.loop.state import TrainingState
from training.loop.step import OptimizerStep, StepResult
from training.loop.stopping import StopSignals, TrainingStopped

LOG_STEPS = 50
# One photograph can give a loss that is not finite; this many consecutive steps mean that the weights are at fault.
LARGEST_SKIPPED = 10


class Trainer:
    """Trains a module whose forward maps (rows, generator) to a dict of losses with the key `loss`.

    Args:
        module: the module; parameters that need no gradient are neither trained nor saved.
        config: length and speed.
        order: the rows' order.
        folder: checkpoints, `log.jsonl` and sample grids are written here.
        accelerator: accelerate's view of devices, processes and precision.
        seed: seed of everything random.
        evaluate: called at every `sample_images` and at the end, by every process, with the averaged weights in place
            and the path of a PNG to draw samples to; the processes share its work, so that none waits long for
            another. What it measures is logged.
        fingerprint: the settings that shape the weights, by name; a checkpoint with others is refused.
        clipped_apart: names of submodules whose gradients are clipped by their own norm, such as a discriminator, so
            that they do not scale down those of the rest.
        source_rows: the row of the prepared photographs that each row of the order shows, shape (N,), for messages;
            None where they are the same.

    Raises:
        ConfigError: if the batch cannot be divided among processes and accumulation steps.
        CheckpointError: if there are checkpoints in the folder and the run can continue from none of them.
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
        fingerprint: dict[str, Any],
        clipped_apart: Sequence[str] = (),
        source_rows: np.ndarray | None = None,
    ) -> None:
        self.module, self.config, self.folder, self.accelerator = module, config, folder, accelerator
        self.evaluate, self.fingerprint, self.source_rows = evaluate, fingerprint, source_rows
        self.schedule = make_schedule(config)
        self.log, self.signals = TrainingLog(folder, accelerator), StopSignals()
        module.to(accelerator.device)
        module.to(memory_format=memory_layout(accelerator.device))  # type: ignore[call-overload]
        self.state = TrainingState(module, config)
        self._resume()
        self.step = OptimizerStep(module, self.state, config, order, accelerator, seed, clipped_apart)

    def _resume(self) -> None:
        folder = self.folder / "checkpoints"
        checkpoint = call_on_main_process(lambda: load_newest_checkpoint(folder, self.fingerprint, self.schedule))
        if checkpoint is not None:
            self.state.load(checkpoint)
            if self.accelerator.is_main_process:
                self.log.forget_after(checkpoint.images_seen)
            self.accelerator.print(f"{self.folder.name}: resuming from {checkpoint.images_seen} images seen")

    def run(self, finish: bool = False) -> None:
        """Trains to the end, from the newest checkpoint if there is one, and leaves the averaged weights in place.

        Args:
            finish: do not train further: the averaged weights of the newest checkpoint are the result.

        Raises:
            CheckpointError: if a checkpoint cannot be written, or `finish` finds none.
            TrainingStopped: after SIGTERM or SIGINT, and when step after step is not finite.
        """
        if finish and not self.state.images_seen:
            raise CheckpointError(f"there is no checkpoint in {self.folder / 'checkpoints'} to finish from")
        samples = self.folder / "samples.png"
        evaluated = self._done and call_on_main_process(samples.exists)
        with self.signals:
            if not finish:
                self._train()
            self.accelerator.wait_for_everyone()
            self.state.averages.copy_to_parameters()
            # safetensors takes no other layout
            self.module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
            if not evaluated:
                self._evaluate(samples)
        for tracker in self.accelerator.trackers:
            tracker.finish()

    @property
    def _done(self) -> bool:
        return self.state.images_seen >= self.config.images

    def _train(self) -> None:
        size, hidden = self.config.batch_size, not self.accelerator.is_main_process
        seen = self.state.images_seen
        bar = tqdm(total=self.config.images, initial=seen, unit="image", desc=self.folder.name, disable=hidden)
        window: list[StepResult] = []
        started, skipped = time.monotonic(), 0
        while not self._done:
            result = self.step(self.signals.requested)
            window.append(result)
            bar.update(size)
            skipped = skipped + 1 if result.skipped else 0
            if skipped:
                self._report_skipped(result, skipped)
            # Before a stop, too: the speed in the log is that of the images since the entry before.
            if self._passed(LOG_STEPS * size) or self._done or result.signal:
                self._log(window, time.monotonic() - started, bar)
                window, started = [], time.monotonic()
            self._save_and_sample(result.signal)
        bar.close()

    def _report_skipped(self, result: StepResult, in_a_row: int) -> None:
        """Names the rows of a step that was not finite, and ends the training after too many such steps in a row."""
        rows = result.rows if self.source_rows is None else np.unique(self.source_rows[result.rows])
        listed = ", ".join(str(row) for row in rows)
        seen, name = self.state.images_seen, self.folder.name
        if self.accelerator.is_main_process:
            tqdm.write(
                f"{name}: skipped the step to {seen} images, because its {result.skipped} is not finite; it saw the "
                f"rows {listed} of the prepared photographs",
                file=sys.stderr,
            )
        if in_a_row >= LARGEST_SKIPPED:
            raise TrainingStopped(
                f"{name}: stopped at {seen} images, because {in_a_row} steps in a row were not finite. The last saw "
                f"the rows {listed} of the prepared photographs. Checkpoints are finite. Check these rows, or start "
                "a new run in another output_dir with a lower optimizer.learning_rate or with mixed_precision: no"
            )

    def _save_and_sample(self, signal: int) -> None:
        """Saves and samples where it is time to; after a signal, saves and ends the training."""
        seen, size = self.state.images_seen, self.config.batch_size
        sample = self._passed(self.config.sample_images) and not self._done
        cools = seen <= self.schedule.cooldown_start < seen + size  # the run can be extended from here
        if signal or sample or cools or self._done or self._passed(self.config.checkpoint_images):
            self._save()
        if signal:
            self.accelerator.wait_for_everyone()  # a launcher ends the others when the first process has ended
            raise self.signals.stopped(signal)
        if sample:
            with self.state.averages.in_place():
                self._evaluate(self.folder / f"samples-{seen:09d}.png")

    def _save(self) -> None:
        if self.accelerator.is_main_process:
            checkpoint = self.state.to_checkpoint(self.fingerprint, self.schedule)
            save_checkpoint(self.folder / "checkpoints", checkpoint)

    def _passed(self, interval: int) -> bool:
        """Whether the last step reached a multiple of this number of images."""
        seen = self.state.images_seen
        return seen // interval > (seen - self.config.batch_size) // interval

    def _evaluate(self, path: Path) -> None:
        """Measures and draws samples; a checkpoint has been saved, so a signal may end this at once."""
        self.module.eval()
        with self.signals.immediately():
            measured = self.evaluate(path)
        self.module.train()
        if self.accelerator.is_main_process:
            if measured:
                self.log.write(self.state.images_seen, measured)
            self.log.show(path, self.state.images_seen)

    def _log(self, window: list[StepResult], seconds: float, bar: tqdm) -> None:
        """Logs the mean losses of these steps over all processes; skipped steps have none."""
        taken = [result.losses for result in window if not result.skipped]
        if not taken:
            return
        tensors = {key: torch.stack([losses[key] for losses in taken]).mean() for key in taken[0]}
        means = {key: float(self.accelerator.reduce(value, "mean")) for key, value in tensors.items()}
        if not self.accelerator.is_main_process:
            return
        bar.set_postfix(loss=f"{means['loss']:.4f}")
        speed = len(window) * self.config.batch_size / seconds
        rate = learning_rate_at(self.config, self.state.images_seen)
        self.log.write(self.state.images_seen, means | {"images_per_second": speed, "learning_rate": rate})
