import numpy as np

from benchmarks.dataset_replay import ReplaySource
from dataset_script.plan.condition_plan import load_plan

PICTURES = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((5, 2, 2, 3), np.uint8)


def replayed(numbers):
    plan = load_plan()
    return ReplaySource(PICTURES)([plan.row(idx) for idx in numbers])[:, 0, 0, 0].tolist()


def test_each_row_has_its_picture_in_any_batch():
    assert replayed([0, 1, 2]) == [0, 1, 2]
    assert replayed(range(5, 10)) == [0, 1, 2, 3, 4]
    assert replayed(range(3, 11)) == [3, 4, 0, 1, 2, 3, 4, 0]
    assert replayed([1_000_001, 4, 12]) == [1, 4, 2]
