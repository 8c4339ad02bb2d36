"""Decodes the photographs of a source to squares of one size, in one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_synfundus.photograph import PhotographError, read_photograph
from synfundus.photographs import list_problems, read_many
from training.configuration.config import ConfigError

# Images copied at a time.
CHUNK = 256


def write_photographs(cells: Sequence[dict[str, Any]], resolution: int, path: Path, skip_unusable: bool) -> np.ndarray:
    """Writes the photographs as a `.npy` file of uint8 images, shape (kept, resolution, resolution, 3).

    Args:
        cells: undecoded images as `datasets.Image(decode=False)` gives them: mappings with `bytes` or `path`.
        resolution: side of the squares in pixels.
        path: the file to write.
        skip_unusable: whether to leave out photographs that cannot be decoded.

    Returns:
        The numbers of the rows kept, in order, shape (kept,).

    Raises:
        ConfigError: for photographs that cannot be decoded, unless they are skipped, and if none is left; the message
            lists all of them.
    """
    images = _new_file(path, len(cells), resolution)
    kept: list[int] = []
    problems: list[str] = []
    results = read_many(lambda cell: _read(cell, resolution), cells, f"preparing {resolution}x{resolution} images")
    for row, image in enumerate(results):
        if isinstance(image, PhotographError):
            problems.append(f"row {row}: {image}")
            continue
        images[len(kept)] = image
        kept.append(row)
    images.flush()
    if problems:
        listed = f"{len(problems)} of {len(cells)} photographs cannot be used:\n{list_problems(problems)}"
        if not skip_unusable or not kept:
            raise ConfigError(f"{listed}\nreplace them, or continue without them with --skip-unusable")
        print(listed)
        _shorten(path, images, len(kept), resolution)
    return np.array(kept)


def _read(cell: dict[str, Any], resolution: int) -> np.ndarray:
    return np.asarray(read_photograph(cell["bytes"] or cell["path"], resolution))


def _new_file(path: Path, count: int, resolution: int) -> np.memmap:
    shape = (count, resolution, resolution, 3)
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)


def _shorten(path: Path, images: np.ndarray, count: int, resolution: int) -> None:
    """Replaces the file by one with the first `count` images."""
    part = path.with_name(f"{path.stem}-part.npy")
    shorter = _new_file(part, count, resolution)
    for start in range(0, count, CHUNK):
        shorter[start : start + CHUNK] = images[start : min(start + CHUNK, count)]
    shorter.flush()
    part.replace(path)
