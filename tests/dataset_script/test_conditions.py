import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from dataset_script.conditions import main
from dataset_script.plan.condition_plan import ConditionPlan
from dataset_script.plan.distribution import co_occurrence, combination_table, draw_codes, label_table
from dataset_script.plan.plan_file import parse_plan
from pipeline_synfundus.labels import CONDITION_NAMES, DISEASES

ROOT = Path(__file__).parents[2]
STRATA = [
    {"name": "healthy", "count": 6, "labels": {"eye_side": 0}},
    {"name": "both", "count": 3, "labels": {"is_gc": 1, "is_amd": 1, "eye_side": 1}},
    {"name": "unknown", "count": 1, "labels": {"dr_grade": None, "eye_side": 1}},
]


@pytest.fixture(scope="module")
def codes():
    return draw_codes(ConditionPlan(*parse_plan({"seed": 1, "strata": STRATA})), 10)


def test_the_command_shows_the_shipped_plan_and_draws_it(warm_python, tmp_path):
    command = [warm_python, "-m", "dataset_script.conditions", "--num-rows", "500", "--out", str(tmp_path / "a.png")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "1,000,000 rows in" in done.stdout
    assert "healthy" in done.stdout and "  200,000   20.00%" in done.stdout
    assert "diabetic retinopathy grade + diabetic macular edema" in done.stdout
    with Image.open(tmp_path / "a.png") as image:
        assert image.width > 1000
        assert (np.asarray(image.convert("L")) < 250).mean() > 0.05


def test_the_first_rows_are_counted(codes):
    assert codes.shape == (10, len(CONDITION_NAMES))
    lines = label_table(codes).splitlines()
    assert "is_gc                        1 present                  3   30.00%" in lines
    assert "dr_grade                    -1 unknown                  1   10.00%" in lines
    assert "eye_side                     1 left                     4   40.00%" in lines


def test_findings_together_are_counted(codes):
    assert combination_table(codes).strip() == "3   30.00%  age-related macular degeneration + glaucoma"
    assert combination_table(codes[codes[:, 1] == 0]).startswith("none")
    names = [label.name for label in DISEASES]
    together = co_occurrence(codes)
    assert together[names.index("is_gc"), names.index("is_amd")] == pytest.approx(0.3)
    assert together[names.index("is_gc"), names.index("is_gc")] == pytest.approx(0.3)
    assert together.sum() == pytest.approx(1.2)


def test_an_impossible_plan_is_refused_with_its_line(tmp_path, capsys):
    file = tmp_path / "odd.yaml"
    file.write_text(yaml.safe_dump({"seed": 1, "strata": [{"name": "odd", "share": 1, "labels": {"is_dme": 1}}]}))
    assert main([str(file)]) == 2
    assert "odd.yaml, line 4: stratum 'odd': is_dme is 1" in capsys.readouterr().err
