"""Builds a dataset from a source that needs no model, as fast as files are written: `light_build.py OUT WORKERS [DIE]`.

With DIE, the worker that generates row 40 kills itself, once.
"""

import os
import signal
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from dataset_script.build.folder import open_build
from dataset_script.build.record import GenerationRecord
from dataset_script.build.workers import build_with_workers
from dataset_script.errors import BuildError
from dataset_script.plan.condition_plan import ConditionPlan, load_plan

SHARD_ROWS, SHARDS, SIZE = 12, 8, 24


def make_images(pause: float, killed: Path | None, rows) -> np.ndarray:
    """Noise from the seed of each row."""
    time.sleep(pause)
    if killed and not killed.exists() and 40 in [row.idx for row in rows]:
        killed.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return np.stack([np.random.default_rng(row.noise_seed).integers(0, 256, (SIZE, SIZE, 3), np.uint8) for row in rows])


def make_source(pause, killed, device):
    assert device == "cpu"
    return partial(make_images, pause, killed)


def single_split_plan() -> ConditionPlan:
    return replace(load_plan(), splits={"train": 1.0})


def record(plan_hash: str) -> GenerationRecord:
    return GenerationRecord(
        plan_hash=plan_hash,
        generator="noise",
        generator_revision="0",
        num_rows=SHARD_ROWS * SHARDS,
        shard_rows=SHARD_ROWS,
        splits={"train": SHARD_ROWS * SHARDS},
        num_inference_steps=1,
        guidance_scale=1.0,
        dtype="float32",
        backend="torch",
        image_format="png",
    )


def main(out: str, workers: str, pause: str, killed: str = "") -> None:
    plan = single_split_plan()
    folder = open_build(Path(out), record(plan.hash))
    source = partial(make_source, float(pause), Path(killed) if killed else None)
    try:
        build_with_workers(folder, plan, source, ["cpu"] * int(workers), 4, lambda _: None)
    except (BuildError, OSError) as error:
        sys.exit(f"light_build: error: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
