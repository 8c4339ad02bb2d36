"""The learning rate and the decay of the averaged weights, both as functions of the images seen."""

from __future__ import annotations

import math

from training.configuration.config import OptimizerConfig
from training.loop.checkpoint import Schedule

# The moving average's half-life is at most this share of the images seen (`ema_rampup_ratio` of Karras et al. 2022):
# the first, untrained weights are soon forgotten.
EMA_RAMP = 0.05


def make_schedule(config: OptimizerConfig) -> Schedule:
    """The length of the run in whole batches, and where its cool-down starts."""
    images = math.ceil(config.images / config.batch_size) * config.batch_size
    return Schedule(images, images - config.cooldown_images)


def learning_rate_at(config: OptimizerConfig, images_seen: int) -> float:
    """Linear warm-up, constant, then a cool-down to 0 along 1 - sqrt (Hägele et al. 2024, section 3).

    Until the cool-down the rate does not depend on `images`: a run can be extended, or end early.
    """
    if images_seen < config.warmup_images:
        return config.learning_rate * (images_seen + config.batch_size) / (config.warmup_images + config.batch_size)
    progress = max(0, images_seen - make_schedule(config).cooldown_start) / max(1, config.cooldown_images)
    return config.learning_rate * (1 - math.sqrt(min(progress, 1.0)))


def ema_decay_at(config: OptimizerConfig, images_seen: int) -> float:
    """The share of itself that the moving average keeps in one step, from its half-life in images."""
    half_life = min(config.ema_half_life_images, EMA_RAMP * images_seen)
    return 0.5 ** (config.batch_size / half_life) if half_life > 0 else 0.0
