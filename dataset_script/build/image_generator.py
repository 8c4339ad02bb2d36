"""The generator: a diffusers pipeline from a folder or the Hub, as a function from rows to pixels."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import snapshot_download

from synfundus.files import file_sha256

from ..errors import BuildError
from ..plan.condition_plan import Row

if TYPE_CHECKING:
    import numpy as np

DEFAULT_MODEL = Path(__file__).parents[2] / "pipeline_synfundus"
DTYPES = ("float32", "bfloat16", "float16")
BACKENDS = ("openvino", "torch")
# The files that decide which images a model generates. Its card does not.
CARD = "README.md"  # has the evaluation results that a dataset's card shows
MODEL_FILES = (".bin", ".json", ".py", ".safetensors")
# The pipeline class whose code is part of this package; every other pipeline brings code of its own.
OWN_CLASS = "SynFundusPipeline"


@dataclass(frozen=True)
class Model:
    """A generator on the disk.

    Attributes:
        name: the name of its folder, or its Hub id.
        revision: its Hub commit; for a folder, the first 16 hexadecimal digits of the SHA-256 of its weights,
            configurations and code.
        folder: its folder; for a Hub id, in the cache.
        pipeline_class: name of its pipeline class.
        num_inference_steps: its default number of denoising steps; None if it names none.
        guidance_scale: its default guidance scale; None if it names none.
        trust_remote_code: whether to run the code in its folder instead of this package's.
    """

    name: str
    revision: str
    folder: Path
    pipeline_class: str
    num_inference_steps: int | None
    guidance_scale: float | None
    trust_remote_code: bool = False


def find_model(model: str, revision: str | None = None, trust_remote_code: bool = False) -> Model:
    """Returns the model in a folder or on the Hub, from which it is downloaded unless cached. It is not loaded.

    Args:
        model: folder or Hub id.
        revision: branch, tag or commit of a Hub id; its default branch if None.
        trust_remote_code: whether the model may run the code in its repository. `SynFundusPipeline` models need none.

    Raises:
        BuildError: if there is no such model, or it needs code that is not trusted.
    """
    folder = Path(model)
    local = folder.is_dir()
    if local and revision is not None:
        raise BuildError(f"--revision is {revision!r}, but --model {model} is a local folder; leave --revision out")
    if not local:
        patterns = [f"*{suffix}" for suffix in MODEL_FILES if suffix != ".py" or trust_remote_code]
        try:
            folder = Path(snapshot_download(model, revision=revision, allow_patterns=[*patterns, CARD]))
        except (OSError, ValueError) as error:
            at = f" at revision {revision}" if revision else ""
            raise BuildError(
                f"--model {model}{at} is neither a local folder nor a downloadable Hub repository: {error}"
            ) from None
    if not (folder / "model_index.json").is_file():
        raise BuildError(f"--model {model} holds no model_index.json, so it is not a diffusers pipeline")
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    pipeline_class = _class_name(index)
    if pipeline_class != OWN_CLASS and not trust_remote_code:
        raise BuildError(
            f"--model {model} is a {pipeline_class}, not a {OWN_CLASS}: it may run code of its own. If you trust that "
            "code, add --trust-remote-code"
        )
    return Model(
        # The Hub's cache names the folder of a snapshot after its commit.
        *((folder.resolve().name, _folder_revision(folder)) if local else (model, folder.name)),
        folder,
        pipeline_class,
        index.get("default_num_inference_steps"),
        index.get("default_guidance_scale"),
        trust_remote_code,
    )


@dataclass(frozen=True)
class Sampling:
    """How a model generates images; part of a build's record.

    Attributes:
        num_inference_steps: denoising steps per image.
        guidance_scale: scale of classifier-free guidance; 1 means none.
        dtype: floating-point type of the model, one of `DTYPES`.
        backend: what evaluates the UNet: `torch`, or on a CPU `openvino`.
    """

    num_inference_steps: int
    guidance_scale: float
    dtype: str
    backend: str = "torch"


def choose_sampling(
    model: Model, num_inference_steps: int | None, guidance_scale: float | None, dtype: str, backend: str = "torch"
) -> Sampling:
    """Returns the sampling settings: those given, or else the model's defaults.

    Raises:
        BuildError: if neither names a setting.
    """
    steps = model.num_inference_steps if num_inference_steps is None else num_inference_steps
    scale = model.guidance_scale if guidance_scale is None else guidance_scale
    for option, value in (("--num-inference-steps", steps), ("--guidance-scale", scale)):
        if value is None:
            raise BuildError(f"the model {model.name} has no default for {option}; give {option}")
    assert steps is not None and scale is not None
    return Sampling(steps, scale, dtype, backend)


def choose_backend(model: Model, device: str, named: str | None) -> str:
    """Returns the backend that is named, or on a CPU the pipeline's default: OpenVINO where it is installed.

    Args:
        model: the model; pipelines of other classes have no backend but torch.
        device: a torch device.
        named: `openvino`, `torch`, or None for the default.

    Raises:
        BuildError: if the backend that is named is not installed.
    """
    from pipeline_synfundus import cpu_inference

    if model.pipeline_class != OWN_CLASS or device != "cpu":
        return "torch"
    try:
        return cpu_inference.check_backend(named, "--cpu-backend") if named else cpu_inference.default_backend()
    except ValueError as error:
        raise BuildError(str(error)) from None


def choose_dtype(named: str | None, backend: str, device: str) -> str:
    """Returns the named type, one of `DTYPES`, or the fastest of the backend; says so if the named one is slow here."""
    from pipeline_synfundus import cpu_inference

    if named == "bfloat16" and device == "cpu" and not cpu_inference.computes_bfloat16():
        print("This CPU has no bfloat16 units: --dtype float32 would be faster")
    return named or str(cpu_inference.fastest_dtype(backend)).removeprefix("torch.")


class ImageGenerator:
    """A model on a device, as a function from rows to pixels. `load_generator` creates one."""

    def __init__(self, model: Model, sampling: Sampling, device: str) -> None:
        import torch  # takes seconds, which a complete build does not need

        dtype = getattr(torch, sampling.dtype)
        pipeline: Any
        if model.trust_remote_code:
            from diffusers import DiffusionPipeline

            pipeline = DiffusionPipeline.from_pretrained(str(model.folder), trust_remote_code=True, dtype=dtype)
        else:
            from pipeline_synfundus import SynFundusPipeline

            pipeline = SynFundusPipeline.from_pretrained(model.folder, dtype=dtype)
        pipeline.set_progress_bar_config(disable=True)
        if model.pipeline_class == OWN_CLASS:
            pipeline.cpu_backend = sampling.backend
        self._pipeline = pipeline.to(device)
        self._sampling = sampling

    def __call__(self, rows: Sequence[Row]) -> np.ndarray:
        """Returns one image per row: uint8 of shape (rows, height, width, 3), RGB.

        Each row has its own noise. So its image is the same in every batch, up to the rounding errors that depend on
        the batch size: at most a few pixels differ, by 1 of 255. Images are converted to integers on the device, with
        the rounding of diffusers, because a fast device would wait for Pillow to convert single images.
        """
        images = self._pipeline(
            [row.condition for row in rows],
            generator=[row.noise_seed for row in rows],
            num_inference_steps=self._sampling.num_inference_steps,
            guidance_scale=self._sampling.guidance_scale,
            output_type="pt",
        ).images
        return to_pixels(images)


def to_pixels(images: Any) -> np.ndarray:
    """Converts a pipeline's `output_type="pt"` to pixels.

    Args:
        images: tensor of shape (images, 3, height, width), values in [0, 1].

    Returns:
        uint8 of shape (images, height, width, 3), on the CPU.
    """
    import torch

    return (images.float() * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


@functools.lru_cache(maxsize=1)
def load_generator(model: Model, sampling: Sampling, device: str) -> ImageGenerator:
    """Returns the model on a device, loaded once per process.

    Args:
        model: the model.
        sampling: the sampling settings.
        device: a torch device, see `choose_devices`.
    """
    return ImageGenerator(model, sampling, device)


def choose_devices(device: str | None, workers: int) -> list[str]:
    """Returns the device of each worker: the GPUs in turn, or the CPU for all where there is no GPU.

    Args:
        device: a torch device; `cuda` means all GPUs, and so does None where there are any.
        workers: number of workers.

    Raises:
        BuildError: for a device that this machine does not have.
    """
    import torch

    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        raise BuildError(f"--device {device} cannot be used: {str(error).splitlines()[0]}") from None
    if device == "cuda":
        return [f"cuda:{worker % torch.cuda.device_count()}" for worker in range(workers)]
    return [device] * workers


def _class_name(index: dict[str, Any]) -> str:
    """Returns the pipeline class in a `model_index.json`: a name, or a list of module and name."""
    name = index.get("_class_name")
    return str(name[-1] if isinstance(name, list) and name else name)


def _folder_revision(folder: Path) -> str:
    digest = hashlib.sha256()
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix in MODEL_FILES)
    for name in names:
        if not any(part.startswith(".") for part in Path(name).parts):
            digest.update(f"{name} {file_sha256(folder / name)}\n".encode())
    return digest.hexdigest()[:16]
