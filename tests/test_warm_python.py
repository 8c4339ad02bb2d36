"""A warm Python reads the environment of each command as a Python of the command's own does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.warm_python import FOLDERS

CONSTANTS = """
import json
from huggingface_hub import constants
print(json.dumps({name: value for name, value in vars(constants).items() if isinstance(value, str | bool)}))
"""
# Values of the server that are still there: in modules and classes, in defaults of functions, in clients of the Hub.
LEFT = """
import gc
from pathlib import PosixPath
from types import FunctionType, ModuleType
from huggingface_hub import HfApi, HfFileSystem
gc.unfreeze()
for keeper in gc.get_objects():
    if issubclass(type(keeper), (ModuleType, type, FunctionType, HfApi, HfFileSystem)):
        values = dict(vars(keeper))
        if type(keeper) is FunctionType:
            values |= keeper.__kwdefaults__ or {}
            values |= dict(enumerate(keeper.__defaults__ or ()))
        for name, value in values.items():
            if type(value) in (str, PosixPath) and "/stand-in/" in str(value):
                print(getattr(keeper, "__name__", keeper), name)
"""


def run(python: Path | str, code: str, environment: dict[str, str]) -> str:
    return subprocess.run([python, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("network", [True, False])
def test_it_knows_the_hub_and_the_cache_of_the_command(warm_python: Path, tmp_path: Path, network: bool) -> None:
    read = ("HF_HOME", "HF_ENDPOINT", "HF_HUB_OFFLINE", *FOLDERS)
    environment = {name: value for name, value in os.environ.items() if name not in read}
    if network:
        environment |= {"HF_ENDPOINT": "http://127.0.0.1:2", "HF_HOME": str(tmp_path / "home")}
    else:
        environment |= {"XDG_CACHE_HOME": str(tmp_path), "HF_HUB_OFFLINE": "yes", "HF_ASSETS_CACHE": "/assets"}
    own = json.loads(run(sys.executable, CONSTANTS, environment))
    assert own["HF_HUB_OFFLINE"] is not network
    assert json.loads(run(warm_python, CONSTANTS, environment)) == own


def test_nothing_keeps_a_value_of_the_server(warm_python: Path) -> None:
    left = set(run(warm_python, LEFT, dict(os.environ)).splitlines())
    assert left <= {"write_basic_config 1"}  # a part of `accelerate config`, which no test runs
