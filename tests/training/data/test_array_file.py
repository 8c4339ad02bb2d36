from pathlib import Path

import numpy as np
import pytest

from training.data.array_file import CHUNK, fill_array


def test_a_file_that_was_interrupted_is_continued_and_takes_its_name_when_complete(tmp_path: Path) -> None:
    path, calls = tmp_path / "squares.npy", []

    def fill(rows: slice) -> np.ndarray:
        calls.append(rows.start)
        if calls == [0, CHUNK]:
            raise KeyboardInterrupt
        return np.arange(rows.start, rows.stop)[:, None] ** 2

    shape = (3 * CHUNK - 1, 1)
    with pytest.raises(KeyboardInterrupt):
        fill_array(path, shape, np.int64, fill, "squares")
    assert not path.exists()
    array = fill_array(path, shape, np.int64, fill, "squares")
    assert calls == [0, CHUNK, CHUNK, 2 * CHUNK]
    assert np.array_equal(array[:, 0], np.arange(shape[0]) ** 2)
    assert [entry.name for entry in tmp_path.iterdir()] == ["squares.npy"]
    fill_array(path, shape, np.int64, fill, "squares")
    assert len(calls) == 4
