"""The layout of a dataset: its configurations and their folders, columns, splits, row groups and file names.

The builder, the build and the converter share it. The loading script for `datasets` 3.6 imports it too, so it needs
nothing beyond `datasets` and the labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import datasets

from pipeline_synfundus.labels import CONDITION_LABELS

SPLITS = ("train", "validation", "test")
# The configurations that every shard has a file of, and their folders.
FOLDERS = {"default": "data", "labels": "labels", "index": "index"}
# The configurations with the first rows of a dataset, in folders of the same names.
SAMPLES = {"sample-1k": 1_000, "sample-10k": 10_000}
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


def config_features(config: str, extra: Sequence[str] = ()) -> datasets.Features:
    """Returns the columns of a configuration; `extra` are further columns of text, which `index` does not have.

    `index` has the labels and, for each row, the Parquet file with its image (`file`, relative to the dataset's folder)
    and the byte range of the image file in it (`offset`, `size`). So a reader can fetch single images.
    """
    if config == "index":
        place = {"file": datasets.Value("string"), "offset": datasets.Value("int64"), "size": datasets.Value("int64")}
        return datasets.Features({**features(images=False), **place})
    return datasets.Features(
        {**features(images=config != "labels"), **{name: datasets.Value("string") for name in extra}}
    )


def config_folder(config: str) -> str:
    """Returns the folder with the Parquet files of a configuration."""
    return FOLDERS.get(config, config)


def sample_configs(num_rows: int) -> list[str]:
    """Returns the sample configurations of a dataset: those that hold at most half of its rows."""
    return [config for config, size in SAMPLES.items() if 2 * size <= num_rows]


def file_name(idx: int, suffix: str) -> str:
    """Returns the name of a row's image file, for example `0000042.png`."""
    return f"{idx:07d}{suffix}"
