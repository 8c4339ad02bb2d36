import dataclasses
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from diffusers import DiffusionPipeline
from PIL import Image
from safetensors.torch import load_file

from pipeline_synfundus import SynFundusPipeline
from pipeline_synfundus.labels import CONDITION_NAMES
from tests.phantom import drusen_signal, write_phantom_dataset
from training.configuration.config import ConfigError, TrainingConfig, load_config
from training.configuration.networks import build_models
from training.data.examples import Examples
from training.data.generator_data import load_data
from training.loop.checkpoint import CheckpointError
from training.losses.flow_matching import drop_labels
from training.train_generator import train

SIDE = 8
UNET = {
    "sample_size": SIDE,
    "in_channels": 3,
    "out_channels": 3,
    "block_out_channels": [16, 32],
    "layers_per_block": 1,
    "down_block_types": ["DownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "UpBlock2D"],
    "norm_num_groups": 8,
    "attention_head_dim": 8,
}
ONE_LEVEL = UNET | {"block_out_channels": [16], "down_block_types": ["DownBlock2D"], "up_block_types": ["UpBlock2D"]}


def write_config(folder: Path, model: dict = UNET, **optimizer: float) -> Path:
    """A configuration for the phantom photographs in `folder`/data, on 8x8 pixels; Muon, as in the presets."""
    values = {
        "output_dir": str(folder / "run"),
        "resolution": SIDE,
        "data": {"source": str(folder / "data"), "group_column": "patient", "validation_share": 0.1},
        "generator": {
            "model": model,
            "degraded_share": 0.0,
            "num_inference_steps": 2,
            "optimizer": {"images": 640, "batch_size": 16, "learning_rate": 2e-3, "checkpoint_images": 10**6}
            | {"algorithm": "muon"}
            | optimizer,
        },
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def read_log(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "run" / "generator" / "log.jsonl").read_text().splitlines()]


def losses(folder: Path) -> dict[float, float]:
    return {entry["images_seen"]: entry["loss"] for entry in read_log(folder) if "loss" in entry}


def command(config: Path, python: Path) -> list[str]:
    return [str(python), "-m", "training.train_generator", "--config", str(config)]


def phantoms(folder: Path, rows: int, **options: object) -> None:
    write_phantom_dataset(folder / "data", rows, SIDE, np.random.default_rng(0), **options)


def test_it_learns_what_a_label_looks_like(tmp_path: Path) -> None:
    phantoms(tmp_path, 120, label_columns=["is_amd", "eye_side"])
    optimizer = {"images": 2400, "learning_rate": 3e-3, "warmup_images": 140, "ema_half_life_images": 300}
    config = load_config(write_config(tmp_path, **optimizer, sample_images=10**6))
    folder = train(config)

    curve = list(losses(tmp_path).values())
    assert curve[-1] < curve[0] / 2.5

    pipeline = DiffusionPipeline.from_pretrained(folder, trust_remote_code=True)
    unknown = dict.fromkeys(CONDITION_NAMES) | {"eye_side": 0}
    images = pipeline(
        [unknown | {"is_amd": value} for value in (0, 1)],
        num_images_per_condition=32,
        num_inference_steps=10,
        guidance_scale=1.5,
        generator=[*range(32), *range(32)],
        output_type="np",
    ).images
    signal_without, signal_with = np.split(drusen_signal((images * 255).round().astype(np.uint8)), 2)
    spread = np.hypot(signal_without.std(ddof=1), signal_with.std(ddof=1)) / np.sqrt(32)
    assert (signal_with.mean() - signal_without.mean()) / spread > 4


def test_unknown_labels_stay_unknown(tmp_path: Path) -> None:
    phantoms(tmp_path, 40, label_columns=["is_amd", "dr_grade"], unknown_share=0.5)
    examples = load_data(load_config(write_config(tmp_path)), None, SIDE).training
    is_amd, dr_grade = (CONDITION_NAMES.index(name) for name in ("is_amd", "dr_grade"))
    for column in (is_amd, dr_grade):
        assert 0.2 < (examples.codes[:, column] == -1).mean() < 0.8
    labelled = [is_amd, dr_grade, *range(CONDITION_NAMES.index("is_fundus"), CONDITION_NAMES.index("eye_side"))]
    assert (np.delete(examples.codes, labelled, axis=1) == -1).all()


def test_dropping_labels_only_makes_them_unknown(tmp_path: Path) -> None:
    stage = load_config(write_config(tmp_path)).generator
    codes = torch.randint(-1, 2, (4000, 16), generator=torch.Generator().manual_seed(0))
    dropped = drop_labels(codes, stage.label_dropout, stage.condition_dropout, torch.Generator().manual_seed(1))
    changed = dropped != codes
    assert (dropped[changed] == -1).all()
    whole = (dropped == -1).all(dim=1).float().mean().item()
    assert whole == pytest.approx(stage.condition_dropout, abs=0.02)


def test_a_mirrored_eye_is_the_other_eye() -> None:
    images = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    codes = np.full((2, 16), -1, dtype=np.int8)
    codes[0, -1] = 0
    examples = Examples(images, codes, np.array(["a", "b"]), np.arange(2))
    straight, _ = examples.take(np.arange(2), np.array([False, False]))
    mirrored, labels = examples.take(np.arange(2), np.array([True, True]))
    assert torch.equal(mirrored, straight.flip(-1))
    assert labels[:, -1].tolist() == [1, -1]


def test_latents_on_a_device_are_taken_as_those_in_a_file() -> None:
    latents = np.random.default_rng(0).standard_normal((3, 2, 4, 2, 2)).astype(np.float16)
    in_file = Examples(latents, np.zeros((3, 16), dtype=np.int8), np.array(["a"] * 3), np.arange(3))
    on_device = dataclasses.replace(in_file, values=torch.from_numpy(latents))
    rows, flipped = np.array([2, 0]), np.array([True, False])
    taken, labels = on_device.take(rows, flipped)
    assert torch.equal(taken, torch.from_numpy(np.stack([latents[2, 1], latents[0, 0]])).float())
    assert labels[:, -1].tolist() == [1, 0]
    assert in_file.on_device(torch.device("cpu")) is in_file


def test_killed_and_resumed_equals_unbroken(warm_python: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "unbroken", tmp_path / "killed"]
    # Checkpoints at the end of a window of the log: then every logged mean is over the same steps.
    optimizer = {"images": 200, "batch_size": 2, "checkpoint_images": 100, "sample_images": 10**6}
    for folder in folders:
        folder.mkdir()
        phantoms(folder, 24, label_columns=["is_amd"])
    configs = [write_config(folder, ONE_LEVEL, **optimizer) for folder in folders]
    process = subprocess.Popen(command(configs[1], warm_python), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    checkpoints = folders[1] / "run" / "generator" / "checkpoints"
    deadline = time.monotonic() + 200
    while not list(checkpoints.glob("images-*")):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (folders[1] / "run" / "pipeline").exists()

    for config in configs:
        train(load_config(config))
    unbroken, resumed = (losses(folder) for folder in folders)
    assert len(unbroken) == 2
    assert resumed == pytest.approx(unbroken, abs=1e-5)
    weights = [load_file(f / "run" / "pipeline" / "unet" / "diffusion_pytorch_model.safetensors") for f in folders]
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-4) for name in weights[0])


