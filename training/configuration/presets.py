"""The presets: sizes of both networks that go together, how long they train, and what was measured with them.

A configuration names one (`preset: small-256`) and says only what differs. What was tried on the way is in
docs/experiments.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Preset:
    """One row of the table.

    Attributes:
        resolution: side of the images, in pixels; the latents have a sixteenth of it.
        unet: channels of the generator's levels.
        layers: residual blocks per level of the generator.
        crops: crops that the autoencoder sees, and then as many that its decoder sees.
        images: images that the generator sees.
        batch: the generator's batch.
        rate: the generator's peak learning rate.
        times: distribution of the generator's times of training.
        shift: shift of these times towards noise.
        sampling_shift: the same of the sampling steps.
        measured: what was measured with it, or that nothing was.
    """

    resolution: int
    unet: tuple[int, ...]
    layers: int
    crops: int
    images: int
    batch: int
    rate: float
    times: str
    shift: float
    sampling_shift: float
    measured: str


# fmt: off
PRESETS = {
    #              pixels unet              layers     crops     images batch    rate           times shift sampling
    "small-256": Preset(256, (64, 160, 256),       1,   100_000,  1_000_000,  32, 2e-3,   "logit-normal", 1.0, 1.0,
                        "206,000 images in 100 min of a core: Frechet distance 225, label AUC 0.62 on validation"),
    "base-512":  Preset(512, (128, 192, 256),      1,   800_000,  3_500_000, 256, 2.5e-3, "uniform",      4.0, 1.0,
                        "3.5 M in 20 min of an H200, 0.1 M in 2 h of a core: distance 104, label AUC 0.74"),
    "large-512": Preset(512, (128, 256, 384, 512), 2, 4_000_000, 40_000_000, 512, 1e-3,   "uniform",      6.0, 1.0,
                        "not yet trained; sized for 8 data-centre GPUs and a day"),
}
# fmt: on

# Needs half the images of AdamW for the same loss (docs/experiments.md). The decay keeps the weights from growing
# without end (Liu et al. 2025, arXiv 2502.16982, section 2.2).
MUON = {"algorithm": "muon", "weight_decay": 0.1}


def _schedule(images: int, batch: int, rate: float) -> dict[str, Any]:
    return {
        "images": images,
        "batch_size": batch,
        "learning_rate": rate,
        "warmup_images": images // 40,
        "cooldown_images": images // 6,
        "ema_half_life_images": max(batch, images // 40),
        "checkpoint_images": max(batch, images // 40),
        "sample_images": max(batch, images // 10),
    }


def _autoencoder_section(preset: Preset) -> dict[str, Any]:
    batch = max(8, preset.batch // 2)
    optimizer = _schedule(preset.crops, batch, 5e-4) | {"weight_decay": 0.0}
    decoder = _schedule(preset.crops, batch, 2e-4) | {"weight_decay": 0.0}
    return {"optimizer": optimizer, "decoder": {"optimizer": decoder}}


def _generator_section(preset: Preset) -> dict[str, Any]:
    size = preset.resolution // 16
    # Attention from the second level on, where the latents have at most 16 positions a side.
    attends = [size // 2**level <= 16 and level > 0 for level in range(len(preset.unet))]
    return {
        "model": {
            "sample_size": size,
            "in_channels": 16,
            "out_channels": 16,
            "block_out_channels": list(preset.unet),
            "layers_per_block": preset.layers,
            "down_block_types": ["AttnDownBlock2D" if attend else "DownBlock2D" for attend in attends],
            "up_block_types": ["AttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(attends)],
            "attention_head_dim": 32,
            "resnet_time_scale_shift": "scale_shift",
        },
        "optimizer": _schedule(preset.images, preset.batch, preset.rate) | MUON,
        "timestep_sampling": preset.times,
        "timestep_shift": preset.shift,
        "sampling_shift": preset.sampling_shift,
    }


def expand_preset(name: str) -> dict[str, Any]:
    """The configuration that a preset stands for: `resolution`, `mixed_precision`, `autoencoder` and `generator`.

    Raises:
        KeyError: for a name that is no preset.
    """
    preset = PRESETS[name]
    return {
        "resolution": preset.resolution,
        "mixed_precision": "bf16",
        "autoencoder": _autoencoder_section(preset),
        "generator": _generator_section(preset),
    }
