"""The optimizers of a stage: AdamW for all weights, or Muon for the matrices of the blocks of a UNet beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from training.configuration.config import ConfigError, OptimizerConfig

# The blocks of a diffusers UNet. Its first and last layers and the embeddings stay with AdamW, as the authors advise.
_BLOCKS = ("down_blocks.", "mid_block.", "up_blocks.")


class ConvolutionMuon(torch.optim.Muon):
    """Muon (Jordan et al. 2024), for convolutions too: each is the matrix of its output channels by all else.

    The update of a matrix is scaled to the size that AdamW's would have (Liu et al. 2025, arXiv 2502.16982, eq. 4), so
    both take the same learning rate.

    Args:
        parameters: weights of at least two dimensions, on their device.
        lr: learning rate.
        weight_decay: decoupled weight decay.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float) -> None:
        self._weights = list(parameters)
        self._matrices = [parameter.detach().flatten(1) for parameter in self._weights]
        super().__init__(self._matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Takes a step with the gradients of the parameters."""
        pairs = list(zip(self._weights, self._matrices, strict=True))
        # A contiguous weight and its matrix share their memory; with the channels last they do not.
        apart = [pair for pair in pairs if pair[0].data_ptr() != pair[1].data_ptr()]
        for weight, matrix in apart:
            matrix.copy_(weight.flatten(1))
        for weight, matrix in pairs:
            matrix.grad = None if weight.grad is None else weight.grad.flatten(1)
        loss = super().step(closure)
        for weight, matrix in apart:
            weight.copy_(matrix.view_as(weight))
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients of the parameters."""
        super().zero_grad(set_to_none=set_to_none)
        for weight in self._weights:
            weight.grad = None


def make_optimizers(
    parameters: dict[str, nn.Parameter], config: OptimizerConfig
) -> list[tuple[torch.optim.Optimizer, list[str]]]:
    """Creates the optimizers that `config.algorithm` names.

    Args:
        parameters: the trained parameters, by name, on their device.
        config: algorithm, learning rate and weight decay.

    Returns:
        Optimizers of one parameter group, and the names of its parameters, in their order.

    Raises:
        ConfigError: if Muon is named and there is no matrix for it.
    """
    rate, decay = config.learning_rate, config.weight_decay
    with_muon = config.algorithm == "muon"
    hidden = {name: with_muon and _is_hidden(name, parameter) for name, parameter in parameters.items()}
    matrices, others = ([name for name in parameters if hidden[name] is kind] for kind in (True, False))
    if with_muon and not matrices:
        raise ConfigError("optimizer.algorithm is 'muon', which trains UNets, but this network has no blocks of a UNet")
    fused = all(parameter.device.type in ("cpu", "cuda") for parameter in parameters.values())
    made: list[tuple[torch.optim.Optimizer, list[str]]] = []
    if others:
        chosen = [parameters[name] for name in others]
        made.append((torch.optim.AdamW(chosen, lr=rate, weight_decay=decay, fused=fused), others))
    if matrices:
        made.append((ConvolutionMuon([parameters[name] for name in matrices], rate, decay), matrices))
    return made


def _is_hidden(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim >= 2 and any(f".{block}" in f".{name}" for block in _BLOCKS)
