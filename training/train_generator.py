"""Trains the generator: a diffusion model on the autoencoder's latents, or on pixels, conditioned on labels.

    python -m training.train_generator --config training/configs/fundus-512.yaml
    accelerate launch -m training.train_generator --config training/configs/fundus-512.yaml

The same command resumes an interrupted run and leaves a finished one as it is; `--finish` makes the pipeline from the
newest checkpoint of an unfinished run. The result is `<output_dir>/pipeline`, which
`DiffusionPipeline.from_pretrained(..., trust_remote_code=True)` loads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from diffusers import DPMSolverMultistepScheduler

from pipeline_synfundus import SynFundusPipeline
from training.card.model_card import make_record, was_made_from
from training.card.pipeline_folder import save_pipeline
from training.card.sample_grid import draw_sample_grid
from training.command_line.stage import run_stage
from training.configuration.config import OptimizerConfig, TrainingConfig
from training.configuration.fingerprint import make_fingerprint, weights_digest
from training.configuration.networks import build_models, load_autoencoder
from training.data.examples import LatentEncoder, fundus_encoder, in_mixed_precision
from training.data.generator_data import GeneratorData, load_data
from training.data.order import EpochOrder
from training.data.prepared import prepare_data
from training.loop.processes import call_on_main_process, make_accelerator, one_process_at_a_time
from training.loop.schedule import make_schedule
from training.loop.trainer import Trainer
from training.losses.flow_matching import TIME_SCALE, FlowMatchingLoss, validation_loss


def make_scheduler(shift: float) -> DPMSolverMultistepScheduler:
    """DPM-Solver++ for rectified flow: the noise level falls from 1 to 0, and the UNet predicts noise minus image.

    Args:
        shift: shift of the sampling times towards noise (Esser et al. 2024, eq. 23).
    """
    return DPMSolverMultistepScheduler(
        num_train_timesteps=TIME_SCALE, prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift
    )


def train(config: TrainingConfig, finish: bool = False) -> Path:
    """Trains the generator and returns the pipeline's folder.

    Args:
        config: the run.
        finish: do not train: make the pipeline from the averaged weights of the newest checkpoint.

    Raises:
        ConfigError: for a configuration or data that cannot be used, before the training starts.
        CheckpointError: if the run cannot be resumed, or a checkpoint cannot be written.
        TrainingStopped: if a signal or steps that are not finite end the run early.
    """
    run = _GeneratorRun(config, finish)
    wanted = run.made_from(make_schedule(config.generator.optimizer).images)
    # Without a common disk, only the main process's node has the pipeline.
    if not finish and call_on_main_process(lambda: was_made_from(run.folder, wanted)):
        run.accelerator.print("the run is finished: nothing to do")
        return run.folder
    half = config.generator.half_resolution
    if half is not None:
        run.train_stage("generator-half", half, config.resolution // 2)
    data, images_seen = run.train_stage("generator", config.generator.optimizer, config.resolution)
    if run.accelerator.is_main_process and not was_made_from(run.folder, run.made_from(images_seen)):
        photographs = data.training.codes[: len(data.training.codes) - data.training.num_spoiled]
        num_held_out = len(data.validation.codes) if data.validation else 0
        made_from = run.made_from(images_seen)
        record = make_record(config, run.pipeline, photographs, data.training.num_spoiled, num_held_out, made_from)
        save_pipeline(run.pipeline, run.folder, record)
    run.accelerator.wait_for_everyone()
    return run.folder


class _GeneratorRun:
    """The pipeline in training, and what its weights depend on."""

    def __init__(self, config: TrainingConfig, finish: bool) -> None:
        output, stage = Path(config.output_dir), config.generator
        self.config, self.finish, self.folder = config, finish, output / "pipeline"
        self.accelerator = make_accelerator(config, output / "generator")
        vae = load_autoencoder(config)
        unet, encoder = build_models(config)
        self._inputs: dict[str, Any] = {"objective": FlowMatchingLoss.__name__}
        self._autoencoder: dict[str, Any] = {}
        self._encoder: LatentEncoder | None = None
        if vae is not None:
            vae.to(self.accelerator.device)
            exact = fundus_encoder(vae)
            self._encoder = in_mixed_precision(exact, self.accelerator.mixed_precision, self.accelerator.device)
            # The weights depend on the latents alone: the decoder may be trained further meanwhile.
            self._inputs["encoder_sha256"] = exact.digest
            self._autoencoder["autoencoder_sha256"] = weights_digest(vae)
        if stage.pretrained is not None:
            self._inputs["pretrained_sha256"] = [weights_digest(unet), weights_digest(encoder)]
        if config.compile:
            unet.compile()
        scheduler = make_scheduler(stage.scheduler_shift)
        self.pipeline = SynFundusPipeline(unet, encoder, scheduler, vae, **stage.sampling_defaults)
        self.pipeline.cpu_backend = "torch"  # compiling weights that change with every grid would take longer
        cache = output / "cache"
        with one_process_at_a_time(self.accelerator, cache):
            self._inputs["photographs_sha256"] = prepare_data(config.data, config.resolution, cache).digest

    def made_from(self, images_seen: int) -> dict[str, Any]:
        """Everything that the finished pipeline depends on."""
        shaped = make_fingerprint(self.config, "generator", **self._inputs)
        stage = self.config.generator
        length = {"images_seen": images_seen, "cooldown_images": stage.optimizer.cooldown_images}
        sampling = stage.sampling_defaults | {"sampling_shift": stage.scheduler_shift}
        return shaped | self._autoencoder | sampling | length

    def train_stage(self, name: str, optimizer: OptimizerConfig, resolution: int) -> tuple[GeneratorData, int]:
        """Trains the UNet and the condition encoder at one resolution.

        The samples of the half resolution are drawn from noise of half the side.

        Returns:
            What they were trained on, and the images seen.
        """
        config, pipeline, accelerator = self.config, self.pipeline, self.accelerator
        output = Path(config.output_dir)
        (output / name).mkdir(parents=True, exist_ok=True)
        with one_process_at_a_time(accelerator, output / "cache"):
            data = load_data(config, self._encoder, resolution)
        full = resolution == config.resolution
        shift = config.generator.timestep_shift if full else 1.0
        sampling_shift = config.generator.scheduler_shift if full else 1.0
        examples = data.training.on_device(accelerator.device)
        loss = FlowMatchingLoss(pipeline.unet, pipeline.condition_encoder, examples, config.generator, shift)
        side = resolution // pipeline.vae.config.patch_size if pipeline.vae is not None else resolution

        def evaluate(path: Path) -> dict[str, float]:
            pipeline.to(accelerator.device)
            draw_sample_grid(pipeline, path, accelerator)
            if data.validation is None:
                return {}
            return {"validation_loss": validation_loss(loss, data.validation, config.seed, accelerator)}

        pipeline.unet.register_to_config(sample_size=side)
        pipeline.scheduler.register_to_config(flow_shift=sampling_shift)
        order = EpochOrder(np.arange(len(data.training.codes)), data.weights, config.seed)
        shaped_by = make_fingerprint(config, name, **self._inputs | {"photographs_sha256": data.digest})
        trainer = Trainer(
            loss,
            optimizer,
            order,
            output / name,
            accelerator,
            config.seed,
            evaluate,
            shaped_by,
            source_rows=data.training.source_rows,
        )
        trainer.run(self.finish)
        return data, trainer.state.images_seen


if __name__ == "__main__":
    run_stage(train, (__doc__ or "").splitlines()[0])
