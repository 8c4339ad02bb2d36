"""Trains an autoencoder and a generator on a folder of photographs, and generates images with them.

    python examples/train_generator.py path/to/photographs --preset small-256 --out runs/mine

The folder is anything that `datasets.load_dataset` reads: image files beside a `metadata.csv`, or Parquet files. It has
a column `image` and any of the label columns; what it does not know stays unknown. A column of patients keeps the
photographs of a patient together when some are held out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml

from pipeline_synfundus import SynFundusPipeline
from training.configuration.config import load_config
from training.train_autoencoder import train as train_autoencoder
from training.train_generator import train as train_generator


def main() -> None:
    """Reads the command line, trains both stages and generates two images."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photographs", help="folder or Hub id of photographs")
    parser.add_argument("--preset", default="small-256", help="sizes and schedule, see docs/training.md")
    parser.add_argument("--patient-column", help="column that names the patient")
    parser.add_argument("--settings", type=Path, help="YAML file that changes some values of the preset")
    parser.add_argument("--out", default="runs/mine", help="folder of the run (%(default)s)")
    options = parser.parse_args()

    # The same file works with `synfundus train-autoencoder --config` and `synfundus train --config`.
    values = {
        "preset": options.preset,
        "output_dir": options.out,
        "data": {"source": options.photographs, "group_column": options.patient_column, "validation_share": 0.05},
    }
    if options.settings:
        values |= yaml.safe_load(options.settings.read_text())
    path = Path(options.out) / "config.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(values))
    config = load_config(path)

    # Both calls continue an interrupted run, and return at once when the stage is complete.
    train_autoencoder(config)
    folder = train_generator(config)

    pipeline = SynFundusPipeline.from_pretrained(folder)
    for number, image in enumerate(pipeline([{}, {"dr_grade": 3}], generator=[0, 0]).images):
        image.save(Path(options.out) / f"image-{number}.png")


if __name__ == "__main__":
    main()
