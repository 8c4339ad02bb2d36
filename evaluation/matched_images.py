"""Generates images with the labels of real photographs, so that both sides of a distance have the same labels.

    python -m evaluation.matched_images --real path/to/photographs --splits splits.csv --num-images 2000 --out matched

The plan of a dataset asks for rare findings and for readable eyes far more often than photographs show them, so its
images differ from photographs in their labels already. Here each image has the labels of one photograph of a test
patient, as training would show them; every photograph is used before one is used again. The result is an image folder
with label columns, for `evaluation.report --synthetic`. An interrupted run is resumed by running it again.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from dataset_script.build.image_generator import DEFAULT_MODEL, find_model
from dataset_script.errors import BuildError
from evaluation.cache import fingerprint
from evaluation.data.options import add_real_options
from evaluation.data.photographs import load_photographs
from evaluation.data.splits import PARTS, TEST, assign_parts
from evaluation.errors import EvaluationError, one_line_errors
from evaluation.generator import load_generator
from pipeline_synfundus import SynFundusPipeline
from pipeline_synfundus.labels import CONDITION_NAMES, UNKNOWN
from synfundus.files import write_json, write_text, write_whole
from synfundus.readability import is_clear, label_clear

BATCH = 8
# What the images depend on; a folder of other images is refused.
RECORD = "matched.json"


def read_labels(options: argparse.Namespace) -> np.ndarray:
    """The labels of the photographs of one part as training shows them, int8, shape (N, 16), -1 unknown.

    Clear photographs are completely readable, see `is_clear`.

    Raises:
        EvaluationError: for a source or parts that cannot be used, or a part without photographs.
    """
    cache = options.out.with_name(f"{options.out.name}-cache")
    real = load_photographs(options.real, options.size, cache, options.real_config, options.patient_column)
    parts, _ = assign_parts(real.patients, real.splits, options.splits)
    chosen = real[parts == options.part]
    if not len(chosen):
        raise EvaluationError(f"--part {options.part}: no photograph of {options.real!r} belongs to it")
    return label_clear(chosen.codes, np.array([is_clear(image) for image in chosen.images]))


def choose_labels(codes: np.ndarray, count: int) -> np.ndarray:
    """Rows in a random order, over and over until there are `count`, shape (count, 16)."""
    order = np.random.default_rng(0).permutation(len(codes))
    return codes[np.resize(order, count)]


def generate(pipeline: SynFundusPipeline, codes: np.ndarray, folder: Path) -> None:
    """Writes an image for each row, `000000.png` and so on, and a `metadata.csv` with the labels.

    The seed of an image is its number. Images that exist are kept.
    """
    missing = [number for number in range(len(codes)) if not _path(folder, number).exists()]
    bar = tqdm(total=len(codes), initial=len(codes) - len(missing), desc="generating", unit="image")
    for start in range(0, len(missing), BATCH):
        numbers = missing[start : start + BATCH]
        asked = [dict(zip(CONDITION_NAMES, codes[number].tolist(), strict=True)) for number in numbers]
        drawn: Any = pipeline(asked, generator=numbers)
        for number, image in zip(numbers, drawn.images, strict=True):
            write_whole(_path(folder, number), partial(image.save, format="PNG"))
        bar.update(len(numbers))
    bar.close()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file_name", *CONDITION_NAMES])
    for number, row in enumerate(codes.tolist()):
        writer.writerow([_path(folder, number).name, *("" if value == UNKNOWN else value for value in row)])
    write_text(folder / "metadata.csv", text.getvalue())


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.png"


def _check_folder(folder: Path, record: dict[str, Any]) -> None:
    """Creates the folder with its record, or checks that it holds images of the same model and labels."""
    path = folder / RECORD
    if not path.exists():
        if folder.exists() and any(folder.iterdir()):
            raise EvaluationError(f"--out {folder} is not empty and holds no {RECORD}; choose another folder")
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, record)
    elif json.loads(path.read_text(encoding="utf-8")) != record:
        raise EvaluationError(f"--out {folder} holds images of another model, other labels or another number")


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.matched_images", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=str(DEFAULT_MODEL), help="folder or Hub id of the pipeline (the bundled)")
    add_real_options(parser)
    parser.add_argument("--part", choices=PARTS, default=TEST, help="whose photographs' labels (%(default)s)")
    parser.add_argument("--size", type=int, default=128, help="side at which readability is judged (%(default)s)")
    parser.add_argument("--num-images", type=int, default=2000, help="images to generate (%(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="the folder of the images")
    options = parser.parse_args(arguments)
    with one_line_errors(BuildError):
        if options.num_images < 1:
            raise EvaluationError(f"--num-images is {options.num_images}; at least 1 is needed")
        model = find_model(options.model)
        codes = choose_labels(read_labels(options), options.num_images)
        _check_folder(options.out, {"model": model.revision, "labels": fingerprint(codes)})
        generate(load_generator(model.folder), codes, options.out)
    print(f"{options.num_images} images are in {options.out}")


if __name__ == "__main__":
    main()
