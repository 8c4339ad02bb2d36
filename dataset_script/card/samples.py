"""The contact sheet in the card: `samples.png`."""

from __future__ import annotations

import io

import pyarrow.parquet as pq
from PIL import Image

from ..build.folder import BuildFolder
from ..build.record import GenerationRecord
from ..schema import FOLDERS, ROW_GROUP
from .sheet import choose_rows, write_sheet

# Rows of all kinds are spread evenly over a dataset, so the first rows contain every label.
SEARCHED = 100_000


def write_samples(folder: BuildFolder[GenerationRecord]) -> None:
    """Draws rows that together show every label of a complete dataset. Only the row groups of these rows are read."""
    labels = pq.read_table(folder.path / FOLDERS["labels"]).slice(0, SEARCHED).to_pandas()
    chosen, _ = choose_rows(labels)
    rows = [{**labels.iloc[row].to_dict(), "image": _read_image(folder, row)} for row in chosen]
    title = f"{folder.path.resolve().name}: {len(rows)} of {folder.record.num_rows:,} images"
    write_sheet(folder.samples, rows, title)


def _read_image(folder: BuildFolder[GenerationRecord], row: int) -> Image.Image:
    shard, position = divmod(row, folder.record.shard_rows)
    group, position = divmod(position, ROW_GROUP)
    with pq.ParquetFile(folder.file("default", shard)) as file:
        column = file.read_row_group(group, columns=["image"])["image"]
    return Image.open(io.BytesIO(column[position].as_py()["bytes"]))
