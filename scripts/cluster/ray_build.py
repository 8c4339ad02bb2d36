"""Builds a dataset on a Ray cluster of two worker nodes, one of which is killed while it builds a shard.

    pip install "synfundus[cluster,dataset]" ray psutil
    python scripts/cluster/ray_build.py [FOLDER]

The nodes are processes of this machine, as in Ray's own tests. Killing a node kills all its processes with SIGKILL.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import ray
from datatrove.executor import RayPipelineExecutor
from ray.cluster_utils import Cluster
from small_build import MODEL, finish, prepare, say, states

from dataset_script.cluster import BuildShard, begun_shards

GIGABYTE = 2**30
NODE = {"memory": 3 * GIGABYTE, "object_store_memory": GIGABYTE // 8}


def kill_node(node: Any) -> None:
    """Kills all processes of a node at once, as a power failure does."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    for process in [raylet, *raylet.children(recursive=True)]:
        process.kill()


def kill_when_both_build(node: Any, out: Path) -> None:
    """Kills a node when one shard is complete and both nodes are building the next ones."""
    while True:
        complete, building = states(out)
        if complete and len(building) == 2:
            kill_node(node)
            say(f"killed a node; complete: {', '.join(complete)}; both nodes were building: {', '.join(building)}")
            return
        time.sleep(0.1)


def main(folder: Path) -> None:
    """Builds on one process and on Ray, in two folders, and compares them."""
    alone, out = prepare(folder, "ray")
    say(f"Ray {ray.__version__}: a head node without cores, and two worker nodes with one core each")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **NODE})
    nodes = [cluster.add_node(num_cpus=1, **NODE) for _ in range(2)]
    ray.init(address=cluster.address, log_to_driver=False)
    step = BuildShard(out, str(MODEL), device="cpu")
    executor = RayPipelineExecutor(
        [step], tasks=begun_shards(out), workers=2, skip_completed=False, logging_dir=str(folder / "ray-logs")
    )
    threading.Thread(target=kill_when_both_build, args=(nodes[1], out), daemon=True).start()
    executor.run()
    say(f"the executor has ended; complete: {', '.join(states(out)[0])}; nodes left: {_alive()}")
    ray.shutdown()
    cluster.shutdown()
    finish(alone, out)


def _alive() -> int:
    return sum(node["Alive"] for node in ray.nodes()) - 1  # without the head node


if __name__ == "__main__":
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="synfundus-ray-")))
