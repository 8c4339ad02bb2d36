import json
import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import datasets
import pytest

from dataset_script.generate import main

BUILD = ("--num-rows", "40", "--shard-rows", "16", "--num-inference-steps", "2")


@pytest.fixture(autouse=True, scope="session")
def datasets_cache(tmp_path_factory):
    """Keeps what `load_dataset` copies out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("datasets"))
        yield


@pytest.fixture(scope="session")
def build_arguments(tiny_pipeline_dir):
    """The arguments of the session's dataset, but for --out."""
    return [*BUILD, "--model", str(tiny_pipeline_dir)]


@pytest.fixture(scope="session")
def dataset_dir(tmp_path_factory, build_arguments) -> Path:
    """A dataset of 40 rows in 3 shards; tests do not change it."""
    folder = tmp_path_factory.mktemp("built") / "synfundus-1m"
    assert main([*build_arguments, "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="session")
def record(dataset_dir) -> dict:
    """What the session's dataset says it was asked for."""
    return json.loads((dataset_dir / ".build" / "build.json").read_text())


@pytest.fixture(scope="session")
def tiny_pipeline_dir(tmp_path_factory) -> Path:
    import torch
    from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, UNet2DModel

    from pipeline_synfundus import FundusConditionEncoder, SynFundusPipeline
    from pipeline_synfundus.labels import CARDINALITIES, CONDITION_NAMES

    torch.manual_seed(0)
    unet = UNet2DModel(
        sample_size=8,
        in_channels=8,
        out_channels=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
        attention_head_dim=8,
        class_embed_type="identity",
    )
    vae = AutoencoderKL(
        latent_channels=8,
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
    )
    scheduler = DPMSolverMultistepScheduler(
        prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing"
    )
    encoder = FundusConditionEncoder(list(CONDITION_NAMES), list(CARDINALITIES), 64)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    SynFundusPipeline(unet, encoder, scheduler, vae).save_pretrained(folder)
    return folder
