"""Measures the Space under load.

Starts the Space and sends a few requests one after another (time to the first preview, time to the images). Then
several concurrent users send requests without a pause for some minutes:

    python benchmarks/space_load.py --users 10 --seconds 300
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gradio_client import Client
from tqdm import tqdm

SPACE = Path(__file__).resolve().parents[1] / "space" / "app.py"
ALONE = 5


@dataclass
class Tally:
    """Times of all requests, in seconds, and the errors."""

    first: list[float] = field(default_factory=list)
    finished: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def serve() -> Iterator[tuple[str, int, float]]:
    """Serves the Space on a free port; yields its address, its process id, and its start-up time in seconds."""
    with tempfile.TemporaryDirectory() as files:
        environment = os.environ | {"PYTHONUNBUFFERED": "1", "GRADIO_TEMP_DIR": files}
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, str(SPACE)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if found := re.search(r"http://[\d.]+:\d+", line):
                    break
            else:
                raise SystemExit("the Space did not start")
            started = time.monotonic() - began
            # Keep reading: the server would block on a full pipe.
            threading.Thread(target=process.stdout.read, daemon=True).start()
            yield found[0], process.pid, started
        finally:
            process.terminate()
            process.wait()


def ask(client: Client, seed: int, images: int, tally: Tally) -> None:
    """Sends one request with the default steps and guidance of the model, and adds its times to the tally."""
    began, first = time.monotonic(), 0.0
    try:
        came = 0
        for answer in client.submit({"dr_grade": seed % 5}, images, seed, api_name="/generate_live"):
            first = first or time.monotonic() - began
            came = len(answer["images"])
        if came != images:
            raise RuntimeError(f"{came} images arrived, but {images} were requested")
    except Exception as error:  # any failure of a request is a result
        with tally.lock:
            tally.errors.append(f"{type(error).__name__}: {error}")
        return
    with tally.lock:
        tally.first.append(first)
        tally.finished.append(time.monotonic() - began)


def memory(process: int) -> float:
    """Returns the resident memory of a process, in MiB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


def load(address: str, process: int, users: int, seconds: float, images: int) -> tuple[Tally, list[float]]:
    """Lets users send requests without a pause; returns their tally, and the server's memory over time in MiB."""
    tally, samples, end = Tally(), [], time.monotonic() + seconds

    def visit(user: int) -> None:
        client = Client(address, verbose=False)
        number = 0
        while time.monotonic() < end:
            ask(client, 1000 * user + number, images, tally)
            number += 1

    with ThreadPoolExecutor(users) as pool, tqdm(total=round(seconds), unit="s", desc=f"{users} users") as bar:
        visits = [pool.submit(visit, user) for user in range(users)]
        while time.monotonic() < end:
            time.sleep(1)
            bar.update(1)
            bar.set_postfix(requests=len(tally.finished), errors=len(tally.errors))
            samples.append(memory(process))
        for each in visits:
            each.result()
    return tally, samples


def describe(name: str, seconds: list[float]) -> str:
    """Returns a line of a Markdown table."""
    if not seconds:
        return f"| {name} | none finished |"
    return f"| {name} | {statistics.median(seconds):.2f} s, at most {max(seconds):.2f} s |"


def main() -> None:
    """Prints the measurements as a Markdown table; exits with 1 if a request failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=10, help="concurrent users (default 10)")
    parser.add_argument("--seconds", type=float, default=300, help="duration in seconds (default 300)")
    parser.add_argument("--images", type=int, default=4, help="images per request (default 4, as on the page)")
    options = parser.parse_args()
    with serve() as (address, process, started):
        client, alone = Client(address, verbose=False), Tally()
        for seed in range(ALONE):
            ask(client, seed, options.images, alone)
        tally, samples = load(address, process, options.users, options.seconds, options.images)
    tenth = max(1, len(samples) // 10)
    early, late = statistics.median(samples[:tenth]), statistics.median(samples[-tenth:])
    print(f"| measured on {os.cpu_count()} cores | |\n| --- | --- |")
    print(f"| start-up | {started:.1f} s |")
    print(describe("alone: first preview", alone.first))
    print(describe(f"alone: {options.images} images", alone.finished))
    print(describe(f"{options.users} users: {options.images} images, with the queue", tally.finished))
    print(f"| requests in {options.seconds:.0f} s | {len(tally.finished)} |")
    print(f"| errors | {len(tally.errors) + len(alone.errors)} |")
    print(f"| server's memory, first tenth and last | {early:.0f} MiB, {late:.0f} MiB |")
    for error in sorted({*tally.errors, *alone.errors}):
        print(error, file=sys.stderr)
    sys.exit(bool(tally.errors or alone.errors))


if __name__ == "__main__":
    main()
