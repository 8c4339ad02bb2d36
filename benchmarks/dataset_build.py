"""Builds a million rows from replayed images, compared with a loop that only encodes and writes the same images.

    python -m benchmarks.dataset_build --folder runs/million --out benchmarks/results/dataset-build.json

It measures `dataset_script.generate` with the default plan and without the generator: conditions, encoding, Parquet,
checksums, fsync, manifests and card. The loop takes the images of the same rows from the same source, encodes them to
the same bytes, with the same number of threads, and writes them to files without fsync. It runs after each shard. The
folder is kept for `dataset_reading`. Run the same command again to continue an interrupted build; it measures the
remaining shards.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
from tqdm import tqdm

from dataset_script.build.folder import BuildFolder
from dataset_script.build.image_format import FORMATS, encode_row
from dataset_script.build.record import GenerationRecord
from dataset_script.build.shards import ENCODERS, build_shard, shard_rows
from dataset_script.plan.condition_plan import ConditionPlan, Row, load_plan
from dataset_script.schema import FOLDERS

from .dataset_memory import peak_memory
from .dataset_replay import BATCH, ReplaySource, begin_build, end_build, read_pictures, resize
from .dataset_result import compared, parser_of, seconds_of, write_result


def encode_and_write(
    folder: BuildFolder[GenerationRecord], rows: Sequence[Row], source: ReplaySource, out: Path
) -> None:
    """The peer: encodes and writes the images of these rows, with as many threads as the build.

    It takes batches from the source as the build does, because the source stands for the generator: copying the images
    of a batch took 5 % of a build at 512 pixels.
    """

    def work(thread: int) -> None:
        part = rows[thread::ENCODERS]
        with open(out / str(thread), "wb") as file:
            for first in range(0, len(part), BATCH):
                batch = part[first : first + BATCH]
                for image, row in zip(source(batch), batch, strict=True):
                    file.write(encode_row(image, row.idx, folder.record))

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(ENCODERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def measure_build(
    folder: BuildFolder[GenerationRecord],
    plan: ConditionPlan,
    source: ReplaySource,
    peer_rows: int,
    advance: Callable[[int], object],
) -> tuple[list[float], list[float], float, float]:
    """Builds the missing shards; after each, the peer runs with the first rows of the same shard.

    Returns:
        Rows per second of the build and of the peer for each shard, the mean number of cores the build used, and the
        processor time of a row of the peer over that of the build: on a busy machine it varies less than the rates.
    """
    ours, peer, busy, building = [], [], 0.0, 0.0
    shares, process = [], psutil.Process()
    with tempfile.TemporaryDirectory(dir=folder.path.parent) as temporary:
        for shard in folder.missing_shards():
            rows, before = shard_rows(plan, folder.record, shard), sum(process.cpu_times()[:2])
            seconds = seconds_of(lambda: build_shard(folder, shard, plan, source, BATCH, advance))  # noqa: B023
            building += seconds
            built = sum(process.cpu_times()[:2])
            busy += built - before
            ours.append(len(rows) / seconds)
            part = rows[:peer_rows]
            peer.append(len(part) / seconds_of(lambda: encode_and_write(folder, part, source, Path(temporary))))  # noqa: B023
            looped = sum(process.cpu_times()[:2]) - built
            shares.append(looped / len(part) / ((built - before) / len(rows)))
    return ours, peer, busy / building, statistics.median(shares)


def main() -> None:
    """The command line."""
    parser = parser_of("dataset_build", __doc__)
    parser.add_argument("--folder", type=Path, required=True, help="folder of the dataset")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the dataset (%(default)s)")
    parser.add_argument("--side", type=int, default=64, metavar="PIXELS", help="side of its images (%(default)s)")
    parser.add_argument("--image-format", choices=FORMATS, default="png")
    parser.add_argument("--peer-rows", type=int, default=10_000, help="rows of the peer per shard (%(default)s)")
    options = parser.parse_args()
    plan = load_plan()
    source = ReplaySource(resize(read_pictures(options.pictures), options.side))
    folder = begin_build(options.folder, plan, source, options.rows, options.image_format)
    missing = folder.missing_shards()
    if not missing:
        raise SystemExit(f"dataset_build: {options.folder} is complete; give --folder a new folder")
    began = time.perf_counter()
    done = options.rows - sum(shard.rows for shard in missing)
    with tqdm(total=options.rows, initial=done, unit="image", desc="Building") as progress:
        ours, peer, cores, share = measure_build(folder, plan, source, options.peer_rows, progress.update)
    card_seconds = seconds_of(lambda: end_build(folder, plan))
    files = [folder.manifest(shard) or {} for shard in folder.record.shards]
    content: dict[str, Any] = {
        "rows": options.rows,
        "rows_built": options.rows - done,
        "shards": folder.record.num_shards,
        "encoding_threads": ENCODERS,
        "build": compared(ours, peer),
        "cores_busy": cores,
        "processor_time_ratio": share,
        "seconds_with_peer": time.perf_counter() - began,
        "card_seconds": card_seconds,
        "peak_bytes": peak_memory(),
        "bytes": {config: sum(file[config]["bytes"] for file in files) for config in FOLDERS},
    }
    write_result(options, "dataset_build", ("psutil",), content)


if __name__ == "__main__":
    main()
