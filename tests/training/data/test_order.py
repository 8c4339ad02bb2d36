import numpy as np
import pytest

from pipeline_synfundus.labels import CONDITION_NAMES
from training.data.order import EpochOrder, balanced_weights, rare_label_weights


def test_every_row_is_seen_once_an_epoch() -> None:
    order = EpochOrder(np.arange(100, 150), seed=3)
    for epoch in range(3):
        assert sorted(order.take(epoch * 50, 50)) == list(range(100, 150))


def test_epochs_are_shuffled_anew_and_depend_on_the_seed() -> None:
    order = EpochOrder(np.arange(50), seed=3)
    assert not np.array_equal(order.take(0, 50), order.take(50, 50))
    assert not np.array_equal(order.take(0, 50), EpochOrder(np.arange(50), seed=4).take(0, 50))


def test_any_cut_of_the_sequence_is_the_same_sequence() -> None:
    weights = np.linspace(1, 3, 40)
    whole = EpochOrder(np.arange(40), weights, seed=1).take(0, 300)
    pieces = [EpochOrder(np.arange(40), weights, seed=1).take(start, 30) for start in range(0, 300, 30)]
    assert np.array_equal(whole, np.concatenate(pieces))


def test_weights_are_mean_repeats() -> None:
    order = EpochOrder(np.arange(2), np.array([1.0, 3.0]), seed=0)
    counts = np.bincount(order.take(0, 40_000))
    assert counts[1] / counts[0] == pytest.approx(3, rel=0.02)


def test_rare_findings_weigh_more_up_to_the_bound() -> None:
    codes = np.zeros((1000, len(CONDITION_NAMES)), dtype=np.int8)
    codes[:400, CONDITION_NAMES.index("is_gc")] = 1
    codes[400:425, CONDITION_NAMES.index("is_rvo")] = 1
    codes[425, CONDITION_NAMES.index("is_aon")] = 1
    codes[426:, CONDITION_NAMES.index("is_amd")] = -1
    weights = rare_label_weights(codes, largest=8.0)
    assert weights[0] == 1
    assert weights[410] == pytest.approx(8.0)
    assert weights[425] == 8
    assert weights[900] == 1


def test_every_grade_is_a_finding_of_its_own() -> None:
    codes = np.zeros((1000, len(CONDITION_NAMES)), dtype=np.int8)
    codes[:810, 0] = 2
    codes[810:820, 0] = 4
    weights = rare_label_weights(codes, largest=50.0)
    assert weights[0] == 1
    assert weights[815] == pytest.approx(81**0.75)


def test_a_finding_becomes_as_frequent_in_one_source_as_in_another() -> None:
    codes = np.full((400, len(CONDITION_NAMES)), -1, dtype=np.int8)
    column, sources = CONDITION_NAMES.index("is_gc"), np.repeat(["a", "b"], 200)
    codes[:, column] = 0
    codes[:120, column] = 1  # 60 % of source a
    codes[200:240, column] = 1  # 20 % of source b
    weights = balanced_weights(codes, sources, largest=8.0)
    positive = codes[:, column] == 1
    shares = [weights[positive & (sources == source)].sum() / weights[sources == source].sum() for source in "ab"]
    assert shares[0] == pytest.approx(shares[1], rel=0.01)
    assert 0.2 < shares[0] < 0.6


def test_balancing_keeps_to_the_bounds_and_leaves_pure_sources_alone() -> None:
    codes = np.zeros((1000, len(CONDITION_NAMES)), dtype=np.int8)
    column, sources = CONDITION_NAMES.index("is_amd"), np.repeat(["mixed", "other", "pure"], [400, 400, 200])
    codes[0, column] = 1
    codes[400:799, column] = 1
    codes[800:, column] = 1
    weights = balanced_weights(codes, sources, largest=6.0)
    assert weights.min() >= 0.25
    assert weights.max() <= 6.0
    assert (weights[800:] == 1).all()


def test_no_row_is_an_error() -> None:
    with pytest.raises(ValueError, match="no row to train on"):
        EpochOrder(np.arange(0))
