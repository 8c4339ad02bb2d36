"""Trains the first stage, the autoencoder that turns photographs into latents and back.

    python -m training.train_autoencoder --config training/configs/fundus-512.yaml
    accelerate launch -m training.train_autoencoder --config training/configs/fundus-512.yaml

The linear part starts as the principal components of patches, or the whole network as `autoencoder.pretrained`. The
network is trained on random crops of photographs and its latents are scaled; where the configuration has
`autoencoder.decoder`, the decoder is then trained further by itself against a discriminator. The same command resumes
an interrupted run. The result is `<output_dir>/vae`, a `FundusAutoencoder`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image

from pipeline_synfundus import FundusAutoencoder
from pipeline_synfundus.photograph import FIELD_THRESHOLD
from synfundus.files import atomic_folder
from synfundus.images import to_images
from training.command_line.stage import run_stage
from training.configuration.config import ConfigError, OptimizerConfig, TrainingConfig
from training.configuration.networks import build_autoencoder
from training.data.crops import sample_patches
from training.data.examples import encode_images
from training.data.order import EpochOrder
from training.data.prepared import PreparedData, prepare_data
from training.loop.engine import Trainer, make_accelerator
from training.losses.autoencoder_losses import AutoencoderLoss, DecoderLoss

NUM_PATCHES = 20_000
NUM_MEASURED = 200
NUM_SHOWN = 4


@torch.no_grad()
def reconstruct(vae: FundusAutoencoder, images: np.ndarray) -> np.ndarray:
    """The reconstructions of uint8 images of shape (B, S, S, 3), as the same kind of array."""
    return to_images(vae.decode(encode_images(vae, images).to(vae.dtype), return_dict=False)[0])


def reconstruction_grid(vae: FundusAutoencoder, images: np.ndarray) -> Image.Image:
    """Photographs above, their reconstructions below."""
    decoded = reconstruct(vae, images)
    return Image.fromarray(np.concatenate([np.concatenate([*images], axis=1), np.concatenate([*decoded], axis=1)]))


def field_psnr(vae: FundusAutoencoder, images: np.ndarray) -> float:
    """Mean peak signal-to-noise ratio of reconstructions inside the field of view, in dB.

    Args:
        vae: the autoencoder.
        images: uint8 photographs of shape (N, S, S, 3).
    """
    ratios = []
    for image in images:
        inside = image.max(axis=2) > FIELD_THRESHOLD
        error = np.square(reconstruct(vae, image[None])[0][inside].astype(np.float32) - image[inside]).mean()
        ratios.append(10 * np.log10(255**2 / max(float(error), 1e-6)))
    return float(np.mean(ratios))


@torch.no_grad()
def scale_latents(vae: FundusAutoencoder, images: np.ndarray) -> None:
    """Scales the channels of the latents, exactly folded into the neighbouring layers: reconstructions stay the same.

    Afterwards a channel's standard deviation is proportional to the square root of that of its share in the image (its
    deviation times the norm of its synthesis kernel), and the mean square deviation over the channels is 1. At an equal
    budget this gave a better generator than whitened channels and than unscaled ones (docs/experiments.md).

    Args:
        vae: the autoencoder.
        images: uint8 photographs of shape (N, S, S, 3) to measure on.
    """
    latents = torch.cat([encode_images(vae, image[None]).cpu() for image in images])
    deviations = latents.std(dim=(0, 2, 3)).to(vae.device).clamp_min(1e-6)
    shares = deviations * vae.synthesis.weight.flatten(1).norm(dim=1)
    wanted = shares.sqrt() / shares.mean().sqrt()
    vae.scale_channels(wanted / deviations)


def train(config: TrainingConfig) -> Path:
    """Trains the autoencoder and returns the folder it is saved in.

    Raises:
        ConfigError: if the configuration has no section `autoencoder` or its model cannot be built.
    """
    stage = config.autoencoder
    if stage is None:
        raise ConfigError(f"{config.path} has no section `autoencoder`: its generator works on pixels")
    output = Path(config.output_dir)
    torch.manual_seed(config.seed)
    vae = build_autoencoder(stage)
    if stage.optimizer is None and stage.decoder is None:
        return _save(vae, output / "vae")
    accelerator = make_accelerator(config, output / "autoencoder")
    with accelerator.main_process_first():
        data = prepare_data(config.data, config.resolution, output / "cache")
    if config.compile:
        vae.encoder.compile()
        vae.decoder.compile()
    runner = _StageRunner(config, vae, data)
    if stage.optimizer is not None:
        if stage.pretrained is None:
            vae.initialize_linear(sample_patches(data, runner.rows, stage, NUM_PATCHES, config.seed))
        runner.run("autoencoder", AutoencoderLoss(vae, stage, data), stage.optimizer, accelerator)
        scale_latents(vae, runner.measured)
    if stage.decoder is not None:
        accelerator = make_accelerator(config, output / "decoder")
        runner.run("decoder", DecoderLoss(vae, stage, data), stage.decoder.optimizer, accelerator)
    if accelerator.is_main_process:
        _save(vae, output / "vae")
    accelerator.wait_for_everyone()
    return output / "vae"


class _StageRunner:
    """Trains one stage after the other on the same photographs, and measures each on validation photographs."""

    def __init__(self, config: TrainingConfig, vae: FundusAutoencoder, data: PreparedData) -> None:
        parts = data.split(config.data, config.seed)
        self.config, self.vae, self.rows = config, vae, parts["training"]
        rng = np.random.default_rng([config.seed, 6])
        self.measured = data.images[np.sort(rng.permutation(self.rows)[:NUM_MEASURED])]
        shown = parts["validation"] if len(parts["validation"]) else self.rows
        self.shown = data.images[np.sort(rng.permutation(shown)[:NUM_SHOWN])]

    def run(self, name: str, loss: AutoencoderLoss, optimizer: OptimizerConfig, accelerator: Accelerator) -> None:
        def evaluate(path: Path) -> dict[str, float]:
            if not accelerator.is_main_process:
                return {}
            reconstruction_grid(self.vae, self.shown).save(path)
            return {"validation_psnr": field_psnr(self.vae, self.shown)}

        order = EpochOrder(self.rows, seed=self.config.seed)
        folder = Path(self.config.output_dir) / name
        Trainer(loss, optimizer, order, folder, accelerator, self.config.seed, evaluate).run()


def _save(vae: FundusAutoencoder, folder: Path) -> Path:
    with atomic_folder(folder) as temporary:
        vae.save_pretrained(temporary)
    return folder


if __name__ == "__main__":
    run_stage(train, (__doc__ or "").splitlines()[0])
