from datetime import timedelta
from pathlib import Path

import pytest
from accelerate import Accelerator

from synfundus.files import locked
from training.configuration.config import DataConfig, GeneratorConfig, OptimizerConfig, TrainingConfig
from training.loop.processes import call_on_main_process, make_accelerator, one_process_at_a_time


def test_processes_wait_for_each_other_longer_than_preparing_the_data_takes(tmp_path: Path) -> None:
    optimizer = OptimizerConfig(images=1, batch_size=1, learning_rate=1.0)
    config = TrainingConfig(str(tmp_path), 32, DataConfig("photographs"), GeneratorConfig({}, optimizer))
    handler = make_accelerator(config, tmp_path / "generator").init_handler
    assert handler is not None
    assert handler.timeout >= timedelta(days=1)


def test_nodes_with_a_common_disk_take_turns(tmp_path: Path) -> None:
    with one_process_at_a_time(Accelerator(), tmp_path), locked(tmp_path / ".lock", wait=False) as another:
        assert not another
    with locked(tmp_path / ".lock", wait=False) as another:
        assert another


def test_an_error_of_the_main_process_is_raised_in_every_process() -> None:
    def fail() -> None:
        raise ValueError("the disk is full")

    with pytest.raises(ValueError, match="the disk is full"):
        call_on_main_process(fail)
    assert call_on_main_process(lambda: [1, 2]) == [1, 2]
