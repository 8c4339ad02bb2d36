"""Estimates the cost of a training run: parameters, memory, FLOPs and images per epoch."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from training.configuration.config import AutoencoderConfig, OptimizerConfig, TrainingConfig
from training.configuration.networks import build_autoencoder, build_models
from training.data.labels import read_codes
from training.data.order import balanced_weights
from training.data.prepared import load_source

# Weights, gradients, AdamW's two moments and the moving average, in float32.
BYTES_PER_PARAMETER = 5 * 4


def measure_step(network: nn.Module, *inputs: torch.Tensor) -> tuple[float, int]:
    """What one training image costs a network.

    Args:
        network: the network; its output is a tensor or has the field `sample`.
        inputs: those of its forward, for one image.

    Returns:
        Floating-point operations of forward and backward, and the bytes of the activations that are stored for the
        backward pass (in float32; about half in bfloat16).
    """
    kept: dict[int, int] = {}
    weights = {parameter.data_ptr() for parameter in network.parameters()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with FlopCounterMode(display=False) as counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        output = network(*inputs)
        output = getattr(output, "sample", output)
        activations = sum(kept.values())
        output.sum().backward()
    network.zero_grad(set_to_none=True)
    return counter.get_total_flops(), activations


def _report_stage(name: str, networks: list[nn.Module], config: OptimizerConfig, flops: float, kept: int) -> list[str]:
    count = sum(parameter.numel() for network in networks for parameter in network.parameters())
    micro_batch = config.batch_size // config.accumulation_steps
    memory = count * BYTES_PER_PARAMETER + kept * micro_batch
    return [
        f"{name}:",
        f"  parameters             {count / 1e6:.1f} M ({count * 2 / 1e6:.0f} MB in half precision)",
        f"  FLOPs per image        {flops / 1e9:.1f} G, forward and backward",
        f"  memory                 {memory / 2**30:.1f} GiB in float32 at {micro_batch} images a forward, one process",
        f"  images                 {config.images:,} in steps of {config.batch_size}",
        f"  FLOPs in all           {flops * config.images:.1e}",
    ]


def _report_autoencoder(stage: AutoencoderConfig) -> list[str]:
    vae = build_autoencoder(stage)
    crop = torch.zeros(1, 3, stage.crop_size, stage.crop_size)
    lines = []
    if stage.optimizer is not None:
        lines += _report_stage("autoencoder", [vae], stage.optimizer, *measure_step(vae, crop))
    if stage.decoder is not None:
        trained = [vae.requires_grad_(False).decoder.requires_grad_(True), vae.synthesis.requires_grad_(True)]
        lines += _report_stage("decoder", trained, stage.decoder.optimizer, *measure_step(vae, crop))
    return lines


def describe_run(config: TrainingConfig) -> str:
    """Returns the report of `--dry-run`. Opens the source, but decodes no photograph and writes nothing.

    Raises:
        ConfigError: for a configuration or a source that cannot be used.
    """
    table = load_source(config.data)
    codes = read_codes(table, config.data.label_rules)
    lines = []
    if config.autoencoder is not None:
        lines += _report_autoencoder(config.autoencoder)
    unet, encoder = build_models(config)
    stage = config.generator
    labels = torch.zeros(1, encoder.config.width)
    side = unet.config.sample_size
    for name, optimizer, scale in (
        ("generator at half resolution", stage.half_resolution, 2),
        ("generator", stage.optimizer, 1),
    ):
        if optimizer is not None:
            inputs = torch.zeros(1, unet.config.in_channels, side // scale, side // scale)
            flops, kept = measure_step(unet, inputs, torch.zeros(1), labels)
            lines += _report_stage(name, [unet, encoder], optimizer, flops, kept)
    shown = len(codes) * (1 - config.data.validation_share - config.data.test_share)
    column = config.data.source_column
    sources = np.array(table[column] if column else [""] * len(codes), dtype=str)
    repeats = float(np.mean(balanced_weights(codes, sources, stage.rare_label_repeats)))
    epoch = shown * repeats / (1 - stage.degraded_share)
    lines += [
        "data:",
        f"  photographs            {len(codes):,}, about {shown:,.0f} of them to train on",
        f"  images per epoch       about {epoch:,.0f}, with repeats of rare findings and spoiled copies",
        f"  epochs                 {stage.optimizer.images / epoch:.1f}",
    ]
    return "\n".join(lines)
