"""The noise levels of a scheduler's timesteps, and deterministic steps between them that can be inverted exactly."""

from __future__ import annotations

from typing import Any

import torch

INVERTIBLE = ("epsilon", "v_prediction", "flow_prediction")
STEP_SPACINGS = ("scheduler", "cosine")


def space_by_cosine(scheduler: Any) -> None:
    """Moves the noise levels of a flow towards both ends: from sigma to the square of sin(pi / 2 * sigma).

    The average colour of an image is decided while more than 90 % of a latent is noise, because an average over many
    positions is visible through much noise. With uniform steps that is a part of the first step, and all images get
    nearly the same colour. The levels are those of sampling by quantiles of a beta distribution (Lee et al. 2024, arXiv
    2407.12173) with both parameters 1/2.

    Args:
        scheduler: a diffusers scheduler of flows whose timesteps are set.

    Raises:
        ValueError: for a scheduler that is not for flows.
    """
    sigmas = getattr(scheduler, "sigmas", None)
    if sigmas is None or sigmas.max() > 1 or len(sigmas) != len(scheduler.timesteps) + 1:
        name = type(scheduler).__name__
        raise ValueError(f"step_spacing is 'cosine', but the scheduler, {name}, does not have the levels of a flow")
    first = sigmas[0]  # stays: solvers divide by the signal, which must not be 0
    levels = first * torch.sin(torch.pi / 2 * sigmas[:-1] / first).square()
    scheduler.sigmas = torch.cat([levels, sigmas[-1:]])
    timesteps = levels * scheduler.config.num_train_timesteps
    scheduler.timesteps = timesteps.to(scheduler.timesteps)
    scheduler.set_begin_index(0)  # a search for the first timestep finds the second one where rounding made them equal


class NoiseLevels:
    """The levels of the timesteps of one run, and the clean image as the last one.

    A noisy sample at level k is `signal[k] * clean + noise[k] * gaussian`, as the scheduler's `add_noise` defines it.

    Args:
        scheduler: a diffusers scheduler whose timesteps are set.
        timesteps: the timesteps of the run, shape (n,), from noisy to clean.

    Attributes:
        signal, noise: coefficients, float32 tensors of shape (n + 1,).
    """

    def __init__(self, scheduler: Any, timesteps: torch.Tensor) -> None:
        one, zero = torch.ones(len(timesteps)), torch.zeros(len(timesteps))
        at = timesteps.cpu()
        self._kind = scheduler.config.get("prediction_type", "epsilon")
        self.signal = torch.cat([scheduler.add_noise(one, zero, at), torch.ones(1)]).float()
        self.noise = torch.cat([scheduler.add_noise(zero, one, at), torch.zeros(1)]).float()
        # Variance-preserving schedules have norm 1. Variance-exploding ones scale the network's input by 1 / norm.
        exploding = (self.signal == 1).all() and self._kind != "flow_prediction"
        self._norm = torch.hypot(self.signal, self.noise) if exploding else torch.ones(len(at) + 1)

    def add(self, clean: torch.Tensor, gaussian: torch.Tensor, level: int) -> torch.Tensor:
        """Returns the sample at a level, of the shape of `clean` and `gaussian`."""
        return (self.signal[level].item() * clean + self.noise[level].item() * gaussian).to(clean.dtype)

    def model_input(self, sample: torch.Tensor, level: int) -> torch.Tensor:
        """Returns a sample as the network takes it."""
        return sample / self._norm[level].item()

    def step(self, prediction: torch.Tensor, sample: torch.Tensor, level: int) -> torch.Tensor:
        """Returns the sample at level + 1: a step of DDIM with eta 0 (Song et al. 2021, eq. 12), for flows of Euler.

        Args:
            prediction: output of the network for the sample, of the scheduler's prediction type.
            sample: the sample at `level`.
            level: 0 to n - 1.
        """
        scale, shift = self._coefficients(level)
        return (scale * sample.float() + shift * prediction.float()).to(sample.dtype)

    def invert(self, prediction: torch.Tensor, sample: torch.Tensor, level: int) -> torch.Tensor:
        """Returns the sample at `level` from which `step` with this prediction leads to `sample` at level + 1."""
        scale, shift = self._coefficients(level)
        return ((sample.float() - shift * prediction.float()) / scale).to(sample.dtype)

    def prediction(self, sample: torch.Tensor, target: torch.Tensor, level: int) -> torch.Tensor:
        """Returns the prediction with which `step` leads from `sample` at `level` to `target` at level + 1."""
        scale, shift = self._coefficients(level)
        return (target.float() - scale * sample.float()) / shift

    def _coefficients(self, level: int) -> tuple[float, float]:
        """The step as `scale * sample + shift * prediction`, with the normalization of both samples."""
        before, after = self._norm[level].item(), self._norm[level + 1].item()
        a, s = self.signal[level].item() / before, self.noise[level].item() / before
        a_next, s_next = self.signal[level + 1].item() / after, self.noise[level + 1].item() / after
        if self._kind == "flow_prediction":
            scale, shift = 1.0, s_next - s
        elif self._kind == "v_prediction":
            scale, shift = a * a_next + s * s_next, a * s_next - s * a_next
        else:  # epsilon
            scale, shift = a_next / a, s_next - s * a_next / a
        return scale * after / before, shift * after
