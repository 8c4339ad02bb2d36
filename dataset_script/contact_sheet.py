"""Draws a labelled sheet of samples, or a page with every finding at full size.

python -m dataset_script.contact_sheet synfundus-1m --out sheet.png
python -m dataset_script.contact_sheet synfundus-1m --first 3 --out findings.jpg
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pandas as pd
from datasets import concatenate_datasets, load_dataset

from pipeline_synfundus.labels import CONDITION_NAMES

from .card.findings_page import choose_first, write_page
from .card.sheet import choose_rows, write_sheet

SUFFIXES = (".png", ".jpg")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0 done, 2 invalid arguments or nothing to draw."""
    parser = argparse.ArgumentParser(
        prog="python -m dataset_script.contact_sheet",
        description="Draws samples of each disease, each grade and each readability label of a SynFundus dataset.",
    )
    parser.add_argument("dataset", help="folder or Hub id of the dataset")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write (.png, .jpg)")
    parser.add_argument(
        "--first", type=int, metavar="N", help="draw the first N images of each finding, at full size, instead"
    )
    options = parser.parse_args(arguments)
    if options.out.suffix not in SUFFIXES:
        parser.error(f"--out is {options.out}; it must end with {' or '.join(SUFFIXES)}")
    if options.first is not None and options.first < 1:
        parser.error(f"--first is {options.first}; at least 1 is needed")
    try:
        splits = load_dataset(options.dataset)
        dataset = concatenate_datasets(list(splits.values())).sort("idx")
        labels = cast(pd.DataFrame, dataset.select_columns(list(CONDITION_NAMES)).to_pandas())
    except (OSError, ValueError) as error:
        print(f"contact_sheet: error: {options.dataset} is no SynFundus dataset: {error}", file=sys.stderr)
        return 2
    if options.first is not None:
        lines = choose_first(labels, options.first)
        if not any(found for _, found in lines):
            print(f"contact_sheet: error: no row of {options.dataset} shows a finding", file=sys.stderr)
            return 2
        write_page(options.out, [(title, [dataset[row]["image"] for row in found]) for title, found in lines])
        print(f"{options.out} shows {sum(len(found) for _, found in lines)} images.")
        return 0
    rows, missing = choose_rows(labels)
    title = Path(options.dataset).resolve().name
    write_sheet(options.out, list(dataset.select(rows)), f"{title}: {len(rows)} of {len(dataset):,} images")
    print(f"{options.out} shows {len(rows)} images.")
    for wanted in missing:
        print("No row has " + ", ".join(f"{name}={value}" for name, value in wanted.items()) + ".")
    return 0


if __name__ == "__main__":
    sys.exit(main())
