import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest
from published_release import labels, png, write_annotation, write_images, write_release

from dataset_script import convert_release, schema, synfundus_1m
from dataset_script.build_folder import FOLDERS
from dataset_script.convert_release import main
from dataset_script.release_annotation import ANNOTATION, ReleaseError
from dataset_script.release_source import TABLE_ROWS
from dataset_script.shard_writer import ROW_GROUP
from dataset_script.synfundus_1m import SynFundus1M, features
from pipeline_synfundus.labels import CONDITION_NAMES

ROOT = Path(__file__).parents[2]
PLACES = ["00.zip", "00.zip", "01.zip", "02", "02"]
ROWS = [{"idx": idx, **labels(idx)} for idx in range(len(PLACES))]
IMAGES = [{"bytes": png(idx), "path": f"{idx}.png"} for idx in range(len(PLACES))]


@pytest.fixture
def release(tmp_path) -> Path:
    return write_release(tmp_path / "SynFundus-1M", PLACES)


@pytest.fixture
def builder(release, tmp_path, monkeypatch) -> SynFundus1M:
    """Reads the release in three shards."""
    monkeypatch.setattr(synfundus_1m, "SHARD_ROWS", 2)
    return SynFundus1M(data_dir=str(release), cache_dir=str(tmp_path / "cache"))


def raw(dataset):
    """The dataset with the bytes of its images."""
    return dataset.cast_column("image", datasets.Image(decode=False))


def without_image(row: dict) -> dict:
    return {name: value for name, value in row.items() if name != "image"}


def check_rows(dataset) -> None:
    rows = list(raw(dataset))
    assert [without_image(row) for row in rows] == ROWS
    assert [row["image"] for row in rows] == IMAGES


def test_the_builder_and_the_generator_agree_on_columns_folders_and_row_groups():
    assert synfundus_1m.PARQUET_FOLDERS == FOLDERS
    assert TABLE_ROWS == ROW_GROUP
    for images in (True, False):
        assert features(images).arrow_schema.equals(schema.features(images).arrow_schema, check_metadata=True)


def test_a_release_is_prepared_as_parquet_with_the_same_image_files(builder, tmp_path):
    builder.download_and_prepare(str(tmp_path / "out"), file_format="parquet")
    table = pq.read_table(sorted((tmp_path / "out").glob("*.parquet")))
    assert table.column("image").to_pylist() == IMAGES
    assert table.drop_columns(["image"]).to_pylist() == ROWS
    assert datasets.Features.from_arrow_schema(table.schema) == features()
    assert builder.info.splits["train"].num_examples == len(ROWS)


def test_a_release_is_prepared_by_two_processes(builder):
    builder.download_and_prepare(num_proc=2)
    dataset = builder.as_dataset(split="train")
    assert dataset[0]["image"].size == (512, 512)
    assert dataset.features == features()
    check_rows(dataset)


def test_a_release_is_streamed_in_shards(builder):
    stream = builder.as_streaming_dataset(split="train")
    assert stream.num_shards == 3
    assert stream.features == features()
    check_rows(stream)
    assert sorted(row["idx"] for row in stream.shuffle(seed=0, buffer_size=2)) == list(range(len(ROWS)))
    assert [row["idx"] for row in stream.shard(3, 1)] == [2, 3]


def test_a_stream_goes_on_where_it_stood(builder):
    stream = builder.as_streaming_dataset(split="train")
    rows = iter(stream)
    assert [next(rows)["idx"] for _ in range(3)] == [0, 1, 2]
    state = stream.state_dict()
    again = builder.as_streaming_dataset(split="train")
    again.load_state_dict(state)
    assert [row["idx"] for row in again] == [3, 4]


def test_the_labels_alone_need_no_image(release, tmp_path, monkeypatch):
    monkeypatch.setattr("dataset_script.release_files.ImageFile.read", None)
    builder = SynFundus1M(config_name="labels", data_dir=str(release), cache_dir=str(tmp_path / "cache"))
    assert list(builder.as_streaming_dataset(split="train")) == ROWS
    builder.download_and_prepare()
    assert list(builder.as_dataset(split="train")) == ROWS


