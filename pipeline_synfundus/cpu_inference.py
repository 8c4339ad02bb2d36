"""Runs the UNet on a CPU through OpenVINO, where it is installed: `pip install synfundus[openvino]`.

The pipeline keeps its torch modules. A call on a CPU evaluates a compiled copy of the UNet, which is made once per
weights and stored in the cache of Hugging Face. The decoder stays in torch: with its input channels-last it is as fast.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import importlib.util
import io
import json
import os
import tempfile
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from huggingface_hub import cached_assets_path

if TYPE_CHECKING:
    from diffusers import UNet2DModel

BACKENDS = ("openvino", "torch")
# The environment variable that sets the backend of new pipelines.
SWITCH = "SYNFUNDUS_CPU_BACKEND"
# OpenVINO's name of each precision. A CPU without units for a lower precision computes in float32, which is faster.
_PRECISIONS = {torch.bfloat16: ("bf16", "BF16"), torch.float16: ("f16", "FP16")}

# Returns the UNet's output for latents, a timestep and class embeddings.
Evaluate = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]

_compiled: WeakKeyDictionary[torch.nn.Module, tuple[tuple, Any]] = WeakKeyDictionary()
_lock = threading.Lock()


def has_openvino() -> bool:
    """Returns whether OpenVINO is installed."""
    return importlib.util.find_spec("openvino") is not None


def default_backend() -> str:
    """Returns the backend in the environment variable `SYNFUNDUS_CPU_BACKEND`, else OpenVINO where it is installed.

    Raises:
        ValueError: if the variable names no backend that is installed.
    """
    named = os.environ.get(SWITCH)
    return check_backend(named, SWITCH) if named else BACKENDS[0] if has_openvino() else "torch"


def check_backend(name: str, source: str = "cpu_backend") -> str:
    """Returns the name of a backend, checked.

    Args:
        name: the name.
        source: what the message calls it.

    Raises:
        ValueError: if there is no such backend, or it is not installed.
    """
    if name not in BACKENDS:
        raise ValueError(f"{source} is {name!r}, but must be one of {', '.join(BACKENDS)}")
    if name == "openvino" and not has_openvino():
        raise ValueError(f"{source} is 'openvino', which is not installed: pip install synfundus[openvino]")
    return name


def computes_bfloat16() -> bool:
    """Returns whether this CPU has bfloat16 units: AVX-512 BF16 or AMX.

    Without them PyTorch computes convolutions and matrix products in bfloat16 at a fortieth to a hundredth of the speed
    of float32 (docs/cpu.md).
    """
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def fastest_dtype(backend: str) -> torch.dtype:
    """Returns the type in which this CPU samples fastest: bfloat16 for OpenVINO on a CPU with units for it.

    Elsewhere it is float32. With bfloat16 a CPU samples 2.6 times as fast, and images differ by less than can be seen
    (docs/cpu.md).

    Args:
        backend: one of `BACKENDS`.
    """
    return torch.bfloat16 if backend == "openvino" and computes_bfloat16() else torch.float32


def unet_evaluator(unet: Any, backend: str) -> Evaluate:
    """Returns a function that evaluates the UNet on its device: compiled by OpenVINO, or the module itself.

    The module itself is used with the backend `torch`, on a GPU, in training mode, and if it is not a plain
    `UNet2DModel`: compiled, offloaded, or with hooks, which a compiled copy would not call.

    Args:
        unet: the UNet.
        backend: one of `BACKENDS`.
    """
    if backend == "openvino" and _is_plain(unet):
        request = _compile_once(unet).create_infer_request()

        def evaluate(sample: torch.Tensor, timestep: torch.Tensor, class_labels: torch.Tensor) -> torch.Tensor:
            inputs = [tensor.float().contiguous().numpy() for tensor in (sample, timestep, class_labels)]
            return torch.from_numpy(request.infer(inputs, share_inputs=True)[0]).to(sample.dtype)

        return evaluate
    return lambda sample, timestep, class_labels: unet(sample, timestep, class_labels=class_labels, return_dict=False)[
        0
    ]


def _is_plain(unet: Any) -> bool:
    return (
        type(unet).__name__ == "UNet2DModel"
        and unet.device.type == "cpu"
        and not unet.training
        and not any(
            module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module) for module in unet.modules()
        )
    )


class _Unet(torch.nn.Module):
    """The UNet with tensors as its only arguments and result."""

    def __init__(self, unet: UNet2DModel) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor, class_labels: torch.Tensor) -> torch.Tensor:
        return self.unet(sample, timestep, class_labels=class_labels, return_dict=False)[0]


@functools.cache
def _core() -> Any:
    """One for the process: each gives the signal handlers a stack, and takes it back when it goes.

    Two that go in the order in which they came leave a stack that is freed already. Then the next signal, such as
    Ctrl-C, ends the process with a segmentation fault (OpenVINO 2026.4).
    """
    import openvino

    return openvino.Core()


def _compile_once(unet: UNet2DModel) -> Any:
    """The compiled model of these weights, in the precision of their type and with as many threads as torch.

    The sums of all parameters tell whether weights changed: 0.01 s for 19 million, and unlike version counters they
    also notice writes through `.data`, such as those of `EMAModel.copy_to`.
    """
    sums = tuple(parameter.double().sum().item() for parameter in unet.parameters())
    key = (unet.dtype, torch.get_num_threads(), sums)
    with _lock:
        if unet not in _compiled or _compiled[unet][0] != key:
            _compiled[unet] = key, _load_or_compile(unet)
        return _compiled[unet][1]


def _load_or_compile(unet: UNet2DModel) -> Any:
    core = _core()
    hint, capability = _PRECISIONS.get(unet.dtype, ("f32", "FP32"))
    if capability not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        hint = "f32"
    # Pinned threads of several processes would share the same cores.
    options = {
        "INFERENCE_PRECISION_HINT": hint,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "ENABLE_CPU_PINNING": False,
    }
    path = _cache_file(unet, core.get_property("CPU", "FULL_DEVICE_NAME"), hint)
    if path is not None and path.exists():
        with suppress(RuntimeError):  # a damaged file is replaced
            return core.import_model(io.BytesIO(path.read_bytes()), "CPU", options)
    compiled = core.compile_model(_convert(unet), "CPU", options)
    if path is not None:
        _write(path, compiled.export_model().getvalue())
    return compiled


def _convert(unet: UNet2DModel) -> Any:
    """The UNet as an OpenVINO model in float32, for batches of any size.

    This is what `openvino.convert_model` does, which would also send a usage report to its makers.
    """
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    size = unet.config.sample_size
    latents = (unet.config.in_channels, *((size, size) if isinstance(size, int) else size))
    width = unet.time_embedding.linear_2.out_features
    example = (torch.zeros(2, *latents), torch.tensor(0.0), torch.zeros(2, width))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # checks of shapes, which are fixed
        warnings.simplefilter("ignore", DeprecationWarning)
        module = _Unet(unet if unet.dtype == torch.float32 else copy.deepcopy(unet).float()).eval()
        traced = torch.jit.trace(module, example, check_trace=False)
    frontend = FrontEndManager().load_by_framework("pytorch")
    decoder = TorchScriptPythonDecoder(traced, example_input=example)  # must live as long as the conversion
    model = frontend.convert(frontend.load(decoder))
    model.reshape(dict(zip(model.inputs, ([-1, *latents], [], [-1, width]), strict=True)))
    return model


def _cache_file(unet: UNet2DModel, cpu: str, hint: str) -> Path | None:
    """The file of the compiled model; None where nothing can be cached."""
    import openvino

    # As it is in a file, without the path of the file: a saved copy is the same network.
    config = {name: value for name, value in unet.config.items() if name[0] != "_"}
    digest = hashlib.sha256(json.dumps([openvino.__version__, cpu, hint, config], sort_keys=True).encode())
    for name, tensor in unet.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().view(torch.uint8).numpy())
    try:
        folder = cached_assets_path(library_name="synfundus", namespace="openvino")
    except OSError:
        return None
    return folder / f"{digest.hexdigest()[:32]}.blob"


def _write(path: Path, content: bytes) -> None:
    """Writes the file whole or, where the disk does not allow it, not at all."""
    with suppress(OSError):
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            os.replace(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)
