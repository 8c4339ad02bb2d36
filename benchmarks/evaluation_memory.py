"""Peak memory of a report by the size of the synthetic set: `python -m benchmarks.evaluation_memory --out FILE`.

Each report runs in its own process, which reports its peak anonymous memory. Pages of mapped files are not part of it:
the system takes them back when it needs them. The images are noise over patterns, so that no two are equal; the real
set has always the same size. The result names the bytes of the equalised images, which would be in memory if they were
not read in batches.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from PIL import Image, ImageFilter

from synfundus.files import write_json

from .anonymous_memory import watch_memory

EXPERIMENTS = ("material", "distances", "label-fidelity", "privacy")
REAL_ROWS = 300


def write_images(folder: Path, rows: int, size: int, seed: int, per_patient: int) -> None:
    """Writes a `datasets` folder of round, noisy images with two labels and patients."""

    def generate() -> Iterator[dict[str, Any]]:
        rng = np.random.default_rng(seed)
        down, right = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
        field = (np.hypot(down, right) < 0.97)[..., None]
        for row in range(rows):
            coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
            shading = np.asarray(coarse.resize((size, size)).filter(ImageFilter.GaussianBlur(2)), dtype=float)
            pixels = (60 + 0.5 * shading + rng.normal(0, 8, (size, size, 3))) * field
            labels = {name: int(rng.integers(2)) for name in ("is_amd", "is_gc")}
            image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            yield {"image": image, "patient": f"{seed}-{row // per_patient}", **labels}

    features = datasets.Features(
        image=datasets.Image(),
        patient=datasets.Value("string"),
        is_amd=datasets.Value("int8"),
        is_gc=datasets.Value("int8"),
    )
    table = datasets.Dataset.from_generator(generate, features=features, cache_dir=str(folder / ".cache"))
    table.to_parquet(folder / "train.parquet", batch_size=256)


def report(arguments: list[str]) -> dict[str, float]:
    """Runs a report in this process; returns its peak memory before and after in bytes, and the seconds it took."""
    from evaluation.report import main as run  # here, so that `before` includes the libraries

    start = time.perf_counter()
    with watch_memory() as sizes:
        try:
            run(arguments)
        except SystemExit as end:  # 1: noise may be close to noise, which fails the report
            if end.code not in (0, 1):
                raise
    return {"before": sizes[0], "peak": max(sizes), "seconds": round(time.perf_counter() - start, 1)}


def measure(rows: int, size: int, folder: Path) -> dict[str, float]:
    """A report on this many synthetic images, in its own process."""
    write_images(folder / f"synthetic-{rows}", rows, size, 1, 1)
    command = [sys.executable, "-m", "benchmarks.evaluation_memory", "--report", "--synthetic"]
    command += [str(folder / f"synthetic-{rows}"), "--real", str(folder / "real"), "--out", str(folder / f"out-{rows}")]
    command += ["--size", str(size), "--images-seen", "640", "--features", "imagenet", "--only", *EXPERIMENTS]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return {"rows": rows, "image_bytes": rows * size * size * 3, **found}


def main() -> None:
    """The command line."""
    if "--report" in sys.argv:
        print(json.dumps(report([argument for argument in sys.argv[1:] if argument != "--report"])))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[500, 2000], help="of synthetic images")
    parser.add_argument("--size", type=int, default=64, help="side of the images in pixels (%(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the result")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_images(folder / "real", REAL_ROWS, options.size, 0, 2)
        reports = []
        for rows in options.rows:
            reports.append(measure(rows, options.size, folder))
            print(reports[-1], flush=True)
    write_json(
        options.out,
        {"size": options.size, "real_rows": REAL_ROWS, "experiments": list(EXPERIMENTS), "reports": reports},
    )


if __name__ == "__main__":
    main()
