import json
import shutil
from pathlib import Path

import pytest

from pipeline_synfundus import SynFundusPipeline
from training import bundle as module
from training.bundle import BundleError, bundle
from training.card.model_card import RECORD_NAME

BUNDLED = Path(__file__).parents[2] / "pipeline_synfundus"


@pytest.fixture
def trained(tiny_pipeline_dir: Path, tmp_path: Path) -> Path:
    """A pipeline with a training record, as training leaves it."""
    folder = tmp_path / "run" / "pipeline"
    shutil.copytree(tiny_pipeline_dir, folder)
    shutil.copyfile(BUNDLED / RECORD_NAME, folder / RECORD_NAME)
    return folder


def test_the_package_gets_weights_and_card_but_no_code(trained: Path, tmp_path: Path) -> None:
    package = tmp_path / "pipeline_synfundus"
    bundle(trained, package)
    assert not list(package.rglob("*.py"))
    assert (package / "unet" / "config.json").read_bytes() == (trained / "unet" / "config.json").read_bytes()
    assert 'from_pretrained("pipeline_synfundus"' in (package / "README.md").read_text()
    SynFundusPipeline.from_pretrained(package)


def test_a_pipeline_without_its_record_is_refused(trained: Path, tmp_path: Path) -> None:
    (trained / RECORD_NAME).unlink()
    with pytest.raises(BundleError, match=f"has no {RECORD_NAME}"):
        bundle(trained, tmp_path / "package")
    assert not (tmp_path / "package").exists()


def test_weights_that_are_too_large_are_refused(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_BYTES", 1000)
    with pytest.raises(BundleError, match="but 1,000 are allowed"):
        bundle(trained, tmp_path / "package")
    assert not (tmp_path / "package").exists()


def test_the_bundled_weights_are_no_larger_than_allowed() -> None:
    weights = sum(path.stat().st_size for path in BUNDLED.rglob("*.safetensors"))
    assert 0 < weights <= module.LARGEST_BYTES
    assert json.loads((BUNDLED / RECORD_NAME).read_text())["num_photographs"] > 0
