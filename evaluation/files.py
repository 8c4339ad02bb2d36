"""Files that are either whole or not there, and fingerprints of what they were made from."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Lets `write` fill a temporary file, which then takes the name `path` at once.

    Args:
        path: the file; its folder is made.
        write: given the temporary path, which has the suffix of `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 text file whole."""
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Writes JSON whole. NaN and infinities are refused: no table may hold them."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def cached_array(path: Path, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """Returns the array in the file `path`, after computing and writing it where it is not there."""
    if not path.exists():
        array = compute()
        write_whole(path, lambda temporary: np.save(temporary, array))
    return np.load(path)


def fingerprint(*parts: Any) -> str:
    """Returns sixteen hexadecimal digits for any mix of arrays, bytes and values that JSON can say."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        elif isinstance(part, bytes):
            digest.update(part)
        else:
            digest.update(json.dumps(part, sort_keys=True, default=str).encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]
