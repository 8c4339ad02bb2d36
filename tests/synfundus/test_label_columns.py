import datasets
import pytest

from pipeline_synfundus.labels import CONDITION_NAMES, UNKNOWN, ConditionError
from synfundus.label_columns import read_label_columns

COLUMNS = [CONDITION_NAMES.index(name) for name in ("dr_grade", "is_dme", "is_fundus", "is_macular_readable")]


def test_labels_without_a_column_are_unknown_and_the_rows_keep_their_order() -> None:
    codes = read_label_columns(datasets.Dataset.from_dict({"dr_grade": [3, None, 0], "note": ["a", "b", "c"]}), "set")
    assert codes.shape == (3, 16)
    assert codes[:, 0].tolist() == [3, UNKNOWN, 0]
    assert (codes[:, 1:] == UNKNOWN).all()


def test_a_value_that_another_label_of_the_row_excludes_is_unknown() -> None:
    table = datasets.Dataset.from_dict(
        {
            "dr_grade": [2, 0, 0, None],
            "is_dme": [1, 1, 0, 1],
            "is_fundus": [1, 0, 1, 0],
            "is_macular_readable": [0, 1, 1, 0],
        }
    )
    codes = read_label_columns(table, "set")
    assert codes[:, COLUMNS].tolist() == [[2, 1, 1, 0], [0, UNKNOWN, 0, UNKNOWN], [0, 0, 1, 1], [UNKNOWN, 1, 0, 0]]


def test_a_value_that_is_not_allowed_is_named_with_its_row() -> None:
    with pytest.raises(ConditionError, match="row 1 of set: is_gc is 7"):
        read_label_columns(datasets.Dataset.from_dict({"is_gc": [0, 7]}), "set")
