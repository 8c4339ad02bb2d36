from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from training.configuration.config import (
    AutoencoderConfig,
    DataConfig,
    DecoderConfig,
    GeneratorConfig,
    OptimizerConfig,
    TrainingConfig,
)
from training.configuration.fingerprint import make_fingerprint, weights_digest

LENGTH = OptimizerConfig(images=100, batch_size=4, learning_rate=1e-3)
CONFIG = TrainingConfig(
    "run",
    64,
    DataConfig("photographs"),
    GeneratorConfig({"layers_per_block": 1}, LENGTH, half_resolution=LENGTH),
    AutoencoderConfig({}, optimizer=LENGTH, decoder=DecoderConfig(LENGTH)),
)
# What may change, spelled out here a second time: a new setting shapes the weights unless somebody decides otherwise.
FREE = {
    TrainingConfig: {"output_dir", "path", "log_with", "compile"},
    DataConfig: {
        "source",
        "name",
        "split",
        "image_column",
        "group_column",
        "source_column",
        "native_size_column",
        "skip_unusable",
        "label_rules",
        "sources",
    },
    OptimizerConfig: {"images", "cooldown_images", "accumulation_steps", "checkpoint_images", "sample_images"},
    GeneratorConfig: {
        "pretrained",
        "guidance_scale",
        "guidance_start",
        "guidance_end",
        "guidance_keeps_colour",
        "num_inference_steps",
        "sampling_shift",
        "step_spacing",
    },
    AutoencoderConfig: {"pretrained"},
    DecoderConfig: set(),
}


# Other values of settings that are one of a few names, or between bounds.
ALLOWED: dict[str, Any] = {
    "mixed_precision": "bf16",
    "algorithm": "muon",
    "timestep_sampling": "uniform",
    "enlarged_smallest_time": 0.7,
    "step_spacing": "cosine",
}


def changed(value: Any) -> Any:
    """Another value of the same kind; a part of the configuration is changed as a whole elsewhere."""
    if isinstance(value, dict):
        return value | {"another": 1}
    if isinstance(value, list):
        return [*value, "tensorboard"]
    if isinstance(value, bool) or value is None:
        return not value
    return value / 2 + 0.013 if isinstance(value, float) else value + type(value)(2 if isinstance(value, int) else "x")


def test_every_setting_that_shapes_the_weights_is_in_the_fingerprint_of_its_stage() -> None:
    parts = {
        "": (CONFIG, lambda part: part),
        "data": (CONFIG.data, lambda part: replace(CONFIG, data=part)),
        "generator": (CONFIG.generator, lambda part: replace(CONFIG, generator=part)),
        "generator.optimizer": (
            LENGTH,
            lambda part: replace(CONFIG, generator=replace(CONFIG.generator, optimizer=part)),
        ),
    }
    for prefix, (part, put) in parts.items():
        for spec in fields(part):
            value = getattr(part, spec.name)
            if hasattr(value, "__dataclass_fields__") or spec.name == "sources":
                continue
            new = ALLOWED.get(spec.name) or changed(value)
            after = make_fingerprint(put(replace(part, **{spec.name: new})), "generator")
            differs = after != make_fingerprint(CONFIG, "generator")
            assert differs == (spec.name not in FREE[type(part)]), f"{prefix}.{spec.name}"


def test_a_stage_does_not_depend_on_the_settings_of_later_and_other_stages() -> None:
    later = replace(CONFIG, generator=replace(CONFIG.generator, optimizer=replace(LENGTH, learning_rate=1.0)))
    assert make_fingerprint(later, "generator-half") == make_fingerprint(CONFIG, "generator-half")
    assert make_fingerprint(later, "decoder") == make_fingerprint(CONFIG, "decoder")
    assert CONFIG.autoencoder is not None
    decoder = DecoderConfig(LENGTH, adversarial_weight=0.5)
    other = replace(CONFIG, autoencoder=replace(CONFIG.autoencoder, decoder=decoder))
    assert make_fingerprint(other, "autoencoder") == make_fingerprint(CONFIG, "autoencoder")
    assert make_fingerprint(other, "generator") == make_fingerprint(CONFIG, "generator")
    assert make_fingerprint(other, "decoder") != make_fingerprint(CONFIG, "decoder")


def test_inputs_are_part_of_it(tmp_path: Path) -> None:
    assert make_fingerprint(CONFIG, "generator", data="a") != make_fingerprint(CONFIG, "generator", data="b")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_digest_of_weights_sees_every_value(dtype: torch.dtype) -> None:
    module = torch.nn.BatchNorm1d(3).to(dtype)
    before = weights_digest(module)
    assert weights_digest(module) == before
    module.running_var[1] = 2
    assert weights_digest(module) != before
