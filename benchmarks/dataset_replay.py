"""A source that replays images of the bundled generator, so that benchmarks measure the build and not the generator."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from dataset_script.build.folder import BuildFolder, open_build
from dataset_script.build.record import GenerationRecord
from dataset_script.build.sample_configs import write_sample_configs
from dataset_script.build.shard_size import choose_shard_rows, measure_image_bytes
from dataset_script.card.built_dataset import write_built_card
from dataset_script.plan.condition_plan import DEFAULT_PLAN, ConditionPlan, Row, load_plan
from synfundus.files import atomic_file, write_text

# Stores the images between benchmarks; not in the repository.
PICTURES = Path("runs") / "benchmark-pictures.npy"
NUM_PICTURES = 256
BATCH = 64  # rows at once, as for a fast device
SLOW_BATCH = 8  # for the generator on a CPU


class ReplaySource:
    """A `dataset_script.build.shards.Source` that returns image `idx` modulo their number for row `idx`.

    Args:
        pictures: uint8 of shape (pictures, height, width, 3), RGB.
    """

    def __init__(self, pictures: np.ndarray) -> None:
        self.pictures = pictures

    def __call__(self, rows: Sequence[Row]) -> np.ndarray:
        """Returns one image per row; uint8 of shape (rows, height, width, 3)."""
        first, count = rows[0].idx, len(self.pictures)
        end = first % count + len(rows)
        if end <= count and rows[-1].idx == first + len(rows) - 1:
            return self.pictures[first % count : end]  # consecutive rows: a view without a copy
        return self.pictures[[row.idx % count for row in rows]]


def read_pictures(file: Path = PICTURES, number: int = NUM_PICTURES) -> np.ndarray:
    """Returns images of the first rows of the default plan. They are generated if the file does not have them.

    Returns:
        uint8 of shape (number, height, width, 3), RGB, at the generator's size.
    """
    pictures = np.load(file) if file.exists() else np.empty((0, 0, 0, 3), np.uint8)
    if len(pictures) < number:
        pictures = make_pictures(number)
        with atomic_file(file) as raw:
            np.save(raw, pictures)
    return pictures[:number]


def make_pictures(number: int) -> np.ndarray:
    """Generates the images of the first rows of the default plan with the bundled generator; see `read_pictures`."""
    from dataset_script.build.image_generator import (
        DEFAULT_MODEL,
        choose_devices,
        choose_sampling,
        find_model,
        load_generator,
    )

    model, plan = find_model(str(DEFAULT_MODEL)), load_plan()
    sampling = choose_sampling(model, None, None, "float32")
    generator = load_generator(model, sampling, choose_devices(None, 1)[0])
    batches = [range(first, min(first + SLOW_BATCH, number)) for first in range(0, number, SLOW_BATCH)]
    return np.concatenate([generator(plan.rows(batch)) for batch in tqdm(batches, desc="Pictures")])


def resize(pictures: np.ndarray, side: int | None) -> np.ndarray:
    """Returns the images resized to squares of `side` pixels; unchanged if it is None."""
    if side is None or pictures.shape[1:3] == (side, side):
        return pictures
    resized = [Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC) for picture in pictures]
    return np.stack([np.asarray(picture) for picture in resized])


def begin_build(
    out: Path, plan: ConditionPlan, source: ReplaySource, num_rows: int, image_format: str
) -> BuildFolder[GenerationRecord]:
    """Returns the folder of a build with shards of the size that `dataset_script.generate` chooses."""
    image_bytes = measure_image_bytes(plan, source, image_format, num_rows)
    record = GenerationRecord(
        plan_hash=plan.hash,
        generator="replay",
        generator_revision="0",
        num_rows=num_rows,
        shard_rows=choose_shard_rows(num_rows, image_bytes),
        splits={split: len(rows) for split, rows in plan.split_rows(num_rows).items()},
        num_inference_steps=1,
        guidance_scale=1.0,
        dtype="float32",
        backend="torch",
        image_format=image_format,
    )
    return open_build(out, record)


def end_build(folder: BuildFolder[GenerationRecord], plan: ConditionPlan) -> None:
    """Writes the plan, the samples and the card, as `dataset_script.generate` does after all shards."""
    write_text(folder.plan, DEFAULT_PLAN.read_text(encoding="utf-8"))
    write_sample_configs(folder, plan)
    write_built_card(folder, plan)


def main() -> None:
    """Generates the images for the benchmarks in advance."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dataset_replay", description=main.__doc__)
    parser.add_argument("--pictures", type=Path, default=PICTURES, metavar="FILE", help="file to write (%(default)s)")
    parser.add_argument("--number", type=int, default=NUM_PICTURES, help="number of images (%(default)s)")
    options = parser.parse_args()
    print(f"{options.pictures}: {read_pictures(options.pictures, options.number).shape}")


if __name__ == "__main__":
    main()
