"""The processes of one training run: accelerate's view of them, and what the main process decides for all."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list, gather_object, parse_flag_from_env

from synfundus.files import locked
from training.configuration.config import ConfigError
from training.loop.precision import choose_precision

# Longer than preparing the data takes: meanwhile all processes but one wait at a barrier.
PROCESS_GROUP_TIMEOUT = timedelta(hours=48)

Result = TypeVar("Result")


class RunSettings(Protocol):
    """What every training says about its processes; see `TrainingConfig`."""

    @property
    def output_dir(self) -> str:
        """Folder of the run, whose name the loggers show."""

    @property
    def mixed_precision(self) -> str:
        """`no` or `bf16`."""

    @property
    def log_with(self) -> list[str]:
        """Names of loggers."""


def make_accelerator(config: RunSettings, folder: Path) -> Accelerator:
    """Creates the accelerator of one stage, with its loggers open.

    Raises:
        ConfigError: if a logger that the configuration names is not installed.
    """
    missing = [name for name in config.log_with if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"log_with names {missing[0]}, which is not installed; pip install {missing[0]}")
    folder.mkdir(parents=True, exist_ok=True)
    # cuDNN's attention gives gradients that are not finite on Hopper GPUs where logits are large and the sequence is
    # 64 positions long (pytorch issue 196678); PyTorch's own kernels are as fast.
    torch.backends.cuda.enable_cudnn_sdp(False)
    process_group = InitProcessGroupKwargs(timeout=PROCESS_GROUP_TIMEOUT)
    # As the accelerator would make it.
    state = PartialState(parse_flag_from_env("ACCELERATE_USE_CPU"), **process_group.to_kwargs())
    accelerator = Accelerator(
        mixed_precision=choose_precision(config.mixed_precision, state),
        log_with=config.log_with or None,
        project_dir=folder,
        kwargs_handlers=[process_group],
    )
    if config.log_with:
        accelerator.init_trackers(f"{Path(config.output_dir).name}-{folder.name}")
    return accelerator


def memory_layout(device: torch.device) -> torch.memory_format:
    """The layout of convolutions' weights: what tensor cores read; a CPU's bfloat16 is slower with it."""
    return torch.channels_last if device.type == "cuda" else torch.contiguous_format


@contextlib.contextmanager
def one_process_at_a_time(accelerator: Accelerator, folder: Path) -> Iterator[None]:
    """The block prepares files in a folder: the first process of each node runs it first, the others find them ready.

    Nodes that share a disk take turns, by a lock in the folder; nodes that do not prepare files of their own.
    """
    with accelerator.local_main_process_first():
        if accelerator.is_local_main_process:
            with locked(folder / ".lock"):
                yield
        else:
            yield


def call_on_main_process(function: Callable[[], Result]) -> Result:
    """Calls a function in the main process; every process returns its result or raises its error.

    Files are read this way: the other nodes may have no access to the main process's disk.
    """
    outcome: list = [None, None]
    if PartialState().is_main_process:
        try:
            outcome[0] = function()
        except Exception as error:
            outcome[1] = error
    result, failure = broadcast_object_list(outcome)
    if failure is not None:
        raise failure
    return result


def in_every_process(fact: bool) -> bool:
    """Whether something is true in every process; each process calls it and gets the same answer."""
    return all(gather_object([fact]))
