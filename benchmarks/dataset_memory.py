"""Peak memory of a build over few rows and over many: `python -m benchmarks.dataset_memory --out FILE`.

Each build runs in a process of its own, which reports its peak resident memory. Images are replayed: a source without
waiting times fills every queue of the build. With `--model`, the process first loads the bundled generator and
generates a batch, as `dataset_script.generate` does; without it, the memory is that of the build only.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dataset_script.build.image_format import FORMATS
from dataset_script.build.shards import build_missing_shards
from dataset_script.plan.condition_plan import load_plan

from .dataset_replay import BATCH, ReplaySource, begin_build, end_build, make_pictures, read_pictures, resize
from .dataset_result import parser_of, write_result


def peak_memory() -> int:
    """Returns the peak resident memory of this process in bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0])


def build(num_rows: int, options: argparse.Namespace) -> dict[str, int]:
    """Builds a dataset in this process; returns its peak memory before and after, in bytes."""
    plan, source = load_plan(), ReplaySource(resize(read_pictures(options.pictures), options.side))
    if options.model:
        make_pictures(BATCH)
    before = peak_memory()
    with tempfile.TemporaryDirectory() as temporary:
        folder = begin_build(Path(temporary) / "memory", plan, source, num_rows, options.image_format)
        build_missing_shards(folder, plan, source, BATCH)
        end_build(folder, plan)
    return {"before": before, "peak": peak_memory()}


def measure(num_rows: int, options: argparse.Namespace) -> dict[str, int]:
    """Builds in a process of its own; see `build`."""
    command = [sys.executable, "-m", "benchmarks.dataset_memory", "--build", str(num_rows)]
    command += ["--image-format", options.image_format, "--pictures", str(options.pictures)]
    if options.model:
        command += ["--model"]
    if options.side:
        command += ["--side", str(options.side)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """The command line."""
    parser = parser_of("dataset_memory", __doc__)
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[200, 2_000, 20_000], help="rows of the builds (%(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="builds of each size (%(default)s)")
    parser.add_argument("--side", type=int, metavar="PIXELS", help="side of the images (the generator's)")
    parser.add_argument("--image-format", choices=FORMATS, default="png")
    parser.add_argument("--model", action="store_true", help="load the bundled generator in the process")
    parser.add_argument("--build", type=int, metavar="ROWS", help=argparse.SUPPRESS)  # used by the process of a build
    options = parser.parse_args()
    if options.build:
        print(json.dumps(build(options.build, options)))
        return
    pictures = read_pictures(options.pictures)
    peaks: dict[int, list[int]] = {rows: [] for rows in options.rows}
    before: list[int] = []
    for _ in tqdm(range(options.rounds), unit="round", desc="Memory"):
        for rows in options.rows:
            measured = measure(rows, options)
            peaks[rows].append(measured["peak"])
            before.append(measured["before"])
    medians = {rows: statistics.median(values) for rows, values in peaks.items()}
    content: dict[str, Any] = {
        "pixels": options.side or pictures.shape[1],
        "image_format": options.image_format,
        "before_bytes": statistics.median(before),
        "peak_bytes": {str(rows): value for rows, value in medians.items()},
        "with_model": options.model,
        "growth": medians[options.rows[-1]] / medians[options.rows[0]] - 1,
    }
    write_result(options, "dataset_memory", (), content)


if __name__ == "__main__":
    main()
