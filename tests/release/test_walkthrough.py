"""The walk-through of docs/ from public sets to a Hub link: each command, in order, on a small scale."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from publishing import NAMESPACE, ROOT, clean_environment, start_hub

from pipeline_synfundus.labels import LABEL_NAMES
from tests.dataset_script.small_release import write_release
from tests.phantom import draw_phantom
from tests.small_training import SMALL
from tests.training.source_folders import write_idrid, write_odir

PAGES = [(ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("training", "datasets", "publishing")]
# What makes the work small; everything else is run as printed.
SMALLER = {".venv/bin/synfundus": "python -m synfundus.cli", "1000000": "12", "100000": "6", "ORG": NAMESPACE}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", "\n".join(PAGES), flags=re.DOTALL | re.MULTILINE)


def draw_photographs(folder: Path) -> None:
    """Puts phantoms in the place of the hand-made sets' empty pictures."""
    rng = np.random.default_rng(0)
    for path in sorted(folder.rglob("*.jpg")):
        Image.fromarray(draw_phantom({"dr_grade": int(rng.integers(5))}, 96, rng)).save(path, quality=95)


@pytest.fixture(scope="module")
def lab(warm_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """A clone without anything of ours but the code, with public sets beside it, and a Hub."""
    folder = tmp_path_factory.mktemp("walkthrough")
    for name in ("synfundus", "pipeline_synfundus", "dataset_script", "training", "release", "space"):
        (folder / name).symlink_to(ROOT / name)
    write_odir(folder / "path" / "to" / "ODIR-5K", [("normal fundus", "moderate non proliferative retinopathy")] * 24)
    write_idrid(folder / "path" / "to" / "IDRiD")
    draw_photographs(folder / "path")
    write_release(folder / "path" / "to" / "release", ["part1", "part1", "part2"])
    (config,) = blocks("yaml")
    (folder / "mine.yaml").write_text(yaml.safe_dump(yaml.safe_load(config) | SMALL))
    with start_hub(folder / "hub") as hub:
        environment = clean_environment(hub, folder / "cache") | {"SYNFUNDUS_CPU_BACKEND": "torch"}
        yield folder, environment | {"PATH": f"{warm_python.parent}:{environment['PATH']}"}


def run(command: str, lab: tuple[Path, dict[str, str]]) -> str:
    folder, environment = lab
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_each_command_works_after_the_one_before_and_ends_in_a_hub_link(lab: tuple[Path, dict[str, str]]) -> None:
    folder, _ = lab
    printed = []
    for command in "".join(blocks("sh")).splitlines():
        for full, small in SMALLER.items():
            command = command.replace(full, small)
        printed.append(run(command, lab))
    assert f"/datasets/{NAMESPACE}/my-million" in printed[-1]
    assert not (folder / "runs" / "mine" / "pipeline" / "__pycache__").exists()
    shutil.rmtree(folder / "my-million")
    code = f"""
from datasets import load_dataset
from diffusers import DiffusionPipeline
eyes = load_dataset("{NAMESPACE}/my-million")
pipe = DiffusionPipeline.from_pretrained("{NAMESPACE}/synfundus-generator", trust_remote_code=True)
image = pipe({{"dr_grade": 3}}, num_inference_steps=1).images[0]
train, names = eyes["train"], set({list(LABEL_NAMES)})
print(sum(eyes.num_rows.values()), train[0]["image"].size, image.size, names - set(train.column_names))
"""
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "use.py").write_text(code)
    assert run("cd elsewhere && python use.py", lab) == "12 (32, 32) (32, 32) set()\n"


def test_the_command_that_logs_in_exists(lab: tuple[Path, dict[str, str]]) -> None:
    assert "`hf auth login`" in PAGES[-1]
    hf = Path(sys.executable).with_name("hf")
    assert "hf auth login" in run(f"python '{hf}' auth login --help", lab)
