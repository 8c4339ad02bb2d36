"""The generator that an adaptation starts from: loads it, and decides what is trained and with which loss."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import nn

from pipeline_synfundus import SynFundusPipeline
from synfundus.images import to_tensor
from training.configuration.config import GeneratorConfig
from training.configuration.fingerprint import weights_digest
from training.configuration.pretrained import load_generator
from training.data.examples import Examples, LatentEncoder
from training.losses.flow_matching import FlowMatchingLoss
from training.losses.velocity import VelocityLoss

# Parts of the names of the UNet's trained parameters: attention, and what shifts and scales features (normalisation,
# the injection of time and labels, the first and the last convolution). With few images, training only a small part,
# the attention, learns as well as training everything and overfits less (Moon et al. 2022, "Fine-Tuning Diffusion
# Models with Limited Data").
TRAINED = ("attentions.", "norm", "time_emb_proj.", "conv_in.", "conv_out.")


def load_start(model: str | None, revision: str | None) -> SynFundusPipeline:
    """Loads the generator, and lets only the parameters of `TRAINED` require gradients; see `load_generator`."""
    pipeline = load_generator(model, revision)
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
