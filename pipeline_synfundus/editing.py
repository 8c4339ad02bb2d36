"""Inputs of an edit: photographs, masks, and the conditions before and after."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from .decoding import PhotographError, Source, decode_photograph
from .labels import (
    UNKNOWN,
    UNKNOWN_CONDITION,
    ConditionError,
    complete_conditions,
    contrast_condition,
    list_conditions,
)
from .noise_levels import NoiseLevels
from .photograph import crop_like_photograph, read_photograph

Item = TypeVar("Item")


@dataclass(frozen=True)
class EditInputs:
    """What an edit needs to know, checked; all lists and tensors have one entry per image.

    Attributes:
        targets: complete conditions of the results.
        sources: complete conditions of the photographs.
        contrasts: complete conditions that guidance leads away from.
        pixels: the photographs, float32 of shape (N, 3, size, size) in [-1, 1].
        mask: where to change them, float32 of shape (N, 1, size, size) in [0, 1]; None for everywhere.
    """

    targets: list[dict[str, int]]
    sources: list[dict[str, int]]
    contrasts: list[dict[str, int]]
    pixels: torch.Tensor
    mask: torch.Tensor | None

    def repeat(self, count: int) -> EditInputs:
        """Returns the inputs with each entry `count` times, adjacent."""
        targets, sources, contrasts = (
            [entry for entry in part for _ in range(count)] for part in (self.targets, self.sources, self.contrasts)
        )
        mask = None if self.mask is None else self.mask.repeat_interleave(count, dim=0)
        return EditInputs(targets, sources, contrasts, self.pixels.repeat_interleave(count, dim=0), mask)

    def to(self, device: torch.device) -> EditInputs:
        """Returns the inputs with their tensors on a device."""
        mask = None if self.mask is None else self.mask.to(device)
        return EditInputs(self.targets, self.sources, self.contrasts, self.pixels.to(device), mask)

    def mask_like(self, latents: torch.Tensor) -> torch.Tensor | None:
        """Returns the mask at the size of latents: where any pixel changes, its latent does."""
        if self.mask is None:
            return None
        return functional.adaptive_max_pool2d(self.mask, latents.shape[-2:]).to(latents.dtype)

    def keep_outside_mask(self, images: torch.Tensor) -> torch.Tensor:
        """Puts the photographs' pixels where the mask is 0; `images` has the shape of `pixels`."""
        return images if self.mask is None else torch.lerp(self.pixels, images.float(), self.mask)


@dataclass(frozen=True)
class EditStart:
    """Where the denoising of an edit starts, and the unchanged photograph at each noise level.

    Attributes:
        levels: the noise levels of the run.
        reference: n + 1 latents of the photographs, from the first noise level to the clean ones.
        mask: where to change them, shape (N, 1, height, width) of the latents; None for everywhere.
    """

    levels: NoiseLevels
    reference: list[torch.Tensor]
    mask: torch.Tensor | None

    def keep_outside_mask(self, latents: torch.Tensor, level: int) -> torch.Tensor:
        """Puts the photographs' latents of this level where the mask is 0."""
        if self.mask is None:
            return latents
        return torch.lerp(self.reference[level].to(latents.dtype), latents, self.mask.to(latents.dtype))


def read_edit(conditions: Any, source_conditions: Any, image: Any, mask_image: Any, size: int) -> EditInputs:
    """Reads and checks the inputs of an edit. One image, condition or mask serves all entries of the others.

    Labels left out of `source_conditions` are unknown. Labels left out of `conditions` are as in the source, so an edit
    names only what should change.

    Args:
        conditions, source_conditions, image, mask_image: see `SynFundusPipeline.__call__`.
        size: side of the model's images in pixels.

    Raises:
        ConditionError: for an invalid condition.
        PhotographError: for an image or mask that cannot be read.
        ValueError: if the numbers or sizes do not fit.
    """
    images, masks = _as_list(image), [] if mask_image is None else _as_list(mask_image)
    changes = list_conditions(conditions)
    given = {} if source_conditions is None else source_conditions
    try:
        sources = complete_conditions(given, [UNKNOWN_CONDITION] * len(list_conditions(given)))
    except ConditionError as error:
        raise ConditionError(f"source_conditions: {error}") from None
    counts = {"image": images, "conditions": changes, "source_conditions": sources, "mask_image": masks}
    count = max(map(len, counts.values()))
    for name, entries in counts.items():
        if len(entries) not in (1, count) and not (name == "mask_image" and not entries):
            lengths = ", ".join(f"{other} {len(items)}" for other, items in counts.items() if items)
            raise ValueError(f"{name} has {len(entries)} entries, but must have 1 or {count}; given are {lengths}")
    sources = _repeat(sources, count)
    targets = complete_conditions(_repeat(changes, count), sources)
    pixels = _repeat([_read("image", number, entry, size) for number, entry in enumerate(images)], count)
    mask = None
    if masks:
        pairs = zip(_repeat(images, count), _repeat(masks, count), strict=True)
        mask = torch.stack([_read_mask(number, *pair, size) for number, pair in enumerate(pairs)])
    contrasts = [_contrast(*pair) for pair in zip(targets, sources, strict=True)]
    return EditInputs(targets, sources, contrasts, torch.stack(pixels), mask)


def _contrast(target: Mapping[str, int], source: Mapping[str, int]) -> dict[str, int]:
    """The source condition; where it is unknown, the usual contrast. So guidance strengthens only what changes."""
    usual = contrast_condition(target)
    return {name: usual[name] if value == UNKNOWN else value for name, value in source.items()}


def _repeat(entries: Sequence[Item], count: int) -> list[Item]:
    return list(entries) * count if len(entries) == 1 else list(entries)


def _as_list(images: Any) -> list[Any]:
    """Splits a batch into single images: of tensors and arrays with four axes the first one counts images."""
    if isinstance(images, (list, tuple)):
        return [single for entry in images for single in _as_list(entry)]
    if isinstance(images, (torch.Tensor, np.ndarray)) and images.ndim == 4:
        return list(images)
    return [images]


def _to_source(entry: Any) -> Source:
    """A tensor of shape (C, H, W) becomes an array of shape (H, W, C)."""
    if isinstance(entry, torch.Tensor):
        array = entry.detach().cpu()
        array = array.float() if array.is_floating_point() else array
        return (array.movedim(0, -1) if array.ndim == 3 else array).numpy()
    return entry


def _read(name: str, number: int, entry: Any, size: int) -> torch.Tensor:
    square = _named(name, number, lambda: read_photograph(_to_source(entry), size))
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).float() / 127.5 - 1


def _read_mask(number: int, image: Any, mask: Any, size: int) -> torch.Tensor:
    photograph = _named("image", number, lambda: decode_photograph(_to_source(image)))
    drawn = _named("mask_image", number, lambda: decode_photograph(_to_source(mask)).convert("L"))
    if drawn.size != photograph.size:
        raise ValueError(
            f"mask_image[{number}] has size {drawn.size}, but must have that of its image, {photograph.size}"
        )
    square = crop_like_photograph(drawn, photograph, size)
    return torch.from_numpy(np.array(square))[None].float() / 255


def _named(name: str, number: int, read: Callable[[], Image.Image]) -> Image.Image:
    try:
        return read()
    except PhotographError as error:
        raise PhotographError(f"{name}[{number}]: {error}") from error
