"""Measures loading, filtering, streaming and random access of a built dataset, each compared with a peer.

    python -m benchmarks.dataset_reading --folder runs/million --out benchmarks/results/dataset-reading.json

Caches are in a temporary folder, so that the first load is uncached. Streaming reads the first rows and is compared
with decoding the same image files from memory. Random access to rows of the whole dataset is compared with access in
order.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import Dataset, IterableDataset, disable_progress_bars, load_dataset
from PIL import Image

from .dataset_result import compared, parser_of, rates, seconds_of, write_result

LABEL = "is_gc"
FILTER_ROWS = 100_000  # batch size; the default of datasets, 1,000, suits rows with images
BATCH_ROWS = 1000  # of streamed Arrow tables


def load(folder: Path, config: str, cache: str, **options: Any) -> Dataset:
    """Returns the only split of a configuration."""
    return load_dataset(str(folder), config, split="train", cache_dir=cache, **options)


def has_finding(table: pa.Table) -> pa.Array:
    """Returns which rows have the finding; called by `filter` with Arrow tables."""
    return pc.equal(table[LABEL], 1)


def measure_labels(folder: Path, cache: str, rounds: int) -> dict[str, Any]:
    """Measures loading the labels, uncached and cached, and selecting the rows with a finding in three ways."""
    first = seconds_of(lambda: load(folder, "labels", cache))
    cached = [seconds_of(lambda: load(folder, "labels", cache)) for _ in range(rounds)]
    labels = load(folder, "labels", cache)
    arrow = labels.with_format("arrow")
    found: list[int] = []

    def filter_batches() -> None:
        kept = arrow.filter(has_finding, batched=True, batch_size=FILTER_ROWS, load_from_cache_file=False)
        found.append(len(kept))

    def filter_column() -> None:
        kept = labels.select(np.flatnonzero(labels.with_format("numpy")[LABEL][:] == 1))
        found.append(len(kept))

    def filter_rows() -> None:
        kept = labels.filter(lambda value: value == 1, input_columns=LABEL, load_from_cache_file=False)
        found.append(len(kept))

    seconds = {
        "filter_batches": [seconds_of(filter_batches) for _ in range(rounds)],
        "select_column": [seconds_of(filter_column) for _ in range(rounds)],
        "filter_rows": [seconds_of(filter_rows)],
    }
    if len(set(found)) != 1:
        raise RuntimeError(f"the filters kept different numbers of rows: {found}")
    medians = {name: float(np.median(values)) for name, values in seconds.items()}
    return {
        "rows": len(labels),
        "rows_kept": found[0],
        "seconds": {"load_first": first, "load_cached": float(np.median(cached)), **medians},
    }


def image_files(folder: Path, number: int) -> Iterator[bytes]:
    """Yields the bytes of the first image files."""
    for path in sorted((folder / "data").glob("*.parquet")):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(1024, columns=["image"]):
                yield from batch.column(0).field("bytes").slice(0, number).to_pylist()
                number -= len(batch)
                if number <= 0:
                    return


def decode(files: list[bytes]) -> int:
    """The peer of streaming: decodes image files from memory."""
    for file in files:
        Image.open(io.BytesIO(file)).load()
    return len(files)


def read_batches(stream: IterableDataset, number: int) -> int:
    """Streams at least this many whole rows in Arrow tables, as docs/recipes/pytorch.md does, and returns how many."""
    count = 0
    for table in stream.with_format("arrow").iter(batch_size=BATCH_ROWS):
        labels = table.drop_columns("image").to_pydict()
        for position, file in enumerate(table["image"].combine_chunks().field("bytes").to_pylist()):
            row = {name: column[position] for name, column in labels.items()}
            row["image"] = Image.open(io.BytesIO(file))
            row["image"].load()
        count += len(table)
        if count >= number:
            break
    return count


def measure_streaming(folder: Path, cache: str, number: int, rounds: int) -> dict[str, Any]:
    """Measures streaming of whole rows, in two ways, and of images only, compared with decoding the same files."""
    files = list(image_files(folder, number))
    stream = load(folder, "default", cache, streaming=True)
    works: dict[str, Callable[[], int]] = {
        "list": lambda: decode(files),
        "rows": lambda: sum(1 for _ in stream.take(number)),
        "images": lambda: sum(1 for _ in stream.select_columns("image").take(number)),
        "rows in batches": lambda: read_batches(stream, number),
    }
    measured = rates(works, rounds, "Streaming")
    return {name: compared(measured[name], measured["list"]) for name in works if name != "list"}


def measure_access(folder: Path, cache: str, number: int, rounds: int) -> dict[str, Any]:
    """Measures access to random rows of the whole dataset, compared with the same number of rows in order."""
    seconds: list[float] = []
    dataset: list[Dataset] = []
    seconds.append(seconds_of(lambda: dataset.append(load(folder, "default", cache))))
    rows, rng = dataset[0], np.random.default_rng(0)

    def sequential() -> int:
        first = int(rng.integers(0, max(1, len(rows) - number)))
        return sum(1 for idx in range(first, min(first + number, len(rows))) if rows[idx])

    def random() -> int:
        return sum(1 for idx in rng.integers(0, len(rows), number) if rows[int(idx)])

    measured = rates({"sequential": sequential, "random": random}, rounds, "Access")
    return {"load_first_seconds": seconds[0], **compared(measured["random"], measured["sequential"])}


def main() -> None:
    """The command line."""
    parser = parser_of("dataset_reading", __doc__)
    parser.add_argument("--folder", type=Path, required=True, help="a built dataset")
    parser.add_argument("--images", type=int, default=20_000, help="images per round (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each comparison (%(default)s)")
    options: argparse.Namespace = parser.parse_args()
    disable_progress_bars()
    with tempfile.TemporaryDirectory() as cache:
        labels = measure_labels(options.folder, cache, options.rounds)
        number = min(options.images, labels["rows"])
        with Image.open(io.BytesIO(next(image_files(options.folder, 1)))) as image:
            pixels = image.width
        content = {
            "pixels": pixels,
            "labels": labels,
            "streaming": measure_streaming(options.folder, cache, number, options.rounds),
            "random_access": measure_access(options.folder, cache, number, options.rounds),
        }
    write_result(options, "dataset_reading", (), content)


if __name__ == "__main__":
    main()
