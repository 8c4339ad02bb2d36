"""The SynFundus pipeline: generates synthetic retinal fundus images, and edits photographs."""

from __future__ import annotations

import importlib
import inspect
import json
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers import DiffusionPipeline, ImagePipelineOutput, UNet2DModel
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback
from diffusers.image_processor import VaeImageProcessor
from diffusers.models.modeling_utils import ModelMixin
from diffusers.schedulers import KarrasDiffusionSchedulers
from diffusers.utils.dynamic_modules_utils import get_relative_import_files
from diffusers.utils.torch_utils import randn_tensor
from huggingface_hub import snapshot_download

# diffusers copies only the modules of a folder that its pipeline file itself imports, not those that they import.
from .cpu_inference import check_backend, default_backend, unet_evaluator
from .decoding import Source
from .editing import EditInputs, EditStart, read_edit
from .guidance import guide
from .labels import (
    CONDITION_NAMES,
    EYE_SIDE,
    UNKNOWN,
    ConditionError,
    complete_conditions,
    contrast_condition,
    to_codes,
)
from .noise_levels import INVERTIBLE, STEP_SPACINGS, NoiseLevels, space_by_cosine
from .photograph import PhotographError

__all__ = ["ConditionError", "PhotographError", "SynFundusPipeline"]

Images = Source | torch.Tensor | Sequence[Source | torch.Tensor]
Generators = torch.Generator | int | Sequence[torch.Generator | int] | None
OUTPUT_TYPES = ("pil", "np", "pt", "latent")
DEFAULT_STRENGTH = 0.5
# Evaluations of the UNet per inverted step; each reduces the error of the inversion.
INVERSION_ITERATIONS = 3
_HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "revision", "token")


def _is_number(value: Any, kind: type = Real) -> bool:
    """Whether this is a number of Python or NumPy, but not a boolean."""
    return isinstance(value, kind) and not isinstance(value, bool)


def _package_module(component: str, module: str) -> str | None:
    """The full name of a component's module in the installed package.

    None where the package has no such module, or where diffusers loaded this file from a model folder.
    """
    name = f"{__package__}.{component}.{module}"
    try:
        importlib.import_module(name)
    except ImportError:
        return None
    return name


def _draw_eye_sides(codes: list[list[int]], noise: torch.Tensor) -> None:
    """Replaces each unknown eye side by one that depends on the noise of its image alone.

    For an unknown side the network sometimes generates an optic disc on each. To draw the side first gives the same
    distribution without these. The first value of the noise belongs to a corner outside the field of view.

    Args:
        codes: labels of N images, changed in place.
        noise: noise of the images, shape (N, C, H, W).
    """
    column = CONDITION_NAMES.index(EYE_SIDE.name)
    for row, first in zip(codes, noise.flatten(1)[:, 0].tolist(), strict=True):
        if row[column] == UNKNOWN:
            row[column] = int(first > 0)


def _component_class(component: Any) -> type:
    """The class of a component, behind what `torch.compile` wraps around it."""
    return type(getattr(component, "_orig_mod", component))


def _edit_config(path: Path, changes: Mapping[str, Any]) -> None:
    """Changes a configuration file if it exists, and removes `_name_or_path`, which is a path of this machine."""
    if path.is_file():
        config = json.loads(path.read_text(encoding="utf-8")) | changes
        config.pop("_name_or_path", None)
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


