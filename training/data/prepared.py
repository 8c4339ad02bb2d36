"""Prepares photographs and labels: converts a `datasets` source to square uint8 images and integer codes, cached."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_synfundus.photograph import FIELD_THRESHOLD
from synfundus.files import atomic_folder, write_text
from training.configuration.config import ConfigError, DataConfig
from training.data.labels import check_rules, read_codes
from training.data.photographs import CHUNK, write_photographs

PARTS = ("training", "validation", "test")
_ARRAYS = ("images", "codes", "groups", "sources", "native_sizes")


@dataclass(frozen=True)
class PreparedData:
    """Images and labels, ready to train on.

    Attributes:
        images: uint8 array, shape (N, resolution, resolution, 3), memory-mapped.
        codes: int8 array, shape (N, 16): the condition labels in the order of `CONDITION_NAMES`, -1 unknown.
        groups: strings, shape (N,): the group (patient) of the row.
        sources: strings, shape (N,): the set that the row comes from; empty if unknown.
        native_sizes: int32 array, shape (N,): the side of the original photograph in pixels; 0 if unknown.
        digest: SHA-256 of all of these, in hexadecimal digits.
    """

    images: np.ndarray
    codes: np.ndarray
    groups: np.ndarray
    sources: np.ndarray
    native_sizes: np.ndarray
    digest: str

    def __len__(self) -> int:
        return len(self.codes)

    def split(self, config: DataConfig, seed: int) -> dict[str, np.ndarray]:
        """Row numbers of each of the `PARTS`; no group has rows in two of them."""
        parts = choose_parts(self.groups, config, seed)
        return {part: np.flatnonzero(parts == part) for part in PARTS}


def choose_parts(groups: np.ndarray, config: DataConfig, seed: int) -> np.ndarray:
    """Assigns each group to a part of the split.

    The part depends only on the name of the group and the seed, so it stays the same when photographs are added.

    Args:
        groups: names of groups, shape (N,).
        config: its `validation_share` and `test_share` are used.
        seed: another seed gives another split.

    Returns:
        Strings of shape (N,), each one of `PARTS`.
    """
    names, rows = np.unique(groups, return_inverse=True)
    digests = [hashlib.sha256(f"{seed}:{name}".encode()).digest() for name in names]
    positions = np.array([int.from_bytes(digest[:8], "big") / 2**64 for digest in digests])
    bounds = [1 - config.validation_share - config.test_share, 1 - config.test_share]
    return np.array(PARTS)[np.searchsorted(bounds, positions, side="right")][rows]


def load_source(config: DataConfig) -> Any:
    """Opens the source with `datasets` without decoding its images.

    Raises:
        ConfigError: if the source cannot be read or lacks a column that the configuration names.
    """
    import datasets  # here, not above: machines without `datasets` train from a prepared cache

    try:
        table = datasets.load_dataset(config.source, config.name, split=config.split)
    except Exception as error:
        raise ConfigError(
            f"data.source {config.source!r} (name {config.name!r}, split {config.split!r}) cannot be "
            f"read by datasets: {error}"
        ) from error
    for field in ("image_column", "group_column", "source_column", "native_size_column"):
        column = getattr(config, field)
        if column is not None and column not in table.column_names:
            raise ConfigError(f"data.{field} is {column!r}, but the source has {', '.join(table.column_names)}")
    if len(table) == 0:
        raise ConfigError(f"data.source {config.source!r} has no rows")
    check_rules(config.label_rules, table.column_names)
    return table.cast_column(config.image_column, datasets.Image(decode=False))


def prepare_data(config: DataConfig, resolution: int, cache_dir: Path) -> PreparedData:
    """Decodes, crops and resizes every photograph once; a second call reads the finished cache.

    Args:
        config: where the photographs are.
        resolution: side of the square images, in pixels.
        cache_dir: parent folder of the cache, whose name is derived from the source (of a local directory, the names
            and sizes of its files) and from `resolution`.

    Raises:
        ConfigError: for a source or a label that cannot be used, and for photographs that cannot be decoded; the
            message lists all of them. With `config.skip_unusable` they are left out instead.
    """
    columns = [config.image_column, config.group_column, config.source_column, config.native_size_column]
    read: list[Any] = [config.source, config.name, config.split, columns]
    read += [config.label_rules] if config.label_rules else []
    read += ["skip unusable"] if config.skip_unusable else []
    key = json.dumps([read, _list_files(Path(config.source)), resolution, FIELD_THRESHOLD])
    final = cache_dir / f"images-{resolution}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    if not final.exists():
        with atomic_folder(final) as temporary:
            _write_cache(config, resolution, temporary)
    arrays = {name: np.load(final / f"{name}.npy", mmap_mode="r" if name == "images" else None) for name in _ARRAYS}
    return PreparedData(**arrays, digest=_digest(arrays, final / "digest.txt"))


def _digest(arrays: dict[str, np.ndarray], path: Path) -> str:
    """SHA-256 of the prepared photographs, labels, groups, sources and sizes; computed once and kept in a file."""
    if not path.exists():
        digest = hashlib.sha256()
        for name, array in arrays.items():
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            for start in range(0, len(array), CHUNK):
                digest.update(np.ascontiguousarray(array[start : start + CHUNK]).tobytes())
        write_text(path, digest.hexdigest())
    return path.read_text(encoding="utf-8")


def _list_files(folder: Path) -> list[tuple[str, int]]:
    """Names and sizes of a folder's files; nothing for a Hub id."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted((path.relative_to(folder).as_posix(), path.stat().st_size) for path in files)


def _write_cache(config: DataConfig, resolution: int, folder: Path) -> None:
    table = load_source(config)
    codes = read_codes(table, config.label_rules)
    columns = {
        "codes": codes,
        "groups": np.array(_column(table, config.group_column, range(len(table))), dtype=str),
        "sources": np.array(_column(table, config.source_column, [""] * len(table)), dtype=str),
        "native_sizes": np.array(_column(table, config.native_size_column, [0] * len(table)), dtype=np.int32),
    }
    cells = table[config.image_column]
    kept = write_photographs(cells, resolution, folder / "images.npy", config.skip_unusable)
    for name, values in columns.items():
        np.save(folder / f"{name}.npy", values[kept])


def _column(table: Any, name: str | None, default: Any) -> list[Any]:
    """A column of the source as a list; `default` where the configuration names none."""
    return list(default if name is None else table[name])
