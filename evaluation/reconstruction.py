"""Measures what an autoencoder keeps of photographs: detail, vessels, and what a label classifier sees.

    python -m evaluation.reconstruction --autoencoder runs/mine/vae --real harmonized --splits splits.csv --out report

It compares photographs of one part of the patients with their reconstructions: the peak signal-to-noise ratio inside
the field of view, the overlap of their vessels, and the AUC per label of a classifier that was trained on photographs
of the training patients (EfficientNet-Lite0, from ImageNet's weights). The result is `reconstruction.json`. `crops.png`
shows crops side by side at full resolution: it contains photographs and is not for publication.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm.auto import tqdm

from evaluation.data.photographs import read_codes
from evaluation.data.splits import PARTS, read_parts
from evaluation.errors import EvaluationError, NotMeasurable
from evaluation.measures.classifier import QUESTION_NAMES, Classifier, answers, build_classifier
from evaluation.measures.classifier_training import Schedule, predict, train_classifier
from evaluation.measures.judge import ARCHITECTURE
from evaluation.measures.statistics import Interval, bootstrap, bootstrap_auc
from evaluation.measures.vessels import dice, find_vessels
from pipeline_synfundus import FundusAutoencoder
from pipeline_synfundus.photograph import read_photograph
from synfundus.files import write_json, write_whole
from synfundus.images import field_psnr, to_images, to_tensor
from synfundus.thumbnails import resize

NUM_CROPS = 6
CROP = 160
Reconstruct = Callable[[np.ndarray], np.ndarray]


def load_reconstruct(folder: str) -> Reconstruct:
    """Loads an autoencoder as a function on uint8 images of shape (S, S, 3).

    Raises:
        EvaluationError: if the folder holds no `FundusAutoencoder`.
    """
    try:
        vae = FundusAutoencoder.from_pretrained(folder, local_files_only=True).float().eval()
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise EvaluationError(f"autoencoder {folder!r} cannot be loaded: {error}") from error

    @torch.no_grad()
    def reconstruct(image: np.ndarray) -> np.ndarray:
        return to_images(vae(to_tensor(image[None])))[0]

    return reconstruct


class RealRows:
    """Rows of a `datasets` source by part of the split, decoded one at a time.

    Args:
        options: the command line's `real`, `real_config`, `patient_column`, `splits`, `size` and `native_size_column`.

    Raises:
        EvaluationError: if the source or the list of parts cannot be used.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        import datasets  # here, not above: it takes a second

        parts = read_parts(options.splits)
        table = datasets.load_dataset(options.real, options.real_config, split="train")
        if options.patient_column not in table.column_names:
            raise EvaluationError(f"--patient-column {options.patient_column!r} is not in {table.column_names}")
        self.table = table.cast_column("image", datasets.Image(decode=False))
        self.patients = np.array([str(name) for name in table[options.patient_column]])
        self.parts = np.array([parts.get(name, "") for name in self.patients])
        self.size = options.size
        column = options.native_size_column
        self.large = np.array(table[column]) >= options.size if column else np.ones(len(table), dtype=bool)
        self.codes = read_codes(table, options.real)

    def choose(self, part: str, limit: int) -> np.ndarray:
        """At most `limit` row numbers of a part, drawn with a fixed seed, of photographs that are large enough."""
        rows = np.flatnonzero((self.parts == part) & self.large)
        if not len(rows):
            raise EvaluationError(f"no photograph of the part {part!r} has {self.size} pixels a side")
        return np.sort(np.random.default_rng(0).permutation(rows)[:limit])

    def images(self, rows: np.ndarray, description: str) -> Iterator[np.ndarray]:
        """The photographs of these rows, uint8 of shape (size, size, 3)."""
        for row in tqdm(rows.tolist(), desc=description, unit="image"):
            cell = self.table[row]["image"]
            yield np.asarray(read_photograph(cell["bytes"] or cell["path"], self.size))


