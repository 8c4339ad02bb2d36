"""The Space as a repository: what its card and its imports say, and what it does without a model."""

import ast
import re
import sys
from pathlib import Path

import gradio as gr
import pytest
from huggingface_hub import RepoCard

SPACE = Path(__file__).parents[2] / "space"


def test_the_card_is_valid_and_pins_what_is_installed() -> None:
    data = RepoCard.load(SPACE / "README.md").data
    assert data.sdk == "gradio"
    assert len(data.short_description) <= 60
    assert (SPACE / data.app_file).is_file()
    assert f"gradio=={data.sdk_version}" in (SPACE / "requirements.txt").read_text()


def test_it_imports_only_its_own_files_and_the_packages_that_it_requires() -> None:
    own = {path.stem for path in SPACE.glob("*.py")}
    required = set(re.findall(r"^[a-z_]+", (SPACE / "requirements.txt").read_text(), flags=re.MULTILINE))
    comes_with_them = {"numpy", "PIL", "spaces"}  # spaces only where ZeroGPU is
    for path in SPACE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            roots = {name.partition(".")[0] for name in names}
            assert roots <= own | required | comes_with_them | set(sys.stdlib_module_names), path.name


def test_no_file_of_it_hides_a_module_of_the_standard_library_or_a_package() -> None:
    own = {path.stem for path in SPACE.glob("*.py")}
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
