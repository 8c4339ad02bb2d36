"""The README's way from a folder of photographs to a Hub link: each command, in order, on a small scale."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from publishing import NAMESPACE, ROOT, clean_environment, start_hub

from pipeline_synfundus.labels import LABEL_NAMES
from tests.phantom import draw_phantom
from tests.training.source_folders import write_idrid, write_odir

SECTION = re.search(
    r"^## Train your own, build your own million, publish it\n(.*?)^## ",
    (ROOT / "README.md").read_text(encoding="utf-8"),
    flags=re.DOTALL | re.MULTILINE,
)
# What makes the README's work small; everything else is run as printed.
SMALLER = {".venv/bin/python": sys.executable, "1000000": "12", "ORG": NAMESPACE}
FEW: dict[str, Any] = {"images": 32, "batch_size": 8, "warmup_images": 8, "sample_images": 32, "checkpoint_images": 32}
SMALL_TRAINING: dict[str, Any] = {
    "autoencoder": {"optimizer": FEW, "decoder": {"optimizer": FEW}},
    "generator": {"optimizer": FEW, "num_inference_steps": 2},
}


def blocks(language: str) -> list[str]:
    assert SECTION is not None, "the README's section has another title"
    return re.findall(rf"^```{language}\n(.*?)^```", SECTION[1], flags=re.DOTALL | re.MULTILINE)


def draw_photographs(folder: Path) -> None:
    """Puts phantoms in the place of the hand-made sets' empty pictures."""
    rng = np.random.default_rng(0)
    for path in sorted(folder.rglob("*.jpg")):
        Image.fromarray(draw_phantom({"dr_grade": int(rng.integers(5))}, 96, rng)).save(path, quality=95)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """A clone without anything of ours but the code, with public sets beside it, and a Hub."""
    folder = tmp_path_factory.mktemp("walkthrough")
    for name in ("pipeline_synfundus", "dataset_script", "training", "release", "space", "pyproject.toml"):
        (folder / name).symlink_to(ROOT / name)
    write_odir(folder / "path" / "to" / "ODIR-5K", [("normal fundus", "moderate non proliferative retinopathy")] * 24)
    write_idrid(folder / "path" / "to" / "IDRiD")
    draw_photographs(folder / "path")
    (config,) = blocks("yaml")
    (folder / "mine.yaml").write_text(yaml.safe_dump(yaml.safe_load(config) | SMALL_TRAINING))
    with start_hub(folder / "hub") as hub:
        yield folder, clean_environment(hub, folder / "cache")


def run(command: str, lab: tuple[Path, dict[str, str]]) -> str:
    folder, environment = lab
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_each_command_works_after_the_one_before_and_ends_in_a_hub_link(lab: tuple[Path, dict[str, str]]) -> None:
    folder, _ = lab
    printed = []
    for line in "".join(blocks("sh")).splitlines():
        command = line.partition("  #")[0]
        for full, small in SMALLER.items():
            command = command.replace(full, small)
        printed.append(run(command, lab))
    assert f"/datasets/{NAMESPACE}/my-million" in printed[-1]
    assert not (folder / "runs" / "mine" / "pipeline" / "__pycache__").exists()
    shutil.rmtree(folder / "my-million")
    code = f"""
from datasets import load_dataset
from diffusers import DiffusionPipeline
eyes = load_dataset("{NAMESPACE}/my-million", split="train")
pipe = DiffusionPipeline.from_pretrained("{NAMESPACE}/synfundus-generator", trust_remote_code=True)
image = pipe({{"dr_grade": 3}}, num_inference_steps=1).images[0]
print(len(eyes), eyes[0]["image"].size, image.size, len(set({list(LABEL_NAMES)}) - set(eyes.column_names)))
"""
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "use.py").write_text(code)
    assert run(f"cd elsewhere && {sys.executable} -I use.py", lab) == "12 (128, 128) (128, 128) 0\n"


def test_the_command_that_logs_in_exists() -> None:
    assert SECTION is not None and "`hf auth login`" in SECTION[1]
    hf = Path(sys.executable).with_name("hf")
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    assert subprocess.run([hf, "auth", "login", "--help"], env=environment, capture_output=True).returncode == 0
