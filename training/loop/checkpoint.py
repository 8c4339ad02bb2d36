"""Checkpoints: a new one is complete on the disk before an older one is removed, and none has a NaN or infinity."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from synfundus.files import atomic_folder, write_json

KEPT = 2
_PREFIX = "images-"
_STATE = "state.json"
_TENSORS = ("weights", "ema", "optimizer")


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be written, cannot be read, or belongs to another run."""


@dataclass(frozen=True)
class Schedule:
    """The length of a run: the learning rate is constant until the cool-down starts, and 0 after the last image.

    Attributes:
        images: images to see in all.
        cooldown_start: images seen when the cool-down starts; `images` where there is none.
    """

    images: int
    cooldown_start: int


@dataclass
class Checkpoint:
    """Everything that a training run needs to continue; all tensors are on the CPU.

    Attributes:
        images_seen: images seen so far.
        weights: trainable parameters by name.
        ema: their moving averages, by the same names.
        optimizer: the optimizer's tensors, by parameter name and state: `conv.weight/exp_avg`.
        fingerprint: the settings that shape the weights, by name (see `training.configuration.fingerprint`).
        schedule: the length of the run when the checkpoint was written.
    """

    images_seen: int
    weights: dict[str, torch.Tensor]
    ema: dict[str, torch.Tensor]
    optimizer: dict[str, torch.Tensor]
    fingerprint: dict[str, Any]
    schedule: Schedule

    def fits(self, schedule: Schedule) -> bool:
        """Whether a run of this schedule passes through the checkpoint.

        It does where both have the same schedule, or the checkpoint precedes the cool-down of both.
        """
        start = min(self.schedule.cooldown_start, schedule.cooldown_start)
        return self.schedule == schedule or self.images_seen <= start

    def require_finite(self) -> None:
        """Raises a ValueError that names the first tensor with a NaN or an infinity."""
        for kind in _TENSORS:
            for name, tensor in getattr(self, kind).items():
                if not torch.isfinite(tensor).all():
                    raise ValueError(f"{kind}: {name} is not finite")


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint into `folder`, then removes older ones.

    The newest two are kept, and the newest one from before the cool-down, from which the run can be extended.

    Raises:
        CheckpointError: if it is not finite or cannot be written (a full disk, say); the older checkpoints are kept.
    """
    final = folder / f"{_PREFIX}{checkpoint.images_seen:012d}"
    try:
        checkpoint.require_finite()
        with atomic_folder(final) as temporary:
            for kind in _TENSORS:
                tensors = {name: tensor.contiguous() for name, tensor in getattr(checkpoint, kind).items()}
                save_file(tensors, temporary / f"{kind}.safetensors")
            state = {"images_seen": checkpoint.images_seen, "fingerprint": checkpoint.fingerprint}
            write_json(temporary / _STATE, state | {"schedule": vars(checkpoint.schedule)})
    except Exception as error:
        raise CheckpointError(f"cannot write the checkpoint {final}: {error}; older checkpoints are kept") from error
    paths = _list(folder)
    extensible = [path for path in paths if _images_seen(path) <= checkpoint.schedule.cooldown_start]
    for old in set(paths) - {*paths[-KEPT:], *extensible[-1:]}:
        shutil.rmtree(old)


def _list(folder: Path) -> list[Path]:
    """The folders of complete checkpoints, oldest first."""
    return sorted(path for path in folder.glob(f"{_PREFIX}*") if path.is_dir())


def _images_seen(path: Path) -> int:
    return int(path.name.removeprefix(_PREFIX))


def _load(path: Path) -> Checkpoint:
    state = json.loads((path / _STATE).read_text(encoding="utf-8"))
    weights, ema, optimizer = (load_file(path / f"{kind}.safetensors", device="cpu") for kind in _TENSORS)
    schedule = Schedule(**state["schedule"])
    checkpoint = Checkpoint(state["images_seen"], weights, ema, optimizer, state["fingerprint"], schedule)
    checkpoint.require_finite()
    return checkpoint


def load_newest_checkpoint(folder: Path, fingerprint: dict[str, Any], schedule: Schedule) -> Checkpoint | None:
    """Loads the newest checkpoint that the run can continue from; None if there is no checkpoint.

    A checkpoint that cannot be read, is not finite or lies in the cool-down of another schedule is reported, and an
    older one is used.

    Args:
        folder: the folder of checkpoints.
        fingerprint: the settings that shape the weights; they must be those of the checkpoint.
        schedule: the length of the run.

    Raises:
        CheckpointError: if a setting has changed, or if there are checkpoints and none can be used.
    """
    paths = _list(folder)
    for path in reversed(paths):
        try:
            checkpoint = _load(path)
        except Exception as error:
            print(f"the checkpoint {path} cannot be used ({error}); trying an older one")
            continue
        require_same(checkpoint.fingerprint, fingerprint, path)
        if checkpoint.fits(schedule):
            return checkpoint
        print(
            f"the checkpoint {path} belongs to a run of {checkpoint.schedule.images} images that cools down from "
            f"{checkpoint.schedule.cooldown_start} on; trying one from before the cool-down"
        )
    if paths:
        raise CheckpointError(
            f"none of the checkpoints in {folder} can be used, for the reasons above: put a copy of one there, restore "
            "optimizer.images and optimizer.cooldown_images, or start a new run in another output_dir"
        )
    return None


def require_same(written: dict[str, Any], now: dict[str, Any], path: Path) -> None:
    """Raises a CheckpointError that names every setting that differs, with the old and the new value."""
    missing = "nothing"
    changed = [
        f"{name} was {written.get(name, missing)!r} and is now {now.get(name, missing)!r}"
        for name in sorted(written.keys() | now.keys())
        if written.get(name, missing) != now.get(name, missing)
    ]
    if changed:
        raise CheckpointError(
            f"{path} was written with other settings: {'; '.join(changed)}. They shape the weights and cannot change "
            "within a run: restore them, or choose another output_dir"
        )
