"""The exponential moving average of the weights, which is what a stage gives as its result."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import torch
from torch import nn


class AveragedWeights:
    """Moving averages of parameters, in their own memory.

    `diffusers.training_utils.EMAModel` derives the decay from the number of steps; here the caller gives it, so that it
    can be counted in images whatever the batch size.

    Attributes:
        tensors: the averages, in the order of the parameters.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self._parameters = list(parameters)
        self.tensors = [parameter.detach().clone() for parameter in self._parameters]

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Moves the averages towards the weights; `decay` is the share of themselves that they keep, in [0, 1]."""
        torch._foreach_lerp_(self.tensors, [parameter.detach() for parameter in self._parameters], 1 - decay)

    @torch.no_grad()
    def copy_to_parameters(self) -> None:
        """Replaces the weights by their averages."""
        for parameter, average in zip(self._parameters, self.tensors, strict=True):
            parameter.copy_(average)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside this block the parameters hold the averages."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for parameter, average in zip(self._parameters, self.tensors, strict=True):
            weights = parameter.clone()
            parameter.copy_(average)
            average.copy_(weights)
