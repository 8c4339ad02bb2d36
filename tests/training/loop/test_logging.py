import importlib
from pathlib import Path

import numpy as np
import pytest

from tests.phantom import write_phantom_dataset
from tests.training.test_train_generator import read_log, write_config
from training.configuration.config import ConfigError, load_config
from training.train_generator import train


def test_tensorboard_gets_what_the_log_gets(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    write_phantom_dataset(tmp_path / "data", 40, 32, np.random.default_rng(0), label_columns=["is_amd"])
    path = write_config(tmp_path, images=160)
    path.write_text(path.read_text() + "log_with: [tensorboard]\n")
    train(load_config(path))
    (events,) = (tmp_path / "run" / "generator").rglob("events.out.tfevents.*")
    board = accumulator.EventAccumulator(str(events.parent))
    board.Reload()
    entries = read_log(tmp_path)
    for key in ("loss", "validation_loss", "learning_rate"):
        logged = [(entry["images_seen"], entry[key]) for entry in entries if key in entry]
        assert [(scalar.step, pytest.approx(scalar.value)) for scalar in board.Scalars(key)] == logged
    assert [image.step for image in board.Images("samples")] == [160]


def test_a_logger_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_config(tmp_path)
    path.write_text(path.read_text() + "log_with: [trackio]\n")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "trackio" else find(name))
    with pytest.raises(ConfigError, match="log_with names trackio, which is not installed"):
        train(load_config(path))
