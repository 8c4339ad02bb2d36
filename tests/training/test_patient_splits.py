import csv
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
import yaml

from tests.phantom import write_phantom_dataset
from training.configuration.config import ConfigError, load_config
from training.data.prepared import prepare_data
from training.splits import list_parts, main


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    write_phantom_dataset(tmp_path / "data", 60, 16, np.random.default_rng(0), ["is_amd"])
    optimizer = {"images": 1, "batch_size": 1, "learning_rate": 1e-3}
    values = {
        "output_dir": str(tmp_path / "run"),
        "resolution": 16,
        "data": {
            "source": str(tmp_path / "data"),
            "group_column": "patient",
            "validation_share": 0.2,
            "test_share": 0.2,
        },
        "generator": {"model": {}, "optimizer": optimizer},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_the_list_names_the_part_of_every_patient(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(config_file)
    parts = prepare_data(config.data, config.resolution, tmp_path / "cache").split(config.data, config.seed)
    patients = datasets.load_dataset(config.data.source, split="train")["patient"]
    monkeypatch.setattr(sys, "argv", ["splits", "--config", str(config_file), "--out", str(tmp_path / "splits.csv")])
    main()
    with (tmp_path / "splits.csv").open() as file:
        listed = {row["patient"]: row["part"] for row in csv.DictReader(file)}
    assert listed == {patients[row]: part for part, rows in parts.items() for row in rows}
    assert set(listed.values()) == {"training", "validation", "test"}


def test_a_run_without_patients_is_refused(config_file: Path) -> None:
    values = yaml.safe_load(config_file.read_text())
    del values["data"]["group_column"]
    config_file.write_text(yaml.safe_dump(values))
    with pytest.raises(ConfigError, match=r"data\.group_column is None"):
        list_parts(load_config(config_file))
