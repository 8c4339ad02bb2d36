"""Cached arrays, and fingerprints of what they were computed from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from synfundus.files import write_whole


def cached_array(path: Path, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """Reads the array in the file `path`; computes and writes it first if the file does not exist."""
    if not path.exists():
        array = compute()
        write_whole(path, lambda temporary: np.save(temporary, array))
    return np.load(path)


def fingerprint(*parts: Any) -> str:
    """Returns sixteen hexadecimal digits of a SHA-256 over arrays, bytes and JSON values, in their order."""
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
