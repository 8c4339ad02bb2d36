"""The `synfundus` command: its list, its errors, and that a command behaves as with `python -m`."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from synfundus.cli import COMMANDS, describe, main

ROOT = Path(__file__).parents[2]
FOLDERS = ("dataset_script", "training", "evaluation", "release")
INTERNAL = {"release.checks.load_model"}  # the release runs it in an isolated process


def modules_that_run() -> list[str]:
    """Names, as `python -m` takes them, of all modules of the project that can be run."""
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    running = [path for path in files if re.search(r'^if __name__ == "__main__":', path.read_text(), re.MULTILINE)]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in running]
    return [name.removesuffix(".__main__") for name in names]


def test_every_module_that_can_be_run_is_a_command() -> None:
    assert set(modules_that_run()) - INTERNAL <= {command.module for command in COMMANDS.values()}


@pytest.mark.parametrize("module", sorted(command.module for command in COMMANDS.values()))
def test_every_command_names_a_module_or_script_that_exists(module: str) -> None:
    assert (ROOT / module).is_file() if module.endswith(".py") else find_spec(module)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["help"]])
def test_without_a_command_every_command_is_listed_with_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert printed == f"{describe()}\n"
    for name, command in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(command.summary)}$", printed, re.MULTILINE)


def test_an_unknown_command_is_refused_with_the_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generat"]) == 2
    assert re.search(
        r"no command 'generat'. Did you mean 'generate'\? Allowed are: conditions, ", capsys.readouterr().err
    )


@pytest.mark.parametrize("arguments", [["--help"], ["no-such-folder"]])
def test_a_command_behaves_as_with_python_m(arguments: list[str]) -> None:
    def run(*command: str) -> tuple[int, str, str]:
        done = subprocess.run([sys.executable, *command, *arguments], cwd=ROOT, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    assert run("-m", "synfundus.cli", "verify") == run("-m", "dataset_script.verify")
