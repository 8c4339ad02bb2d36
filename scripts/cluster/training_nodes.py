"""Trains on two nodes with `accelerate launch`, with a common disk and with a disk of each node's own.

    pip install "synfundus[training]"
    python scripts/cluster/training_nodes.py [FOLDER]

The nodes are processes of this machine that talk over the loopback interface. The photographs are drawn. Both ways must
give the same weights, and the same commands again must do nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import yaml
from small_build import say

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from synfundus.files import file_sha256  # noqa: E402
from tests.phantom import write_phantom_dataset  # noqa: E402
from tests.small_training import SMALL  # noqa: E402

NODES = 2
STAGES = ("train_autoencoder", "train_generator")
PORT = "29511"


def prepare(folder: Path, common_disk: bool) -> list[Path]:
    """Writes photographs and a configuration for each node's disk; returns the folder that each node sees."""
    disks = [folder / ("common" if common_disk else f"node-{node}") for node in range(NODES)]
    for disk in sorted(set(disks)):
        write_phantom_dataset(disk / "data", 24, 32, np.random.default_rng(0), ["is_amd"])
        data = {"source": str(disk / "data"), "group_column": "patient"}
        values = {**SMALL, "output_dir": str(disk / "run"), "data": data}
        (disk / "config.yaml").write_text(yaml.safe_dump(values))
    return disks


def launch(stage: str, disks: list[Path]) -> None:
    """Runs a stage on all nodes at once and prints what it prints; raises `SystemExit` if a node fails."""
    nodes = [_start(stage, node, disk) for node, disk in enumerate(disks)]
    for node, process in enumerate(nodes):
        printed, errors = process.communicate(timeout=900)
        print("".join(f"node {node}: {line}\n" for line in printed.splitlines()), end="", flush=True)
        if process.returncode:
            sys.exit(f"{stage} failed on node {node}:\n{errors}")


def _start(stage: str, node: int, disk: Path) -> subprocess.Popen[str]:
    accelerate = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--mixed_precision", "no"]
    accelerate += ["--num_machines", str(NODES), "--num_processes", str(NODES), "--machine_rank", str(node)]
    accelerate += ["--main_process_ip", "127.0.0.1", "--main_process_port", PORT, "--num_cpu_threads_per_process", "1"]
    # On GPUs, `accelerate launch` sets these; on CPUs it leaves them to MPI.
    ranks = {"RANK": str(node), "WORLD_SIZE": str(NODES), "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    return subprocess.Popen(
        [*accelerate, "-m", f"training.{stage}", "--config", str(disk / "config.yaml")],
        env=os.environ | ranks,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def weights(disk: Path) -> dict[str, str]:
    """Returns the checksums of the files of weights in a node's folder."""
    run = disk / "run"
    return {str(path.relative_to(run)): file_sha256(path)[:16] for path in sorted(run.glob("**/*.safetensors"))}


def train(folder: Path, common_disk: bool) -> list[dict[str, str]]:
    """Trains both stages and runs them again; returns the weights of each node.

    Raises:
        SystemExit: if the second run changed the weights, or a node failed.
    """
    disks = prepare(folder, common_disk)
    say(f"two nodes {'with a common disk' if common_disk else 'with a disk each'}")
    for stage in STAGES:
        launch(stage, disks)
    trained = [weights(disk) for disk in disks]
    say("the same commands again")
    for stage in STAGES:
        launch(stage, disks)
    if [weights(disk) for disk in disks] != trained:
        sys.exit("the second run changed the weights")
    return trained


def main(folder: Path) -> None:
    """Trains in both ways and compares the weights."""
    common, *_ = train(folder, common_disk=True)
    first, second = train(folder, common_disk=False)
    say("SHA-256 of the weights: common disk, node 0's disk, node 1's disk")
    for name in common:
        print(f"{name:<64} {common[name]} {first.get(name, '-'):<16} {second.get(name, '-')}")
    if common != first or not second.items() <= first.items():
        sys.exit("the weights differ")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="synfundus-nodes-")))
