import pandas as pd
import pytest

from dataset_script.plan.joint import Joint, JointError, parse_joint
from dataset_script.plan.plan_file import PlanError, parse_plan

PAIR = [{"weight": 3, "labels": {"is_gc": 1, "is_amd": 0}}, {"weight": 1, "labels": {"is_amd": 1, "is_gc": None}}]


def refusal(content, folder) -> str:
    with pytest.raises(JointError) as refused:
        parse_joint(content, folder)
    return str(refused.value)


def test_combinations_are_read_in_one_order(tmp_path):
    joint = parse_joint(PAIR, tmp_path)
    assert joint == Joint(("is_amd", "is_gc"), ((0, 1), (1, -1)), (3, 1))
    assert parse_joint(joint.content(), tmp_path) == parse_joint(PAIR[::-1], tmp_path) == joint


def test_each_combination_is_drawn_from_its_part_of_zero_to_one(tmp_path):
    joint = parse_joint(PAIR, tmp_path)
    assert [joint.draw(uniform)["is_amd"] for uniform in (0.0, 0.7499, 0.75, 0.9999, 1.0)] == [0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (7, "neither the path of a table nor a list"),
        ([], "neither the path of a table nor a list"),
        ([{"weight": 1}], "combination 0 is {'weight': 1}"),
        ([{"weight": 1.5, "labels": {"is_gc": 1}}], "weight is 1.5"),
        ([{"weight": 1, "labels": {}}], "labels is {}"),
        ([{"weight": 1, "labels": {"is_gx": 1}}], "did you mean 'is_gc'?"),
        ([{"weight": 1, "labels": {"is_gc": 2}}], "is_gc is 2; allowed are 0 to 1"),
        ([*PAIR, {"weight": 1, "labels": {"is_gc": 1}}], "combination 2 has other labels"),
        ([*PAIR, PAIR[0]], "combination 2 is a duplicate"),
        ("none.csv", "none.csv cannot be read"),
        ("none.parquet", "none.parquet cannot be read"),
        ("none.xlsx", "neither a .csv nor a .parquet"),
    ],
)
def test_invalid_distributions_are_refused(tmp_path, content, said):
    assert said in refusal(content, tmp_path)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"is_gc": [0, 1, 2]}, "row 2: is_gc is 2; allowed are 0 to 1"),
        ({"is_gc": [0, None, "yes"]}, "row 2: is_gc is 'yes'"),
        ({"is_gc": [0.0, 0.5]}, "row 1: is_gc is 0.5"),
        ({"glaucoma": [0, 1]}, "has no column that is a label"),
        ({"is_gc": []}, "has no rows"),
    ],
)
def test_tables_with_wrong_values_are_refused_with_the_row(tmp_path, table, said):
    pd.DataFrame(table).to_csv(tmp_path / "labels.csv", index=False)
    assert said in refusal("labels.csv", tmp_path)


def test_a_damaged_parquet_file_is_refused(tmp_path):
    (tmp_path / "labels.parquet").write_bytes(b"PAR1 and no more")
    assert "labels.parquet cannot be read" in refusal("labels.parquet", tmp_path)


@pytest.mark.parametrize(
    ("labels", "joint"),
    [
        ({}, {"dr_grade": 0, "is_dme": 1}),
        ({"dr_grade": 0}, {"is_dme": 1}),
        ({}, {"is_dme": 1}),
        ({"is_dme": {0: 0.9, 1: 0.1}}, {"dr_grade": 0}),
    ],
)
def test_combinations_that_contradict_a_rule_are_refused(labels, joint):
    stratum = {"name": "odd", "share": 1, "labels": labels, "joint": [{"weight": 1, "labels": joint}]}
    with pytest.raises(PlanError, match="stratum 'odd': is_dme is 1, but dr_grade"):
        parse_plan({"seed": 1, "strata": [stratum]})


def test_a_contradiction_that_the_stratum_overrides_is_allowed():
    combination = {"weight": 1, "labels": {"dr_grade": 0, "is_dme": 1}}
    stratum = {"name": "odd", "share": 1, "labels": {"is_dme": 0}, "joint": [combination]}
    assert len(parse_plan({"seed": 1, "strata": [stratum]}).strata) == 1
