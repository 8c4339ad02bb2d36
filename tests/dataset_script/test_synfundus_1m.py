import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest
from small_release import IMAGES, ROWS, check_rows, png, raw, write_annotation, write_images

from dataset_script import convert, synfundus_1m
from dataset_script.build.tables import label_table
from dataset_script.plan.condition_plan import load_plan
from dataset_script.published_release.annotation import ANNOTATION, PublishedReleaseError
from dataset_script.schema import FOLDERS, ROW_GROUP, features
from dataset_script.synfundus_1m import SynFundus1M
from pipeline_synfundus.labels import CONDITION_NAMES

ROOT = Path(__file__).parents[2]


@pytest.fixture
def builder(release, tmp_path, monkeypatch) -> SynFundus1M:
    """Reads the release in three shards."""
    monkeypatch.setattr(synfundus_1m, "SHARD_ROWS", 2)
    return SynFundus1M(data_dir=str(release), cache_dir=str(tmp_path / "cache"))


def test_the_builder_the_build_and_the_converter_agree_on_columns_and_row_groups(dataset_dir, release, tmp_path):
    assert convert.main([str(release), "--out", str(tmp_path / "converted")]) == 0
    for config, folder in FOLDERS.items():
        source = tmp_path / "converted" if config == "index" else release
        builder = SynFundus1M(config_name=config, data_dir=str(source), cache_dir=str(tmp_path / "cache"))
        schema = builder.info.features.arrow_schema
        for dataset in (dataset_dir, tmp_path / "converted"):
            for file in (dataset / folder).glob("*.parquet"):
                assert pq.read_schema(file).equals(schema, check_metadata=True)
    builder = SynFundus1M(config_name="labels", data_dir=str(release), cache_dir=str(tmp_path / "cache"))
    sizes = [len(table) for _, table in builder._generate_tables([_many_rows(tmp_path / "many.parquet")])]
    assert sizes == [ROW_GROUP, ROW_GROUP, 1]


def _many_rows(path: Path) -> str:
    plan = load_plan()
    pq.write_table(label_table(plan.rows(range(2 * ROW_GROUP + 1))), path)
    return str(path)


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


def test_a_stream_resumes_from_its_state(builder):
    stream = builder.as_streaming_dataset(split="train")
    rows = iter(stream)
    assert [next(rows)["idx"] for _ in range(3)] == [0, 1, 2]
    state = stream.state_dict()
    again = builder.as_streaming_dataset(split="train")
    again.load_state_dict(state)
    assert [row["idx"] for row in again] == [3, 4]


def test_the_labels_alone_need_no_image(release, tmp_path, monkeypatch):
    monkeypatch.setattr("dataset_script.published_release.image_files.ImageFile.read", None)
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


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match="data_dir is not given"):
        SynFundus1M(cache_dir=str(tmp_path)).as_streaming_dataset()
    with pytest.raises(PublishedReleaseError, match="No such file or directory"):
        SynFundus1M(cache_dir=str(tmp_path), data_dir=str(tmp_path / "none"))


def test_problems_are_reported_before_anything_is_prepared(release, tmp_path):
    (release / "02" / "3.png").unlink()
    write_images(release, {"02/30.png": png(30)})
    builder = SynFundus1M(data_dir=str(release), cache_dir=str(tmp_path / "cache"))
    for begin in (builder.download_and_prepare, builder.as_streaming_dataset):
        with pytest.raises(PublishedReleaseError, match="1 missing files, 1 extra files"):
            begin()


def test_bad_images_are_named_while_it_is_prepared(release, tmp_path):
    for idx in (3, 4):
        (release / "02" / f"{idx}.png").write_bytes(png(idx)[:-30])
    builder = SynFundus1M(data_dir=str(release), cache_dir=str(tmp_path / "cache"))
    with pytest.raises(datasets.exceptions.DatasetGenerationError) as caught:
        builder.download_and_prepare()
    assert isinstance(caught.value.__cause__, PublishedReleaseError)
    assert [problem.text for problem in caught.value.__cause__.problems] == [
        "02/3.png (idx 3) is truncated",
        "02/4.png (idx 4) is truncated",
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


LOAD = """
import hashlib, json, sys
import datasets

def describe(dataset):
    rows = list(dataset.cast_column("image", datasets.Image(decode=False)) if "image" in dataset.features else dataset)
    for row in rows:
        if "image" in row:
            row["image"] = [row["image"]["path"], hashlib.sha256(row["image"]["bytes"]).hexdigest()]
    return rows

where, release, converted, built = sys.argv[1:]
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
said["splits"] = {
    config: {split: rows["idx"] for split, rows in datasets.load_dataset(where, config, **source).items()}
    for config in ("default", "labels", "index")
    for source in ({"data_dir": built, "trust_remote_code": True},)
}
try:
    datasets.load_dataset(**{**script, "data_dir": converted + "/labels"})
except ValueError as error:
    said["error"] = str(error)
print(json.dumps(said))
"""


def python_with_datasets_36() -> Path:
    """The Python of an environment with datasets 3.6, the last version that has loading scripts."""
    named = os.environ.get("SYNFUNDUS_DATASETS36_PYTHON")
    python = Path(named) if named else ROOT / ".venv-datasets36" / "bin" / "python"
    if not named and not python.exists():
        pytest.skip("needs an environment with datasets 3.6: `make test` makes it")
    return python


def test_with_datasets_36_the_file_is_a_loading_script(release, split_dataset_dir, tmp_path):
    python = python_with_datasets_36()
    assert convert.main([str(release), "--out", str(tmp_path / "converted")]) == 0
    # These two packages can be imported, and nothing else that the environment for datasets 3.6 lacks.
    (tmp_path / "path").mkdir()
    for package in ("pipeline_synfundus", "dataset_script"):
        (tmp_path / "path" / package).symlink_to(ROOT / package)
    environment = {"PYTHONPATH": str(tmp_path / "path"), "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        [
            python,
            "-c",
            LOAD,
            ROOT / "dataset_script" / "synfundus_1m.py",
            release,
            tmp_path / "converted",
            split_dataset_dir,
        ],
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
    splits = {split: idx.tolist() for split, idx in load_plan().split_rows(40).items()}
    assert said["splits"] == {config: splits for config in ("default", "labels", "index")}
    assert list(said["labels"][0]) == ["idx", *CONDITION_NAMES]
    assert said["size"] == [512, 512]
    assert said["grades"] == features()["dr_grade"].names
    assert f"missing annotations:\n  {ANNOTATION}" in said["error"]
