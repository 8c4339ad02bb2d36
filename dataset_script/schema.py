"""The layout of a dataset: its columns, its configurations and their folders, its row groups, its file names.

The builder, the build and the converter share it. The loading script for `datasets` 3.6 imports it too, so it needs
nothing beyond `datasets` and the labels.
"""

from __future__ import annotations

import datasets

from pipeline_synfundus.labels import CONDITION_LABELS

# The folder with the Parquet files of each configuration.
FOLDERS = {"default": "data", "labels": "labels"}
# Rows in a row group with images: a reader holds one row group in memory, 100 MB at 512x512 pixels.
ROW_GROUP = 256
LARGEST_IDX = 2**63 - 1  # the column `idx` is int64


def features(images: bool = True) -> datasets.Features:
    """Returns the columns: `image` (if `images`), `idx`, the fifteen labels, `eye_side`."""
    columns: dict[str, object] = {"image": datasets.Image()} if images else {}
    columns["idx"] = datasets.Value("int64")
    for label in CONDITION_LABELS:
        columns[label.name] = datasets.ClassLabel(names=list(label.values))
    return datasets.Features(columns)


def config_features(config: str) -> datasets.Features:
    """Returns the columns of a configuration: only `labels` has no images."""
    return features(images=config != "labels")


def file_name(idx: int, suffix: str) -> str:
    """Returns the name of a row's image file, for example `0000042.png`."""
    return f"{idx:07d}{suffix}"
