"""The floating-point precision of a training on the device that it has."""

from __future__ import annotations

import torch
from accelerate import PartialState

from pipeline_synfundus.cpu_inference import computes_bfloat16


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device computes faster in bfloat16 than in float32: any but a CPU without units for it."""
    return device.type != "cpu" or computes_bfloat16()


def choose_precision(wanted: str, state: PartialState) -> str:
    """The mixed precision for accelerate: float32 (`no`) instead of `bf16` on a CPU that is many times slower with it.

    Args:
        wanted: `mixed_precision` of the configuration.
        state: of the processes, which have the same kind of device.
    """
    if wanted == "bf16" and not has_bfloat16(state.device):
        state.print(
            "mixed_precision is bf16, but this CPU has no bfloat16 units: training in float32, which is faster here"
        )
        return "no"
    return wanted