def test_a_finished_pipeline_is_left_as_it_is_and_an_unfinished_one_can_be_finished(tmp_path: Path) -> None:
    phantoms(tmp_path, 12, label_columns=["is_amd"])
    path = write_config(tmp_path, images=32, ema_half_life_images=1)
    folder = train(load_config(path))
    card = folder / "README.md"
    card.write_text(card.read_text() + "## Measured")

    def state() -> dict[str, int]:
        return {file.name: file.stat().st_mtime_ns for file in folder.rglob("*")}

    before = state()
    train(load_config(path))
    train(load_config(path), finish=True)
    assert state() == before

    path = write_config(tmp_path, images=64, ema_half_life_images=1)
    train(load_config(path), finish=True)
    assert state() == before  # the newest checkpoint is the one that the pipeline was made from
    values = yaml.safe_load(path.read_text())
    values["generator"] |= {"guidance_scale": 3.5, "guidance_keeps_colour": True}
    path.write_text(yaml.safe_dump(values))
    train(load_config(path), finish=True)
    record = json.loads((folder / "training_run.json").read_text())
    assert record["stages"]["generator"]["images_seen"] == 32
    sampling = SynFundusPipeline.from_pretrained(folder).config
    assert (sampling.default_guidance_scale, sampling.guidance_keeps_colour) == (3.5, True)
    text = card.read_text()
    assert "## Measured" not in text
    assert "The default scale is 3.5, in all of the 2 steps, and keeps the average colour of an image." in text


@pytest.mark.parametrize(
    ("section", "name", "value", "message"),
    [
        ("generator", "condition_dropout", 0.3, "generator.condition_dropout was 0.1 and is now 0.3"),
        ("data", "validation_share", 0.2, "data.validation_share was 0.1 and is now 0.2"),
        ("data", "source", "other", "photographs_sha256 was '[0-9a-f]+' and is now '[0-9a-f]+'"),
    ],
)
def test_what_shapes_the_weights_cannot_change_within_a_run(
    begun: Path, tmp_path: Path, section: str, name: str, value: object, message: str
) -> None:
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    write_phantom_dataset(tmp_path / "other", 12, 32, np.random.default_rng(1), ["is_amd"])
    path = write_config(tmp_path, images=16)
    values = yaml.safe_load(path.read_text())
    values[section][name] = str(tmp_path / str(value)) if name == "source" else value
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(CheckpointError, match=message):
        train(load_config(path))


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photographs and a run of one step."""
    folder = tmp_path_factory.mktemp("begun")
    phantoms(folder, 12, label_columns=["is_amd"])
    train(load_config(write_config(folder, images=16)))
    return folder


def test_channels_last_trains_the_same_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The layout that a GPU gets, here on a CPU: same losses, and weights that can be saved and gone on from."""
    folders = [tmp_path / "contiguous", tmp_path / "channels_last"]
    for folder in folders:
        folder.mkdir()
        phantoms(folder, 24, label_columns=["is_amd"])
    configs = [load_config(write_config(folder, images=128, batch_size=8)) for folder in folders]
    train(configs[0])
    monkeypatch.setattr("training.loop.trainer.memory_layout", lambda device: torch.channels_last)
    saved = train(configs[1]) / "unet" / "diffusion_pytorch_model.safetensors"
    assert losses(folders[1]) == pytest.approx(losses(folders[0]), rel=1e-3)
    weights = load_file(saved)
    train(configs[1])
    assert all(torch.equal(tensor, weights[name]) for name, tensor in load_file(saved).items())


