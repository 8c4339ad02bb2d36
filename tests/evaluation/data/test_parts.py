from pathlib import Path

import numpy as np
import pytest

from evaluation.data.splits import PARTS, assign_parts, read_parts
from evaluation.errors import EvaluationError

PATIENTS = np.array([f"p{row // 2}" for row in range(200)])
TRAIN = np.full(200, "train")


def test_drawn_parts_share_no_patient_and_are_always_the_same() -> None:
    parts, known = assign_parts(PATIENTS, TRAIN, None)
    assert not known and (parts == assign_parts(PATIENTS, TRAIN, None)[0]).all()
    patients = [set(PATIENTS[parts == part]) for part in PARTS]
    assert [len(of_part) for of_part in patients] == [60, 15, 25] and len(set.union(*patients)) == 100


def test_splits_of_the_source_are_parts() -> None:
    splits = np.repeat(["train", "validation", "test"], [100, 40, 60])
    parts, known = assign_parts(PATIENTS, splits, None)
    assert known and parts.tolist() == ["training"] * 100 + ["validation"] * 40 + ["test"] * 60
    with pytest.raises(EvaluationError, match="has a split 'all'; allowed are train"):
        assign_parts(PATIENTS, np.repeat(["train", "all"], 100), None)


def test_the_file_of_training_is_read_and_every_patient_needs_a_part(tmp_path: Path) -> None:
    file = tmp_path / "splits.csv"
    lines = [f"p{number},{PARTS[number % 3]}" for number in range(100)]
    file.write_text("\n".join(["patient,part", *lines, ""]))
    parts, known = assign_parts(PATIENTS, TRAIN, file)
    assert known and parts[:6].tolist() == ["training"] * 2 + ["validation"] * 2 + ["test"] * 2
    file.write_text("\n".join(["patient,part", *lines[1:], ""]))
    with pytest.raises(EvaluationError, match=r"1 patients are in no part of splits .*, for instance 'p0'"):
        assign_parts(PATIENTS, TRAIN, file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,part\np,test\n", r"has columns \['name', 'part'\]; needed are patient and part"),
        ("patient,part\np,held out\n", "is 'held out'; allowed are training, validation, test"),
        ("patient,part\np,test\np,training\n", "patient 'p' in .* is in two parts; allowed is one"),
    ],
)
def test_a_file_that_is_no_list_of_parts_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "splits.csv").write_text(text)
    with pytest.raises(EvaluationError, match=message):
        read_parts(tmp_path / "splits.csv")
