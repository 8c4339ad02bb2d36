"""Loads the generator as any user would, and says why when it cannot be loaded."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from huggingface_hub import snapshot_download

HUB_ID = "synfundus/synfundus-generator"
IN_CLONE = Path(__file__).resolve().parent.parent / "pipeline_synfundus"
# Written beside the Space when it is published: the Hub id and the commit of the model it was published with.
PIN = Path(__file__).resolve().with_name("generator.json")


class StartError(RuntimeError):
    """The Space cannot start; the message says why and what to do, in words for whoever set it up."""


@dataclass(frozen=True)
class Model:
    """A generator, loaded.

    Attributes:
        pipeline: the diffusers pipeline, on its device.
        labels: the module `labels` that came with it: names, full names, values and rules of all labels.
        name: its folder's name, or its Hub id.
        revision: the Hub commit, or for a folder the first 16 hexadecimal digits of its weights' checksum.
        width, height: of its images, in pixels.
    """

    pipeline: Any
    labels: Any
    name: str
    revision: str
    width: int
    height: int

    @property
    def default_steps(self) -> int:
        """Denoising steps of a request that names none."""
        return self.pipeline.config.default_num_inference_steps

    @property
    def default_guidance(self) -> float:
        """Guidance scale of a request that names none."""
        return self.pipeline.config.default_guidance_scale


@dataclass(frozen=True)
class ModelName:
    """A folder, or a Hub id and the revision to take there: a branch, a tag or a commit; None is the newest."""

    name: str
    revision: str | None = None


def find_model_name() -> ModelName:
    """Returns the model to load: `SYNFUNDUS_MODEL`, else what `generator.json` pins, else the folder of a clone, else
    the one on the Hub.

    Raises:
        StartError: if `generator.json` cannot be read.
    """
    if name := os.environ.get("SYNFUNDUS_MODEL"):
        return ModelName(name)
    if PIN.exists():
        try:
            pin = json.loads(PIN.read_text(encoding="utf-8"))
            return ModelName(pin["repo_id"], pin["revision"])
        except (ValueError, TypeError, KeyError) as error:
            raise StartError(
                f"{PIN.name} must name the model's repo_id and revision, and does not ({type(error).__name__}: {error})"
            ) from error
    return ModelName(str(IN_CLONE) if IN_CLONE.is_dir() else HUB_ID)


def load_model(model: ModelName) -> Model:
    """Returns the model in a folder or on the Hub, on a GPU if there is one.

    Raises:
        StartError: if it cannot be loaded.
    """
    name = model.name
    try:
        folder = Path(name) if Path(name).is_dir() else Path(snapshot_download(name, revision=model.revision))
        pipeline = DiffusionPipeline.from_pretrained(folder, trust_remote_code=True)
        # The labels lie beside the pipeline's own code: the Space needs no package of ours.
        labels = importlib.import_module(type(pipeline).__module__.rpartition(".")[0] + ".labels")
    except Exception as error:  # whatever a model's files and code may raise: the page shows it
        raise StartError(
            f"The model {name!r} could not be loaded. {type(error).__name__}: {error}. "
            "Set SYNFUNDUS_MODEL to the folder or the Hub id of a SynFundus pipeline."
        ) from error
    pipeline.to("cuda" if torch.cuda.is_available() else "cpu")
    pipeline.set_progress_bar_config(disable=True)
    height, width = _image_size(pipeline)
    if Path(name).is_dir():
        return Model(pipeline, labels, folder.resolve().name, _weights_checksum(folder), width, height)
    # The Hub's cache names a snapshot's folder after its commit.
    return Model(pipeline, labels, name, folder.name, width, height)


def _image_size(pipeline: Any) -> tuple[int, int]:
    """Height and width of the images: those of the latents, times the autoencoder's factor."""
    size = pipeline.unet.config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    factor = 1 if pipeline.vae is None else 2 ** (len(pipeline.vae.config.block_out_channels) - 1)
    return height * factor, width * factor


def _weights_checksum(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.safetensors")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
