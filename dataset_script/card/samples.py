"""The contact sheet in the card: `samples.png`."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
from PIL import Image

from ..build.folder import BuildFolder
from ..build.record import GenerationRecord
from .sheet import choose_rows, write_sheet

# Rows of all kinds are spread evenly over a dataset, so the first rows contain every label.
SEARCHED = 100_000


def write_samples(folder: BuildFolder[GenerationRecord]) -> None:
    """Draws rows that together show every label of a complete dataset. Only the images of these rows are read."""
    index = first_rows(folder)
    chosen, _ = choose_rows(index)
    rows: list[dict[str, Any]] = index.iloc[chosen].to_dict("records")  # type: ignore[assignment]
    rows = [{**row, "image": read_image(folder.path, row)} for row in rows]
    title = f"{folder.path.resolve().name}: {len(rows)} of {folder.record.num_rows:,} images"
    write_sheet(folder.samples, rows, title)


def first_rows(folder: BuildFolder[GenerationRecord]) -> pd.DataFrame:
    """Returns the index of the first rows of a dataset, in ascending order of `idx`."""
    files = [folder.file("index", shard) for shard in folder.record.shards if shard.first < SEARCHED]
    index = pd.concat([pq.read_table(file).to_pandas() for file in files])
    return index.sort_values("idx", ignore_index=True).head(SEARCHED)


def read_image(folder: Path, row: Mapping[str, Any]) -> Image.Image:
    """Returns the image of a row of the config `index`; only its bytes are read.

    Args:
        folder: the folder of the dataset.
        row: `file`, `offset` and `size`.
    """
    with open(folder / row["file"], "rb") as file:
        file.seek(row["offset"])
        return Image.open(io.BytesIO(file.read(row["size"])))
