import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from diffusers import DiffusionPipeline
from huggingface_hub import ModelCard

from pipeline_synfundus import FundusAutoencoder, SynFundusPipeline
from synfundus.images import to_images, to_tensor
from tests.phantom import write_phantom_dataset
from training.configuration.config import load_config
from training.configuration.fingerprint import weights_digest
from training.data.examples import encode_images
from training.data.prepared import prepare_data
from training.train_autoencoder import train as train_autoencoder
from training.train_generator import train as train_generator

AUTOENCODER = {
    "patch_size": 4,
    "latent_channels": 4,
    "widths": [8, 16],
    "encoder_blocks": [1, 1],
    "decoder_blocks": [1, 1],
    "shuffle": 2,
}
UNET = {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": [16, 32],
    "layers_per_block": 1,
    "down_block_types": ["DownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "UpBlock2D"],
    "norm_num_groups": 8,
}


def test_both_stages_make_a_pipeline(tmp_path: Path) -> None:
    write_phantom_dataset(tmp_path / "data", 32, 32, np.random.default_rng(0), label_columns=["is_amd", "eye_side"])
    optimizer = {"batch_size": 8, "learning_rate": 6e-3, "sample_images": 10**6, "checkpoint_images": 10**6}
    values = {
        "output_dir": str(tmp_path / "run"),
        "resolution": 32,
        "data": {"source": str(tmp_path / "data"), "validation_share": 0.1},
        "autoencoder": {
            "model": AUTOENCODER,
            "crop_size": 16,
            "optimizer": optimizer | {"images": 1000},
            "decoder": {"optimizer": optimizer | {"images": 80}},
        },
        "generator": {"model": UNET, "num_inference_steps": 2, "optimizer": optimizer | {"images": 40}},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    config = load_config(path)

    vae = FundusAutoencoder.from_pretrained(train_autoencoder(config))
    weights = tmp_path / "run" / "vae" / "diffusion_pytorch_model.safetensors"
    written = weights.stat().st_mtime_ns
    train_autoencoder(config)
    train_autoencoder(config, finish=True)
    assert weights.stat().st_mtime_ns == written
    log = [json.loads(line) for line in (tmp_path / "run" / "autoencoder" / "log.jsonl").read_text().splitlines()]
    losses = [entry["loss"] for entry in log if "loss" in entry]
    assert losses[-1] < 0.93 * losses[0]  # the residuals add to principal component analysis
    images = prepare_data(config.data, 32, tmp_path / "run" / "cache").images
    latents = encode_images(vae, images)
    assert latents.std(dim=(0, 2, 3)).square().mean().item() == pytest.approx(1, abs=0.2)
    assert latents.std(dim=(0, 2, 3))[0] > 1.5 * latents.std(dim=(0, 2, 3))[-1]

    folder = train_generator(config)
    pipeline = DiffusionPipeline.from_pretrained(folder, trust_remote_code=True)
    with torch.no_grad():
        decoded = to_images(pipeline.decode_latents(latents[:8]))
    assert np.abs(decoded.astype(int) - images[:8]).mean() < 25
    assert pipeline({"is_amd": 1}, num_inference_steps=2).images[0].size == (32, 32)
    assert (tmp_path / "run" / "generator" / "samples.png").exists()

    card = ModelCard.load(folder / "README.md")
    record = json.loads((folder / "training_run.json").read_text())
    assert card.data.license == "cc-by-nc-sa-4.0"
    assert card.data.library_name == "diffusers"
    assert record["stages"]["autoencoder"]["images_seen"] == 1000
    assert record["stages"]["decoder"]["images_seen"] == 80
    assert "against a discriminator of patches" in card.text
    assert record["stages"]["generator"]["images_seen"] == 40
    assert record["num_photographs"] + record["num_held_out"] == 32
    is_amd = record["labels"]["is_amd"]
    assert is_amd["known"] == is_amd["0"] + is_amd["1"] == record["num_photographs"]
    assert f"| `is_amd` | {is_amd['known']} | {is_amd['1']} |" in card.text
    assert "| `is_gc` | 0 | 0 |" in card.text
    assert "$" not in card.text

    # The decoder may be trained further after the generator, which it does not change.
    values["autoencoder"]["decoder"]["optimizer"]["images"] = 120
    path.write_text(yaml.safe_dump(values))
    config = load_config(path)
    train_autoencoder(config)
    renewed = SynFundusPipeline.from_pretrained(train_generator(config))
    assert weights_digest(renewed.unet) == weights_digest(pipeline.unet)
    assert weights_digest(renewed.vae.encoder) == weights_digest(pipeline.vae.encoder)
    assert weights_digest(renewed.vae.decoder) != weights_digest(pipeline.vae.decoder)


def test_images_and_tensors_are_each_others_inverse() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 6, 3), dtype=np.uint8)
    tensor = to_tensor(images)
    assert tensor.shape == (2, 3, 4, 6)
    assert (tensor.amin().item(), tensor.amax().item()) >= (-1.0, 0.9)
    assert np.array_equal(to_images(tensor), images)
