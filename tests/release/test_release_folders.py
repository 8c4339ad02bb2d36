"""What may be published of a folder, and what is refused before anything is sent."""

import io
import json
import shutil
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from publishing import ROOT

from release.checks.contents import check_contents
from release.checks.folder import check_folder
from release.folders import Folder, ReleaseError

# Not written out, so that no scanner takes this file for a leak.
SECRETS = ["hf_" + "a" * 34, "AKIA" + "A" * 16, "-----BEGIN RSA " + "PRIVATE KEY-----", "ghp_" + "a" * 36]


def add(folder: Folder, name: str, content: bytes = b"1") -> None:
    path = folder.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def encode(text: dict[str, str]) -> bytes:
    info, buffer = PngInfo(), io.BytesIO()
    for key, value in text.items():
        info.add_text(key, value)
    Image.new("RGB", (8, 8), (90, 40, 20)).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def test_a_model_is_published_whole(model: Folder) -> None:
    assert set(model.files()) == {
        "README.md",
        "model_index.json",
        *(
            "pipeline.py",
            "cpu_inference.py",
            "labels.py",
            "editing.py",
            "guidance.py",
            "noise_levels.py",
            "photograph.py",
            "decoding.py",
        ),
        "condition_encoder/condition_encoder.py",
        "condition_encoder/config.json",
        "condition_encoder/diffusion_pytorch_model.safetensors",
        "scheduler/scheduler_config.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
    }


@pytest.mark.parametrize(
    "name", ["__pycache__/labels.cpython-311.pyc", "unet/.cache/x.json", ".env", ".git/config", "unet/.x.tmp", "a.tmp"]
)
def test_what_work_leaves_behind_is_passed_over(model: Folder, name: str) -> None:
    before = model.files()
    add(model, name)
    assert model.files() == before


@pytest.mark.parametrize(
    "name",
    [
        "unet/diffusion_pytorch_model.bin",
        "optimizer.pt",
        "state.pkl",
        "ema/diffusion_pytorch_model.safetensors",
        "optimizer.safetensors",
        "log.jsonl",
        "photographs/1.jpg",
        "checkpoints/100/unet/diffusion_pytorch_model.safetensors",
    ],
)
def test_a_model_with_other_weights_or_training_state_is_refused(model: Folder, name: str) -> None:
    add(model, name)
    with pytest.raises(ReleaseError, match=f"does not belong into a model repository: {name}"):
        model.files()


def test_pickled_weights_are_refused_with_the_reason(model: Folder) -> None:
    add(model, "unet/diffusion_pytorch_model.bin")
    with pytest.raises(ReleaseError, match="safetensors only"):
        model.files()


def test_a_folder_without_a_card_is_refused(model: Folder) -> None:
    model.card.unlink()
    with pytest.raises(ReleaseError, match=r"no README\.md"):
        model.files()


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="does not exist"):
        Folder("dataset", tmp_path / "none", "lab/none").files()


def test_the_space_is_published_whole() -> None:
    files = Folder("space", ROOT / "space", "lab/synfundus").files()
    own = {path for path in (ROOT / "space").rglob("*") if path.suffix in (".py", ".md", ".txt", ".css")}
    assert {path.relative_to(ROOT / "space").as_posix() for path in own} == set(files)


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_refused_with_its_line(secret: str) -> None:
    with pytest.raises(ReleaseError, match=r"app\.py, line 2, holds"):
        check_contents({"app.py": f"import os\ntoken = '{secret}'\n".encode()})


def test_addresses_and_hashes_are_no_secrets() -> None:
    check_contents(
        {"README.md": b"https://huggingface.co/lab/x/tree/0123456789abcdef0123456789abcdef01234567 hf_hub_id"}
    )


def test_an_image_must_say_that_it_is_synthetic(tmp_path: Path) -> None:
    path = tmp_path / "samples.png"
    path.write_bytes(encode({"Description": "Synthetic retinal fundus image"}))
    check_contents({"samples.png": path})
    path.write_bytes(encode({"Camera": "Canon CR-2"}))
    with pytest.raises(ReleaseError, match=r"samples\.png .*photograph of a real eye"):
        check_contents({"samples.png": path})


