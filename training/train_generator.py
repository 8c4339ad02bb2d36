"""Trains the generator: a diffusion model on the autoencoder's latents, or on pixels, conditioned on labels.

    python -m training.train_generator --config training/configs/fundus-128.yaml
    accelerate launch -m training.train_generator --config training/configs/fundus-128.yaml

The same command goes on after an interruption. The result is `<output_dir>/pipeline`, which
`DiffusionPipeline.from_pretrained(..., trust_remote_code=True)` loads.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from diffusers import AutoencoderKL, DDPMScheduler, DPMSolverMultistepScheduler, UNet2DModel
from torch import nn

from pipeline_synfundus import FundusConditionEncoder, SynFundusPipeline
from pipeline_synfundus.labels import UNKNOWN
from training.card.model_card import RECORD_NAME, make_record, render_card
from training.card.sample_grid import draw_sample_grid
from training.command_line.stage import run_stage
from training.configuration.config import ConfigError, GeneratorConfig, TrainingConfig
from training.configuration.networks import build_models
from training.data.examples import Examples, encode_examples, make_examples
from training.data.order import EpochOrder, rare_label_weights
from training.data.prepared import prepare_data
from training.loop.engine import Trainer, make_accelerator, seeded_generator
from training.train_autoencoder import encode_images

# v-prediction (Salimans and Ho 2022) with zero terminal signal-to-noise ratio (Lin et al. 2024): fundus photographs
# differ much in brightness, which a schedule that ends short of pure noise cannot reach.
SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "clip_sample": False,  # of latents; kept in the pipeline for schedulers that would clip unless told
}
VALIDATION_BATCH = 32
VALIDATION_ROWS = 256


def drop_labels(codes: torch.Tensor, config: GeneratorConfig, generator: torch.Generator) -> torch.Tensor:
    """Shows some known labels, and all labels of some images, as unknown.

    Args:
        codes: integers of shape (B, 16).
        config: its `label_dropout` and `condition_dropout` are used.
        generator: decides which.
    """
    share = config.label_dropout * torch.rand(len(codes), 1, generator=generator)
    single = torch.rand(codes.shape, generator=generator) < share
    whole = torch.rand(len(codes), 1, generator=generator) < config.condition_dropout
    return torch.where(single | whole, UNKNOWN, codes)


class DiffusionLoss(nn.Module):
    """Mean squared error of the predicted velocity, weighted by the signal-to-noise ratio if the config says so."""

    def __init__(
        self, unet: UNet2DModel, encoder: FundusConditionEncoder, examples: Examples, config: GeneratorConfig
    ) -> None:
        super().__init__()
        self.unet, self.encoder, self.config = unet, encoder, config
        self.scheduler = DDPMScheduler(**SCHEDULE)
        self._weights = time_weights(self.scheduler, config.min_snr_gamma)
        self._examples = examples

    def forward(self, rows: np.ndarray, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """The loss on these examples, some mirrored, some with labels dropped."""
        flipped = (torch.rand(len(rows), generator=generator) < 0.5).numpy()
        inputs, codes = self._examples.take(rows, flipped)
        errors, times = self.velocity_errors(inputs, drop_labels(codes, self.config, generator), generator)
        return {"loss": (errors * self._weights.to(errors.device)[times]).mean()}

    def velocity_errors(
        self, inputs: torch.Tensor, codes: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Each image's mean squared error at a random time, with random noise, and the times; both of shape (B,)."""
        device = self.unet.device
        noise = torch.randn(inputs.shape, generator=generator)
        times = torch.randint(self.scheduler.config.num_train_timesteps, (len(inputs),), generator=generator)
        inputs, noise, times = inputs.to(device), noise.to(device), times.to(device)
        noisy = self.scheduler.add_noise(inputs, noise, times)
        target = self.scheduler.get_velocity(inputs, noise, times)
        predicted = self.unet(noisy, times, class_labels=self.encoder(codes.to(device))).sample
        return (predicted.float() - target).square().mean(dim=(1, 2, 3)), times


def time_weights(scheduler: DDPMScheduler, min_snr_gamma: float | None) -> torch.Tensor:
    """The weight of the velocity's error at every time: min(SNR, gamma) / (SNR + 1), or 1 (Hang et al. 2023, eq. 8).

    Returns:
        Tensor of shape (train timesteps,).
    """
    if min_snr_gamma is None:
        return torch.ones(scheduler.config.num_train_timesteps)
    signal = scheduler.alphas_cumprod
    snr = signal / (1 - signal)
    return snr.clamp(max=min_snr_gamma) / (snr + 1)


