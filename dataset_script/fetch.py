"""Fetches single images of a dataset by their byte ranges in the configuration `index`, from a folder or the Hub.

A rare finding is spread evenly over a dataset, so a filter on the images reads almost every row group. The index is
small; with it, only the bytes of the selected images are read:

    index = load_dataset("ORG/synfundus-1m", "index", split="train", streaming=True, filters=[("is_rvo", "==", 1)])
    rows = list(index)
    for row, image in zip(rows, fetch_images("ORG/synfundus-1m", rows)):
        ...

The default configuration keeps its order, in which every kind of row is evenly spread, for training on a stream.
"""

from __future__ import annotations

import io
import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
from PIL import Image

THREADS = 16  # requests at a time: a request to the Hub takes a tenth of a second, whatever the size of an image


def fetch_images(
    dataset: str | Path, rows: Iterable[Mapping[str, Any]], threads: int = THREADS
) -> Iterator[Image.Image]:
    """Yields the images of rows, in order.

    Args:
        dataset: folder of a dataset, or its Hub id, with `@REVISION` if it is not the default branch.
        rows: rows of the configuration `index`: mappings with `file`, `offset` and `size`.
        threads: number of images that are fetched at a time.

    Raises:
        OSError: if the dataset cannot be read.
    """
    return (Image.open(io.BytesIO(content)) for content in fetch_files(dataset, rows, threads))


def fetch_files(dataset: str | Path, rows: Iterable[Mapping[str, Any]], threads: int = THREADS) -> Iterator[bytes]:
    """Yields the image files of rows, in order; see `fetch_images`."""
    address = str(dataset) if Path(dataset).is_dir() else f"hf://datasets/{dataset}"
    files, root = fsspec.core.url_to_fs(address)
    # The default cache of a file on the Hub reads 5 MB ahead.
    options: dict[str, Any] = {} if Path(dataset).is_dir() else {"cache_type": "none"}

    def fetch(row: Mapping[str, Any]) -> bytes:
        start = row["offset"]
        return files.cat_file(f"{root}/{row['file']}", start=start, end=start + row["size"], **options)

    waiting: deque[Future[bytes]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        remaining = iter(rows)
        waiting.extend(pool.submit(fetch, row) for row in itertools.islice(remaining, 2 * threads))
        while waiting:
            content = waiting.popleft().result()
            waiting.extend(pool.submit(fetch, row) for row in itertools.islice(remaining, 1))
            yield content
