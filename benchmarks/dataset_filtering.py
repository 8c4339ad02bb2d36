"""Reads the rows with a rare finding through the index, compared with a filter that scans the images.

    python -m benchmarks.dataset_filtering --out benchmarks/results/dataset-filtering.json

The scan is `load_dataset(..., streaming=True, filters=[(LABEL, "==", 1)])`. Both read the same built dataset from the
disk and decode the same images. Bytes are those that the process reads (`rchar` in /proc/self/io); the files are in the
page cache, so the seconds are those of reading and decoding, without the time of a network.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasets import disable_progress_bars, load_dataset

from dataset_script.build.image_format import FORMATS
from dataset_script.build.shards import build_missing_shards
from dataset_script.fetch import fetch_images
from dataset_script.plan.condition_plan import load_plan

from .dataset_replay import BATCH, ReplaySource, begin_build, end_build, read_pictures, resize
from .dataset_result import parser_of, seconds_of, write_result

LABEL = "is_rvo"


def bytes_read() -> int:
    """Returns the number of bytes that this process has read so far."""
    return int(re.findall(r"rchar: (\d+)", Path("/proc/self/io").read_text(encoding="ascii"))[0])


def scan(folder: Path, cache: str) -> int:
    """Filters the images themselves; returns the number of images."""
    options = {"split": "train", "streaming": True, "cache_dir": cache}
    rows = load_dataset(str(folder), filters=[(LABEL, "==", 1)], **options)
    return sum(row["image"].load() is not None for row in rows)


def use_index(folder: Path, cache: str) -> int:
    """Selects rows in the index and fetches their images; returns the number of images."""
    options = {"split": "train", "streaming": True, "cache_dir": cache}
    rows = load_dataset(str(folder), "index", filters=[(LABEL, "==", 1)], **options)
    return sum(image.load() is not None for image in fetch_images(folder, rows))


def measure(work: Callable[[Path, str], int], folder: Path, wanted: int) -> dict[str, float]:
    """Returns the rows, bytes and seconds of one way, and its bytes relative to those of the wanted images."""
    found: list[int] = []
    with tempfile.TemporaryDirectory() as cache:
        before = bytes_read()
        seconds = seconds_of(lambda: found.append(work(folder, cache)))
        read = bytes_read() - before
    return {"rows": found[0], "bytes": read, "bytes_per_wanted_byte": read / wanted, "seconds": seconds}


def main() -> None:
    """The command line."""
    parser = parser_of("dataset_filtering", __doc__)
    parser.add_argument("--rows", type=int, default=20_000, help="rows of the dataset (%(default)s)")
    parser.add_argument("--images", type=int, default=128, help="different images among them (%(default)s)")
    parser.add_argument("--side", type=int, default=128, metavar="PIXELS", help="side of the images (%(default)s)")
    parser.add_argument("--image-format", choices=FORMATS, default="png")
    options = parser.parse_args()
    disable_progress_bars()
    plan, source = load_plan(), ReplaySource(resize(read_pictures(options.pictures, options.images), options.side))
    with tempfile.TemporaryDirectory() as temporary:
        folder = begin_build(Path(temporary) / "dataset", plan, source, options.rows, options.image_format)
        build_missing_shards(folder, plan, source, BATCH)
        end_build(folder, plan)
        index = load_dataset(str(folder.path), "index", split="train", cache_dir=f"{temporary}/cache")
        sizes = [size for size, value in zip(index["size"][:], index[LABEL][:], strict=True) if value == 1]
        measure(use_index, folder.path, sum(sizes))  # imports and page cache
        content: dict[str, Any] = {
            "label": LABEL,
            "rows_of_split": len(index),
            "rows_found": len(sizes),
            "image_bytes_found": sum(sizes),
            "index": measure(use_index, folder.path, sum(sizes)),
            "scan": measure(scan, folder.path, sum(sizes)),
        }
    if content["index"]["rows"] != content["scan"]["rows"]:
        raise RuntimeError(f"the index found other rows than the scan: {content}")
    write_result(options, "dataset_filtering", (), content)


if __name__ == "__main__":
    main()
