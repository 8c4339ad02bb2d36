"""What shapes the weights of a stage: the settings and inputs that must not change within one run."""

from __future__ import annotations

import dataclasses
import hashlib
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn

from training.configuration.config import TrainingConfig

# What may change between two starts of one run; every other setting shapes the weights.
MAY_CHANGE = (
    # where things are, and how much is written
    "path",
    "output_dir",
    "log_with",
    "*.checkpoint_images",
    "*.sample_images",
    # speed: the same training but for rounding and for how random numbers are shared out among forward passes
    "compile",
    "*.accumulation_steps",
    # length: compared with the schedule of the checkpoint (see `Checkpoint.fits`)
    "*.images",
    "*.cooldown_images",
    # where the photographs are: a digest of the prepared photographs and labels stands for it
    "data.source",
    "data.name",
    "data.split",
    "data.*_column",
    "data.label_rules*",
    "data.skip_unusable",
    "data.sources",
    # where the first weights are: their digest stands for it
    "*.pretrained",
    # how the finished pipeline samples by default
    "generator.guidance_*",
    "generator.num_inference_steps",
    "generator.sampling_shift",
    "generator.step_spacing",
)
# The settings that each stage uses, in addition to those of the data and at the top of the file, and those that it
# does not use among them. The stages are named like their folders.
_USED = {
    "autoencoder": ("autoencoder.*", "autoencoder.decoder*"),
    "decoder": ("autoencoder.*", ""),
    "generator-half": ("generator.*", "generator.optimizer*"),
    "generator": ("generator.*", ""),
}


def make_fingerprint(config: TrainingConfig, stage: str, **inputs: Any) -> dict[str, Any]:
    """The settings and inputs that shape the weights of one stage.

    Args:
        config: the run's configuration.
        stage: `autoencoder`, `decoder`, `generator-half` or `generator`.
        inputs: what shapes the weights beside the settings: the name of the objective, and digests of the data and of
            weights that the stage starts from or uses.

    Returns:
        JSON values by dotted name, such as `generator.condition_dropout`.
    """
    used, unused = _USED[stage]
    settings = {
        name: value
        for name, value in flatten(dataclasses.asdict(config)).items()
        if not any(fnmatchcase(name, pattern) for pattern in MAY_CHANGE)
        and ("." not in name or fnmatchcase(name, "data.*") or fnmatchcase(name, used))
        and not fnmatchcase(name, unused)
    }
    return settings | inputs


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, by dotted names; tuples become lists, as in JSON."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = list(value) if isinstance(value, tuple) else value
    return flat


def weights_digest(module: nn.Module) -> str:
    """SHA-256 of a module's parameters and buffers with their names, in hexadecimal digits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
