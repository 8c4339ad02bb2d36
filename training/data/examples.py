"""What the generator is shown: photographs, spoiled copies of them, and their labels, as pixels or as latents."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from pipeline_synfundus import FundusAutoencoder
from pipeline_synfundus.labels import READABILITY
from synfundus.files import write_whole
from synfundus.images import to_tensor
from synfundus.readability import EYE_SIDE_INDEX, FUNDUS, degrade, is_clear
from training.data.prepared import PreparedData

READABILITY_COLUMNS = slice(FUNDUS, FUNDUS + len(READABILITY))
ENCODING_BATCH = 16


@dataclass(frozen=True)
class Examples:
    """Training examples.

    Attributes:
        values: uint8 images, shape (N, S, S, 3), or float16 latents of each image and of its mirror image, shape
            (N, 2, C, h, w), in the scale of the autoencoder.
        codes: int8 labels, shape (N, 16), -1 unknown.
        sources: strings, shape (N,): the set that each row comes from.
        num_spoiled: how many of the last rows are spoiled copies.
    """

    values: np.ndarray
    codes: np.ndarray
    sources: np.ndarray
    num_spoiled: int = 0

    def take(self, rows: np.ndarray, flipped: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs of the diffusion model and their labels, some of them mirrored.

        A mirrored right eye is a left eye: its eye side changes too.

        Args:
            rows: row numbers, shape (B,).
            flipped: booleans, shape (B,).

        Returns:
            float32 tensor of shape (B, C, h, w) and int64 labels of shape (B, 16).
        """
        codes = self.codes[rows].astype(np.int64)
        side = codes[:, EYE_SIDE_INDEX]
        codes[:, EYE_SIDE_INDEX] = np.where(flipped & (side >= 0), 1 - side, side)
        if self.values.ndim == 5:
            inputs = torch.from_numpy(self.values[rows, flipped.astype(int)]).float()
        else:
            images = self.values[rows]
            images = np.where(flipped[:, None, None, None], images[:, :, ::-1], images)
            inputs = to_tensor(images)
        return inputs, torch.from_numpy(codes)


def make_examples(data: PreparedData, rows: np.ndarray, degraded_share: float, seed: int) -> Examples:
    """Adds what is known of readability: clear photographs are readable, and spoiled copies are not where spoiled.

    A source's own readability labels win; where a photograph is neither labelled nor clear they stay unknown.

    Args:
        data: the photographs.
        rows: those to use.
        degraded_share: share of spoiled copies among the result, in [0, 1). With no clear photograph there is none.
        seed: decides which are spoiled and how.
    """
    images, codes, sources = data.images[rows], data.codes[rows].copy(), data.sources[rows]
    progress = tqdm(images, desc="judging readability", unit="image")
    clear = np.array([is_clear(image) for image in progress])
    known = codes[:, READABILITY_COLUMNS]
    known[clear[:, None] & (known < 0)] = 1

    rng = np.random.default_rng([seed, 4])
    # Only a picture on which everything is readable can be spoiled in a known way.
    candidates = np.flatnonzero(clear & (known == 1).all(axis=1))
    wanted = round(len(rows) * degraded_share / (1 - degraded_share)) if len(candidates) else 0
    spoiled = []
    for row in tqdm(np.resize(rng.permutation(candidates), wanted), desc="spoiling copies", unit="image"):
        result = degrade(images[row], codes[row], rng)
        if result is not None:
            spoiled.append((*result, sources[row]))
    if spoiled:
        more = zip(*spoiled, strict=True)
        images, codes, sources = (np.concatenate(pair) for pair in zip((images, codes, sources), more, strict=True))
    return Examples(images, codes, sources, len(spoiled))


@torch.no_grad()
def encode_images(vae: FundusAutoencoder, images: np.ndarray) -> torch.Tensor:
    """The latents of uint8 images of shape (B, S, S, 3); float32, shape (B, C, h, w)."""
    return vae.encode(to_tensor(images, vae.device).to(vae.dtype), return_dict=False)[0].float()


def encode_examples(examples: Examples, vae: FundusAutoencoder, cache_dir: Path) -> Examples:
    """Replaces images by the latents of the images and of their mirror images, cached on disk and memory-mapped.

    Args:
        examples: examples with uint8 images.
        vae: the autoencoder.
        cache_dir: the cache's folder; the file's name is derived from the images and from the encoder.
    """
    digest = hashlib.sha256()
    for name, parameter in vae.named_parameters():
        if name.startswith(("analysis.", "encoder.")):  # the decoder may have been trained further since
            digest.update(parameter.detach().cpu().numpy().tobytes())
    digest.update(np.ascontiguousarray(examples.values).tobytes())
    path = cache_dir / f"latents-{digest.hexdigest()[:12]}.npy"
    if not path.exists():
        write_whole(path, lambda temporary: _write_latents(examples.values, vae, temporary))
    return dataclasses.replace(examples, values=np.load(path, mmap_mode="r"))


def _write_latents(images: np.ndarray, vae: FundusAutoencoder, path: Path) -> None:
    side = images.shape[1] // vae.config.patch_size
    shape = (len(images), 2, vae.config.latent_channels, side, side)
    latents = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
    for start in tqdm(range(0, len(images), ENCODING_BATCH), desc="encoding latents", unit="batch"):
        batch = images[start : start + ENCODING_BATCH]
        for mirrored, shown in enumerate((batch, batch[:, :, ::-1])):
            latents[start : start + len(batch), mirrored] = encode_images(vae, shown).cpu().numpy()
    latents.flush()
