"""The settings of an adaptation, and the training configuration that follows from them and the generator."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pipeline_synfundus import SynFundusPipeline
from training.configuration.config import ConfigError, DataConfig, GeneratorConfig, OptimizerConfig, TrainingConfig

# Shift of the times of training for each position along a side of the latents: 6 for 32x32 latents, where smaller ones
# left the layout to the noise (docs/experiments.md); in proportion to the side as in Esser et al. 2024, section 5.3.2.
SHIFT_PER_SIDE = 6 / 32


@dataclass(frozen=True)
class AdaptationSettings:
    """An adaptation; the fields are options of `training.adapt`.

    Attributes:
        data: the photographs.
        out: folder for caches, checkpoints, logs and the finished pipeline.
        model: folder or Hub id of the generator to start from; None for the bundled one.
        revision: revision of a Hub id.
        minutes: time after which no further round is trained.
        images: images after which no further round is trained.
        evaluation_images: images per round; the weights are evaluated after each.
        patience: rounds without a lower validation loss after which the adaptation ends.
        samples: images that each evaluation generates and compares with the training photographs.
        batch_size: images per optimizer step.
        learning_rate: the rate, constant after a warm-up of half a round.
        mixed_precision: `no` or `bf16`; see `TrainingConfig`.
        seed: seed of everything random.
    """

    data: DataConfig
    out: str
    model: str | None = None
    revision: str | None = None
    minutes: float = 15.0
    images: int = 50_000
    evaluation_images: int = 1_000
    patience: int = 3
    samples: int = 48
    batch_size: int = 16
    learning_rate: float = 1e-4
    mixed_precision: str = "no"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("minutes", "images", "evaluation_images", "patience", "samples", "batch_size", "learning_rate"):
            value = getattr(self, name)
            if not value > 0:
                raise ConfigError(f"--{name.replace('_', '-')} is {value!r}, but must be positive")

    @property
    def round_images(self) -> int:
        """Images per round, in whole batches."""
        return math.ceil(self.evaluation_images / self.batch_size) * self.batch_size

    def optimizer(self, images: int) -> OptimizerConfig:
        """Length and speed of a training of so many images.

        Only the length depends on it. So the weights after some number of images are the same wherever the run ends,
        and the moving average takes the place of a cool-down.
        """
        return OptimizerConfig(
            images=images,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            warmup_images=self.round_images // 2,
            ema_half_life_images=self.round_images,
            checkpoint_images=self.round_images,
            sample_images=images,
        )

    def training_config(self, pipeline: SynFundusPipeline) -> TrainingConfig:
        """The adaptation as a training configuration, for what works on one: data, fingerprint, record and card.

        Args:
            pipeline: the generator to start from.

        Raises:
            ConfigError: for a setting that is not allowed.
        """
        model: dict[str, Any] = {key: value for key, value in pipeline.unet.config.items() if not key.startswith("_")}
        optimizer = self.optimizer(max(self.images, self.round_images))
        shift = max(1.0, SHIFT_PER_SIDE * pipeline.unet.config.sample_size)
        generator = GeneratorConfig(model, optimizer, timestep_sampling="uniform", timestep_shift=shift)
        return TrainingConfig(
            output_dir=self.out,
            resolution=pipeline.image_size[0],
            data=self.data,
            generator=generator,
            mixed_precision=self.mixed_precision,
            seed=self.seed,
        )
