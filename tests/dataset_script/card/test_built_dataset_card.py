import re

import pyarrow.parquet as pq
import pytest
from datasets import Dataset
from datasets.info import DatasetInfosDict
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCard

from dataset_script.card.metadata import size_category
from dataset_script.schema import config_features, features
from pipeline_synfundus.labels import CONDITION_LABELS


@pytest.fixture(scope="module")
def card(dataset_dir):
    return DatasetCard.load(dataset_dir / "README.md")


def test_the_hub_reads_its_metadata(card):
    assert card.data.license == "cc-by-nc-sa-4.0"
    assert card.data.task_categories == ["image-classification"]
    assert card.data.size_categories == ["n<1K"]
    assert "synthetic" in card.data.tags


def test_datasets_reads_both_configs(card):
    configs = MetadataConfigs.from_dataset_card_data(card.data)
    assert configs == {
        "default": {"data_files": [{"split": "train", "path": "data/train-*.parquet"}], "default": True},
        "labels": {"data_files": [{"split": "train", "path": "labels/train-*.parquet"}]},
        "index": {"data_files": [{"split": "train", "path": "index/train-*.parquet"}]},
    }
    assert configs.get_default_config_name() == "default"


def test_datasets_reads_features_and_sizes(card, dataset_dir):
    infos = DatasetInfosDict.from_dataset_card_data(card.data)
    assert sorted(infos) == ["default", "index", "labels"]
    for config, folder in (("default", "data"), ("labels", "labels"), ("index", "index")):
        info = infos[config]
        assert info.features == config_features(config)
        assert info.splits["train"].num_examples == 40
        assert info.splits["train"].num_bytes == info.dataset_size
        assert info.download_size == sum(file.stat().st_size for file in (dataset_dir / folder).iterdir())
        assert info.dataset_size == pytest.approx(pq.read_table(dataset_dir / folder).nbytes, rel=0.1)


def test_the_text_has_the_required_statements(card, record):
    for part in (
        "There is no photograph in this dataset",
        "not for diagnosis",
        "40 synthetic retinal fundus images** (16x16 pixels",
        f"revision `{record['generator_revision']}`",
        f"plan `{record['plan_hash']}`",
        "2 denoising steps",
        "arXiv:2312.00377",
        'load_dataset("synfundus-1m", "labels"',
    ):
        assert part in " ".join(card.text.split()), part
    assert "$" not in card.text


def test_the_label_table_has_full_names_and_counts(card, dataset_dir):
    lines = {line.split("`")[1]: line for line in card.text.splitlines() if line.startswith("| `")}
    table = pq.read_table(dataset_dir / "labels").to_pydict()
    for label in CONDITION_LABELS:
        assert label.full_name in lines[label.name]
        for value, name in enumerate(label.values):
            assert f"{value} {name} ({table[label.name].count(value)})" in lines[label.name]


@pytest.mark.parametrize(
    ("num_rows", "category"),
    [(1, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (999_999, "100K<n<1M"), (1_000_000, "1M<n<10M")],
)
def test_size_categories_are_the_hubs(num_rows, category):
    assert size_category(num_rows) == category


def test_the_python_example_in_the_card_prints_unknown_for_unknown_labels(card, dataset_dir, tmp_path, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", card.text, re.DOTALL)
    rows = pq.read_table(dataset_dir / "data").to_pylist()
    for row, printed in ((rows[0], "none"), ({**rows[0], "dr_grade": -1}, "unknown")):
        stand_in = Dataset.from_list([row], features=features())
        exec(
            code.replace("from datasets import load_dataset", ""),
            {"load_dataset": lambda *_, rows=stand_in, **__: rows},
        )
        assert capsys.readouterr().out == f"{printed}\n"
