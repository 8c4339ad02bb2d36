"""Lists which patients a configuration trains on, makes choices on, and reports results on.

    python -m training.splits --config training/configs/fundus-512.yaml --out splits.csv

The file has the columns `patient` and `part` (training, validation or test). `evaluation.sampling_sweep` uses the
validation patients only, `evaluation.report` the test patients only.
"""

from __future__ import annotations

import argparse
import csv
import io
from pathlib import Path

import numpy as np

from synfundus.files import write_text
from training.configuration.config import ConfigError, TrainingConfig, load_config
from training.data.prepared import choose_parts, load_source


def list_parts(config: TrainingConfig) -> list[tuple[str, str]]:
    """Returns (patient, part) for every patient of the source, in the order of their names.

    Raises:
        ConfigError: if the configuration names no column of patients, or its source cannot be read.
    """
    column = config.data.group_column
    if column is None:
        raise ConfigError("data.group_column is None, but must name the column of patients")
    patients = np.unique(np.asarray([str(name) for name in load_source(config.data)[column]]))
    return list(zip(patients.tolist(), choose_parts(patients, config.data, config.seed).tolist(), strict=True))


def write_parts(config: TrainingConfig, path: Path) -> list[tuple[str, str]]:
    """Writes `list_parts` as a CSV file with the columns `patient` and `part`, and returns it.

    Raises:
        ConfigError: as `list_parts`.
    """
    rows = list_parts(config)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("patient", "part"), *rows])
    write_text(path, text.getvalue())
    return rows


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", required=True, help="the configuration of the run")
    parser.add_argument("--out", type=Path, required=True, help="CSV file with the columns patient and part")
    options = parser.parse_args()
    try:
        rows = write_parts(load_config(options.config), options.out)
    except ConfigError as error:
        raise SystemExit(f"error: {error}") from None
    counts = {part: sum(row[1] == part for row in rows) for part in ("training", "validation", "test")}
    print(f"{options.out}: " + ", ".join(f"{count} {part} patients" for part, count in counts.items()))


if __name__ == "__main__":
    main()
