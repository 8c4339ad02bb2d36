"""Builds the dataset: `python -m dataset_script.generate --num-rows 64 --out synfundus-1m`.

The build can be killed at any moment and loses at most one shard per worker. Run the same command again to continue; it
does nothing if the dataset is complete. Several processes, also on other machines with the same file system, can run
the same command to share the work.

`--rows 123456,7` generates the images of these rows only, as files in `--out`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tqdm import tqdm

from synfundus.files import write_text
from synfundus.interrupts import interrupts_kept

from .arguments import positive_integer, row_numbers, scale
from .build.folder import BuildFolder, open_build, read_record
from .build.image_format import FORMATS
from .build.image_generator import (
    BACKENDS,
    DEFAULT_MODEL,
    DTYPES,
    Model,
    Sampling,
    choose_backend,
    choose_devices,
    choose_dtype,
    choose_sampling,
    find_model,
    load_generator,
)
from .build.record import GenerationRecord, Shard
from .build.sample_configs import write_sample_configs
from .build.shard_size import FEW_ROWS, FEW_SHARDS, choose_shard_rows, measure_image_bytes
from .build.shards import Source
from .build.single_rows import write_images
from .build.workers import MakeSource, build_with_workers
from .card.built_dataset import write_built_card
from .card.pictures import write_distribution, write_pictures
from .card.samples import write_samples
from .errors import BuildError
from .plan.condition_plan import DEFAULT_PLAN, ConditionPlan, load_plan, plan_text
from .plan.plan_file import PlanError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0 done, 1 failed, 2 invalid arguments, 130 interrupted."""
    options = _parse(arguments)
    try:
        with interrupts_kept():
            _run(options)
    except (BuildError, PlanError) as error:
        print(f"generate: error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(
            f"generate: error: {error}. Complete shards are kept. Run the same command again to continue",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print(f"\nInterrupted. Run the same command again to continue {options.out}.", file=sys.stderr)
        return 130
    return 0


def _run(options: argparse.Namespace) -> None:
    plan = load_plan(options.plan)
    model = find_model(options.model, options.revision, options.trust_remote_code)
    devices = choose_devices(options.device, options.workers)
    backend = choose_backend(model, devices[0], options.cpu_backend)
    dtype = choose_dtype(options.dtype, backend, devices[0])
    sampling = choose_sampling(model, options.num_inference_steps, options.guidance_scale, dtype, backend)
    how = f"{len(devices)} worker{'s' * (len(devices) > 1)} on {', '.join(sorted(set(devices)))}, {backend}, {dtype}"
    make_source = partial(load_generator, model, sampling)
    if options.rows:
        print(f"Generating with {model.name}: {how}")
        write_images(options.out, options.rows, plan, model, make_source(devices[0]), options.image_format)
        return
    record = _make_record(options, plan, model, sampling, partial(make_source, devices[0]))
    folder = open_build(options.out, record, grow=options.grow)
    missing = folder.missing_shards()
    whole = f"{folder.path} is complete: {record.num_rows} rows in {record.num_shards} shards."
    if not missing and folder.card.exists():
        print(f"{whole} Nothing to do.")
        return
    with folder.locked_folder():
        write_text(folder.plan, plan_text(options.plan, plan))
        if missing:
            folder.card.unlink(missing_ok=True)  # a card means that the dataset is complete
    if options.begin_only:
        print(f"{folder.path} is begun: {record.num_rows} rows in {record.num_shards} shards.")
        return
    if missing:
        print(f"Generating with {model.name}: {how}", flush=True)
        _build(folder, missing, plan, make_source, devices, options.batch_size)
    with folder.locked_folder():
        write_sample_configs(folder, plan)
        write_samples(folder)
        write_pictures(folder)
        write_distribution(folder, plan)
        write_built_card(folder, plan, model.folder / "README.md")
    print(whole)


def _make_record(
    options: argparse.Namespace,
    plan: ConditionPlan,
    model: Model,
    sampling: Sampling,
    make_source: Callable[[], Source],
) -> GenerationRecord:
    """Returns the record of the build. `shard_rows` comes from the command line, from an earlier run of the same build,
    or else from the measured size of images."""
    num_rows = options.num_rows or plan.num_rows
    if num_rows is None:
        raise BuildError(f"the plan {options.plan} gives no number of rows; give --num-rows")
    shard_rows = options.shard_rows or (read_record(options.out) or {}).get("shard_rows")
    if shard_rows is None:
        few = num_rows <= FEW_SHARDS * FEW_ROWS  # far below the size of one shard, whatever the images
        image_bytes = 0.0 if few else measure_image_bytes(plan, make_source(), options.image_format, num_rows)
        shard_rows = choose_shard_rows(num_rows, image_bytes)
    return GenerationRecord(
        plan_hash=plan.hash,
        generator=model.name,
        generator_revision=model.revision,
        num_rows=num_rows,
        shard_rows=shard_rows,
        splits={split: len(rows) for split, rows in plan.split_rows(num_rows).items()},
        num_inference_steps=sampling.num_inference_steps,
        guidance_scale=sampling.guidance_scale,
        dtype=sampling.dtype,
        backend=sampling.backend,
        image_format=options.image_format,
    )


def _build(
    folder: BuildFolder[GenerationRecord],
    missing: Sequence[Shard],
    plan: ConditionPlan,
    make_source: MakeSource,
    devices: Sequence[str],
    batch_size: int,
) -> None:
    total = folder.record.num_rows
    done = total - sum(shard.rows for shard in missing)
    with tqdm(total=total, initial=done, unit="image", desc="Generating") as progress:
        build_with_workers(folder, plan, make_source, devices, batch_size, progress.update)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m dataset_script.generate",
        description="Builds a SynFundus dataset. Run the same command again to continue an interrupted build.",
    )
    add = parser.add_argument
    rows = parser.add_mutually_exclusive_group()
    rows.add_argument(
        "--num-rows",
        type=positive_integer,
        metavar="N",
        help="rows of the dataset, one image each (default: the plan's)",
    )
    rows.add_argument("--rows", type=row_numbers, metavar="I,J,...", help="generate the images of these rows only")
    add("--out", type=Path, required=True, metavar="FOLDER", help="folder of the dataset, or of the images of --rows")
    add("--plan", type=Path, default=DEFAULT_PLAN, metavar="FILE", help="plan of conditions (synfundus-1m.yaml)")
    add("--model", default=str(DEFAULT_MODEL), help="folder or Hub id of the generator (pipeline_synfundus)")
    add("--revision", metavar="REV", help="branch, tag or commit of a generator on the Hub (its default branch)")
    add("--trust-remote-code", action="store_true", help="run the code in the generator's repository")
    add("--image-format", choices=FORMATS, default="png", help="format of the image files (%(default)s)")
    add("--shard-rows", type=positive_integer, metavar="N", help="rows per Parquet shard (as many as fit 500 MB)")
    add("--batch-size", type=positive_integer, default=8, metavar="N", help="images per batch (%(default)s)")
    add("--num-inference-steps", type=positive_integer, metavar="N", help="denoising steps (the model's default)")
    add("--guidance-scale", type=scale, metavar="S", help="guidance scale; 1 means none (the model's default)")
    add(
        "--dtype",
        choices=DTYPES,
        help="type of the model (float32, or bfloat16 on CPUs with OpenVINO and units for it)",
    )
    add("--cpu-backend", choices=BACKENDS, help="what evaluates the UNet on a CPU (openvino where it is installed)")
    add("--device", help="torch device (all GPUs, or the CPU)")
    add("--workers", type=positive_integer, default=1, metavar="N", help="processes, on the GPUs in turn (%(default)s)")
    add("--grow", action="store_true", help="add rows to a dataset that was built with fewer, up to --num-rows")
    add("--begin-only", action="store_true", help="only create the folder, for the tasks of a cluster; see cluster.py")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
