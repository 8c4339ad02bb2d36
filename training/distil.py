"""Distils a generator to four evaluations of its network per image, guidance included.

    python -m training.distil --out runs/fast

Needs no photographs: the student learns to arrive in one step, without guidance, where the guided generator arrives in
several (see `training.distillation.loss`). The conditions are those of a plan. The result is `<out>/pipeline`, a
pipeline of its own whose defaults are four steps and no guidance.

The same command resumes an interrupted run, and leaves a finished one as it is; `--finish` makes the pipeline from the
newest checkpoint of an unfinished run.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState

from dataset_script.plan.condition_plan import ConditionPlan, load_plan
from dataset_script.plan.plan_file import PlanError
from pipeline_synfundus import SynFundusPipeline
from training.card.model_card import describe_machine, earlier_runs, stage_record, was_made_from
from training.card.pipeline_folder import save_pipeline
from training.card.sample_grid import draw_sample_grid
from training.command_line.errors import one_line_errors
from training.configuration.config import LOGGERS, ConfigError
from training.configuration.pretrained import generator_digests, load_generator
from training.data.order import EpochOrder
from training.distillation.comparison import compare
from training.distillation.loss import DistillationLoss
from training.distillation.sampling import Steps, Teacher, student_scheduler
from training.distillation.settings import PRESETS, DistillationSettings
from training.loop.processes import call_on_main_process, make_accelerator
from training.loop.schedule import make_schedule
from training.loop.trainer import Trainer

STAGE = "distillation"
# Rows of the plan whose labels are trained on, and the next ones, whose samples are compared with the teacher's.
TRAINING_ROWS, COMPARED_ROWS = 10_000, 32


def distil(settings: DistillationSettings, finish: bool = False) -> Path:
    """Distils the generator and returns the folder of the finished pipeline.

    Args:
        settings: the run.
        finish: do not train: make the pipeline from the averaged weights of the newest checkpoint.

    Raises:
        ConfigError: for settings, a generator or a plan that cannot be used, before the training starts.
        CheckpointError: if the run cannot be resumed, or a checkpoint cannot be written.
        TrainingStopped: if a signal or steps that are not finite end the run early.
    """
    run = _Distillation(settings)
    wanted = run.made_from(make_schedule(settings.optimizer).images)
    # Without a common disk, only the main process's node has the pipeline.
    if not finish and call_on_main_process(lambda: was_made_from(run.folder, wanted)):
        run.accelerator.print("the distillation is finished: nothing to do")
        return run.folder
    made_from = run.made_from(run.train(finish))
    if run.accelerator.is_main_process and not was_made_from(run.folder, made_from):
        run.write_pipeline(made_from)
    run.accelerator.wait_for_everyone()
    return run.folder


class _Distillation:
    """The student in training, its teacher, and what its weights depend on."""

    def __init__(self, settings: DistillationSettings) -> None:
        self.settings = settings
        self.folder = Path(settings.output_dir) / "pipeline"
        self._plan = _load_plan(settings.plan)
        start = load_generator(settings.model, settings.revision)
        self.start_folder = start.name_or_path
        self.guidance_scale = settings.guidance_scale
        if self.guidance_scale is None:
            self.guidance_scale = start.config.default_guidance_scale
        self._teacher = Teacher(start, self.guidance_scale)
        self._shaped_by = settings.shaping | {
            "guidance_scale": self.guidance_scale,
            "guidance_interval": list(self._teacher.interval),
            "guidance_keeps_colour": self._teacher.keeps_colour,
            "plan": self._plan.hash,
            "generator_sha256": generator_digests(start),
        }
        scheduler = student_scheduler(start.scheduler)
        self._student_steps, self._teacher_steps = (
            Steps(scheduler, count) for count in (settings.steps, settings.teacher_steps)
        )
        networks = start.unet, start.condition_encoder, scheduler, start.vae
        self.pipeline = SynFundusPipeline(
            *networks, default_num_inference_steps=settings.steps, default_guidance_scale=1.0
        )
        self.pipeline.cpu_backend = "torch"  # compiling weights that change would take longer
        self.accelerator = make_accelerator(settings, Path(settings.output_dir) / STAGE)

    def made_from(self, images_seen: int) -> dict[str, Any]:
        """Everything that the finished pipeline depends on."""
        length = {"images_seen": images_seen, "cooldown_images": self.settings.optimizer.cooldown_images}
        return self._shaped_by | length

    def train(self, finish: bool) -> int:
        """Trains the student from the newest checkpoint, and returns the images seen."""
        pipeline, accelerator, settings = self.pipeline, self.accelerator, self.settings
        loss = DistillationLoss(pipeline, self._teacher, self._plan, self._student_steps, self._teacher_steps)

        def evaluate(path: Path) -> dict[str, float]:
            pipeline.to(accelerator.device)
            draw_sample_grid(pipeline, path, accelerator)
            return compare(loss, range(TRAINING_ROWS, TRAINING_ROWS + COMPARED_ROWS), settings.seed, accelerator)

        trainer = Trainer(
            loss,
            settings.optimizer,
            EpochOrder(np.arange(TRAINING_ROWS), seed=settings.seed),
            Path(settings.output_dir) / STAGE,
            accelerator,
            settings.seed,
            evaluate,
            self._shaped_by,
        )
        trainer.run(finish)
        return trainer.state.images_seen

    def write_pipeline(self, made_from: dict[str, Any]) -> None:
        """Writes the student as a pipeline, with its record and card."""
        self.pipeline.to("cpu")
        networks = [self.pipeline.unet, self.pipeline.condition_encoder]
        log = Path(self.settings.output_dir) / STAGE / "log.jsonl"
        record = describe_machine() | {
            "config": asdict(self.settings),
            "stages": {STAGE: stage_record(log, networks)},
            "earlier_runs": earlier_runs(self.start_folder),
            "made_from": made_from,
            STAGE: {
                "model": self.settings.model or "the bundled generator",
                "revision": self.settings.revision,
                "guidance_scale": self.guidance_scale,
            },
        }
        save_pipeline(self.pipeline, self.folder, record)


def _load_plan(path: str) -> ConditionPlan:
    try:
        return load_plan(path)
    except PlanError as error:
        raise ConfigError(f"--plan: {error}") from error


def parse_settings() -> tuple[DistillationSettings, bool]:
    """Reads the command line: the settings, and whether to finish without more training.

    Raises:
        ConfigError: for a value that is not allowed.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", required=True, help="folder of the run; the result is in its folder `pipeline`")
    parser.add_argument("--model", help="folder or Hub id of the generator to distil (the bundled one)")
    parser.add_argument("--revision", help="revision of the Hub id")
    parser.add_argument("--plan", help="YAML file of the plan whose conditions the student learns from")
    parser.add_argument("--preset", choices=PRESETS, default="cpu", help="size of the run (%(default)s)")
    for name, kind, text in (
        ("steps", int, "evaluations per image of the student, 1 to 4 (4)"),
        ("teacher_steps", int, "guided steps of the teacher for the same way (12)"),
        ("guidance_scale", float, "guidance scale of the teacher (the generator's default)"),
        ("images", int, "images sampled in training (the preset's)"),
        ("batch_size", int, "images per optimizer step (the preset's)"),
        ("learning_rate", float, "peak learning rate (the preset's)"),
        ("seed", int, "seed of everything random (0)"),
    ):
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, help=text)
    parser.add_argument(
        "--mixed-precision", choices=("no", "bf16"), help="bf16 where the device has units for it (the preset's)"
    )
    parser.add_argument("--log-with", nargs="+", choices=LOGGERS, help="loggers in addition to log.jsonl")
    parser.add_argument(
        "--finish", action="store_true", help="make the pipeline from the newest checkpoint, without more training"
    )
    given = vars(parser.parse_args())
    finish, preset = given.pop("finish"), PRESETS[given.pop("preset")]
    values = {name: value for name, value in given.items() if value is not None}
    return DistillationSettings(values.pop("out"), **preset | values), finish


def main() -> None:
    """The command line, with one-line errors."""
    with one_line_errors("between two checkpoints"):
        folder = distil(*parse_settings())
    if PartialState().is_main_process:  # other nodes need not have the folder
        print(f"the result is in {folder}")


if __name__ == "__main__":
    main()
