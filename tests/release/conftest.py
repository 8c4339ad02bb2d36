"""A loopback Hub, what is pushed to it, and a client."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub import HubServer
from huggingface_hub import HfApi, close_session, constants
from publishing import NAMESPACE, ROOT, TOKEN, Push, run_push, start_hub

from dataset_script.generate import main as generate
from release.folders import Folder


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    """An empty Hub."""
    with start_hub(tmp_path / "hub") as server:
        yield server


@pytest.fixture
def api(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[HfApi]:
    """Ada's client in this process."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    yield HfApi(endpoint=hub.url, token=TOKEN)
    close_session()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Makes all waiting a thousand times shorter; the list of the seconds that were asked for."""
    asked: list[float] = []
    sleep = time.sleep

    def shorter(seconds: float) -> None:
        asked.append(seconds)
        sleep(seconds / 1000)

    monkeypatch.setattr(time, "sleep", shorter)
    return asked


@pytest.fixture(scope="session")
def model_dir(tiny_pipeline_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with the bundled model's card; tests do not change it."""
    folder = tmp_path_factory.mktemp("published") / "pipeline_synfundus"
    shutil.copytree(tiny_pipeline_dir, folder)
    shutil.copy(ROOT / "pipeline_synfundus" / "README.md", folder)
    return folder


@pytest.fixture(scope="session")
def dataset_dir(model_dir: Path, single_split_plan: Path) -> Path:
    """A dataset of 40 rows in 3 shards, made by the tiny model; tests do not change it."""
    folder = model_dir.parent / "synfundus-1m"
    build = ["--num-rows", "40", "--shard-rows", "16", "--num-inference-steps", "2", "--plan", str(single_split_plan)]
    assert generate([*build, "--model", str(model_dir), "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def model(model_dir: Path, tmp_path: Path) -> Folder:
    """The tiny model's folder, to be changed."""
    shutil.copytree(model_dir, tmp_path / "model")
    return Folder("model", tmp_path / "model", f"{NAMESPACE}/synfundus-generator")


@pytest.fixture
def dataset(dataset_dir: Path, tmp_path: Path) -> Folder:
    """The dataset's folder, to be changed."""
    shutil.copytree(dataset_dir, tmp_path / "synfundus-1m")
    return Folder("dataset", tmp_path / "synfundus-1m", f"{NAMESPACE}/synfundus-1m")


@pytest.fixture(scope="session")
def published(
    warm_python: Path, model_dir: Path, dataset_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Push]:
    folder = tmp_path_factory.mktemp("loopback")
    arguments = ["--version", "1.0.0", "--model", str(model_dir), "--dataset", str(dataset_dir)]
    with start_hub(folder / "hub") as hub:
        done = run_push(warm_python, hub, folder / "cache", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        yield Push(hub, arguments, done.stdout)
    assert not [entry for entry in hub.requests if entry.status >= 500]
