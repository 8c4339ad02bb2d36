from pathlib import Path

import pytest
import torch

from training.loop.checkpoint import Checkpoint, CheckpointError, load_newest_checkpoint, save_checkpoint

FINGERPRINT = {"batch_size": 4}


def make(images_seen: int) -> Checkpoint:
    weights = {"w": torch.full((3,), float(images_seen))}
    return Checkpoint(images_seen, weights, weights, 1, {"state": {}}, FINGERPRINT)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    for images_seen in (10, 20, 30):
        save_checkpoint(tmp_path, make(images_seen))
    assert names(tmp_path) == ["images-000000000020", "images-000000000030"]
    loaded = load_newest_checkpoint(tmp_path, FINGERPRINT)
    assert loaded is not None
    assert loaded.images_seen == 30
    assert loaded.weights["w"].tolist() == [30.0] * 3


def test_without_a_checkpoint_there_is_none(tmp_path: Path) -> None:
    assert load_newest_checkpoint(tmp_path / "nothing", FINGERPRINT) is None


def test_a_corrupt_checkpoint_is_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_checkpoint(tmp_path, make(10))
    save_checkpoint(tmp_path, make(20))
    weights = tmp_path / "images-000000000020" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:20])
    loaded = load_newest_checkpoint(tmp_path, FINGERPRINT)
    assert loaded is not None
    assert loaded.images_seen == 10
    assert "images-000000000020 cannot be read" in capsys.readouterr().out


def test_only_corrupt_checkpoints_are_an_error(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, make(10))
    (tmp_path / "images-000000000010" / "state.json").write_text("{")
    with pytest.raises(CheckpointError, match="none of the checkpoints"):
        load_newest_checkpoint(tmp_path, FINGERPRINT)


def test_another_configuration_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, make(10))
    with pytest.raises(CheckpointError, match="batch_size=4, but the configuration says 8"):
        load_newest_checkpoint(tmp_path, {"batch_size": 8})


def test_a_failed_write_keeps_the_older_ones(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, make(10))
    broken = make(20)
    broken.fingerprint = {"not serialisable": object()}
    with pytest.raises(CheckpointError, match="older checkpoints are kept"):
        save_checkpoint(tmp_path, broken)
    assert names(tmp_path) == ["images-000000000010"]
