import numpy as np
import pytest

from dataset_script.build.record import BuildRecord
from dataset_script.build.shard_size import SHARD_BYTES, choose_shard_rows, friendly_count, measure_image_bytes
from dataset_script.plan.condition_plan import load_plan


@pytest.mark.parametrize("shards", [*np.linspace(8, 12, 30), *np.geomspace(12, 20_000, 300)])
def test_many_shards_are_near_the_number_wanted_and_divisible(shards):
    count = friendly_count(shards)
    assert 0.75 <= count / shards <= 1.25
    divisor = next(power for power in (64, 32, 16, 8, 4) if count % power == 0)
    assert divisor >= min(64, shards / 4)


@pytest.mark.parametrize(
    ("shards", "count"), [(0.1, 1), (1, 1), (1.4, 1), (1.5, 2), (3, 4), (5, 4), (7, 8), (100, 96), (160, 128)]
)
def test_numbers_of_shards(shards, count):
    assert friendly_count(shards) == count


@pytest.mark.parametrize(
    ("num_rows", "image_bytes", "shard_rows"),
    [(1, 0, 1), (64, 0, 64), (512, 0, 64), (20_000, 20_000, 2500), (1_000_000, 80_000, 7813)],
)
def test_rows_of_a_shard(num_rows, image_bytes, shard_rows):
    assert choose_shard_rows(num_rows, image_bytes) == shard_rows


@pytest.mark.parametrize("image_bytes", [15_000, 80_000, 400_000])
def test_a_million_rows_give_shards_near_500_mb_in_few_files(image_bytes):
    rows = choose_shard_rows(1_000_000, image_bytes)
    assert 0.75 <= rows * image_bytes / SHARD_BYTES <= 1.34
    assert 1_000_000 / rows < 10_000


def test_the_size_of_an_image_is_measured_over_the_whole_plan():
    asked = []

    def source(rows):
        asked.extend(row.idx for row in rows)
        noise = np.random.default_rng(0).integers(0, 256, (len(rows), 32, 32, 3), np.uint8)
        noise[::2] = 7
        return noise

    measured = measure_image_bytes(load_plan(), source, "png", 1600)
    assert asked == list(range(0, 1600, 100))
    assert 32 * 32 * 3 / 2 < measured < 32 * 32 * 3 / 2 + 1000


def test_the_number_of_shards_counts_a_shorter_last_one():
    def shards(num_rows, shard_rows):
        return BuildRecord(num_rows=num_rows, shard_rows=shard_rows, splits={"train": num_rows}).num_shards

    assert [shards(10, 5), shards(11, 5), shards(1, 5)] == [2, 3, 1]
