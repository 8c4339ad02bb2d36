import io
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from evaluation.data.photographs import concatenate, equalise, load_photographs
from evaluation.errors import EvaluationError
from tests.phantom import draw_phantom, write_phantom_dataset


def phantom(size: int, **condition: int) -> np.ndarray:
    return draw_phantom(condition, size, np.random.default_rng(0))


def test_field_codec_and_size_of_both_sides_are_made_equal() -> None:
    picture = Image.fromarray(phantom(256))
    framed = Image.new("RGB", (400, 300))
    framed.paste(picture, (100, 20))
    buffer = io.BytesIO()
    framed.save(buffer, "JPEG", quality=95)
    as_jpeg, as_png = equalise(Image.open(buffer), 64), equalise(picture, 64)
    assert as_jpeg.shape == as_png.shape == (64, 64, 3)
    naive = np.asarray(framed.resize((64, 64))).astype(int)
    assert np.abs(as_jpeg.astype(int) - as_png).mean() < np.abs(naive - as_png).mean() / 6


def test_a_grey_or_black_picture_is_kept_whole() -> None:
    assert equalise(Image.new("L", (40, 20)), 16).shape == (16, 16, 3)


def test_all_splits_are_read_with_labels_patients_and_split_names(tmp_path: Path) -> None:
    write_phantom_dataset(tmp_path / "real", 8, 32, np.random.default_rng(0), ["is_amd", "dr_grade"])
    (tmp_path / "real" / "train.parquet").rename(tmp_path / "real" / "validation.parquet")
    photographs = load_photographs(str(tmp_path / "real"), 32, tmp_path / "cache", patient_column="patient")
    assert photographs.images.shape == (8, 32, 32, 3)
    assert len(np.unique(photographs.patients)) == 4
    assert set(photographs.splits) == {"validation"}
    assert set(photographs.label("is_amd")) <= {0, 1}
    assert set(photographs.label("is_gc")) == {-1}


def test_a_second_call_reads_the_same_from_the_cache(tmp_path: Path) -> None:
    write_phantom_dataset(tmp_path / "real", 4, 32, np.random.default_rng(0), ["is_amd"])
    first = load_photographs(str(tmp_path / "real"), 32, tmp_path / "cache")
    (written,) = (tmp_path / "cache").iterdir()
    time = (written / "images.npy").stat().st_mtime_ns
    second = load_photographs(str(tmp_path / "real"), 32, tmp_path / "cache")
    assert first.fingerprint == second.fingerprint and (written / "images.npy").stat().st_mtime_ns == time
    assert first.fingerprint != first[np.arange(3)].fingerprint


def test_rows_are_read_by_name_and_keep_their_names(tmp_path: Path) -> None:
    write_phantom_dataset(tmp_path / "real", 8, 32, np.random.default_rng(0), ["is_amd"])
    everything = load_photographs(str(tmp_path / "real"), 32, tmp_path / "cache")
    chosen = load_photographs(str(tmp_path / "real"), 32, tmp_path / "cache", names=["6", "1"])
    expected = everything[np.array([6, 1])]
    assert np.array_equal(chosen.images[:], expected.images[:]) and np.array_equal(chosen.codes, expected.codes)
    assert chosen.names.tolist() == ["6", "1"]


def test_a_small_image_of_a_large_enough_source_is_read(tmp_path: Path) -> None:
    for name, rows, side in (("real", 4, 32), ("small", 2, 24)):
        write_phantom_dataset(tmp_path / name, rows, side, np.random.default_rng(0), ["is_amd"])
    (tmp_path / "small" / "train.parquet").rename(tmp_path / "real" / "train-small.parquet")
    everything = load_photographs(str(tmp_path / "real"), 32, tmp_path / "cache")
    alone = load_photographs(str(tmp_path / "real"), 32, tmp_path / "cache", names=everything.names[:1])
    assert np.array_equal(alone.images[:], everything.images[:1])


def test_images_smaller_than_the_size_are_refused(tmp_path: Path) -> None:
    write_phantom_dataset(tmp_path / "real", 4, 32, np.random.default_rng(0), ["is_amd"])
    with pytest.raises(EvaluationError, match=r"size is 64, but half of the images .* at most 32 pixels"):
        load_photographs(str(tmp_path / "real"), 64, tmp_path / "cache")


def test_a_corrupt_image_is_named_and_leaves_no_cache(tmp_path: Path) -> None:
    rows = {"image": [{"bytes": b"no image", "path": None}], "is_amd": [1]}
    features = datasets.Features(image=datasets.Image(), is_amd=datasets.Value("int8"))
    (tmp_path / "bad").mkdir()
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "bad" / "train.parquet")
    with pytest.raises(EvaluationError, match=r"image in row 0 of .*bad.* cannot be read"):
        load_photographs(str(tmp_path / "bad"), 32, tmp_path / "cache")
    assert not any((tmp_path / "cache").rglob("*"))


def test_columns_and_labels_that_are_missing_are_named(tmp_path: Path) -> None:
    write_phantom_dataset(tmp_path / "real", 4, 32, np.random.default_rng(0), ["is_amd"])
    with pytest.raises(EvaluationError, match=r"patient column 'eye' is not in .* it has image, patient, is_amd"):
        load_photographs(str(tmp_path / "real"), 32, tmp_path / "cache", patient_column="eye")
    with pytest.raises(EvaluationError, match="cannot be read by datasets"):
        load_photographs(str(tmp_path / "nothing"), 32, tmp_path / "cache")
    write_phantom_dataset(tmp_path / "plain", 4, 32, np.random.default_rng(0), [])
    with pytest.raises(EvaluationError, match="has no known label; allowed columns are dr_grade"):
        load_photographs(str(tmp_path / "plain"), 32, tmp_path / "cache")


def test_rows_asked_to_be_unreadable_are_known(tmp_path: Path) -> None:
    write_phantom_dataset(tmp_path / "s", 12, 32, np.random.default_rng(0), ["is_macular_readable", "is_amd"])
    photographs = load_photographs(str(tmp_path / "s"), 32, tmp_path / "cache")
    assert (photographs.readable() == (photographs.label("is_macular_readable") == 1)).all()
    assert 0 < photographs.readable().sum() < 12


def test_parts_are_put_together_row_by_row(tmp_path: Path) -> None:
    write_phantom_dataset(tmp_path / "s", 6, 32, np.random.default_rng(0), ["is_amd"])
    photographs = load_photographs(str(tmp_path / "s"), 32, tmp_path / "cache")
    parts = photographs[np.arange(2)], photographs[np.arange(2, 6)]
    assert concatenate(parts).fingerprint == photographs.fingerprint
