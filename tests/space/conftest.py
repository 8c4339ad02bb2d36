"""Fixtures for the Space: its model, and its server in a process of its own."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SPACE = ROOT / "space"
sys.path.insert(0, str(SPACE))  # as `python space/app.py` does


@pytest.fixture(scope="session")
def model(tiny_pipeline_dir: Path) -> Any:
    """The Space's model, of random weights: 16x16 pixels."""
    from generator.model import ModelName, load_model

    return load_model(ModelName(str(tiny_pipeline_dir)))


def find_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture(scope="session")
def address(tiny_pipeline_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The Space, served by a process of its own in another folder, with a tiny random model."""
    folder = tmp_path_factory.mktemp("space")
    environment = os.environ | {
        "SYNFUNDUS_MODEL": str(tiny_pipeline_dir),
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "GRADIO_SERVER_PORT": str(find_free_port()),
        "GRADIO_TEMP_DIR": str(folder / "files"),
    }
    command = [sys.executable, str(SPACE / "app.py")]
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
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
