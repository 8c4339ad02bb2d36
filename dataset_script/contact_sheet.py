"""Draws a labelled sheet of samples: `python -m dataset_script.contact_sheet synfundus-1m --out sheet.png`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pandas as pd
from datasets import concatenate_datasets, load_dataset

from pipeline_synfundus.labels import CONDITION_NAMES

from .card.sheet import choose_rows, write_sheet


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0 done, 2 invalid arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m dataset_script.contact_sheet",
        description="Draws samples of each disease, each grade and each readability label of a SynFundus dataset.",
    )
    parser.add_argument("dataset", help="folder or Hub id of the dataset")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="PNG file to write")
    options = parser.parse_args(arguments)
    try:
        splits = load_dataset(options.dataset)
        dataset = concatenate_datasets(list(splits.values())).sort("idx")
        labels = cast(pd.DataFrame, dataset.select_columns(list(CONDITION_NAMES)).to_pandas())
    except (OSError, ValueError) as error:
        print(f"contact_sheet: error: {options.dataset} is no SynFundus dataset: {error}", file=sys.stderr)
        return 2
    rows, missing = choose_rows(labels)
    title = Path(options.dataset).resolve().name
    write_sheet(options.out, list(dataset.select(rows)), f"{title}: {len(rows)} of {len(dataset):,} images")
    print(f"{options.out} shows {len(rows)} images.")
    for wanted in missing:
        print("No row has " + ", ".join(f"{name}={value}" for name, value in wanted.items()) + ".")
    return 0


if __name__ == "__main__":
    sys.exit(main())
