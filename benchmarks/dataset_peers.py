"""Compares our dataset with WebDataset tars and an image folder with metadata.csv of the same images.

    python -m benchmarks.dataset_peers --out benchmarks/results/dataset-peers.json  # needs: pip install webdataset

All contain the same image files, encoded with the same number of threads. Each is streamed in one process to Pillow
images and labels, with the library of its users: `datasets` for ours and the image folder, `webdataset` for the tars.
Only the label scan uses the fastest reader of the files themselves.
"""

from __future__ import annotations

import csv
import json
import statistics
import tarfile
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import webdataset
from datasets import disable_progress_bars, load_dataset
from tqdm import tqdm

from dataset_script.build.folder import BuildFolder
from dataset_script.build.image_format import FORMATS, encode_row
from dataset_script.build.record import GenerationRecord
from dataset_script.build.shards import ENCODERS, build_missing_shards
from dataset_script.plan.condition_plan import ConditionPlan, Row, load_plan
from dataset_script.schema import file_name
from pipeline_synfundus.labels import CONDITION_NAMES

from .dataset_replay import BATCH, ReplaySource, begin_build, end_build, read_pictures, resize
from .dataset_result import compared, parser_of, seconds_of, write_result

Rates = dict[str, list[float]]
LABEL = "is_gc"
BUFFER = 1_000  # images in the shuffle buffer of each stream


@dataclass(frozen=True)
class Layout:
    """A dataset layout.

    Attributes:
        build: writes it.
        stream: iterates over its rows, shuffled if True.
        scan: counts the rows with a finding.
        folder: its folder.
    """

    build: Callable[[], object]
    stream: Callable[[bool], Iterable[Any]]
    scan: Callable[[], int]
    folder: Path


def encoded(
    folder: BuildFolder[GenerationRecord], plan: ConditionPlan, source: ReplaySource
) -> Iterator[tuple[Row, bytes]]:
    """Yields the rows with the image files of our build, encoded with as many threads."""
    record = folder.record

    def encode(row: Row) -> bytes:
        return encode_row(source([row])[0], row.idx, record)

    with ThreadPoolExecutor(ENCODERS) as encoders:
        for first in range(0, record.num_rows, BATCH):
            rows = plan.rows(range(first, min(first + BATCH, record.num_rows)))
            yield from zip(rows, encoders.map(encode, rows), strict=True)


def our_layout(folder: BuildFolder[GenerationRecord], plan: ConditionPlan, source: ReplaySource, cache: str) -> Layout:
    """Parquet, as written by `dataset_script.generate`."""

    def build() -> None:
        build_missing_shards(folder, plan, source, BATCH)
        end_build(folder, plan)

    def stream(shuffled: bool) -> Iterable[Any]:
        rows = load_dataset(str(folder.path), split="train", streaming=True, cache_dir=cache)
        return rows.shuffle(seed=0, buffer_size=BUFFER) if shuffled else rows

    def scan() -> int:
        return pc.sum(pc.equal(pq.read_table(folder.path / "labels", columns=[LABEL])[LABEL], 1)).as_py()

    return Layout(build, stream, scan, folder.path)


def tar_layout(out: Path, ours: BuildFolder[GenerationRecord], plan: ConditionPlan, source: ReplaySource) -> Layout:
    """WebDataset: tars with an image and a JSON file of labels per row, as many as we have shards."""
    suffix = FORMATS[ours.record.image_format].suffix.removeprefix(".")

    def build() -> None:
        out.mkdir()
        pattern = f"{out}/train-%05d.tar"
        with webdataset.ShardWriter(pattern, maxcount=ours.record.shard_rows, verbose=0) as writer:
            for row, image in encoded(ours, plan, source):
                writer.write({"__key__": f"{row.idx:07d}", suffix: image, "json": {"idx": row.idx, **row.condition}})

    def stream(shuffled: bool) -> Iterable[Any]:
        files = sorted(map(str, out.glob("*.tar")))
        dataset = webdataset.WebDataset(files, shardshuffle=len(files) if shuffled else False)
        return (dataset.shuffle(BUFFER) if shuffled else dataset).decode("pil")

    def scan() -> int:
        return sum(json.loads(text)[LABEL] == 1 for file in out.glob("*.tar") for text in _label_files(file))

    return Layout(build, stream, scan, out)


def _label_files(file: Path) -> Iterator[bytes]:
    with tarfile.open(file, "r:") as tar:
        for member in tar:
            if member.name.endswith(".json"):
                yield tar.extractfile(member).read()  # type: ignore[union-attr]


