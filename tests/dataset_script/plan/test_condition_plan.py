import collections
import random

import pandas as pd
import pytest
import yaml

from dataset_script.plan.condition_plan import CYCLE, DEFAULT_PLAN, ConditionPlan, load_plan, plan_text
from dataset_script.plan.plan_file import parse_plan
from pipeline_synfundus.labels import CONDITION_NAMES, DISEASES, READABILITY, UNKNOWN, complete_condition

EVERYTHING = {(label.name, value) for label in DISEASES for value in range(1, label.cardinality)} | {
    (label.name, 0) for label in READABILITY
}


@pytest.fixture(scope="module")
def plan():
    return load_plan()


def small_plan(seed=1, **labels):
    strata = [{"name": "ill", "share": 0.3, "labels": labels}, {"name": "healthy", "share": 0.7, "labels": {}}]
    return ConditionPlan(*parse_plan({"seed": seed, "strata": strata}))


def shown(rows):
    return {(name, value) for row in rows for name, value in row.condition.items()}


def test_a_row_depends_on_the_plan_and_its_number_alone(plan):
    numbers = [*range(300), 10**6, 10**12]
    in_order = dict(zip(numbers, plan.rows(numbers), strict=True))
    random.Random(0).shuffle(numbers)
    again = load_plan()
    assert {idx: again.row(idx) for idx in numbers} == in_order


def test_rows_stay_the_same_from_release_to_release():
    plan = small_plan(is_gc=1, dr_grade={1: 0.5, 3: 0.5})
    rows = plan.rows((0, 1, 2, 3, 123_456))
    assert plan.hash == "a1915115c29ea8ca"
    assert [(row.stratum, row.condition["dr_grade"], row.condition["eye_side"], row.noise_seed) for row in rows] == [
        ("ill", 1, 1, 4215923173971654960),
        ("healthy", 0, 1, 2021340933837429789),
        ("healthy", 0, 1, 637987770806161565),
        ("healthy", 0, 0, 5220146013781160048),
        ("healthy", 0, 1, 2501265194563761332),
    ]


def test_the_hash_depends_on_the_rows_and_not_on_the_file(tmp_path, plan):
    content = {"strata": [], "seed": plan.seed}
    for stratum in plan.strata:
        labels = {name: dict(values) for name, values in reversed(stratum.labels.items())}
        content["strata"].append({"labels": labels, "share": stratum.share, "name": stratum.name})
    file = tmp_path / "other.yaml"
    file.write_text("# another text\n" + yaml.safe_dump(content))
    assert load_plan(file).hash == plan.hash
    assert len({small_plan(seed=1).hash, small_plan(seed=2).hash, small_plan(is_gc=1).hash}) == 3


def test_another_seed_gives_other_noise_and_other_draws():
    one, two = (small_plan(seed, is_gc=1).rows(range(100)) for seed in (1, 2))
    assert not {row.noise_seed for row in one} & {row.noise_seed for row in two}
    assert [row.condition for row in one] != [row.condition for row in two]
    assert [row.stratum for row in one] == [row.stratum for row in two]


def test_noise_seeds_differ_and_have_63_bits(plan):
    seeds = [row.noise_seed for row in plan.rows(range(5000))]
    assert len(set(seeds)) == len(seeds)
    assert min(seeds) >= 0
    assert 2**62 < max(seeds) < 2**63


def test_a_negative_number_is_refused(plan):
    with pytest.raises(IndexError, match="idx is -1"):
        plan.row(-1)


def test_64_rows_show_every_disease_grade_and_unreadable_region(plan):
    assert shown(plan.rows(range(64))) >= EVERYTHING
    assert shown(plan.rows(range(64))) >= {("eye_side", 0), ("eye_side", 1)}


@pytest.mark.parametrize("shard", [1, 7, 19, 20, 1999])
def test_every_shard_of_500_rows_shows_everything(plan, shard):
    assert shown(plan.rows(range(500 * shard, 500 * shard + 500))) >= EVERYTHING


def test_every_row_is_complete_and_keeps_the_rules(plan):
    for condition in (row.condition for row in plan.rows(range(3000))):
        assert list(condition) == list(CONDITION_NAMES)
        assert UNKNOWN not in condition.values()
        assert complete_condition(condition) == condition


@pytest.mark.parametrize("num_rows", [10, 100, 999, 5000, 25_000])
def test_shares_are_right_to_within_a_few_rows(plan, num_rows):
    counts = collections.Counter(row.stratum for row in plan.rows(range(num_rows)))
    assert {name: count for name, count in plan.stratum_counts(num_rows).items() if count} == counts
    for stratum in plan.strata:
        # One for being a whole number, and its share of the first round, in which each stratum has one row.
        assert abs(counts[stratum.name] - stratum.share * num_rows) <= 1 + stratum.share * len(plan.strata)


def test_a_cycle_has_the_shares_exactly(plan):
    counts = plan.stratum_counts(100 * CYCLE)
    assert counts == {stratum.name: round(stratum.share * 100 * CYCLE) for stratum in plan.strata}


