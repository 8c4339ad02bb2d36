"""Compares OpenVINO with torch on a CPU: images per second of the bundled weights in float32, in one run.

    OMP_NUM_THREADS=1 taskset -c 0 python -m benchmarks.cpu_backend --out benchmarks/results/cpu-backend.json

The rounds alternate, so that other load on the machine affects all. Rates are per second of processor time: with one
thread, a wait for other processes does not count. Samples of both backends are compared by PSNR and by
Frechet distance in ImageNet features.
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

Work = Callable[[], Any]


def unet_works(pipeline: SynFundusPipeline, batch: int) -> dict[str, Work]:
    """Returns evaluations of the UNet: by each backend, and by torch with channels-last latents."""
    size = pipeline.unet.config.sample_size
    latents = torch.randn(batch, pipeline.unet.config.in_channels, size, size)
    classes = torch.randn(batch, pipeline.condition_encoder.config.width)
    last = latents.contiguous(memory_format=torch.channels_last)
    evaluate = {backend: unet_evaluator(pipeline.unet, backend) for backend in BACKENDS}
    timestep = torch.tensor(500)
    return {
        "torch": lambda: evaluate["torch"](latents, timestep, classes),
        "torch, channels-last": lambda: evaluate["torch"](last, timestep, classes),
        "openvino": lambda: evaluate["openvino"](latents, timestep, classes),
    }


def decoder_works(pipeline: SynFundusPipeline, batch: int) -> dict[str, Work]:
    """Returns decodings: contiguous, and channels-last as the pipeline does."""
    size = pipeline.unet.config.sample_size
    latents = torch.randn(batch, pipeline.unet.config.in_channels, size, size)
    return {
        "torch": lambda: pipeline.vae.decode(latents),
        "torch, channels-last": lambda: pipeline.decode_latents(latents),
    }


def sampling_works(pipeline: SynFundusPipeline, batch: int) -> dict[str, Work]:
    """Returns whole calls with the model's default settings."""

    def call(backend: str) -> None:
        pipeline.cpu_backend = backend
        pipeline([{}] * batch, generator=list(range(batch)), output_type="pt")

    return {backend: partial(call, backend) for backend in ("torch", "openvino")}


def rates(works: dict[str, Work], batch: int, rounds: int) -> dict[str, float]:
    """Returns the median images per second of processor time, and the ratios to torch."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            began = time.process_time()
            work()
            if number:
                seconds[name].append(time.process_time() - began)
    result = {name: round(batch / statistics.median(taken), 2) for name, taken in seconds.items()}
    ratios = {
        f"{name} : torch": round(
            statistics.median(torch_s / s for torch_s, s in zip(seconds["torch"], taken, strict=True)), 2
        )
        for name, taken in seconds.items()
        if name != "torch"
    }
    return result | ratios


def sample(pipeline: SynFundusPipeline, images: int, batch: int = 8) -> Iterator[dict[str, np.ndarray]]:
    """Samples the first rows of the default plan by each backend: batches in [0, 1], shape (B, H, W, 3)."""
    plan = load_plan()
    for first in tqdm(range(0, images, batch), desc="Comparing"):
        rows = plan.rows(range(first, min(first + batch, images)))
        seeds, conditions = [row.noise_seed for row in rows], [row.condition for row in rows]
        made = {}
        for backend in BACKENDS:
            pipeline.cpu_backend = backend
            made[backend] = pipeline(conditions, generator=seeds, output_type="np", return_dict=False)[0]
        yield made


def agreement(pipeline: SynFundusPipeline, images: int) -> dict[str, float]:
    """Compares samples of both backends: PSNR in dB, differences in steps of 1 / 255, and Frechet distance.

    The Frechet distance of the two halves of the samples of torch is a scale for that of the backends.
    """
    batches = list(sample(pipeline, images))
    first, second = (np.concatenate([made[backend] for made in batches]) for backend in BACKENDS)
    psnr = -10 * np.log10(np.maximum(np.square(first - second).mean(axis=(1, 2, 3)), 1e-12))
    space = imagenet_space(None)
    vectors = [space((part * 255).round().astype(np.uint8)) for part in (first, second)]
    return {
        "images": images,
        "median psnr": round(float(np.median(psnr)), 1),
        "lowest psnr": round(float(psnr.min()), 1),
        "largest difference, of 255": round(float(np.abs(first - second).max()) * 255, 4),
        "frechet distance": round(frechet_distance(*vectors), 3),
        "frechet distance, halves": round(frechet_distance(vectors[0][::2], vectors[0][1::2]), 3),
    }


@torch.no_grad()
def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cpu_backend", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON file for the result")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each comparison (%(default)s)")
    parser.add_argument("--images", type=int, default=500, help="samples to compare (%(default)s)")
    options = parser.parse_args()
    pipeline = SynFundusPipeline.from_pretrained()
    pipeline.set_progress_bar_config(disable=True)
    pipeline.cpu_backend = "openvino"
    began = time.process_time()
    pipeline({}, generator=0)
    result: dict[str, Any] = {
        "machine": f"{available_cores()} {platform.machine()} CPU cores, "
        f"{'with' if computes_bfloat16() else 'without'} bfloat16 units",
        "load": [round(load, 1) for load in os.getloadavg()],
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in ("torch", "diffusers", "openvino")},
        "first image, processor seconds": round(time.process_time() - began, 2),
    }
    parts = {"unet": unet_works, "decoder": decoder_works, "sampling": sampling_works}
    for name, works in parts.items():
        for batch in (1, 8):
            result[f"{name}, batch {batch}"] = rates(works(pipeline, batch), batch, options.rounds)
            print(f"{name}, batch {batch}", result[f"{name}, batch {batch}"], flush=True)
    result["agreement"] = agreement(pipeline, options.images)
    print(json.dumps(result, indent=2))
    if options.out:
        write_text(options.out, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
