import pytest
import yaml

from dataset_script.plan.condition_plan import DEFAULT_PLAN, load_plan
from dataset_script.plan.plan_file import PlanError, parse_plan, read_plan_file
from pipeline_synfundus.labels import DISEASES, READABILITY, UNKNOWN


def plan(**stratum):
    return {"seed": 1, "strata": [{"name": "odd", "share": 1, "labels": {}, **stratum}]}


def refusal(content) -> str:
    with pytest.raises(PlanError) as refused:
        parse_plan(content)
    return str(refused.value)


@pytest.mark.parametrize(
    ("labels", "parts"),
    [
        ({"colour": 1}, ["'odd'", "unknown label 'colour'", "allowed are dr_grade"]),
        ({"dr_grad": {1: 1.0}}, ["'odd'", "'dr_grad'", "did you mean 'dr_grade'?"]),
        ({"dr_grade": 5}, ["'odd'", "dr_grade is 5", "0 to 4"]),
        ({"dr_grade": {1: 0.5, 7: 0.5}}, ["'odd'", "dr_grade is 7", "0 to 4"]),
        ({"is_gc": "yes"}, ["'odd'", "is_gc is 'yes' of type str", "0 to 1"]),
        ({"is_gc": {}}, ["'odd', is_gc", "empty"]),
        ({"is_gc": {0: 0.5, 1: 0.4}}, ["'odd', is_gc", "sum to 0.9", "must sum to 1"]),
        ({"is_gc": {0: 1.5, 1: -0.5}}, ["'odd', is_gc", "probability of 0 is 1.5"]),
        ({"is_gc": {0: 1.0, 1: 0.0}}, ["'odd', is_gc", "probability of 1 is 0.0"]),
        ({"is_gc": {0: "half", 1: 0.5}}, ["'odd', is_gc", "'half'", "a number"]),
        ({"is_gc": {0: float("nan"), 1: 0.5}}, ["'odd', is_gc", "nan"]),
        ({"is_gc": {-1: 0.5, None: 0.5}}, ["'odd', is_gc", "twice"]),
        ({"is_dme": 1}, ["'odd'", "is_dme is 1", "dr_grade was left out"]),
        ({"is_dme": 1, "dr_grade": 0}, ["'odd'", "is_dme is 1", "dr_grade is 0"]),
        ({"is_dme": {0: 0.9, 1: 0.1}, "dr_grade": {2: 0.9, 0: 0.1}}, ["'odd'", "is_dme is 1", "dr_grade is 0"]),
        ({"is_fundus": {0: 0.5, 1: 0.5}, "is_macular_readable": 1}, ["'odd'", "is_macular_readable is 1"]),
        (["is_gc"], ["'odd'", "labels is ['is_gc']", "mapping"]),
        (None, ["'odd'", "labels is None", "{} for healthy"]),
    ],
)
def test_wrong_labels_are_refused_by_name_and_value(labels, parts):
    message = refusal(plan(labels=labels))
    assert all(part in message for part in parts), message


@pytest.mark.parametrize("share", [0, -0.1, 1.2, "10%", True, None, 0.00001, float("nan")])
def test_wrong_shares_are_refused(share):
    message = refusal(plan(share=share))
    assert f"stratum 'odd': share is {share!r}" in message
    assert "from 0.0001 to 1" in message


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (None, ["a plan is a mapping", "None"]),
        ([], ["a plan is a mapping"]),
        ({"strata": []}, ["'seed' is missing"]),
        ({"seed": 1}, ["'strata' is missing"]),
        ({"seed": 1, "strata": []}, ["strata is []", "at least one"]),
        ({"seed": 1, "strata": {"name": "odd"}}, ["strata is", "a list"]),
        ({"seed": 1, "strata": ["odd"]}, ["strata[0] is 'odd'", "mapping"]),
        ({**plan(), "seed": -1}, ["seed is -1", "0 or more"]),
        ({**plan(), "seed": 1.5}, ["seed is 1.5", "integer"]),
        ({**plan(), "seeds": 1}, ["unknown field 'seeds'", "did you mean 'seed'?"]),
        (plan(shares=1), ["strata[0]", "unknown field 'shares'", "did you mean 'share'?"]),
        (plan(name=7), ["strata[0]", "name is 7"]),
        ({"seed": 1, "strata": [{"name": "odd", "share": 1}]}, ["strata[0]", "'labels' is missing"]),
        ({"seed": 1, "strata": plan(share=0.5)["strata"] * 2}, ["strata[1]", "'odd' is taken"]),
    ],
)
def test_wrong_plans_are_refused(content, parts):
    message = refusal(content)
    assert all(part in message for part in parts), message


@pytest.mark.parametrize("share", [0.4, 0.6])
def test_shares_must_sum_to_one(share):
    strata = [{"name": name, "share": part, "labels": {}} for name, part in (("one", 0.5), ("two", share))]
    assert f"the shares of the strata sum to {0.5 + share:g}" in refusal({"seed": 1, "strata": strata})


def test_shares_may_be_off_by_rounding():
    strata = [{"name": str(number), "share": 0.3333333, "labels": {}} for number in range(3)]
    assert len(parse_plan({"seed": 1, "strata": strata}).strata) == 3


