"""The guide "Adapt to your camera": its metadata is read, its command parsed and its snippets run as printed."""

import re
import shlex
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import training.adaptation.settings
from pipeline_synfundus import SynFundusPipeline
from tests.phantom import draw_phantom
from tests.training.test_adapt import write_generator
from training.adapt import parse_settings
from training.adaptation.settings import AdaptationSettings

GUIDE = (Path(__file__).parents[2] / "docs" / "adapt-to-your-camera.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)


def write_photographs(folder: Path) -> None:
    """Files as the guide has them, with its table continued to 80 rows."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    header, *rows = blocks("csv")[0].splitlines()
    rows += [f"{number:04}.jpg,P{number // 2},,{number % 5}" for number in range(len(rows) + 1, 81)]
    (folder / "metadata.csv").write_text("\n".join([header, *rows]) + "\n")
    for row in rows:
        Image.fromarray(draw_phantom({}, 32, rng)).save(folder / row.split(",")[0])


def test_the_snippets_of_the_guide_run_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_photographs(tmp_path / "photographs")
    small = partial(AdaptationSettings, model=str(write_generator(tmp_path / "start")), images=16, evaluation_images=16)
    monkeypatch.setattr(
        training.adaptation.settings, "AdaptationSettings", partial(small, samples=4, learning_rate=2e-3)
    )
    names: dict = {}
    for snippet in blocks("python"):
        exec(snippet, names)
    assert "labels known: dr_grade 79, is_gc 2" in capsys.readouterr().out
    assert Image.open("glaucoma-of-my-camera.png").size == (16, 16)
    assert isinstance(names["pipe"], SynFundusPipeline)


def test_the_command_of_the_guide_means_the_same_as_its_call(monkeypatch: pytest.MonkeyPatch) -> None:
    command, *arguments = shlex.split(blocks("sh")[0])
    assert (command, arguments[0]) == ("synfundus", "adapt")
    monkeypatch.setattr(sys, "argv", arguments)
    names: dict = {}
    call = blocks("python")[0].replace("folder = adapt(AdaptationSettings(", "called = (AdaptationSettings(")
    exec(call, names)
    assert replace(parse_settings()) == names["called"]
