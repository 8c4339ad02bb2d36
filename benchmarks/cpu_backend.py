"""Compares OpenVINO with torch on a CPU, in float32 and bfloat16: images per second of the bundled weights, in one run.

    OMP_NUM_THREADS=1 taskset -c 0 python -m benchmarks.cpu_backend --out benchmarks/results/cpu-backend.json

The rounds alternate, so that other load on the machine affects all. Rates are per second of processor time: with one
thread, a wait for other processes does not count. Samples are compared with those of torch in float32, by PSNR and by
Frechet distance in ImageNet features. bfloat16 is left out on a CPU without units for it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from dataset_script.plan.condition_plan import load_plan
from evaluation.measures.features import imagenet_space
from evaluation.measures.metrics.frechet_distance.frechet_distance import frechet_distance
from pipeline_synfundus import SynFundusPipeline
from pipeline_synfundus.cpu_inference import BACKENDS, computes_bfloat16, unet_evaluator
from synfundus.cores import available_cores
from synfundus.files import write_text

# The way that all others are compared with.
PEER = "torch, float32"
BATCHES = (1, 8)

Work = Callable[[], Any]


def load_ways() -> dict[str, SynFundusPipeline]:
    """Returns the bundled pipeline once for every backend and precision, by `backend, precision`."""
    ways = {}
    for dtype in [torch.float32, torch.bfloat16] if computes_bfloat16() else [torch.float32]:
        for backend in BACKENDS:
            pipeline = SynFundusPipeline.from_pretrained(dtype=dtype)
            pipeline.set_progress_bar_config(disable=True)
            pipeline.cpu_backend = backend
            ways[f"{backend}, {str(dtype).removeprefix('torch.')}"] = pipeline
    return ways


def unet_works(ways: dict[str, SynFundusPipeline], batch: int) -> dict[str, Work]:
    """Returns evaluations of the UNet in every way, and by torch with channels-last latents."""
    works: dict[str, Work] = {}
    for name, pipeline in ways.items():
        unet, timestep = pipeline.unet, torch.tensor(500)
        classes = torch.randn(batch, pipeline.condition_encoder.config.width, dtype=unet.dtype)
        evaluate = unet_evaluator(unet, pipeline.cpu_backend)
        works[name] = partial(evaluate, _latents(pipeline, batch), timestep, classes)
        if pipeline.cpu_backend == "torch":
            last = _latents(pipeline, batch).contiguous(memory_format=torch.channels_last)
            works[f"{name}, channels-last"] = partial(evaluate, last, timestep, classes)
    return works


def decoder_works(ways: dict[str, SynFundusPipeline], batch: int) -> dict[str, Work]:
    """Returns decodings by torch: contiguous, and channels-last as the pipeline does."""
    works: dict[str, Work] = {}
    for name, pipeline in ways.items():
        if pipeline.cpu_backend == "torch":
            latents = _latents(pipeline, batch)
            works[name] = partial(pipeline.vae.decode, latents)
            works[f"{name}, channels-last"] = partial(pipeline.decode_latents, latents)
    return works


def sampling_works(ways: dict[str, SynFundusPipeline], batch: int) -> dict[str, Work]:
    """Returns whole calls with the model's default settings."""
    return {
        name: partial(pipeline, [{}] * batch, generator=list(range(batch)), output_type="pt")
        for name, pipeline in ways.items()
    }


def _latents(pipeline: SynFundusPipeline, batch: int) -> torch.Tensor:
    size = pipeline.unet.config.sample_size
    return torch.randn(batch, pipeline.unet.config.in_channels, size, size, dtype=pipeline.unet.dtype)


