"""The row of the dataset: its columns and its Parquet tables."""

from __future__ import annotations

from collections.abc import Sequence

import datasets
import pyarrow as pa

from pipeline_synfundus.labels import CONDITION_LABELS

from .conditions import Row


def features(images: bool = True) -> datasets.Features:
    """Returns the columns: `image` (unless left out), `idx`, the fifteen labels, `eye_side`."""
    columns: dict[str, object] = {"image": datasets.Image()} if images else {}
    columns["idx"] = datasets.Value("int64")
    for label in CONDITION_LABELS:
        columns[label.name] = datasets.ClassLabel(names=list(label.values))
    return datasets.Features(columns)


def label_table(rows: Sequence[Row]) -> pa.Table:
    """Returns the rows without images: the columns of the config `labels`."""
    records = [{"idx": row.idx, **row.condition} for row in rows]
    return pa.Table.from_pylist(records, schema=features(images=False).arrow_schema)


def image_table(rows: Sequence[Row], images: Sequence[bytes], suffix: str) -> pa.Table:
    """Returns the rows with their encoded images: the columns of the config `default`.

    The schema carries the features, so that the names of the label values are read back from the Parquet file alone.

    Args:
        rows: the rows.
        images: one image file a row.
        suffix: the end of the image files' names, with the dot.
    """
    files = pa.StructArray.from_arrays(
        [pa.array(images, pa.binary()), pa.array([file_name(row.idx, suffix) for row in rows])], names=["bytes", "path"]
    )
    # By column: Arrow takes twice as long to find the columns in one mapping a row.
    columns = [files, pa.array([row.idx for row in rows])]
    columns += [pa.array([row.condition[label.name] for row in rows], pa.int64()) for label in CONDITION_LABELS]
    return pa.Table.from_arrays(columns, schema=features().arrow_schema)


def file_name(idx: int, suffix: str) -> str:
    """Returns the name of a row's image file."""
    return f"{idx:07d}{suffix}"
