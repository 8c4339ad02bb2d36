import numpy as np

from evaluation.measures.vessels import dice, find_vessels


def eye_with_line(row: int) -> np.ndarray:
    """A round orange field with one dark horizontal line."""
    down, right = np.mgrid[-1:1:128j, -1:1:128j]
    image = np.where((np.hypot(down, right) < 0.95)[..., None], np.array([190, 100, 50]), 0).astype(np.uint8)
    image[row : row + 3, 24:104] = (110, 30, 20)
    return image


def test_a_dark_line_is_found_and_the_rim_is_not() -> None:
    vessels = find_vessels(eye_with_line(60))
    assert vessels[61, 30:98].all()
    assert not vessels[:, 2].any()
    assert not vessels[:4].any()


def test_the_same_eye_overlaps_and_moved_vessels_do_not() -> None:
    first, second = (find_vessels(eye_with_line(row))[50:80, 30:98] for row in (56, 70))
    assert dice(first, first) == 1
    assert dice(first, second) < 0.9
    assert dice(np.zeros(4, bool), np.zeros(4, bool)) == 1


def test_a_picture_without_a_field_has_no_vessels() -> None:
    assert not find_vessels(np.zeros((32, 32, 3), dtype=np.uint8)).any()
