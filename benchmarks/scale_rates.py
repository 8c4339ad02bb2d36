"""Measures the rates of this machine from which `scale_guide` computes the cost of a million rows.

`python -m benchmarks.scale_rates --images SOURCE --out benchmarks/results/scale-MACHINE.json`

The generator is built from a preset with random weights, because its speed does not depend on them. File sizes depend
on the content, so real images are encoded; they are not kept.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
import yaml
from datasets import load_dataset
from PIL import Image
from tqdm import tqdm

from dataset_script.build.image_format import FORMATS, encode_image, image_facts
from dataset_script.build.tables import label_table
from dataset_script.plan.condition_plan import DEFAULT_PLAN, load_plan
from pipeline_synfundus import SynFundusPipeline
from training.configuration.config import load_config
from training.configuration.networks import build_autoencoder, build_models
from training.train_generator import make_scheduler

HASHED_BYTES = 1 << 28
LABEL_ROWS = 5_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    options = _parse(arguments)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    pictures = read_pictures(options.images, options.resolution, options.num_images)
    rates = {
        "machine": machine_name(options.device),
        "preset": options.preset,
        "resolution": options.resolution,
        "dtype": options.dtype,
        "generator": measure_generator(options),
        "files": {chosen.title: measure_encoding(pictures, name) for name, chosen in FORMATS.items()},
        "bytes_per_label_row": measure_labels(),
        "sha256_bytes_per_second": measure_hashing(),
        "pictures": f"{len(pictures)} images, resized to {options.resolution} pixels if they had another size",
    }
    options.out.write_text(json.dumps(rates, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(rates, indent=2))


def machine_name(device: str) -> str:
    """Returns the GPU's name, or the number and architecture of the CPU cores."""
    if device.startswith("cuda"):
        return f"one {torch.cuda.get_device_name()}"
    return f"{len(os.sched_getaffinity(0))} {platform.machine()} CPU cores"


def read_pictures(source: str, resolution: int, number: int) -> list[np.ndarray]:
    """Returns the first images of a source that `datasets` loads; uint8 arrays of shape (size, size, 3)."""
    rows = load_dataset(source, split="train", streaming=True).take(number)
    size = (resolution, resolution)
    return [np.asarray(row["image"].convert("RGB").resize(size, Image.Resampling.BICUBIC)) for row in rows]


def build_pipeline(options: argparse.Namespace) -> SynFundusPipeline:
    """Returns a pipeline of the preset's size, with random weights, on the device."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "preset.yaml"
        path.write_text(yaml.safe_dump({"preset": options.preset, "output_dir": folder, "data": {"source": folder}}))
        config = load_config(path)
    if config.resolution != options.resolution:
        raise SystemExit(
            f"the preset {options.preset} has {config.resolution} pixels, but --resolution is {options.resolution}"
        )
    unet, encoder = build_models(config)
    vae = build_autoencoder(config.autoencoder) if config.autoencoder is not None else None
    scheduler = make_scheduler(config.generator.timestep_shift)
    pipeline = SynFundusPipeline(unet.eval(), encoder.eval(), scheduler, vae.eval() if vae is not None else None)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(options.device, getattr(torch, options.dtype))


def measure_generator(options: argparse.Namespace) -> dict[str, Any]:
    """Returns images per second for each batch size, and the highest of them."""
    pipeline = build_pipeline(options)
    measured = {}
    for batch in tqdm(options.batch_sizes, desc="Generating"):

        def generate(batch: int = batch) -> None:
            pipeline([{}] * batch, num_inference_steps=options.num_inference_steps)
            if options.device.startswith("cuda"):
                torch.cuda.synchronize()

        measured[batch] = batch / seconds_for(generate, options.repeats)
    return {
        "num_inference_steps": pipeline.num_timesteps,
        "guidance_scale": pipeline.config.default_guidance_scale,
        "images_per_second_by_batch": measured,
        "images_per_second": max(measured.values()),
    }


def measure_encoding(pictures: list[np.ndarray], image_format: str) -> dict[str, float]:
    """Returns the mean size of an image file in bytes, and images per second encoded by one core."""
    facts = image_facts(0, "synfundus-generator", "0123456789abcdef", "0123456789abcdef")
    sizes: list[int] = []

    def encode() -> None:
        sizes[:] = [len(encode_image(picture, image_format, facts)) for picture in pictures]

    seconds = seconds_for(encode, 1)
    return {"bytes_per_image": sum(sizes) / len(sizes), "images_per_second_and_core": len(pictures) / seconds}


def measure_labels() -> float:
    """Returns the bytes per row without its image, in a Parquet file of the first rows of the default plan."""
    plan, buffer = load_plan(DEFAULT_PLAN), io.BytesIO()
    pq.write_table(label_table(plan.rows(range(LABEL_ROWS))), buffer)
    return buffer.tell() / LABEL_ROWS


def measure_hashing() -> float:
    """Returns the bytes per second that one core hashes; a push hashes every file once."""
    content = bytes(HASHED_BYTES)
    return HASHED_BYTES / seconds_for(lambda: hashlib.sha256(content), 2)


def seconds_for(work: Callable[[], object], repeats: int) -> float:
    """Returns the shortest time of several runs, in seconds, after a warm-up run."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    cuda = torch.cuda.is_available()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale_rates", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--images", required=True, metavar="SOURCE", help="images to encode: a folder or a Hub id")
    add("--num-images", type=int, default=64, metavar="N", help="number of images to encode (%(default)s)")
    add("--out", type=Path, required=True, metavar="FILE", help="file for the rates")
    add("--preset", default="large-512", help="size of the generator (%(default)s)")
    add("--resolution", type=int, default=512, metavar="N", help="side of its images (%(default)s)")
    add("--num-inference-steps", type=int, metavar="N", help="denoising steps (the pipeline's default)")
    add("--batch-sizes", type=int, nargs="+", default=[16, 64, 128] if cuda else [1, 4], metavar="N")
    add(
        "--repeats",
        type=int,
        default=3 if cuda else 1,
        metavar="N",
        help="runs per measurement; the fastest counts",
    )
    add("--device", default="cuda" if cuda else "cpu", help="torch device (%(default)s)")
    add("--dtype", default="bfloat16" if cuda else "float32", help="type of weights and computation (%(default)s)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
