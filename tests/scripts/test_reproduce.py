"""`scripts/reproduce.sh` goes from photographs to a report."""

import os
import subprocess
from pathlib import Path

import numpy as np
import yaml

from tests.phantom import write_phantom_dataset
from tests.small_training import SMALL

ROOT = Path(__file__).parents[2]


def test_it_goes_from_photographs_to_a_report(tmp_path: Path, warm_python: Path) -> None:
    write_phantom_dataset(tmp_path / "photographs", 100, 32, np.random.default_rng(0), ["dr_grade", "is_amd"])
    data = {
        "source": str(tmp_path / "photographs"),
        "group_column": "patient",
        "validation_share": 0.1,
        "test_share": 0.5,
    }
    config = SMALL | {"output_dir": str(tmp_path / "run"), "data": data}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    environment = os.environ | {"PYTHON": str(warm_python), "ROWS": "45", "REPORT_OPTIONS": "--size 32 --only material"}
    command = [ROOT / "scripts" / "reproduce.sh", str(tmp_path / "config.yaml"), str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "out" / "report" / "report.html").is_file()
