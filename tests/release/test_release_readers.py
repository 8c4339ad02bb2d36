"""What was published, read from the Hub by clean processes with empty caches."""

import json
import re
import socket
import subprocess
from pathlib import Path

import pytest
from gradio_client import Client
from hub import Fault
from PIL import Image
from publishing import DATASET, MODEL, SPACE, Push, clean_environment

from pipeline_synfundus import SynFundusPipeline

SLOW_AND_SHAKY = [
    Fault("GET .*/resolve/", status=429, times=2, headers={"Retry-After": "0"}),
    Fault("GET /lfs/", "cut", times=2),
    Fault("GET /lfs/", "slow", times=2),
]


def run_clean(
    python: Path, published: Push, folder: Path, code: str, token: str | None = None
) -> subprocess.CompletedProcess:
    """Runs Python that knows the Hub and nothing of the clone."""
    environment = clean_environment(published.hub, folder / "cache", token)
    folder.mkdir(exist_ok=True)
    command = [python, "-c", code]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def read_clean(python: Path, published: Push, folder: Path, code: str) -> list[str]:
    """What the code prints."""
    done = run_clean(python, published, folder, code)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_dataset_loads_by_name_with_images_and_labels(warm_python: Path, published: Push, tmp_path: Path) -> None:
    lines = read_clean(
        warm_python,
        published,
        tmp_path,
        f"from datasets import load_dataset\neyes = load_dataset({DATASET!r}, split='train')\n"
        "print(len(eyes), eyes[39]['idx'], eyes[0]['image'].size, eyes.features['dr_grade'].names[1])\n"
        f"labels = load_dataset({DATASET!r}, 'labels', split='train')\n"
        "print(len(labels), 'image' in labels.features, labels['idx'] == eyes['idx'])",
    )
    assert lines == ["40 39 (16, 16) mild NPDR", "40 False True"]


def test_a_dataset_streams_through_a_bad_connection(warm_python: Path, published: Push, tmp_path: Path) -> None:
    for fault in SLOW_AND_SHAKY:
        published.hub.faults.add(Fault(**vars(fault)))
    lines = read_clean(
        warm_python,
        published,
        tmp_path,
        f"from datasets import load_dataset\neyes = load_dataset({DATASET!r}, split='train', streaming=True)\n"
        "print([row['idx'] for row in eyes] == list(range(40)), next(iter(eyes))['image'].size)",
    )
    assert lines == ["True (16, 16)"]


def test_a_pipeline_loads_by_revision_through_a_bad_connection(
    warm_python: Path, published: Push, tiny_pipeline: SynFundusPipeline, tmp_path: Path
) -> None:
    for fault in SLOW_AND_SHAKY:
        published.hub.faults.add(Fault(**vars(fault)))
    code = (
        "from diffusers import DiffusionPipeline\n"
        f"pipe = DiffusionPipeline.from_pretrained({MODEL!r}, revision='v1.0.0', trust_remote_code=True)\n"
        "image = pipe({'dr_grade': 3, 'is_dme': 1}, generator=7, num_inference_steps=2).images[0]\n"
        "print(image.size, sum(image.tobytes()))"
    )
    here = tiny_pipeline({"dr_grade": 3, "is_dme": 1}, generator=7, num_inference_steps=2).images[0]
    assert read_clean(warm_python, published, tmp_path, code) == [f"(16, 16) {sum(here.tobytes())}"]


def test_the_space_starts_from_what_was_pushed(warm_python: Path, published: Push, tmp_path: Path) -> None:
    code = (
        f"from huggingface_hub import snapshot_download\n"
        f"print(snapshot_download({SPACE!r}, repo_type='space', local_dir='space', revision='v1.0.0'))"
    )
    read_clean(warm_python, published, tmp_path, code)
    before = len(published.hub.requests)  # from here on no code is downloaded
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    environment = clean_environment(published.hub, tmp_path / "cache", None)
    environment |= {"GRADIO_SERVER_PORT": str(port), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [warm_python, "app.py"],
        cwd=tmp_path / "space",
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        printed = []
        for line in process.stdout or ():
            printed.append(line)
            if f"127.0.0.1:{port}" in line:
                break
        else:
            pytest.fail("".join(printed))
        client = Client(f"http://127.0.0.1:{port}", verbose=False)
        made = client.predict({"dr_grade": 3}, 1, 7, 2, api_name="/generate")
        process.terminate()
    assert not [entry for entry in published.hub.requests[before:] if entry.path.endswith(".py")]
    assert (tmp_path / "space" / "pipeline_synfundus" / "pipeline.py").is_file()
    assert "severe NPDR" in json.dumps(made)
    assert published.hub.sent(rf"GET .*{MODEL}/resolve/{published.commit('model')}/unet/config.json")
    with Image.open(made[0]["image"]) as image:
        assert image.info["SynFundus-Revision"] == published.commit("model")


def test_a_gated_dataset_says_what_to_do(warm_python: Path, published: Push, tmp_path: Path) -> None:
    gated = published.hub.accounts.gated
    gated["dataset", DATASET] = {"carol"}
    code = f"from datasets import load_dataset\nload_dataset({DATASET!r})"
    try:
        stranger = run_clean(warm_python, published, tmp_path / "a", code, "hf_of_bob")
        nobody = run_clean(warm_python, published, tmp_path / "b", code)
        published.hub.accounts.users["hf_of_carol"] = "carol"
        let_in = run_clean(warm_python, published, tmp_path / "c", code, "hf_of_carol")
    finally:
        gated.clear()
    assert stranger.returncode and re.search(r"gated.*(ask for access|authorized list)", stranger.stderr, re.DOTALL)
    assert nobody.returncode and "gated" in nobody.stderr
    assert let_in.returncode == 0, let_in.stderr
