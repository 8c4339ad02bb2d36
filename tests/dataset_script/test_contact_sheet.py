import datasets
import numpy as np
import pytest
from PIL import Image

from dataset_script.card.findings_page import choose_first
from dataset_script.contact_sheet import choose_rows, main
from pipeline_synfundus.labels import DISEASES, READABILITY, complete_condition


@pytest.fixture(scope="module")
def dataset(dataset_dir):
    return datasets.load_dataset(str(dataset_dir), split="train")


def test_the_sheet_is_drawn(dataset_dir, tmp_path, capsys):
    file = tmp_path / "new" / "sheet.png"
    assert main([str(dataset_dir), "--out", str(file)]) == 0
    assert "shows 20 images" in capsys.readouterr().out
    with Image.open(file) as sheet:
        assert sheet.format == "PNG"
        assert "Synthetic" in sheet.info["Description"]
        assert sheet.width > 1000
        assert sheet.height > sheet.width
        pixels = np.asarray(sheet.convert("RGB"))
    assert (pixels[:20] == 255).all()
    assert 0.3 < (pixels != 255).any(axis=2).mean() < 0.9


def test_the_first_images_of_each_finding_are_drawn_at_full_size(dataset_dir, dataset, tmp_path, capsys):
    file = tmp_path / "findings.jpg"
    assert main([str(dataset_dir), "--first", "2", "--out", str(file)]) == 0
    labels = dataset.remove_columns("image").to_pandas()
    lines = choose_first(labels, 2)
    assert len(lines) == 14
    assert f"shows {sum(len(rows) for _, rows in lines)} images" in capsys.readouterr().out
    assert dict(lines)["glaucoma"] == np.flatnonzero(labels["is_gc"] == 1)[:2].tolist()
    width = dataset[0]["image"].width
    with Image.open(file) as page:
        assert page.format == "JPEG"
        assert page.width == 2 * width
        assert b"Synthetic" in page.info["comment"]


@pytest.mark.parametrize(
    ("options", "message"), [(["--out", "sheet.tif"], "must end with .png or .jpg"), (["--first", "0"], "at least 1")]
)
def test_options_are_checked(dataset_dir, tmp_path, capsys, options, message):
    with pytest.raises(SystemExit):
        main([str(dataset_dir), "--out", str(tmp_path / "sheet.png"), *options])
    assert message in capsys.readouterr().err


def test_chosen_rows_show_every_label_with_few_other_findings(dataset):
    chosen, missing = choose_rows(dataset.remove_columns("image").to_pandas())
    rows = dataset.select(chosen).remove_columns("image")
    assert not missing
    assert len(set(chosen)) == len(chosen) == 20
    shown = [{name: value for name, value in row.items() if name != "idx"} for row in rows]
    healthy = [complete_condition({"eye_side": side}) for side in (0, 1)]
    assert shown[:2] == healthy
    for label in DISEASES:
        for value in range(1, label.cardinality):
            assert any(row[label.name] == value for row in shown)
    for label in READABILITY:
        assert any(row[label.name] == 0 for row in shown)
    glaucoma = next(row for row in shown if row["is_gc"])
    assert {**glaucoma, "eye_side": -1} == complete_condition({"is_gc": 1})


def test_labels_that_no_row_shows_are_reported(dataset):
    chosen, missing = choose_rows(dataset.select([1, 11]).remove_columns("image").to_pandas())
    assert chosen == [0, 1]
    assert {"is_amd": 1} in missing
    assert {"is_gc": 1} not in missing


@pytest.mark.parametrize("content", [None, "idx,text\n1,hello\n"])
def test_other_datasets_are_refused(tmp_path, capsys, content):
    folder = tmp_path / "other"
    if content:
        folder.mkdir()
        (folder / "train.csv").write_text(content)
    assert main([str(folder), "--out", str(tmp_path / "sheet.png")]) == 2
    assert "is no SynFundus dataset" in capsys.readouterr().err
    assert not (tmp_path / "sheet.png").exists()


def test_the_card_shows_the_same_samples(dataset_dir, tmp_path):
    file = tmp_path / "sheet.png"
    assert main([str(dataset_dir), "--out", str(file)]) == 0
    with Image.open(file) as sheet, Image.open(dataset_dir / "samples.png") as samples:
        assert np.array_equal(np.asarray(sheet), np.asarray(samples))
    assert "](samples.png)" in (dataset_dir / "README.md").read_text()


def test_a_dataset_without_findings_has_no_page_of_them(dataset, tmp_path, capsys):
    healthy = dataset.filter(lambda row: all(row[label.name] == 0 for label in DISEASES))
    assert len(healthy) > 0
    healthy.to_parquet(tmp_path / "healthy" / "train.parquet")
    assert main([str(tmp_path / "healthy"), "--first", "2", "--out", str(tmp_path / "page.png")]) == 2
    assert "shows a finding" in capsys.readouterr().err
    assert not (tmp_path / "page.png").exists()
