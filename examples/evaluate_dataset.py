"""Compares generated images with photographs: two distances in Python, then the evaluation report.

python examples/evaluate_dataset.py --synthetic synfundus-1m --real path/to/photographs --out report
"""

from __future__ import annotations

import argparse
from pathlib import Path

import datasets
import numpy as np
from PIL import Image

from evaluation.measures.metrics.frechet_distance.frechet_distance import frechet_distance
from evaluation.measures.metrics.kid.kid import kid
from evaluation.report import main as report


def thumbnails(source: str, count: int) -> np.ndarray:
    """Returns the first images of a dataset as 8x8 pixels, float array of shape (N, 192) in [0, 1].

    Thumbnails keep the example fast. The report uses the features of trained networks instead.
    """
    rows = datasets.load_dataset(source, split="train").select_columns("image").take(count)
    small = [row["image"].convert("RGB").resize((8, 8), Image.Resampling.BOX) for row in rows]
    return np.stack([np.asarray(image, dtype=np.float64).ravel() / 255 for image in small])


def main() -> None:
    """Reads the command line, prints the distances and writes the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--synthetic", required=True, help="folder or Hub id of generated images")
    parser.add_argument("--real", required=True, help="folder or Hub id of photographs")
    parser.add_argument("--out", type=Path, default=Path("report"), help="folder of the report (%(default)s)")
    parser.add_argument("--count", type=int, default=500, help="images in the first comparison (%(default)s)")
    parser.add_argument("report_options", nargs="*", help="further arguments of evaluation.report, after --")
    options = parser.parse_args()

    synthetic, real = (thumbnails(source, options.count) for source in (options.synthetic, options.real))
    print(f"Frechet distance {frechet_distance(synthetic, real):.3f}, KID {kid(synthetic, real):.4f} of thumbnails")

    # All experiments take hours on two CPU cores; `--only` selects some. The report exits with 1 if a threshold fails.
    arguments = ["--synthetic", options.synthetic, "--real", options.real, "--out", str(options.out)]
    report([*arguments, *options.report_options])


if __name__ == "__main__":
    main()
