"""The configurations of a dataset, loaded from the Hub by clean processes that know no code of this project."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hub import HubServer
from huggingface_hub import HfApi, close_session, constants
from publishing import NAMESPACE, TOKEN, clean_environment, start_hub

from benchmarks.dataset_replay import ReplaySource, begin_build, end_build
from dataset_script.build.folder import BuildFolder
from dataset_script.build.shards import build_missing_shards
from dataset_script.plan.condition_plan import load_plan
from dataset_script.schema import FOLDERS, config_folder

REPO = f"{NAMESPACE}/rows"
LOAD = """
import json, sys
from datasets import load_dataset
loaded = load_dataset(sys.argv[1], sys.argv[2])
print(json.dumps({split: dataset["idx"][:] for split, dataset in loaded.items()}))
"""
FETCH = """
import json, sys
sys.path.insert(0, sys.argv[2])
from datasets import load_dataset
from dataset_script.fetch import fetch_images
index = load_dataset(sys.argv[1], "index", split="train")
rows = index.filter(lambda value: value == 1, input_columns="is_rvo")
sizes = [image.size for image in fetch_images(sys.argv[1], rows)]
print(json.dumps([len(index), len(rows), sizes, sum(rows["size"][:])]))
"""


@dataclass(frozen=True)
class Uploaded:
    """A dataset on a Hub, and the Python that reads it."""

    python: Path
    hub: HubServer
    folder: BuildFolder
    work: Path

    def run(self, code: str, *arguments: str) -> tuple[str, int]:
        """Runs code in a clean process with an empty cache; returns its output and the bytes that the Hub sent."""
        before = self.hub.bytes_sent
        cache = self.work / f"cache-{len(list(self.work.iterdir()))}"
        done = subprocess.run(
            [self.python, "-c", code, REPO, *arguments],
            cwd=self.work,
            env=clean_environment(self.hub, cache),
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout, self.hub.bytes_sent - before

    def size(self, config: str) -> int:
        """Bytes of the Parquet files of a configuration."""
        return sum(file.stat().st_size for file in (self.folder.path / config_folder(config)).iterdir())


@pytest.fixture(scope="module")
def uploaded(warm_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Uploaded]:
    """2,100 rows of noise in shards of 263 rows."""
    plan, out = load_plan(), tmp_path_factory.mktemp("configs")
    source = ReplaySource(np.random.default_rng(0).integers(0, 256, (64, 48, 48, 3), np.uint8))
    folder = begin_build(out / "dataset", plan, source, 2_100, "png")
    build_missing_shards(folder, plan, source, 64)
    end_build(folder, plan)
    (out / "work").mkdir()
    with pytest.MonkeyPatch.context() as patch, start_hub(out / "hub") as hub:
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        api = HfApi(endpoint=hub.url, token=TOKEN)
        api.create_repo(REPO, repo_type="dataset")
        api.upload_folder(repo_id=REPO, repo_type="dataset", folder_path=folder.path, ignore_patterns=".build/*")
        yield Uploaded(warm_python, hub, folder, out / "work")
        close_session()


@pytest.mark.parametrize("config", [*FOLDERS, "sample-1k"])
def test_a_configuration_downloads_only_what_it_holds(uploaded: Uploaded, config: str) -> None:
    output, sent = uploaded.run(LOAD, config)
    num_rows = 1_000 if config == "sample-1k" else 2_100
    expected = {split: idx.tolist() for split, idx in load_plan().split_rows(num_rows).items()}
    assert json.loads(output) == expected
    overhead = 100_000  # the card and the answers of the Hub's API
    assert uploaded.size(config) <= sent <= uploaded.size(config) + overhead


def test_a_rare_finding_is_fetched_with_few_more_bytes_than_its_images(uploaded: Uploaded) -> None:
    output, sent = uploaded.run(FETCH, str(Path(__file__).parents[2]))
    rows, found, sizes, wanted = json.loads(output)
    assert 0 < found < rows / 10
    assert sizes == [[48, 48]] * found
    assert sent <= 1.1 * wanted + uploaded.size("index") + 100_000
    assert sent < uploaded.size("default") / 3
