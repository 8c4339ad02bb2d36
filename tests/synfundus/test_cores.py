import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = {
    "synfundus.cores": "available_cores()",
    "dataset_script.build.shards": "ENCODERS",
}


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not restrict processes to cores")
@pytest.mark.parametrize(("module", "expression"), MODULES.items())
def test_a_process_restricted_to_one_core_uses_one(module, expression):
    code = f"import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); import {module} as m; "
    code += f"print(m.{expression})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
