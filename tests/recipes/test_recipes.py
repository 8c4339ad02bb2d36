"""The recipes in docs/recipes run as printed, with a small dataset in the place of `synfundus-1m`."""

import os
import random
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.dataset_replay import ReplaySource, begin_build, end_build
from dataset_script import export
from dataset_script.build.shards import build_missing_shards
from dataset_script.plan.condition_plan import load_plan

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "docs" / "recipes"
NUM_ROWS = 600


def code(recipe: str) -> str:
    """The Python of a recipe."""
    return "\n".join(re.findall(r"^```python\n(.*?)^```", (RECIPES / recipe).read_text(), re.DOTALL | re.MULTILINE))


@dataclass(frozen=True)
class Recipes:
    """Runs recipes as scripts in `folder`, as a user would."""

    folder: Path
    python: Path

    def start(self, recipe: str, *arguments: str) -> subprocess.Popen:
        """Starts a recipe."""
        script = self.folder / f"recipe_{recipe.removesuffix('.md')}.py"
        if not script.exists():
            script.write_text(code(recipe).replace("  # a training step", "; import time; time.sleep(0.01)"))
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [self.python, script, *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=pipe, stderr=pipe, text=True)

    def run(self, recipe: str, *arguments: str) -> str:
        """Runs a recipe; returns what it prints."""
        process = self.start(recipe, *arguments)
        printed, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        return printed


@pytest.fixture(scope="module")
def recipes(warm_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Recipes:
    """A folder with a dataset `synfundus-1m` of 600 rows of noise, in eight shards and more."""
    plan, out = load_plan(), tmp_path_factory.mktemp("recipes")
    source = ReplaySource(np.random.default_rng(0).integers(0, 256, (64, 24, 24, 3), np.uint8))
    built = begin_build(out / "synfundus-1m", plan, source, NUM_ROWS, "png")
    build_missing_shards(built, plan, source, 64)
    end_build(built, plan)
    return Recipes(out, warm_python)


def train_rows() -> list[int]:
    return load_plan().split_rows(NUM_ROWS)["train"].tolist()


def test_all_recipes_are_listed() -> None:
    listed = set(re.findall(r"\]\(([\w-]+\.md)\)", (RECIPES / "README.md").read_text()))
    assert listed == {path.name for path in RECIPES.glob("*.md")} - {"README.md"}


def test_the_loaders_give_batches_balanced_classes_and_every_row_once(recipes: Recipes) -> None:
    printed = recipes.run("pytorch.md")
    assert "torch.Size([16, 3, 24, 24]) torch.Size([16, 3])" in printed
    assert "tensor(0.6931" in printed
    shares = re.search(r"glaucoma: (\d+)% of the rows, (\d+)% of the drawn rows", printed)
    assert shares and int(shares[1]) < 20 and 42 <= int(shares[2]) <= 58
    assert f"{len(train_rows())} rows, {len(train_rows())} of them different" in printed


@pytest.mark.parametrize("kind", ["memory", "stream"])
def test_a_killed_training_resumes_without_lost_or_repeated_rows(recipes: Recipes, tmp_path: Path, kind: str) -> None:
    checkpoint, chance = tmp_path / "checkpoint.pt", random.Random(0)
    process = recipes.start("resuming.md", str(checkpoint), kind)
    while process.poll() is None and not checkpoint.exists():
        time.sleep(0.002)
    time.sleep(chance.uniform(0, 0.1))
    if process.poll() is not None:
        pytest.fail(f"the training ended before it was killed: {process.communicate()}")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    seen = torch.load(checkpoint)["seen"]
    assert 0 < len(seen) < len(train_rows())
    assert (
        recipes.run("resuming.md", str(checkpoint), kind)
        == f"{len(train_rows())} rows, {len(train_rows())} of them different\n"
    )
    assert sorted(torch.load(checkpoint)["seen"]) == train_rows()


def test_classifiers_are_trained(recipes: Recipes) -> None:
    printed = recipes.run("classifiers.md")
    assert re.search(r"^0\.\d+$|^1\.0$|^0\.0$", printed, re.MULTILINE)
    assert re.search(r"loss \d\.\d\d", printed)
    assert (recipes.folder / "classifier" / "model.safetensors").exists()
    assert (recipes.folder / "network.pt").exists()


def test_the_rows_with_a_rare_finding_are_fetched(recipes: Recipes) -> None:
    plan = load_plan()
    rare = [row.idx for row in plan.rows(train_rows()) if row.condition["is_rvo"] == 1]
    *rows, last = recipes.run("rare-findings.md").splitlines()
    assert [int(line.split()[0]) for line in rows] == rare
    assert last == "(24, 24)"


def test_the_labels_are_read_as_tables(recipes: Recipes) -> None:
    printed = recipes.run("tables.md")
    counts = re.findall(r"│ +(\d) │ +(\d+) │", printed)  # DuckDB
    plan = load_plan()
    grades = [row.condition["dr_grade"] for row in plan.rows(range(NUM_ROWS))]
    assert {(str(grade), str(grades.count(grade))) for grade in range(5)} <= set(counts)
    assert re.search(r"\['none', '\w[^]]*'\]", printed)


def test_the_tars_are_read(recipes: Recipes) -> None:
    assert export.main([str(recipes.folder / "synfundus-1m"), "--out", str(recipes.folder / "synfundus-tars")]) == 0
    assert re.fullmatch(r"\(24, 24\) \d+ [0-4]\n", recipes.run("webdataset.md"))
