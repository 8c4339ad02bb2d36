"""The checks of the images of a dataset."""

from __future__ import annotations

import hashlib
import io
import math
import random
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from synfundus.cores import available_cores

from ..build.folder import BuildFolder
from ..build.image_format import FORMATS, image_facts, read_facts
from ..build.record import GenerationRecord, Shard
from .checks import Checks

# A sample is taken from this many row groups, because each has to be read completely. A larger sample uses more row
# groups, with this many images of each.
SAMPLED_GROUPS, IN_A_GROUP = 16, 64
DIGEST_BYTES = 16

# Row groups of a shard, each with the positions of the images to check.
Chosen = Sequence[tuple[int, Sequence[int]]]


class _Look(NamedTuple):
    """The result of decoding one image file: an error, or its format, its provenance and a digest of its pixels."""

    error: str = ""
    shape: str = ""
    facts: Mapping[str, str] = {}
    digest: bytes = b""


def _look(file: bytes) -> _Look:
    try:
        with Image.open(io.BytesIO(file)) as image:
            facts = read_facts(image)
            pixels = image.tobytes()
            shape = _shape(image.format or "", image.mode, image.size)
    except (OSError, SyntaxError, ValueError) as error:  # Pillow calls a broken PNG a SyntaxError
        return _Look(error=f"cannot be decoded: {error}")
    return _Look("", shape, facts, hashlib.blake2b(pixels, digest_size=DIGEST_BYTES).digest())


def _shape(image_format: str, mode: str, size: Sequence[int]) -> str:
    return f"{image_format} {mode} {size[0]}x{size[1]}"


def choose_sample(folder: BuildFolder[GenerationRecord], sample: int) -> dict[Shard, list[tuple[int, list[int]]]]:
    """Returns a random sample of images: shard number to row groups and positions in them."""
    groups = []
    for shard in folder.record.shards:
        try:
            metadata = pq.read_metadata(folder.file("default", shard))
        except (OSError, pa.ArrowException):
            continue  # other checks report it
        groups += [(shard, group, metadata.row_group(group).num_rows) for group in range(metadata.num_row_groups)]
    random.shuffle(groups)
    groups = groups[: max(SAMPLED_GROUPS, sample // IN_A_GROUP)]
    chosen: dict[Shard, list[tuple[int, list[int]]]] = {}
    left = sample
    for number, (shard, group, rows) in enumerate(sorted(groups, key=lambda entry: entry[2])):  # short row groups first
        part = min(rows, math.ceil(left / (len(groups) - number)))
        chosen.setdefault(shard, []).append((group, sorted(random.sample(range(rows), part))))
        left -= part
    return chosen


class ImageChecker:
    """Checks images, shard by shard, and stores a digest of each.

    Args:
        folder: the dataset.
        checks: collects the problems.
    """

    def __init__(self, folder: BuildFolder[GenerationRecord], checks: Checks) -> None:
        self._folder = folder
        self._checks = checks
        self._stated: str | None = None
        self._digests = bytearray()
        self._seen: list[int] = []

    def check_shard(self, shard: Shard, idx: np.ndarray | None, chosen: Chosen | None) -> None:
        """Checks the images of a shard.

        Args:
            shard: the shard.
            idx: the numbers of its rows; if None, because they could not be read, nothing is checked.
            chosen: the images to check, see `choose_sample`; all if None.
        """
        if idx is None:
            return
        path, stated = self._folder.file("default", shard), self._state(shard)
        try:
            with pq.ParquetFile(path) as file, ThreadPoolExecutor(available_cores()) as pool:
                first = 0
                wanted = None if chosen is None else dict(chosen)
                for group in range(file.num_row_groups):
                    rows = range(file.metadata.row_group(group).num_rows)
                    positions = rows if wanted is None else wanted.get(group, [])
                    if positions:
                        column = file.read_row_group(group, columns=["image"])["image"].combine_chunks()
                        files = [column[position]["bytes"].as_py() for position in positions]
                        numbers = [int(idx[first + position]) for position in positions]
                        self._judge(numbers, list(pool.map(_look, files)), stated)
                    first += len(rows)
        except (OSError, pa.ArrowException) as error:
            self._checks.images.add(
                f"{path.relative_to(self._folder.path)} cannot be read: {str(error).splitlines()[0]}"
            )

    def _judge(self, numbers: Sequence[int], looks: Sequence[_Look], stated: str) -> None:
        record = self._folder.record
        for idx, look in zip(numbers, looks, strict=True):
            problem = look.error or (f"is {look.shape}, not {stated}" if look.shape != stated else "")
            self._checks.images.add(*([f"idx {idx} {problem}"] if problem else []), checked=1)
            if look.error:
                continue
            wanted = image_facts(idx, record.generator, record.generator_revision, record.plan_hash)
            self._checks.facts.add(*([f"idx {idx} says {dict(look.facts)}"] if look.facts != wanted else []), checked=1)
            self._seen.append(idx)
            self._digests += look.digest

    def _state(self, shard: Shard) -> str:
        """Returns the format of a shard's images according to its manifest, which must be the same in all shards."""
        try:
            size = self._folder.read_manifest(shard)["files"]["default"]["image_size"]
            stated = _shape(FORMATS[self._folder.record.image_format].name, "RGB", size)
        except (OSError, ValueError, LookupError, TypeError):
            return "the format in the manifest, which cannot be read"
        self._stated = self._stated or stated
        if stated != self._stated:
            self._checks.images.add(f"shard {shard.name} has {stated}, but earlier ones have {self._stated}")
        return stated

    def check_identical(self) -> None:
        """Finds identical images by their digests of 16 bytes: 16 MB for a million images."""
        halves = np.frombuffer(bytes(self._digests), dtype=np.uint64).reshape(-1, 2)
        order = np.lexsort((halves[:, 1], halves[:, 0]))
        same = np.flatnonzero((halves[order[1:]] == halves[order[:-1]]).all(axis=1))
        problems = [f"idx {self._seen[order[at]]} and {self._seen[order[at + 1]]}" for at in same]
        self._checks.identical.add(*problems, checked=len(halves))
