"""What a visitor takes home, and what is shown of two pictures."""

import csv
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from datasets import load_dataset
from generator.settings import check_one
from PIL import Image
from results.difference import show_difference
from results.export import save_downloads

from pipeline_synfundus.labels import CONDITION_NAMES


@pytest.fixture
def downloads(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    settings = check_one(model, {"dr_grade": 2, "is_dme": 1, "is_gc": None}, 2, 7, 3, 1.5)
    return save_downloads(model, settings, [Image.new("RGB", (16, 16), (200, shade, 0)) for shade in (10, 90)])


def test_every_image_says_that_it_is_synthetic_and_how_it_was_made(model: Any, downloads: Any) -> None:
    with Image.open(downloads.images[1]) as image:
        text = image.text
        assert image.getpixel((0, 0)) == (200, 90, 0)
    assert text["SynFundus-Synthetic"] == "true"
    assert "not for diagnosis" in text["Description"]
    assert text["SynFundus-Revision"] == model.revision
    request = json.loads(text["SynFundus-Request"])
    assert (request["dr_grade"], request["is_gc"], request["seed"], request["guidance_scale"]) == (2, -1, 8, 1.5)


def test_both_tables_hold_the_fifteen_labels_and_the_eye_side(downloads: Any) -> None:
    table = pd.read_parquet(downloads.parquet)
    assert list(table.columns[1:17]) == list(CONDITION_NAMES)
    assert table[["dr_grade", "is_dme", "is_gc", "seed"]].to_numpy().tolist() == [[2, 1, -1, 7], [2, 1, -1, 8]]
    with downloads.csv.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file_name"] for row in rows] == [path.name for path in downloads.images]
    assert [int(rows[0][name]) for name in CONDITION_NAMES] == table.loc[0, list(CONDITION_NAMES)].tolist()


def test_the_unpacked_archive_is_a_dataset(downloads: Any, tmp_path: Path) -> None:
    with zipfile.ZipFile(downloads.archive) as archive:
        archive.extractall(tmp_path / "unpacked")
    rows = load_dataset("imagefolder", data_dir=str(tmp_path / "unpacked"), split="train")
    assert [row["seed"] for row in rows] == [7, 8]
    assert rows[0]["dr_grade"] == 2
    assert rows[0]["image"].size == (16, 16)


def test_captions_say_what_was_asked_for(downloads: Any) -> None:
    assert downloads.captions[0] == "moderate NPDR (DR grade 2), diabetic macular edema, glaucoma unknown, seed 7"


def test_the_difference_lights_up_where_the_picture_changed_and_nowhere_else() -> None:
    reference = np.full((64, 64, 3), 100, dtype=np.uint8)
    other = reference.copy()
    other[8:24, 8:24] = 220
    marked, share = show_difference(Image.fromarray(reference), Image.fromarray(other))
    pixels = np.asarray(marked, dtype=int)
    assert pixels[16, 16].tolist() == [90, 220, 255]
    assert np.ptp(pixels[48, 48]) == 0
    assert share == pytest.approx(16 * 16 / 64 / 64, rel=0.3)


def test_equal_pictures_have_no_difference_and_unequal_sizes_are_refused() -> None:
    image = Image.effect_noise((32, 32), 60).convert("RGB")
    assert show_difference(image, image)[1] == 0
    with pytest.raises(ValueError, match=r"sizes \(32, 32\) and \(16, 16\)"):
        show_difference(image, image.resize((16, 16)))
