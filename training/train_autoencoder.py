"""Trains the first stage, the autoencoder that turns photographs into latents and back.

    python -m training.train_autoencoder --config training/configs/fundus-128.yaml
    accelerate launch -m training.train_autoencoder --config training/configs/fundus-128.yaml

Where the configuration has `autoencoder.decoder`, the decoder is then trained further by itself, against a
discriminator. The same command goes on after an interruption. The result is `<output_dir>/vae`, a
`diffusers.AutoencoderKL` whose `latents_mean` and `latents_std` bring every latent channel to mean 0 and standard
deviation 1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image

from synfundus.images import to_images, to_tensor
from training.command_line.stage import run_stage
from training.configuration.config import ConfigError, TrainingConfig
from training.configuration.networks import build_autoencoder
from training.data.order import EpochOrder
from training.data.prepared import PreparedData, prepare_data
from training.loop.engine import Trainer, make_accelerator
from training.losses.autoencoder_losses import AutoencoderLoss, DecoderLoss

ENCODING_BATCH = 16


@torch.no_grad()
def encode_images(vae: AutoencoderKL, images: np.ndarray) -> torch.Tensor:
    """The latents' means of uint8 images, not yet normalised; shape (B, C, h, w)."""
    return vae.encode(to_tensor(images, vae.device).to(vae.dtype)).latent_dist.mean.float()


def measure_latents(vae: AutoencoderKL, data: PreparedData, rows: np.ndarray) -> dict[str, list[float]]:
    """Mean and standard deviation of every latent channel over these rows, for `latents_mean` and `latents_std`."""
    parts = np.array_split(np.sort(rows), max(1, len(rows) // ENCODING_BATCH))
    latents = torch.cat([encode_images(vae, data.images[part]) for part in parts])
    mean, std = latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3))
    return {"latents_mean": mean.tolist(), "latents_std": std.tolist()}


@torch.no_grad()
def reconstruction_grid(vae: AutoencoderKL, images: np.ndarray) -> Image.Image:
    """Photographs above, their reconstructions below."""
    decoded = to_images(vae.decode(encode_images(vae, images).to(vae.dtype)).sample)
    return Image.fromarray(np.concatenate([np.concatenate([*images], axis=1), np.concatenate([*decoded], axis=1)]))


def train(config: TrainingConfig) -> Path:
    """Trains the autoencoder and returns the folder it is saved in.

    Raises:
        ConfigError: if the configuration has no section `autoencoder` or its model cannot be built.
    """
    stage = config.autoencoder
    if stage is None:
        raise ConfigError(f"{config.path} has no section `autoencoder`: its generator works on pixels")
    output = Path(config.output_dir)
    accelerator = make_accelerator(config, output / "autoencoder")
    with accelerator.main_process_first():
        data = prepare_data(config.data, config.resolution, output / "cache")
    training_rows, validation_rows = data.split(config.data.validation_share, config.seed)
    torch.manual_seed(config.seed)
    vae = build_autoencoder(stage)
    if config.compile:
        vae.encoder.compile()
        vae.decoder.compile()
    shown = data.images[(validation_rows if len(validation_rows) else training_rows)[:10]]

    def evaluate(path: Path) -> dict[str, float]:
        if accelerator.is_main_process:
            reconstruction_grid(vae, shown).save(path)
        return {}

    order = EpochOrder(training_rows, seed=config.seed)
    loss = AutoencoderLoss(vae, stage, data)
    Trainer(loss, stage.optimizer, order, output / "autoencoder", accelerator, config.seed, evaluate).run()
    if stage.decoder is not None:
        accelerator = make_accelerator(config, output / "decoder")
        loss = DecoderLoss(vae, stage, data)
        Trainer(loss, stage.decoder.optimizer, order, output / "decoder", accelerator, config.seed, evaluate).run()
    if accelerator.is_main_process:
        vae.register_to_config(**measure_latents(vae, data, training_rows[:2000]))
        vae.save_pretrained(output / "vae")
    accelerator.wait_for_everyone()
    return output / "vae"


if __name__ == "__main__":
    run_stage(train, (__doc__ or "").splitlines()[0])
