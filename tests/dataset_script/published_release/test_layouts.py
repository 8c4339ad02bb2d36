"""Every layout of a copy of the published release that users have, converted by the command."""

import io
import json
from pathlib import Path

import datasets
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from small_release import labels, png, raw, write_annotation, write_images

from dataset_script.convert import main
from dataset_script.published_release.image_content import ImageError, check_image
from dataset_script.synfundus_1m import SynFundus1M
from pipeline_synfundus.labels import CONDITION_LABELS, CONDITION_NAMES

NUMBERS = range(6)
KNOWN = [{name: max(value, 0) for name, value in labels(idx).items()} for idx in NUMBERS]


def jpeg(number: int, size: tuple[int, int] = (512, 512)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (number * 9, 77, 99)).save(buffer, "JPEG")
    return buffer.getvalue()


def convert(folder: Path, *options: str) -> datasets.Dataset:
    """Converts a copy; returns its rows with the image files as bytes."""
    out = folder.parent / f"{folder.name}-converted"
    assert main([str(folder), "--out", str(out), *options]) == 0
    # Caches of folders of the same name collide: datasets tells them apart by the sizes in their cards.
    return raw(datasets.load_dataset(str(out), split="train", cache_dir=str(folder.parent / "cache")))


def check(dataset: datasets.Dataset, images: list[bytes], expected: list[dict[str, int]]) -> None:
    assert dataset["idx"][:] == list(range(len(expected)))
    assert [image["bytes"] for image in dataset["image"]] == images
    assert [{name: row[name] for name in CONDITION_NAMES} for row in dataset] == expected


def test_images_in_a_folder_fundus_named_by_file_name(tmp_path):
    folder = tmp_path / "copy"
    names = [f"{idx:05d}_x.png" for idx in NUMBERS]
    write_annotation(folder, [{"file_name": name, **row} for name, row in zip(names, KNOWN, strict=True)])
    write_images(folder, {f"Fundus/{name}": png(idx) for idx, name in enumerate(names)})
    check(convert(folder), [png(idx) for idx in NUMBERS], KNOWN)


def test_images_named_by_idx(tmp_path):
    folder = tmp_path / "copy"
    write_annotation(folder, [{"idx": idx, **KNOWN[idx]} for idx in NUMBERS])
    write_images(folder, {f"{idx}.png": png(idx) for idx in NUMBERS})
    check(convert(folder), [png(idx) for idx in NUMBERS], KNOWN)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_idx_that_holds_file_names_in_other_folders(tmp_path, suffix):
    """`idx` is `14M/00/x.jpg`; the images are below another folder, and perhaps of the other format."""
    folder, image = tmp_path / "copy", jpeg if suffix == "jpg" else png
    write_annotation(folder, [{"idx": f"14M/0{idx % 2}/{idx}.jpg", **KNOWN[idx]} for idx in NUMBERS])
    write_images(folder, {f"download/14M/0{idx % 2}/{idx}.{suffix}": image(idx) for idx in NUMBERS})
    check(convert(folder), [image(idx) for idx in NUMBERS], KNOWN)


def test_missing_columns_become_unknown_and_are_counted_and_others_are_listed(tmp_path, capsys):
    folder = tmp_path / "copy"
    rows = [{"idx": idx, **KNOWN[idx], "split": "train", "source": f"a{idx}"} for idx in NUMBERS]
    for row in rows:
        del row["is_macular_readable"], row["is_dme"]
    write_annotation(folder, rows, name="derived.csv")
    write_images(folder, {f"{idx}.png": png(idx) for idx in NUMBERS})
    dataset = convert(folder)
    check(dataset, [png(idx) for idx in NUMBERS], [{**row, "is_macular_readable": -1, "is_dme": -1} for row in KNOWN])
    assert "split" not in dataset.features
    out = capsys.readouterr().out
    assert "Missing columns, unknown (-1) in all 6 rows: is_dme, is_macular_readable." in out
    assert "Other columns: split, source. Add --keep-columns to keep them as text." in out
    assert "Unknown (-1) in is_dme: 6 rows, is_macular_readable: 6 rows." in out


def test_other_columns_are_kept_on_request(tmp_path, capsys):
    folder = tmp_path / "copy"
    write_annotation(folder, [{"idx": idx, **KNOWN[idx], "source": f"a{idx}"} for idx in NUMBERS])
    write_images(folder, {f"{idx}.png": png(idx) for idx in NUMBERS})
    dataset = convert(folder, "--keep-columns")
    check(dataset, [png(idx) for idx in NUMBERS], KNOWN)
    assert dataset["source"][:] == [f"a{idx}" for idx in NUMBERS]
    labels_only = datasets.load_dataset(str(tmp_path / "copy-converted"), "labels", split="train")
    assert labels_only["source"][:] == [f"a{idx}" for idx in NUMBERS]
    assert "Other columns" not in capsys.readouterr().out


