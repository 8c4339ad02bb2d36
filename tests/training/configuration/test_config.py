from pathlib import Path

import pytest

from training.configuration.config import ConfigError, load_config
from training.configuration.presets import PRESETS

CONFIGS = sorted(Path("training/configs").glob("*.yaml"))
MINIMAL = """
output_dir: runs/x
resolution: 32
data: {source: photographs}
generator:
  model: {sample_size: 32}
  optimizer: {images: 100, batch_size: 10, learning_rate: 1.0e-3}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_shipped_configurations_are_valid(path: Path) -> None:
    assert load_config(path).generator.optimizer.images > 0


def test_a_generator_on_pixels_needs_no_autoencoder(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, MINIMAL))
    assert config.autoencoder is None
    assert config.generator.optimizer.learning_rate == 1e-3


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_needs_only_photographs(tmp_path: Path, name: str) -> None:
    config = load_config(write(tmp_path, f"{{preset: {name}, output_dir: runs/x, data: {{source: photographs}}}}"))
    assert config.resolution == PRESETS[name].resolution
    assert config.generator.model["block_out_channels"] == list(PRESETS[name].unet)
    assert config.autoencoder is not None


def test_what_the_file_says_wins_over_the_preset(tmp_path: Path) -> None:
    optimizer = "{images: 5, warmup_images: 1, cooldown_images: 0}"
    text = f"{{preset: small-256, output_dir: x, data: {{source: y}}, generator: {{optimizer: {optimizer}}}}}"
    generator = load_config(write(tmp_path, text)).generator
    assert generator.optimizer.images == 5
    assert generator.optimizer.learning_rate == PRESETS["small-256"].rate


def test_an_unknown_preset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="preset is 'tiny', but must be one of small-256, base-512, large-512"):
        load_config(write(tmp_path, "{preset: tiny, output_dir: x, data: {source: y}}"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("batch_size", "batchsize", r"unknown field generator\.optimizer\.batchsize; did you mean batch_size\?"),
        ("resolution: 32", "", "resolution is missing"),
        ("resolution: 32", "resolution: big", "resolution is 'big', but must be of type int"),
        ("images: 100", "images: 0", r"optimizer\.images is 0, but must be a positive integer"),
        ("{images: 100", "{algorithm: sgd, images: 100", r"optimizer\.algorithm is 'sgd', but must be adamw or muon"),
        ("images: 100", "images: true", r"generator\.optimizer\.images is True, but must be of type int"),
        ("data: {source: photographs}", "data: photographs", "data must be a mapping, not 'photographs'"),
        ("{source: photographs}", "{source: a, validation_share: 1.5}", r"data\.validation_share is 1\.5"),
        ("output_dir: runs/x", "output_dir: [", "is not valid YAML"),
    ],
)
def test_a_wrong_configuration_is_refused_by_name(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(write(tmp_path, MINIMAL.replace(old, new)))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the configuration .*nowhere\.yaml"):
        load_config(tmp_path / "nowhere.yaml")
