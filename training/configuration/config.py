"""The training configuration: one YAML file describes the data and both stages (autoencoder and generator).

Plain dataclasses rather than pydantic: one-line errors that suggest the nearest field name, and presets under a file's
own values, would need the same amount of code there.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pipeline_synfundus.noise_levels import STEP_SPACINGS
from training.configuration.presets import PRESETS, expand_preset

LOGGERS = ("tensorboard", "trackio")
ALGORITHMS = ("adamw", "muon")
TIMESTEP_SAMPLINGS = ("logit-normal", "uniform")


class ConfigError(ValueError):
    """An invalid configuration; the message names the field, its value and the allowed values."""


def _check(condition: bool, name: str, value: Any, allowed: str) -> None:
    if not condition:
        raise ConfigError(f"{name} is {value!r}, but must be {allowed}")


@dataclass(frozen=True)
class DataConfig:
    """Where the photographs are.

    Attributes:
        source: a local directory (Parquet files or an imagefolder) or a Hub dataset id.
        name: the configuration of the dataset, if it has several.
        split: the split to read.
        image_column: the column that holds the photographs.
        group_column: the column of patients; all rows of one patient are in the same part of the split.
        source_column: the column that names the set a photograph comes from; findings are balanced within each set.
        native_size_column: the column with the side of the original photograph in pixels; photographs that are too
            small for the resolution are left out of the training of the generator.
        label_rules: labels that follow from other columns: column to value to labels, for example
            `{quality: {reject: {is_fundus: 0}}}`. They fill in labels that are unknown, see `training.data.labels`.
        validation_share: share of the patients on whom choices are made, in [0, 1).
        test_share: share of the patients on whom results are reported, in [0, 1).
        skip_unusable: whether to leave out photographs that cannot be decoded, as the option `--skip-unusable` does.
        sources: a Markdown file with the origins and terms of the photographs, for the model card.
    """

    source: str
    name: str | None = None
    split: str = "train"
    image_column: str = "image"
    group_column: str | None = None
    source_column: str | None = None
    native_size_column: str | None = None
    label_rules: dict[str, Any] = field(default_factory=dict)
    validation_share: float = 0.05
    test_share: float = 0.0
    skip_unusable: bool = False
    sources: str | None = None

    def __post_init__(self) -> None:
        for name in ("validation_share", "test_share"):
            _check(0 <= getattr(self, name) < 1, f"data.{name}", getattr(self, name), "in [0, 1)")
        held_out = self.validation_share + self.test_share
        _check(held_out < 1, "data.validation_share + data.test_share", held_out, "less than 1")
        exists = self.sources is None or Path(self.sources).is_file()
        _check(exists, "data.sources", self.sources, "a file that exists")


@dataclass(frozen=True)
class OptimizerConfig:
    """Length and speed of one training stage. Everything is counted in images seen, not in steps.

    Attributes:
        images: total number of images seen.
        batch_size: images per optimizer step, over all processes and accumulation steps.
        accumulation_steps: forward passes per optimizer step.
        learning_rate: the peak rate.
        algorithm: `adamw`, or `muon` for the matrices of a UNet's blocks beside AdamW for the rest.
        warmup_images: images over which the rate rises linearly from 0; it is constant afterwards.
        cooldown_images: images at the end over which the rate falls to 0; 0 for a rate that is constant to the end.
        weight_decay: decoupled weight decay.
        gradient_clip: largest norm of the gradient.
        ema_half_life_images: half-life of the exponential moving average of the weights, in images.
        checkpoint_images: images between two checkpoints.
        sample_images: images between two sample grids.
    """

    images: int
    batch_size: int
    learning_rate: float
    algorithm: str = "adamw"
    accumulation_steps: int = 1
    warmup_images: int = 0
    cooldown_images: int = 0
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    ema_half_life_images: int = 10_000
    checkpoint_images: int = 20_000
    sample_images: int = 40_000

    def __post_init__(self) -> None:
        for name in ("images", "batch_size", "accumulation_steps", "checkpoint_images", "sample_images"):
            _check(getattr(self, name) > 0, f"optimizer.{name}", getattr(self, name), "a positive integer")
        for name in ("warmup_images", "cooldown_images", "ema_half_life_images"):
            _check(getattr(self, name) >= 0, f"optimizer.{name}", getattr(self, name), "0 or more")
        _check(self.algorithm in ALGORITHMS, "optimizer.algorithm", self.algorithm, " or ".join(ALGORITHMS))
        _check(self.learning_rate > 0, "optimizer.learning_rate", self.learning_rate, "positive")
        both = self.warmup_images + self.cooldown_images
        _check(both < self.images, "optimizer.warmup_images + optimizer.cooldown_images", both, "less than images")


@dataclass(frozen=True)
class DecoderConfig:
    """Further training of the decoder alone, for sharpness (see `DecoderLoss`).

    Attributes:
        optimizer: length and speed of the training, also of the discriminator.
        adversarial_weight: weight of the adversarial term beside those of the autoencoder.
    """

    optimizer: OptimizerConfig
    adversarial_weight: float = 0.05

    def __post_init__(self) -> None:
        weight = self.adversarial_weight
        _check(weight > 0, "autoencoder.decoder.adversarial_weight", weight, "positive")


@dataclass(frozen=True)
class AutoencoderConfig:
    """The first stage, a `FundusAutoencoder` built from `model` (its keyword arguments).

    Attributes:
        model: keyword arguments of `FundusAutoencoder`.
        pretrained: a folder with an autoencoder that the training starts from, such as the `vae` folder of a pipeline;
            without it the linear part starts as the principal components of patches.
        optimizer: length and speed of the training; None uses the pretrained autoencoder as it is.
        crop_size: side of the random crops it is trained on, in pixels.
        half_resolution_share: share of the crops that are taken at half resolution.
        latent_noise: largest standard deviation of the noise that is added to the latents in training, so that the
            decoder tolerates the errors of the generator.
        high_pass_weight: weight of the absolute error of fine structure (the image less its blurred copy).
        perceptual_weight: weight of the perceptual term (see `PerceptualDistance`).
        decoder: further training of the decoder; None skips it.
    """

    model: dict[str, Any] = field(default_factory=dict)
    pretrained: str | None = None
    optimizer: OptimizerConfig | None = None
    crop_size: int = 160
    half_resolution_share: float = 0.2
    latent_noise: float = 0.1
    high_pass_weight: float = 2.0
    perceptual_weight: float = 0.1
    decoder: DecoderConfig | None = None

    def __post_init__(self) -> None:
        given = self.pretrained is not None or self.optimizer is not None
        _check(given, "autoencoder.optimizer", self.optimizer, "given where autoencoder.pretrained is not")
        _check(self.crop_size > 0, "autoencoder.crop_size", self.crop_size, "a positive integer")
        share = self.half_resolution_share
        _check(0 <= share <= 1, "autoencoder.half_resolution_share", share, "in [0, 1]")
        for name in ("latent_noise", "high_pass_weight", "perceptual_weight"):
            _check(getattr(self, name) >= 0, f"autoencoder.{name}", getattr(self, name), "0 or more")


@dataclass(frozen=True)
class GeneratorConfig:
    """The second stage, a `diffusers.UNet2DModel` built from `model` and a condition encoder.

    Attributes:
        model: keyword arguments of `diffusers.UNet2DModel`.
        optimizer: length and speed of the training at the full resolution.
        half_resolution: length and speed of a training that comes first, on whole photographs at half the resolution:
            four times faster, and it teaches the layout of the eye; None skips it.
        pretrained: the folder of a pipeline; the training starts from its UNet and condition encoder.
        label_dropout: largest share of an image's labels that is shown as unknown. The share is drawn uniformly from
            0 to this value for each image: with a small fixed share, the pattern of unknown labels would reveal the
            source of an image, and the model would learn cameras instead of findings.
        condition_dropout: probability that all labels are shown as unknown.
        assumed_absent_share: share of the images whose unknown diseases are shown as absent. Sets that label one
            disease teach it beside unknown others only; users ask for it beside absent ones.
        degraded_share: share of the training images shown with a synthetic loss of readability.
        smallest_native_share: photographs whose original side is less than this share of the resolution are left
            out, because enlarged photographs would teach the generator blur.
        enlarged_smallest_time: the smallest noise level, in (0, 1), at which these photographs are shown instead of
            being left out: where noise hides the detail that they lack. None leaves them out.
        timestep_sampling: distribution of the times of training before the shift: `logit-normal`, or `uniform`, which
            spends more images on nearly pure noise, where the layout and most findings are decided.
        timestep_shift: shift of the times of training towards noise (Esser et al. 2024, eq. 23); 1 at half resolution.
        sampling_shift: the same of the sampling steps; None for that of training.
        rare_label_repeats: largest number of times that an image with a rare finding is shown per epoch.
        guidance_scale: guidance of the sample grids and default of the saved pipeline. If this or one of the next
            three fields is omitted, the default of `SynFundusPipeline` is used.
        guidance_start: where guidance starts in sampling, in [0, 1] of the way from noise to image.
        guidance_end: where it ends.
        num_inference_steps: sampling steps.
        guidance_keeps_colour: whether guidance leaves the average colour of an image as it is without
            (`pipeline_synfundus.guidance.guide`).
        step_spacing: their noise levels: `scheduler` for uniform ones, or `cosine` for more at both ends
            (`pipeline_synfundus.noise_levels.space_by_cosine`).
    """

    model: dict[str, Any]
    optimizer: OptimizerConfig
    half_resolution: OptimizerConfig | None = None
    pretrained: str | None = None
    label_dropout: float = 0.6
    condition_dropout: float = 0.1
    assumed_absent_share: float = 0.0
    degraded_share: float = 0.2
    smallest_native_share: float = 0.75
    enlarged_smallest_time: float | None = None
    timestep_sampling: str = "logit-normal"
    timestep_shift: float = 1.0
    sampling_shift: float | None = None
    rare_label_repeats: float = 12.0
    guidance_scale: float | None = None
    guidance_start: float | None = None
    guidance_end: float | None = None
    num_inference_steps: int | None = None
    guidance_keeps_colour: bool = False
    step_spacing: str = "scheduler"

    def __post_init__(self) -> None:
        for name in ("label_dropout", "condition_dropout", "assumed_absent_share", "degraded_share"):
            _check(0 <= getattr(self, name) < 1, f"generator.{name}", getattr(self, name), "in [0, 1)")
        share = self.smallest_native_share
        _check(0 <= share <= 1, "generator.smallest_native_share", share, "in [0, 1]")
        level = self.enlarged_smallest_time
        valid = level is None or 0 < level < 1
        _check(valid, "generator.enlarged_smallest_time", level, "in (0, 1), or left out")
        times = self.timestep_sampling
        allowed = " or ".join(TIMESTEP_SAMPLINGS)
        _check(times in TIMESTEP_SAMPLINGS, "generator.timestep_sampling", times, allowed)
        _check(self.timestep_shift > 0, "generator.timestep_shift", self.timestep_shift, "positive")
        positive = self.sampling_shift is None or self.sampling_shift > 0
        _check(positive, "generator.sampling_shift", self.sampling_shift, "positive, or left out")
        _check(self.rare_label_repeats >= 1, "generator.rare_label_repeats", self.rare_label_repeats, "1 or more")
        start, end = self.guidance_start or 0.0, 1.0 if self.guidance_end is None else self.guidance_end
        _check(0 <= start <= end <= 1, "generator.guidance_start and guidance_end", (start, end), "in [0, 1], in order")
        steps = self.num_inference_steps
        _check(steps is None or steps > 0, "generator.num_inference_steps", steps, "1 or more, or left out")
        spacing = self.step_spacing
        _check(spacing in STEP_SPACINGS, "generator.step_spacing", spacing, " or ".join(STEP_SPACINGS))

    @property
    def scheduler_shift(self) -> float:
        """The shift of the sampling steps."""
        return self.timestep_shift if self.sampling_shift is None else self.sampling_shift

    @property
    def sampling_defaults(self) -> dict[str, Any]:
        """The arguments of `SynFundusPipeline` for the sampling fields that the configuration gives."""
        names = ("num_inference_steps", "guidance_scale", "guidance_start", "guidance_end")
        values = {f"default_{name}": getattr(self, name) for name in names}
        given = {name: value for name, value in values.items() if value is not None}
        return given | {name: getattr(self, name) for name in ("guidance_keeps_colour", "step_spacing")}


@dataclass(frozen=True)
class TrainingConfig:
    """A whole training run.

    Attributes:
        output_dir: folder for caches, checkpoints, logs, sample grids and the finished pipeline.
        resolution: side of the square training images, in pixels.
        data: where the photographs are.
        generator: the second stage.
        autoencoder: the first stage; without it the generator works on pixels.
        mixed_precision: `no` or `bf16`, as in accelerate; on a CPU without bfloat16 units `bf16` trains in float32.
        compile: whether to `torch.compile` the trained networks: 1.5 times the speed of the generator on a GPU,
            after 40 seconds; no gain on a CPU.
        log_with: loggers in addition to `log.jsonl`: `tensorboard`, `trackio`.
        seed: seed of all random numbers.
    """

    output_dir: str
    resolution: int
    data: DataConfig
    generator: GeneratorConfig
    autoencoder: AutoencoderConfig | None = None
    mixed_precision: str = "no"
    compile: bool = False
    log_with: list[str] = field(default_factory=list)
    seed: int = 0
    path: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        _check(self.resolution >= 8, "resolution", self.resolution, "8 or more")
        precisions = ("no", "bf16")
        _check(self.mixed_precision in precisions, "mixed_precision", self.mixed_precision, ", ".join(precisions))
        known = set(self.log_with) <= set(LOGGERS)
        _check(known, "log_with", self.log_with, f"a list of some of {', '.join(LOGGERS)}")


def _matches(value: Any, kind: Any) -> bool:
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, typing.get_origin(kind) or kind)


def _build(cls: Any, values: Any, where: str) -> Any:
    """Builds the dataclass `cls` from a mapping; every error names the field by its dotted path."""
    if not isinstance(values, dict):
        raise ConfigError(f"{where or 'the file'} must be a mapping, not {values!r}")
    kinds = typing.get_type_hints(cls)
    prefix = f"{where}." if where else ""
    for name in values:
        if name not in kinds:
            close = difflib.get_close_matches(str(name), kinds, n=1)
            hint = f"; did you mean {close[0]}?" if close else f"; allowed are {', '.join(kinds)}"
            raise ConfigError(f"unknown field {prefix}{name}{hint}")
    result = {}
    for spec in dataclasses.fields(cls):
        if spec.name not in values:
            if spec.default is dataclasses.MISSING and spec.default_factory is dataclasses.MISSING:
                raise ConfigError(f"{prefix}{spec.name} is missing")
            continue
        result[spec.name] = _convert(values[spec.name], kinds[spec.name], prefix + spec.name)
    return cls(**result)


def _convert(value: Any, kind: Any, where: str) -> Any:
    if isinstance(kind, types.UnionType):
        if value is None:
            return None
        kind = next(option for option in typing.get_args(kind) if option is not type(None))
    if dataclasses.is_dataclass(kind):
        return _build(kind, value, where)
    if not _matches(value, kind):
        raise ConfigError(f"{where} is {value!r}, but must be of type {getattr(kind, '__name__', kind)}")
    return float(value) if kind is float else value


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Returns `base` updated with `changes`, recursively for nested mappings."""
    merged = dict(base)
    for name, value in changes.items():
        nested = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = _merge(merged[name], value) if nested else value
    return merged


def _expand(values: Any) -> Any:
    """Merges the content of a file that names a preset into the values of the preset."""
    if not isinstance(values, dict) or "preset" not in values:
        return values
    name = values["preset"]
    _check(name in PRESETS, "preset", name, f"one of {', '.join(PRESETS)}")
    return _merge(expand_preset(name), {key: value for key, value in values.items() if key != "preset"})


def load_config(path: str | Path) -> TrainingConfig:
    """Reads a training configuration.

    Args:
        path: a YAML file with the fields of `TrainingConfig`, or with `preset` (see `presets.py`) and the fields that
            differ from it. Relative paths in it are relative to the working directory.

    Raises:
        ConfigError: for a missing file, invalid YAML, an unknown or missing field, or an invalid value.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    try:
        return dataclasses.replace(_build(TrainingConfig, _expand(values), ""), path=str(path))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