def rates(works: dict[str, Work], batch: int, rounds: int) -> dict[str, dict[str, float]]:
    """Returns the median images per second of processor time, and the median ratio to the peer."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            began = time.process_time()
            work()
            if number:
                seconds[name].append(time.process_time() - began)
    return {
        name: {
            "images a second": round(batch / statistics.median(taken), 2),
            "ratio": round(statistics.median(peer / own for peer, own in zip(seconds[PEER], taken, strict=True)), 2),
        }
        for name, taken in seconds.items()
    }


def sample(pipeline: SynFundusPipeline, images: int, batch: int = 8) -> Iterator[np.ndarray]:
    """Samples the first rows of the default plan: batches in [0, 1], shape (B, H, W, 3)."""
    plan = load_plan()
    for first in range(0, images, batch):
        rows = plan.rows(range(first, min(first + batch, images)))
        seeds, conditions = [row.noise_seed for row in rows], [row.condition for row in rows]
        yield pipeline(conditions, generator=seeds, output_type="np", return_dict=False)[0]


def agreement(ways: dict[str, SynFundusPipeline], images: int) -> dict[str, Any]:
    """Compares samples with those of the peer: PSNR in dB, differences in steps of 1 / 255, and Frechet distance.

    The Frechet distance of the two halves of the peer's samples is a scale for the others.
    """
    samples = {name: np.concatenate([*sample(pipeline, images)]) for name, pipeline in tqdm(ways.items())}
    space = imagenet_space(None)
    vectors = {name: space((part * 255).round().astype(np.uint8)) for name, part in samples.items()}
    halves = frechet_distance(vectors[PEER][::2], vectors[PEER][1::2])
    result: dict[str, Any] = {"images": images, "frechet distance of the peer's halves": round(halves, 3)}
    for name, part in samples.items():
        if name == PEER:
            continue
        psnr = -10 * np.log10(np.maximum(np.square(part - samples[PEER]).mean(axis=(1, 2, 3)), 1e-12))
        result[name] = {
            "median psnr": round(float(np.median(psnr)), 1),
            "lowest psnr": round(float(psnr.min()), 1),
            "largest difference, of 255": round(float(np.abs(part - samples[PEER]).max()) * 255, 4),
            "frechet distance": round(frechet_distance(vectors[PEER], vectors[name]), 3),
        }
    return result


def repetition(ways: dict[str, SynFundusPipeline], images: int) -> dict[str, float]:
    """Samples the same rows in batches of 8, 3 and 1; returns the largest difference of each way, of 255."""
    result = {}
    for name, pipeline in ways.items():
        first, *others = (np.concatenate([*sample(pipeline, images, batch)]) for batch in (8, 3, 1))
        result[name] = round(max(float(np.abs(first - other).max()) for other in others) * 255, 4)
    return result


@torch.no_grad()
def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cpu_backend", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON file for the result")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each comparison (%(default)s)")
    parser.add_argument("--images", type=int, default=500, help="samples to compare (%(default)s)")
    options = parser.parse_args()
    ways = load_ways()
    result: dict[str, Any] = {
        "machine": f"{available_cores()} {platform.machine()} CPU cores, "
        f"{'with' if computes_bfloat16() else 'without'} bfloat16 units",
        "load": [round(load, 1) for load in os.getloadavg()],
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in ("torch", "diffusers", "openvino")},
    }
    for name, pipeline in ways.items():
        began = time.process_time()
        pipeline({}, generator=0)
        result.setdefault("first image, processor seconds", {})[name] = round(time.process_time() - began, 2)
    parts = {"unet": unet_works, "decoder": decoder_works, "sampling": sampling_works}
    for name, works in parts.items():
        for batch in BATCHES:
            result[f"{name}, batch {batch}"] = rates(works(ways, batch), batch, options.rounds)
            print(f"{name}, batch {batch}", json.dumps(result[f"{name}, batch {batch}"], indent=2), flush=True)
    result["largest difference between batches of 8, 3 and 1, of 255"] = repetition(ways, min(24, options.images))
    result["agreement"] = agreement(ways, options.images)
    print(json.dumps(result, indent=2))
    if options.out:
        write_text(options.out, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