@torch.no_grad()
def validation_loss(loss: DiffusionLoss, examples: Examples, seed: int, accelerator: Accelerator) -> float:
    """The unweighted loss on held-out examples, with the same times and noise at every call.

    Every process calls this and measures a share.
    """
    count = min(len(examples.codes), VALIDATION_ROWS)
    starts = range(0, count, VALIDATION_BATCH)[accelerator.process_index :: accelerator.num_processes]
    total = torch.zeros((), device=accelerator.device)
    for start in starts:
        rows = np.arange(start, min(start + VALIDATION_BATCH, count))
        inputs, codes = examples.take(rows, np.zeros(len(rows), dtype=bool))
        total += loss.velocity_errors(inputs, codes, seeded_generator(seed, 5, start))[0].sum()
    return float(accelerator.reduce(total, "sum")) / count


def load_autoencoder(config: TrainingConfig) -> AutoencoderKL | None:
    """The finished first stage, or None where the generator works on pixels.

    Raises:
        ConfigError: if it should be there and is not, or does not fit `generator.model`.
    """
    model = config.generator.model
    if config.autoencoder is None:
        size, channels = config.resolution, 3
        vae = None
    else:
        folder = Path(config.output_dir) / "vae"
        if not (folder / "config.json").exists():
            raise ConfigError(f"there is no autoencoder in {folder}; run training.train_autoencoder first")
        vae = AutoencoderKL.from_pretrained(folder).eval().requires_grad_(False)
        size = config.resolution // 2 ** (len(vae.config.block_out_channels) - 1)
        channels = vae.config.latent_channels
    for name, wanted in (("sample_size", size), ("in_channels", channels), ("out_channels", channels)):
        if model.get(name) != wanted:
            raise ConfigError(f"generator.model.{name} is {model.get(name)!r}, but must be {wanted}")
    return vae


def load_examples(config: TrainingConfig, vae: AutoencoderKL | None) -> tuple[Examples, Examples | None]:
    """Examples to train on, and held-out ones (None if no group is held out)."""
    cache = Path(config.output_dir) / "cache"
    data = prepare_data(config.data, config.resolution, cache)
    training_rows, validation_rows = data.split(config.data.validation_share, config.seed)
    parts: list[Examples | None] = []
    for rows, share in ((training_rows, config.generator.degraded_share), (validation_rows, 0.0)):
        examples = make_examples(data, rows, share, config.seed) if len(rows) else None
        if examples is not None and vae is not None:
            examples = encode_examples(examples, vae, encode_images, cache)
        parts.append(examples)
    if parts[0] is None:
        raise ConfigError("data.validation_share leaves no row to train on")
    return parts[0], parts[1]


def save_pipeline(pipeline: SynFundusPipeline, folder: Path, record: dict[str, Any]) -> None:
    """Writes the pipeline in half precision, its card and its training record; all of it or nothing."""
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    for module in (pipeline.unet, pipeline.condition_encoder, pipeline.vae):
        if module is not None:
            module.half()
    pipeline.save_pretrained(temporary)
    (temporary / RECORD_NAME).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (temporary / "README.md").write_text(render_card(record, pipeline, folder.name), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(temporary, folder)


def train(config: TrainingConfig) -> Path:
    """Trains the generator and returns the pipeline's folder.

    Raises:
        ConfigError: for a configuration or data that cannot be used, before the training starts.
    """
    stage, output = config.generator, Path(config.output_dir)
    folder = output / "generator"
    accelerator = make_accelerator(config, folder)
    vae = load_autoencoder(config)
    if vae is not None:
        vae.to(accelerator.device)
    unet, encoder = build_models(config)
    if config.compile:
        unet.compile()
    with accelerator.main_process_first():
        training, validation = load_examples(config, vae)
    loss = DiffusionLoss(unet, encoder, training, stage)
    pipeline = SynFundusPipeline(
        unet,
        encoder,
        DPMSolverMultistepScheduler.from_config(SCHEDULE),
        vae,
        stage.num_inference_steps,
        stage.guidance_scale,
        stage.guidance_start,
        stage.guidance_end,
    )

    def evaluate(path: Path) -> dict[str, float]:
        pipeline.to(accelerator.device)
        draw_sample_grid(pipeline, path, accelerator)
        return {"validation_loss": validation_loss(loss, validation, config.seed, accelerator)} if validation else {}

    weights = rare_label_weights(training.codes, stage.rare_label_repeats)
    order = EpochOrder(np.arange(len(training.codes)), weights, config.seed)
    Trainer(loss, stage.optimizer, order, folder, accelerator, config.seed, evaluate).run()
    if accelerator.is_main_process:
        photographs = training.codes[: len(training.codes) - training.num_spoiled]
        num_held_out = len(validation.codes) if validation else 0
        record = make_record(config, pipeline, photographs, training.num_spoiled, num_held_out)
        save_pipeline(pipeline, output / "pipeline", record)
    accelerator.wait_for_everyone()
    return output / "pipeline"


if __name__ == "__main__":
    run_stage(train, (__doc__ or "").splitlines()[0])
