"""Builds with several processes, one a device, that share the shards of one folder.

There is nothing to schedule: each process takes the next shard that is missing and locked by nobody. So the others go
on when one is killed, and make its shard too. datatrove's local executor, the other way to do this, waits without end
for a worker that was killed (0.10.1: its pool loses the task and never learns of it), and does not tell a task which
device is free. `cluster.py` is for its executors on a cluster.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import BuildError
from ..plan.condition_plan import ConditionPlan
from .folder import BuildFolder
from .record import GenerationRecord
from .shards import Advance, Source, build_missing_shards

# Gives the source on a device; goes to another process, so it must be pickled.
MakeSource = Callable[[str], Source]


def build_with_workers(
    folder: BuildFolder[GenerationRecord],
    plan: ConditionPlan,
    make_source: MakeSource,
    devices: Sequence[str],
    batch_size: int,
    advance: Advance,
) -> None:
    """Makes all missing shards of a folder; see `build_shards.build_missing_shards`.

    Args:
        folder: where to.
        plan: gives the rows.
        make_source: gives the source on a device.
        devices: the device of each worker. A single worker works in this process.
        batch_size: images made at once by each.
        advance: told how many images were made.

    Raises:
        BuildError: if a worker failed and left shards that nobody could make.
    """
    if len(devices) == 1:
        build_missing_shards(folder, plan, make_source(devices[0]), batch_size, advance)
        return
    context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    made = context.Value("q", 0)
    work = (folder, plan, make_source, batch_size, len(devices), made)
    processes = [context.Process(target=_work, args=(*work, device), daemon=True) for device in devices]
    for process in processes:
        process.start()
    _follow(processes, made, advance)
    if folder.missing_shards():
        ends = ", ".join(str(process.exitcode) for process in processes)
        raise BuildError(
            f"{len(folder.missing_shards())} shards are missing: the workers ended with exit status {ends}, for the "
            "reasons above. The same command again goes on"
        )


def _follow(processes: Sequence[Any], made: Any, advance: Advance) -> None:
    """Waits for the workers, and tells what they have made."""
    told = 0
    for process in processes:
        while True:
            process.join(timeout=0.3)
            total = made.value
            advance(total - told)
            told = total
            if process.exitcode is not None:
                break


def _work(
    folder: BuildFolder[GenerationRecord],
    plan: ConditionPlan,
    make_source: MakeSource,
    batch_size: int,
    workers: int,
    made: Any,
    device: str,
) -> None:
    """What a worker does."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _share_cores(workers)

        def advance(images: int) -> None:
            with made.get_lock():
                made.value += images

        build_missing_shards(folder, plan, make_source(device), batch_size, advance)
    except KeyboardInterrupt:  # of the whole group of processes; the parent says it
        sys.exit(130)
    except (BuildError, OSError) as error:
        print(f"worker on {device}: {error}", file=sys.stderr)
        sys.exit(2)


def _share_cores(workers: int) -> None:
    """Leaves to each worker its part of the cores, where nobody has set another number of threads."""
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))


def _end_with_parent() -> None:
    """Ends this process when the one that started it is gone, even killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
