"""Builds a dataset with several processes, one per device, that share the shards of one folder.

No scheduler is needed: each process takes the next shard that is missing and not locked. If one process is killed, the
others continue and build its shard too. The local executor of datatrove is not used: in version 0.10.1 it waits forever
for a killed worker, and it does not assign devices to tasks. `cluster.py` serves its executors on a cluster.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from synfundus.cores import available_cores
from synfundus.interrupts import interrupts_kept

from ..errors import BuildError
from ..plan.condition_plan import ConditionPlan
from .folder import BuildFolder
from .record import GenerationRecord
from .shards import Advance, Source, build_missing_shards

# Returns the source on a device. It is sent to another process, so it must be picklable.
MakeSource = Callable[[str], Source]


def build_with_workers(
    folder: BuildFolder[GenerationRecord],
    plan: ConditionPlan,
    make_source: MakeSource,
    devices: Sequence[str],
    batch_size: int,
    advance: Advance,
) -> None:
    """Builds all missing shards of a folder; see `shards.build_missing_shards`.

    Args:
        folder: the folder of the build.
        plan: the plan of the rows.
        make_source: returns the source on a device.
        devices: the device of each worker. A single worker runs in this process.
        batch_size: images per batch of each worker.
        advance: called with the number of images that were generated.

    Raises:
        BuildError: if workers failed and shards are still missing.
    """
    if len(devices) == 1:
        build_missing_shards(folder, plan, make_source(devices[0]), batch_size, advance)
        return
    context = multiprocessing.get_context("spawn")  # CUDA cannot be used after a fork
    made = context.Value("q", 0)
    work = (folder, plan, make_source, batch_size, len(devices), made)
    processes = [context.Process(target=_work, args=(*work, device), daemon=True) for device in devices]
    for process in processes:
        process.start()
    _follow(processes, made, advance)
    if folder.missing_shards():
        codes = ", ".join(str(process.exitcode) for process in processes)
        raise BuildError(
            f"{len(folder.missing_shards())} shards are missing: the workers ended with exit status {codes}; see their "
            "messages above. Run the same command again to continue"
        )


def _follow(processes: Sequence[Any], made: Any, advance: Advance) -> None:
    """Waits for the workers and reports their progress."""
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
    """The main function of a worker process."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _share_cores(workers)

        def advance(images: int) -> None:
            with made.get_lock():
                made.value += images

        with interrupts_kept():
            build_missing_shards(folder, plan, make_source(device), batch_size, advance)
    except KeyboardInterrupt:  # the whole process group gets it; the parent reports it
        sys.exit(130)
    except (BuildError, OSError) as error:
        print(f"worker on {device}: {error}", file=sys.stderr)
        sys.exit(2)


def _share_cores(workers: int) -> None:
    """Divides the cores among the workers, unless OMP_NUM_THREADS is set."""
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, available_cores() // workers))


def _end_with_parent() -> None:
    """Ends this process when its parent has ended, even if the parent was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
