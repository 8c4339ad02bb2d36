import numpy as np
import pytest
import torch

from pipeline_synfundus import FundusAutoencoder
from training.configuration.config import AutoencoderConfig, ConfigError, DecoderConfig, OptimizerConfig
from training.data.prepared import PreparedData
from training.losses.autoencoder_losses import DecoderLoss, PatchDiscriminator

OPTIMIZER = OptimizerConfig(images=8, batch_size=4, learning_rate=1e-3)


def make_loss(adversarial_weight: float = 0.05) -> DecoderLoss:
    vae = FundusAutoencoder(4, 4, widths=[8, 16], encoder_blocks=[1, 1], decoder_blocks=[1, 1], shuffle=2)
    config = AutoencoderConfig(optimizer=OPTIMIZER, crop_size=32, decoder=DecoderConfig(OPTIMIZER, adversarial_weight))
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    names = np.full(4, "")
    return DecoderLoss(vae, config, PreparedData(images, np.zeros((4, 16), np.int8), names, names, np.zeros(4), "four"))


def test_only_the_decoder_and_the_discriminator_learn() -> None:
    loss = make_loss()
    losses = loss(np.arange(4), torch.Generator().manual_seed(0))
    losses["loss"].backward()
    learn = {name.split(".")[1] for name, weights in loss.named_parameters() if weights.grad is not None}
    assert learn == {"decoder", "synthesis", *(name.split(".")[0] for name, _ in loss.discriminator.named_parameters())}


def test_neither_side_of_the_contest_moves_the_other() -> None:
    loss = make_loss()
    losses = loss(np.arange(4), torch.Generator().manual_seed(0))
    decoder = [*loss.vae.decoder.parameters(), *loss.vae.synthesis.parameters()]
    discriminator = list(loss.discriminator.parameters())
    for name, learning, constant in (
        ("adversarial", decoder, discriminator),
        ("discriminator", discriminator, decoder),
    ):
        gradients = torch.autograd.grad(losses[name], [*learning, *constant], retain_graph=True, allow_unused=True)
        assert all(gradient is not None for gradient in gradients[: len(learning)]), name
        assert all(gradient is None for gradient in gradients[len(learning) :]), name


def test_the_discriminator_learns_to_tell_sharp_from_blurred() -> None:
    torch.manual_seed(0)
    sharp = torch.randn(8, 3, 32, 32)
    blurred = torch.nn.functional.avg_pool2d(sharp, 3, stride=1, padding=1)
    discriminator = PatchDiscriminator(8)
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=1e-3)
    for _ in range(60):
        real, made = discriminator(torch.cat([sharp, blurred])).chunk(2)
        ((1 - real).relu().mean() + (1 + made).relu().mean()).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert real.shape == (8, 1, 4, 4)
    assert real.mean() > 0.5
    assert made.mean() < -0.5


def test_the_feature_network_keeps_measuring_in_evaluation_mode() -> None:
    loss = make_loss().train()
    assert loss.vae.training
    assert not any(module.training for module in loss.perceptual.modules())


def test_a_weight_that_leaves_nothing_to_learn_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"adversarial_weight is 0.0, but must be positive"):
        DecoderConfig(OPTIMIZER, 0.0)