def test_labels_as_text(tmp_path):
    folder = tmp_path / "copy"
    rows = [
        {"idx": idx, **{label.name: label.values[KNOWN[idx][label.name]] for label in CONDITION_LABELS}}
        for idx in NUMBERS
    ]
    rows[0] |= {"is_gc": "True", "is_amd": "false", "is_pm": "unknown", "dr_grade": " 3.0", "is_em": ""}
    write_annotation(folder, rows)
    write_images(folder, {f"{idx}.png": png(idx) for idx in NUMBERS})
    first = {**KNOWN[0], "is_gc": 1, "is_amd": 0, "is_pm": -1, "dr_grade": 3, "is_em": -1}
    check(convert(folder), [png(idx) for idx in NUMBERS], [first, *KNOWN[1:]])


def test_eye_side_as_the_fifteenth_label(tmp_path):
    folder = tmp_path / "copy"
    columns = [name for name in CONDITION_NAMES if name != "is_retinal_region_readable"]
    assert len(columns) == 15
    write_annotation(folder, [{"idx": idx, **{name: KNOWN[idx][name] for name in columns}} for idx in NUMBERS])
    write_images(folder, {f"{idx}.png": png(idx) for idx in NUMBERS})
    expected = [{**row, "is_retinal_region_readable": -1} for row in KNOWN]
    check(convert(folder), [png(idx) for idx in NUMBERS], expected)


@pytest.mark.parametrize("plain_bytes", [False, True])
def test_a_re_upload_as_ten_parquet_parts_without_a_csv(tmp_path, monkeypatch, plain_bytes, capsys):
    folder, count = tmp_path / "copy", 30
    (folder / "data").mkdir(parents=True)
    (folder / "README.md").write_text("A re-upload.")
    rows = [{name: max(value, 0) for name, value in labels(idx).items()} for idx in range(count)]
    for part in range(10):
        numbers = range(3 * part, 3 * part + 3)
        images = [png(idx) if plain_bytes else {"bytes": png(idx), "path": f"{idx}.png"} for idx in numbers]
        columns = {name: [str(rows[idx][name]) for idx in numbers] for name in CONDITION_NAMES if name != "is_dme"}
        table = pa.table({"image": images, "idx": [f"14M/{idx}.png" for idx in numbers], **columns})
        pq.write_table(table, folder / "data" / f"train-{part:05d}-of-00010.parquet", row_group_size=2)
    with monkeypatch.context() as patch:
        patch.setattr(PIL.Image, "open", None)  # nothing is decoded
        out = tmp_path / "converted"
        assert main([str(folder), "--out", str(out), "--shard-rows", "7"]) == 0
    assert "Missing columns, unknown (-1) in all 30 rows: is_dme." in capsys.readouterr().out
    dataset = raw(datasets.load_dataset(str(out), split="train"))
    check(dataset, [png(idx) for idx in range(count)], [{**row, "is_dme": -1} for row in rows])
    assert [image["path"] for image in dataset["image"]] == [f"{idx}.png" for idx in range(count)]
    builder = SynFundus1M(data_dir=str(folder), cache_dir=str(tmp_path / "cache"))
    assert list(raw(builder.as_streaming_dataset(split="train"))) == list(dataset)


def test_bad_images_and_labels_of_a_parquet_copy_are_listed(tmp_path, capsys):
    folder = tmp_path / "copy"
    folder.mkdir()
    images = [
        {"bytes": png(0), "path": "0.png"},
        {"bytes": png(1)[:-30], "path": None},
        {"bytes": None, "path": "2.png"},
    ]
    rows = {name: [KNOWN[idx][name] for idx in range(3)] for name in CONDITION_NAMES}
    pq.write_table(pa.table({"image": images, **rows}), folder / "a.parquet")
    assert main([str(folder), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "1.png (idx 1) is truncated" in said
    assert "2.png (idx 2) has no bytes in the Parquet file" in said
    pq.write_table(
        pa.table({"image": images, **rows, "is_gc": [0, 7, 0]} | {"dr_grade": [0, 9, 1]}), folder / "a.parquet"
    )
    assert main([str(folder), "--out", str(tmp_path / "out2")]) == 2
    assert "line 2: dr_grade is 9" in capsys.readouterr().err
    pq.write_table(pa.table({"image": images, "dr_grade": [0, 1, 2]}), folder / "b.parquet")
    assert main([str(folder), "--out", str(tmp_path / "out3")]) == 2
    assert "files with other columns than the first:\n  b.parquet" in capsys.readouterr().err


def test_jpeg_files_are_checked_without_decoding(monkeypatch):
    good, small = jpeg(1), jpeg(1, (512, 300))
    monkeypatch.setattr(PIL.Image, "open", None)
    check_image(good)
    for content, said in (
        (good[:-40], "is truncated"),
        (small, "has 512x300 pixels"),
        (good[:2] + good[-2:], "damaged"),
    ):
        with pytest.raises(ImageError, match=said):
            check_image(content)


def test_a_preview_of_another_format_is_not_an_extra_image(tmp_path):
    folder = tmp_path / "copy"
    write_annotation(folder, [{"idx": idx, **KNOWN[idx]} for idx in NUMBERS])
    write_images(folder, {f"{idx}.png": png(idx) for idx in NUMBERS} | {"preview.jpg": jpeg(0)})
    check(convert(folder), [png(idx) for idx in NUMBERS], KNOWN)
    record = json.loads((tmp_path / "copy-converted" / ".build" / "build.json").read_text())
    assert record["extra_columns"] == []
