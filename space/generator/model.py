"""Loads the generator, or explains why it cannot be loaded."""

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

import pipeline_synfundus
from pipeline_synfundus import SynFundusPipeline
from pipeline_synfundus.cpu_inference import default_backend, fastest_dtype

# Model files without code.
WEIGHTS = ["*.json", "*.safetensors"]
BUNDLED = Path(pipeline_synfundus.__file__).parent
# Written when the Space is published: the Hub id and the commit of its model.
PIN = Path(__file__).resolve().parents[1] / "generator.json"
MODEL, REVISION, TRUST = "SYNFUNDUS_MODEL", "SYNFUNDUS_REVISION", "SYNFUNDUS_TRUST_REMOTE_CODE"


class StartError(RuntimeError):
    """The Space cannot start; the message says why and what to do."""


@dataclass(frozen=True)
class Model:
    """A loaded generator.

    Attributes:
        pipeline: the diffusers pipeline, on its device.
        labels: the module `labels` of the pipeline's package: names, full names, values and rules of all labels.
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
        """The model's default number of denoising steps."""
        return self.pipeline.config.default_num_inference_steps

    @property
    def default_guidance(self) -> float:
        """The model's default guidance scale."""
        return self.pipeline.config.default_guidance_scale


@dataclass(frozen=True)
class ModelName:
    """Which model to load.

    Attributes:
        name: a folder or a Hub id.
        revision: branch, tag or commit of a Hub id; None for its default branch.
        trust_remote_code: whether to run the code in the model's folder or repository instead of this package's.
    """

    name: str
    revision: str | None = None
    trust_remote_code: bool = False


def find_model_name() -> ModelName:
    """Returns the model to load: `SYNFUNDUS_MODEL`, else the one in `generator.json`, else the bundled weights.

    Raises:
        StartError: if a setting is invalid, `generator.json` cannot be read, or there is no model.
    """
    revision, trust = os.environ.get(REVISION) or None, os.environ.get(TRUST, "")
    if trust not in ("", "0", "1"):
        raise StartError(f"{TRUST} is {trust!r}, but must be 1 or 0.")
    if name := os.environ.get(MODEL):
        if trust == "1" and revision is None and not Path(name).is_dir():
            raise StartError(f"{TRUST} is 1, so {REVISION} must be the commit of {name} whose code you trust.")
        return ModelName(name, revision, trust == "1")
    if revision or trust == "1":
        raise StartError(f"{REVISION} and {TRUST} need {MODEL}, which is not set.")
    if PIN.exists():
        return _read_pin()
    if (BUNDLED / "model_index.json").is_file():
        return ModelName(str(BUNDLED))
    raise StartError(f"There is no model: neither {PIN.name} nor {MODEL} names one, and no weights are bundled.")


def _read_pin() -> ModelName:
    try:
        pin = json.loads(PIN.read_text(encoding="utf-8"))
        return ModelName(pin["repo_id"], pin["revision"])
    except (ValueError, TypeError, KeyError) as error:
        raise StartError(
            f"{PIN.name} must name the model's repo_id and revision, and does not ({type(error).__name__}: {error})"
        ) from error


def load_model(model: ModelName) -> Model:
    """Returns a loaded model, on a GPU if there is one.

    Unless `trust_remote_code` is set, the model is loaded with the classes of the package `pipeline_synfundus`, and
    code in its folder or repository is neither downloaded nor run.

    Raises:
        StartError: if the model cannot be loaded.
    """
    name = model.name
    local = Path(name).is_dir()
    try:
        if local and model.revision:
            raise ValueError(f"{REVISION} is {model.revision!r}, but {name} is a local folder, which has no revisions")
        patterns = None if model.trust_remote_code else WEIGHTS
        folder = (
            Path(name) if local else Path(snapshot_download(name, revision=model.revision, allow_patterns=patterns))
        )
        device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = fastest_dtype(default_backend()) if device == "cpu" else torch.float32
        if model.trust_remote_code:
            pipeline = DiffusionPipeline.from_pretrained(folder, trust_remote_code=True, dtype=dtype)
        else:
            pipeline = SynFundusPipeline.from_pretrained(folder, dtype=dtype)
        labels = importlib.import_module(type(pipeline).__module__.rpartition(".")[0] + ".labels")
    except Exception as error:  # files, and code if trusted, may raise any error; the page shows it
        raise StartError(
            f"The model {name!r} could not be loaded. {type(error).__name__}: {error}. "
            f"Set {MODEL} to the folder or the Hub id of a SynFundus pipeline."
        ) from error
    pipeline.to(device)
    pipeline.set_progress_bar_config(disable=True)
    height, width = _image_size(pipeline)
    if local:
        return Model(pipeline, labels, folder.resolve().name, _weights_checksum(folder), width, height)
    # The Hub's cache names a snapshot's folder after its commit.
    return Model(pipeline, labels, name, folder.name, width, height)


def _image_size(pipeline: Any) -> tuple[int, int]:
    """Height and width of the images: those of the latents, times the autoencoder's factor."""
    size = pipeline.unet.config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    if pipeline.vae is None:
        factor = 1
    else:
        config = pipeline.vae.config
        factor = getattr(config, "patch_size", None) or 2 ** (len(config.block_out_channels) - 1)
    return height * factor, width * factor


def _weights_checksum(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.safetensors")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
