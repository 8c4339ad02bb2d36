"""The settings of a distillation, and their presets."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from dataset_script.plan.condition_plan import DEFAULT_PLAN
from training.configuration.config import LOGGERS, ConfigError, OptimizerConfig

# A student needs as many evaluations as steps, because it has no guidance.
LARGEST_STEPS = 4

# fmt: off
PRESETS: dict[str, dict[str, Any]] = {
    # measured in bf16 on a generator of 128 pixels: Frechet distance 4 % higher, label AUC 0.003 lower
    "cpu": {"images": 1800, "batch_size": 8, "learning_rate": 1e-4, "mixed_precision": "no"},
    # not yet trained; sized for minutes of one data-centre GPU
    "gpu": {"images": 200_000, "batch_size": 128, "learning_rate": 2e-4, "mixed_precision": "bf16"},
}
# fmt: on


@dataclass(frozen=True)
class DistillationSettings:
    """A distillation; the fields are options of `training.distil`.

    Attributes:
        output_dir: folder for checkpoints, logs and the finished pipeline.
        model: folder or Hub id of the generator to distil; None for the bundled one.
        revision: revision of a Hub id.
        plan: a plan of conditions (see `dataset_script.plan`); the student learns from its rows.
        steps: sampling steps of the student, which are its evaluations of the network per image; 1 to 4.
        teacher_steps: steps that the guided teacher takes for the same way; a multiple of `steps`.
        guidance_scale: the teacher's guidance scale; None for the generator's default.
        images: images sampled in training; each gives one training pair per step.
        batch_size: images per optimizer step.
        learning_rate: the peak rate.
        mixed_precision: `no` or `bf16`; see `TrainingConfig`.
        log_with: loggers in addition to `log.jsonl`: `tensorboard`, `trackio`.
        seed: seed of everything random.
    """

    output_dir: str
    model: str | None = None
    revision: str | None = None
    plan: str = str(DEFAULT_PLAN)
    steps: int = 4
    teacher_steps: int = 12
    guidance_scale: float | None = None
    images: int = PRESETS["cpu"]["images"]
    batch_size: int = PRESETS["cpu"]["batch_size"]
    learning_rate: float = PRESETS["cpu"]["learning_rate"]
    mixed_precision: str = PRESETS["cpu"]["mixed_precision"]
    log_with: list[str] = field(default_factory=list)
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("images", "batch_size", "learning_rate"):
            _check(getattr(self, name) > 0, name, getattr(self, name), "positive")
        _check(1 <= self.steps <= LARGEST_STEPS, "steps", self.steps, f"1 to {LARGEST_STEPS}")
        whole = self.teacher_steps > 0 and self.teacher_steps % self.steps == 0
        _check(whole, "teacher_steps", self.teacher_steps, f"a positive multiple of --steps, which is {self.steps}")
        scale = self.guidance_scale
        _check(scale is None or 0 <= scale < float("inf"), "guidance_scale", scale, "a number of 0 or more")
        precisions = ("no", "bf16")
        _check(self.mixed_precision in precisions, "mixed_precision", self.mixed_precision, ", ".join(precisions))
        allowed = f"some of {', '.join(LOGGERS)}"
        _check(set(self.log_with) <= set(LOGGERS), "log_with", self.log_with, allowed)

    @property
    def optimizer(self) -> OptimizerConfig:
        """Length and speed of the training; weights are not decayed, because they start from trained ones.

        Only the cool-down depends on the length, so a run can be extended or shortened before it.
        """
        return OptimizerConfig(
            images=self.images,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            warmup_images=min(5 * self.batch_size, self.images // 4),
            cooldown_images=self.images // 4,
            weight_decay=0.0,
            ema_half_life_images=10 * self.batch_size,
            checkpoint_images=10 * self.batch_size,
            sample_images=self.images,
        )

    @property
    def shaping(self) -> dict[str, Any]:
        """The settings that shape the weights and must not change within one run.

        The length may, before its cool-down. Digests of the generator and the plan stand for where they are.
        """
        values = dataclasses.asdict(self)
        return {name: values[name] for name in _SHAPING}


_SHAPING = ("steps", "teacher_steps", "batch_size", "learning_rate", "mixed_precision", "seed")


def _check(condition: bool, name: str, value: Any, allowed: str) -> None:
    if not condition:
        raise ConfigError(f"--{name.replace('_', '-')} is {value!r}, but must be {allowed}")
