import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
import yaml

from tests.phantom import write_phantom_dataset
from training.configuration.config import ConfigError, load_config
from training.data.prepared import prepare_data
from training.held_out import list_held_out, main


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    write_phantom_dataset(tmp_path / "data", 60, 16, np.random.default_rng(0), ["is_amd"])
    optimizer = {"images": 1, "batch_size": 1, "learning_rate": 1e-3}
    values = {
        "output_dir": str(tmp_path / "run"),
        "resolution": 16,
        "data": {"source": str(tmp_path / "data"), "group_column": "patient", "validation_share": 0.2},
        "generator": {"model": {}, "optimizer": optimizer},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_the_list_names_the_patients_of_the_validation_part(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(config_file)
    prepared = prepare_data(config.data, config.resolution, tmp_path / "cache")
    _, validation = prepared.split(config.data.validation_share, config.seed)
    patients = datasets.load_dataset(config.data.source, split="train")["patient"]
    monkeypatch.setattr(sys, "argv", ["held_out", "--config", str(config_file), "--out", str(tmp_path / "list.txt")])
    main()
    assert (tmp_path / "list.txt").read_text().splitlines() == sorted({patients[row] for row in validation})
    assert len(list_held_out(config)) == 6


def test_a_run_without_patients_is_refused(config_file: Path) -> None:
    values = yaml.safe_load(config_file.read_text())
    del values["data"]["group_column"]
    config_file.write_text(yaml.safe_dump(values))
    with pytest.raises(ConfigError, match=r"data\.group_column is None"):
        list_held_out(load_config(config_file))