class SynFundusPipeline(DiffusionPipeline):
    """Generates fundus images from labels, after SynFundus-Generator (arXiv 2312.00377), and edits photographs.

    `labels.py` has the labels and their rules. The labels of an image become one embedding, which is added to the time
    embedding of the UNet. Guidance is classifier-free (Ho and Salimans 2022). By default it leads away from the same
    eye without the requested findings and of unknown readability, not from the average eye. So it strengthens the
    findings and the clarity, but not the cameras and populations that are correlated with them.

    With `image`, a call edits photographs. One class does both, because a Hub repository with code of its own offers
    only one pipeline class to `DiffusionPipeline.from_pretrained`.

    Args:
        unet: a `UNet2DModel` with `class_embed_type="identity"`.
        condition_encoder: a `FundusConditionEncoder` whose width is that of the UNet's time embedding.
        scheduler: any diffusers scheduler with the prediction type of the UNet's training.
        vae: a `FundusAutoencoder`, whose latents need no scaling, or an `AutoencoderKL`; without it the UNet works on
            pixels in [-1, 1].
        default_num_inference_steps: denoising steps of a call that names none; saved in `model_index.json`.
        default_guidance_scale: guidance scale of a call that names none; saved in `model_index.json`.
        default_guidance_start: start of the guidance interval of a call that names none; saved in `model_index.json`.
        default_guidance_end: its end.
        step_spacing: the noise levels of the denoising steps, unless a photograph is edited: `scheduler` for those of
            the scheduler, or `cosine` for `noise_levels.space_by_cosine`, which needs a UNet that predicts flows; saved
            in `model_index.json`.
        guidance_keeps_colour: whether guidance leaves the average colour of an image as it is without guidance, see
            `guidance.guide`; saved in `model_index.json`.

    Raises:
        ValueError: for another spacing.
    """

    model_cpu_offload_seq = "condition_encoder->unet->vae"
    _optional_components: ClassVar[list[str]] = ["vae"]
    _callback_tensor_inputs: ClassVar[list[str]] = ["latents"]

    def __init__(
        self,
        unet: UNet2DModel,
        condition_encoder: ModelMixin,
        scheduler: KarrasDiffusionSchedulers,
        vae: ModelMixin | None = None,
        default_num_inference_steps: int = 12,
        default_guidance_scale: float = 2.5,
        default_guidance_start: float = 0.0,
        default_guidance_end: float = 1.0,
        step_spacing: str = "scheduler",
        guidance_keeps_colour: bool = False,
    ) -> None:
        super().__init__()
        if step_spacing not in STEP_SPACINGS:
            raise ValueError(f"step_spacing is {step_spacing!r}, but must be one of {', '.join(STEP_SPACINGS)}")
        self.register_modules(unet=unet, condition_encoder=condition_encoder, scheduler=scheduler, vae=vae)
        self.register_to_config(
            default_num_inference_steps=default_num_inference_steps,
            default_guidance_scale=default_guidance_scale,
            default_guidance_start=default_guidance_start,
            default_guidance_end=default_guidance_end,
            step_spacing=step_spacing,
            guidance_keeps_colour=guidance_keeps_colour,
        )
        self.image_processor = VaeImageProcessor()
        self._cpu_backend = default_backend()

    @property
    def cpu_backend(self) -> str:
        """What evaluates the UNet on a CPU: `openvino`, the default where it is installed, or `torch`; can be set.

        The environment variable `SYNFUNDUS_CPU_BACKEND` sets it for new pipelines. The precision is that of the UNet's
        type. Other devices use torch.

        Raises:
            ValueError: if it is set to a backend that does not exist or is not installed.
        """
        return self._cpu_backend

    @cpu_backend.setter
    def cpu_backend(self, name: str) -> None:
        self._cpu_backend = check_backend(name)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images in pixels."""
        size = self.unet.config.sample_size
        height, width = (size, size) if isinstance(size, int) else size
        if self.vae is None:
            return height, width
        config = self.vae.config
        factor = getattr(config, "patch_size", None) or 2 ** (len(config.block_out_channels) - 1)
        return height * factor, width * factor

    @property
    def guidance_scale(self) -> float:
        """The guidance scale of the running call."""
        return self._guidance_scale

    @property
    def num_timesteps(self) -> int:
        """The number of steps of the running call."""
        return self._num_timesteps

    @property
    def interrupt(self) -> bool:
        """Whether to skip the remaining steps; a callback sets `pipe._interrupt = True`."""
        return self._interrupt

    @torch.no_grad()
    def __call__(
        self,
        conditions: Mapping[str, Any] | Sequence[Mapping[str, Any]] | Any,
        num_images_per_condition: int = 1,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        guidance_interval: tuple[float, float] | None = None,
        negative_conditions: Mapping[str, Any] | Sequence[Mapping[str, Any]] | Any | None = None,
        generator: Generators = None,
        latents: torch.Tensor | None = None,
        eta: float = 0.0,
        image: Images | None = None,
        strength: float | None = None,
        inversion: bool = False,
        source_conditions: Mapping[str, Any] | Sequence[Mapping[str, Any]] | Any | None = None,
        mask_image: Images | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callable[[Any, int, int, dict], dict] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> ImagePipelineOutput | tuple:
        """Generates images, or edits those given as `image`.

        Args:
            conditions: one mapping from label names to values, a list of them, or a table (pandas, or the rows of a
                `datasets` dataset). Labels left out are healthy and readable, or with `image` as in the photograph;
                None or -1 means unknown. For each image of an unknown eye side, the noise decides the side.
            num_images_per_condition: images per condition; the images of one condition are adjacent.
            num_inference_steps: denoising steps, each one evaluation of the UNet; the model's own default if None. With
                `image`, only the last `strength` of them are run, and by default so many that the model's default
                number is run.
            guidance_scale: weight of classifier-free guidance, 0 or more; 1 means no guidance and halves the cost; the
                model's own default if None.
            guidance_interval: the part of the denoising steps in which guidance acts, as fractions in [0, 1] of the
                way from noise to image (limited-interval guidance, Kynkaanniemi et al. 2024), outside of which a step
                costs half; the model's own default if None. With `image`, the default starts at the first step: a
                late start is for the variety of colours, which the photograph decides there.
            negative_conditions: the conditions that guidance leads away from, one for all or one for each; by default
                those of `labels.contrast_condition`, or with `image` those of the photograph.
                `dict.fromkeys(CONDITION_NAMES)`, all labels unknown, gives plain classifier-free guidance.
            generator: a generator or a seed for the whole batch, or a list with one for each image. Then an image does
                not depend on the rest of its batch, up to rounding errors of the batch size: a few pixels may differ
                by 1 of 255.
            latents: the noise to start from, of shape (images, channels, height, width), instead of drawing it.
            eta: the eta of DDIM (Song et al. 2021), in [0, 1]; other schedulers have none.
            image: a photograph of any size to edit, or a list of them: PIL images, paths, arrays of shape (H, W, 3) or
                (N, H, W, 3), tensors of shape (3, H, W) or (N, 3, H, W), integers or floats in [0, 1].
                `photograph.read_photograph` crops them to the field of view, pads them to a square and resizes them.
                One image serves several conditions, and one condition several images.
            strength: how much to change the image, in (0, 1]: the part of the steps, from noise to image, that is run;
                0.5 if None.
            inversion: how the noisy start of an edit is made. False adds random noise (SDEdit, Meng et al. 2022). True
                inverts the deterministic sampler from the photograph with `source_conditions` (DDIM inversion, Song et
                al. 2021; fixed-point iterations as in Pan et al. 2023), which keeps more of the eye and takes
                `INVERSION_ITERATIONS` more evaluations per step. Then the noise levels of the scheduler are used with
                deterministic first-order steps, and `generator`, `latents` and `eta` have no effect.
            source_conditions: what is known of the photographs, one condition for all or one for each; labels left out
                are unknown.
            mask_image: where to change the image, white for change: a mask of its size, or a list of them. The rest
                keeps the pixels of the photograph as it was read.
            output_type: `pil`, `np` (float, (N, H, W, 3) in [0, 1]), `pt` (the same as (N, 3, H, W)) or `latent`.
            return_dict: whether to return an `ImagePipelineOutput` rather than a tuple.
            callback_on_step_end: called as `f(pipe, step, timestep, tensors)` after each step; may return changed
                tensors, and may set `pipe._interrupt = True` or another `pipe._guidance_scale`.
            callback_on_step_end_tensor_inputs: names of the tensors to pass to the callback; only `latents` exists. A
                `PipelineCallback` of diffusers names its own.

        Returns:
            An `ImagePipelineOutput` with the field `images`, or a tuple with the images alone.

        Raises:
            ConditionError: for an invalid condition (a `ValueError`).
            PhotographError: for an image or mask that cannot be read (a `ValueError`).
            ValueError: for any other invalid argument. All name the argument, the value and what is allowed, before
                any work is done.
        """
        if isinstance(callback_on_step_end, (PipelineCallback, MultiPipelineCallbacks)):
            callback_on_step_end_tensor_inputs = callback_on_step_end.tensor_inputs
        self._check_edit_inputs(image, strength, inversion, source_conditions, mask_image)
        strength = 1.0 if image is None else DEFAULT_STRENGTH if strength is None else strength
        if num_inference_steps is None:
            num_inference_steps = math.ceil(self.config.default_num_inference_steps / strength)
        if guidance_scale is None:
            guidance_scale = self.config.default_guidance_scale
        if guidance_interval is None:
            from_step = self.config.default_guidance_start if image is None else 0.0
            guidance_interval = from_step, self.config.default_guidance_end
        self.check_inputs(
            num_images_per_condition,
            num_inference_steps,
            guidance_scale,
            guidance_interval,
            eta,
            output_type,
            callback_on_step_end_tensor_inputs,
        )
        edit = None
        if image is not None:
            edit = read_edit(conditions, source_conditions, image, mask_image, self._square_side())
        complete = complete_conditions(conditions) if edit is None else edit.targets
        usual = [contrast_condition(condition) for condition in complete] if edit is None else edit.contrasts
        negative = self._complete_negative(negative_conditions, usual)
        codes, negative_codes = (
            [to_codes(condition) for condition in part for _ in range(num_images_per_condition)]
            for part in (complete, negative)
        )
        generator = self._make_generators(generator, len(codes))
        self._guidance_scale = guidance_scale
        self._interrupt = False
        self._evaluate_unet = unet_evaluator(self.unet, self.cpu_backend)
        device = self._execution_device

        self.scheduler.set_timesteps(num_inference_steps, device=device)
        if edit is None and self.config.step_spacing == "cosine":
            space_by_cosine(self.scheduler)
        timesteps = self._last_timesteps(num_inference_steps, strength)
        if edit is None:
            latents = self.prepare_latents(len(codes), generator, device, latents)
            _draw_eye_sides(codes, latents)
            if negative_conditions is None:
                _draw_eye_sides(negative_codes, latents)
        self._num_timesteps = len(timesteps) * (1 + INVERSION_ITERATIONS if inversion else 1)
        wanted, unwanted = self.encode_conditions(torch.tensor([codes, negative_codes], device=device))
        step_options = self._step_options(generator, eta)
        first, last = (bound * len(timesteps) for bound in guidance_interval)

        with self.progress_bar(total=self._num_timesteps) as progress_bar:
            start: EditStart | None = None
            if edit is not None:
                edit = edit.repeat(num_images_per_condition).to(device)
                noise = None if inversion else self._prepare_noise(len(codes), generator, device, latents)
                start = self._start_edit(edit, noise, timesteps, progress_bar)
                latents = start.reference[0]
            assert latents is not None  # noise, or the start of the edit
            for step, timestep in enumerate(timesteps):
                if self.interrupt:
                    continue
                guided = self.guidance_scale != 1 and first <= step < last
                if start is not None and inversion:
                    model_input = start.levels.model_input(latents, step)
                else:
                    model_input = self.scheduler.scale_model_input(latents, timestep)
                prediction = self._predict(model_input, timestep, wanted, unwanted if guided else None)
                if start is not None and inversion:
                    latents = start.levels.step(prediction, latents, step)
                else:
                    latents = self.scheduler.step(prediction, timestep, latents, **step_options, return_dict=False)[0]
                    latents = latents.to(prediction.dtype)  # some schedulers compute and return float32
                if start is not None:
                    latents = start.keep_outside_mask(latents, step + 1)
                if callback_on_step_end is not None:
                    tensors = {"latents": latents} if "latents" in callback_on_step_end_tensor_inputs else {}
                    changed = callback_on_step_end(self, step, timestep, tensors) or {}
                    latents = changed.pop("latents", latents)
                progress_bar.update()

        images: Any = latents if output_type == "latent" else self.decode_latents(latents)
        if output_type != "latent":
            images = images if edit is None else edit.keep_outside_mask(images)
            images = self.image_processor.postprocess(images, output_type=output_type)
        self.maybe_free_model_hooks()
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def check_inputs(
        self,
        num_images_per_condition: int,
        num_inference_steps: int,
        guidance_scale: float,
        guidance_interval: tuple[float, float],
        eta: float,
        output_type: str,
        callback_on_step_end_tensor_inputs: Sequence[str],
    ) -> None:
        """Raises a `ValueError` that names the argument, the value and what is allowed; see `__call__`."""
        for name, count in (
            ("num_images_per_condition", num_images_per_condition),
            ("num_inference_steps", num_inference_steps),
        ):
            if not _is_number(count, Integral) or count < 1:
                raise ValueError(f"{name} is {count!r}, but must be an integer of 1 or more")
        if not _is_number(guidance_scale) or not 0 <= guidance_scale < float("inf"):
            raise ValueError(f"guidance_scale is {guidance_scale!r}, but must be a number of 0 or more")
        pair = isinstance(guidance_interval, Sequence) and len(guidance_interval) == 2
        pair = pair and all(_is_number(bound) for bound in guidance_interval)
        if not pair or not 0 <= guidance_interval[0] <= guidance_interval[1] <= 1:
            raise ValueError(f"guidance_interval is {guidance_interval!r}, but must be (lo, hi), 0 <= lo <= hi <= 1")
        if not _is_number(eta) or not 0 <= eta <= 1:
            raise ValueError(f"eta is {eta!r}, but must be in [0, 1]")
        if output_type not in OUTPUT_TYPES:
            raise ValueError(f"output_type is {output_type!r}, but must be one of {', '.join(OUTPUT_TYPES)}")
        unknown = set(callback_on_step_end_tensor_inputs) - set(self._callback_tensor_inputs)
        if unknown:
            raise ValueError(
                f"callback_on_step_end_tensor_inputs has {sorted(unknown)}, but may have {self._callback_tensor_inputs}"
            )

    def prepare_latents(
        self,
        batch_size: int,
        generator: torch.Generator | list[torch.Generator] | None,
        device: torch.device,
        latents: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Returns the noise to start from, scaled for the scheduler; shape (batch_size, C, H, W).

        Raises:
            ValueError: if `latents` is given with another shape.
        """
        return self._prepare_noise(batch_size, generator, device, latents) * self.scheduler.init_noise_sigma

    def _prepare_noise(
        self,
        batch_size: int,
        generator: torch.Generator | list[torch.Generator] | None,
        device: torch.device,
        latents: torch.Tensor | None,
    ) -> torch.Tensor:
        """Gaussian noise of variance 1, drawn or given."""
        size = self.unet.config.sample_size
        height, width = (size, size) if isinstance(size, int) else size
        shape = (batch_size, self.unet.config.in_channels, height, width)
        if latents is None:
            latents = randn_tensor(shape, generator=generator, device=device, dtype=self.unet.dtype)
        elif latents.shape != shape:
            raise ValueError(f"latents has shape {tuple(latents.shape)}, but must have shape {shape}")
        return latents.to(device=device, dtype=self.unet.dtype)

    @staticmethod
    def _complete_negative(negative_conditions: Any, complete: list[dict[str, int]]) -> list[dict[str, int]]:
        """The conditions that guidance leads away from: those given, or `complete`, the usual ones."""
        if negative_conditions is None:
            return complete
        try:
            negative = complete_conditions(negative_conditions)
        except ConditionError as error:
            raise ConditionError(f"negative_conditions: {error}") from None
        if len(negative) not in (1, len(complete)):
            raise ValueError(
                f"negative_conditions has {len(negative)} entries, but must have 1 or, as conditions, {len(complete)}"
            )
        return negative if len(negative) == len(complete) else negative * len(complete)

    def encode_conditions(self, codes: torch.Tensor) -> torch.Tensor:
        """Returns the embeddings of labels, shape (..., number of labels), in one forward; shape (..., width)."""
        embeddings = self.condition_encoder(codes.flatten(end_dim=-2)).to(self.unet.dtype)
        return embeddings.unflatten(0, codes.shape[:-1])

    def decode_latents(self, latents: torch.Tensor) -> torch.Tensor:
        """Returns the images of denoised latents: shape (B, 3, height, width), about [-1, 1]."""
        if self.vae is None:
            return latents
        config = self.vae.config
        if getattr(config, "latents_mean", None) is not None:
            mean, std = (latents.new_tensor(x).view(1, -1, 1, 1) for x in (config.latents_mean, config.latents_std))
            latents = latents * std + mean
        elif getattr(config, "scaling_factor", None) is not None:
            latents = latents / config.scaling_factor + (getattr(config, "shift_factor", None) or 0.0)
        if latents.device.type == "cpu":  # convolutions of autoencoders are faster in this layout, those of UNets not
            latents = latents.contiguous(memory_format=torch.channels_last)
        return self.vae.decode(latents.to(self.vae.dtype), return_dict=False)[0]

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """Returns the latents of images of shape (B, 3, height, width) in [-1, 1]; the inverse of `decode_latents`."""
        if self.vae is None:
            return pixels
        encoded = self.vae.encode(pixels.to(self.vae.dtype), return_dict=False)[0]
        latents = encoded if isinstance(encoded, torch.Tensor) else encoded.mode()
        config = self.vae.config
        if getattr(config, "latents_mean", None) is not None:
            mean, std = (latents.new_tensor(x).view(1, -1, 1, 1) for x in (config.latents_mean, config.latents_std))
            return (latents - mean) / std
        if getattr(config, "scaling_factor", None) is not None:
            return (latents - (getattr(config, "shift_factor", None) or 0.0)) * config.scaling_factor
        return latents

    def _last_timesteps(self, num_inference_steps: int, strength: float) -> torch.Tensor:
        """The timesteps to run, from a noise level that corresponds to the strength.

        Raises:
            ValueError: if there are none.
        """
        count = int(num_inference_steps * strength + 1e-6)
        if count < 1:
            raise ValueError(
                f"strength is {strength!r} and num_inference_steps {num_inference_steps}, so no step is left; their "
                "product must be 1 or more"
            )
        return self.scheduler.timesteps[(num_inference_steps - count) * self.scheduler.order :]

    def _start_edit(
        self, edit: EditInputs, noise: torch.Tensor | None, timesteps: torch.Tensor, progress_bar: Any
    ) -> EditStart:
        """Brings photographs to the first noise level: with noise, or without by inversion.

        The scheduler then starts at the first of `timesteps`.
        """
        levels = NoiseLevels(self.scheduler, timesteps)
        clean = self.encode_images(edit.pixels)
        if noise is None:
            reference = self._invert(clean.float(), edit.sources, levels, timesteps, progress_bar)
        else:
            clean = clean.to(noise.dtype)
            reference = [levels.add(clean, noise, level) for level in range(len(timesteps) + 1)]
        if hasattr(self.scheduler, "set_begin_index"):
            self.scheduler.set_begin_index(len(self.scheduler.timesteps) - len(timesteps))
        return EditStart(levels, reference, edit.mask_like(clean))

    def _invert(
        self,
        clean: torch.Tensor,
        sources: list[dict[str, int]],
        levels: NoiseLevels,
        timesteps: torch.Tensor,
        progress_bar: Any,
    ) -> list[torch.Tensor]:
        """The samples from which deterministic steps with the source conditions lead to `clean`, at each level.

        Each step solves an implicit equation by fixed-point iteration (Pan et al. 2023, AIDI).
        """
        embeddings = self.encode_conditions(torch.tensor([to_codes(source) for source in sources], device=clean.device))
        path = [clean]
        for level in reversed(range(len(timesteps))):
            sample = path[-1]
            for _ in range(INVERSION_ITERATIONS):
                model_input = levels.model_input(sample, level)
                prediction = self._predict(model_input, timesteps[level], embeddings, None)
                sample = levels.invert(prediction, path[-1], level)
                progress_bar.update()
            path.append(sample)
        return path[::-1]

    def _square_side(self) -> int:
        height, width = self.image_size
        if height != width:
            raise ValueError(f"image cannot be edited: the model's images are {width}x{height}, but must be square")
        return height

    def _check_edit_inputs(
        self, image: Any, strength: float | None, inversion: bool, source_conditions: Any, mask_image: Any
    ) -> None:
        """Raises a `ValueError` that names the argument, the value and what is allowed; see `__call__`."""
        options = {"strength": strength, "source_conditions": source_conditions, "mask_image": mask_image}
        given = [name for name, value in options.items() if value is not None] + ["inversion"] * bool(inversion)
        if image is None and given:
            raise ValueError(f"{' and '.join(given)} given without image, the photograph to edit")
        if strength is not None and (not _is_number(strength) or not 0 < strength <= 1):
            raise ValueError(f"strength is {strength!r}, but must be a number above 0, at most 1")
        if not isinstance(inversion, bool):
            raise ValueError(f"inversion is {inversion!r}, but must be True or False")
        kind = self.scheduler.config.get("prediction_type", "epsilon")
        if inversion and kind not in INVERTIBLE:
            raise ValueError(
                f"inversion is True, but the scheduler predicts {kind}; allowed are {', '.join(INVERTIBLE)}"
            )

    def _predict(
        self, model_input: torch.Tensor, timestep: torch.Tensor, wanted: torch.Tensor, unwanted: torch.Tensor | None
    ) -> torch.Tensor:
        """The UNet's output; with `unwanted` given, guided away from it, from one forward of the doubled batch."""
        model_input = model_input.to(self.unet.dtype)
        if unwanted is None:
            return self._evaluate_unet(model_input, timestep, wanted)
        doubled = self._evaluate_unet(torch.cat([model_input, model_input]), timestep, torch.cat([unwanted, wanted]))
        without, with_labels = doubled.chunk(2)
        return guide(without, with_labels, self.guidance_scale, self.config.guidance_keeps_colour)

    def _step_options(self, generator: torch.Generator | list[torch.Generator] | None, eta: float) -> dict[str, Any]:
        """The options that this scheduler's step accepts, of generator and eta."""
        accepted = inspect.signature(self.scheduler.step).parameters
        # At eta 1 and zero signal-to-noise ratio, DDIM takes the square root of a difference that is 0; rounding errors
        # can make it negative, and the image NaN.
        options = {"generator": generator, "eta": min(eta, 1 - 1e-6)}
        return {name: value for name, value in options.items() if name in accepted}

    @staticmethod
    def _make_generators(generator: Generators, batch_size: int) -> torch.Generator | list[torch.Generator] | None:
        """Turns seeds into CPU generators, whose noise is the same on every device."""

        def make(entry: Any) -> torch.Generator:
            if isinstance(entry, torch.Generator):
                return entry
            if not _is_number(entry, Integral):
                allowed = "a torch.Generator, a seed, or a list of them"
                raise ValueError(f"generator is {generator!r}, but must be {allowed}")
            return torch.Generator().manual_seed(int(entry))

        if generator is None:
            return None
        if isinstance(generator, Sequence) and not isinstance(generator, str):
            if len(generator) != batch_size:
                raise ValueError(f"generator has {len(generator)} entries, but {batch_size} images are asked for")
            return [make(entry) for entry in generator]
        return make(generator)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike = Path(__file__).parent, **kwargs: Any
    ) -> SynFundusPipeline:
        """Loads a pipeline with the classes of this package: no code of the folder or repository is run.

        Args:
            pretrained_model_name_or_path: a folder or a Hub id; without it, the weights bundled with the package.
            kwargs: as in `DiffusionPipeline.from_pretrained`.
        """
        if (
            _package_module("condition_encoder", "condition_encoder") is None
        ):  # this class came from a model folder, which diffusers handles
            return super().from_pretrained(pretrained_model_name_or_path, **kwargs)
        kwargs.pop("trust_remote_code", None)
        folder = pretrained_model_name_or_path
        if not os.path.isdir(folder):
            options = {name: kwargs.pop(name) for name in _HUB_OPTIONS if name in kwargs}
            folder = snapshot_download(str(folder), allow_patterns=["*.json", "*.safetensors"], **options)
        return super().from_pretrained(str(folder), **kwargs)

    @classmethod
    def load_config(cls, *args: Any, **kwargs: Any) -> Any:
        """Reads `model_index.json`; its list forms, which ask for the folder's code, become this package's classes."""
        config = super().load_config(*args, **kwargs)
        if isinstance(config, dict):
            config["_class_name"] = cls.__name__
            for name, value in config.items():
                if isinstance(value, (list, tuple)) and len(value) == 2 and isinstance(value[0], str):
                    module = _package_module(name, value[0])
                    config[name] = [module, value[1]] if module else value
        return config

    def save_config(self, save_directory: str | os.PathLike, push_to_hub: bool = False, **kwargs: Any) -> None:
        """Writes `model_index.json` in the list form, and the code, so that the folder is a whole Hub repository.

        `save_pretrained` calls this before it uploads anything.
        """
        super().save_config(save_directory, push_to_hub=False, **kwargs)
        folder = Path(save_directory)
        here = Path(inspect.getfile(type(self)))
        own = {
            name: _component_class(component)
            for name, component in self.components.items()
            if component is not None and not _component_class(component).__module__.startswith("diffusers.")
        }
        sources = {name: Path(inspect.getfile(component_class)) for name, component_class in own.items()}
        lists = {name: [sources[name].stem, own[name].__name__] for name in own}
        _edit_config(folder / self.config_name, lists | {"_class_name": [here.stem, type(self).__name__]})
        for name in self.components:
            _edit_config(folder / name / "config.json", {})
        modules = [here, *map(Path, get_relative_import_files(here))]
        copies = [(module, folder / module.name) for module in modules]
        copies += [(source, folder / name / source.name) for name, source in sources.items()]
        for source, target in copies:
            if not (target.exists() and target.samefile(source)):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
