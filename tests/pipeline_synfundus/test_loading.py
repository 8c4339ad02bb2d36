import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline

from pipeline_synfundus import FundusConditionEncoder, SynFundusPipeline

BUNDLED = Path(__file__).parents[2] / "pipeline_synfundus"
CONDITION = {"dr_grade": 3, "is_dme": 1}
MODULES = ("pipeline.py", "labels.py", "editing.py", "noise_levels.py", "photograph.py", "decoding.py")

# Runs in a process of its own, in which the package cannot be imported, as on a machine that has only diffusers.
STRANGER = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "pipeline_synfundus":
            raise ImportError(name + " is not installed here")

sys.meta_path.insert(0, Block())
import numpy as np
from diffusers import DiffusionPipeline

try:
    import pipeline_synfundus
except ImportError:
    pass
else:
    raise SystemExit("the package is importable")

source, copy, output = sys.argv[1:]
condition = {"dr_grade": 3, "is_dme": 1}
images = []
for folder in (source, copy):
    pipe = DiffusionPipeline.from_pretrained(folder, trust_remote_code=True)
    images.append(pipe([condition] * 2, generator=[1, 2], num_inference_steps=2, output_type="np"))
    pipe.save_pretrained(copy)
pipe = type(pipe).from_pretrained(copy, trust_remote_code=True)  # by the class of the folder
images.append(pipe([condition] * 2, generator=[1, 2], num_inference_steps=2, output_type="np"))
photograph = (images[-1].images[0] * 255).astype("uint8")
edited = pipe(condition, image=photograph, inversion=True, num_inference_steps=2, output_type="np").images
assert np.isfinite(edited).all()
try:
    pipe({"dr_grad": 3})
except ValueError as error:
    assert "did you mean 'dr_grade'" in str(error), error
