import io
import json
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from diffusers import DiffusionPipeline
from PIL import Image

from dataset_script.generate import main
from dataset_script.plan.condition_plan import DEFAULT_PLAN, load_plan
from pipeline_synfundus.labels import CONDITION_LABELS, CONDITION_NAMES, LABEL_NAMES

ROOT = Path(__file__).parents[2]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def parquet(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in files(folder).items() if name.endswith(".parquet")}


def stored_image(folder: Path, position: int) -> Image.Image:
    row = pq.read_table(folder / "data").slice(position, 1).to_pylist()[0]
    return Image.open(io.BytesIO(row["image"]["bytes"]))


def refused(capsys, *arguments) -> str:
    """Runs the command, which must refuse its arguments; returns its error message."""
    try:
        assert main([str(argument) for argument in arguments]) == 2
    except SystemExit as end:  # argparse
        assert end.code == 2
    return capsys.readouterr().err


def test_loads_by_its_name_in_all_three_ways(dataset_dir, monkeypatch):
    monkeypatch.chdir(dataset_dir.parent)
    whole = datasets.load_dataset("synfundus-1m")["train"]
    labels = datasets.load_dataset("synfundus-1m", "labels")["train"]
    stream = datasets.load_dataset("synfundus-1m", split="train", streaming=True)
    assert whole.column_names == ["image", "idx", *CONDITION_NAMES]
    assert labels.column_names == ["idx", *CONDITION_NAMES]
    for dataset in (whole, labels, stream):
        for label in CONDITION_LABELS:
            assert dataset.features[label.name] == datasets.ClassLabel(names=list(label.values))
    assert len(LABEL_NAMES) == 15
    assert whole.remove_columns("image")[:] == labels[:]
    assert whole[0]["image"].size == (16, 16)
    streamed = list(stream)
    assert [row["idx"] for row in streamed] == list(range(40))
    assert all(np.array_equal(row["image"], other["image"]) for row, other in zip(streamed, whole, strict=True))


def test_rows_match_the_plan(dataset_dir):
    plan = load_plan()
    table = pq.read_table(dataset_dir / "labels").to_pylist()
    assert table == [{"idx": row.idx, **row.condition} for row in plan.rows(range(40))]


def test_one_parquet_file_alone_knows_types_and_value_names(dataset_dir):
    shards = sorted((dataset_dir / "data").iterdir())
    assert [shard.name for shard in shards] == [f"train-0000{shard}.parquet" for shard in range(3)]
    schema = pq.read_schema(shards[-1])
    features = datasets.Features.from_arrow_schema(schema)
    assert str(schema.field("image").type) == "struct<bytes: binary, path: string>"
    assert features["image"] == datasets.Image()
    assert features["idx"] == datasets.Value("int64")
    assert features["dr_grade"].names == ["none", "mild NPDR", "moderate NPDR", "severe NPDR", "proliferative DR"]


def test_every_image_contains_its_provenance(dataset_dir, record):
    for idx in (0, 39):
        image = stored_image(dataset_dir, idx)
        assert image.format == "PNG"
        assert image.mode == "RGB"
        assert image.text["Description"].startswith("Synthetic")
        assert "Not a photograph" in image.text["Description"]
        assert record["generator_revision"] in image.text["Software"]
        assert {name: text for name, text in image.text.items() if name.startswith("SynFundus-")} == {
            "SynFundus-Synthetic": "true",
            "SynFundus-Generator": record["generator"],
            "SynFundus-Revision": record["generator_revision"],
            "SynFundus-Plan": load_plan().hash,
            "SynFundus-Row": str(idx),
        }


def test_a_single_image_can_be_generated_again(dataset_dir, tiny_pipeline_dir):
    pipeline = DiffusionPipeline.from_pretrained(tiny_pipeline_dir, trust_remote_code=True)
    for idx in (3, 21, 39):
        row = load_plan().row(idx)
        alone = pipeline(row.condition, generator=[row.noise_seed], num_inference_steps=2).images[0]
        difference = np.asarray(alone, float) - np.asarray(stored_image(dataset_dir, idx), float)
        assert np.abs(difference).max() <= 1


def test_images_differ(dataset_dir):
    images = {stored_image(dataset_dir, position).tobytes() for position in range(40)}
    assert len(images) == 40


def test_a_smaller_dataset_in_other_shards_is_the_beginning(
    dataset_dir, tiny_pipeline_dir, single_split_plan, tmp_path
):
    options = [
        "--plan",
        str(single_split_plan),
        "--shard-rows",
        "5",
        "--batch-size",
        "3",
        "--num-inference-steps",
        "2",
        "--device",
        "cpu",
    ]
    assert (
        main(["--num-rows", "12", "--out", str(tmp_path / "small"), "--model", str(tiny_pipeline_dir), *options]) == 0
    )
    for position in range(12):
        large, small = (
            np.asarray(stored_image(folder, position), float) for folder in (dataset_dir, tmp_path / "small")
        )
        assert np.abs(large - small).max() <= 1


