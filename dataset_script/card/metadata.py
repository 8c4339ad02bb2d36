"""The metadata at the top of a dataset card: what the Hub and `datasets` read."""

from __future__ import annotations

from typing import Any

from datasets import DatasetInfo, SplitDict, SplitInfo
from datasets.info import DatasetInfosDict
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCardData

from ..build.folder import BuildFolder
from ..schema import FOLDERS, config_features

SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
)
TAGS = ["medical", "ophthalmology", "fundus", "retina", "synthetic", "diffusion"]


def card_metadata(folder: BuildFolder[Any]) -> DatasetCardData:
    """Returns the metadata of a dataset whose shards are all complete."""
    data = DatasetCardData(
        license="cc-by-nc-sa-4.0",
        pretty_name=dataset_name(folder),
        task_categories=["image-classification"],
        size_categories=[size_category(folder.record.num_rows)],
        tags=TAGS,
        annotations_creators=["machine-generated"],
        source_datasets=["original"],
    )
    configs = {config: {"data_files": f"{subfolder}/*.parquet"} for config, subfolder in FOLDERS.items()}
    MetadataConfigs({**configs, "default": {**configs["default"], "default": True}}).to_dataset_card_data(data)
    DatasetInfosDict({config: _info(folder, config) for config in FOLDERS}).to_dataset_card_data(data)
    return data


def dataset_name(folder: BuildFolder[Any]) -> str:
    """Returns the name of the dataset: that of its folder."""
    return folder.path.resolve().name


def size_category(num_rows: int) -> str:
    """Returns the Hub's size category for a number of rows."""
    return next((name for bound, name in SIZES if num_rows < bound), "100M<n<1B")


def _info(folder: BuildFolder[Any], config: str) -> DatasetInfo:
    manifests = [folder.manifest(shard) or {} for shard in range(folder.record.num_shards)]
    size = sum(manifest[config]["arrow_bytes"] for manifest in manifests)
    return DatasetInfo(
        features=config_features(config),
        splits=SplitDict({"train": SplitInfo("train", num_bytes=size, num_examples=folder.record.num_rows)}),
        download_size=sum(manifest[config]["bytes"] for manifest in manifests),
        dataset_size=size,
    )
