"""Feature spaces: functions from images to vectors. Computed vectors are kept on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from evaluation.cache import code_fingerprint, files_fingerprint, fingerprint, write_rows
from evaluation.data.images import BATCH, Images, as_images
from evaluation.errors import NotMeasurable
from evaluation.measures.dinov2 import dinov2_features, load_dinov2
from synfundus.efficientnet import load_efficientnet_lite0
from synfundus.images import to_tensor

# From uint8 images of shape (B, S, S, 3) to float32 vectors of shape (B, D).
Extract = Callable[[np.ndarray], np.ndarray]
INCEPTION = "Inception-v3"


def device() -> torch.device:
    """The accelerator if there is one, otherwise the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class FeatureSpace:
    """A named feature space.

    Args:
        name: key of the space, in tables and file names.
        extract: computes the vectors of a batch.
        cache: folder for computed vectors; None keeps none.
        version: changes when the vectors would, for instance a fingerprint of learned weights.
        network: name of the network for tables and cards; `name` if not given.
    """

    def __init__(
        self, name: str, extract: Extract, cache: Path | None, version: str = "1", network: str | None = None
    ) -> None:
        self.name = name
        self.network = network or name
        self.version = version
        self._extract = extract
        self._cache = cache

    def uncached(self) -> FeatureSpace:
        """The same space, which keeps no vectors."""
        return FeatureSpace(self.name, self._extract, None, self.version, self.network)

    def __call__(self, images: np.ndarray | Images) -> np.ndarray:
        """Returns float32 vectors of shape (N, D) of N images of shape (S, S, 3), computed or read from the cache."""
        images = as_images(images)
        if self._cache is None:
            return np.concatenate(list(self._compute(images)))
        key = fingerprint(self.name, self.version, images.fingerprint, code_fingerprint("evaluation.measures.features"))
        path = self._cache / f"features-{self.name}-{key}.npy"
        if not path.exists():
            write_rows(path, len(images), self._compute(images))
        return np.load(path)

    def _compute(self, images: Images) -> Iterator[np.ndarray]:
        total = -(-len(images) // BATCH)
        for batch in tqdm(images.batches(), total=total, desc=f"{self.name} features", unit="batch", leave=False):
            yield self._extract(batch).astype(np.float32)


def network_extract(features: Callable[[torch.Tensor], torch.Tensor]) -> Extract:
    """Makes an extractor from a function on tensors of shape (B, 3, S, S) and range [-1, 1]."""

    @torch.no_grad()
    def extract(images: np.ndarray) -> np.ndarray:
        return features(to_tensor(images, device())).float().cpu().numpy()

    return extract


def imagenet_space(cache: Path | None) -> FeatureSpace:
    """The 1280 features of EfficientNet-Lite0 trained on ImageNet; needs no download."""
    network = load_efficientnet_lite0().to(device())
    extract = network_extract(lambda x: network.extract_features(x).mean(dim=(2, 3)))
    return FeatureSpace("imagenet", extract, cache, network="EfficientNet-Lite0 (ImageNet)")


def dinov2_space(cache: Path | None) -> FeatureSpace:
    """The 384 features (class token) of DINOv2-S/14, see `evaluation.measures.dinov2`.

    Raises:
        NotMeasurable: if the optional packages are missing.
    """
    network = load_dinov2().to(device())
    return FeatureSpace("dinov2", network_extract(lambda x: dinov2_features(network, x)), cache, network="DINOv2-S/14")


def inception_space(cache: Path | None, weights: Path | None = None) -> FeatureSpace:
    """The 2048 features of Inception-v3 through torch-fidelity, with which the Frechet distance is the published FID.

    Args:
        cache: folder for computed vectors.
        weights: torch-fidelity's file `weights-inception-2015-12-05-6726825d.pth`; downloaded if None.

    Raises:
        NotMeasurable: if torch-fidelity is not installed or its weights cannot be downloaded.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        file = None if weights is None else str(weights)
        network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], file).to(device()).eval()
    except Exception as error:  # its downloader and torchvision raise anything
        raise NotMeasurable(
            f"Inception-v3 cannot be loaded ({type(error).__name__}: {error}); it needs `pip install synfundus[fid]` "
            "and its weights, downloaded by torch-fidelity or named by --inception-weights"
        ) from error

    @torch.no_grad()
    def extract(images: np.ndarray) -> np.ndarray:
        batch = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).to(device())
        return network(batch)[0].float().cpu().numpy()

    version = "1" if weights is None else files_fingerprint(weights)
    return FeatureSpace("inception", extract, cache, version, INCEPTION)
