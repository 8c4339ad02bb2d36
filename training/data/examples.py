"""Training examples of the generator: photographs, degraded copies and labels, as pixels or as latents."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from pipeline_synfundus import FundusAutoencoder
from synfundus.images import to_tensor
from synfundus.readability import EYE_SIDE_INDEX, READABILITY_COLUMNS, degrade, is_clear, label_clear
from training.configuration.fingerprint import weights_digest
from training.data.array_file import fill_array
from training.data.prepared import PreparedData

ENCODING_BATCH = 16


@dataclass(frozen=True)
class ImageRows:
    """Prepared photographs, then spoiled copies of some: uint8 images that are read from disk when they are indexed.

    Attributes:
        photographs: uint8 array, shape (M, S, S, 3), memory-mapped.
        rows: which of them, and in which order, shape (P,).
        copies: uint8 array, shape (K, S, S, 3), memory-mapped.
        copied_rows: which of the copies follow the photographs, shape (C,).
    """

    photographs: np.ndarray
    rows: np.ndarray
    copies: np.ndarray
    copied_rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows) + len(self.copied_rows)

    def __getitem__(self, index: np.ndarray | slice) -> np.ndarray:
        """Images of shape (B, S, S, 3), for row numbers of shape (B,) or a slice."""
        numbers = np.arange(len(self))[index]
        images = np.empty((len(numbers), *self.photographs.shape[1:]), dtype=np.uint8)
        copied = numbers >= len(self.rows)
        images[~copied] = self.photographs[self.rows[numbers[~copied]]]
        images[copied] = self.copies[self.copied_rows[numbers[copied] - len(self.rows)]]
        return images


@dataclass(frozen=True)
class Examples:
    """Training examples.

    Attributes:
        values: uint8 images, shape (N, S, S, 3), or float16 latents of each image and of its mirror image, shape
            (N, 2, C, h, w), in the scale of the autoencoder; a tensor where they lie on a GPU.
        codes: int8 labels, shape (N, 16), -1 unknown.
        sources: strings, shape (N,): the set that each row comes from.
        source_rows: the row of the prepared photographs that each row shows, shape (N,).
        num_spoiled: number of degraded copies, which are the last rows.
        digest: SHA-256 of everything that the images depend on, in hexadecimal digits.
        enlarged: booleans, shape (N,): whether the photograph was smaller than the image; None where none was.
    """

    values: np.ndarray | ImageRows | torch.Tensor
    codes: np.ndarray
    sources: np.ndarray
    source_rows: np.ndarray
    num_spoiled: int = 0
    digest: str = ""
    enlarged: np.ndarray | None = None

    def take(self, rows: np.ndarray, flipped: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs of the diffusion model and their labels, some of them mirrored.

        A mirrored right eye is a left eye, so its eye side changes, too.

        Args:
            rows: row numbers, shape (B,).
            flipped: booleans, shape (B,).

        Returns:
            float32 tensor of shape (B, C, h, w), where the values lie, and int64 labels of shape (B, 16) on the CPU.
        """
        codes = self.codes[rows].astype(np.int64)
        side = codes[:, EYE_SIDE_INDEX]
        codes[:, EYE_SIDE_INDEX] = np.where(flipped & (side >= 0), 1 - side, side)
        if not isinstance(self.values, ImageRows) and self.values.ndim == 5:
            inputs = torch.as_tensor(self.values[rows, flipped.astype(int)]).float()
        else:
            images = self.values[rows]
            images = np.where(flipped[:, None, None, None], images[:, :, ::-1], images)
            inputs = to_tensor(images)
        return inputs, torch.from_numpy(codes)

    def on_device(self, device: torch.device) -> Examples:
        """The same examples with their latents in a GPU's memory, if half of what is free there holds them.

        A GPU trains a small network faster than random rows can be read from a file and sent to it.
        """
        latents = self.values
        if device.type != "cuda" or not isinstance(latents, np.ndarray) or latents.ndim != 5:
            return self
        if latents.nbytes > torch.cuda.mem_get_info(device)[0] // 2:
            return self
        return dataclasses.replace(self, values=torch.from_numpy(np.array(latents)).to(device))


