import re

import pandas as pd
import pyarrow.parquet as pq
import pytest
from datasets import Dataset
from datasets.info import DatasetInfosDict
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCard, EvalResult, ModelCardData
from PIL import Image

from dataset_script.build.image_generator import DEFAULT_MODEL
from dataset_script.card.evaluation import evaluation_text
from dataset_script.card.metadata import size_category
from dataset_script.card.pictures import choose_examples
from dataset_script.plan.condition_plan import load_plan
from dataset_script.schema import config_features, features
from pipeline_synfundus.labels import CONDITION_LABELS, DISEASES, READABILITY, get_label


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
    lines = {line.split("`")[1]: line for line in card.text.splitlines() if line.startswith("| `") and "<br>" in line}
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


def test_the_card_has_a_picture_of_every_finding(card, dataset_dir):
    lines = re.findall(r"^\| `(\w+)` \| .* \| !\[.*\]\((pictures/\w+\.png)\) \|$", card.text, re.MULTILINE)
    assert [name for name, _ in lines] == [label.name for label in (*DISEASES, *READABILITY)]
    for _, place in lines:
        with Image.open(dataset_dir / place) as picture:
            assert "Synthetic" in picture.info["Description"]
            assert picture.height == 160
    with Image.open(dataset_dir / "distribution.png") as chart:
        assert "Synthetic" in chart.info["Description"]
        assert chart.width > 1000
    with Image.open(dataset_dir / "pictures" / "dr_grade.png") as picture:
        assert picture.width == 5 * 160 + 4 * 6


def test_examples_show_the_finding_with_few_others():
    plan = load_plan()
    index = pd.DataFrame([{"idx": row.idx, **row.condition} for row in plan.rows(range(400))])
    grades = choose_examples(index, get_label("dr_grade"))["dr_grade"].tolist()
    assert grades == sorted(grades) and set(grades) == {1, 2, 3, 4}
    unreadable = choose_examples(index, get_label("is_macular_readable"))
    assert set(unreadable["is_macular_readable"]) == {0}
    assert set(unreadable["is_fundus"]) == {1}


def test_the_card_names_splits_and_configurations(split_dataset_dir):
    text = " ".join((split_dataset_dir / "README.md").read_text().split())
    assert "The splits are train (33 rows), validation (3 rows), test (4 rows)" in text


def test_the_card_has_the_evaluation_results_of_the_generator(tmp_path, card):
    assert "The card of the generator has no evaluation results." in card.text
    data = ModelCardData(
        model_name="generator",
        eval_results=[
            EvalResult(
                "unconditional-image-generation", "fundus", "real eyes", "auc", 0.94, metric_name="AUC, by a ViT"
            )
        ],
    )
    (tmp_path / "README.md").write_text(f"---\n{data}\n---\n\n# generator\n")
    text = evaluation_text(tmp_path / "README.md")
    assert "real photographs (real eyes)" in text
    assert "| AUC, by a ViT | 0.94 |" in text


def test_the_card_of_the_bundled_generator_has_results():
    assert evaluation_text(DEFAULT_MODEL / "README.md").count("\n| ") > 5
