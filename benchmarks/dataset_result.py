"""Shared by the dataset benchmarks: measuring a rate against a peer, and writing a result."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tqdm import tqdm

from synfundus.cores import available_cores
from synfundus.files import write_text

from .dataset_replay import PICTURES

PACKAGES = ("datasets", "numpy", "pillow", "pyarrow")


def parser_of(name: str, description: str | None) -> argparse.ArgumentParser:
    """Returns a command-line parser with the options of every dataset benchmark.

    Args:
        name: name of the module, without its package.
        description: docstring of the module; its first line is shown.
    """
    first = (description or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=first)
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON file for the result")
    parser.add_argument(
        "--pictures", type=Path, default=PICTURES, metavar="FILE", help="images to replay (%(default)s)"
    )
    return parser


def rates(works: Mapping[str, Callable[[], int]], rounds: int, title: str) -> dict[str, list[float]]:
    """Measures several rates in turn, so that other load on the machine affects all of them.

    Args:
        works: name to the function to measure, which returns its number of items.
        rounds: number of rounds, after one warm-up round.
        title: title of the progress bar.

    Returns:
        Name to the items per second of each round.
    """
    measured: dict[str, list[float]] = {name: [] for name in works}
    for number in tqdm(range(rounds + 1), desc=title, unit="round"):
        for name, work in works.items():
            began = time.perf_counter()
            items = work()
            if number:
                measured[name].append(items / (time.perf_counter() - began))
    return measured


def compared(ours: Sequence[float], peer: Sequence[float]) -> dict[str, float]:
    """Returns the medians of two rates that were measured in turn, and the median of their ratios per round."""
    ratios = [a / b for a, b in zip(ours, peer, strict=True)]
    return {
        "per_second": statistics.median(ours),
        "peer_per_second": statistics.median(peer),
        "ratio": statistics.median(ratios),
        "lowest_ratio": min(ratios),
        "highest_ratio": max(ratios),
        "rounds": len(ratios),
    }


def seconds_of(work: Callable[[], object]) -> float:
    """Returns the duration of a call in seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def write_result(options: argparse.Namespace, name: str, packages: Sequence[str], content: Mapping[str, Any]) -> None:
    """Prints a result with its command and machine, and writes it to `options.out`.

    Args:
        options: the command line.
        name: name of the module, without its package.
        packages: further packages whose versions matter, besides `PACKAGES`.
        content: the measured figures.
    """
    settings = {key: value for key, value in vars(options).items() if isinstance(value, int | float | str | list)}
    if "folder" in options:
        settings["folder"] = "FOLDER"  # the path on this machine is private
    given = {key: value for key, value in settings.items() if value is not False}
    arguments = " ".join(f"--{key.replace('_', '-')} {_shown(value)}".rstrip() for key, value in given.items())
    result = {"benchmark": name, "command": f"python -m benchmarks.{name} {arguments}", "machine": machine(packages)}
    text = json.dumps({**result, **content}, indent=2) + "\n"
    print(text)
    if options.out:
        write_text(options.out, text)


def machine(packages: Sequence[str] = ()) -> dict[str, Any]:
    """Returns the properties of the machine: cores, memory, versions of Python and of the packages."""
    return {
        "cpu": f"{available_cores()} {platform.machine()} cores",
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "python": platform.python_version(),
        "packages": {package: version(package) for package in (*PACKAGES, *packages)},
    }


def _shown(value: Any) -> str:
    if value is True:
        return ""  # a flag
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
