"""The generator that an adaptation starts from: loads it, and decides what is trained and with which loss."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import nn

from pipeline_synfundus import SynFundusPipeline
from pipeline_synfundus.labels import CARDINALITIES, CONDITION_NAMES
from synfundus.images import to_tensor
from training.configuration.config import ConfigError, GeneratorConfig
from training.configuration.fingerprint import weights_digest
from training.data.examples import Examples, LatentEncoder
from training.losses.flow_matching import FlowMatchingLoss
from training.losses.velocity import VelocityLoss

PREDICTION_TYPES = ("flow_prediction", "v_prediction")
# Parts of the names of the UNet's trained parameters: attention, and what shifts and scales features (normalisation,
# the injection of time and labels, the first and the last convolution). With few images, training only a small part,
# the attention, learns as well as training everything and overfits less (Moon et al. 2022, "Fine-Tuning Diffusion
# Models with Limited Data").
TRAINED = ("attentions.", "norm", "time_emb_proj.", "conv_in.", "conv_out.")


def load_start(model: str | None, revision: str | None) -> SynFundusPipeline:
    """Loads the generator in float32. No code of the folder or repository is run.

    Args:
        model: folder or Hub id; None for the bundled one.
        revision: revision of a Hub id.

    Raises:
        ConfigError: if it cannot be loaded, or cannot be adapted.
    """
    where = [] if model is None else [model]
    options = {} if revision is None else {"revision": revision}
    try:
        pipeline = SynFundusPipeline.from_pretrained(*where, dtype=torch.float32, **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(f"--model is {model!r}, but cannot be loaded: {error}") from error
    kind = pipeline.scheduler.config.get("prediction_type", "epsilon")
    if kind not in PREDICTION_TYPES:
        raise ConfigError(
            f"--model {model!r}: scheduler.prediction_type is {kind!r}; allowed are {', '.join(PREDICTION_TYPES)}"
        )
    height, width = pipeline.image_size
    if height != width:
        raise ConfigError(f"--model {model!r}: its images are {width}x{height}, but must be square")
    labels = pipeline.condition_encoder.config
    if tuple(labels.label_names) != CONDITION_NAMES or tuple(labels.cardinalities) != CARDINALITIES:
        raise ConfigError(
            f"--model {model!r}: condition_encoder.label_names are not those of this version of the project"
        )
    freeze(pipeline)
    return pipeline


def freeze(pipeline: SynFundusPipeline) -> None:
    """Lets only the parameters of `TRAINED` require gradients.

    The autoencoder stays, because its latents define the generator; the condition encoder, because a few photographs
    with few labels say nothing about most of the findings.
    """
    for module in (pipeline.unet, pipeline.condition_encoder, pipeline.vae):
        if module is not None:
            module.requires_grad_(False)
    for name, parameter in pipeline.unet.named_parameters():
        parameter.requires_grad_(any(part in name for part in TRAINED))


def trained_parameters(pipeline: SynFundusPipeline) -> dict[str, nn.Parameter]:
    """The parameters of the UNet that are trained, by name."""
    return {name: parameter for name, parameter in pipeline.unet.named_parameters() if parameter.requires_grad}


def make_loss(pipeline: SynFundusPipeline, examples: Examples, config: GeneratorConfig) -> FlowMatchingLoss:
    """The loss that the generator was trained with, on these examples."""
    parts = (pipeline.unet, pipeline.condition_encoder, examples, config)
    if pipeline.scheduler.config.prediction_type == "v_prediction":
        return VelocityLoss(*parts, pipeline.scheduler.config)
    return FlowMatchingLoss(*parts, config.timestep_shift)


def pipeline_encoder(pipeline: SynFundusPipeline) -> LatentEncoder | None:
    """The encoder of the pipeline's autoencoder, of whatever class; None where the generator works on pixels."""
    if pipeline.vae is None:
        return None
    return LatentEncoder(partial(_encode, pipeline), weights_digest(pipeline.vae))


@torch.no_grad()
def _encode(pipeline: SynFundusPipeline, images: np.ndarray) -> torch.Tensor:
    return pipeline.encode_images(to_tensor(images, pipeline.vae.device)).float()


def start_digests(pipeline: SynFundusPipeline) -> list[str]:
    """SHA-256 of the weights of each network of the pipeline."""
    networks = (pipeline.unet, pipeline.condition_encoder, pipeline.vae)
    return [weights_digest(network) for network in networks if network is not None]