def test_shares_that_need_rounding_fill_the_cycle():
    strata = [{"name": str(number), "share": 1 / 7, "labels": {}} for number in range(7)]
    counts = ConditionPlan(*parse_plan({"seed": 0, "strata": strata})).stratum_counts(CYCLE)
    assert sum(counts.values()) == CYCLE
    assert set(counts.values()) == {CYCLE // 7, CYCLE // 7 + 1}


def test_values_are_drawn_with_their_probabilities():
    plan = small_plan(dr_grade={1: 0.2, 4: 0.8}, is_gc={0: 0.9, 1: 0.1})
    ill = [row for row in plan.rows(range(20_000)) if row.stratum == "ill"]
    grades = collections.Counter((row.condition["dr_grade"], row.condition["is_gc"]) for row in ill)
    for values, probability in {(1, 0): 0.18, (1, 1): 0.02, (4, 0): 0.72, (4, 1): 0.08}.items():
        # Four standard deviations: one such test in 10,000 fails by chance, and the seed is fixed.
        assert abs(grades[values] / len(ill) - probability) < 4 * (probability * (1 - probability) / len(ill)) ** 0.5


def test_drawing_one_label_more_leaves_the_others_and_the_noise():
    less, more = small_plan(dr_grade={1: 0.5, 2: 0.5}), small_plan(is_amd={0: 0.5, 1: 0.5}, dr_grade={1: 0.5, 2: 0.5})
    for one, two in zip(less.rows(range(200)), more.rows(range(200)), strict=True):
        assert one.noise_seed == two.noise_seed
        assert {**one.condition, "is_amd": 0} == {**two.condition, "is_amd": 0}


def test_a_plan_of_counts_gives_exactly_these_rows():
    strata = [
        {"name": name, "count": count, "labels": {"is_gc": int(name == "rare")}} for name, count in COUNTS.items()
    ]
    plan = ConditionPlan(*parse_plan({"seed": 3, "strata": strata}))
    assert plan.num_rows == plan.cycle == 3017
    assert plan.stratum_counts(3017) == COUNTS == collections.Counter(row.stratum for row in plan.rows(range(3017)))
    assert sum(row.condition["is_gc"] for row in plan.rows(range(3017))) == 3


COUNTS = {"common": 3000, "rare": 3, "other": 14}
COMBINATIONS = [{"dr_grade": 0, "is_dme": 0}] * 60 + [{"dr_grade": 2, "is_dme": 1}] * 30 + [{"dr_grade": 4}] * 10


@pytest.fixture(params=["csv", "parquet"])
def label_table(tmp_path, request):
    """A table like one of real labels: missing values, other columns, columns in another order."""
    table = pd.DataFrame([{"patient": number, **labels} for number, labels in enumerate(COMBINATIONS)])
    table = table[["is_dme", "patient", "dr_grade"]]
    path = tmp_path / f"labels.{request.param}"
    table.to_csv(path) if request.param == "csv" else table.to_parquet(path)
    return path


def joint_plan(folder, joint, **labels):
    content = {"seed": 5, "strata": [{"name": "real", "share": 1.0, "labels": labels, "joint": joint}]}
    file = folder / "plan.yaml"
    file.write_text(yaml.safe_dump(content))
    return load_plan(file), file


def test_labels_are_drawn_together_as_in_the_table(tmp_path, label_table):
    plan, _ = joint_plan(tmp_path, label_table.name, is_gc={0: 0.5, 1: 0.5})
    rows = [row.condition for row in plan.rows(range(20_000))]
    drawn = collections.Counter((row["dr_grade"], row["is_dme"], row["is_gc"]) for row in rows)
    expected = {(0, 0): 0.6, (2, 1): 0.3, (4, UNKNOWN): 0.1}
    assert {values[:2] for values in drawn} == set(expected)
    for (grade, edema, _), count in drawn.items():
        probability = expected[grade, edema] / 2
        assert abs(count / 20_000 - probability) < 4 * (probability * (1 - probability) / 20_000) ** 0.5
    assert {row["eye_side"] for row in rows} == {0, 1}


def test_a_label_of_the_stratum_replaces_that_of_the_table(tmp_path, label_table):
    plan, _ = joint_plan(tmp_path, label_table.name, is_dme=0)
    rows = [row.condition for row in plan.rows(range(500))]
    assert {(row["dr_grade"], row["is_dme"]) for row in rows} == {(0, 0), (2, 0), (4, 0)}


def test_the_stored_plan_needs_no_table_and_gives_the_same_rows(tmp_path, label_table):
    plan, file = joint_plan(tmp_path, label_table.name, is_gc={0: 0.5, 1: 0.5})
    kept = tmp_path / "elsewhere" / "plan.yaml"
    kept.parent.mkdir()
    kept.write_text(plan_text(file, plan))
    again = load_plan(kept)
    assert again.hash == plan.hash
    assert again.rows(range(200)) == plan.rows(range(200))
    assert "patient" not in kept.read_text()


def test_another_table_is_another_plan(tmp_path, label_table):
    plan, file = joint_plan(tmp_path, label_table.name)
    pd.DataFrame(COMBINATIONS[1:]).to_csv(tmp_path / "other.csv")
    assert load_plan(file).hash == plan.hash
    assert joint_plan(tmp_path, "other.csv")[0].hash != plan.hash


def test_a_plan_without_tables_is_stored_unchanged(plan):
    assert plan_text(DEFAULT_PLAN, plan) == DEFAULT_PLAN.read_text()
