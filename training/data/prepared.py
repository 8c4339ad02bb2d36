"""Photographs and labels: any `datasets` source becomes square uint8 images and integer codes in one cache."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from pipeline_synfundus.labels import CONDITION_NAMES, UNKNOWN, ConditionError, parse_value
from pipeline_synfundus.photograph import FIELD_THRESHOLD, crop_to_field
from training.configuration.config import ConfigError, DataConfig


@dataclass(frozen=True)
class PreparedData:
    """Images and labels, ready to train on.

    Attributes:
        images: uint8 array, shape (N, resolution, resolution, 3), memory-mapped.
        codes: int8 array, shape (N, 16): the condition labels in the order of `CONDITION_NAMES`, -1 unknown.
        groups: int64 array, shape (N,): the number of the row's group (patient).
    """

    images: np.ndarray
    codes: np.ndarray
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.codes)

    def split(self, validation_share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers of the training and the validation part; no group stands in both."""
        is_validation = np.isin(self.groups, choose_held_out(self.groups, validation_share, seed))
        return np.flatnonzero(~is_validation), np.flatnonzero(is_validation)


def choose_held_out(groups: np.ndarray, share: float, seed: int) -> np.ndarray:
    """The groups (their numbers, or their names) that training holds out for validation."""
    unique = np.unique(groups)
    return np.random.default_rng([seed, 1]).permutation(unique)[: round(len(unique) * share)]


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
    for field, column in (("image_column", config.image_column), ("group_column", config.group_column)):
        if column is not None and column not in table.column_names:
            raise ConfigError(f"data.{field} is {column!r}, but the source has {', '.join(table.column_names)}")
    if len(table) == 0:
        raise ConfigError(f"data.source {config.source!r} has no rows")
    return table.cast_column(config.image_column, datasets.Image(decode=False))


def read_codes(table: Any) -> np.ndarray:
    """Reads the label columns; a column the source lacks is unknown in every row.

    Returns:
        int8 array of shape (N, 16), -1 unknown.

    Raises:
        ConfigError: for a value that is not allowed; the message names the row.
    """
    codes = np.full((len(table), len(CONDITION_NAMES)), UNKNOWN, dtype=np.int8)
    for column, name in enumerate(CONDITION_NAMES):
        if name not in table.column_names:
            continue
        for row, value in enumerate(table[name]):
            try:
                codes[row, column] = parse_value(name, value)
            except ConditionError as error:
                raise ConfigError(f"row {row} of the source: {error}") from None
    return codes


def _decode(cell: dict[str, Any], row: int, resolution: int) -> np.ndarray:
    try:
        source = io.BytesIO(cell["bytes"]) if cell.get("bytes") else cell["path"]
        with Image.open(source) as image:
            return np.asarray(crop_to_field(image.convert("RGB"), resolution))
    except OSError as error:
        raise ConfigError(f"the image in row {row} of the source cannot be read: {error}") from error


def prepare_data(config: DataConfig, resolution: int, cache_dir: Path) -> PreparedData:
    """Decodes, crops and resizes every photograph once; a second call reads the finished cache.

    Args:
        config: where the photographs are.
        resolution: side of the square images, in pixels.
        cache_dir: the cache's parent. The cache's name is derived from what is read (of a local directory, the names
            and sizes of its files) and from `resolution`.

    Raises:
        ConfigError: for a source, an image or a label that cannot be used.
    """
    read = [config.source, config.name, config.split, config.image_column, config.group_column]
    key = json.dumps([read, _list_files(Path(config.source)), resolution, FIELD_THRESHOLD])
    final = cache_dir / f"images-{resolution}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    if not final.exists():
        temporary = final.with_name(f"{final.name}.{os.getpid()}.tmp")
        temporary.mkdir(parents=True)
        try:
            _write_cache(config, resolution, temporary)
            os.replace(temporary, final)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return PreparedData(
        images=np.load(final / "images.npy", mmap_mode="r"),
        codes=np.load(final / "codes.npy"),
        groups=np.load(final / "groups.npy"),
    )


def _list_files(folder: Path) -> list[tuple[str, int]]:
    """Names and sizes of a folder's files; nothing for a Hub id."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted((path.relative_to(folder).as_posix(), path.stat().st_size) for path in files)


def _write_cache(config: DataConfig, resolution: int, folder: Path) -> None:
    table = load_source(config)
    codes = read_codes(table)
    names = table[config.group_column] if config.group_column else range(len(table))
    groups = np.unique([str(name) for name in names], return_inverse=True)[1]
    shape = (len(table), resolution, resolution, 3)
    images = np.lib.format.open_memmap(folder / "images.npy", mode="w+", dtype=np.uint8, shape=shape)
    cells = tqdm(table[config.image_column], desc=f"preparing {resolution}x{resolution} images", unit="image")
    for row, cell in enumerate(cells):
        images[row] = _decode(cell, row, resolution)
    images.flush()
    np.save(folder / "codes.npy", codes)
    np.save(folder / "groups.npy", groups)
