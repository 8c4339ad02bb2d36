import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dataset_script.build.image_format import read_facts
from dataset_script.generate import main
from dataset_script.plan.condition_plan import load_plan

MODEL_ARGUMENTS = ("--num-inference-steps", "2")


def stored(folder, idx) -> Image.Image:
    table = pq.read_table(folder / "data", filters=[("idx", "==", idx)])
    return Image.open(io.BytesIO(table["image"][0]["bytes"].as_py()))


def test_single_rows_are_generated_again_as_in_the_shards(dataset_dir, tiny_pipeline_dir, tmp_path, capsys, record):
    arguments = ["--rows", "39,3,21,3", *MODEL_ARGUMENTS, "--model", str(tiny_pipeline_dir), "--out", str(tmp_path)]
    assert main(arguments) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0000003.png", "0000021.png", "0000039.png"]
    for idx in (3, 21, 39):
        with Image.open(tmp_path / f"{idx:07d}.png") as alone:
            inside = stored(dataset_dir, idx)
            difference = np.asarray(alone, float) - np.asarray(inside, float)
            assert np.abs(difference).mean() <= 1
            assert read_facts(alone) == read_facts(inside)
            assert read_facts(alone)["SynFundus-Plan"] == record["plan_hash"]
    assert np.abs(np.asarray(stored(dataset_dir, 3), float) - np.asarray(stored(dataset_dir, 21), float)).mean() > 2


def test_a_single_row_of_the_million_is_generated(tiny_pipeline_dir, tmp_path):
    arguments = [
        "--rows",
        "999999",
        "--image-format",
        "webp",
        "--model",
        str(tiny_pipeline_dir),
        "--out",
        str(tmp_path),
    ]
    assert main([*arguments, *MODEL_ARGUMENTS]) == 0
    with Image.open(tmp_path / "0999999.webp") as image:
        assert read_facts(image)["SynFundus-Row"] == "999999"
        assert read_facts(image)["SynFundus-Plan"] == load_plan().hash


def test_single_images_are_not_written_to_a_dataset(dataset_dir, tiny_pipeline_dir, capsys):
    arguments = ["--rows", "3", *MODEL_ARGUMENTS, "--model", str(tiny_pipeline_dir), "--out", str(dataset_dir)]
    assert main(arguments) == 2
    assert "is a dataset; give --out another folder" in capsys.readouterr().err


@pytest.mark.parametrize("rows", ["-1", "3,", "1.5", "all", "", str(2**63)])
def test_invalid_row_numbers_are_refused(tmp_path, capsys, rows):
    with pytest.raises(SystemExit) as end:
        main([f"--rows={rows}", "--out", str(tmp_path / "new")])
    assert end.value.code == 2
    assert "is not the number of a row, an integer of 0 or more" in capsys.readouterr().err


def test_rows_and_num_rows_exclude_each_other(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--rows", "3", "--num-rows", "5", "--out", str(tmp_path / "new")])
    assert "not allowed with argument" in capsys.readouterr().err
