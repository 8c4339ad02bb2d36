"""The generator's training data at one resolution: examples, how often each is seen, and validation examples."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.configuration.config import ConfigError, TrainingConfig
from training.data.examples import Examples, LatentEncoder, encode_examples, make_examples
from training.data.order import balanced_weights
from training.data.prepared import prepare_data


@dataclass(frozen=True)
class GeneratorData:
    """What one resolution of the generator is trained on.

    Attributes:
        training: the examples it is trained on.
        weights: how often each of them is seen in an epoch, on average, shape (N,).
        validation: the examples it is validated on; None where no patient is held out.
        digest: SHA-256 of the prepared photographs and labels that the examples are made of.
    """

    training: Examples
    weights: np.ndarray
    validation: Examples | None
    digest: str


def load_data(config: TrainingConfig, encoder: LatentEncoder | None, resolution: int) -> GeneratorData:
    """Prepares the examples of one resolution; all arrays that grow with the images are memory-mapped files.

    Args:
        config: the data, and how the examples are made.
        encoder: turns images into latents; None where the generator works on pixels.
        resolution: side of the images in pixels.

    Raises:
        ConfigError: for a source that cannot be used, or that leaves no row to train on.
    """
    stage, cache = config.generator, Path(config.output_dir) / "cache"
    data = prepare_data(config.data, resolution, cache)
    sharp = (data.native_sizes == 0) | (data.native_sizes >= stage.smallest_native_share * resolution)
    parts = data.split(config.data, config.seed)
    used, held_out = parts["training"], parts["validation"][sharp[parts["validation"]]]
    if stage.enlarged_smallest_time is None:
        used = used[sharp[used]]
    if not len(used):
        raise ConfigError("data: the held-out shares and generator.smallest_native_share leave no row to train on")
    training = make_examples(data, used, stage.degraded_share, config.seed, cache)
    if stage.enlarged_smallest_time is not None:
        training = dataclasses.replace(training, enlarged=~sharp[training.source_rows])
    validation = make_examples(data, held_out, 0.0, config.seed, cache) if len(held_out) else None
    weights = balanced_weights(training.codes, training.sources, stage.rare_label_repeats)
    if encoder is not None:
        training = encode_examples(training, encoder, cache)
        validation = encode_examples(validation, encoder, cache) if validation else None
    return GeneratorData(training, weights, validation, data.digest)
