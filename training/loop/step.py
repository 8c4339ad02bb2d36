"""One optimizer step over all processes: accumulate gradients, clip them, and skip what is not finite."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn

from training.configuration.config import ConfigError, OptimizerConfig
from training.data.order import EpochOrder
from training.loop.schedule import ema_decay_at, learning_rate_at
from training.loop.state import TrainingState


def seeded_generator(*numbers: int) -> torch.Generator:
    """A CPU generator whose stream is a function of these numbers alone."""
    state = np.random.SeedSequence(numbers).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(state[0]) << 32 | int(state[1]))


def draw_noise(shape: Sequence[int], generator: torch.Generator, device: torch.device) -> torch.Tensor:
    """Standard normal numbers on the device, a function of the generator's state there.

    A GPU draws its own, other numbers: those of a CPU would take it as long as a small network's forward pass.

    Args:
        shape: shape of the result.
        generator: a CPU generator.
        device: where the numbers are drawn.
    """
    if device.type == "cpu":
        return torch.randn(tuple(shape), generator=generator)
    seed = int(torch.randint(2**62, (), generator=generator))
    return torch.randn(tuple(shape), generator=torch.Generator(device).manual_seed(seed), device=device)


@dataclass(frozen=True)
class StepResult:
    """What one step gave; the same in every process but for the losses.

    Attributes:
        losses: the mean losses of this process, and the norms of the gradients; empty if the step was skipped.
        skipped: "loss" or "gradient" if that was not finite and the step was skipped, else "".
        rows: row numbers that the skipped step saw; those whose loss was not finite, where it was the loss.
        signal: the signal that a process has received, or 0.
    """

    losses: dict[str, torch.Tensor]
    skipped: str
    rows: np.ndarray
    signal: int


class OptimizerStep:
    """Takes optimizer steps over `batch_size` images, shared out among processes and accumulation steps.

    Args:
        module: maps (rows, generator) to a dict of losses with the key `loss`.
        state: its parameters and optimizers.
        config: batch size, rate and clipping.
        order: the rows' order.
        accelerator: accelerate's view of devices, processes and precision.
        seed: seed of everything random.
        clipped_apart: names of submodules whose gradients are clipped by their own norm.

    Raises:
        ConfigError: if the batch cannot be divided among processes and accumulation steps.
    """

    def __init__(
        self,
        module: nn.Module,
        state: TrainingState,
        config: OptimizerConfig,
        order: EpochOrder,
        accelerator: Accelerator,
        seed: int,
        clipped_apart: Sequence[str],
    ) -> None:
        self._micro_batch, rest = divmod(config.batch_size, accelerator.num_processes * config.accumulation_steps)
        if rest or self._micro_batch == 0:
            raise ConfigError(
                f"optimizer.batch_size is {config.batch_size}, but must be a multiple of "
                f"processes x accumulation_steps = {accelerator.num_processes} x {config.accumulation_steps}"
            )
        self._state, self._config, self._order, self._seed = state, config, order, seed
        self._accelerator = accelerator
        self._clip_groups = _group_parameters(state.parameters, clipped_apart)
        self._module, *self._optimizers = accelerator.prepare(module, *state.optimizers)

    def __call__(self, signal: int) -> StepResult:
        """Takes one step; one that is not finite changes no weight, but its images count as seen.

        Args:
            signal: the signal that this process has received, or 0.
        """
        start = self._state.images_seen
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate_at(self._config, start)
        losses, parts = self._accumulate()
        for name, parameters in self._clip_groups.items():
            losses[name] = self._accelerator.clip_grad_norm_(parameters, self._config.gradient_clip)
        bad, signal = self._agree(losses, signal)
        if not bad:
            for optimizer in self._optimizers:
                optimizer.step()
            self._state.averages.update(ema_decay_at(self._config, start))
        for optimizer in self._optimizers:
            optimizer.zero_grad(set_to_none=True)
        self._state.images_seen += self._config.batch_size
        if not bad:
            return StepResult(losses, "", np.empty(0, dtype=int), signal)
        return StepResult({}, *self._blame(parts, start), signal)

    def _agree(self, losses: dict[str, torch.Tensor], signal: int) -> tuple[bool, int]:
        """Whether any process has a value that is not finite, and the signal that any has received.

        It costs one small reduction and one transfer from the device per step.
        """
        finite = torch.stack([torch.isfinite(value).all() for value in losses.values()]).all()
        ours = torch.stack([(~finite).float(), torch.tensor(float(signal), device=finite.device)])
        bad, signals = self._accelerator.gather(ours[None]).amax(dim=0).tolist()
        return bool(bad), int(signals)

    def _accumulate(self) -> tuple[dict[str, torch.Tensor], list[tuple[np.ndarray, torch.Tensor]]]:
        """Adds up the gradients of this process's share of the batch.

        Returns:
            The mean losses, and the rows and the loss of every forward pass.
        """
        accelerator, steps = self._accelerator, self._config.accumulation_steps
        sums: dict[str, torch.Tensor] = {}
        parts = []
        for part in range(steps):
            offset = (part * accelerator.num_processes + accelerator.process_index) * self._micro_batch
            rows = self._order.take(self._state.images_seen + offset, self._micro_batch)
            generator = seeded_generator(self._seed, 3, self._state.images_seen + offset)
            # Gradients are summed over the processes only with the last part of the batch.
            last = part == steps - 1
            with contextlib.nullcontext() if last else accelerator.no_sync(self._module):
                losses = self._module(rows, generator)
                accelerator.backward(losses["loss"] / steps)
            for key, value in losses.items():
                sums[key] = sums.get(key, 0) + value.detach() / steps
            parts.append((rows, losses["loss"].detach()))
        return sums, parts

    def _blame(self, parts: list[tuple[np.ndarray, torch.Tensor]], start: int) -> tuple[str, np.ndarray]:
        """What was not finite, and the rows whose loss was not, over all processes; else all rows of the batch."""
        ours = [int(row) for rows, loss in parts if not torch.isfinite(loss) for row in rows]
        blamed = np.unique(np.array(gather_object(ours), dtype=int))
        if len(blamed):
            return "loss", blamed
        return "gradient", np.unique(self._order.take(start, self._config.batch_size))


def _group_parameters(
    parameters: dict[str, nn.Parameter], clipped_apart: Sequence[str]
) -> dict[str, list[nn.Parameter]]:
    """The parameters that are clipped by one norm, by the name under which the norm is logged."""
    groups: dict[str, list[nn.Parameter]] = {}
    for name, parameter in parameters.items():
        module = next((module for module in clipped_apart if name.startswith(f"{module}.")), None)
        groups.setdefault(f"gradient_norm_{module}" if module else "gradient_norm", []).append(parameter)
    return groups
