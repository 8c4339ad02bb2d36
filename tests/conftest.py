"""Fixtures for all tests. Nothing here needs the network, a GPU or photographs.

Fixtures import large libraries themselves, because pytest-xdist also loads this file in the process that runs no tests.
"""

import gc
import os
import tempfile

# diffusers copies the code of loaded folders here, and would overwrite files that another process is reading.
os.environ["HF_MODULES_CACHE"] = tempfile.mkdtemp(prefix="synfundus-modules-")
os.environ["HF_ASSETS_CACHE"] = tempfile.mkdtemp(prefix="synfundus-assets-")  # of compiled models
os.environ["HF_DATASETS_CACHE"] = tempfile.mkdtemp(prefix="synfundus-datasets-")  # copies that `load_dataset` makes
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
# Compiling every small network would take longer than the tests; tests of OpenVINO set the backend themselves.
os.environ.setdefault("SYNFUNDUS_CPU_BACKEND", "torch")
if "PYTEST_XDIST_WORKER" in os.environ:  # threads of several workers on few cores slow each other down
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.warm_python import DATASETS, DIFFUSERS, FOLDERS, WarmPython

if TYPE_CHECKING:
    from pipeline_synfundus import SynFundusPipeline

LONGEST = (
    "test_browser.py",
    "test_walkthrough.py",
    "test_train_generator.py",
    "test_release_push.py",
    "test_report.py",
    "test_recipes.py",
    "test_reader_study_in_a_browser.py",
    "test_release_readers.py",
    "test_cpu_inference.py",
    "test_reproduce.py",
    "test_generate.py",
)
# Debian's packages; the first starts and draws pages faster, because it has no window around them.
CHROMIUM = ("chromium-headless-shell", "chromium")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# A shell that runs the tests in the background makes them and their child processes ignore interrupts. Undo that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Starts one pair of warm Pythons for all processes of pytest-xdist, which find them in their environment."""
    if config.getoption("numprocesses", None):
        diffusers_python = WarmPython(dict(os.environ), DIFFUSERS)
        config.add_cleanup(diffusers_python.close)
        python = WarmPython(dict(os.environ), DATASETS, diffusers_python.path)
        config.add_cleanup(python.close)
        os.environ |= {"DIFFUSERS_PYTHON": str(diffusers_python.path), "WARM_PYTHON": str(python.path)}


def pytest_unconfigure() -> None:
    for cache in FOLDERS:
        shutil.rmtree(os.environ[cache], ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Starts the longest files first, so that the processes end at about the same time."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


def pytest_collection() -> None:
    """Stops garbage collection while libraries are imported: it would take a third of that time."""
    gc.disable()


def pytest_collection_finish() -> None:
    """From now on, garbage collection leaves the objects of the libraries out; it took a fifth of the tests' time."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def diffusers_python() -> Iterator[Path]:
    """A `python` that starts at once, as `warm_python` does, but has not imported `datasets`."""
    if shared := os.environ.get("DIFFUSERS_PYTHON"):
        yield Path(shared)
    else:
        python = WarmPython(dict(os.environ), DIFFUSERS)
        yield python.path
        python.close()


@pytest.fixture(scope="session")
def warm_python(diffusers_python: Path) -> Iterator[Path]:
    """A `python` that has imported the large libraries and starts at once, for commands that need a clean process."""
    if shared := os.environ.get("WARM_PYTHON"):
        yield Path(shared)
    else:
        python = WarmPython(dict(os.environ), DATASETS, diffusers_python)
        yield python.path
        python.close()


@pytest.fixture(scope="session")
def tiny_pipeline() -> "SynFundusPipeline":
    """Random weights with an autoencoder: 8x8x4 latents, 16x16 pixels."""
    import torch

    from tests.tiny_pipelines import build_tiny_autoencoder, build_tiny_pipeline

    torch.manual_seed(0)
    vae = build_tiny_autoencoder()
    return build_tiny_pipeline(4, vae)


@pytest.fixture(scope="session")
def tiny_pixel_pipeline() -> "SynFundusPipeline":
    """Random weights without an autoencoder: 8x8 pixels."""
    import torch

    from tests.tiny_pipelines import build_tiny_pipeline

    torch.manual_seed(0)
    return build_tiny_pipeline(3, None)


@pytest.fixture(scope="session")
def tiny_pipeline_dir(tiny_pipeline: "SynFundusPipeline", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder to which `tiny_pipeline` is saved."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_pipeline.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def single_split_plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default plan with all rows in the split train."""
    from dataset_script.plan.condition_plan import DEFAULT_PLAN

    lines = DEFAULT_PLAN.read_text().splitlines(keepends=True)
    path = tmp_path_factory.mktemp("plans") / "single-split.yaml"
    path.write_text("".join(line for line in lines if not line.startswith("splits:")))
    return path


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright; tests that need it are skipped if either is missing.

    One browser for all tests: Playwright allows only one per process.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        pytest.skip(f"needs {' or '.join(CHROMIUM)}: apt-get install {CHROMIUM[0]}")
    with playwright.sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=found, args=ARGUMENTS)