def folder_layout(
    out: Path, ours: BuildFolder[GenerationRecord], plan: ConditionPlan, source: ReplaySource, cache: str
) -> Layout:
    """The imagefolder of `datasets`: one image file per row and one metadata.csv."""

    def build() -> None:
        (out / "train").mkdir(parents=True)
        with open(out / "train" / "metadata.csv", "w", newline="", encoding="utf-8") as table:
            writer = csv.writer(table)
            writer.writerow(["file_name", "idx", *CONDITION_NAMES])
            for row, image in encoded(ours, plan, source):
                name = file_name(row.idx, FORMATS[ours.record.image_format].suffix)
                (out / "train" / name).write_bytes(image)
                writer.writerow([name, row.idx, *row.condition.values()])

    def stream(shuffled: bool) -> Iterable[Any]:
        rows = load_dataset("imagefolder", data_dir=str(out), split="train", streaming=True, cache_dir=cache)
        return rows.shuffle(seed=0, buffer_size=BUFFER) if shuffled else rows

    def scan() -> int:
        return pc.sum(pc.equal(pyarrow.csv.read_csv(out / "train" / "metadata.csv")[LABEL], 1)).as_py()

    return Layout(build, stream, scan, out)


def read(layouts: dict[str, Layout], shuffled: bool, images: int, rounds: int) -> tuple[Rates, Rates]:
    """Reads all layouts in turn.

    Returns:
        Name to the images per second of each round without its last `BUFFER` images, and to the seconds for these:
        `datasets` waits there for threads of Arrow, for the same time whatever the length of the dataset.
    """
    measured: Rates = {name: [] for name in layouts}
    ended: Rates = {name: [] for name in layouts}
    number = max(images - BUFFER, images // 2)
    for _ in tqdm(range(rounds), desc="Shuffled" if shuffled else "Sequential", unit="round"):
        for name, layout in layouts.items():
            rows = iter(layout.stream(shuffled))
            measured[name].append(number / seconds_of(lambda: deque(islice(rows, number), maxlen=0)))  # noqa: B023
            ended[name].append(seconds_of(lambda: deque(rows, maxlen=0)))  # noqa: B023
    return measured, ended


def measure(layouts: dict[str, Layout], images: int, rounds: int) -> dict[str, Any]:
    """Builds and reads all layouts, in turn; returns seconds and rates of each."""
    built = {name: seconds_of(layout.build) for name, layout in layouts.items()}
    found = {name: layout.scan() for name, layout in layouts.items()}
    if len(set(found.values())) != 1:
        raise RuntimeError(f"the layouts hold different labels: {found}")
    start: dict[str, list[float]] = {name: [] for name in layouts}
    scan: dict[str, list[float]] = {name: [] for name in layouts}
    for _ in range(rounds):
        for name, layout in layouts.items():
            start[name].append(seconds_of(lambda: next(iter(layout.stream(False)))))  # noqa: B023
            scan[name].append(seconds_of(layout.scan))

    sequential, _ = read(layouts, False, images, rounds)
    shuffled, ended = read(layouts, True, images, rounds)
    ours = next(iter(layouts))
    return {
        name: {
            "build_seconds": built[name],
            "start_seconds": statistics.median(start[name]),
            "scan_seconds": statistics.median(scan[name]),
            "sequential": compared(sequential[name], sequential[ours]),
            "shuffled": compared(shuffled[name], shuffled[ours]),
            "shuffled_last_seconds": statistics.median(ended[name]),
            "files": sum(path.is_file() for path in layout.folder.rglob("[!.]*")),
            "bytes": sum(path.stat().st_size for path in layout.folder.rglob("[!.]*") if path.is_file()),
        }
        for name, layout in layouts.items()
    }


def main() -> None:
    """The command line."""
    parser = parser_of("dataset_peers", __doc__)
    parser.add_argument("--images", type=int, default=20_000, help="images of the dataset (%(default)s)")
    parser.add_argument("--side", type=int, default=128, metavar="PIXELS", help="side of the images (%(default)s)")
    parser.add_argument("--image-format", choices=FORMATS, default="png")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each measurement (%(default)s)")
    options = parser.parse_args()
    disable_progress_bars()
    plan, source = load_plan(), ReplaySource(resize(read_pictures(options.pictures), options.side))
    with tempfile.TemporaryDirectory() as temporary:
        out, cache = Path(temporary), str(Path(temporary) / "cache")
        ours = begin_build(out / "ours", plan, source, options.images, options.image_format)
        layouts = {
            "ours": our_layout(ours, plan, source, cache),
            "webdataset": tar_layout(out / "tars", ours, plan, source),
            "imagefolder": folder_layout(out / "folder", ours, plan, source, cache),
        }
        content = {
            "images": options.images,
            "pixels": options.side,
            "layouts": measure(layouts, options.images, options.rounds),
        }
    write_result(options, "dataset_peers", ("webdataset",), content)


if __name__ == "__main__":
    main()
