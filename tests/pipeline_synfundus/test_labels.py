import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest

from pipeline_synfundus import labels
from pipeline_synfundus.labels import (
    CARDINALITIES,
    CONDITION_LABELS,
    CONDITION_NAMES,
    LABEL_NAMES,
    READABILITY,
    ConditionError,
    complete_condition,
    complete_conditions,
    contrast_condition,
    describe,
    from_codes,
    get_label,
    parse_value,
    to_codes,
)

PUBLISHED = [
    *["dr_grade", "is_amd", "is_aon", "is_crp", "is_dm", "is_dme", "is_em", "is_gc", "is_htr", "is_pm", "is_rvo"],
    *["is_fundus", "is_macular_readable", "is_optic_disc_readable", "is_retinal_region_readable"],
]


def test_names_and_order_are_those_of_the_published_release() -> None:
    assert list(LABEL_NAMES) == PUBLISHED
    assert list(CONDITION_NAMES) == [*PUBLISHED, "eye_side"]
    assert (5, *[2] * 15) == CARDINALITIES


def test_every_label_has_a_full_name_and_an_explanation() -> None:
    assert len({label.full_name for label in CONDITION_LABELS}) == 16
    assert all(label.explanation.endswith(".") for label in CONDITION_LABELS)


def test_neither_torch_nor_datasets_is_imported() -> None:
    code = "import sys, pipeline_synfundus.labels; print(sorted({'torch', 'diffusers', 'datasets'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_file_alone_needs_only_the_standard_library(tmp_path: Path) -> None:
    """As diffusers copies it, in an isolated Python without installed packages."""
    (tmp_path / "labels.py").write_bytes(Path(labels.__file__).read_bytes())
    code = "import sys; sys.path.insert(0, sys.argv[1]); import labels; print(labels.complete_condition({'is_gc': 1}))"
    command = [sys.executable, "-I", "-S", "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == str(complete_condition({"is_gc": 1}))


def test_what_is_left_out_is_healthy_and_readable_and_either_eye() -> None:
    complete = complete_condition({})
    assert [complete[name] for name in LABEL_NAMES] == [0] * 11 + [1] * 4
    assert complete["eye_side"] == -1


@pytest.mark.parametrize("value", [None, -1, -1.0, float("nan"), np.nan, np.float32("nan"), pd.NA, np.int64(-1)])
def test_unknown_in_every_spelling(value: Any) -> None:
    assert parse_value("is_gc", value) == -1
    assert parse_value("dr_grade", value) == -1


@pytest.mark.parametrize("value", [1, True, 1.0, np.int64(1), np.uint8(1), np.float64(1), np.bool_(True)])
def test_one_in_every_spelling(value: Any) -> None:
    assert parse_value("is_gc", value) == 1


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("dr_grade", 5, r"dr_grade is 5; allowed are 0 to 4, or None or -1 for unknown"),
        ("dr_grade", -2, r"dr_grade is -2; allowed are 0 to 4"),
        ("is_gc", 2, r"is_gc is 2; allowed are 0 to 1"),
        ("is_gc", "1", r"is_gc is '1' of type str; allowed are the integers 0 to 1"),
        ("is_gc", 0.5, r"is_gc is 0.5 of type float"),
        ("is_gc", float("inf"), r"is_gc is inf of type float"),
        ("is_gc", [1], r"is_gc is \[1\] of type list"),
        ("dr_grade", True, r"dr_grade is True of type bool"),
        ("dr_grade", np.bool_(True), r"dr_grade is .*True.* of type bool"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(name: str, value: Any, message: str) -> None:
    with pytest.raises(ConditionError, match=message):
        complete_condition({name: value})


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("dr_grad", "dr_grade"),
        ("is_gcc", "is_gc"),
        ("is_maculr_readable", "is_macular_readable"),
        ("eyeside", "eye_side"),
        ("IS_GC", "is_gc"),
    ],
)
def test_a_misspelt_label_gets_a_suggestion(name: str, suggestion: str) -> None:
    with pytest.raises(ConditionError, match=f"unknown label '{name}'; did you mean '{suggestion}'"):
        complete_condition({name: 1})


def test_a_label_like_no_other_gets_the_list() -> None:
    with pytest.raises(ConditionError, match=r"unknown label 'cataract'; allowed are dr_grade, is_amd, .*, eye_side"):
        complete_condition({"cataract": 1})


def test_an_unusable_photograph_has_nothing_readable() -> None:
    for given in ({}, {"is_macular_readable": None}, {"is_retinal_region_readable": 0}):
        complete = complete_condition({"is_fundus": 0, **given})
        assert [complete[name] for name in LABEL_NAMES[11:]] == [0, 0, 0, 0]
    with pytest.raises(ConditionError, match=r"is_optic_disc_readable is 1, but is_fundus is 0; .* allows only"):
        complete_condition({"is_fundus": 0, "is_optic_disc_readable": 1})


def test_edema_needs_retinopathy_or_an_unknown_grade() -> None:
    assert complete_condition({"is_dme": 1, "dr_grade": 1})["dr_grade"] == 1
    assert complete_condition({"is_dme": 1, "dr_grade": None})["dr_grade"] == -1
    with pytest.raises(ConditionError, match=r"is_dme is 1, but dr_grade is 0; .* allows dr_grade 1 to 4"):
        complete_condition({"is_dme": 1, "dr_grade": 0})
    with pytest.raises(ConditionError, match="is_dme is 1, but dr_grade was left out, which means 0"):
        complete_condition({"is_dme": 1})


