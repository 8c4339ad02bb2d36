"""Measures how fast one GPU generates images: `python -m benchmarks.gpu --out benchmarks/results/gpu.md`.

It is limited to about eight minutes, which has not been tried on a GPU, and writes a table: images per second of each
way to run the pipeline, the share of the roofline, where the time goes, and what the CPU cores encode in threads and in
processes. The networks have random weights and the sizes of a preset. Each way generates the same images; the table
says how far they differ.

`--device cpu --preset small-256 --variants generate fused` tries the script without a GPU. With
`--num-inference-steps 4 --guidance-scale 1` it measures a student of four evaluations (docs/few-steps.md).
"""

from __future__ import annotations

import argparse
import multiprocessing
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from dataset_script.build.image_format import encode_image, image_facts
from dataset_script.build.image_generator import to_pixels
from pipeline_synfundus import SynFundusPipeline
from pipeline_synfundus.cpu_inference import unet_evaluator
from synfundus.cores import available_cores
from synfundus.files import write_text
from training.configuration.presets import PRESETS

from .dataset_memory import peak_memory
from .scale_rates import build_pipeline, machine_name

# The ways to run the pipeline, and the mode of `torch.compile`; None runs without it.
VARIANTS: dict[str, str | None] = {
    "generate": None,  # as `dataset_script.generate` does: decode, convert to [0, 1], then to uint8
    "fused": None,  # channels-last; decoding and the conversion to uint8 are one function
    "compiled": "default",  # the same, compiled for the fixed shapes
    "graphs": "reduce-overhead",  # the same as one CUDA graph per network
}
SAMPLES = Path(__file__).parents[1] / "docs" / "samples.jpg"
Sample = Callable[[], np.ndarray]
Decode = Callable[[torch.Tensor], torch.Tensor]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    began = time.monotonic()
    options = _parse(arguments)
    encoding = encoding_rates(options.resolution)  # first: forks, which is allowed only before CUDA is used
    peak = matmul_rate(options.device, getattr(torch, options.dtype))
    rows: list[str] = []
    parts: dict[str, dict[str, float]] = {}
    reference, flops = None, 0.0
    for name in options.variants:
        if time.monotonic() - began > options.limit:
            rows.append(f"| {name} | not run: the time limit was reached | | | |")
            continue
        if options.device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats()
        pipeline = build_pipeline(options)
        flops = flops or flops_per_image(pipeline, options)
        sample, decode = make_sample(pipeline, name, options)
        pixels = sample()  # compiles
        reference = pixels if reference is None else reference
        seconds = seconds_for(sample, options)
        rate = options.batch_size / seconds
        difference = np.abs(pixels.astype(int) - reference).max()
        share = rate * flops / peak
        rows.append(f"| {name} | {rate:.3g} | {share:.1%} | {difference} | {peak_gib(options.device):.1f} |")
        parts[name] = time_of_parts(pipeline, decode, seconds, options)
        del pipeline, sample, decode
    text = report(options, peak, rows, parts, encoding)
    print(text)
    write_text(options.out, text)


def peak_gib(device: str) -> float:
    """Returns the peak memory in GiB: of the device or, on a CPU, of this process since its start."""
    return (torch.cuda.max_memory_allocated() if device.startswith("cuda") else peak_memory()) / 2**30


def make_sample(pipeline: SynFundusPipeline, variant: str, options: argparse.Namespace) -> tuple[Sample, Decode]:
    """Prepares the pipeline for a way to run it.

    Returns:
        A function that generates a batch, uint8 of shape (batch, height, width, 3) on the CPU, and its decoder.
    """

    def decode(latents: torch.Tensor) -> torch.Tensor:
        return decode_to_uint8(pipeline, latents)

    call: Callable[..., Any] = partial(
        pipeline,
        [{}] * options.batch_size,
        generator=list(range(options.batch_size)),
        num_inference_steps=options.num_inference_steps,
        guidance_scale=options.guidance_scale,
    )
    if variant == "generate":
        return lambda: to_pixels(call(output_type="pt").images), decode
    if options.device.startswith("cuda"):
        for network in (pipeline.unet, pipeline.vae):
            network.to(memory_format=torch.channels_last)
    if VARIANTS[variant] is not None:
        pipeline.unet.compile(mode=VARIANTS[variant], dynamic=False)
        decode = torch.compile(decode, mode=VARIANTS[variant], dynamic=False)
    return torch.no_grad()(lambda: decode(call(output_type="latent").images).cpu().numpy()), decode


