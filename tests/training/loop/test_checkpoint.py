from dataclasses import replace
from pathlib import Path

import pytest
import torch

from training.loop.checkpoint import Checkpoint, CheckpointError, Schedule, load_newest_checkpoint, save_checkpoint

FINGERPRINT = {"batch_size": 4}
LENGTH = Schedule(images=100, cooldown_start=100)


def make(images_seen: int, schedule: Schedule = LENGTH) -> Checkpoint:
    weights = {"w": torch.full((3,), float(images_seen))}
    return Checkpoint(images_seen, weights, weights, {"w/step": torch.ones(())}, FINGERPRINT, schedule)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    for images_seen in (10, 20, 30):
        save_checkpoint(tmp_path, make(images_seen))
    assert names(tmp_path) == ["images-000000000020", "images-000000000030"]
    loaded = load_newest_checkpoint(tmp_path, FINGERPRINT, LENGTH)
    assert loaded is not None
    assert loaded.images_seen == 30
    assert loaded.weights["w"].tolist() == [30.0] * 3
    assert loaded.optimizer["w/step"] == 1


def test_without_a_checkpoint_there_is_none(tmp_path: Path) -> None:
    assert load_newest_checkpoint(tmp_path / "nothing", FINGERPRINT, LENGTH) is None


def test_a_corrupt_checkpoint_is_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_checkpoint(tmp_path, make(10))
    save_checkpoint(tmp_path, make(20))
    weights = tmp_path / "images-000000000020" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:20])
    loaded = load_newest_checkpoint(tmp_path, FINGERPRINT, LENGTH)
    assert loaded is not None
    assert loaded.images_seen == 10
    assert "images-000000000020 cannot be used" in capsys.readouterr().out


def test_only_corrupt_checkpoints_are_an_error_that_does_not_advise_to_delete(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, make(10))
    (tmp_path / "images-000000000010" / "state.json").write_text("{")
    with pytest.raises(CheckpointError, match="none of the checkpoints") as failure:
        load_newest_checkpoint(tmp_path, FINGERPRINT, LENGTH)
    assert not {"remove", "delete"} & set(str(failure.value).split())


def test_another_configuration_is_refused_by_every_changed_name_and_value(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, make(10))
    with pytest.raises(CheckpointError, match="batch_size was 4 and is now 8; seed was 'nothing' and is now 0"):
        load_newest_checkpoint(tmp_path, {"batch_size": 8, "seed": 0}, LENGTH)


def test_a_failed_write_keeps_the_older_ones(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, make(10))
    broken = make(20)
    broken.fingerprint = {"not serialisable": object()}
    with pytest.raises(CheckpointError, match="older checkpoints are kept"):
        save_checkpoint(tmp_path, broken)
    assert names(tmp_path) == ["images-000000000010"]


@pytest.mark.parametrize("part", ["weights", "ema", "optimizer"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_checkpoint_that_is_not_finite_is_not_written(tmp_path: Path, part: str, value: float) -> None:
    save_checkpoint(tmp_path, make(10))
    save_checkpoint(tmp_path, make(20))
    with pytest.raises(CheckpointError, match=f"{part}: w is not finite"):
        save_checkpoint(tmp_path, replace(make(30), **{part: {"w": torch.tensor([1.0, value])}}))
    assert names(tmp_path) == ["images-000000000010", "images-000000000020"]


def test_a_checkpoint_that_is_not_finite_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_checkpoint(tmp_path, make(10))
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "require_finite", lambda self: None)
        save_checkpoint(tmp_path, replace(make(20), weights={"w": torch.tensor([float("nan")])}))
    loaded = load_newest_checkpoint(tmp_path, FINGERPRINT, LENGTH)
    assert loaded is not None
    assert loaded.images_seen == 10
    assert "weights: w is not finite" in capsys.readouterr().out


def test_a_longer_run_continues_from_before_the_cooldown(tmp_path: Path) -> None:
    cooled = Schedule(images=50, cooldown_start=20)
    for images_seen in (10, 20, 30, 40, 50):
        save_checkpoint(tmp_path, make(images_seen, cooled))
    assert names(tmp_path) == [f"images-{images_seen:012d}" for images_seen in (20, 40, 50)]
    same = load_newest_checkpoint(tmp_path, FINGERPRINT, cooled)
    longer = load_newest_checkpoint(tmp_path, FINGERPRINT, Schedule(images=100, cooldown_start=70))
    assert same is not None
    assert longer is not None
    assert (same.images_seen, longer.images_seen) == (50, 20)


def test_a_run_that_ended_before_the_checkpoints_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, make(50))
    with pytest.raises(CheckpointError, match=r"restore optimizer.images and optimizer.cooldown_images"):
        load_newest_checkpoint(tmp_path, FINGERPRINT, Schedule(images=40, cooldown_start=20))
