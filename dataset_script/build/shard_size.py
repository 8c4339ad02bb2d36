"""The default number of rows per shard: shards of about 500 MB, in a number that divides evenly among nodes."""

from __future__ import annotations

import math

from ..plan.condition_plan import ConditionPlan
from .image_format import encode_image, image_facts
from .shards import Source

# The size that the Hub recommends and that `push_to_hub` of datasets uses.
SHARD_BYTES = 500_000_000
# At least this many shards of FEW_ROWS or more: eight devices can share the work, and an interruption loses at most an
# eighth of it.
FEW_SHARDS, FEW_ROWS = 8, 64
# `split_dataset_by_node` assigns whole shards if their number is a multiple of the number of nodes.
LARGEST_DIVISOR = 64
SAMPLE = 16


def measure_image_bytes(plan: ConditionPlan, source: Source, image_format: str, num_rows: int) -> float:
    """Returns the mean size in bytes of the image files of a sample of rows.

    Args:
        plan: the plan of the rows.
        source: generates the images.
        image_format: a key of `image_format.FORMATS`.
        num_rows: rows of the dataset.
    """
    positions = sorted({number * num_rows // SAMPLE for number in range(SAMPLE)})
    images = source(plan.rows(positions))
    facts = image_facts(num_rows, "generator", "0123456789abcdef", plan.hash)
    return sum(len(encode_image(image, image_format, facts)) for image in images) / len(positions)


def choose_shard_rows(num_rows: int, image_bytes: float) -> int:
    """Returns the number of rows of a shard.

    Args:
        num_rows: rows of the dataset.
        image_bytes: mean size of an image file in bytes.
    """
    few = max(1, min(FEW_SHARDS, num_rows // FEW_ROWS))
    return math.ceil(num_rows / friendly_count(max(num_rows * image_bytes / SHARD_BYTES, few)))


def friendly_count(shards: float) -> int:
    """Returns an integer near `shards` that is divisible by many powers of two.

    Up to 8, this is the nearest power of two. Above, it is within 25 % of `shards`, and a multiple of the largest power
    of two up to `shards` / 2 and up to 64.
    """
    if shards < FEW_SHARDS:
        return 2 ** round(math.log2(max(shards, 1)))
    divisor = min(LARGEST_DIVISOR, 2 ** math.floor(math.log2(shards / 2)))
    return divisor * round(shards / divisor)
