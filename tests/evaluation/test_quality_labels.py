import json
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from evaluation.quality_labels import KIND_OF_LABELS, main
from tests.phantom import draw_phantom


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms: 90 without a grade, 20 that graders accepted, 20 that they rejected."""
    rng = np.random.default_rng(0)
    grades = ["-1"] * 90 + ["1"] * 20 + ["0"] * 20
    images = []
    for grade in grades:
        image = draw_phantom({"eye_side": int(rng.integers(2))}, 96, rng)
        if grade == "0":  # blurred by eight and dark
            small = Image.fromarray(image // 3).resize((12, 12), Image.Resampling.BOX)
            image = np.asarray(small.resize((96, 96), Image.Resampling.BILINEAR))
        images.append(Image.fromarray(image))
    columns = {"image": images, "patient": [f"p{row}" for row in range(len(grades))], "is_fundus": grades}
    features = datasets.Features(
        image=datasets.Image(), patient=datasets.Value("string"), is_fundus=datasets.Value("string")
    )
    folder = tmp_path_factory.mktemp("graded")
    datasets.Dataset.from_dict(columns, features=features).to_parquet(folder / "train.parquet")
    return folder


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["quality_labels", *arguments])
    main()


def test_spoiled_copies_and_rejected_photographs_recognise_each_other(
    graded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "agreement.json"
    run(monkeypatch, f"--source={graded}", "--size=96", f"--out={out}")
    result = json.loads(out.read_text())
    assert result["photographs"] == {"1": 20, "0": 20}
    assert result["clear_shares"]["1"]["value"] > 0.9
    assert result["clear_shares"]["0"]["value"] < 0.1
    assert result["spoiled_to_graders"]["1 / 0"]["value"] > 0.8
    assert set(result["graders_to_spoiled"]) == set(KIND_OF_LABELS.values())
    assert result["graders_to_spoiled"]["all regions"]["value"] > 0.7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--column=quality"], "--column is 'quality', but .* has image, patient, is_fundus"),
        (["--good=fine"], "no photograph has is_fundus 'fine'; found are '-1', '0', '1'"),
        (["--good", "1", "2", "--bad", "0"], "--good has 2 values and --bad 1; give pairs"),
    ],
)
def test_what_the_source_lacks_is_named(
    graded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit, match=message):
        run(monkeypatch, f"--source={graded}", f"--out={tmp_path / 'out.json'}", *arguments)
    assert not (tmp_path / "out.json").exists()