@pytest.mark.parametrize("condition", ["dr_grade", 3, None, [("dr_grade", 3)]])
def test_a_condition_is_a_mapping(condition: Any) -> None:
    with pytest.raises(ConditionError, match="a condition is a mapping from label names to values"):
        complete_condition(condition)


def test_one_mapping_a_list_and_tables_are_conditions() -> None:
    rows = [{"dr_grade": 2, "is_gc": 1}, {"dr_grade": 0, "is_gc": -1}]
    expected = [complete_condition(row) for row in rows]
    assert complete_conditions(rows[0]) == expected[:1]
    assert complete_conditions(rows) == expected
    assert complete_conditions(pd.DataFrame(rows)) == expected
    assert complete_conditions(datasets.Dataset.from_list(rows)) == expected
    assert complete_conditions(row for row in rows) == expected


def test_gaps_in_a_pandas_table_are_unknown() -> None:
    table = pd.DataFrame({"dr_grade": [3, None], "is_gc": pd.array([None, 1], dtype="Int8")})
    assert [(c["dr_grade"], c["is_gc"]) for c in complete_conditions(table)] == [(3, -1), (-1, 1)]


def test_a_row_of_the_dataset_is_a_condition_as_it_is() -> None:
    assert complete_conditions([{"image": object(), "idx": 7, "is_gc": 1}])[0]["is_gc"] == 1


def test_a_table_and_its_rows_are_conditions_as_the_release_has_them() -> None:
    table = pd.DataFrame([{"file_name": "0/0.png", "dr_grade": 2}, {"file_name": "0/1.png", "dr_grade": 4}])
    assert [condition["dr_grade"] for condition in complete_conditions(table)] == [2, 4]
    assert [condition["dr_grade"] for condition in complete_conditions([row for _, row in table.iterrows()])] == [2, 4]
    assert complete_conditions(table.iloc[1]) == [complete_condition({"dr_grade": 4})]


def test_an_error_in_a_list_names_the_row() -> None:
    with pytest.raises(ConditionError, match=r"conditions\[1\]: is_gc is 7"):
        complete_conditions([{}, {"is_gc": 7}])


@pytest.mark.parametrize(("conditions", "message"), [([], "is empty"), ("is_gc", "conditions is 'is_gc'"), (4, "is 4")])
def test_what_is_no_condition_is_refused(conditions: Any, message: str) -> None:
    with pytest.raises(ConditionError, match=message):
        complete_conditions(conditions)


def test_codes_and_conditions_are_each_others_inverse() -> None:
    complete = complete_condition({"dr_grade": 4, "is_rvo": None, "is_macular_readable": 0, "eye_side": 1})
    assert to_codes(complete) == [4, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1, 1, 0, 1, 1, 1]
    assert from_codes(to_codes(complete)) == complete
    assert from_codes(np.array(to_codes(complete), dtype=np.int8)) == complete
    with pytest.raises(ConditionError, match="3 values given; allowed are 16"):
        from_codes([0, 1, 2])
    with pytest.raises(ConditionError, match="dr_grade is 9; allowed are 0 to 4"):
        from_codes([9] + [0] * 15)


def test_descriptions_say_what_is_asked_for() -> None:
    def words(**condition: Any) -> str:
        return describe(complete_condition(condition))

    assert words() == "healthy, readable"
    assert words(dr_grade=3, eye_side=1) == "severe NPDR (DR grade 3), left eye"
    assert words(dr_grade=4) == "proliferative DR (grade 4)"
    assert words(is_gc=1, is_rvo=None) == "glaucoma, retinal vein occlusion unknown"
    assert words(is_macular_readable=0) == "macula unreadable"
    assert "not a usable fundus photograph" in words(is_fundus=0)


UNKNOWN_READABILITY = dict.fromkeys([label.name for label in READABILITY])


@pytest.mark.parametrize(
    ("condition", "contrast"),
    [
        ({"dr_grade": 3, "is_dme": 1, "eye_side": 1}, {"eye_side": 1, **UNKNOWN_READABILITY}),
        ({"is_gc": 1, "is_em": None}, {"is_em": None, **UNKNOWN_READABILITY}),
        ({"is_fundus": 0}, {}),
        ({"is_macular_readable": 0}, {**UNKNOWN_READABILITY, "is_macular_readable": 1}),
        ({"eye_side": 1}, {"eye_side": 1, **UNKNOWN_READABILITY}),
        ({}, UNKNOWN_READABILITY),
        (dict.fromkeys(CONDITION_NAMES), dict.fromkeys(CONDITION_NAMES)),
    ],
)
def test_the_contrast_is_the_same_eye_without_what_is_asked_for(condition: dict, contrast: dict) -> None:
    assert contrast_condition(complete_condition(condition)) == complete_condition(contrast)


def test_the_name_of_an_unknown_value_is_not_that_of_the_last_one() -> None:
    grade = get_label("dr_grade")
    assert [grade.value_name(value) for value in (-1, 0, 4)] == ["unknown", "none", "proliferative DR"]
    with pytest.raises(ConditionError, match="dr_grade is 5; allowed are 0 to 4"):
        grade.value_name(5)