@pytest.mark.parametrize("config", ["default", "labels"])
def test_a_built_dataset_is_read_too(dataset_dir, tmp_path, config):
    builder = SynFundus1M(config_name=config, data_dir=str(dataset_dir), cache_dir=str(tmp_path))
    stream = builder.as_streaming_dataset(split="train")
    builder.download_and_prepare()
    whole = datasets.load_dataset(str(dataset_dir), config, split="train")
    assert stream.num_shards == 3
    for dataset in (stream, builder.as_dataset(split="train")):
        rows, other = (raw(dataset), raw(whole)) if config == "default" else (dataset, whole)
        assert list(rows) == list(other)


def test_an_unfinished_build_is_refused(dataset_dir, tmp_path):
    shutil.copytree(dataset_dir, tmp_path / "built")
    (tmp_path / "built" / "README.md").unlink()
    with pytest.raises(ValueError, match="its build is not finished"):
        SynFundus1M(data_dir=str(tmp_path / "built"))


def test_without_a_folder_it_says_what_is_missing(tmp_path):
    with pytest.raises(ValueError, match="data_dir is not given"):
        SynFundus1M(cache_dir=str(tmp_path)).as_streaming_dataset()
    with pytest.raises(ReleaseError, match="No such file or directory"):
        SynFundus1M(cache_dir=str(tmp_path), data_dir=str(tmp_path / "none"))


def test_what_is_wrong_is_said_before_anything_is_prepared(release, tmp_path):
    (release / "02" / "3.png").unlink()
    write_images(release, {"02/30.png": png(30)})
    builder = SynFundus1M(data_dir=str(release), cache_dir=str(tmp_path / "cache"))
    for begin in (builder.download_and_prepare, builder.as_streaming_dataset):
        with pytest.raises(ReleaseError, match="1 missing files, 1 extra files"):
            begin()


def test_bad_images_are_named_while_it_is_prepared(release, tmp_path):
    for idx in (3, 4):
        (release / "02" / f"{idx}.png").write_bytes(png(idx)[:-30])
    builder = SynFundus1M(data_dir=str(release), cache_dir=str(tmp_path / "cache"))
    with pytest.raises(datasets.exceptions.DatasetGenerationError) as caught:
        builder.download_and_prepare()
    assert isinstance(caught.value.__cause__, ReleaseError)
    assert [problem.text for problem in caught.value.__cause__.problems] == [
        "02/3.png (idx 3) is cut off",
        "02/4.png (idx 4) is cut off",
    ]


def test_a_changed_release_is_prepared_anew(release, tmp_path, monkeypatch):
    def prepared(folder: Path) -> datasets.Dataset:
        builder = SynFundus1M(data_dir=str(folder), cache_dir=str(tmp_path / "cache"))
        builder.download_and_prepare()
        return builder.as_dataset(split="train")

    first = prepared(release)
    monkeypatch.chdir(tmp_path)
    assert prepared(Path(release.name)).cache_files == first.cache_files
    write_annotation(release, [{**row, "is_gc": 0} for row in ROWS])
    assert set(prepared(release)["is_gc"]) == {0}


