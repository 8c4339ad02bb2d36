"""Pipelines of random weights that are small enough to run in a test."""

from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, UNet2DModel
from torch import nn

from pipeline_synfundus import FundusConditionEncoder, SynFundusPipeline
from pipeline_synfundus.labels import CARDINALITIES, CONDITION_NAMES


def build_tiny_networks(channels: int) -> tuple[UNet2DModel, FundusConditionEncoder]:
    """A UNet on 8x8 latents or pixels, and the condition encoder that fits it."""
    unet = UNet2DModel(
        sample_size=8,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
        attention_head_dim=8,
        class_embed_type="identity",
    )
    encoder = FundusConditionEncoder(list(CONDITION_NAMES), list(CARDINALITIES), width=64)
    return unet, encoder


def build_tiny_pipeline(channels: int, vae: nn.Module | None) -> SynFundusPipeline:
    """A pipeline of random weights on 8x8 latents or pixels, with the bundled pipeline's scheduler."""
    unet, encoder = build_tiny_networks(channels)
    scheduler = DPMSolverMultistepScheduler(
        prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing"
    )
    pipeline = SynFundusPipeline(unet.eval(), encoder.eval(), scheduler, vae)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def build_tiny_autoencoder() -> AutoencoderKL:
    """From 16x16 pixels to 8x8x4 latents."""
    vae = AutoencoderKL(
        latent_channels=4,
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        norm_num_groups=4,
        latents_mean=[0.1, 0.0, -0.1, 0.2],
        latents_std=[1.0, 2.0, 1.5, 0.5],
    )
    return vae.eval()
