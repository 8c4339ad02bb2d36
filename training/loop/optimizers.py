"""The optimizers of a stage: AdamW for all weights, or Muon for the matrices of the blocks of a UNet beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import nn

from training.configuration.config import ConfigError, OptimizerConfig
from training.loop.precision import has_bfloat16

# The blocks of a diffusers UNet. Its first and last layers and the embeddings stay with AdamW, as the authors advise.
_BLOCKS = ("down_blocks.", "mid_block.", "up_blocks.")
# The authors' constants, as in torch.optim.Muon.
MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5


class ConvolutionMuon(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024), for convolutions too: each is the matrix of its output channels by all else.

    As `torch.optim.Muon` with `adjust_lr_fn="match_rms_adamw"`, which takes matrices alone, one after the other; here
    those of one shape are orthogonalized together, because starting thousands of small kernels would take a GPU longer
    than the forward pass. The update of a matrix is scaled to the size that AdamW's would have (Liu et al. 2025, arXiv
    2502.16982, eq. 4), so both take the same learning rate.

    Args:
        parameters: weights of at least two dimensions, on their device.
        lr: learning rate.
        weight_decay: decoupled weight decay.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Takes a step with the gradients of the parameters."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not parameters:
                continue
            updates = self._updates(parameters)
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
            for same in _of_one_shape(updates):
                matrices = torch.stack([update.flatten(1) for update in same])
                for update, matrix in zip(same, _orthogonalize(matrices), strict=True):
                    update.copy_(matrix.reshape(update.shape))  # keeps the layout of a channels-last convolution
                torch._foreach_mul_(same, 0.2 * math.sqrt(max(matrices.shape[1:])))
            torch._foreach_add_(parameters, updates, alpha=-group["lr"])
        return loss

    def _updates(self, parameters: list[nn.Parameter]) -> list[torch.Tensor]:
        """The gradients after Nesterov's momentum."""
        for parameter in parameters:
            if "momentum_buffer" not in self.state[parameter]:
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        momenta = [self.state[parameter]["momentum_buffer"] for parameter in parameters]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
        return list(torch._foreach_lerp(gradients, momenta, MOMENTUM))


def _of_one_shape(tensors: list[torch.Tensor]) -> list[list[torch.Tensor]]:
    """The tensors, in groups whose matrices have one shape."""
    groups: dict[torch.Size, list[torch.Tensor]] = {}
    for tensor in tensors:
        groups.setdefault(tensor.flatten(1).shape, []).append(tensor)
    return list(groups.values())


def _orthogonalize(matrices: torch.Tensor) -> torch.Tensor:
    """Moves the singular values of each matrix towards 1, by the quintic Newton-Schulz iteration of the authors.

    Args:
        matrices: shape (N, R, C).

    Returns:
        Tensor of the same shape, whose singular values are about 0.5 to 1.5; bfloat16 where the device computes in it.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    result = (matrices.mT if tall else matrices).to(torch.bfloat16 if has_bfloat16(matrices.device) else torch.float32)
    # The spectral norm must be 1 at most.
    result = result / torch.linalg.matrix_norm(result, keepdim=True).clamp(min=1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = result @ result.mT
        result = torch.baddbmm(result, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), result, beta=a)
    return result.mT if tall else result


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