def test_unknown_is_a_valid_value():
    (stratum,) = parse_plan(plan(labels={"dr_grade": None, "is_dme": 1, "is_gc": {-1: 0.5, 1: 0.5}})).strata
    assert stratum.labels["dr_grade"] == ((UNKNOWN, 1.0),)


def test_messages_of_a_file_begin_with_its_name(tmp_path):
    file = tmp_path / "odd.yaml"
    with pytest.raises(PlanError, match=r"odd\.yaml cannot be read"):
        read_plan_file(file)
    for text in ("seed: [", "seed: 1\nseed: 2\n", yaml.safe_dump(plan(share=2))):
        file.write_text(text)
        with pytest.raises(PlanError, match=r"odd\.yaml, line \d+: "):
            read_plan_file(file)


def test_a_duplicate_key_is_refused_with_its_line(tmp_path):
    file = tmp_path / "odd.yaml"
    file.write_text("seed: 1\nstrata:\n- {name: odd, share: 1, labels: {is_gc: 0,\n    is_gc: 1}}\n")
    with pytest.raises(PlanError, match=r"odd\.yaml, line 4: 'is_gc' is given twice"):
        read_plan_file(file)


@pytest.mark.parametrize("path", sorted(DEFAULT_PLAN.parent.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_plans_fix_each_finding_in_some_stratum_and_leave_nothing_unknown(path):
    strata = load_plan(path).strata
    assert all(value != UNKNOWN for stratum in strata for values in stratum.labels.values() for value, _ in values)
    fixed = {(name, values[0][0]) for stratum in strata for name, values in stratum.labels.items() if len(values) == 1}
    assert {(label.name, value) for label in DISEASES for value in range(1, label.cardinality)} <= fixed
    assert {(label.name, 0) for label in READABILITY} <= fixed


WRONG_LINES = """\
seed: 1
strata:
  - name: one
    share: 0.5
    labels:
      is_gc: {0: 0.5, 1: 0.5}
      is_dme: {0: 0.9, 1: 0.1}
      dr_grade: 2
  - name: two
    share: 0.5
    labels: {}
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("seed: 1", "seed: -1", 1, "seed is -1"),
        ("seed: 1", "seed: 1\nrows: 0", 2, "rows is 0"),
        ("seed: 1", "rose: 5\nseed: 1", 1, "unknown field 'rose'"),
        ("name: two", "name: one", 9, "'one' is taken"),
        ("    share: 0.5\n    labels: {}", "    share: 1.5\n    labels: {}", 10, "share is 1.5"),
        ("    share: 0.5\n    labels: {}", "    count: 5\n    labels: {}", 10, "has a count"),
        ("    share: 0.5\n    labels: {}", "    share: 0.6\n    labels: {}", 2, "sum to 1.1"),
        ("labels: {}", "labels: {is_lost: 1}", 11, "unknown label 'is_lost'"),
        ("dr_grade: 2", "dr_grade: 7", 8, "dr_grade is 7"),
        ("dr_grade: 2", "dr_grade: 0", 8, "is_dme is 1, but dr_grade is 0"),
        ("      dr_grade: 2\n", "", 7, "dr_grade was left out"),
        ("is_gc: {0: 0.5, 1: 0.5}", "is_gc:\n        0: 0.5\n        1: -0.5", 8, "probability of 1 is -0.5"),
        ("is_gc: {0: 0.5, 1: 0.5}", "is_gc: {0: 0.5, 1: 0.4}", 6, "sum to 0.9"),
        ("labels: {}", "joint: none.csv", 11, "none.csv cannot be read"),
        (
            "labels: {}",
            "joint:\n    - {weight: 1, labels: {is_gc: 1}}\n    - {weight: 0, labels: {is_gc: 0}}",
            13,
            "is 0",
        ),
        ("labels: {}", "joint: [{weight: 1, labels: {is_dme: 1, dr_grade: 0}}]", 11, "dr_grade is 0"),
    ],
)
def test_errors_name_the_line(tmp_path, old, new, line, said):
    file = tmp_path / "odd.yaml"
    assert WRONG_LINES.count(old) == 1
    file.write_text(WRONG_LINES)
    assert len(read_plan_file(file).strata) == 2
    file.write_text(WRONG_LINES.replace(old, new))
    with pytest.raises(PlanError) as refused:
        read_plan_file(file)
    assert f"odd.yaml, line {line}: " in str(refused.value), refused.value
    assert said in str(refused.value)


@pytest.mark.parametrize("count", [0, -1, 2.5, "ten", True])
def test_wrong_counts_are_refused(count):
    content = {"seed": 1, "strata": [{"name": "odd", "count": count, "labels": {}}]}
    assert f"stratum 'odd': count is {count!r}" in refusal(content)


def test_counts_give_shares_and_the_number_of_rows():
    strata = [{"name": name, "count": count, "labels": {}} for name, count in (("one", 3), ("two", 1))]
    read = parse_plan({"seed": 1, "strata": strata})
    assert read.num_rows == 4
    assert [(stratum.count, stratum.share) for stratum in read.strata] == [(3, 0.75), (1, 0.25)]
    assert "counts of the strata sum to 4" in refusal({"seed": 1, "rows": 5, "strata": strata})
