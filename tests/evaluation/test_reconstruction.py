import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evaluation.reconstruction import main
from pipeline_synfundus import FundusAutoencoder
from pipeline_synfundus.labels import complete_condition
from tests.phantom import draw_phantom, write_phantom_dataset

SIZE = 64


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantom photographs, the parts of their patients, and an autoencoder of many principal components."""
    folder = tmp_path_factory.mktemp("reconstruction")
    write_phantom_dataset(folder / "real", 70, SIZE, np.random.default_rng(0), label_columns=["is_amd"])
    with (folder / "splits.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("patient", "part"))
        patients = sorted({row["patient"] for row in _rows(folder / "real")})
        parts = ("training", "validation", "training", "validation", "test")  # that of the test is not read
        writer.writerows((name, parts[i % 5]) for i, name in enumerate(patients))
    drawn = [draw_phantom(complete_condition({}), SIZE, np.random.default_rng(seed)) for seed in range(8)]
    images = torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).float() / 127.5 - 1
    patches = images.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 1, 4, 5).reshape(-1, 3, 4, 4)
    for channels in (1, 40):
        vae = FundusAutoencoder(4, channels, widths=[8, 8], encoder_blocks=[1, 1], decoder_blocks=[1, 1], shuffle=2)
        vae.initialize_linear(patches)
        vae.save_pretrained(folder / f"vae-{channels}")
    return folder


def _rows(folder: Path) -> list[dict]:
    import datasets

    return datasets.load_dataset(str(folder), split="train").remove_columns("image").to_list()


def run(study: Path, channels: int, *more: str) -> dict:
    out = study / f"report-{channels}"
    arguments = ["--autoencoder", str(study / f"vae-{channels}"), "--real", str(study / "real")]
    arguments += ["--splits", str(study / "splits.csv"), "--size", str(SIZE), "--out", str(out)]
    main([*arguments, "--classifier-size", "48", "--images-seen", "480", *more])
    assert Image.open(out / "crops.png").height == 2 * SIZE
    return json.loads((out / "reconstruction.json").read_text())


def test_a_better_autoencoder_keeps_more(study: Path) -> None:
    poor, good = (run(study, channels) for channels in (1, 40))
    assert good["psnr"]["value"] > poor["psnr"]["value"] + 10
    assert good["vessel_dice"]["value"] > poor["vessel_dice"]["value"]
    assert good["label_auc"]["is_amd"]["photographs"]["value"] > 0.9
    assert good["label_auc"]["is_amd"]["retained"] > 0.9
    assert good["psnr"]["low"] <= good["psnr"]["value"] <= good["psnr"]["high"]
    assert "0 positives" in good["label_auc"]["is_gc"]["not_measurable"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--autoencoder", "nowhere"), "autoencoder 'nowhere' cannot be loaded"),
        (("--patient-column", "person"), "--patient-column 'person' is not in"),
    ],
)
def test_bad_input_is_named(study: Path, change: tuple[str, str], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        run(study, 40, *change)
