"""The command line of both stages: `--config`, `--dry-run`, `--skip-unusable`, `--finish`, one-line errors."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path

from accelerate import PartialState

from training.command_line.dry_run import describe_run
from training.command_line.errors import one_line_errors
from training.configuration.config import TrainingConfig, load_config


def run_stage(train: Callable[[TrainingConfig, bool], Path], description: str) -> None:
    """Reads the configuration named on the command line and trains one stage.

    Args:
        train: trains one stage, or only finishes it, and returns the folder of the result.
        description: the text of `--help`.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--config", required=True, help="a YAML file, see training/configs/")
    parser.add_argument("--dry-run", action="store_true", help="print what the run will cost, without training")
    parser.add_argument(
        "--skip-unusable", action="store_true", help="leave out photographs that cannot be decoded, instead of stopping"
    )
    parser.add_argument(
        "--finish", action="store_true", help="make the result from the newest checkpoint, without more training"
    )
    options = parser.parse_args()
    with one_line_errors("before the training started"):
        config = load_config(options.config)
        if options.skip_unusable:
            config = dataclasses.replace(config, data=dataclasses.replace(config.data, skip_unusable=True))
        if options.dry_run:
            print(describe_run(config))
            return
        folder = train(config, options.finish)
    if PartialState().is_main_process:  # other nodes need not have the folder
        print(f"the result is in {folder}")
