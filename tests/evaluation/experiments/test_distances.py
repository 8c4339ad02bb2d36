from pathlib import Path

import numpy as np
import pytest

from evaluation.errors import NotMeasurable
from evaluation.experiments.distances import compare, halves
from evaluation.measures.statistics import Interval
from evaluation.report_page.results import Result, Table, measured, text_of


def test_images_as_real_as_real_ones_are_at_the_floor_and_others_above_it() -> None:
    rng = np.random.default_rng(0)
    real, alike = rng.normal(size=(240, 8)), rng.normal(size=(200, 8))
    patients = np.arange(240) // 2
    same = compare(alike, real, patients, seed=0, repeats=10)
    assert same["frechet distance"][2].value == pytest.approx(1, abs=0.25)
    assert abs(same["coverage"][2].value) < 0.06
    narrow = compare(alike * 0.3, real, patients, seed=0, repeats=10)
    assert narrow["frechet distance"][2].low > 3
    assert narrow["precision"][0].value > 0.95 and narrow["recall"][0].value < 0.4
    assert narrow["kid"][0].low > same["kid"][0].high


def test_halves_share_no_patient_and_are_of_equal_size() -> None:
    patients = np.array([f"p{number // 3}" for number in range(120)])
    for first, second in halves(patients, available=50, seed=0, repeats=5):
        assert len(first) == len(second) == 50
        assert not set(patients[first]) & set(patients[second])
    with pytest.raises(NotMeasurable, match="a half has 12 images"):
        next(halves(patients, available=12, seed=0, repeats=1))


def test_a_result_is_written_whole_and_read_back_equal(tmp_path: Path) -> None:
    rows = [["a", Interval(0.5, 0.25, 0.75)], ["b", measured(lambda: raise_not_measurable("one class only"))]]
    result = Result("Title", "Method.", ["Found."], [Table("numbers", "Numbers", ["name", "auc"], rows)])
    result.save(tmp_path / "result.json")
    assert Result.load(tmp_path / "result.json") == result
    assert result.tables[0].to_csv().splitlines() == [
        "name,auc,auc low,auc high",
        "a,0.5,0.25,0.75",
        "b,not measurable: one class only,,",
    ]
    assert text_of(rows[0][1]) == "0.500 (0.250 to 0.750)"


def test_nan_does_not_get_into_a_file(tmp_path: Path) -> None:
    result = Result("Title", "Method.", tables=[Table("numbers", "Numbers", ["auc"], [[float("nan")]])])
    with pytest.raises(ValueError, match="not JSON compliant"):
        result.save(tmp_path / "result.json")
    assert not (tmp_path / "result.json").exists()


def raise_not_measurable(reason: str) -> float:
    raise NotMeasurable(reason)
