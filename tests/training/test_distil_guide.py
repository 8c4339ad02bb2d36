"""The guide "Few steps": its command is parsed and its snippets run as printed."""

import re
import shlex
import sys
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

import training.distillation.settings
from pipeline_synfundus import SynFundusPipeline
from tests.training.test_distil import build_generator
from training.distil import parse_settings
from training.distillation.settings import DistillationSettings

GUIDE = (Path(__file__).parents[2] / "docs" / "few-steps.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)


def test_the_snippets_of_the_guide_run_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    build_generator().save_pretrained("generator")
    short = partial(DistillationSettings, model="generator", images=4, batch_size=4)
    monkeypatch.setattr(training.distillation.settings, "DistillationSettings", short)
    names: dict = {}
    for snippet in blocks("python"):
        exec(snippet, names)
    assert Image.open("glaucoma-in-four-steps.png").size == (8, 8)
    assert isinstance(names["pipe"], SynFundusPipeline)
    assert names["pipe"].config.default_num_inference_steps == 4


def test_the_command_of_the_guide_means_the_same_as_its_call(monkeypatch: pytest.MonkeyPatch) -> None:
    command, *arguments = shlex.split(blocks("sh")[0])
    assert (command, arguments[0]) == ("synfundus", "distil")
    monkeypatch.setattr(sys, "argv", arguments)
    assert parse_settings() == (DistillationSettings("runs/fast"), False)