def test_two_processes_are_two_halves_of_one_batch(warm_python: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder, parts in zip(folders, (2, 1), strict=True):
        folder.mkdir()
        phantoms(folder, 40, label_columns=["is_amd"])
        write_config(folder, images=160, accumulation_steps=parts, sample_images=10**6)
    train(load_config(folders[0] / "config.yaml"))
    # What `accelerate launch` runs for several devices; without a GPU accelerate itself needs MPI for that.
    launcher = [warm_python, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "--no-python"]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true"}
    launched = [*launcher, *command(folders[1] / "config.yaml", warm_python)]
    done = subprocess.run(launched, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert losses(folders[1]) == pytest.approx(losses(folders[0]), abs=1e-4)
    measured = [[entry["validation_loss"] for entry in read_log(f) if "validation_loss" in entry] for f in folders]
    assert len(measured[0]) == 1
    assert measured[1] == pytest.approx(measured[0], abs=1e-4)
    grids = [np.asarray(Image.open(f / "run" / "generator" / "samples.png"), dtype=int) for f in folders]
    assert np.abs(grids[1] - grids[0]).mean() < 1


def test_a_finished_run_ends_on_every_node_without_a_common_disk(
    begun: Path, warm_python: Path, tmp_path: Path
) -> None:
    """Only the first node has the pipeline; the second waited for the first, which had ended."""
    for node in ("0", "1"):
        shutil.copytree(begun / "data", tmp_path / node / "data")
        config = (begun / "config.yaml").read_text().replace(str(begun), str(tmp_path / node))
        (tmp_path / node / "config.yaml").write_text(config)
    shutil.copytree(begun / "run", tmp_path / "0" / "run")
    launcher = [warm_python, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "--no-python"]
    node = f"LOCAL_RANK=0 exec {' '.join(command(tmp_path / '$RANK' / 'config.yaml', warm_python))}"
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launcher, "sh", "-c", node], env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("the run is finished: nothing to do") == 2
    assert done.stdout.count("the result is in") == 1  # the second node has none
    assert not (tmp_path / "1" / "run" / "generator" / "log.jsonl").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample_size": 16}, r"generator\.model\.sample_size is 16, but must be 8"),
        ({"in_channels": 4}, r"generator\.model\.in_channels is 4, but must be 3"),
        ({"blocks": 3}, r"generator\.model cannot be built"),
        ({"norm_num_groups": 7}, r"generator\.model cannot be built"),
    ],
)
def test_a_model_that_cannot_be_is_refused_before_any_work(tmp_path: Path, change: dict, message: str) -> None:
    phantoms(tmp_path, 4, label_columns=["is_amd"])
    path = write_config(tmp_path)
    values = yaml.safe_load(path.read_text())
    values["generator"]["model"] = UNET | change
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(ConfigError, match=message):
        train(load_config(path))
    assert not (tmp_path / "run" / "cache").exists()


def test_a_batch_that_cannot_be_shared_out_is_refused(tmp_path: Path) -> None:
    phantoms(tmp_path, 8, label_columns=["is_amd"])
    config: TrainingConfig = load_config(write_config(tmp_path, batch_size=9, accumulation_steps=2))
    with pytest.raises(ConfigError, match=r"optimizer\.batch_size is 9, but must be a multiple of .* 1 x 2"):
        train(config)


def test_training_starts_from_a_pipeline(begun: Path, tmp_path: Path) -> None:
    first = begun / "run" / "pipeline"
    path = write_config(tmp_path)
    values = yaml.safe_load(path.read_text())
    values["generator"]["pretrained"] = str(first)
    path.write_text(yaml.safe_dump(values))
    unet, encoder = build_models(load_config(path))
    trained = SynFundusPipeline.from_pretrained(first)
    for network, origin in ((unet, trained.unet), (encoder, trained.condition_encoder)):
        for name, tensor in origin.state_dict().items():
            assert torch.equal(network.state_dict()[name], tensor.float())


@pytest.mark.parametrize("folder", ["nowhere", "other"])
def test_a_pipeline_that_does_not_fit_is_refused(tmp_path: Path, tiny_pipeline_dir: Path, folder: str) -> None:
    shutil.copytree(tiny_pipeline_dir, tmp_path / "other")
    path = write_config(tmp_path)
    values = yaml.safe_load(path.read_text())
    values["generator"]["pretrained"] = str(tmp_path / folder)
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(ConfigError, match=f"generator.pretrained is '.*{folder}', but cannot be loaded"):
        build_models(load_config(path))
