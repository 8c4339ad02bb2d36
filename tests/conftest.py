"""Fixtures for all tests. Nothing here needs the network, a GPU or photographs."""

import os
import tempfile

# diffusers copies the code of loaded folders here, and would overwrite files that another process is reading.
os.environ["HF_MODULES_CACHE"] = tempfile.mkdtemp(prefix="synfundus-modules-")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_ASSETS_CACHE"] = tempfile.mkdtemp(prefix="synfundus-assets-")  # of compiled models
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
from typing import Any

import datasets
import pytest
import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, UNet2DModel

from dataset_script.plan.condition_plan import DEFAULT_PLAN
from pipeline_synfundus import FundusConditionEncoder, SynFundusPipeline
from pipeline_synfundus.labels import CARDINALITIES, CONDITION_NAMES

CHROMIUM = Path("/usr/bin/chromium")
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


def pytest_unconfigure() -> None:
    for cache in ("HF_MODULES_CACHE", "HF_ASSETS_CACHE"):
        shutil.rmtree(os.environ[cache], ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Starts the longest file first, so that the others run in parallel with it."""
    items.sort(key=lambda item: item.path.name != "test_train_generator.py")


@pytest.fixture(autouse=True, scope="session")
def datasets_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps the copies that `load_dataset` makes out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("datasets"))
        yield


def build_tiny_pipeline(channels: int, vae: AutoencoderKL | None) -> SynFundusPipeline:
    """A pipeline of random weights on 8x8 latents or pixels, with the bundled pipeline's scheduler."""
    unet = UNet2DModel(
        sample_size=8,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
        attention_head_dim=8,
        class_embed_type="identity",
    )
    encoder = FundusConditionEncoder(list(CONDITION_NAMES), list(CARDINALITIES), width=64)
    scheduler = DPMSolverMultistepScheduler(
        prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing"
    )
    pipeline = SynFundusPipeline(unet.eval(), encoder.eval(), scheduler, vae)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="session")
def tiny_pipeline() -> SynFundusPipeline:
    """Random weights with an autoencoder: 8x8x4 latents, 16x16 pixels."""
    torch.manual_seed(0)
    vae = AutoencoderKL(
        latent_channels=4,
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        norm_num_groups=4,
        latents_mean=[0.1, 0.0, -0.1, 0.2],
        latents_std=[1.0, 2.0, 1.5, 0.5],
    )
    return build_tiny_pipeline(4, vae.eval())


@pytest.fixture(scope="session")
def tiny_pixel_pipeline() -> SynFundusPipeline:
    """Random weights without an autoencoder: 8x8 pixels."""
    torch.manual_seed(0)
    return build_tiny_pipeline(3, None)


@pytest.fixture(scope="session")
def tiny_pipeline_dir(tiny_pipeline: SynFundusPipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder to which `tiny_pipeline` is saved."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_pipeline.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def single_split_plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default plan with all rows in the split train."""
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
    if not CHROMIUM.exists():
        pytest.skip(f"needs {CHROMIUM}: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
