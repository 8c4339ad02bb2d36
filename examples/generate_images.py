"""Generates images with chosen findings.

    python examples/generate_images.py --out images

Writes one image per condition, and the same eye without and with glaucoma.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline_synfundus import SynFundusPipeline
from pipeline_synfundus.labels import complete_condition, describe

# A label that is left out is healthy (diseases) or readable (readability); None means unknown.
CONDITIONS = [
    {},
    {"dr_grade": 3, "is_dme": 1},
    {"is_gc": 1, "is_em": None},
    {"is_macular_readable": 0},
]


def main() -> None:
    """Reads the command line and writes the images."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="pipeline_synfundus", help="folder or Hub id of a pipeline (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("images"), help="folder for the images (%(default)s)")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    # The package's own class: no code from the model's folder runs, unlike with `trust_remote_code=True`.
    pipeline = (
        SynFundusPipeline.from_pretrained(options.model) if options.model else SynFundusPipeline.from_pretrained()
    )

    # One seed per image: the same seed and condition give the same image.
    images = pipeline(CONDITIONS, generator=list(range(len(CONDITIONS)))).images
    for number, (condition, image) in enumerate(zip(CONDITIONS, images, strict=True)):
        path = options.out / f"image-{number}.png"
        image.save(path)
        print(f"{path}: {describe(complete_condition(condition))}")

    # The same seed with two conditions: the same eye, with and without the finding.
    without, with_glaucoma = pipeline([{"eye_side": 0}, {"eye_side": 0, "is_gc": 1}], generator=[7, 7]).images
    without.save(options.out / "same-eye-healthy.png")
    with_glaucoma.save(options.out / "same-eye-glaucoma.png")


if __name__ == "__main__":
    main()
