from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation.data.photographs import Photographs
from evaluation.errors import NotMeasurable
from evaluation.experiments.two_sample import tell_by_neighbours, tell_by_network, two_sample_test
from evaluation.measures.classifier_training import Schedule
from evaluation.measures.features import FeatureSpace
from tests.evaluation.studies import draw_photographs


@pytest.fixture(scope="module")
def sides() -> tuple[Photographs, Photographs]:
    """Two sets of phantoms from one distribution."""
    first, second = (draw_photographs(140, 32, seed, ("is_amd", "eye_side"), 2) for seed in (1, 2))
    return first, second


def greener(photographs: Photographs) -> Photographs:
    images = photographs.images.astype(int) + np.array([0, 45, 0])
    return replace(photographs, images=images.clip(0, 255).astype(np.uint8))


def colours(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1, 3).mean(axis=1).astype(np.float32)


@pytest.mark.parametrize("architecture", ["resnet", "vit"])
def test_a_network_tells_a_tint_and_does_not_tell_equal_sides(
    architecture: str, sides: tuple[Photographs, Photographs]
) -> None:
    tell = tell_by_network(architecture, Schedule(images_seen=160, batch_size=8, learning_rate=2e-3))
    accuracy, auc, p_value = two_sample_test(greener(sides[0]), sides[1], tell, seed=0)
    assert auc.low > 0.6 and accuracy.value > 0.6 and p_value < 0.05
    _, auc, p_value = two_sample_test(sides[0], sides[1], tell, seed=0)
    assert auc.low < 0.5 < auc.high and p_value > 0.05


def test_neighbours_tell_a_tint_and_do_not_tell_equal_sides(
    sides: tuple[Photographs, Photographs], tmp_path: Path
) -> None:
    tell = tell_by_neighbours(FeatureSpace("colours", colours, tmp_path))
    assert two_sample_test(greener(sides[0]), sides[1], tell, seed=0)[1].low > 0.6
    accuracy, auc, _ = two_sample_test(sides[0], sides[1], tell, seed=0)
    assert auc.low < 0.5 < auc.high and accuracy.low < 0.5 < accuracy.high


def test_no_patient_is_learned_from_and_asked_about(sides: tuple[Photographs, Photographs]) -> None:
    marked = [replace(side, images=side.images.copy()) for side in sides]
    for number, side in enumerate(marked):
        patients = np.unique(side.patients, return_inverse=True)[1] + 100 * number
        side.images[:, 0, 0, 0] = patients
    asked = []

    def tell(train: np.ndarray, truth: np.ndarray, test: np.ndarray) -> np.ndarray:
        asked.append((set(train[:, 0, 0, 0].tolist()), set(test[:, 0, 0, 0].tolist())))
        return np.random.default_rng(0).random(len(test))

    two_sample_test(marked[0], marked[1], tell, seed=0)
    assert not asked[0][0] & asked[0][1] and len(asked[0][1]) == 56


def test_too_few_images_are_not_measurable(sides: tuple[Photographs, Photographs], tmp_path: Path) -> None:
    tell = tell_by_neighbours(FeatureSpace("colours", colours, tmp_path))
    with pytest.raises(NotMeasurable, match="20 synthetic and 140 real images; at least 50"):
        two_sample_test(sides[0][np.arange(20)], sides[1], tell, seed=0)
