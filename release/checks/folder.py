"""Checks a folder with the programs that will read it, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from ..folders import Folder, ReleaseError

CLONE = Path(__file__).parents[2]
LOADER = Path(__file__).with_name("load_model.py")
# Fields of a build's record that its card must contain.
ON_CARD = ("generator", "generator_revision", "plan_hash")


def check_folder(folder: Folder) -> None:
    """Runs the checks of a folder's kind. They take seconds for a model; a dataset is read completely.

    Raises:
        ReleaseError: with the program's message.
    """
    if folder.kind == "model":
        _check_loads(folder)
    elif folder.kind == "dataset":
        _check_record(folder)
        _check_verified(folder)
    else:
        _check_compiles(folder)


def read_record(folder: Folder) -> dict:
    """Returns the record of a dataset's build: generator, revision, plan and settings.

    Raises:
        ReleaseError: if the folder has no record of a build.
    """
    path = folder.path / ".build" / "build.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReleaseError(
            f"{folder.path} was not built by dataset_script.generate: {path} cannot be read ({error})"
        ) from None


def _check_loads(folder: Folder) -> None:
    with tempfile.TemporaryDirectory(prefix="synfundus-release-") as elsewhere:
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": elsewhere, "HF_MODULES_CACHE": elsewhere}
        command = [sys.executable, "-I", str(LOADER), str(folder.path.resolve())]
        done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise ReleaseError(f"the model {folder.path} does not load in a clean process: {_last_line(done.stderr)}")


def _check_record(folder: Folder) -> None:
    """The card must name the same generator and plan as the build's record."""
    record, card = read_record(folder), folder.card.read_text(encoding="utf-8")
    for field in ON_CARD:
        if f"`{record[field]}`" not in card:
            raise ReleaseError(
                f"the dataset's card {folder.card} does not name the {field} of its build, {record[field]}: the card "
                "or the build was changed. Build the dataset again to rewrite the card"
            )


def _check_verified(folder: Folder) -> None:
    command = [sys.executable, "-m", "dataset_script.verify", str(folder.path.resolve())]
    done = subprocess.run(command, cwd=CLONE, stdout=subprocess.PIPE, text=True)  # its progress goes to the terminal
    if done.returncode:
        said = done.stdout.strip() or "see above"
        raise ReleaseError(f"the dataset {folder.path} fails dataset_script.verify:\n{said}")


def _check_compiles(folder: Folder) -> None:
    for name, path in folder.files().items():
        if path.suffix == ".py":
            try:
                compile(path.read_bytes(), name, "exec")
            except (SyntaxError, ValueError) as error:
                raise ReleaseError(f"the Space's {name} is not valid Python: {error}") from None


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[-1]
