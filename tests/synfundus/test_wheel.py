"""The wheel: what it holds, and that its `synfundus` command works outside a clone."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from datasets import load_dataset

ROOT = Path(__file__).parents[2]
FOLDERS = ("pipeline_synfundus", "synfundus", "dataset_script", "training", "evaluation", "release", "space")
LEFT_OUT = ROOT / "evaluation" / "results"  # a report, which no command reads
IGNORED = {"__pycache__", ".gradio"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel in it, which no clone is part of."""
    folder = tmp_path_factory.mktemp("installed")
    options = ["--quiet", "--no-index", "--no-deps", "--no-compile", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", str(folder), str(wheel)], check=True)
    return folder


def run(python: Path, installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(installed), "HF_DATASETS_CACHE": str(folder / "cache")}
    command = [python, installed / "bin" / "synfundus", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def test_the_wheel_holds_every_file_that_the_commands_need(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
    needed = [path for path in files if LEFT_OUT not in path.parents and not IGNORED & set(path.parts)]
    missing = [name for path in needed if (name := path.relative_to(ROOT).as_posix()) not in packed]
    assert not missing
    assert not [name for name in packed if name.startswith("evaluation/results/")]


def test_the_wheel_states_both_licences(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
        assert "License-Expression: Apache-2.0 AND CC-BY-NC-SA-4.0" in text
        for name in ("LICENSE", "LICENSE-WEIGHTS-AND-DATA"):
            assert archive.read(f"{Path(metadata).parent}/licenses/{name}") == (ROOT / name).read_bytes()


def test_the_installed_command_generates_a_dataset_with_workers_outside_a_clone(
    warm_python: Path, installed: Path, tmp_path: Path
) -> None:
    size = ["--num-rows", "2", "--num-inference-steps", "1", "--workers", "2"]
    done = run(warm_python, installed, tmp_path, "generate", *size, "--out", "few")
    assert done.returncode == 0, done.stderr
    assert sum(len(split) for split in load_dataset(str(tmp_path / "few")).values()) == 2


def test_the_installed_command_runs_the_code_of_the_wheel(warm_python: Path, installed: Path, tmp_path: Path) -> None:
    code = "import release.push, synfundus.cli; print(release.push.CLONE, synfundus.cli.__file__)"
    environment = os.environ | {"PYTHONPATH": str(installed)}
    done = subprocess.run([warm_python, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == [str(installed), str(installed / "synfundus" / "cli.py")]