def test_manifests_and_plan_are_kept(dataset_dir, record):
    manifests = [json.loads(path.read_text()) for path in sorted((dataset_dir / ".build").glob("train-*.json"))]
    assert [(manifest["first_row"], manifest["rows"]) for manifest in manifests] == [(0, 16), (16, 16), (32, 8)]
    assert {file["file"] for manifest in manifests for file in manifest["files"].values()} == set(parquet(dataset_dir))
    assert load_plan(dataset_dir / "plan.yaml").hash == record["plan_hash"] == load_plan().hash


def test_a_complete_dataset_is_left_alone_and_the_model_not_loaded(dataset_dir, build_arguments, warm_python):
    before = {path: path.stat().st_mtime_ns for path in dataset_dir.rglob("*")}
    code = (
        "import sys; from dataset_script.generate import main; assert main(sys.argv[1:]) == 0; "
        "assert not any(name.startswith('diffusers_modules') for name in sys.modules)"
    )
    command = [warm_python, "-c", code, *build_arguments, "--out", str(dataset_dir)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "complete: 40 rows in 3 shards. Nothing to do." in done.stdout
    assert {path: path.stat().st_mtime_ns for path in dataset_dir.rglob("*")} == before


def wait_for(path: Path, process: subprocess.Popen) -> None:
    end = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < end, f"{path} does not come"
        time.sleep(0.005)


def test_after_an_interrupt_and_a_kill_the_command_completes_the_same_dataset(tiny_pipeline_dir, warm_python, tmp_path):
    options = ["--num-rows", "18", "--shard-rows", "3", "--num-inference-steps", "16", "--model", tiny_pipeline_dir]
    broken, unbroken = tmp_path / "broken", tmp_path / "unbroken"
    command = [warm_python, "-m", "dataset_script.generate", *options, "--out"]
    for shard, stop in ((0, signal.SIGINT), (2, signal.SIGKILL)):
        process = subprocess.Popen([*command, broken], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        wait_for(broken / ".build" / f"train-0000{shard}.json", process)
        process.send_signal(stop)
        _, errors = process.communicate(timeout=60)
        if stop == signal.SIGINT:
            assert process.returncode == 130, errors
            assert "Interrupted. Run the same command again to continue" in errors
            assert "Traceback" not in errors
        else:
            assert process.returncode == -signal.SIGKILL
    complete = sorted(path.stem for path in (broken / ".build").glob("train-*.json"))
    assert 3 <= len(complete) < 6
    assert not (broken / "README.md").exists()
    written = {name: (broken / f"data/{name}.parquet").stat().st_mtime_ns for name in complete}

    for folder in (broken, unbroken):
        subprocess.run([*command, folder], cwd=ROOT, check=True)
    assert parquet(broken) == parquet(unbroken)
    assert len(parquet(broken)) == 3 * len(list((broken / "data").glob("*.parquet")))  # images, labels and index
    splits = datasets.load_dataset(str(broken), "labels")
    assert sorted(idx for split in splits.values() for idx in split["idx"]) == list(range(18))
    assert {name: (broken / f"data/{name}.parquet").stat().st_mtime_ns for name in complete} == written


def test_a_missing_truncated_or_half_written_shard_is_built_again(dataset_dir, build_arguments, tmp_path):
    folder = tmp_path / "synfundus-1m"
    shutil.copytree(dataset_dir, folder)
    lost, cut = folder / "labels/train-00000.parquet", folder / "data/train-00001.parquet"
    lost.unlink()
    cut.write_bytes(cut.read_bytes()[:1000])
    (folder / ".build/train-00002.json").write_text("{")
    (folder / "data/.train-00002.parquet.tmp").write_bytes(b"half")
    assert main([*build_arguments, "--out", str(folder)]) == 0
    assert files(folder) == files(dataset_dir)


def test_a_missing_card_is_written_again(dataset_dir, build_arguments, tmp_path):
    folder = tmp_path / "synfundus-1m"
    shutil.copytree(dataset_dir, folder)
    (folder / "README.md").unlink()
    assert main([*build_arguments, "--out", str(folder)]) == 0
    assert files(folder) == files(dataset_dir)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--num-rows", "41", "num_rows was 40, now it is 41"),
        ("--shard-rows", "20", "shard_rows was 16, now it is 20"),
        ("--num-inference-steps", "3", "num_inference_steps was 2, now it is 3"),
        ("--guidance-scale", "1.5", "guidance_scale was 2.5, now it is 1.5"),
        ("--image-format", "webp", "image_format was png, now it is webp"),
        ("--dtype", "bfloat16", "dtype was float32, now it is bfloat16"),
    ],
)
def test_other_arguments_are_refused_in_a_begun_folder(dataset_dir, build_arguments, capsys, option, value, said):
    before = files(dataset_dir)
    message = refused(capsys, *build_arguments, option, value, "--out", dataset_dir)
    assert said in message
    assert "give --out a new folder" in message
    assert files(dataset_dir) == before


