"""The generator as a user of the Hub gets it: a model folder or a Hub id, loaded by `DiffusionPipeline`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import snapshot_download

from .build_folder import BuildError, Record
from .conditions import Row
from .files import file_sha256

if TYPE_CHECKING:
    from PIL import Image

DEFAULT_MODEL = Path(__file__).parent.parent / "pipeline_synfundus"
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


def load_pipeline(model: Model, device: str) -> Any:
    """Returns the model as a pipeline on a device, without a progress bar of its own."""
    from diffusers import DiffusionPipeline  # takes seconds, which a build that is complete does not need

    pipeline = DiffusionPipeline.from_pretrained(str(model.folder), trust_remote_code=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def generate_images(pipeline: Any, rows: Sequence[Row], record: Record) -> list[Image.Image]:
    """Returns one image a row. Each has its own noise, so that it is the same in any batch."""
    return pipeline(
        [row.condition for row in rows],
        generator=[row.noise_seed for row in rows],
        num_inference_steps=record.num_inference_steps,
        guidance_scale=record.guidance_scale,
    ).images


def choose_device(device: str | None) -> str:
    """Returns the device asked for, or without one the first GPU, or the CPU if there is none.

    Raises:
        BuildError: for a device that is not there.
    """
    import torch

    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        raise BuildError(f"--device {device} cannot be used: {str(error).splitlines()[0]}") from None
    return device


def _folder_revision(folder: Path) -> str:
    digest = hashlib.sha256()
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix in MODEL_FILES)
    for name in names:
        if not any(part.startswith(".") for part in Path(name).parts):
            digest.update(f"{name} {file_sha256(folder / name)}\n".encode())
    return digest.hexdigest()[:16]