assert "datasets" not in sys.modules
np.save(output, np.stack([image.images for image in images]))
"""


def generate(pipeline: DiffusionPipeline) -> np.ndarray:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline([CONDITION] * 2, generator=[1, 2], num_inference_steps=2, output_type="np").images


def load_as_a_stranger(python: Path, source: Path, scratch: Path) -> np.ndarray:
    """Images of `source` and, twice, of the copy that it saves, made where the package is not importable."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment["HF_MODULES_CACHE"] = str(scratch / "modules")
    command = [python, "-c", STRANGER, str(source), str(scratch / "copy"), str(scratch / "images.npy")]
    done = subprocess.run(command, cwd=scratch, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return np.load(scratch / "images.npy")


def test_the_folder_loads_and_saves_where_the_package_is_not_installed(
    diffusers_python: Path, tiny_pipeline: SynFundusPipeline, tiny_pipeline_dir: Path, tmp_path: Path
) -> None:
    images = load_as_a_stranger(diffusers_python, tiny_pipeline_dir, tmp_path)
    expected = generate(tiny_pipeline)
    assert np.abs(images[0] - expected).max() < 1e-5
    assert np.array_equal(images[0], images[1])
    assert np.array_equal(images[0], images[2])


def test_the_package_loads_a_folder_without_running_its_code(
    tiny_pipeline: SynFundusPipeline, tiny_pipeline_dir: Path, tmp_path: Path
) -> None:
    loaded = SynFundusPipeline.from_pretrained(tiny_pipeline_dir)
    assert type(loaded) is SynFundusPipeline
    assert type(loaded.condition_encoder) is FundusConditionEncoder
    assert np.array_equal(generate(loaded), generate(tiny_pipeline))
    loaded.save_pretrained(tmp_path / "copy")
    trusted = DiffusionPipeline.from_pretrained(tmp_path / "copy", trust_remote_code=True)
    assert type(trusted) is not SynFundusPipeline
    assert np.array_equal(generate(trusted), generate(tiny_pipeline))
    for name in (*MODULES, "condition_encoder/condition_encoder.py"):
        copied, own = tmp_path / "copy" / name, BUNDLED / name
        assert copied.read_text() == own.read_text()
        copied.write_text("raise RuntimeError('code of the folder was run')\n")
    for options in ({}, {"trust_remote_code": True}):
        loaded = SynFundusPipeline.from_pretrained(tmp_path / "copy", **options)
        assert np.array_equal(generate(loaded), generate(tiny_pipeline))


def read_index(folder: Path) -> dict:
    return json.loads((folder / "model_index.json").read_text())


def test_the_index_has_the_list_form(tiny_pipeline_dir: Path, tmp_path: Path) -> None:
    SynFundusPipeline.from_pretrained(tiny_pipeline_dir).save_pretrained(tmp_path / "copy")
    index = read_index(tmp_path / "copy")
    assert index["_class_name"] == ["pipeline", "SynFundusPipeline"]
    assert index["condition_encoder"] == ["condition_encoder", "FundusConditionEncoder"]
    assert index["unet"] == ["diffusers", "UNet2DModel"]
    assert index == read_index(tiny_pipeline_dir)


def test_the_model_brings_its_own_defaults(tiny_pipeline: SynFundusPipeline, tmp_path: Path) -> None:
    SynFundusPipeline(
        **tiny_pipeline.components, default_num_inference_steps=3, default_guidance_scale=4.5
    ).save_pretrained(tmp_path / "copy")
    for loaded in (
        SynFundusPipeline.from_pretrained(tmp_path / "copy"),
        DiffusionPipeline.from_pretrained(tmp_path / "copy", trust_remote_code=True),
    ):
        loaded.set_progress_bar_config(disable=True)
        unsaid = loaded(CONDITION, generator=1, output_type="np").images
        assert loaded.num_timesteps == 3
        said = tiny_pipeline(CONDITION, generator=1, num_inference_steps=3, guidance_scale=4.5, output_type="np").images
        assert np.array_equal(unsaid, said)


def test_no_saved_file_says_where_it_was_loaded_from(tiny_pipeline_dir: Path, tmp_path: Path) -> None:
    trusted = DiffusionPipeline.from_pretrained(tiny_pipeline_dir, trust_remote_code=True)
    for number, loaded in enumerate((trusted, SynFundusPipeline.from_pretrained(tiny_pipeline_dir))):
        assert loaded.unet.config._name_or_path == str(tiny_pipeline_dir / "unet")
        copy = tmp_path / str(number)
        loaded.save_pretrained(copy)
        configs = {path.relative_to(copy): path.read_text() for path in copy.rglob("*.json")}
        assert len(configs) == 5
        for path, text in configs.items():
            assert "_name_or_path" not in text, path
            assert str(tiny_pipeline_dir) not in text, path


def test_a_compiled_encoder_is_saved_as_what_it_was(tiny_pipeline_dir: Path, tmp_path: Path) -> None:
    loaded = SynFundusPipeline.from_pretrained(tiny_pipeline_dir)
    loaded.condition_encoder = torch.compile(loaded.condition_encoder)
    loaded.save_pretrained(tmp_path / "copy")
    assert read_index(tmp_path / "copy") == read_index(tiny_pipeline_dir)
    assert [path.name for path in (tmp_path / "copy" / "condition_encoder").glob("*.py")] == ["condition_encoder.py"]


def test_without_an_autoencoder(tiny_pixel_pipeline: SynFundusPipeline, tmp_path: Path) -> None:
    tiny_pixel_pipeline.save_pretrained(tmp_path / "pixels")
    for loaded in (
        SynFundusPipeline.from_pretrained(tmp_path / "pixels"),
        DiffusionPipeline.from_pretrained(tmp_path / "pixels", trust_remote_code=True),
    ):
        assert loaded.vae is None
        assert np.array_equal(generate(loaded), generate(tiny_pixel_pipeline))


def test_components_can_be_replaced_while_loading(tiny_pipeline: SynFundusPipeline, tiny_pipeline_dir: Path) -> None:
    loaded = SynFundusPipeline.from_pretrained(tiny_pipeline_dir, unet=tiny_pipeline.unet)
    assert loaded.unet is tiny_pipeline.unet


def test_code_of_a_folder_needs_trust(tiny_pipeline_dir: Path) -> None:
    with pytest.raises(ValueError, match="trust_remote_code"):
        DiffusionPipeline.from_pretrained(tiny_pipeline_dir)


def test_the_bundled_weights_load_for_strangers_and_for_the_package(diffusers_python: Path, tmp_path: Path) -> None:
    images = load_as_a_stranger(diffusers_python, BUNDLED, tmp_path)
    assert images.shape[-3:] == (512, 512, 3)
    assert np.abs(images[0] - generate(SynFundusPipeline.from_pretrained())).max() < 1e-4


def test_the_bundled_weights_are_safetensors_and_small() -> None:
    weights = [path for path in BUNDLED.rglob("*") if path.suffix in (".safetensors", ".bin", ".pt", ".pth")]
    assert {path.suffix for path in weights} == {".safetensors"}
    assert sum(path.stat().st_size for path in weights) <= 48e6
