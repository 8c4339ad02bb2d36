import json
from pathlib import Path

import pytest
from small_release import PLACES, write_release

from dataset_script.generate import main

BUILD = ("--num-rows", "40", "--shard-rows", "16", "--num-inference-steps", "2")


@pytest.fixture(scope="session")
def build_arguments(tiny_pipeline_dir, single_split_plan):
    """The arguments of the session's dataset, except --out."""
    return [*BUILD, "--model", str(tiny_pipeline_dir), "--plan", str(single_split_plan)]


@pytest.fixture(scope="session")
def dataset_dir(tmp_path_factory, build_arguments) -> Path:
    """A dataset of 40 rows in 3 shards; tests do not change it."""
    folder = tmp_path_factory.mktemp("built") / "synfundus-1m"
    assert main([*build_arguments, "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="session")
def record(dataset_dir) -> dict:
    """The record of the session's dataset."""
    return json.loads((dataset_dir / ".build" / "build.json").read_text())


@pytest.fixture
def release(tmp_path) -> Path:
    """A copy of a published release of five rows."""
    return write_release(tmp_path / "SynFundus-1M", PLACES)


@pytest.fixture(scope="session")
def split_dataset_dir(tmp_path_factory, tiny_pipeline_dir) -> Path:
    """A dataset of 40 rows in three splits; tests do not change it."""
    folder = tmp_path_factory.mktemp("split") / "synfundus-1m"
    assert main([*BUILD, "--model", str(tiny_pipeline_dir), "--out", str(folder)]) == 0
    return folder