def test_another_plan_is_refused_in_a_begun_folder(dataset_dir, build_arguments, capsys, tmp_path):
    plan = tmp_path / "plan.yaml"
    plan.write_text(DEFAULT_PLAN.read_text().replace("seed: ", "seed: 1"))
    before = files(dataset_dir)
    assert "plan_hash was" in refused(capsys, *build_arguments, "--plan", plan, "--out", dataset_dir)
    assert files(dataset_dir) == before


def test_another_generator_is_refused_in_a_begun_folder(
    dataset_dir, build_arguments, capsys, tmp_path, tiny_pipeline_dir
):
    model = tmp_path / tiny_pipeline_dir.name
    shutil.copytree(tiny_pipeline_dir, model)
    (model / "README.md").write_text("A card is no part of the revision.")
    assert main([*build_arguments, "--model", str(model), "--out", str(dataset_dir)]) == 0
    config = model / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text() + "\n")
    assert "generator_revision was" in refused(capsys, *build_arguments, "--model", model, "--out", dataset_dir)


def test_a_dataset_grows_on_request_only(dataset_dir, build_arguments, capsys, tmp_path):
    out = tmp_path / "synfundus-1m"
    few = ["12" if argument == "40" else argument for argument in build_arguments]
    assert main([*few, "--out", str(out)]) == 0
    early = [stored_image(out, position).tobytes() for position in range(12)]
    assert "num_rows was 12, now it is 40" in refused(capsys, *build_arguments, "--out", out)
    assert main([*build_arguments, "--out", str(out), "--grow"]) == 0
    assert [stored_image(out, position).tobytes() for position in range(12)] == early
    assert datasets.load_dataset(str(out), "labels", split="train")["idx"][:] == list(range(40))
    assert "num_rows was 40, now it is 12" in refused(capsys, *few, "--out", out, "--grow")


def test_a_folder_with_something_else_is_refused(build_arguments, capsys, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert "holds no build" in refused(capsys, *build_arguments, "--out", tmp_path)
    assert "holds no build" in refused(capsys, *build_arguments, "--out", tmp_path / "notes.txt")
    assert files(tmp_path) == {"notes.txt": b"mine"}


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--workers", "0", "'0' is not an integer of 1 or more"),
        ("--image-format", "gif", "invalid choice: 'gif'"),
        ("--dtype", "int8", "invalid choice: 'int8'"),
        ("--num-rows", "0", "'0' is not an integer of 1 or more"),
        ("--num-rows", "ten", "'ten' is not an integer of 1 or more"),
        ("--shard-rows", "-5", "'-5' is not an integer of 1 or more"),
        ("--batch-size", "1.5", "'1.5' is not an integer of 1 or more"),
        ("--guidance-scale", "nan", "'nan' is not a number of 0 or more"),
        ("--device", "abacus", "--device abacus cannot be used"),
        ("--plan", "none.yaml", "the plan none.yaml cannot be read"),
        ("--model", "tests", "--model tests holds no model_index.json"),
        ("--model", "no/where/at/all", "is neither a local folder nor a downloadable Hub repository"),
        ("--model", "nobody/nothing-of-this-name", "is neither a local folder nor a downloadable Hub repository"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(
    build_arguments, capsys, tmp_path, monkeypatch, option, value, said
):
    monkeypatch.chdir(ROOT)
    assert said in refused(capsys, *build_arguments, option, value, "--out", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_openvino_is_recorded_and_makes_a_row_again(tiny_pipeline_dir: Path, tmp_path: Path, capfd: Any) -> None:
    pytest.importorskip("openvino", reason="needs OpenVINO: pip install synfundus[openvino]")
    arguments = ["--model", str(tiny_pipeline_dir), "--num-inference-steps", "2", "--cpu-backend", "openvino"]
    out = tmp_path / "dataset"
    assert main([*arguments, "--num-rows", "5", "--out", str(out)]) == 0
    assert re.match(r"Generating with tiny: 1 worker on cpu, openvino, (bfloat16|float32)\n", capfd.readouterr().out)
    assert json.loads((out / ".build" / "build.json").read_text())["backend"] == "openvino"
    assert main([*arguments, "--rows", "3", "--out", str(tmp_path)]) == 0
    again = np.asarray(Image.open(next(tmp_path.glob("*.png"))), int)
    rows = [row for path in (out / "data").glob("*.parquet") for row in pq.read_table(path).to_pylist()]
    (row,) = (row for row in rows if row["idx"] == 3)
    assert np.abs(again - np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])), int)).max() <= 1
    assert (
        main(["--model", str(tiny_pipeline_dir), "--cpu-backend", "torch", "--num-rows", "5", "--out", str(out)]) == 2
    )
