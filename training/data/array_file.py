"""Large arrays on disk that are written in chunks: memory does not grow with them, and a killed run continues."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from synfundus.files import write_text

CHUNK = 64


def fill_array(
    path: Path,
    shape: tuple[int, ...],
    dtype: npt.DTypeLike,
    fill: Callable[[slice], np.ndarray],
    description: str,
) -> np.ndarray:
    """Writes a `.npy` file unless it exists, and opens it memory-mapped and read-only.

    The file has a hidden name until it is complete. After a kill the next call continues with the first chunk that was
    not complete, so the name must be derived from everything that the content depends on. One process at a time may
    fill a file.

    Args:
        path: the file.
        shape: shape of the array; it is filled along the first axis.
        dtype: its type, which may be a structured one.
        fill: returns the content of these rows.
        description: what the progress bar says.

    Returns:
        Array of this shape and type.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial, count = path.with_name(f".{path.name}.partial"), path.with_name(f".{path.name}.rows")
        done = int(count.read_text()) if partial.exists() and count.exists() else 0
        array = np.lib.format.open_memmap(partial, mode="r+" if done else "w+", dtype=np.dtype(dtype), shape=shape)
        with tqdm(total=shape[0], initial=done, desc=description, unit="image") as bar:
            for start in range(done, shape[0], CHUNK):
                rows = slice(start, min(start + CHUNK, shape[0]))
                array[rows] = fill(rows)
                array.flush()
                write_text(count, str(rows.stop))
                bar.update(rows.stop - rows.start)
        os.replace(partial, path)
        count.unlink(missing_ok=True)
    return np.load(path, mmap_mode="r")
