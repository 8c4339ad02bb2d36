import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, f1_score, roc_auc_score

from evaluation.data.splits import split_patients
from evaluation.errors import NotMeasurable
from evaluation.measures.statistics import (
    RESAMPLES,
    auc,
    bootstrap,
    bootstrap_auc,
    bootstrap_within_source_auc,
    interval,
    macro_f1,
    quadratic_kappa,
    sources_with_both,
    within_source_auc,
)


def test_the_bootstrap_by_patient_is_wider_than_one_that_takes_rows_for_independent() -> None:
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(50), 10)
    values = np.repeat(rng.normal(size=50), 10)  # all rows of a patient are alike
    by_patient = bootstrap(lambda rows: float(values[rows].mean()), patients, seed=0)
    by_row = bootstrap(lambda rows: float(values[rows].mean()), np.arange(500), seed=0)
    ratio = (by_patient.high - by_patient.low) / (by_row.high - by_row.low)
    assert ratio == pytest.approx(np.sqrt(10), rel=0.25)


def test_intervals_have_at_least_a_thousand_resamples() -> None:
    assert RESAMPLES >= 1000


def test_the_bootstrap_interval_covers_the_truth_as_often_as_it_says() -> None:
    covered = []
    for seed in range(100):
        values = np.random.default_rng(seed).normal(size=80)
        found = bootstrap(lambda rows, values=values: float(values[rows].mean()), np.arange(80), seed)
        covered.append(found.low <= 0 <= found.high)
    assert 0.88 <= np.mean(covered) <= 1


def test_no_patient_stands_in_both_parts_of_a_split() -> None:
    patients = np.array([f"p{number // 3}" for number in range(90)])
    first, second = split_patients(patients, 0.3, seed=1)
    assert not set(patients[first]) & set(patients[second])
    assert len(second) == 27 and len(first) == 63


def test_one_class_only_or_too_few_is_not_measurable_and_never_nan() -> None:
    with pytest.raises(NotMeasurable, match="0 positives and 5 negatives"):
        auc(np.zeros(5), np.arange(5))
    truth = np.array([1] * 9 + [0] * 40)
    with pytest.raises(NotMeasurable, match="9 positives and 40 negatives; at least 10"):
        bootstrap_auc(truth, np.arange(49), np.arange(49), seed=0)
    with pytest.raises(NotMeasurable, match="1 grades"):
        quadratic_kappa(np.ones(4), np.arange(4))
    with pytest.raises(NotMeasurable, match="not a finite number"):
        interval(float("nan"), np.ones(3))


def test_a_statistic_that_most_resamples_do_not_support_is_not_measurable() -> None:
    values = np.array([1.0] + [0.0] * 200)

    def needs_two(rows: np.ndarray) -> float:
        if len(rows) == len(values) and (rows == np.arange(len(values))).all():
            return 1.0
        if values[rows].sum() < 2:
            raise NotMeasurable("fewer than two")
        return float(values[rows].mean())

    with pytest.raises(NotMeasurable, match="of 1000 resamples"):
        bootstrap(needs_two, np.arange(201), seed=0)


def test_the_auc_is_that_of_scikit_learn_also_with_ties() -> None:
    rng = np.random.default_rng(0)
    truth, scores = rng.integers(0, 2, 300), rng.integers(0, 20, 300) / 20
    assert auc(truth, scores) == pytest.approx(roc_auc_score(truth, scores))


def test_a_score_that_only_recognises_the_camera_has_a_pooled_auc_and_none_within_source() -> None:
    rng = np.random.default_rng(0)
    sources = np.repeat(["many", "few"], 300)
    truth = (rng.random(600) < np.where(sources == "many", 0.9, 0.1)).astype(float)
    scores = (sources == "many") + rng.normal(0, 0.1, 600)
    assert auc(truth, scores) > 0.85
    within = bootstrap_within_source_auc(truth, scores, sources, np.arange(600), seed=0)
    assert within.low < 0.5 < within.high


def test_the_auc_within_source_is_the_mean_weighted_by_pairs() -> None:
    truth = np.array([1, 0, 0, 1, 1, 0, 1])
    scores = np.array([2, 1, 3, 5, 1, 2, 9])
    sources = np.array(["a", "a", "a", "b", "b", "b", "c"])
    # In a, the positive is above one of two negatives; in b, one of two positives is above the negative.
    assert within_source_auc(truth, scores, sources) == pytest.approx(0.5)
    assert sources_with_both(truth, sources) == ["a", "b"]
    with pytest.raises(NotMeasurable, match="no source has both"):
        within_source_auc(truth[-1:], scores[-1:], sources[-1:])


def test_kappa_and_f1_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth = rng.choice([0, 1, 3, 4], 200)  # nobody has grade 2
    predicted = np.clip(truth + rng.integers(-1, 2, 200), 0, 4)
    assert quadratic_kappa(truth, predicted) == pytest.approx(cohen_kappa_score(truth, predicted, weights="quadratic"))
    assert macro_f1(truth, predicted) == pytest.approx(f1_score(truth, predicted, average="macro"))
