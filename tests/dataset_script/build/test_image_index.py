from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from dataset_script.build.image_index import ImageFinder, image_ranges
from dataset_script.build.shard_writer import parquet_file
from dataset_script.schema import ROW_GROUP, features

NOISE = np.random.default_rng(0).bytes(100_000)
# Of equal size, and the same up to their last byte.
ALIKE = [NOISE[:1000] + bytes([number]) for number in range(5)]


def finder(images: list[bytes]) -> ImageFinder:
    column = pa.StructArray.from_arrays([pa.array(images, pa.binary())], names=["bytes"])
    return ImageFinder(pa.chunked_array([column]), Path("file"))


def stored(image: bytes) -> bytes:
    return len(image).to_bytes(4, "little") + image


def test_images_that_differ_in_one_byte_are_not_taken_for_each_other():
    found = finder([ALIKE[2], ALIKE[4]])
    found.look(b"".join(map(stored, ALIKE)), 50)
    assert found.ranges() == [(50 + 2 * 1005 + 4, 1001), (50 + 4 * 1005 + 4, 1001)]


def test_images_are_found_in_several_parts_of_a_file():
    found = finder(ALIKE)
    found.look(b"header", 0)
    found.look(stored(ALIKE[0]) + stored(ALIKE[1]), 6)
    found.look(b"header", 2016)
    found.look(b"".join(map(stored, ALIKE[2:])), 2022)
    assert found.ranges() == [(start, 1001) for start in (10, 1015, 2026, 3031, 4036)]


def test_an_image_in_two_parts_is_an_error():
    found = finder(ALIKE[:1])
    found.look(stored(ALIKE[0])[:500], 0)
    found.look(stored(ALIKE[0])[500:], 500)
    with pytest.raises(ValueError, match="an image of file is not stored in one piece"):
        found.ranges()


def test_the_ranges_known_while_writing_are_those_in_the_file(tmp_path):
    """Images of very different sizes, in three row groups with several pages each, written in two tables."""
    schema = features().arrow_schema
    sizes = np.random.default_rng(1).integers(1, len(NOISE), 2 * ROW_GROUP + 10)
    images = [NOISE[-size:] for size in sizes.tolist()]
    columns = {name: [0] * len(images) for name in schema.names if name != "image"}
    columns["image"] = [{"bytes": image, "path": None} for image in images]
    table, path = pa.table(columns, schema=schema), tmp_path / "images.parquet"
    with parquet_file(path, schema) as file:
        file.write(table[: ROW_GROUP + 7])
        file.write(table[ROW_GROUP + 7 :])
    content = path.read_bytes()
    assert [content[start : start + size] for start, size in file.image_ranges] == images
    assert file.image_ranges == image_ranges(path)
