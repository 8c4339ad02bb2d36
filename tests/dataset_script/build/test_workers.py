"""The real generator in several processes, in datatrove's executors, and in other formats."""

import io
import os
from multiprocessing import spawn
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from datatrove.executor import LocalPipelineExecutor
from diffusers import DiffusionPipeline
from PIL import Image

from dataset_script import verify
from dataset_script.build.image_generator import choose_devices, choose_sampling, find_model, load_generator
from dataset_script.cluster import BuildShard, begun_shards
from dataset_script.errors import BuildError
from dataset_script.generate import main
from dataset_script.plan.condition_plan import load_plan


def pixels(folder) -> np.ndarray:
    images = pq.read_table(folder / "data")["image"].to_pylist()
    return np.stack([np.asarray(Image.open(io.BytesIO(image["bytes"])), float) for image in images])


def test_two_workers_make_the_dataset_of_one(dataset_dir, build_arguments, warm_python, monkeypatch, tmp_path):
    monkeypatch.setattr(spawn, "_python_exe", os.fsencode(warm_python))
    out = tmp_path / "synfundus-1m"
    assert main([*build_arguments, "--out", str(out), "--workers", "2", "--device", "cpu"]) == 0
    assert np.abs(pixels(out) - pixels(dataset_dir)).max() <= 1
    assert verify.main([str(out)]) == 0
    assert sorted(path.name for path in out.rglob("*")) == sorted(path.name for path in dataset_dir.rglob("*"))


def test_datatroves_tasks_make_the_same_dataset(dataset_dir, build_arguments, tiny_pipeline_dir, tmp_path):
    out = tmp_path / "synfundus-1m"
    assert main([*build_arguments, "--out", str(out), "--begin-only"]) == 0
    assert begun_shards(out) == 3
    assert not (out / "data").exists()
    step = BuildShard(out, str(tiny_pipeline_dir), device="cpu")
    LocalPipelineExecutor([step], tasks=3, workers=1, logging_dir=str(tmp_path / "logs"), skip_completed=False).run()
    assert main([*build_arguments, "--out", str(out)]) == 0
    assert np.abs(pixels(out) - pixels(dataset_dir)).max() <= 1
    assert verify.main([str(out)]) == 0


def test_a_task_finds_its_folders_from_another_directory(build_arguments, tiny_pipeline_dir, tmp_path, monkeypatch):
    assert main([*build_arguments, "--out", str(tmp_path / "synfundus-1m"), "--begin-only"]) == 0
    monkeypatch.chdir(tiny_pipeline_dir.parent)
    out = Path(os.path.relpath(tmp_path / "synfundus-1m"))
    step = BuildShard(out, tiny_pipeline_dir.name, device="cpu")
    monkeypatch.chdir("/")
    step.run(rank=2, world_size=3)
    assert (tmp_path / "synfundus-1m" / "data" / "train-00002.parquet").is_file()


def test_a_task_with_another_model_or_number_of_tasks_is_refused(build_arguments, tiny_pixel_pipeline, tmp_path):
    out = tmp_path / "synfundus-1m"
    with pytest.raises(BuildError, match="begin one with generate --begin-only"):
        begun_shards(out)
    assert main([*build_arguments, "--out", str(out), "--begin-only"]) == 0
    tiny_pixel_pipeline.save_pretrained(tmp_path / "other")
    with pytest.raises(BuildError, match=r"there are 4 tasks, but .* has 3 shards"):
        BuildShard(out, str(tmp_path / "other")).run(rank=0, world_size=4)
    with pytest.raises(BuildError, match="but the build was begun with tiny"):
        BuildShard(out, str(tmp_path / "other")).run(rank=0, world_size=3)


def test_the_source_gives_the_pixels_of_the_pipeline(tiny_pipeline_dir):
    rows = [load_plan().row(idx) for idx in (0, 7, 12)]
    model = find_model(str(tiny_pipeline_dir))
    source = load_generator(model, choose_sampling(model, 2, None, "float32"), "cpu")
    pipeline = DiffusionPipeline.from_pretrained(tiny_pipeline_dir, trust_remote_code=True)
    images = pipeline(
        [row.condition for row in rows], generator=[row.noise_seed for row in rows], num_inference_steps=2
    ).images
    assert source(rows).dtype == np.uint8
    assert np.array_equal(source(rows), np.stack([np.asarray(image) for image in images]))


@pytest.mark.parametrize("image_format", ["webp", "jpeg"])
def test_datasets_of_other_formats_are_sound(tiny_pipeline_dir, tmp_path, image_format):
    out = tmp_path / "synfundus-1m"
    arguments = ["--num-rows", "9", "--num-inference-steps", "1", "--model", str(tiny_pipeline_dir), "--out", str(out)]
    assert main([*arguments, "--image-format", image_format, "--dtype", "bfloat16"]) == 0
    assert verify.main([str(out)]) == 0
    card = (out / "README.md").read_text()
    assert "--dtype bfloat16" in card
    assert f"--image-format {image_format}" in card


@pytest.mark.parametrize(
    ("device", "gpus", "devices"),
    [
        ("cpu", 0, ["cpu", "cpu", "cpu"]),
        (None, 0, ["cpu", "cpu", "cpu"]),
        (None, 2, ["cuda:0", "cuda:1", "cuda:0"]),
        ("cuda", 8, ["cuda:0", "cuda:1", "cuda:2"]),
        ("cuda:1", 2, ["cuda:1", "cuda:1", "cuda:1"]),
    ],
)
def test_workers_take_the_gpus_in_turn(monkeypatch, device, gpus, devices):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch, "empty", lambda *_, device: None)
    assert choose_devices(device, 3) == devices