def make_examples(data: PreparedData, rows: np.ndarray, degraded_share: float, seed: int, cache_dir: Path) -> Examples:
    """Adds readability labels: clear photographs are readable, and degraded copies are not where they are degraded.

    Readability labels of the source take precedence. Photographs that are neither labelled nor clear keep unknown
    labels. Which photographs are clear, and the degraded copies, are cached on disk: memory does not grow with the
    number of images.

    Args:
        data: the photographs.
        rows: those to use.
        degraded_share: share of degraded copies in the result, in [0, 1). Without clear photographs there are none.
        seed: decides which photographs are degraded and how.
        cache_dir: folder of the cache.
    """
    clear = fill_array(
        cache_dir / f"clear-{data.digest[:12]}.npy",
        (len(data),),
        bool,
        lambda part: np.array([is_clear(image) for image in data.images[part]]),
        "judging readability",
    )[rows]
    codes = label_clear(data.codes[rows], clear)
    # Only a photograph in which everything is readable can be degraded in a known way.
    candidates = np.flatnonzero(clear & (codes[:, READABILITY_COLUMNS] == 1).all(axis=1))
    wanted = round(len(rows) * degraded_share / (1 - degraded_share)) if len(candidates) else 0
    spoiled = np.resize(np.random.default_rng([seed, 4]).permutation(candidates), wanted)
    digest = _digest(data.digest, rows, spoiled, seed)
    path = cache_dir / f"spoiled-{digest[:12]}.npy"
    copies = _spoil(data.images, rows[spoiled], codes[spoiled], seed, path)
    done = np.flatnonzero(copies["done"])
    return Examples(
        values=ImageRows(data.images, rows, copies["image"], done),
        codes=np.concatenate([codes, copies["codes"][done]]),
        sources=data.sources[np.concatenate([rows, rows[spoiled[done]]])],
        source_rows=np.concatenate([rows, rows[spoiled[done]]]),
        num_spoiled=len(done),
        digest=digest,
    )


def _digest(*parts: object) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.tobytes() if isinstance(part, np.ndarray) else str(part).encode())
    return digest.hexdigest()


def _spoil(images: np.ndarray, rows: np.ndarray, codes: np.ndarray, seed: int, path: Path) -> np.ndarray:
    """Spoils each of these photographs once; how is a function of the seed and the copy's number.

    Returns:
        Structured array of shape (C,), memory-mapped: the `image`, its `codes`, and whether it was `done`: where disc
        and macula cannot be found it was not.
    """
    kind = np.dtype([("image", np.uint8, images.shape[1:]), ("codes", np.int8, codes.shape[1:]), ("done", bool)])

    def spoil(part: slice) -> np.ndarray:
        copies = np.zeros(part.stop - part.start, dtype=kind)
        for copy, number in zip(copies, range(part.start, part.stop), strict=True):
            result = degrade(images[rows[number]], codes[number], np.random.default_rng([seed, 4, number]))
            if result is not None:
                copy["image"], copy["codes"], copy["done"] = *result, True
        return copies

    return fill_array(path, (len(rows),), kind, spoil, "spoiling copies") if len(rows) else np.zeros(0, dtype=kind)


@dataclass(frozen=True)
class LatentEncoder:
    """What turns images into latents.

    Attributes:
        encode: maps uint8 images of shape (B, S, S, 3) to float32 latents of shape (B, C, h, w).
        digest: digits that change with the weights.
    """

    encode: Callable[[np.ndarray], torch.Tensor]
    digest: str


@torch.no_grad()
def encode_images(vae: FundusAutoencoder, images: np.ndarray) -> torch.Tensor:
    """The latents of uint8 images of shape (B, S, S, 3); float32, shape (B, C, h, w)."""
    return vae.encode(to_tensor(images, vae.device).to(vae.dtype), return_dict=False)[0].float()


def fundus_encoder(vae: FundusAutoencoder) -> LatentEncoder:
    """The encoder of a `FundusAutoencoder`. The digest leaves out the decoder, which may have been trained further."""
    digest = weights_digest(vae.analysis) + weights_digest(vae.encoder)
    return LatentEncoder(partial(encode_images, vae), digest)


def in_mixed_precision(encoder: LatentEncoder, precision: str, device: torch.device) -> LatentEncoder:
    """The encoder in the mixed precision of a training.

    In bfloat16 the latents of photographs differ from those in float32 by less than 1 % of each channel's standard
    deviation, and a CPU with units for it makes them four times as fast.

    Args:
        encoder: encodes in float32.
        precision: `no`, or `bf16` where the device computes faster with it.
        device: of the encoder's network.
    """
    if precision == "no":
        return encoder

    def encode(images: np.ndarray) -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16):
            return encoder.encode(images).float()

    return LatentEncoder(encode, f"{encoder.digest}-{precision}")


def encode_examples(examples: Examples, encoder: LatentEncoder, cache_dir: Path) -> Examples:
    """Replaces images by the latents of the images and of their mirror images, cached on disk and memory-mapped.

    Args:
        examples: examples with uint8 images.
        encoder: encodes the images.
        cache_dir: folder of the cache; the name of the file is derived from the images and the encoder.
    """
    path = cache_dir / f"latents-{_digest(examples.digest, encoder.digest)[:12]}.npy"
    images = examples.values
    assert not isinstance(images, torch.Tensor)  # latents already
    shape = (len(examples.codes), 2, *encoder.encode(images[:1]).shape[1:])

    def encode(part: slice) -> np.ndarray:
        latents = np.empty((part.stop - part.start, *shape[1:]), dtype=np.float16)
        for start in range(part.start, part.stop, ENCODING_BATCH):
            batch = images[start : min(start + ENCODING_BATCH, part.stop)]
            for mirrored, shown in enumerate((batch, batch[:, :, ::-1])):
                offset = start - part.start
                latents[offset : offset + len(batch), mirrored] = encoder.encode(shown).cpu().numpy()
        return latents

    latents = fill_array(path, shape, np.float16, encode, "encoding latents")
    return dataclasses.replace(examples, values=latents)
