"""How many rows a shard has, where nobody says so: near 500 MB, in a number of shards that nodes can share evenly."""

from __future__ import annotations

import math

from ..plan.condition_plan import ConditionPlan
from .image_format import encode_image, image_facts
from .shards import Source

# The size that the Hub recommends and that datasets' own `push_to_hub` aims at.
SHARD_BYTES = 500_000_000
# Not fewer than this many shards, of FEW_ROWS or more: eight devices can share them, and an interruption loses at most
# an eighth of the work.
FEW_SHARDS, FEW_ROWS = 8, 64
# `split_dataset_by_node` gives each node whole shards if their number is a multiple of the number of nodes.
LARGEST_DIVISOR = 64
SAMPLE = 16


def measure_image_bytes(plan: ConditionPlan, source: Source, image_format: str, num_rows: int) -> float:
    """Returns the mean size of an image file, of rows spread over the dataset.

    Args:
        plan: gives the rows.
        source: makes the images.
        image_format: a key of `image_format.FORMATS`.
        num_rows: rows of the dataset.
    """
    positions = sorted({number * num_rows // SAMPLE for number in range(SAMPLE)})
    images = source([plan.row(idx) for idx in positions])
    facts = image_facts(num_rows, "generator", "0123456789abcdef", plan.hash)
    return sum(len(encode_image(image, image_format, facts)) for image in images) / len(positions)


def choose_shard_rows(num_rows: int, image_bytes: float) -> int:
    """Returns the number of rows of a shard.

    Args:
        num_rows: rows of the dataset.
        image_bytes: mean size of an image file.
    """
    few = max(1, min(FEW_SHARDS, num_rows // FEW_ROWS))
    return math.ceil(num_rows / friendly_count(max(num_rows * image_bytes / SHARD_BYTES, few)))


def friendly_count(shards: float) -> int:
    """Returns a whole number near `shards` that is divisible by many powers of two.

    Up to 8 the nearest power of two; then, within a quarter, a multiple of the largest one that is at most half of it,
    and at most 64.
    """
    if shards < FEW_SHARDS:
        return 2 ** round(math.log2(max(shards, 1)))
    divisor = min(LARGEST_DIVISOR, 2 ** math.floor(math.log2(shards / 2)))
    return divisor * round(shards / divisor)
