"""The examples run, each with a tiny model or phantoms, and leave what they say."""

import re
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from accelerate.state import AcceleratorState
from PIL import Image
from transformers import AutoModelForImageClassification

from pipeline_synfundus import SynFundusPipeline
from tests.phantom import write_phantom_dataset
from tests.small_training import SMALL

EXAMPLES = Path(__file__).parents[2] / "examples"
LABELS = ["dr_grade", "is_amd", "is_gc", "is_macular_readable"]
Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs an example in an empty folder and returns what it prints."""
    monkeypatch.chdir(tmp_path)

    def run_example(name: str, *arguments: str) -> str:
        monkeypatch.setattr("sys.argv", [name, *arguments])
        AcceleratorState._reset_state(reset_partial_state=True)  # an example has a process of its own
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    yield run_example
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 160 phantoms with some of the labels, and some values unknown."""
    folder = tmp_path_factory.mktemp("phantoms") / "data"
    write_phantom_dataset(folder, 160, 32, np.random.default_rng(0), LABELS, unknown_share=0.2)
    return folder


def test_every_example_is_listed() -> None:
    text = (EXAMPLES / "README.md").read_text()
    assert set(re.findall(r"\]\((\w+\.py)\)", text)) == {path.name for path in EXAMPLES.glob("*.py")}


def test_generate_images(run: Run, tiny_pipeline_dir: Path, tmp_path: Path) -> None:
    printed = run("generate_images", "--model", str(tiny_pipeline_dir), "--out", "images")
    assert "image-1.png: severe NPDR (DR grade 3), diabetic macular edema" in printed
    assert {Image.open(path).size for path in (tmp_path / "images").glob("*.png")} == {(16, 16)}
    assert len(list((tmp_path / "images").glob("*.png"))) == 6


def test_generate_and_load_a_dataset(run: Run, tiny_pipeline_dir: Path) -> None:
    printed = run("generate_dataset", "--model", str(tiny_pipeline_dir), "--rows", "12", "--out", "few")
    assert re.search(r"it differs by [01] of 255", printed)
    printed = run("load_dataset", "few")
    assert re.search(r"dr_grade \(.*\): \{.*'unknown': 1", printed)
    assert "0 of 12 images show diabetic retinopathy" in printed
    assert "a batch: images (8, 3, 16, 16), labels (8, 15)" in printed


def test_train_a_classifier(run: Run, phantoms: Path, tmp_path: Path) -> None:
    printed = run("train_classifier", str(phantoms), "--epochs", "2", "--out", "classifier")
    losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)", printed)]
    assert losses[-1] < losses[0]
    model = AutoModelForImageClassification.from_pretrained(tmp_path / "classifier")
    assert model(torch.zeros(1, 3, 64, 64)).logits.shape == (1, 15)


def test_unknown_labels_do_not_count_in_the_loss_of_the_classifier() -> None:
    loss = runpy.run_path(str(EXAMPLES / "train_classifier.py"))["masked_loss"]
    logits = torch.tensor([[2.0, 100.0]])
    assert loss(logits, torch.tensor([[1, -1]])) == pytest.approx(np.log1p(np.exp(-2)))
    assert loss(logits, torch.tensor([[-1, -1]])) == 0


def test_train_a_generator(run: Run, phantoms: Path, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SMALL))
    run("train_generator", str(phantoms), "--patient-column", "patient", "--settings", "small.yaml", "--out", "run")
    assert Image.open(tmp_path / "run" / "image-1.png").size == (32, 32)
    assert SynFundusPipeline.from_pretrained(tmp_path / "run" / "pipeline").unet.config.sample_size == 8


def test_evaluate_a_dataset(run: Run, phantoms: Path, tmp_path: Path) -> None:
    sources = ["--synthetic", str(phantoms), "--real", str(phantoms)]
    printed = run("evaluate_dataset", *sources, "--out", "report", "--", "--size", "32", "--only", "material")
    assert "Frechet distance 0.000" in printed
    assert (tmp_path / "report" / "report.html").is_file()
