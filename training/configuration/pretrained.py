"""Loads the trained generator that another training starts from."""

from __future__ import annotations

import torch

from pipeline_synfundus import SynFundusPipeline
from pipeline_synfundus.labels import CARDINALITIES, CONDITION_NAMES
from training.configuration.config import ConfigError
from training.configuration.fingerprint import weights_digest

PREDICTION_TYPES = ("flow_prediction", "v_prediction")


def load_generator(model: str | None, revision: str | None) -> SynFundusPipeline:
    """Loads a generator in float32. No code of the folder or repository is run.

    Args:
        model: folder or Hub id; None for the bundled one.
        revision: revision of a Hub id.

    Raises:
        ConfigError: if it cannot be loaded, or cannot be trained further by this version of the project.
    """
    where = [] if model is None else [model]
    options = {} if revision is None else {"revision": revision}
    try:
        pipeline = SynFundusPipeline.from_pretrained(*where, dtype=torch.float32, **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(f"--model is {model!r}, but cannot be loaded: {error}") from error
    kind = pipeline.scheduler.config.get("prediction_type", "epsilon")
    if kind not in PREDICTION_TYPES:
        raise ConfigError(
            f"--model {model!r}: scheduler.prediction_type is {kind!r}; allowed are {', '.join(PREDICTION_TYPES)}"
        )
    height, width = pipeline.image_size
    if height != width:
        raise ConfigError(f"--model {model!r}: its images are {width}x{height}, but must be square")
    labels = pipeline.condition_encoder.config
    if tuple(labels.label_names) != CONDITION_NAMES or tuple(labels.cardinalities) != CARDINALITIES:
        raise ConfigError(
            f"--model {model!r}: condition_encoder.label_names are not those of this version of the project"
        )
    return pipeline


def generator_digests(pipeline: SynFundusPipeline) -> list[str]:
    """SHA-256 of the weights of each network of the pipeline."""
    networks = (pipeline.unet, pipeline.condition_encoder, pipeline.vae)
    return [weights_digest(network) for network in networks if network is not None]
