"""Command-line options for the source of real photographs, which several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_real_options(parser: argparse.ArgumentParser) -> None:
    """Adds `--real`, `--real-config`, `--patient-column` and `--splits`."""
    parser.add_argument("--real", required=True, help="folder or Hub id of real photographs, with label columns")
    parser.add_argument("--real-config", help="configuration of the real source")
    parser.add_argument(
        "--patient-column", default="patient", help="column of patients in the real source (%(default)s)"
    )
    parser.add_argument(
        "--splits", type=Path, help="CSV file with columns patient and part, as `python -m training.splits` writes it"
    )
