"""Who may import whom: the contracts in pyproject.toml hold, and they notice what they forbid."""

import ast
import graphlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = (
    "synfundus",
    "pipeline_synfundus",
    "dataset_script",
    "training",
    "evaluation",
    "release",
    "space",
    "benchmarks",
)


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the code, to plant imports in."""
    for folder in FOLDERS:
        only_code = shutil.ignore_patterns("*.safetensors", "*.png", "__pycache__", "results")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=only_code)
    shutil.copyfile(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    return tmp_path


def plant(module: Path, line: str) -> None:
    module.write_text(f"{module.read_text() if module.exists() else ''}\n{line}\n")


def test_the_contracts_hold(copy: Path) -> None:
    done = lint_imports(copy)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("synfundus/files.py", "import synfundus.cli", "No circles"),
        ("pipeline_synfundus/labels.py", "import synfundus.files", "Folders import downwards"),
        ("evaluation/planted.py", "import training.harmonize", "Folders import downwards"),
        ("training/planted.py", "import evaluation.report", "Folders import downwards"),
        ("pipeline_synfundus/labels.py", "def late():\n    from . import pipeline", "The labels and the reading"),
        ("dataset_script/planted.py", "import pipeline_synfundus.pipeline", "The generator is imported from"),
        ("dataset_script/planted.py", "import release.push", "Nothing imports the Space or the release"),
        ("evaluation/planted.py", "import space.app", "Nothing imports the Space or the release"),
    ],
)
def test_a_planted_import_breaks_its_contract(copy: Path, module: str, line: str, contract: str) -> None:
    if contract == "No circles":
        plant(copy / "synfundus" / "cli.py", "import synfundus.files")
    plant(copy / module, line)
    done = lint_imports(copy)
    assert done.returncode == 1
    (broken,) = (text for text in done.stdout.split("\nBroken contracts\n")[1:])
    assert f"\n{contract}" in broken


def space_graph(space: Path) -> dict[str, set[str]]:
    """The modules of a Space with the modules that each imports, by their dotted names.

    They are top-level modules, as on the Hub, which import-linter does not follow.
    """
    files = {".".join(path.relative_to(space).with_suffix("").parts): path for path in space.rglob("*.py")}
    modules = {name.removesuffix(".__init__"): path for name, path in files.items()}
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        graph[module] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                graph[module] |= {name.name for name in node.names} & set(modules)
            elif isinstance(node, ast.ImportFrom):
                parts = module.split(".") if path.stem == "__init__" else module.split(".")[:-1]
                base = parts[: len(parts) - node.level + 1] if node.level else []
                origin = ".".join([*base, *filter(None, [node.module])])
                named = {f"{origin}.{name.name}".strip(".") for name in node.names}  # `from tabs import quiz`
                graph[module] |= (named & set(modules)) or ({origin} & set(modules))
    return graph


def test_the_scripts_of_the_space_import_each_other_without_a_circle() -> None:
    graph = space_graph(ROOT / "space")
    assert graph["app"] and graph["tabs.quiz"] and graph["generator.sampling"]
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("generator/model.py", "from generator.sampling import Sampler"),
        ("generator/model.py", "from . import settings"),
        ("generator/model.py", "from .settings import Settings"),
        ("tabs/presets.py", "from tabs import quiz_rounds"),
        ("tabs/presets.py", "def late():\n    import page"),
        ("endpoints.py", "import app"),
    ],
)
def test_a_circle_planted_in_the_space_is_found(copy: Path, module: str, line: str) -> None:
    plant(copy / "space" / module, line)
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(space_graph(copy / "space")).prepare()
