"""Fixtures for the Space: its model, and its server in a process of its own."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from synfundus.files import write_whole

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


@dataclass(frozen=True)
class Server:
    """A running Space; all files that it writes, and its log, are in `folder`."""

    address: str
    folder: Path

    @contextmanager
    def slowed(self, seconds: float) -> Iterator[None]:
        """Makes each step of a run take longer: the tiny model could end before a busy browser shows its progress."""
        pause = self.folder / "pause"
        write_whole(pause, lambda path: path.write_text(str(seconds)))
        try:
            yield
        finally:  # or a test that fails here would slow all that follow
            pause.unlink()


@pytest.fixture(scope="session")
def address(server: Server) -> str:
    return server.address


@pytest.fixture(scope="session")
def server(warm_python: Path, tiny_pipeline_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The Space, served by a process of its own in another folder, with a tiny random model."""
    folder = tmp_path_factory.mktemp("space")
    environment = os.environ | {
        "SYNFUNDUS_MODEL": str(tiny_pipeline_dir),
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "GRADIO_SERVER_PORT": str(find_free_port()),
        "GRADIO_TEMP_DIR": str(folder / "files"),
        "SPACE_PAUSE": str(folder / "pause"),
        "TMPDIR": str(folder),
        "HOME": str(folder),
    }
    command = [warm_python, str(Path(__file__).with_name("slowed_app.py"))]
    log = folder / "log.txt"
    with (
        log.open("w") as output,
        subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT) as process,
    ):
        while not (found := re.search(r"http://[\d.]+:\d+", log.read_text())):
            if process.poll() is not None:
                pytest.fail("the Space did not start: " + log.read_text())
            time.sleep(0.2)
        yield Server(found[0], folder)
        process.terminate()