def measure(rows: RealRows, reconstruct: Reconstruct, options: argparse.Namespace) -> dict[str, Any]:
    """All figures of `reconstruction.json`; crops are written to `options.out`."""
    measured = rows.choose(options.part, options.limit)
    ratios: list[float] = []
    overlaps: list[float] = []
    before: list[np.ndarray] = []
    after: list[np.ndarray] = []
    crops: list[np.ndarray] = []
    for image in rows.images(measured, "reconstructing"):
        decoded = reconstruct(image)
        ratios.append(field_psnr(image, decoded))
        overlaps.append(dice(find_vessels(image), find_vessels(decoded)))
        for images, shown in ((before, image), (after, decoded)):
            images.append(resize(shown[None], options.classifier_size)[0])
        if len(crops) < NUM_CROPS:
            crops.append(_crop_pair(image, decoded))
    sheet = Image.fromarray(np.concatenate(crops, axis=1))
    write_whole(options.out / "crops.png", sheet.save)
    network = _train_classifier(rows, options)
    patients = rows.patients[measured]
    return {
        "part": options.part,
        "photographs": len(measured),
        "patients": len(np.unique(patients)),
        "size": rows.size,
        "psnr": asdict(bootstrap(lambda chosen: float(np.mean(np.array(ratios)[chosen])), patients, 0)),
        "vessel_dice": asdict(bootstrap(lambda chosen: float(np.mean(np.array(overlaps)[chosen])), patients, 0)),
        "classifier_size": options.classifier_size,
        "label_auc": _label_aucs(network, np.stack(before), np.stack(after), rows.codes[measured], patients),
    }


def _train_classifier(rows: RealRows, options: argparse.Namespace) -> Classifier:
    """A classifier of all labels that has learned on photographs of the training patients."""
    chosen = rows.choose("training", options.limit_training)
    images = [resize(image[None], options.classifier_size) for image in rows.images(chosen, "training photographs")]
    network = build_classifier(ARCHITECTURE, len(QUESTION_NAMES), options.classifier_size, seed=0)
    schedule = Schedule(images_seen=options.images_seen)
    return train_classifier(network, np.concatenate(images), answers(rows.codes[chosen]), schedule)


def _crop_pair(image: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """The middle of a photograph above the same of its reconstruction."""
    start = (len(image) - min(CROP, len(image))) // 2
    window = slice(start, start + min(CROP, len(image)))
    return np.concatenate([image[window, window], decoded[window, window]])


def _label_aucs(
    network: Classifier, before: np.ndarray, after: np.ndarray, codes: np.ndarray, patients: np.ndarray
) -> dict[str, dict[str, Any]]:
    """The AUC per question on photographs and on reconstructions, or why it cannot be measured."""
    truth, sides = answers(codes), [predict(network, images) for images in (before, after)]
    result: dict[str, dict[str, Any]] = {}
    for column, name in enumerate(QUESTION_NAMES):
        known = ~np.isnan(truth[:, column])
        try:
            photographs, reconstructions = (
                bootstrap_auc(truth[known, column], side[known, column], patients[known], 0) for side in sides
            )
        except NotMeasurable as reason:
            result[name] = {"not_measurable": str(reason)}
            continue
        result[name] = _retention(photographs, reconstructions)
    return result


def _retention(photographs: Interval, reconstructions: Interval) -> dict[str, Any]:
    return {
        "photographs": asdict(photographs),
        "reconstructions": asdict(reconstructions),
        "retained": round(reconstructions.value / photographs.value, 4),
    }


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.reconstruction", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--autoencoder", required=True, help="folder of a FundusAutoencoder, such as the `vae` folder of a pipeline")
    add("--real", required=True, help="folder or Hub id of photographs with label columns")
    add("--real-config", help="its configuration")
    add("--patient-column", default="patient", help="its column of patients (%(default)s)")
    add("--native-size-column", help="its column of true sizes in pixels; smaller photographs are left out")
    add("--splits", type=Path, required=True, help="the part of each patient, from `python -m training.splits`")
    add("--part", choices=PARTS[1:], default=PARTS[1], help="the patients to measure on (%(default)s)")
    add("--size", type=int, default=512, help="side of the images in pixels (%(default)s)")
    add("--limit", type=int, default=300, help="maximum number of photographs to measure on (%(default)s)")
    add("--classifier-size", type=int, default=256, help="side of what the classifier sees in pixels (%(default)s)")
    add("--limit-training", type=int, default=4000, help="maximum number to train the classifier on (%(default)s)")
    add("--images-seen", type=int, default=8000, help="by the classifier in training (%(default)s)")
    add("--out", type=Path, required=True, help="folder of the result")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    options = parse_arguments(arguments)
    try:
        reconstruct = load_reconstruct(options.autoencoder)
        result = measure(RealRows(options), reconstruct, options)
    except EvaluationError as error:
        raise SystemExit(f"error: {error}") from None
    write_json(options.out / "reconstruction.json", result)
    psnr, vessels = result["psnr"], result["vessel_dice"]
    print(f"PSNR {psnr['value']:.2f} dB, vessel Dice {vessels['value']:.3f}: {options.out / 'reconstruction.json'}")


if __name__ == "__main__":
    main()
