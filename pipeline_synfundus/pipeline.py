"""The SynFundus pipeline: retinal fundus photographs to order."""

from __future__ import annotations

import importlib
import inspect
import json
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
from diffusers.utils.torch_utils import randn_tensor
from huggingface_hub import snapshot_download

from .labels import ConditionError, complete_conditions, contrast_condition, to_codes

Generators = torch.Generator | int | Sequence[torch.Generator | int] | None
OUTPUT_TYPES = ("pil", "np", "pt", "latent")
_HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "revision", "token")


def _is_number(value: Any, kind: type = Real) -> bool:
    """Whether this is a number of Python's or NumPy's, and no boolean."""
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


def _component_class(component: Any) -> type:
    """The class of a component, behind what `torch.compile` wraps around it."""
    return type(getattr(component, "_orig_mod", component))


def _edit_config(path: Path, changes: Mapping[str, Any]) -> None:
    """Changes a configuration file, if it is there, and takes out where it was loaded from: a path of this machine."""
    if path.is_file():
        config = json.loads(path.read_text(encoding="utf-8")) | changes
        config.pop("_name_or_path", None)
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


class SynFundusPipeline(DiffusionPipeline):
    """Generates retinal fundus photographs from labels, after SynFundus-Generator (arXiv 2312.00377).

    The labels and their rules are those of `labels.py`. All the labels of an image become one embedding, which is
    added to the time embedding of the UNet. Guidance is classifier-free (Ho and Salimans 2022), but leads away from
    the same eye without the findings asked for, of unknown readability, rather than from the average eye: it
    strengthens the findings and the clarity, not the cameras and populations that come with them.

    Args:
        unet: a `UNet2DModel` with `class_embed_type="identity"`.
        condition_encoder: a `FundusConditionEncoder` whose width is that of the UNet's time embedding.
        scheduler: any diffusers scheduler with the prediction type that the UNet was trained for.
        vae: a `FundusAutoencoder`, whose latents need no scaling, or an `AutoencoderKL`; without it the UNet works on
            pixels in [-1, 1].
        default_num_inference_steps: denoising steps of a call that names none; saved in `model_index.json`.
        default_guidance_scale: guidance scale of a call that names none; saved in `model_index.json`.
        default_guidance_start: start of the guidance interval of a call that names none; saved in `model_index.json`.
        default_guidance_end: its end.
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
    ) -> None:
        super().__init__()
        self.register_modules(unet=unet, condition_encoder=condition_encoder, scheduler=scheduler, vae=vae)
        self.register_to_config(
            default_num_inference_steps=default_num_inference_steps,
            default_guidance_scale=default_guidance_scale,
            default_guidance_start=default_guidance_start,
            default_guidance_end=default_guidance_end,
        )
        self.image_processor = VaeImageProcessor()

    @property
    def guidance_scale(self) -> float:
        """The guidance scale of the call that is running."""
        return self._guidance_scale

    @property
    def num_timesteps(self) -> int:
        """The number of steps of the call that is running."""
        return self._num_timesteps

    @property
    def interrupt(self) -> bool:
        """Whether the remaining steps are passed over; a callback sets `pipe._interrupt = True` for that."""
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
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callable[[Any, int, int, dict], dict] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> ImagePipelineOutput | tuple:
        """Generates images.

        Args:
            conditions: one mapping from label names to values, a list of them, or a table (pandas, or the rows of a
                `datasets` dataset). What is left out is healthy and readable; None or -1 means unknown.
            num_images_per_condition: images per condition; the images of one condition stand together.
            num_inference_steps: denoising steps, each one evaluation of the UNet; the model's own default if None.
            guidance_scale: weight of classifier-free guidance, 0 or more; 1 means none and costs nothing; the model's
                own default if None.
            guidance_interval: the part of the denoising steps in which guidance acts, as fractions in [0, 1] of the
                way from noise to image (limited-interval guidance, Kynkaanniemi et al. 2024), outside of which a step
                costs half; the model's own default if None.
            negative_conditions: what guidance leads away from, one condition for all or one for each; by default that
                of `labels.contrast_condition`. `dict.fromkeys(CONDITION_NAMES)`, all labels unknown, gives plain
                classifier-free guidance.
            generator: a generator or a seed for the whole batch, or a list with one for each image: then an image is
                the same alone as in any batch.
            latents: the noise to start from, of shape (images, channels, height, width), instead of drawing it.
            eta: the eta of DDIM (Song et al. 2021), in [0, 1]; other schedulers have none.
            output_type: `pil`, `np` (float, (N, H, W, 3) in [0, 1]), `pt` (the same as (N, 3, H, W)) or `latent`.
            return_dict: whether to return an `ImagePipelineOutput` rather than a tuple.
            callback_on_step_end: called as `f(pipe, step, timestep, tensors)` after each step; may return changed
                tensors, and may set `pipe._interrupt = True` or another `pipe._guidance_scale`.
            callback_on_step_end_tensor_inputs: names of the tensors that the callback gets; `latents` is there. A
                `PipelineCallback` of diffusers names its own.

        Returns:
            An `ImagePipelineOutput` with the field `images`, or a tuple with the images alone.

        Raises:
            ConditionError: for a condition that cannot be used (a `ValueError`).
            ValueError: for any other argument that cannot be used. Both name the argument, the value and what is
                allowed, before any work is done.
        """
        if isinstance(callback_on_step_end, (PipelineCallback, MultiPipelineCallbacks)):
            callback_on_step_end_tensor_inputs = callback_on_step_end.tensor_inputs
        if num_inference_steps is None:
            num_inference_steps = self.config.default_num_inference_steps
        if guidance_scale is None:
            guidance_scale = self.config.default_guidance_scale
        if guidance_interval is None:
            guidance_interval = self.config.default_guidance_start, self.config.default_guidance_end
        complete = complete_conditions(conditions)
        self.check_inputs(
            num_images_per_condition,
            num_inference_steps,
            guidance_scale,
            guidance_interval,
            eta,
            output_type,
            callback_on_step_end_tensor_inputs,
        )
        negative = self._complete_negative(negative_conditions, complete)
        codes, negative_codes = (
            [to_codes(condition) for condition in part for _ in range(num_images_per_condition)]
            for part in (complete, negative)
        )
        generator = self._make_generators(generator, len(codes))
        self._guidance_scale = guidance_scale
        self._interrupt = False
        device = self._execution_device

        self.scheduler.set_timesteps(num_inference_steps, device=device)
        timesteps = self.scheduler.timesteps
        self._num_timesteps = len(timesteps)
        latents = self.prepare_latents(len(codes), generator, device, latents)
        wanted, unwanted = self.encode_conditions(torch.tensor([codes, negative_codes], device=device))
        step_options = self._step_options(generator, eta)
        first, last = (bound * len(timesteps) for bound in guidance_interval)

        with self.progress_bar(total=self._num_timesteps) as progress_bar:
            for step, timestep in enumerate(timesteps):
                if self.interrupt:
                    continue
                guided = self.guidance_scale != 1 and first <= step < last
                prediction = self._predict(latents, timestep, wanted, unwanted if guided else None)
                latents = self.scheduler.step(prediction, timestep, latents, **step_options, return_dict=False)[0]
                latents = latents.to(prediction.dtype)  # some schedulers compute and return float32
                if callback_on_step_end is not None:
                    tensors = {"latents": latents} if "latents" in callback_on_step_end_tensor_inputs else {}
                    changed = callback_on_step_end(self, step, timestep, tensors) or {}
                    latents = changed.pop("latents", latents)
                progress_bar.update()

        images: Any = latents if output_type == "latent" else self.decode_latents(latents)
        if output_type != "latent":
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
        """Returns the noise to start from, scaled as the scheduler wants it; shape (batch_size, C, H, W).

        Raises:
            ValueError: if `latents` is given with another shape.
        """
        size = self.unet.config.sample_size
        height, width = (size, size) if isinstance(size, int) else size
        shape = (batch_size, self.unet.config.in_channels, height, width)
        if latents is None:
            latents = randn_tensor(shape, generator=generator, device=device, dtype=self.unet.dtype)
        elif latents.shape != shape:
            raise ValueError(f"latents has shape {tuple(latents.shape)}, but must have shape {shape}")
        return latents.to(device=device, dtype=self.unet.dtype) * self.scheduler.init_noise_sigma

    @staticmethod
    def _complete_negative(negative_conditions: Any, complete: list[dict[str, int]]) -> list[dict[str, int]]:
        """What guidance leads away from, for each condition; see `__call__`."""
        if negative_conditions is None:
            return [contrast_condition(condition) for condition in complete]
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
        return self.vae.decode(latents.to(self.vae.dtype), return_dict=False)[0]

    def _predict(
        self, latents: torch.Tensor, timestep: torch.Tensor, wanted: torch.Tensor, unwanted: torch.Tensor | None
    ) -> torch.Tensor:
        """The UNet's output; with `unwanted` given, guided away from it, from one forward of the doubled batch."""
        model_input = self.scheduler.scale_model_input(latents, timestep)
        if unwanted is None:
            return self.unet(model_input, timestep, class_labels=wanted, return_dict=False)[0]
        doubled = self.unet(
            torch.cat([model_input, model_input]),
            timestep,
            class_labels=torch.cat([unwanted, wanted]),
            return_dict=False,
        )[0]
        without, with_labels = doubled.chunk(2)
        return without + self.guidance_scale * (with_labels - without)

    def _step_options(self, generator: torch.Generator | list[torch.Generator] | None, eta: float) -> dict[str, Any]:
        """Those of generator and eta that this scheduler's step takes."""
        accepted = inspect.signature(self.scheduler.step).parameters
        # At eta 1, DDIM takes the root of a difference that is 0 where the signal-to-noise ratio is; rounding makes it
        # negative now and then, and the image NaN.
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
        ):  # this class came from a model folder: diffusers knows how to go on
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
        copies = [(here, folder / here.name), (here.with_name("labels.py"), folder / "labels.py")]
        copies += [(source, folder / name / source.name) for name, source in sources.items()]
        for source, target in copies:
            if not (target.exists() and target.samefile(source)):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
