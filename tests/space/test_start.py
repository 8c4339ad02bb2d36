"""The Space as a repository: what its card and its imports say, and what it does without a model."""

import ast
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from huggingface_hub import RepoCard

from pipeline_synfundus import SynFundusPipeline

ROOT = Path(__file__).parents[2]
SPACE = ROOT / "space"


def test_the_card_is_valid_and_pins_what_is_installed() -> None:
    data = RepoCard.load(SPACE / "README.md").data
    assert data.sdk == "gradio"
    assert len(data.short_description) <= 60
    assert (SPACE / data.app_file).is_file()
    assert f"gradio=={data.sdk_version}" in (SPACE / "requirements.txt").read_text()


def test_it_imports_only_its_own_files_and_the_packages_that_it_requires() -> None:
    own = {path.stem for path in SPACE.iterdir()} | {"pipeline_synfundus"}  # copied into it when it is published
    required = set(re.findall(r"^[a-z_]+", (SPACE / "requirements.txt").read_text(), flags=re.MULTILINE))
    comes_with_them = {"numpy", "PIL", "spaces"}  # spaces only where ZeroGPU is
    for path in SPACE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            roots = {name.partition(".")[0] for name in names}
            assert roots <= own | required | comes_with_them | set(sys.stdlib_module_names), path.name


def test_no_file_of_it_hides_a_module_of_the_standard_library_or_a_package() -> None:
    own = {path.stem for path in SPACE.iterdir() if path.suffix in ("", ".py")}
    assert not own & (set(sys.stdlib_module_names) | {"requests", "spaces", "gradio"})


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("SYNFUNDUS_MODEL", "no/such-model", "The model 'no/such-model' could not be loaded."),
        ("SYNFUNDUS_REAL_IMAGES", "/no/such/folder", "SYNFUNDUS_REAL_IMAGES is '/no/such/folder'"),
    ],
)
def test_a_space_that_cannot_start_is_a_page_that_says_why(
    monkeypatch: pytest.MonkeyPatch, tiny_pipeline_dir: Path, variable: str, value: str, reason: str
) -> None:
    from app import build_app

    monkeypatch.setenv("SYNFUNDUS_MODEL", str(tiny_pipeline_dir))
    monkeypatch.setenv(variable, value)
    page = build_app()
    texts = [block.value for block in page.blocks.values() if isinstance(block, gr.HTML)]
    assert any("This Space could not start" in text and reason in text.replace("&#x27;", "'") for text in texts)
    assert any("Research only" in text for text in texts)


@pytest.mark.parametrize("pin", ["[]", "{", '{"repo_id": "lab/model"}'])
def test_a_pin_that_names_no_model_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pin: str) -> None:
    from generator import model

    monkeypatch.delenv("SYNFUNDUS_MODEL", raising=False)
    monkeypatch.setattr(model, "PIN", tmp_path / "generator.json")
    model.PIN.write_text(pin)
    with pytest.raises(model.StartError, match=r"generator\.json must name the model's repo_id and revision"):
        model.find_model_name()


def spoil_code(folder: Path) -> Path:
    """Makes the code of a model folder fail when it runs."""
    for path in folder.rglob("*.py"):
        path.write_text("raise RuntimeError('code of the folder was run')\n")
    return folder


def test_code_in_a_models_folder_is_not_run_unless_it_is_trusted(tiny_pipeline_dir: Path, tmp_path: Path) -> None:
    from generator.model import ModelName, StartError, load_model

    folder = spoil_code(Path(shutil.copytree(tiny_pipeline_dir, tmp_path / "model")))
    assert type(load_model(ModelName(str(folder))).pipeline) is SynFundusPipeline
    with pytest.raises(StartError, match="code of the folder was run"):
        load_model(ModelName(str(folder), trust_remote_code=True))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (str(ROOT / "pipeline_synfundus"), None, False)),
        ({"SYNFUNDUS_MODEL": "lab/eyes", "SYNFUNDUS_REVISION": "v2"}, ("lab/eyes", "v2", False)),
        (
            {"SYNFUNDUS_MODEL": "lab/eyes", "SYNFUNDUS_REVISION": "v2", "SYNFUNDUS_TRUST_REMOTE_CODE": "1"},
            ("lab/eyes", "v2", True),
        ),
    ],
)
def test_the_settings_name_the_model_and_without_them_it_is_the_bundled_one(
    monkeypatch: pytest.MonkeyPatch, settings: dict, expected: tuple
) -> None:
    found = find_with(monkeypatch, settings)
    assert (found.name, found.revision, found.trust_remote_code) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"SYNFUNDUS_MODEL": "lab/eyes", "SYNFUNDUS_TRUST_REMOTE_CODE": "1"}, "SYNFUNDUS_REVISION must be the commit"),
        ({"SYNFUNDUS_TRUST_REMOTE_CODE": "yes"}, "SYNFUNDUS_TRUST_REMOTE_CODE is 'yes', but must be 1 or 0"),
        ({"SYNFUNDUS_REVISION": "v2"}, "need SYNFUNDUS_MODEL, which is not set"),
    ],
)
def test_wrong_settings_of_the_model_are_explained(
    monkeypatch: pytest.MonkeyPatch, settings: dict, message: str
) -> None:
    from generator.model import StartError

    with pytest.raises(StartError, match=message):
        find_with(monkeypatch, settings)


def test_without_weights_or_pin_no_name_on_the_hub_is_tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from generator import model

    monkeypatch.setattr(model, "BUNDLED", tmp_path)
    with pytest.raises(model.StartError, match="There is no model"):
        find_with(monkeypatch, {})


def find_with(monkeypatch: pytest.MonkeyPatch, settings: dict) -> Any:
    from generator import model

    for name in (model.MODEL, model.REVISION, model.TRUST):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return model.find_model_name()
