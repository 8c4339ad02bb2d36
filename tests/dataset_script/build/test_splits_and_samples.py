"""Splits, samples, the index and growing datasets, built from a source that needs no model."""

import shutil
from dataclasses import replace
from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest
from light_build import make_images

from dataset_script import verify
from dataset_script.build.folder import BuildFolder, open_build
from dataset_script.build.image_index import image_ranges
from dataset_script.build.record import GenerationRecord
from dataset_script.build.sample_configs import write_sample_configs
from dataset_script.build.shards import build_missing_shards
from dataset_script.card.built_dataset import write_built_card
from dataset_script.errors import BuildError
from dataset_script.plan.condition_plan import DEFAULT_PLAN, ConditionPlan, load_plan
from dataset_script.synfundus_1m import SynFundus1M

PLAN = load_plan()


class CountingSource:
    """Generates noise and counts the rows."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def __call__(self, rows):
        self.rows += [row.idx for row in rows]
        return make_images(0.0, None, rows)


def record(num_rows: int, plan: ConditionPlan = PLAN) -> GenerationRecord:
    return GenerationRecord(
        num_rows=num_rows,
        shard_rows=500,
        splits={split: len(rows) for split, rows in plan.split_rows(num_rows).items()},
        plan_hash=plan.hash,
        generator="noise",
        generator_revision="0",
        num_inference_steps=1,
        guidance_scale=1.0,
        dtype="float32",
        backend="torch",
        image_format="png",
    )


def build(out: Path, num_rows: int, source: CountingSource, grow: bool = False) -> BuildFolder[GenerationRecord]:
    folder = open_build(out, record(num_rows), grow)
    build_missing_shards(folder, PLAN, source, 64)
    shutil.copy(DEFAULT_PLAN, folder.plan)
    write_sample_configs(folder, PLAN)
    write_built_card(folder, PLAN)
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> BuildFolder[GenerationRecord]:
    """A dataset of 2,100 rows with one sample configuration; tests do not change it."""
    return build(tmp_path_factory.mktemp("splits") / "dataset", 2_100, CountingSource())


def rows(dataset) -> list[dict]:
    return list(dataset.cast_column("image", datasets.Image(decode=False)) if "image" in dataset.features else dataset)


def parquet(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.parquet")}


def test_every_configuration_has_the_splits_of_the_plan(built):
    expected = {split: idx.tolist() for split, idx in PLAN.split_rows(2_100).items()}
    assert {split: len(idx) for split, idx in expected.items()} == {"train": 1893, "validation": 103, "test": 104}
    for config in ("default", "labels", "index"):
        loaded = datasets.load_dataset(str(built.path), config)
        assert {split: dataset["idx"][:] for split, dataset in loaded.items()} == expected


def test_the_sample_has_the_first_rows_in_files_of_its_own(built):
    whole = datasets.load_dataset(str(built.path))
    sample = datasets.load_dataset(str(built.path), "sample-1k")
    assert sum(map(len, sample.values())) == 1_000
    for split, dataset in sample.items():
        assert rows(dataset) == rows(whole[split])[: len(dataset)]
    assert "sample-10k" not in datasets.get_dataset_config_names(str(built.path))


def test_the_builder_agrees_with_the_card(built, tmp_path):
    for config in ("default", "labels", "index", "sample-1k"):
        builder = SynFundus1M(config_name=config, data_dir=str(built.path), cache_dir=str(tmp_path))
        builder.download_and_prepare()
        loaded = datasets.load_dataset(str(built.path), config)
        assert list(builder.info.splits) == list(loaded)
        for split, dataset in loaded.items():
            assert builder.as_dataset(split=split).features == dataset.features
            assert rows(builder.as_dataset(split=split)) == rows(dataset)
    with pytest.raises(ValueError, match="has no configuration sample-10k"):
        SynFundus1M(config_name="sample-10k", data_dir=str(built.path), cache_dir=str(tmp_path))


def test_the_index_has_the_byte_range_of_every_image(built):
    for shard in built.record.shards:
        images = pq.read_table(built.file("default", shard), columns=["image"])["image"].to_pylist()
        index = pq.read_table(built.file("index", shard)).to_pylist()
        for image, place in zip(images, index, strict=True):
            with open(built.path / place["file"], "rb") as file:
                file.seek(place["offset"])
                assert file.read(place["size"]) == image["bytes"]


def test_images_that_are_not_stored_in_one_piece_have_no_ranges(built, tmp_path):
    table = pq.read_table(built.file("default", built.record.shards[0])).slice(0, 20)
    pq.write_table(table, tmp_path / "compressed.parquet", compression="zstd")
    with pytest.raises(ValueError, match=r"an image of .*compressed\.parquet is not stored in one piece"):
        image_ranges(tmp_path / "compressed.parquet")


def test_a_dataset_with_splits_and_samples_is_sound(built, capsys):
    assert verify.main([str(built.path)]) == 0
    assert "2,100 images" in capsys.readouterr().out


@pytest.mark.parametrize("change", ["missing", "other rows"])
def test_a_wrong_sample_is_found(built, tmp_path, capsys, change):
    shutil.copytree(built.path, tmp_path / "copy")
    file = tmp_path / "copy" / "sample-1k" / "validation-00000.parquet"
    if change == "missing":
        file.unlink()
    else:
        shutil.copy(file.with_name("test-00000.parquet"), file)
    assert verify.main([str(tmp_path / "copy")]) == 1
    assert "samples hold the first rows" in capsys.readouterr().out


def test_a_wrong_index_is_found(built, tmp_path, capsys):
    shutil.copytree(built.path, tmp_path / "copy")
    file = tmp_path / "copy" / "index" / "test-00000.parquet"
    table = pq.read_table(file)
    position = table.schema.get_field_index("offset")
    pq.write_table(table.set_column(position, table.schema.field(position), [table["offset"].to_numpy() + 1]), file)
    assert verify.main([str(tmp_path / "copy")]) == 1
    assert "the index finds every image" in capsys.readouterr().out


def test_a_dataset_grows_without_generating_its_rows_again(built, tmp_path):
    out, source = tmp_path / "dataset", CountingSource()
    build(out, 1_234, source)
    assert sorted(source.rows) == list(range(1_234))
    before = {path: path.stat().st_mtime_ns for path in (out / "data").glob("train-0000[01].parquet")}
    assert len(before) == 2
    build(out, 2_100, source, grow=True)
    assert sorted(source.rows) == list(range(2_100))
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert parquet(out) == parquet(built.path)
    assert verify.main([str(out)]) == 0


def test_a_dataset_does_not_grow_by_accident_or_to_another_one(built, tmp_path):
    out = tmp_path / "dataset"
    shutil.copytree(built.path, out)
    with pytest.raises(BuildError, match="num_rows was 2100, now it is 3000"):
        open_build(out, record(3_000))
    with pytest.raises(BuildError, match="num_rows was 2100, now it is 2000"):
        open_build(out, record(2_000), grow=True)
    with pytest.raises(BuildError, match="generator_revision was 0, now it is 1"):
        open_build(out, replace(record(3_000), generator_revision="1"), grow=True)
    other = replace(PLAN, splits={"train": 0.5, "test": 0.5})
    with pytest.raises(BuildError, match="its plan had other splits"):
        open_build(out, record(3_000, other), grow=True)
    assert (out / "README.md").exists()
