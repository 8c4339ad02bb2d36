import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dataset_script.build.image_generator import choose_dtype, choose_sampling, find_model, load_generator
from dataset_script.errors import BuildError
from dataset_script.plan.condition_plan import load_plan


def copy_with_code(model: Path, out: Path, code: str) -> Path:
    """A copy of a model with other code in its folder."""
    shutil.copytree(model, out)
    (out / "pipeline.py").write_text(code)
    return out


def test_the_code_in_a_model_folder_does_not_run(tiny_pipeline_dir, tmp_path):
    model = find_model(str(copy_with_code(tiny_pipeline_dir, tmp_path / "model", "raise SystemExit('foreign code')")))
    source = load_generator(model, choose_sampling(model, 1, None, "float32"), "cpu")
    assert source([load_plan().row(0)]).shape == (1, 16, 16, 3)


def test_the_code_in_a_model_folder_runs_on_request(tiny_pipeline_dir, tmp_path):
    marker = tmp_path / "ran"
    code = (tiny_pipeline_dir / "pipeline.py").read_text() + f"\nPath({str(marker)!r}).touch()\n"
    model = find_model(str(copy_with_code(tiny_pipeline_dir, tmp_path / "model", code)), trust_remote_code=True)
    source = load_generator(model, choose_sampling(model, 1, None, "float32"), "cpu")
    assert source([load_plan().row(0)]).dtype == np.uint8
    assert marker.exists()


@pytest.mark.parametrize("name", ["OtherPipeline", ["pipeline", "OtherPipeline"], None])
def test_a_pipeline_of_another_class_needs_trust(tiny_pipeline_dir, tmp_path, name):
    shutil.copytree(tiny_pipeline_dir, tmp_path / "model")
    index = tmp_path / "model" / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "_class_name": name}))
    with pytest.raises(BuildError, match="add --trust-remote-code"):
        find_model(str(tmp_path / "model"))
    assert find_model(str(tmp_path / "model"), trust_remote_code=True).trust_remote_code


def test_a_revision_of_a_local_folder_is_refused(tiny_pipeline_dir):
    with pytest.raises(BuildError, match="is a local folder; leave --revision out"):
        find_model(str(tiny_pipeline_dir), revision="v1")


def test_a_model_without_default_settings_needs_them(tiny_pipeline_dir, tmp_path):
    shutil.copytree(tiny_pipeline_dir, tmp_path / "model")
    index = tmp_path / "model" / "model_index.json"
    content = json.loads(index.read_text())
    del content["default_guidance_scale"]
    index.write_text(json.dumps(content))
    model = find_model(str(tmp_path / "model"))
    with pytest.raises(BuildError, match="no default for --guidance-scale; give --guidance-scale"):
        choose_sampling(model, None, None, "float32")
    assert choose_sampling(model, None, 1.5, "float32").guidance_scale == 1.5


@pytest.mark.parametrize("units", [True, False])
def test_a_named_type_is_kept_and_a_slow_one_noted(
    units: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipeline_synfundus.cpu_inference.computes_bfloat16", lambda: units)
    assert choose_dtype("bfloat16", "torch", "cpu") == "bfloat16"
    assert ("no bfloat16 units: --dtype float32 would be faster" in capsys.readouterr().out) == (not units)
    assert choose_dtype("bfloat16", "torch", "cuda:0") == "bfloat16"
    assert choose_dtype(None, "torch", "cpu") == "float32"
    assert choose_dtype(None, "openvino", "cpu") == ("bfloat16" if units else "float32")
    assert capsys.readouterr().out == ""
