from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.cache import write_rows
from evaluation.data.images import as_images, join, open_images


@pytest.fixture
def array() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)


def test_images_on_disk_are_read_like_an_array(array: np.ndarray, tmp_path: Path) -> None:
    write_rows(tmp_path / "images.npy", 20, (array[start : start + 6] for start in range(0, 20, 6)))
    images = open_images(tmp_path / "images.npy")
    assert images.shape == array.shape and np.array_equal(np.load(tmp_path / "images.npy"), array)
    rows = np.array([3, 3, 19, 0])
    assert np.array_equal(images[rows], array[rows]) and np.array_equal(images[5], array[5])
    assert np.array_equal(images[4:9], array[4:9]) and np.array_equal(np.stack(list(images)), array)
    assert np.array_equal(images.select(rows)[1:3], array[rows][1:3])
    assert [len(batch) for batch in images.batches(8)] == [8, 8, 4]


def test_joined_images_keep_their_order(array: np.ndarray, tmp_path: Path) -> None:
    write_rows(tmp_path / "images.npy", 20, [array])
    joined = join([open_images(tmp_path / "images.npy").select(np.arange(4)), array[10:12]])
    assert np.array_equal(joined[np.arange(6)], np.concatenate([array[:4], array[10:12]]))
    assert isinstance(join([array, array]), np.ndarray)
    with pytest.raises(ValueError, match="allowed is one of each"):
        join([as_images(array), as_images(array).resized(8)])


def test_crop_flip_and_size_are_applied_when_images_are_read(array: np.ndarray) -> None:
    view = as_images(array).view((0.5, 1.0, 0.0), flipped=True)
    expected = Image.fromarray(array[2]).resize((16, 16), box=(0, 8, 8, 16))
    assert np.array_equal(view[2], np.asarray(expected)[:, ::-1])
    small = as_images(array).resized(4)
    assert small[3].shape == (4, 4, 3)
    assert np.allclose(small[3], array[3].reshape(4, 4, 4, 4, 3).mean(axis=(1, 3)), atol=1)


def test_the_fingerprint_changes_with_pixels_rows_and_view(array: np.ndarray) -> None:
    images = as_images(array)
    others = [as_images(array + 1), images.select(np.arange(19)), images.view(None, True), images.resized(8)]
    assert len({images.fingerprint, *(other.fingerprint for other in others)}) == 5
    assert as_images(array.copy()).fingerprint == images.fingerprint


def test_a_file_of_too_few_rows_is_not_left_behind(array: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the batches have 20 rows; 21 are needed"):
        write_rows(tmp_path / "images.npy", 21, [array])
    assert not any(tmp_path.iterdir())
