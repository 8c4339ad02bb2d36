"""The blind, balanced mixture of real and synthetic images, and the key with the truth."""

from __future__ import annotations

import csv
import io
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from PIL import Image

from evaluation.data.photographs import Photographs
from evaluation.errors import EvaluationError
from pipeline_synfundus.labels import DISEASES
from synfundus.files import write_text, write_whole

HEALTHY = "healthy"


@dataclass(frozen=True)
class Item:
    """One image of the study.

    Attributes:
        name: of its file, without the suffix; random.
        disease: the label for which it was chosen, or `healthy`.
        is_synthetic: the truth, 0 or 1.
        row: its name among the photographs of its side.
    """

    name: str
    disease: str
    is_synthetic: int
    row: str


def build_blend(synthetic: Photographs, real: Photographs, folder: Path, per_disease: int, seed: int) -> list[Item]:
    """Chooses images and writes them with the key.

    For each disease, and for healthy eyes, the same number of images is drawn from both sides; no image is drawn
    twice. A disease that one side lacks is left out.

    Args:
        synthetic: the equalised synthetic images.
        real: the equalised photographs.
        folder: for `images/` and `key.csv`; must not contain a study.
        per_disease: images of either side for each disease; fewer where a side has fewer.
        seed: determines the choice.

    Raises:
        EvaluationError: if the folder contains a study, or no disease is on both sides.
    """
    key = folder / "key.csv"
    if key.exists():
        raise EvaluationError(f"{str(folder)!r} already holds a study; allowed is a folder without key.csv")
    chosen = list(_choose(synthetic, real, per_disease, np.random.default_rng(seed)))
    if not chosen:
        raise EvaluationError("no disease is known on both sides; a study needs at least one")
    items = []
    for disease, is_synthetic, row in chosen:
        side = synthetic if is_synthetic else real
        item = Item(secrets.token_hex(6), disease, is_synthetic, str(side.names[row]))
        write_whole(image_file(folder, item.name), Image.fromarray(side.images[row]).save)
        items.append(item)
    # Sorted by their random names, so that the order of the key does not reveal the side.
    items.sort(key=lambda item: item.name)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [field.name for field in fields(Item)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(item) for item in items)
    write_text(key, buffer.getvalue())  # last: a study with a key is complete
    return items


def load_key(folder: Path) -> list[Item]:
    """Reads the key of a study.

    Raises:
        EvaluationError: if there is none.
    """
    key = folder / "key.csv"
    if not key.exists():
        raise EvaluationError(
            f"{str(folder)!r} holds no study; make one with `python -m evaluation.reader_study build`"
        )
    with open(key, encoding="utf-8", newline="") as file:
        return [Item(row["name"], row["disease"], int(row["is_synthetic"]), row["row"]) for row in csv.DictReader(file)]


def image_file(folder: Path, name: str) -> Path:
    """The file of an item's image."""
    return folder / "images" / f"{name}.png"


def _choose(
    synthetic: Photographs, real: Photographs, per_disease: int, rng: np.random.Generator
) -> Iterator[tuple[str, int, int]]:
    sides = (real, synthetic)
    free = [side.readable() for side in sides]
    # The rarest first: an eye with two diseases is used for the rarer one.
    shown = {label.name: [side.label(label.name) > 0 for side in sides] for label in DISEASES}
    shown[HEALTHY] = [_is_healthy(side) for side in sides]
    for disease in sorted(shown, key=lambda name: min(int(mask.sum()) for mask in shown[name])):
        rows = [np.flatnonzero(mask & unused) for mask, unused in zip(shown[disease], free, strict=True)]
        count = min(per_disease, *map(len, rows))
        for is_synthetic in (0, 1):
            for row in rng.permutation(rows[is_synthetic])[:count]:
                free[is_synthetic][row] = False
                yield disease, is_synthetic, int(row)


def _is_healthy(photographs: Photographs) -> np.ndarray:
    """No disease is known to be present, and diabetic retinopathy is known to be absent."""
    values = np.stack([photographs.label(label.name) for label in DISEASES])
    return (values <= 0).all(axis=0) & (photographs.label("dr_grade") == 0)
