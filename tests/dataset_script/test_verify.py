import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from dataset_script.build.image_index import image_ranges
from dataset_script.verify import main
from synfundus.files import file_sha256

PLAIN: dict[str, Any] = {"compression": "none", "use_dictionary": False}
ROOT = Path(__file__).parents[2]


@pytest.fixture
def copied(dataset_dir, tmp_path) -> Path:
    """A dataset that a test may damage."""
    return Path(shutil.copytree(dataset_dir, tmp_path / "synfundus-1m"))


def problems(capsys, folder, *options) -> dict[str, int]:
    """Runs the command, checks its exit status, and returns the number of problems by check."""
    status = main([str(folder), *options])
    lines = capsys.readouterr().out.splitlines()
    body = lines[1 : lines.index("") if "" in lines else -1]
    found = {line[:40].strip(): 0 if line.split()[-1] == "-" else int(line.split()[-1]) for line in body}
    assert len(found) == 12
    assert status == (1 if any(found.values()) else 0)
    return {name: count for name, count in found.items() if count}


def rewrite(folder, shard, edit, config="default"):
    """Changes the table of a shard, and the manifest with it, as a faulty writer would leave them."""
    manifest_file = folder / ".build" / f"train-0000{shard}.json"
    manifest = json.loads(manifest_file.read_text())
    files = {name: folder / described["file"] for name, described in manifest["files"].items()}
    pq.write_table(edit(pq.read_table(files[config])), files[config], row_group_size=7, **PLAIN)
    index = pq.read_table(files["index"])
    for place, values in zip(("offset", "size"), zip(*image_ranges(files["default"]), strict=True), strict=True):
        index = set_column(index, place, lambda earlier, found=values: [*found, *earlier[len(found) :]])
    pq.write_table(index, files["index"])
    for name, file in files.items():
        manifest["files"][name] |= {"bytes": file.stat().st_size, "sha256": file_sha256(file)}
    manifest_file.write_text(json.dumps(manifest))


def set_column(table, name, change):
    values = table[name].to_pylist()
    column = pa.array(change(values), table.schema.field(name).type)
    return table.set_column(table.schema.get_field_index(name), table.schema.field(name), column)


def edited_image(change):
    """An edit that changes the pixels of the shard's first image, but not its provenance."""

    def edit(values):
        image = Image.open(io.BytesIO(values[0]["bytes"]))
        buffer = io.BytesIO()
        text = PngInfo()
        for key, value in image.text.items():
            text.add_text(key, value)
        change(image, values).save(buffer, "PNG", pnginfo=text)
        return [{**values[0], "bytes": buffer.getvalue()}, *values[1:]]

    return lambda table: set_column(table, "image", edit)


def test_a_built_dataset_is_sound(dataset_dir, capsys):
    assert problems(capsys, dataset_dir) == {}
    assert problems(capsys, dataset_dir, "--sample", "7") == {}


def test_the_command_prints_how_much_it_checked(dataset_dir, warm_python):
    command = [warm_python, "-m", "dataset_script.verify", str(dataset_dir)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    for line in ("3 shards", "9 files", "120 rows", "40 images", "sound."):
        assert line in done.stdout, done.stdout


@pytest.mark.parametrize("sample", [1, 25, 39, 40, 1000])
def test_a_sample_has_the_requested_size(dataset_dir, capsys, sample):
    assert main([str(dataset_dir), "--sample", str(sample)]) == 0
    assert f"{min(sample, 40)} images" in capsys.readouterr().out


def test_one_changed_byte_is_found(copied, capsys):
    file = copied / "data/train-00001.parquet"
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 1
    file.write_bytes(content)
    assert problems(capsys, copied)["checksums match the manifests"] == 1
    assert "checksums match the manifests" not in problems(capsys, copied, "--sample", "40")


def test_a_truncated_file_is_found(copied, capsys):
    file = copied / "labels/train-00002.parquet"
    file.write_bytes(file.read_bytes()[:-10])
    found = problems(capsys, copied)
    assert found == {"shards match their manifests": 1, "columns and their types": 1}


@pytest.mark.parametrize("lost", ["data/train-00000.parquet", ".build/train-00001.json"])
def test_a_missing_file_is_found(copied, capsys, lost):
    (copied / lost).unlink()
    assert problems(capsys, copied)["shards match their manifests"] == 1


def test_an_extra_file_is_found(copied, capsys):
    shutil.copy(copied / "data/train-00000.parquet", copied / "data/train-00003.parquet")
    (copied / "labels/.train-00000.parquet.tmp").write_bytes(b"half")
    assert problems(capsys, copied) == {"card, plan and no other files exist": 2}


def test_another_plan_and_a_card_of_another_size_are_found(copied, capsys):
    card, plan = copied / "README.md", copied / "plan.yaml"
    card.write_text(card.read_text().replace("num_examples: 40", "num_examples: 41"))
    plan.write_text(plan.read_text().replace("seed: ", "seed: 1"))
    found = problems(capsys, copied)
    assert found["card, plan and no other files exist"] == 2
    assert found["labels match the plan"] > 0


def test_duplicate_and_missing_rows_are_found(copied, capsys):
    rewrite(copied, 0, lambda table: set_column(table, "idx", lambda values: [0, *values[:-1]]))
    assert problems(capsys, copied)["idx is 0 to N-1, no gaps or duplicates"] == 15
    rewrite(copied, 1, lambda table: table.slice(0, 15))
    assert problems(capsys, copied)["idx is 0 to N-1, no gaps or duplicates"] == 16


@pytest.mark.parametrize("config", ["default", "labels"])
def test_wrong_labels_are_found_in_either_config(copied, capsys, config):
    rewrite(copied, 1, lambda table: set_column(table, "is_gc", lambda values: [1 - values[0], *values[1:]]), config)
    assert problems(capsys, copied) == {"labels match the plan": 1}
    rewrite(copied, 1, lambda table: set_column(table, "dr_grade", lambda values: [5, -2, *values[2:]]), config)
    assert problems(capsys, copied) == {"labels are in range": 2, "labels match the plan": 2}


def test_other_columns_are_found(copied, capsys):
    rewrite(copied, 2, lambda table: table.drop_columns(["is_gc"]))
    assert problems(capsys, copied) == {"columns and their types": 1}


def test_identical_images_are_found(copied, capsys):
    def second(image, values):
        return Image.open(io.BytesIO(values[1]["bytes"]))

    rewrite(copied, 0, edited_image(second))
    assert problems(capsys, copied) == {"no two images are identical": 1}


def test_images_of_another_size_or_mode_are_found(copied, capsys):
    rewrite(copied, 0, edited_image(lambda image, _: image.resize((8, 16))))
    rewrite(copied, 1, edited_image(lambda image, _: image.convert("L")))
    assert problems(capsys, copied) == {"images decode at the stated size": 2}


def test_images_that_cannot_be_decoded_are_found(copied, capsys):
    def cut(values):
        return [{**values[0], "bytes": values[0]["bytes"][:-200]}, {**values[1], "bytes": b"no image"}, *values[2:]]

    rewrite(copied, 2, lambda table: set_column(table, "image", cut))
    assert problems(capsys, copied) == {"images decode at the stated size": 2}


def test_images_of_other_rows_are_found(copied, capsys):
    def swap(values):
        return [values[1], values[0], *values[2:]]

    rewrite(copied, 0, lambda table: set_column(table, "image", swap))
    assert problems(capsys, copied) == {"images name their generator and row": 2}


def test_a_folder_without_a_dataset_is_refused(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert "holds no dataset" in capsys.readouterr().err
