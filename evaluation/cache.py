"""Files of computed arrays, and fingerprints of what they were computed from: data, options and code."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from synfundus.files import atomic_file

ROOT = Path(__file__).parents[1]
PACKAGES = ("evaluation", "pipeline_synfundus", "synfundus")
# Libraries whose version can change a number.
LIBRARIES = ("accelerate", "diffusers", "numpy", "pillow", "scikit-learn", "scipy", "torch", "transformers")


def write_rows(path: Path, count: int, batches: Iterable[np.ndarray]) -> None:
    """Writes an array batch by batch as a `.npy` file, which appears under its name when it is complete.

    Args:
        path: the file.
        count: number of rows in all.
        batches: arrays of the same dtype and the same shape after the first axis; at least one.

    Raises:
        ValueError: if the batches do not have `count` rows together.
    """
    batches = iter(batches)
    first = next(batches)
    written = 0
    with atomic_file(path) as file:
        header = {"descr": np.lib.format.dtype_to_descr(first.dtype), "fortran_order": False}
        np.lib.format.write_array_header_2_0(file, {**header, "shape": (count, *first.shape[1:])})
        for batch in itertools.chain([first], batches):
            file.write(np.ascontiguousarray(batch, dtype=first.dtype).tobytes())
            written += len(batch)
        if written != count:
            raise ValueError(f"the batches have {written} rows; {count} are needed")


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


@functools.cache
def code_fingerprint(module: str) -> str:
    """Fingerprint of a module, of all modules of this project that it imports, and of the libraries' versions.

    Args:
        module: full name, for instance `evaluation.experiments.privacy`.
    """
    versions = [importlib.metadata.version(library) for library in LIBRARIES]
    sources = _imported_sources(module)
    return fingerprint(versions, *(part for name in sorted(sources) for part in (name, sources[name])))


def files_fingerprint(path: Path) -> str:
    """Fingerprint of the content of a file, or of all files in a folder."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    parts: list[Any] = []
    for file in files:
        with open(file, "rb") as content:
            parts += [str(file.relative_to(path)), hashlib.file_digest(content, "sha256").hexdigest()]
    return fingerprint(*parts)


def _imported_sources(module: str) -> dict[str, bytes]:
    """Source of the module and of all modules of `PACKAGES` that it imports, directly or not, also in functions."""
    found: dict[str, bytes] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        file = _source_file(name)
        if name in found or name.partition(".")[0] not in PACKAGES or file is None:
            continue
        found[name] = file.read_bytes()
        waiting += _imports(name, found[name], is_package=file.name == "__init__.py")
    return found


@functools.cache
def _imports(module: str, source: bytes, is_package: bool) -> list[str]:
    """Names of what a module with this source imports, and of what may be modules in it."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return names


def _source_file(module: str) -> Path | None:
    """The file of a module of this project, found without importing it; None if there is no such module."""
    path = ROOT.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)