@pytest.mark.parametrize("suffix", ["jpeg", "webp"])
def test_an_image_may_say_so_in_exif(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"samples.{suffix}"
    exif = Image.Exif()
    exif[0x010E] = "Synthetic retinal fundus image"  # ImageDescription
    Image.new("RGB", (8, 8)).save(path, exif=exif)
    check_contents({path.name: path})
    Image.new("RGB", (8, 8)).save(path)
    with pytest.raises(ReleaseError, match="may be a photograph"):
        check_contents({path.name: path})


def test_a_dataset_of_photographs_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "train-00000-of-00001.parquet"
    pq.write_table(pa.table({"image": [{"bytes": encode({}), "path": "0.png"}], "idx": [0]}), path)
    with pytest.raises(ReleaseError, match=r"image 0 of data/train-0\.parquet"):
        check_contents({"data/train-0.parquet": path})


@pytest.mark.parametrize("row_group_size", [100, 3])
def test_every_image_of_a_parquet_file_must_say_that_it_is_synthetic(tmp_path: Path, row_group_size: int) -> None:
    path = tmp_path / "train-00000-of-00001.parquet"
    images = [
        {"bytes": encode({"Description": "Synthetic retinal fundus image"}), "path": f"{i}.png"} for i in range(9)
    ]
    pq.write_table(pa.table({"image": images}), path, row_group_size=row_group_size)
    check_contents({"data/train-0.parquet": path})
    images[7] = {"bytes": encode({"Camera": "Canon CR-2"}), "path": "7.png"}
    pq.write_table(pa.table({"image": images}), path, row_group_size=row_group_size)
    with pytest.raises(ReleaseError, match=r"image 7 of data/train-0\.parquet .*photograph of a real eye"):
        check_contents({"data/train-0.parquet": path})


def test_an_image_stored_without_its_bytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "train-0.parquet"
    pq.write_table(pa.table({"image": pa.array([{"bytes": None, "path": "/home/ada/0.png"}])}), path)
    with pytest.raises(ReleaseError, match=r"image 0 of data/train-0\.parquet is stored as a path"):
        check_contents({"data/train-0.parquet": path})


def test_a_link_to_a_parent_folder_does_not_repeat_its_files(model: Folder) -> None:
    before = model.files()
    (model.path / "again").symlink_to(model.path, target_is_directory=True)
    with pytest.raises(ReleaseError, match="again is a symbolic link to a folder"):
        model.files()
    (model.path / "again").unlink()
    assert model.files() == before


def test_a_model_must_load_in_a_clean_process(
    warm_python: Path, model: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(warm_python))
    (model.path / "labels.py").unlink()  # in this process, the clone's own would be found
    with pytest.raises(ReleaseError, match=r"does not load in a clean process.*labels"):
        check_folder(model)


def test_a_dataset_whose_card_names_another_generator_is_refused(dataset: Folder) -> None:
    card = dataset.card.read_text()
    record = json.loads((dataset.path / ".build" / "build.json").read_text())
    for field in ("generator_revision", "plan_hash"):
        dataset.card.write_text(card.replace(record[field], "0" * 16))
        with pytest.raises(ReleaseError, match=f"does not name the {field} of its build"):
            check_folder(dataset)


def test_a_dataset_that_fails_verify_is_refused(dataset: Folder) -> None:
    shard = min(dataset.path.glob("data/*.parquet"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(ReleaseError, match=rf"fails dataset_script\.verify:[\s\S]*{shard.name}"):
        check_folder(dataset)


def test_a_dataset_that_was_not_built_here_is_refused(dataset: Folder) -> None:
    shutil.rmtree(dataset.path / ".build")
    with pytest.raises(ReleaseError, match="was not built by"):
        check_folder(dataset)


def test_a_space_that_is_no_python_is_refused(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "space", tmp_path / "space")
    space = Folder("space", tmp_path / "space", "lab/synfundus")
    check_folder(space)
    (space.path / "app.py").write_text("def (")
    with pytest.raises(ReleaseError, match=r"app\.py is not valid Python"):
        check_folder(space)
