import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from huggingface_hub import RepoCard
from PIL import Image

SPACE = Path(__file__).parents[2] / "space"


def find_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture(scope="module")
def address(tiny_pipeline_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The Space, served by a process of its own in another folder, with a tiny random model."""
    environment = os.environ | {"SYNFUNDUS_MODEL": str(tiny_pipeline_dir), "PYTHONUNBUFFERED": "1"}
    environment["GRADIO_SERVER_PORT"] = str(find_free_port())
    folder = tmp_path_factory.mktemp("space")
    with subprocess.Popen(
        [sys.executable, str(SPACE / "app.py")],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        printed = []
        for line in process.stdout:
            printed.append(line)
            if found := re.search(r"http://[\d.]+:\d+", line):
                yield found[0]
                break
        else:
            pytest.fail("the Space did not start: " + "".join(printed))
        process.terminate()


@pytest.fixture(scope="module")
def client(address: str) -> Client:
    return Client(address, verbose=False)


def test_findings_become_captioned_images(client: Client) -> None:
    gallery = client.predict(3, ["is_dme", "is_gc"], [], 1, 2, 7, 2, 2.0, api_name="/generate")
    assert [entry["caption"] for entry in gallery] == [
        f"severe NPDR (DR grade 3), diabetic macular edema, glaucoma, left eye, seed {seed}" for seed in (7, 8)
    ]
    assert [Image.open(entry["image"]).size for entry in gallery] == [(16, 16)] * 2


def test_a_seed_makes_the_same_image_again(client: Client) -> None:
    first, second = (client.predict(0, [], [], -1, 2, seed, 2, 2.0, api_name="/generate") for seed in (7, 8))
    assert Path(first[1]["image"]).read_bytes() == Path(second[0]["image"]).read_bytes()
    assert Path(first[0]["image"]).read_bytes() != Path(second[0]["image"]).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, ["is_dme"], [], -1, 1, 0, 2, 2.0), "is_dme is 1, but dr_grade is 0"),
        ((0, [], [], -1, 99, 0, 2, 2.0), "99.* greater than maximum value 8"),
        ((0, [], [], -1, 1, 0, 2, -3.0), "-3.0 is less than minimum value 1"),
    ],
)
def test_a_wrong_request_is_answered_with_the_reason(client: Client, arguments: tuple, message: str) -> None:
    with pytest.raises((AppError, ValueError), match=message):
        client.predict(*arguments, api_name="/generate")


def test_the_card_is_valid_and_pins_what_is_installed() -> None:
    data = RepoCard.load(SPACE / "README.md").data
    assert data.sdk == "gradio"
    assert (SPACE / data.app_file).is_file()
    assert f"gradio=={data.sdk_version}" in (SPACE / "requirements.txt").read_text()
