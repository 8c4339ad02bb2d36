"""Feature spaces: functions from images to vectors, with what they computed kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from evaluation.cache import cached_array, fingerprint
from evaluation.errors import NotMeasurable
from synfundus.efficientnet import load_efficientnet_lite0
from synfundus.images import to_tensor

# From uint8 images of shape (B, S, S, 3) to float32 vectors of shape (B, D).
Extract = Callable[[np.ndarray], np.ndarray]
BATCH = 64


def device() -> torch.device:
    """The accelerator, where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class FeatureSpace:
    """A named feature space.

    Args:
        name: for tables.
        extract: computes the vectors of a batch.
        cache: folder for computed vectors.
        version: changes when the vectors would, for instance a fingerprint of learned weights.
    """

    def __init__(self, name: str, extract: Extract, cache: Path, version: str = "1") -> None:
        self.name = name
        self.version = version
        self._extract = extract
        self._cache = cache

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Returns float32 vectors of shape (N, D) of uint8 images of shape (N, S, S, 3), from the cache if there."""
        key = fingerprint(self.name, self.version, images)
        return cached_array(self._cache / f"features-{self.name}-{key}.npy", lambda: self._compute(images))

    def _compute(self, images: np.ndarray) -> np.ndarray:
        starts = tqdm(range(0, len(images), BATCH), desc=f"{self.name} features", unit="batch", leave=False)
        return np.concatenate([self._extract(images[start : start + BATCH]) for start in starts]).astype(np.float32)


def imagenet_space(cache: Path) -> FeatureSpace:
    """The 1280 features of EfficientNet-Lite0 trained on ImageNet: offline, and the same for everyone."""
    network = load_efficientnet_lite0().to(device())
    return FeatureSpace("imagenet", network_extract(lambda x: network.extract_features(x).mean(dim=(2, 3))), cache)


def network_extract(features: Callable[[torch.Tensor], torch.Tensor]) -> Extract:
    """Makes an extractor of a function on tensors of shape (B, 3, S, S) and range [-1, 1]."""

    @torch.no_grad()
    def extract(images: np.ndarray) -> np.ndarray:
        return features(to_tensor(images, device())).float().cpu().numpy()

    return extract


def inception_space(cache: Path) -> FeatureSpace:
    """The 2048 features of Inception-v3 through torch-fidelity, for comparison with published Frechet distances.

    Raises:
        NotMeasurable: where torch-fidelity is not installed, or its weights cannot be downloaded.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"]).to(device()).eval()
    except Exception as error:  # whatever its downloader and torchvision raise
        raise NotMeasurable(f"Inception-v3 is not to be had: {type(error).__name__}: {error}") from error

    @torch.no_grad()
    def extract(images: np.ndarray) -> np.ndarray:
        batch = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).to(device())
        return network(batch)[0].float().cpu().numpy()

    return FeatureSpace("inception", extract, cache)
