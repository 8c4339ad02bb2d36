"""Samples of the generator in training, with the labels of training photographs."""

from __future__ import annotations

import numpy as np

from pipeline_synfundus import SynFundusPipeline
from pipeline_synfundus.labels import CONDITION_NAMES, ConditionError, complete_condition
from training.data.examples import Examples

BATCH = 16


def draw_samples(pipeline: SynFundusPipeline, examples: Examples, count: int, seed: int) -> np.ndarray:
    """Generates images with the labels of random training photographs, the same ones and the same noise at every call.

    Returns:
        uint8 images of shape (count, S, S, 3), at the pipeline's defaults.
    """
    photographs = len(examples.codes) - examples.num_spoiled
    rows = np.random.default_rng([seed, 6]).integers(photographs, size=count)
    conditions = [_request(examples.codes[row]) for row in rows]
    pipeline.set_progress_bar_config(disable=True)
    batches = []
    for start in range(0, count, BATCH):
        part = conditions[start : start + BATCH]
        noise = [seed * count + start + number for number in range(len(part))]
        batches.append(pipeline(part, generator=noise, output_type="np", return_dict=False)[0])
    return (np.concatenate(batches) * 255).round().astype(np.uint8)


def _request(codes: np.ndarray) -> dict[str, int | None]:
    """The labels of a photograph as a condition; all unknown where they contradict each other."""
    condition: dict[str, int | None] = dict(zip(CONDITION_NAMES, codes.tolist(), strict=True))
    try:
        complete_condition(condition)
    except ConditionError:
        return dict.fromkeys(CONDITION_NAMES)
    return condition
