"""The `synfundus` command: lists the commands of the project and runs one of them.

    synfundus generate --num-rows 64 --out synfundus-1m

is the same as `python -m dataset_script.generate --num-rows 64 --out synfundus-1m`. Modules are named as text and
imported when their command runs: this file depends on none of them.
"""

from __future__ import annotations

import difflib
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline_synfundus import __version__


class Command(NamedTuple):
    """A command of the project.

    Attributes:
        module: the module to run as `python -m` does, or a script's path from the root of the installation.
        summary: one line for the list of commands.
    """

    module: str
    summary: str


GROUPS = {
    "dataset": {
        "conditions": Command("dataset_script.conditions", "show how often a plan asks for each label"),
        "generate": Command("dataset_script.generate", "generate a labelled dataset from a plan and a model"),
        "verify": Command("dataset_script.verify", "check a generated dataset: every shard, row and image"),
        "convert": Command("dataset_script.convert", "convert the published SynFundus-1M to Parquet"),
        "export": Command("dataset_script.export", "export a dataset to WebDataset tars"),
        "contact-sheet": Command("dataset_script.contact_sheet", "draw a sheet of samples from a dataset"),
    },
    "training": {
        "harmonize": Command("training.harmonize", "turn public fundus sets into one labelled dataset"),
        "train-autoencoder": Command("training.train_autoencoder", "train the autoencoder of a configuration"),
        "train": Command("training.train_generator", "train the generator of a configuration"),
        "adapt": Command("training.adapt", "adapt a trained generator to the photographs of one camera"),
        "distil": Command("training.distil", "distil a generator to four evaluations per image, guidance included"),
        "splits": Command("training.splits", "list the training, validation and test patients of a configuration"),
        "bundle": Command("training.bundle", "put a trained pipeline into the package as its weights"),
    },
    "evaluation": {
        "evaluate": Command("evaluation.report", "measure a synthetic dataset against real photographs"),
        "matched-images": Command("evaluation.matched_images", "generate images with the labels of real photographs"),
        "sweep": Command("evaluation.sampling_sweep", "compare solvers, steps and guidance of a model"),
        "edit-report": Command("evaluation.edit_report", "measure edits of photographs: what changes, what stays"),
        "reconstruction": Command("evaluation.reconstruction", "measure what an autoencoder keeps of photographs"),
        "quality-labels": Command("evaluation.quality_labels", "compare spoiled copies with graders' quality labels"),
        "reader-study": Command("evaluation.reader_study", "run a blind study with human readers"),
        "model-index": Command("evaluation.model_index", "write a report's figures into a model card"),
    },
    "publishing": {
        "push": Command("release.push", "publish the model, the dataset and the Space on the Hub"),
        "space": Command("space/app.py", "serve the Space on this machine"),
    },
}
COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command with the rest of the command line; returns an exit status if the name is not a command.

    A command that runs ends the process with its own exit status.

    Args:
        arguments: the command's name and its arguments; by default those of the process.
    """
    name, *rest = (sys.argv[1:] if arguments is None else list(arguments)) or ["--help"]
    if name in ("-h", "--help", "help"):
        print(describe())
        return 0
    if name == "--version":
        print(f"synfundus {__version__}")
        return 0
    if name not in COMMANDS:
        similar = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f" Did you mean {similar[0]!r}?" if similar else ""
        print(f"synfundus: error: no command {name!r}.{hint} Allowed are: {', '.join(COMMANDS)}.", file=sys.stderr)
        return 2
    run(COMMANDS[name].module, rest)
    return 0


def describe() -> str:
    """Returns the list of commands, by group, with one line each."""
    width = max(map(len, COMMANDS)) + 2
    lines = ["usage: synfundus COMMAND [ARGUMENTS]", "", "`synfundus COMMAND --help` describes a command's arguments."]
    for title, commands in GROUPS.items():
        lines += ["", f"{title}:", *(f"  {name:<{width}}{command.summary}" for name, command in commands.items())]
    return "\n".join(lines)


def run(module: str, arguments: Sequence[str]) -> None:
    """Runs a module or script as `__main__`, with these command-line arguments."""
    if module.endswith(".py"):
        # The root of the installation: a clone, or site-packages.
        script = Path(__file__).parents[1] / module
        sys.argv = [str(script), *arguments]
        sys.path.insert(0, str(script.parent))  # as `python SCRIPT` does, for its sibling modules
        runpy.run_path(str(script), run_name="__main__")
    else:
        # A package runs its `__main__`, as with `python -m`.
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    sys.exit(main())
