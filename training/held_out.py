"""Lists the patients that a training run held out, whom its generator has not seen.

    python -m training.held_out --config training/configs/fundus-128.yaml --out held-out.txt

`evaluation.report --held-out` reads the list.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np

from training.configuration.config import ConfigError, TrainingConfig, load_config
from training.data.prepared import choose_held_out, load_source


def list_held_out(config: TrainingConfig) -> list[str]:
    """Returns the names of the groups held out, in order.

    Raises:
        ConfigError: if the configuration names no groups, or its source cannot be read.
    """
    column = config.data.group_column
    if column is None:
        raise ConfigError("data.group_column is None, but must name the column of patients")
    names = np.asarray([str(name) for name in load_source(config.data)[column]])
    return sorted(choose_held_out(names, config.data.validation_share, config.seed).tolist())


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", required=True, help="the configuration of the run")
    parser.add_argument("--out", type=Path, required=True, help="text file, one patient a line")
    options = parser.parse_args()
    try:
        patients = list_held_out(load_config(options.config))
    except ConfigError as error:
        raise SystemExit(f"error: {error}") from None
    temporary = options.out.with_name(f".{options.out.name}.tmp")
    temporary.write_text("".join(f"{name}\n" for name in patients), encoding="utf-8")
    os.replace(temporary, options.out)
    print(f"{len(patients)} patients were held out: {options.out}")


if __name__ == "__main__":
    main()
