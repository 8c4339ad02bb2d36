"""The generator as a user of the Hub gets it: a model folder or a Hub id, loaded by `DiffusionPipeline`."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import snapshot_download

from synfundus.files import file_sha256

from ..errors import BuildError
from ..plan.condition_plan import Row

if TYPE_CHECKING:
    import numpy as np

DEFAULT_MODEL = Path(__file__).parents[2] / "pipeline_synfundus"
DTYPES = ("float32", "bfloat16", "float16")
# What decides which images a model makes; its card does not.
MODEL_FILES = (".bin", ".json", ".py", ".safetensors")


@dataclass(frozen=True)
class Model:
    """A generator that is on the disk.

    Attributes:
        name: its folder's name, or its Hub id.
        revision: the Hub commit, or for a folder the first 16 hexadecimal digits of the checksum of its weights,
            configurations and code.
        folder: where it is.
        num_inference_steps: denoising steps an image, by default.
        guidance_scale: guidance, by default.
    """

    name: str
    revision: str
    folder: Path
    num_inference_steps: int
    guidance_scale: float


def find_model(model: str) -> Model:
    """Returns the model in a folder, or on the Hub (fetched if it is not in the cache). It is not loaded.

    Raises:
        BuildError: if there is none.
    """
    folder = Path(model)
    local = folder.is_dir()
    if not local:
        try:
            folder = Path(snapshot_download(model, allow_patterns=[f"*{suffix}" for suffix in MODEL_FILES]))
        except (OSError, ValueError) as error:
            raise BuildError(f"--model {model} is no folder, and could not be had from the Hub: {error}") from None
    if not (folder / "model_index.json").is_file():
        raise BuildError(f"--model {model} holds no model_index.json, so it is no diffusers pipeline")
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    defaults = (index.get("default_num_inference_steps", 12), index.get("default_guidance_scale", 2.0))
    if local:
        return Model(folder.resolve().name, _folder_revision(folder), folder, *defaults)
    return Model(model, folder.name, folder, *defaults)  # the Hub's cache names a snapshot's folder after its commit


@dataclass(frozen=True)
class Sampling:
    """How a model makes images; part of a build's record.

    Attributes:
        num_inference_steps: denoising steps an image.
        guidance_scale: guidance; 1 is none.
        dtype: the floating-point type that the model computes in, one of `DTYPES`.
    """

    num_inference_steps: int
    guidance_scale: float
    dtype: str


class ImageGenerator:
    """A model on a device, as a source of images: a function from rows to pixels. `load_generator` makes one."""

    def __init__(self, model: Model, sampling: Sampling, device: str) -> None:
        import torch
        from diffusers import DiffusionPipeline  # takes seconds, which a build that is complete does not need

        pipeline: Any = DiffusionPipeline.from_pretrained(
            str(model.folder), trust_remote_code=True, dtype=getattr(torch, sampling.dtype)
        )
        pipeline.set_progress_bar_config(disable=True)
        self._pipeline = pipeline.to(device)
        self._sampling = sampling

    def __call__(self, rows: Sequence[Row]) -> np.ndarray:
        """Returns one image a row: uint8 of shape (rows, height, width, 3), RGB.

        Each has its own noise, so that it is the same in any batch. They are rounded on the device, as Diffusers rounds
        them for Pillow, and leave it at once: a fast device would wait for single images to be converted.
        """
        import torch

        images = self._pipeline(
            [row.condition for row in rows],
            generator=[row.noise_seed for row in rows],
            num_inference_steps=self._sampling.num_inference_steps,
            guidance_scale=self._sampling.guidance_scale,
            output_type="pt",
        ).images
        return (images.float() * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


@functools.lru_cache(maxsize=1)
def load_generator(model: Model, sampling: Sampling, device: str) -> ImageGenerator:
    """Returns the model on a device; it is loaded once a process.

    Args:
        model: the model.
        sampling: how it makes images.
        device: where to, see `choose_devices`.
    """
    return ImageGenerator(model, sampling, device)


def choose_devices(device: str | None, workers: int) -> list[str]:
    """Returns the device of each worker: the GPUs in turn if there are any, or else the CPU for all.

    Args:
        device: the torch device asked for; `cuda` means all GPUs, and so does None where there are any.
        workers: number of workers.

    Raises:
        BuildError: for a device that is not there.
    """
    import torch

    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        raise BuildError(f"--device {device} cannot be used: {str(error).splitlines()[0]}") from None
    if device == "cuda":
        return [f"cuda:{worker % torch.cuda.device_count()}" for worker in range(workers)]
    return [device] * workers


def _folder_revision(folder: Path) -> str:
    digest = hashlib.sha256()
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix in MODEL_FILES)
    for name in names:
        if not any(part.startswith(".") for part in Path(name).parts):
            digest.update(f"{name} {file_sha256(folder / name)}\n".encode())
    return digest.hexdigest()[:16]
