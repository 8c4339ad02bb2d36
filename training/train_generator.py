"""Trains the generator: a diffusion model on the autoencoder's latents, or on pixels, conditioned on labels.

    python -m training.train_generator --config training/configs/fundus-512.yaml
    accelerate launch -m training.train_generator --config training/configs/fundus-512.yaml

The same command resumes an interrupted run. The result is `<output_dir>/pipeline`, which
`DiffusionPipeline.from_pretrained(..., trust_remote_code=True)` loads.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from diffusers import DPMSolverMultistepScheduler

from pipeline_synfundus import SynFundusPipeline
from synfundus.files import atomic_folder, write_text
from training.card.model_card import RECORD_NAME, make_record, render_card
from training.card.sample_grid import draw_sample_grid
from training.command_line.stage import run_stage
from training.configuration.config import OptimizerConfig, TrainingConfig
from training.configuration.networks import build_models, load_autoencoder
from training.data.generator_data import GeneratorData, load_data
from training.data.order import EpochOrder
from training.loop.engine import Trainer, make_accelerator
from training.losses.flow_matching import TIME_SCALE, FlowMatchingLoss, validation_loss


def make_scheduler(shift: float) -> DPMSolverMultistepScheduler:
    """DPM-Solver++ for rectified flow: the noise level falls from 1 to 0, and the UNet predicts noise minus image.

    Args:
        shift: shift of the sampling times towards noise (Esser et al. 2024, eq. 23).
    """
    return DPMSolverMultistepScheduler(
        num_train_timesteps=TIME_SCALE, prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift
    )


def save_pipeline(pipeline: SynFundusPipeline, folder: Path, record: dict[str, Any]) -> None:
    """Writes the pipeline in half precision, its card and its training record; all of it or nothing."""
    for module in (pipeline.unet, pipeline.condition_encoder, pipeline.vae):
        if module is not None:
            module.half()
    with atomic_folder(folder) as temporary:
        pipeline.save_pretrained(temporary)
        write_text(temporary / RECORD_NAME, json.dumps(record, indent=1) + "\n")
        write_text(temporary / "README.md", render_card(record, pipeline, folder.name))


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
    scheduler = make_scheduler(stage.timestep_shift)
    pipeline = SynFundusPipeline(unet, encoder, scheduler, vae, **stage.sampling_defaults)
    if stage.half_resolution is not None:
        train_resolution(config, pipeline, accelerator, stage.half_resolution, config.resolution // 2)
    data = train_resolution(config, pipeline, accelerator, stage.optimizer, config.resolution)
    if accelerator.is_main_process:
        photographs = data.training.codes[: len(data.training.codes) - data.training.num_spoiled]
        num_held_out = len(data.validation.codes) if data.validation else 0
        record = make_record(config, pipeline, photographs, data.training.num_spoiled, num_held_out)
        save_pipeline(pipeline, output / "pipeline", record)
    accelerator.wait_for_everyone()
    return output / "pipeline"


def train_resolution(
    config: TrainingConfig,
    pipeline: SynFundusPipeline,
    accelerator: Accelerator,
    optimizer: OptimizerConfig,
    resolution: int,
) -> GeneratorData:
    """Trains the pipeline's UNet and condition encoder at one resolution and returns what they were trained on.

    The samples of the half resolution are drawn from noise of half the side.
    """
    full = resolution == config.resolution
    folder = Path(config.output_dir) / ("generator" if full else "generator-half")
    folder.mkdir(parents=True, exist_ok=True)
    with accelerator.main_process_first():
        data = load_data(config, pipeline.vae, resolution)
    shift = config.generator.timestep_shift if full else 1.0
    loss = FlowMatchingLoss(pipeline.unet, pipeline.condition_encoder, data.training, config.generator, shift)
    side = resolution // pipeline.vae.config.patch_size if pipeline.vae is not None else resolution

    def evaluate(path: Path) -> dict[str, float]:
        pipeline.to(accelerator.device)
        pipeline.unet.register_to_config(sample_size=side)
        pipeline.scheduler.register_to_config(flow_shift=shift)
        draw_sample_grid(pipeline, path, accelerator)
        if data.validation is None:
            return {}
        return {"validation_loss": validation_loss(loss, data.validation, config.seed, accelerator)}

    order = EpochOrder(np.arange(len(data.training.codes)), data.weights, config.seed)
    Trainer(loss, optimizer, order, folder, accelerator, config.seed, evaluate).run()
    return data


if __name__ == "__main__":
    run_stage(train, (__doc__ or "").splitlines()[0])
