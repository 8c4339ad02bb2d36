"""How many processor cores this process may use."""

from __future__ import annotations

import os


def available_cores() -> int:
    """Returns the number of cores that the operating system or the cluster's scheduler gives this process.

    `os.cpu_count()` counts all cores of the machine, also those that Slurm, a container or `taskset` gave to others.
    """
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
