from pathlib import Path

import pytest
import yaml
from PIL import Image

from tests.image_folder import write_image_folder
from training.configuration.config import ConfigError, TrainingConfig, load_config
from training.data.generator_data import load_data


@pytest.fixture()
def folder(tmp_path: Path) -> Path:
    """Photographs of 24 patients at 32 pixels; those of even numbers had 12 pixels."""
    images = [Image.new("RGB", (32, 32), (90 + number, 40, 20)) for number in range(24)]
    labels = {
        "patient": [f"p{number}" for number in range(24)],
        "side": [32 if number % 2 else 12 for number in range(24)],
        "is_pm": [number % 3 // 2 for number in range(24)],
    }
    return write_image_folder(tmp_path / "photographs", images, labels)


def make_config(folder: Path, **generator: object) -> TrainingConfig:
    values = {
        "output_dir": str(folder.parent / "run"),
        "resolution": 32,
        "data": {
            "source": str(folder),
            "group_column": "patient",
            "native_size_column": "side",
            "validation_share": 0.3,
        },
        "generator": {"model": {}, "optimizer": {"images": 8, "batch_size": 8, "learning_rate": 1e-3}} | generator,
    }
    path = folder.parent / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return load_config(path)


def test_enlarged_photographs_are_left_out(folder: Path) -> None:
    data = load_data(make_config(folder), None, 32)
    assert data.training.enlarged is None
    assert (data.training.source_rows % 2 == 1).all()


def test_enlarged_photographs_are_marked_and_not_validated_on(folder: Path) -> None:
    data = load_data(make_config(folder, enlarged_smallest_time=0.7), None, 32)
    enlarged = data.training.enlarged
    assert enlarged is not None
    assert enlarged.any()
    assert not enlarged.all()
    assert (enlarged == (data.training.source_rows % 2 == 0)).all()
    assert data.validation is not None
    assert (data.validation.source_rows % 2 == 1).all()


def test_the_noise_level_of_enlarged_photographs_is_checked(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"generator\.enlarged_smallest_time is 1\.0, but must be in \(0, 1\)"):
        make_config(folder, enlarged_smallest_time=1.0)
