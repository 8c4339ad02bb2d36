"""The metadata at the top of a dataset card: what the Hub and `datasets` read."""

from __future__ import annotations

from typing import Any

from datasets import DatasetInfo, SplitDict, SplitInfo
from datasets.info import DatasetInfosDict
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCardData

from ..build.folder import BuildFolder
from ..build.sample_configs import sample_manifest
from ..schema import FOLDERS, config_features, config_folder, sample_configs

SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
)
TAGS = ["medical", "ophthalmology", "fundus", "retina", "synthetic", "diffusion"]

# The facts of the files of a split, see `ParquetFile.facts`.
Files = list[dict[str, Any]]


def card_metadata(folder: BuildFolder[Any], samples: bool = False) -> DatasetCardData:
    """Returns the metadata of a dataset whose shards are all complete.

    Args:
        folder: the dataset.
        samples: whether it has the sample configurations.
    """
    data = DatasetCardData(
        license="cc-by-nc-sa-4.0",
        pretty_name=dataset_name(folder),
        task_categories=["image-classification"],
        size_categories=[size_category(folder.record.num_rows)],
        tags=TAGS,
        annotations_creators=["machine-generated"],
        source_datasets=["original"],
    )
    described = {config: _split_files(folder, config) for config in FOLDERS}
    if samples:
        for config in sample_configs(folder.record.num_rows):
            described[config] = {split: [facts] for split, facts in (sample_manifest(folder, config) or {}).items()}
    configs = {config: {"data_files": _data_files(config, list(splits))} for config, splits in described.items()}
    MetadataConfigs({**configs, "default": {**configs["default"], "default": True}}).to_dataset_card_data(data)
    extra = folder.record.extra_columns
    infos = {config: _info(config, splits, extra) for config, splits in described.items()}
    DatasetInfosDict(infos).to_dataset_card_data(data)
    return data


def dataset_name(folder: BuildFolder[Any]) -> str:
    """Returns the name of the dataset: that of its folder."""
    return folder.path.resolve().name


def size_category(num_rows: int) -> str:
    """Returns the Hub's size category for a number of rows."""
    return next((name for bound, name in SIZES if num_rows < bound), "100M<n<1B")


def _data_files(config: str, splits: list[str]) -> list[dict[str, str]]:
    return [{"split": split, "path": f"{config_folder(config)}/{split}-*.parquet"} for split in splits]


def _split_files(folder: BuildFolder[Any], config: str) -> dict[str, Files]:
    files: dict[str, Files] = {split: [] for split in folder.record.splits}
    for shard in folder.record.shards:
        files[shard.split].append((folder.manifest(shard) or {})[config])
    return files


def _info(config: str, splits: dict[str, Files], extra: list[str]) -> DatasetInfo:
    sizes = {split: sum(file["arrow_bytes"] for file in files) for split, files in splits.items()}
    rows = {split: sum(file["rows"] for file in files) for split, files in splits.items()}
    infos = {split: SplitInfo(split, num_bytes=sizes[split], num_examples=rows[split]) for split in splits}
    return DatasetInfo(
        features=config_features(config, extra),
        splits=SplitDict(infos),
        download_size=sum(file["bytes"] for files in splits.values() for file in files),
        dataset_size=sum(sizes.values()),
    )
