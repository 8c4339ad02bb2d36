"""Builds a dataset with Slurm; while two tasks build shards, one is requeued and the other is cancelled.

    apt-get install slurm-wlm munge
    pip install "synfundus[cluster,dataset]"
    python scripts/cluster/slurm_build.py [FOLDER]

It starts munged, slurmctld and slurmd as the root user of this machine, with all their files in FOLDER, and ends them.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from datatrove.executor import SlurmPipelineExecutor
from small_build import MODEL, finish, prepare, say, states

from dataset_script.cluster import BuildShard, begun_shards

# Two task slots, whatever the machine has. linuxproc needs no cgroups. A requeued task waits for cred_expire seconds.
CONFIGURATION = """
ClusterName=small
SlurmctldHost={host}(127.0.0.1)
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=8000
PartitionName=cpu Nodes={host} Default=YES
SlurmdParameters=config_overrides
SlurmUser=root
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
KillWait=2
MailProg=/bin/true
"""


@contextlib.contextmanager
def running_slurm(folder: Path) -> Iterator[None]:
    """Runs Slurm with one node, this machine."""
    (folder / "state").mkdir(parents=True)
    (folder / "slurm.conf").write_text(CONFIGURATION.format(host=socket.gethostname(), folder=folder))
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    (folder / "key").write_bytes(os.urandom(128))
    (folder / "key").chmod(0o600)
    files = {"socket": "munge.socket", "key-file": "key", "pid-file": "munge.pid", "seed-file": "seed"}
    munged = ["munged", "--foreground", "--force", *(f"--{name}={folder / file}" for name, file in files.items())]
    with contextlib.ExitStack() as stack, open(folder / "log", "w") as log:
        for command in (munged, ["slurmctld", "-D"], ["slurmd", "-D"]):
            process = subprocess.Popen(command, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            time.sleep(1)
        wait_until(lambda: "idle" in output("sinfo", "--noheader", "--format=%T"), "the node to be idle")
        yield


def output(*command: str) -> str:
    """Runs a command and returns what it prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def wait_until(condition: Callable[[], object], what: str, seconds: float = 900) -> None:
    """Waits for a condition; raises `TimeoutError` if it does not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.3)


def queue() -> str:
    """Returns the tasks that wait or run, one a line, with their states."""
    return output("squeue", "--array", "--noheader", "--format=%i %T %r").strip()


def submit(out: Path, folder: Path) -> None:
    """Submits one task per shard."""
    executor = SlurmPipelineExecutor(
        [BuildShard(out, str(MODEL), device="cpu")],
        tasks=begun_shards(out),
        workers=2,
        time="01:00:00",
        partition="cpu",
        skip_completed=False,
        env_command=f"export PATH={Path(sys.executable).parent}:$PATH",
        sbatch_args={"kill-on-invalid-dep": "yes"},  # the last job merges statistics, if all tasks succeeded
        logging_dir=str(folder),
    )
    executor.run()


def main(folder: Path) -> None:
    """Builds on one process and on Slurm, in two folders, and compares them."""
    alone, out = prepare(folder, "slurm")
    with running_slurm(folder / "slurm-files"):
        say(output("sinfo", "--version").strip())
        submit(out, folder / "slurm-logs-1")
        wait_until(lambda: states(out)[0] and len(states(out)[1]) == 2, "two tasks to build")
        requeued, cancelled = (line.split()[0] for line in running_tasks())
        say(f"complete: {', '.join(states(out)[0])}; being built: {', '.join(states(out)[1])}")
        output("scontrol", "requeue", requeued)
        output("scancel", cancelled)
        say(f"requeued task {requeued} and cancelled task {cancelled}; the queue is then\n{queue()}")
        wait_until(lambda: not queue(), "the queue to be empty")
        say(f"the queue is empty; complete: {', '.join(states(out)[0])} of {begun_shards(out)} shards")
        say("the same job again: tasks of complete shards end at once")
        submit(out, folder / "slurm-logs-2")
        wait_until(lambda: not queue(), "the queue to be empty")
        say(f"the queue is empty; complete: {', '.join(states(out)[0])} of {begun_shards(out)} shards")
    finish(alone, out)


def running_tasks() -> list[str]:
    """Returns the lines of `queue` whose tasks run."""
    return [line for line in queue().splitlines() if "RUNNING" in line]


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="synfundus-slurm-")))
