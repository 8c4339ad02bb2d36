import numpy as np
import pytest

from dataset_script.plan.condition_plan import ConditionPlan, load_plan
from dataset_script.plan.plan_file import PlanError, parse_plan

STRATA = [{"name": name, "share": share, "labels": {}} for name, share in (("common", 0.9), ("rare", 0.1))]


def plan_with(splits) -> ConditionPlan:
    return ConditionPlan(*parse_plan({"seed": 1, "strata": STRATA, "splits": splits}))


def test_the_splits_of_the_default_plan_have_its_shares_exactly():
    rows = load_plan().split_rows(1_000_000)
    assert {split: len(idx) for split, idx in rows.items()} == {"train": 900_000, "validation": 50_000, "test": 50_000}


def test_splits_are_disjoint_and_complete():
    rows = load_plan().split_rows(12_345)
    assert sorted(np.concatenate(list(rows.values())).tolist()) == list(range(12_345))


@pytest.mark.parametrize("num_rows", [2_000, 20_000, 1_000_000])
def test_all_splits_have_the_same_distribution_of_strata(num_rows):
    plan = load_plan()
    names = [stratum.name for stratum in plan.strata]
    cycle = np.array([names.index(row.stratum) for row in plan.rows(range(10_000))])
    total = np.bincount(cycle[np.arange(num_rows) % 10_000], minlength=len(names))
    for split, idx in plan.split_rows(num_rows).items():
        counts = np.bincount(cycle[idx % 10_000], minlength=len(names))
        assert np.abs(counts - total * plan.splits[split]).max() <= 2


def test_the_split_of_a_row_does_not_depend_on_the_number_of_rows():
    plan = load_plan()
    few, many = plan.split_rows(3_000), plan.split_rows(70_000)
    for split, idx in few.items():
        assert many[split][: len(idx)].tolist() == idx.tolist()


def test_rows_and_hash_do_not_depend_on_the_splits():
    one, other = plan_with({"train": 1.0}), plan_with({"train": 0.5, "test": 0.5})
    assert one.hash == other.hash
    assert one.rows(range(50)) == other.rows(range(50))


def test_a_plan_without_splits_has_one():
    plan = ConditionPlan(*parse_plan({"seed": 1, "strata": STRATA}))
    assert {split: len(idx) for split, idx in plan.split_rows(100).items()} == {"train": 100}


def test_splits_of_a_small_dataset_that_have_no_rows_are_omitted():
    assert list(plan_with({"train": 0.998, "test": 0.002}).split_rows(1)) == ["train"]


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        (["train"], "splits is ['train'], but must be a mapping"),
        ({"validation": 1.0}, "but must be a mapping with train"),
        ({"train": 0.9, "dev": 0.1}, "unknown split 'dev'; allowed are train, validation, test"),
        ({"train": 0.9, "test": 0.2}, "the shares of the splits sum to 1.1"),
        ({"train": 1.0, "test": 0}, "test is 0, but must be a number from 0.001 to 1"),
        ({"train": True}, "train is True, but must be a number"),
    ],
)
def test_invalid_splits_are_refused(splits, said):
    with pytest.raises(PlanError) as refused:
        plan_with(splits)
    assert said in str(refused.value)


def test_seeds_beyond_64_bits_give_rows_of_their_own():
    def seeds(seed: int) -> list[int]:
        plan = ConditionPlan(*parse_plan({"seed": seed, "strata": STRATA}))
        return [row.noise_seed for row in plan.rows(range(3))]

    assert len({*seeds(1), *seeds(1 + 2**64), *seeds(1 + 2**100)}) == 9
