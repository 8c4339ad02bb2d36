"""Does a folder do what its repository promises? Asked of the programs that will read it, each in its own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from .folders import Folder, ReleaseError

CLONE = Path(__file__).parent.parent
LOADER = Path(__file__).with_name("load_model.py")
# The fields of a build's record that its card must name, and how the card writes them.
ON_CARD = ("generator", "generator_revision", "plan_hash")


def check_folder(folder: Folder) -> None:
    """Runs the checks of a folder's kind; they take seconds for a model, and for a dataset as long as reading it.

    Raises:
        ReleaseError: with what the program said.
    """
    if folder.kind == "model":
        _check_loads(folder)
    elif folder.kind == "dataset":
        _check_record(folder)
        _check_verified(folder)
    else:
        _check_compiles(folder)


def read_record(folder: Folder) -> dict:
    """Returns what a dataset's build was asked for.

    Raises:
        ReleaseError: if the folder holds no build.
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
    """The card must name the generator and the plan that the build's record names."""
    record, card = read_record(folder), folder.card.read_text(encoding="utf-8")
    for field in ON_CARD:
        if f"`{record[field]}`" not in card:
            raise ReleaseError(
                f"the dataset's card {folder.card} does not name the {field} of its build, {record[field]}: the card "
                "or the build was changed. Build the dataset again, which writes the card anew"
            )


def _check_verified(folder: Folder) -> None:
    command = [sys.executable, "-m", "dataset_script.verify", str(folder.path.resolve())]
    done = subprocess.run(command, cwd=CLONE, stdout=subprocess.PIPE, text=True)  # its progress is shown as it comes
    if done.returncode:
        said = done.stdout.strip() or "see above"
        raise ReleaseError(f"the dataset {folder.path} fails dataset_script.verify:\n{said}")


def _check_compiles(folder: Folder) -> None:
    for name, path in folder.files().items():
        if path.suffix == ".py":
            try:
                compile(path.read_bytes(), name, "exec")
            except (SyntaxError, ValueError) as error:
                raise ReleaseError(f"the Space's {name} is no Python: {error}") from None


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason was given"])[-1]
