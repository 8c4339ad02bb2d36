from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

from pipeline_synfundus.labels import CONDITION_NAMES
from tests.phantom import draw_phantom
from training.configuration.config import ConfigError, DataConfig
from training.data.prepared import prepare_data

RULES = {
    "quality": {
        "reject": {"is_fundus": 0},
        "good": {"is_fundus": 1, "is_macular_readable": 1},
    }
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three photographs with a quality, a grade and a readability label."""
    table = {
        "image": [draw_phantom({}, 32, np.random.default_rng(row)) for row in range(3)],
        "quality": ["good", "reject", "other"],
        "dr_grade": [2, 0, 0],
        "is_macular_readable": [0, -1, -1],
    }
    features = datasets.Features(
        image=datasets.Image(),
        quality=datasets.Value("string"),
        dr_grade=datasets.Value("int8"),
        is_macular_readable=datasets.Value("int8"),
    )
    (tmp_path / "data").mkdir()
    datasets.Dataset.from_dict(table, features=features).to_parquet(tmp_path / "data" / "train.parquet")
    return tmp_path / "data"


def read_known(source: Path, rules: dict[str, Any]) -> list[dict[str, int]]:
    data = prepare_data(DataConfig(str(source), label_rules=rules), 16, source.parent / "cache")
    rows = (zip(CONDITION_NAMES, codes.tolist(), strict=True) for codes in data.codes)
    return [{name: value for name, value in row if value >= 0} for row in rows]


def test_rules_fill_in_unknown_labels_and_keep_known_ones(source: Path) -> None:
    good, reject, other = read_known(source, RULES)
    assert good == {"dr_grade": 2, "is_macular_readable": 0, "is_fundus": 1}
    readability = ("is_fundus", "is_macular_readable", "is_optic_disc_readable", "is_retinal_region_readable")
    assert reject == dict.fromkeys(readability, 0)  # what cannot be seen is not absent
    assert other == {"dr_grade": 0}


def test_other_rules_are_not_read_from_the_cache(source: Path) -> None:
    assert "is_fundus" not in read_known(source, {})[0]
    assert "is_fundus" in read_known(source, RULES)[0]


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"grade": {"reject": {"is_fundus": 0}}}, "names the column 'grade', but the source has image, quality"),
        (
            {"quality": {"reject": {"is_sharp": 0}}},
            r"quality.reject is \{'is_sharp': 0\}, but must map some of dr_grade",
        ),
        ({"quality": {"reject": {"is_fundus": 2}}}, "quality.reject: is_fundus is 2; allowed are 0 to 1"),
        ({"quality": {"reject": 0}}, "quality.reject is 0, but must map"),
        ({"quality": "reject"}, "quality. is None, but must map"),
    ],
)
def test_a_wrong_rule_is_refused(source: Path, rules: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"data\.label_rules.*{message}"):
        read_known(source, rules)
