import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline_synfundus import FundusAutoencoder, SynFundusPipeline
from pipeline_synfundus.labels import complete_condition
from tests.phantom import draw_phantom
from tests.tiny_pipelines import build_tiny_pipeline

LOAD = """
import sys
from diffusers import DiffusionPipeline
pipeline = DiffusionPipeline.from_pretrained(sys.argv[1], trust_remote_code=True)
assert type(pipeline.vae).__name__ == "FundusAutoencoder"
pipeline({"is_gc": 1}, num_inference_steps=2, generator=7).images[0].save(sys.argv[2])
"""


@pytest.fixture
def autoencoder() -> FundusAutoencoder:
    torch.manual_seed(0)
    return FundusAutoencoder(4, 6, widths=[8, 16], encoder_blocks=[1, 1], decoder_blocks=[1, 1], shuffle=2).eval()


@pytest.fixture
def images() -> torch.Tensor:
    """Phantom fundus images, shape (4, 3, 64, 64) in [-1, 1]."""
    drawn = [np.asarray(draw_phantom(complete_condition({}), 64, np.random.default_rng(seed))) for seed in range(4)]
    return torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_patches(images: torch.Tensor) -> torch.Tensor:
    return images.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 1, 4, 5).reshape(-1, 3, 4, 4)


def test_shapes(autoencoder: FundusAutoencoder, images: torch.Tensor) -> None:
    latents = autoencoder.encode(images).latent
    assert latents.shape == (4, 6, 16, 16)
    assert autoencoder.decode(latents).sample.shape == images.shape
    assert torch.equal(autoencoder.decode(latents, return_dict=False)[0], autoencoder.decode(latents).sample)


@torch.no_grad()
def test_it_starts_as_the_principal_components_of_patches(autoencoder: FundusAutoencoder, images: torch.Tensor) -> None:
    patches = to_patches(images)
    autoencoder.initialize_linear(patches)
    flat = patches.flatten(1)
    colour = flat.view(-1, 3, 16).mean(dim=(0, 2)).repeat_interleave(16)
    components = torch.linalg.svd(flat - flat.mean(dim=0), full_matrices=False)[2][:6]
    projected = (flat - flat.mean(dim=0)) @ components.T @ components + colour
    error = (to_patches(autoencoder(images)).flatten(1) - projected).abs().max()
    assert error < 1e-3
    latents = autoencoder.encode(images).latent
    deviations = latents.std(dim=(0, 2, 3))
    assert deviations.square().mean().item() == pytest.approx(1, abs=0.02)
    expected = (flat @ components.T).std(dim=0).sqrt()
    assert torch.allclose(deviations / deviations[0], expected / expected[0], rtol=0.02)


@torch.no_grad()
def test_scaling_the_channels_keeps_the_reconstruction(autoencoder: FundusAutoencoder, images: torch.Tensor) -> None:
    for parameter in autoencoder.parameters():
        parameter.add_(0.02 * torch.randn_like(parameter))  # residuals that are not zero
    before, latents = autoencoder(images), autoencoder.encode(images).latent
    factors = torch.tensor([0.5, 2.0, 1.0, 3.0, 0.1, 7.0])
    autoencoder.scale_channels(factors)
    assert torch.allclose(autoencoder(images), before, atol=1e-4)
    assert torch.allclose(autoencoder.encode(images).latent, latents * factors.view(-1, 1, 1), atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shuffle": 2}, "must be patch_size, 16, but shuffle is 2"),
        ({"encoder_blocks": (1, 2)}, "must have the same length"),
    ],
)
def test_levels_that_do_not_fit_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FundusAutoencoder(**arguments)


def test_a_pipeline_with_it_loads_in_a_clean_process(
    autoencoder: FundusAutoencoder, warm_python: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    pipeline = build_tiny_pipeline(6, autoencoder)
    pipeline.save_pretrained(tmp_path / "model")
    picture = tmp_path / "there.png"
    command = [warm_python, "-c", LOAD, str(tmp_path / "model"), str(picture)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    pipeline({"is_gc": 1}, num_inference_steps=2, generator=7).images[0].save(tmp_path / "here.png")
    assert picture.read_bytes() == (tmp_path / "here.png").read_bytes()
    ours = SynFundusPipeline.from_pretrained(tmp_path / "model")
    assert type(ours.vae) is FundusAutoencoder