def decode_to_uint8(pipeline: SynFundusPipeline, latents: torch.Tensor) -> torch.Tensor:
    """Returns the images of latents: uint8 of shape (batch, height, width, 3), on their device."""
    images = pipeline.decode_latents(latents).float()
    return ((images * 0.5 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def unet_inputs(pipeline: SynFundusPipeline, batch: int) -> tuple[torch.Tensor, ...]:
    """Returns a sample, a timestep and class embeddings for a batch."""
    unet, like = pipeline.unet, {"device": pipeline.device, "dtype": pipeline.unet.dtype}
    side = unet.config.sample_size
    sample = torch.randn(batch, unet.config.in_channels, side, side, **like)
    embeddings = torch.randn(batch, pipeline.condition_encoder.config.width, **like)
    return sample, torch.tensor(500, device=pipeline.device), embeddings


@torch.no_grad()
def flops_per_image(pipeline: SynFundusPipeline, options: argparse.Namespace) -> float:
    """Counts the operations of an image: the evaluations of the UNet, two per step with guidance, and the decoder."""
    sample, timestep, embeddings = unet_inputs(pipeline, 1)
    with FlopCounterMode(display=False) as unet:
        pipeline.unet(sample, timestep, class_labels=embeddings)
    with FlopCounterMode(display=False) as decoder:
        pipeline.decode_latents(sample)
    return options.num_inference_steps * passes(options) * unet.get_total_flops() + decoder.get_total_flops()


def passes(options: argparse.Namespace) -> int:
    """Returns the evaluations of the UNet for an image in a step: two with guidance."""
    return 1 if options.guidance_scale == 1 else 2


def matmul_rate(device: str, dtype: torch.dtype) -> float:
    """Returns the operations per second of a large matrix product, which is taken as the roofline."""
    side = 8192 if device.startswith("cuda") else 512
    matrix = torch.randn(side, side, device=device, dtype=dtype)

    def work() -> None:
        for _ in range(10):
            matrix @ matrix

    work()
    return max(10 * 2 * side**3 / _timed(work, device) for _ in range(3))


@torch.no_grad()
def time_of_parts(
    pipeline: SynFundusPipeline, decode: Decode, whole: float, options: argparse.Namespace
) -> dict[str, float]:
    """Returns the milliseconds that a batch spends in each part, each measured by itself.

    Args:
        pipeline: the pipeline as `make_sample` left it.
        decode: the decoder of the same way, with the conversion to uint8.
        whole: seconds of a batch; what the parts do not explain is the rest: conditions, noise, the scheduler.
        options: the command line.
    """
    sample, timestep, embeddings = unet_inputs(pipeline, passes(options) * options.batch_size)
    evaluate = unet_evaluator(pipeline.unet, pipeline.cpu_backend)
    latents = sample[: options.batch_size].clone()
    pixels = decode(latents).clone()
    seconds = {
        "UNet": options.num_inference_steps * seconds_for(lambda: evaluate(sample, timestep, embeddings), options),
        "decoder": seconds_for(lambda: decode(latents), options),
        "copy to the host": seconds_for(lambda: pixels.cpu(), options),
    }
    seconds["rest"] = whole - sum(seconds.values())
    return {name: 1000 * value for name, value in seconds.items()}


def encoding_rates(side: int) -> dict[str, float]:
    """Returns the PNG files per second of all cores, by threads and by processes."""
    sheet = Image.open(SAMPLES)
    width = sheet.width // 4
    picture = sheet.convert("RGB").crop((0, 0, width, width)).resize((side, side), Image.Resampling.BICUBIC)
    workers, facts = available_cores(), image_facts(0, "synfundus-generator", "0" * 16, "0" * 16)
    encode = partial(encode_image, image_format="png", facts=facts)
    work = [np.asarray(picture)] * 8 * workers
    fork = multiprocessing.get_context("fork")
    pools: dict[str, Executor] = {
        "threads": ThreadPoolExecutor(workers),
        "processes": ProcessPoolExecutor(workers, fork),
    }
    rates = {}
    for name, pool in pools.items():
        with pool:
            list(pool.map(encode, work[:workers]))
            began = time.perf_counter()
            list(pool.map(encode, work))
            rates[name] = len(work) / (time.perf_counter() - began)
    return rates


def seconds_for(work: Callable[[], object], options: argparse.Namespace) -> float:
    """Returns the median time of repeated runs within about `options.seconds`, in seconds, after a warm-up run."""
    _timed(work, options.device)
    times: list[float] = []
    began = time.monotonic()
    while not times or time.monotonic() - began < options.seconds:
        times.append(_timed(work, options.device))
    return float(np.median(times))


def _timed(work: Callable[[], object], device: str) -> float:
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - began


def report(
    options: argparse.Namespace,
    peak: float,
    rows: list[str],
    parts: dict[str, dict[str, float]],
    encoding: dict[str, float],
) -> str:
    """Returns the result as Markdown."""
    names = list(next(iter(parts.values())))
    lines = [
        f"# {machine_name(options.device)}",
        "",
        f"`{options.command}`, torch {version('torch')}. The preset `{options.preset}`: {options.resolution} pixels, "
        f"{options.num_inference_steps * passes(options)} evaluations of the UNet, batches of {options.batch_size}, "
        f"{options.dtype}. The roofline is a matrix product: {peak / 1e12:.3g} TFLOP/s.",
        "",
        "| way | images/s | share of the roofline | largest difference, of 255 | peak memory, GiB |",
        "| --- | ---: | ---: | ---: | ---: |",
        *rows,
        "",
        f"| milliseconds of a batch | {' | '.join(names)} |",
        f"| --- |{' ---: |' * len(names)}",
        *(f"| {way} | {' | '.join(f'{part[name]:.3g}' for name in names)} |" for way, part in parts.items()),
        "",
        f"PNG files encoded per second by {available_cores()} cores: {encoding['threads']:.3g} in threads, "
        f"{encoding['processes']:.3g} in processes.",
    ]
    return "\n".join(lines) + "\n"


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    cuda = torch.cuda.device_count() > 0  # does not start CUDA, so that processes can still be forked
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=(__doc__ or "").splitlines()[0])
    add: Callable[..., Any] = parser.add_argument
    add("--out", type=Path, required=True, metavar="FILE", help="Markdown file for the table")
    add("--preset", choices=PRESETS, default="base-512", help="size of the generator (%(default)s)")
    add("--batch-size", type=int, default=64 if cuda else 1, metavar="N", help="images per batch (%(default)s)")
    add("--num-inference-steps", type=int, default=6, metavar="N", help="denoising steps (%(default)s)")
    add("--guidance-scale", type=float, default=2.5, help="1 for no guidance (%(default)s)")
    add("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="ways to run the pipeline (all)")
    add("--seconds", type=float, default=5.0, help="time per measurement (%(default)s)")
    add("--limit", type=float, default=300.0, help="seconds after which no other way is started (%(default)s)")
    add("--device", default="cuda" if cuda else "cpu", help="torch device (%(default)s)")
    add("--dtype", default="bfloat16" if cuda else "float32", help="type of weights and computation (%(default)s)")
    options = parser.parse_args(arguments)
    options.resolution = PRESETS[options.preset].resolution
    given = sys.argv[1:] if arguments is None else arguments
    options.command = f"python -m benchmarks.gpu {shlex.join(given)}"
    return options


if __name__ == "__main__":
    main()
