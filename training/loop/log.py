"""The log of one stage: `log.jsonl`, and the loggers that the configuration names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from accelerate import Accelerator
from PIL import Image

from synfundus.files import write_text


class TrainingLog:
    """Writes measured values and samples; only the main process calls it.

    Args:
        folder: `log.jsonl` is written here, one JSON object per line.
        accelerator: its trackers get the same values.
    """

    def __init__(self, folder: Path, accelerator: Accelerator) -> None:
        self._path = folder / "log.jsonl"
        self._accelerator = accelerator

    def forget_after(self, images_seen: int) -> None:
        """Removes the entries that a killed run wrote after its last checkpoint: they are about to be written again."""
        lines = self._path.read_text(encoding="utf-8").splitlines(keepends=True) if self._path.exists() else []
        complete = [line for line in lines if line.endswith("\n")]
        kept = [line for line in complete if json.loads(line)["images_seen"] <= images_seen]
        if kept != lines:
            write_text(self._path, "".join(kept))

    def write(self, images_seen: int, values: dict[str, float]) -> None:
        """Adds an entry."""
        entry = {"images_seen": images_seen} | {key: float(f"{value:.6g}") for key, value in values.items()}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        self._accelerator.log(entry, step=images_seen)

    def show(self, path: Path, images_seen: int) -> None:
        """Shows a PNG of samples in TensorBoard; trackio's tracker takes no images."""
        for tracker in self._accelerator.trackers:
            if tracker.name == "tensorboard":
                images = {"samples": np.asarray(Image.open(path))[None]}
                tracker.log_images(images, step=images_seen, dataformats="NHWC")
