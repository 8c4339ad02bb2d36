"""The dataset builder, also a loading script: SynFundus-1M from a folder, as images with fifteen label columns.

The folder is a copy of the published release (see `published_release`), or a dataset built by `dataset_script.generate`
or `dataset_script.convert`. Image files are passed on without unpacking or decoding.

With `datasets` up to 3.6 this file is a loading script. The project must be importable: run it at the root of a clone.

    load_dataset("dataset_script/synfundus_1m.py", data_dir="SynFundus-1M", trust_remote_code=True)

Later versions of `datasets` do not run loading scripts. There, import the builder:

    builder = SynFundus1M(data_dir="SynFundus-1M")
    builder.as_streaming_dataset(split="train")  # or download_and_prepare(), then as_dataset()

`python -m dataset_script.convert SynFundus-1M --out synfundus-1m` converts the release to Parquet files that every
version loads.
"""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

# datasets 3.6 copies this file alone to its cache, and checks that the modules imported here can be imported.
from dataset_script.published_release.image_content import SIZE  # From: the/path/of/a/synfundus/clone
from dataset_script.published_release.source import SHARD_ROWS, PublishedRelease, load_release, release_tables
from dataset_script.schema import ROW_GROUP, SAMPLES, SPLITS, config_features, config_folder

DESCRIPTION = f"Synthetic retinal fundus images, {SIZE[0]}x{SIZE[1]} pixels as published, with fifteen labels each."
CITATION = """@article{shang2023synfundus,
  title   = {SynFundus-1M: A High-quality Million-scale Synthetic fundus images Dataset with Fifteen Types of
             Annotation},
  author  = {Shang, Fangxin and Fu, Jie and Yang, Yehui and Huang, Haifeng and Liu, Junwei and Ma, Lei},
  journal = {arXiv preprint arXiv:2312.00377},
  year    = {2023},
}"""


@dataclass
class SynFundusConfig(datasets.BuilderConfig):
    """The configurations are those of the dataset's card, see `schema`. `data_dir` is the folder, see above."""

    def create_config_id(self, config_kwargs: dict[str, Any], custom_features: datasets.Features | None = None) -> str:
        """Returns the name of the cache folder, which depends on the path and the content of `data_dir`."""
        if self.data_dir is not None:
            config_kwargs = {**config_kwargs, "data_dir": _fingerprint(os.path.abspath(self.data_dir), self.name)}
        return super().create_config_id(config_kwargs, custom_features)


class SynFundus1M(datasets.ArrowBasedBuilder):
    """Builds or streams SynFundus-1M from `data_dir`; a copy of the release has the split `train` only."""

    BUILDER_CONFIG_CLASS = SynFundusConfig
    BUILDER_CONFIGS = [  # noqa: RUF012 (datasets reads it from the class)
        SynFundusConfig(name="default", description="Images and labels."),
        SynFundusConfig(name="labels", description="The labels without the images."),
        SynFundusConfig(name="index", description="The labels and the byte ranges of the images."),
        *(SynFundusConfig(name=name, description=f"The first {size:,} rows.") for name, size in SAMPLES.items()),
    ]
    DEFAULT_CONFIG_NAME = "default"

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(
            description=DESCRIPTION,
            features=config_features(self.config.name),
            homepage="https://arxiv.org/abs/2312.00377",
            license="cc-by-nc-sa-4.0",
            citation=CITATION,
        )

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        if self.config.data_dir is None:
            raise ValueError(
                "data_dir is not given; it must be the folder of the SynFundus-1M release or of a built dataset"
            )
        folder = os.path.abspath(self.config.data_dir)
        files = _parquet_files(folder, self.config.name)
        if files:
            splits = {split: [file for file in files if os.path.basename(file).startswith(split)] for split in SPLITS}
            return [datasets.SplitGenerator(split, {"shards": found}) for split, found in splits.items() if found]
        return [datasets.SplitGenerator("train", {"shards": load_release(folder).split(SHARD_ROWS)})]

    def _generate_tables(self, shards: Sequence[PublishedRelease | str]) -> Iterator[tuple[str, pa.Table]]:
        schema = self.info.features.arrow_schema
        for number, shard in enumerate(shards):
            tables = shard.tables(schema) if isinstance(shard, PublishedRelease) else _parquet_tables(shard, schema)
            for position, table in enumerate(tables):
                yield f"{number}-{position}", table


def _parquet_files(folder: str, config: str) -> list[str]:
    """Returns the Parquet files of a built dataset, which has the folder `labels`; none for a copy of the release.

    Raises:
        ValueError: if the build is not complete, or the folder does not have the configuration.
    """
    built = os.path.isdir(os.path.join(folder, config_folder("labels")))
    files = sorted(glob.glob(os.path.join(glob.escape(folder), config_folder(config), "*.parquet"))) if built else []
    if files and not os.path.exists(os.path.join(folder, "README.md")):
        raise ValueError(f"{folder} has no README.md: its build is not finished. Run the command that began it again")
    if not files and config not in ("default", "labels"):
        raise ValueError(f"{folder} has no configuration {config}; a copy of the release has default and labels")
    return files


def _parquet_tables(path: str, schema: pa.Schema) -> Iterator[pa.Table]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(ROW_GROUP, columns=schema.names):
            yield pa.Table.from_batches([batch]).select(schema.names).cast(schema)


def _fingerprint(folder: str, config: str) -> str:
    """Returns a checksum of the paths, sizes and times of the folder's tables."""
    digest = hashlib.sha256(folder.encode())
    for file in _parquet_files(folder, config) or release_tables(folder):
        status = os.stat(file)
        digest.update(f"{file} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
