"""Checkpoints that are written whole: a new one is complete on disk before an older one goes."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

KEPT = 2
_PREFIX = "images-"


@dataclass
class Checkpoint:
    """What a training run needs to go on.

    Attributes:
        images_seen: images seen so far.
        weights: trainable parameters by name.
        ema: the same, averaged, and the number of averaging steps under `step`.
        optimizer: the optimizer's state.
        fingerprint: what must not change between two starts of one run (the configuration of the stage).
    """

    images_seen: int
    weights: dict[str, torch.Tensor]
    ema: dict[str, torch.Tensor]
    ema_step: int
    optimizer: dict[str, Any]
    fingerprint: dict[str, Any]


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be written or does not belong to this run."""


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint into `folder` and then removes all but the newest two.

    Raises:
        CheckpointError: if it cannot be written (a full disk, say); the older checkpoints stay.
    """
    final = folder / f"{_PREFIX}{checkpoint.images_seen:012d}"
    temporary = folder / f".{final.name}.tmp"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        save_file(checkpoint.weights, temporary / "weights.safetensors")
        save_file(checkpoint.ema, temporary / "ema.safetensors")
        torch.save(checkpoint.optimizer, temporary / "optimizer.pt")
        state = {key: getattr(checkpoint, key) for key in ("images_seen", "ema_step", "fingerprint")}
        (temporary / "state.json").write_text(json.dumps(state, indent=1))
        for path in temporary.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        shutil.rmtree(final, ignore_errors=True)
        os.replace(temporary, final)
    except Exception as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise CheckpointError(f"cannot write the checkpoint {final}: {error}; older checkpoints are kept") from error
    for old in _complete(folder)[:-KEPT]:
        shutil.rmtree(old)


def _complete(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob(f"{_PREFIX}*") if path.is_dir())


def load_newest_checkpoint(folder: Path, fingerprint: dict[str, Any]) -> Checkpoint | None:
    """Loads the newest checkpoint that can be read; None if there is none.

    A checkpoint that cannot be read is reported and an older one is used.

    Raises:
        CheckpointError: if the checkpoint belongs to another configuration, or if there are checkpoints and none
            can be read.
    """
    paths = _complete(folder)
    for path in reversed(paths):
        try:
            state = json.loads((path / "state.json").read_text())
            checkpoint = Checkpoint(
                weights=load_file(path / "weights.safetensors"),
                ema=load_file(path / "ema.safetensors"),
                optimizer=torch.load(path / "optimizer.pt", weights_only=True),
                **state,
            )
        except Exception as error:
            print(f"the checkpoint {path} cannot be read ({error}); trying an older one")
            continue
        for key, value in fingerprint.items():
            if checkpoint.fingerprint.get(key) != value:
                raise CheckpointError(
                    f"{path} was written with {key}={checkpoint.fingerprint.get(key)!r}, but the configuration says "
                    f"{value!r}; restore the configuration or choose another output_dir"
                )
        return checkpoint
    if paths:
        raise CheckpointError(f"none of the checkpoints in {folder} can be read; remove them to start afresh")
    return None
