import numpy as np
import pytest

from evaluation.data.images import as_images
from evaluation.measures import neighbours
from evaluation.measures.neighbours import FEATURE_CROPS, describe_thumbnail, nearest, views

PATIENTS = np.array([f"p{row // 2}" for row in range(12)])


def draw(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 24, 24, 3), dtype=np.uint8)


def all_distances(queries: np.ndarray, references: np.ndarray) -> np.ndarray:
    """The smallest distance over the views of each reference, shape (N, M)."""
    described = describe_thumbnail(queries)
    of_views = [describe_thumbnail(view) for view in views(as_images(references), FEATURE_CROPS)]
    return np.min([np.linalg.norm(described[:, None] - view[None], axis=2) for view in of_views], axis=0)


@pytest.mark.parametrize("known", [False, True], ids=["any patient", "of other patients"])
@pytest.mark.parametrize("chunk", [12, 5, 1])
def test_the_nearest_and_the_next_patient_are_found_whatever_the_chunks(
    chunk: int, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "REFERENCE_CHUNK", chunk)
    monkeypatch.setattr(neighbours, "DISTANCE_ROWS", 4)
    references, queries = draw(12, 0), draw(9, 1)
    references[1] = references[0] // 2 + 60  # two photographs of a patient look alike
    own = np.array([*PATIENTS[:8], "nobody"]) if known else None
    found = nearest(queries, references, describe_thumbnail, FEATURE_CROPS, own, PATIENTS)

    distances = all_distances(queries, references)
    if own is not None:
        distances[own[:, None] == PATIENTS[None]] = np.inf
    row = distances.argmin(axis=1)
    assert list(found.row) == list(row)
    assert found.distance == pytest.approx(distances.min(axis=1), abs=1e-3)
    distances[PATIENTS[row][:, None] == PATIENTS[None]] = np.inf
    assert found.next_distance == pytest.approx(distances.min(axis=1), abs=1e-3)
    assert (found.relative <= 1).all()


def test_a_copy_is_near_to_its_patient_alone() -> None:
    references = draw(12, 0)
    found = nearest(references[3:4], references, describe_thumbnail, FEATURE_CROPS, reference_patients=PATIENTS)
    assert found.row[0] == 3 and found.relative[0] < 0.05


def test_without_a_reference_of_another_patient_the_distance_is_infinite() -> None:
    images = draw(2, 0)
    patients = np.array(["a", "a"])
    found = nearest(images, images, describe_thumbnail, (), patients, patients)
    assert np.isinf(found.distance).all() and np.isnan(found.relative).all()
