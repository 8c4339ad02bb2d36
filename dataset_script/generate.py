"""Builds the dataset: `python -m dataset_script.generate --num-rows 64 --out synfundus-1m`.

Killed at any moment, it loses at most the shard in flight; the same command again goes on, and does nothing when the
dataset is complete.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from .build_folder import BuildError, BuildFolder, Record, open_build
from .card import write_card
from .conditions import DEFAULT_PLAN, Plan, PlanError, load_plan
from .files import write_text
from .generator import DEFAULT_MODEL, choose_device, find_model, generate_images, load_pipeline
from .schema import encode_png, image_table, label_table


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0 done, 2 refused, 130 interrupted."""
    options = _parse(arguments)
    try:
        _run(options)
    except (BuildError, PlanError) as error:
        print(f"generate: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nInterrupted. The same command again goes on where {options.out} stands.", file=sys.stderr)
        return 130
    return 0


def _run(options: argparse.Namespace) -> None:
    plan = load_plan(options.plan)
    model = find_model(options.model)
    record = Record(
        plan_hash=plan.hash,
        generator=model.name,
        generator_revision=model.revision,
        num_rows=options.num_rows,
        shard_rows=options.shard_rows,
        num_inference_steps=options.num_inference_steps or model.num_inference_steps,
        guidance_scale=model.guidance_scale if options.guidance_scale is None else options.guidance_scale,
    )
    device = choose_device(options.device)
    folder = open_build(options.out, record)
    missing = folder.missing_shards()
    if not missing and folder.card.exists():
        print(f"{folder.path} is complete: {record.num_rows} rows in {record.num_shards} shards. Nothing to do.")
        return
    write_text(folder.path / "plan.yaml", options.plan.read_text(encoding="utf-8"))
    if missing:
        _build_shards(folder, missing, plan, load_pipeline(model, device), options.batch_size)
    write_card(folder, plan)
    print(f"{folder.path} is complete: {record.num_rows} rows in {record.num_shards} shards.")


def _build_shards(folder: BuildFolder, missing: list[int], plan: Plan, pipeline: Any, batch_size: int) -> None:
    total = folder.record.num_rows
    done = total - sum(len(folder.rows(shard)) for shard in missing)
    with tqdm(total=total, initial=done, unit="image", desc="Generating") as progress:
        for shard in missing:
            build_shard(folder, shard, plan, pipeline, batch_size, progress)


def build_shard(folder: BuildFolder, shard: int, plan: Plan, pipeline: Any, batch_size: int, progress: tqdm) -> None:
    """Generates and writes one shard; needs nothing of the others.

    Args:
        folder: where to.
        shard: its number.
        plan: gives the rows.
        pipeline: the generator.
        batch_size: images generated at once.
        progress: a bar that counts images.
    """
    record = folder.record
    rows = [plan.row(idx) for idx in folder.rows(shard)]
    encoded = []
    for first in range(0, len(rows), batch_size):
        batch = rows[first : first + batch_size]
        for row, image in zip(batch, generate_images(pipeline, batch, record), strict=True):
            encoded.append(encode_png(image, row.idx, record.generator, record.generator_revision, record.plan_hash))
        progress.update(len(batch))
    folder.write_shard(shard, {"default": image_table(rows, encoded), "labels": label_table(rows)})


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m dataset_script.generate",
        description="Builds a SynFundus dataset. The same command again goes on with an interrupted build.",
    )
    add = parser.add_argument
    add("--num-rows", type=_count, required=True, metavar="N", help="rows of the dataset, one image each")
    add("--out", type=Path, required=True, metavar="FOLDER", help="folder of the dataset")
    add("--plan", type=Path, default=DEFAULT_PLAN, metavar="FILE", help="plan of conditions (synfundus-1m.yaml)")
    add("--model", default=str(DEFAULT_MODEL), help="folder or Hub id of the generator (pipeline_synfundus)")
    add("--shard-rows", type=_count, default=500, metavar="N", help="rows in a Parquet shard (%(default)s)")
    add("--batch-size", type=_count, default=8, metavar="N", help="images generated at once (%(default)s)")
    add("--num-inference-steps", type=_count, metavar="N", help="denoising steps an image (the model's own)")
    add("--guidance-scale", type=_scale, metavar="S", help="guidance; 1 is none (the model's own)")
    add("--device", help="torch device (a GPU if there is one)")
    return parser.parse_args(arguments)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer of 1 or more")
    return int(text)


def _scale(text: str) -> float:
    try:
        scale = float(text)
    except ValueError:
        scale = math.nan
    if not 0 <= scale < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 or more")
    return scale


if __name__ == "__main__":
    sys.exit(main())
