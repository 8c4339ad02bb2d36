"""A preset made small enough to train in a test, on phantoms of 32x32 pixels."""

from typing import Any

FEW = {
    "images": 16,
    "batch_size": 8,
    "warmup_images": 8,
    "cooldown_images": 4,
    "sample_images": 16,
    "checkpoint_images": 16,
}
SMALL: dict[str, Any] = {
    "preset": "small-256",
    "resolution": 32,
    "autoencoder": {
        "model": {
            "patch_size": 4,
            "latent_channels": 4,
            "widths": [8, 16],
            "encoder_blocks": [1, 1],
            "decoder_blocks": [1, 1],
            "shuffle": 2,
        },
        "crop_size": 16,
        "optimizer": FEW,
        "decoder": {"optimizer": FEW},
    },
    "generator": {
        "model": {"sample_size": 8, "in_channels": 4, "out_channels": 4, "block_out_channels": [32, 32, 64]},
        "num_inference_steps": 1,
        "optimizer": FEW,
    },
}