def parquet(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.parquet")}


def refused(capsys, *arguments) -> str:
    assert main([str(argument) for argument in arguments]) == 2
    return capsys.readouterr().err


def test_the_command_makes_a_folder_that_loads_by_its_name(release, tmp_path, monkeypatch):
    out = tmp_path / "synfundus-1m"
    done = subprocess.run(
        [sys.executable, "-m", "dataset_script.synfundus_1m", release, "--out", out, "--shard-rows", "2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "complete: 5 rows in 3 shards." in done.stdout
    monkeypatch.chdir(tmp_path)
    for streaming in (False, True):
        check_rows(datasets.load_dataset("synfundus-1m", split="train", streaming=streaming))
    assert list(datasets.load_dataset("synfundus-1m", "labels", split="train")) == ROWS
    card = (out / "README.md").read_text()
    assert "There is no photograph in this dataset" in card
    assert "the same to the last byte" in card
    assert "$" not in card


def test_a_complete_conversion_is_left_alone(release, tmp_path, capsys):
    command = [str(release), "--out", str(tmp_path / "out")]
    assert main(command) == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert main(command) == 0
    assert "Nothing to do" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


def wait_for(path: Path, process: subprocess.Popen) -> None:
    end = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < end, f"{path} does not come"
        time.sleep(0.002)


def test_interrupted_and_killed_it_goes_on_to_the_same_dataset_though_zips_were_unpacked_meanwhile(tmp_path):
    release, count = tmp_path / "release", 60
    write_release(release, ["00.zip"] * count)
    broken, unbroken = tmp_path / "broken", tmp_path / "unbroken"
    options = ["--shard-rows", "1"]
    command = [sys.executable, "-m", "dataset_script.synfundus_1m", str(release), "--out", str(broken), *options]
    for shard, stop in ((0, signal.SIGINT), (2, signal.SIGKILL)):
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        wait_for(broken / ".build" / f"0000{shard}-of-00060.json", process)
        process.send_signal(stop)
        _, errors = process.communicate(timeout=60)
        if stop == signal.SIGINT:
            assert process.returncode == 130
            assert "Interrupted. The same command again goes on" in errors
            assert "Traceback" not in errors
        else:
            assert process.returncode == -signal.SIGKILL
    written = {path: path.stat().st_mtime_ns for path in (broken / ".build").glob("0*.json")}
    assert 3 <= len(written) < count
    assert not (broken / "README.md").exists()
    shutil.unpack_archive(release / "00.zip", release / "00")
    (release / "00.zip").unlink()
    for folder in (broken, unbroken):
        assert main([str(release), "--out", str(folder), *options]) == 0
    assert parquet(broken) == parquet(unbroken)
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_a_release_with_problems_is_refused_with_all_of_them_in_a_file(release, tmp_path, capsys):
    out = tmp_path / "out"
    write_annotation(release, [*ROWS, *({"idx": idx, **labels(idx)} for idx in range(100, 120))])
    message = refused(capsys, release, "--out", out)
    assert "20 missing files" in message
    assert "and 15 more" in message
    assert "All problems are listed in" in message
    listed = (tmp_path / "out.problems.txt").read_text()
    assert all(f"line {idx - 93}: {idx}.png\n" in listed for idx in range(100, 120))
    assert not out.exists()


def test_rows_with_problems_are_left_out_if_asked_for(release, tmp_path, capsys):
    (release / "02" / "3.png").unlink()
    assert main([str(release), "--out", str(tmp_path / "out"), "--skip-problems"]) == 0
    assert "1 missing files" in capsys.readouterr().err
    assert datasets.load_dataset(str(tmp_path / "out"), "labels", split="train")["idx"][:] == [0, 1, 2, 4]
    assert "3.png" in (tmp_path / "out.problems.txt").read_text()


def test_nothing_is_made_of_a_release_without_a_good_row(tmp_path, capsys):
    write_annotation(tmp_path / "release", ROWS)
    assert "5 missing files" in refused(capsys, tmp_path / "release", "--out", tmp_path / "out", "--skip-problems")
    assert not (tmp_path / "out").exists()


def test_a_bad_image_holds_up_its_shard_only_and_can_be_replaced(release, tmp_path, capsys):
    out = tmp_path / "out"
    command = [str(release), "--out", str(out), "--shard-rows", "2"]
    for idx in (3, 4):
        (release / "02" / f"{idx}.png").write_bytes(png(idx)[:-30])
    message = refused(capsys, *command)
    assert "2 bad images" in message
    assert "02/3.png (idx 3) is cut off" in message
    assert "02/4.png (idx 4) is cut off" in message
    assert set(parquet(out)) == {"data/train-00000-of-00003.parquet", "labels/train-00000-of-00003.parquet"}
    assert not (out / "README.md").exists()
    for idx in (3, 4):
        (release / "02" / f"{idx}.png").write_bytes(png(idx))
    assert main(command) == 0
    check_rows(datasets.load_dataset(str(out), split="train"))


@pytest.mark.parametrize(
    ("change", "said"),
    [(["--shard-rows", "3"], "shard_rows was 1000, now it is 3"), ([], "rows_sha256 was")],
)
def test_another_conversion_is_refused_in_a_begun_folder(release, tmp_path, capsys, change, said):
    out = tmp_path / "out"
    assert main([str(release), "--out", str(out)]) == 0
    before = parquet(out)
    if not change:
        write_annotation(release, [{**row, "is_gc": 1} for row in ROWS])
    assert said in refused(capsys, release, "--out", out, *change)
    assert parquet(out) == before


def test_a_wrong_number_and_a_folder_with_something_else_are_refused(release, tmp_path, capsys):
    assert "--shard-rows is 0" in refused(capsys, release, "--out", tmp_path / "out", "--shard-rows", 0)
    assert not (tmp_path / "out").exists()
    assert "holds no build" in refused(capsys, release, "--out", release)


def test_two_conversions_at_once_make_one_dataset(tmp_path):
    write_release(tmp_path / "release", ["00.zip"] * 40)
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    command = [sys.executable, "-m", "dataset_script.synfundus_1m", str(tmp_path / "release"), "--shard-rows", "2"]
    processes = [subprocess.Popen([*command, "--out", str(shared)], cwd=ROOT) for _ in range(2)]
    assert main([*command[3:], "--out", str(alone)]) == 0
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    assert parquet(shared) == parquet(alone)
    assert len(parquet(shared)) == 40


def test_a_disk_that_is_too_small_is_noticed_first(release, tmp_path, capsys, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(convert_release.shutil, "disk_usage", lambda path: usage)
    assert "GB more, but its disk has 0.0 GB free" in refused(capsys, release, "--out", tmp_path / "out")
    assert not parquet(tmp_path / "out")


LOAD = """
import hashlib, json, sys
import datasets

def describe(dataset):
    rows = list(dataset.cast_column("image", datasets.Image(decode=False)) if "image" in dataset.features else dataset)
    for row in rows:
        if "image" in row:
            row["image"] = [row["image"]["path"], hashlib.sha256(row["image"]["bytes"]).hexdigest()]
    return rows

where, release, converted = sys.argv[1:]
script = {"path": where, "data_dir": release, "split": "train", "trust_remote_code": True}
said = {
    "version": datasets.__version__,
    "whole": describe(datasets.load_dataset(**script)),
    "stream": describe(datasets.load_dataset(**script, streaming=True)),
    "labels": describe(datasets.load_dataset(**script, name="labels")),
    "built": describe(datasets.load_dataset(**{**script, "data_dir": converted})),
    "parquet": describe(datasets.load_dataset(converted, split="train")),
    "size": datasets.load_dataset(**script)[0]["image"].size,
    "grades": datasets.load_dataset(**script).features["dr_grade"].names,
}
try:
    datasets.load_dataset(**{**script, "data_dir": converted + "/data"})
except ValueError as error:
    said["error"] = str(error)
print(json.dumps(said))
"""


def python_with_datasets_36() -> Path:
    """The Python of an environment with datasets 3.6, the last version that has loading scripts."""
    named = os.environ.get("SYNFUNDUS_DATASETS36_PYTHON")
    python = Path(named) if named else ROOT / ".venv-datasets36" / "bin" / "python"
    if not named and not python.exists():
        pytest.skip("needs an environment with datasets 3.6: `make test-datasets36` makes it and runs this test")
    return python


def test_with_datasets_36_the_file_is_a_loading_script(release, tmp_path):
    python = python_with_datasets_36()
    assert main([str(release), "--out", str(tmp_path / "converted")]) == 0
    # Only the labels' package can be imported: all else that the script needs, datasets has to copy.
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "pipeline_synfundus").symlink_to(ROOT / "pipeline_synfundus")
    environment = {"PYTHONPATH": str(tmp_path / "path"), "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        [python, "-c", LOAD, ROOT / "dataset_script" / "synfundus_1m.py", release, tmp_path / "converted"],
        cwd=tmp_path,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["version"].startswith("3.6.")
    rows = [{"image": [f"{row['idx']}.png", hashlib.sha256(png(row["idx"])).hexdigest()], **row} for row in ROWS]
    assert said["whole"] == said["stream"] == said["built"] == said["parquet"] == rows
    assert said["labels"] == ROWS
    assert list(said["labels"][0]) == ["idx", *CONDITION_NAMES]
    assert said["size"] == [512, 512]
    assert said["grades"] == features()["dr_grade"].names
    assert f"missing annotations:\n  {ANNOTATION}" in said["error"]
