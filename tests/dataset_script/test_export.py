import io
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import datasets
import pytest
import webdataset
from PIL import Image
from small_release import ROWS, png

from dataset_script import convert
from dataset_script.export import main

ROOT = Path(__file__).parents[2]


def samples(pattern: str) -> list[dict]:
    """The samples of tars, as the webdataset package reads them."""
    return list(webdataset.WebDataset(pattern, shardshuffle=False))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".tar"}


@pytest.fixture(scope="module")
def exported(split_dataset_dir, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "tars"
    assert main([str(split_dataset_dir), "--out", str(out)]) == 0
    return out


def test_webdataset_reads_every_image_and_label_of_every_split(split_dataset_dir, exported):
    whole = datasets.load_dataset(str(split_dataset_dir)).cast_column("image", datasets.Image(decode=False))
    tars = {"train": "train-{00000..00002}.tar", "validation": "validation-00000.tar", "test": "test-00000.tar"}
    for split, pattern in tars.items():
        found = samples(f"{exported}/{pattern}")
        assert [sample["__key__"] for sample in found] == [f"{row['idx']:07d}" for row in whole[split]]
        for sample, row in zip(found, whole[split], strict=True):
            assert sample["png"] == row["image"]["bytes"]
            assert json.loads(sample["json"]) == {name: value for name, value in row.items() if name != "image"}
    assert sum(map(len, whole.values())) == 40


def test_webdataset_decodes_and_shuffles_the_samples(exported):
    dataset = webdataset.WebDataset(f"{exported}/train-{{00000..00002}}.tar", shardshuffle=3, seed=1)
    pairs = list(dataset.shuffle(10, initial=10).decode("pil").to_tuple("png", "json"))
    assert len(pairs) == 33
    assert all(image.size == (16, 16) and image.mode == "RGB" for image, _ in pairs)
    assert [labels["idx"] for _, labels in pairs] != sorted(labels["idx"] for _, labels in pairs)


def test_the_command_prints_the_tars_of_each_split(split_dataset_dir, exported, capsys):
    assert main([str(split_dataset_dir), "--out", str(exported)]) == 0
    out = capsys.readouterr().out
    assert f"{exported}/train-{{00000..00002}}.tar: 33 samples in 3 tars" in out
    assert f"{exported}/validation-00000.tar: 3 samples in 1 tars" in out


def test_the_same_dataset_gives_the_same_tars_and_complete_ones_are_kept(split_dataset_dir, exported, tmp_path):
    out = tmp_path / "again"
    assert main([str(split_dataset_dir), "--out", str(out)]) == 0
    assert files(out) == files(exported)
    (out / "train-00001.tar").unlink()
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.tar")}
    assert main([str(split_dataset_dir), "--out", str(out)]) == 0
    assert files(out) == files(exported)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_changed_parquet_file_is_exported_again(split_dataset_dir, tmp_path):
    dataset, out = tmp_path / "dataset", tmp_path / "tars"
    shutil.copytree(split_dataset_dir, dataset)
    assert main([str(dataset), "--out", str(out)]) == 0
    shutil.copy(dataset / "data/test-00000.parquet", dataset / "data/validation-00000.parquet")
    assert main([str(dataset), "--out", str(out)]) == 0
    assert (out / "validation-00000.tar").read_bytes() == (out / "test-00000.tar").read_bytes()


def test_a_converted_release_is_exported_with_its_image_files(release, tmp_path):
    assert convert.main([str(release), "--out", str(tmp_path / "converted")]) == 0
    assert main([str(tmp_path / "converted"), "--out", str(tmp_path / "tars")]) == 0
    found = samples(f"{tmp_path}/tars/train-00000.tar")
    assert [json.loads(sample["json"]) for sample in found] == ROWS
    assert [sample["png"] for sample in found] == [png(row["idx"]) for row in ROWS]
    assert Image.open(io.BytesIO(found[0]["png"])).size == (512, 512)


def test_a_killed_export_leaves_no_partial_tar_and_completes(warm_python, split_dataset_dir, exported, tmp_path):
    out = tmp_path / "tars"
    command = [warm_python, "-m", "dataset_script.export", str(split_dataset_dir), "--out", str(out)]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not list(out.glob("*.tar")) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert all(content == files(exported)[name] for name, content in files(out).items())
    assert main([str(split_dataset_dir), "--out", str(out)]) == 0
    assert files(out) == files(exported)


def test_other_folders_are_refused(split_dataset_dir, tmp_path, capsys):
    assert main([str(tmp_path), "--out", str(tmp_path / "tars")]) == 2
    assert "holds no complete dataset" in capsys.readouterr().err
    (tmp_path / "notes.txt").write_text("mine")
    assert main([str(split_dataset_dir), "--out", str(tmp_path)]) == 2
    assert "holds other files; give --out a new or empty folder" in capsys.readouterr().err
