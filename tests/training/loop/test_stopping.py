import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.training.loop.test_trainer import checkpoints
from tests.training.loop.tiny import Line, make_trainer
from training.loop.stopping import StopSignals, TrainingStopped

# What `accelerate launch` runs for several devices; without a GPU accelerate itself needs MPI for that.
LAUNCHER = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")


def start(
    folder: Path, python: Path, *launcher: str, launched_by: Path | None = None, **variables: str
) -> subprocess.Popen:
    """Starts a long run and returns when it trains."""
    launched = [launched_by or python, *launcher, "--no-python"] if launcher else []
    command = [*launched, str(python), "-m", "tests.training.loop.tiny", str(folder), "0.002"]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"} | variables
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)
    deadline = time.monotonic() + 200
    while not list(folder.rglob("log.jsonl")):
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_writes_a_checkpoint_and_the_run_resumes_from_it(
    warm_python: Path, tmp_path: Path, number: signal.Signals
) -> None:
    process = start(tmp_path, warm_python)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert f"stopped by {number.name} after writing a checkpoint; the same command resumes" in errors
    assert "Traceback" not in errors
    (images_seen,) = checkpoints(tmp_path)
    assert images_seen >= 200
    # The speed of the resumed run is not taken for that of the images before the stop.
    last = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert (last["images_seen"], "images_per_second" in last) == (images_seen, True)
    trainer = make_trainer(tmp_path, Line(), images=100_000)
    assert trainer.state.images_seen == images_seen


def test_two_processes_agree_on_the_step_they_stop_at(warm_python: Path, tmp_path: Path) -> None:
    process = start(tmp_path, warm_python, *LAUNCHER)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=100)
    assert process.returncode != 0
    assert "stopped by SIGTERM after writing a checkpoint" in errors
    assert len(checkpoints(tmp_path)) == 1


def test_a_signal_to_one_process_stops_both(warm_python: Path, tmp_path: Path) -> None:
    process = start(tmp_path, warm_python, *LAUNCHER, launched_by=Path(sys.executable))
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(workers[-1]), signal.SIGTERM)
    _, errors = process.communicate(timeout=100)
    assert process.returncode != 0
    assert "stopped by SIGTERM after writing a checkpoint" in errors
    assert len(checkpoints(tmp_path)) == 1


def test_nodes_without_a_common_disk_resume_from_the_main_processes_checkpoint(
    warm_python: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        (tmp_path / "0" / "log.jsonl").unlink(missing_ok=True)
        process = start(tmp_path, warm_python, *LAUNCHER, NODE_DISKS="yes")
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=100)
        assert "stopped by SIGTERM after writing a checkpoint" in errors
    first, second = checkpoints(tmp_path / "0")
    assert second >= (first // 200 + 1) * 200  # the log's next window: not trained again from the beginning
    assert checkpoints(tmp_path / "1") == []


def test_a_second_signal_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append(number))
    before = signal.getsignal(signal.SIGTERM)
    with StopSignals() as signals:
        signal.raise_signal(signal.SIGTERM)
        assert signals.requested == signal.SIGTERM
        signal.raise_signal(signal.SIGTERM)  # the launcher passes on what the terminal has sent
        assert killed == []
        signals._received_at -= 10
        signal.raise_signal(signal.SIGTERM)
        assert killed == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_signal_while_samples_are_drawn_ends_at_once(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, Line(), images=400, sample_images=200)
    trainer.evaluate = lambda path: signal.raise_signal(signal.SIGTERM) or {}
    with pytest.raises(TrainingStopped, match="SIGTERM after writing a checkpoint"):
        trainer.run()
    assert checkpoints(tmp_path)[-1] == 200
