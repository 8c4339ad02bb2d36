"""Loads a generator for sampling in an evaluation."""

from __future__ import annotations

from pathlib import Path

import torch

from evaluation.measures.features import device
from pipeline_synfundus import SynFundusPipeline
from pipeline_synfundus.cpu_inference import default_backend, fastest_dtype


def load_generator(folder: Path) -> SynFundusPipeline:
    """The pipeline in a folder on the device of the evaluation, in the type that samples fastest there."""
    dtype = torch.bfloat16 if device().type == "cuda" else fastest_dtype(default_backend())
    pipeline = SynFundusPipeline.from_pretrained(folder, dtype=dtype).to(device())
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
