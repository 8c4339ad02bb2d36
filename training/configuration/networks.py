"""The networks that a configuration describes, with random or pretrained weights."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL, UNet2DModel

from pipeline_synfundus import FundusConditionEncoder, SynFundusPipeline
from pipeline_synfundus.labels import CARDINALITIES, CONDITION_NAMES
from training.configuration.config import AutoencoderConfig, ConfigError, TrainingConfig


def build_autoencoder(stage: AutoencoderConfig) -> AutoencoderKL:
    """Builds the autoencoder.

    Raises:
        ConfigError: if `autoencoder.model` is no valid autoencoder.
    """
    try:
        return AutoencoderKL(**stage.model)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"autoencoder.model cannot be built: {error}") from error


def build_models(config: TrainingConfig) -> tuple[UNet2DModel, FundusConditionEncoder]:
    """Builds the UNet and the condition encoder that fits it.

    Raises:
        ConfigError: if `generator.model` is no valid UNet, or does not fit `generator.pretrained`.
    """
    torch.manual_seed(config.seed)
    try:
        unet = UNet2DModel(class_embed_type="identity", **config.generator.model)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"generator.model cannot be built: {error}") from error
    width = 4 * unet.config.block_out_channels[0]
    encoder = FundusConditionEncoder(list(CONDITION_NAMES), list(CARDINALITIES), width)
    if config.generator.pretrained is not None:
        load_pretrained(unet, encoder, config.generator.pretrained)
    return unet, encoder


def load_pretrained(unet: UNet2DModel, encoder: FundusConditionEncoder, folder: str) -> None:
    """Starts from the weights of a pipeline.

    Raises:
        ConfigError: if there is no pipeline in the folder, or its networks are others.
    """
    try:
        pipeline = SynFundusPipeline.from_pretrained(folder, local_files_only=True)
        unet.load_state_dict(pipeline.unet.state_dict())
        encoder.load_state_dict(pipeline.condition_encoder.state_dict())
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"generator.pretrained is {folder!r}, which cannot be started from: {error}") from error
