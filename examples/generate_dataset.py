"""Generates a labelled dataset from a plan of your own, and one of its rows again.

python examples/generate_dataset.py --out glaucoma-dataset --rows 32
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from datasets import load_dataset
from PIL import Image

from dataset_script.generate import main as generate
from dataset_script.verify import main as verify

# A stratum is a kind of row: its share of all rows, and its labels. A label is a fixed value, or a mapping from values
# to probabilities; -1 leaves it unknown.
PLAN = """\
seed: 0
rows: 1000
strata:
  - {name: healthy, share: 0.5, labels: {}}
  - {name: glaucoma, share: 0.4, labels: {is_gc: 1, is_pm: {0: 0.8, 1: 0.2}}}
  - {name: glaucoma of an unknown DR grade, share: 0.1, labels: {is_gc: 1, dr_grade: -1}}
"""


def main() -> None:
    """Reads the command line and generates the dataset."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="pipeline_synfundus", help="folder or Hub id of a pipeline (%(default)s)")
    parser.add_argument("--rows", type=int, default=32, help="rows of the dataset (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("glaucoma-dataset"), help="its folder (%(default)s)")
    options = parser.parse_args()

    plan = options.out.with_name(f"{options.out.name}-plan.yaml")
    plan.write_text(PLAN)
    arguments = ["--plan", str(plan), "--model", options.model]

    # The functions behind `synfundus generate` and `synfundus verify` return the exit status. An interrupted
    # generation continues when it is started again.
    if status := generate([*arguments, "--num-rows", str(options.rows), "--out", str(options.out)]):
        raise SystemExit(status)
    if status := verify([str(options.out)]):
        raise SystemExit(status)

    # A row depends on the plan, the model and its number only: any row can be generated again without the others.
    again = options.out.with_name(f"{options.out.name}-row-1")
    if status := generate([*arguments, "--rows", "1", "--out", str(again)]):
        raise SystemExit(status)
    (path,) = again.glob("*.png")
    row = load_dataset(str(options.out), split="train")[1]
    # Other batch sizes may round differently, by one grey level at most.
    difference = np.abs(np.asarray(row["image"], dtype=int) - np.asarray(Image.open(path), dtype=int)).max()
    print(f"row 1, generated again: it differs by {difference} of 255 grey levels at most")


if __name__ == "__main__":
    main()
