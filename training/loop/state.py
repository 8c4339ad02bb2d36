"""What a checkpoint holds of a training run while it trains: weights, averaged weights, optimizer, images seen."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from training.configuration.config import OptimizerConfig
from training.loop.averaging import AveragedWeights
from training.loop.checkpoint import Checkpoint, Schedule
from training.loop.optimizers import make_optimizers


class TrainingState:
    """The state of one stage.

    Args:
        module: a module on its device; parameters that need no gradient are neither trained nor saved.
        config: algorithm, learning rate and weight decay.

    Attributes:
        images_seen: images seen so far.
        parameters: the trained parameters, by name.
        optimizers: each trains a part of them.
        averages: their moving averages.

    Raises:
        ConfigError: if the algorithm does not fit the module.
    """

    def __init__(self, module: nn.Module, config: OptimizerConfig) -> None:
        self.images_seen = 0
        self.parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self._named_optimizers = make_optimizers(self.parameters, config)
        self.optimizers = [optimizer for optimizer, _ in self._named_optimizers]
        self.averages = AveragedWeights(self.parameters.values())

    def to_checkpoint(self, fingerprint: dict[str, Any], schedule: Schedule) -> Checkpoint:
        """Copies the state to the CPU."""
        state = {
            name: optimizer.state.get(p, {})
            for optimizer, names in self._named_optimizers
            for name, p in zip(names, optimizer.param_groups[0]["params"], strict=True)
        }
        averages = zip(self.parameters, self.averages.tensors, strict=True)
        return Checkpoint(
            images_seen=self.images_seen,
            weights={name: p.detach().cpu() for name, p in self.parameters.items()},
            ema={name: average.cpu() for name, average in averages},
            optimizer={f"{name}/{kind}": t.cpu() for name, kinds in state.items() for kind, t in kinds.items()},
            fingerprint=fingerprint,
            schedule=schedule,
        )

    @torch.no_grad()
    def load(self, checkpoint: Checkpoint) -> None:
        """Takes over a checkpoint, whatever device it was written on; optimizer settings stay the configuration's."""
        for average, (name, parameter) in zip(self.averages.tensors, self.parameters.items(), strict=True):
            parameter.copy_(checkpoint.weights[name])
            average.copy_(checkpoint.ema[name])
        state: dict[str, dict[str, torch.Tensor]] = {}
        for key, tensor in checkpoint.optimizer.items():
            name, kind = key.rsplit("/", 1)
            state.setdefault(name, {})[kind] = _in_layout_of(self.parameters[name], tensor)
        for optimizer, names in self._named_optimizers:
            own = {number: state[name] for number, name in enumerate(names) if name in state}
            optimizer.load_state_dict(optimizer.state_dict() | {"state": own})
        self.images_seen = checkpoint.images_seen


def _in_layout_of(parameter: nn.Parameter, tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in the parameter's memory layout (a checkpoint is contiguous): fused optimizers take no other."""
    if tensor.shape != parameter.shape:
        return tensor
    return torch.empty_like(parameter, device=tensor.device, dtype=tensor.dtype).copy_(tensor)
