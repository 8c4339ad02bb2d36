"""The pictures in the card: rows of each finding in `pictures/LABEL.png`, and the chart `distribution.png`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from pipeline_synfundus.labels import CONDITION_NAMES, DISEASES, LABELS, READABILITY, Label

from ..build.folder import BuildFolder
from ..build.image_format import SYNTHETIC
from ..build.record import GenerationRecord
from ..plan.condition_plan import ConditionPlan
from ..plan.distribution import plot
from ..png import save_png
from .samples import first_rows, read_image

IMAGES = 5
SIDE, GAP = 160, 6  # pixels


def write_pictures(folder: BuildFolder[GenerationRecord]) -> None:
    """Writes a picture for each finding that the first rows of a complete dataset show."""
    index = first_rows(folder)
    for label in (*DISEASES, *READABILITY):
        chosen = choose_examples(index, label)
        if len(chosen):
            rows: list[dict[str, Any]] = chosen.to_dict("records")  # type: ignore[assignment]
            _write(picture_file(folder, label), [read_image(folder.path, row) for row in rows])


def write_distribution(folder: BuildFolder[GenerationRecord], plan: ConditionPlan) -> None:
    """Draws the distribution of strata and labels of a complete dataset."""
    codes = first_rows(folder)[list(CONDITION_NAMES)].to_numpy()
    plot(plan, codes, folder.record.num_rows, folder.path / "distribution.png", f"Distribution of labels. {SYNTHETIC}")


def picture_file(folder: BuildFolder[GenerationRecord], label: Label) -> Path:
    """Returns the file of the picture of a finding."""
    return folder.path / "pictures" / f"{label.name}.png"


def choose_examples(index: pd.DataFrame, label: Label) -> pd.DataFrame:
    """Returns up to `IMAGES` rows that show a finding, with the fewest other findings; grades in ascending order.

    Args:
        index: the labels of the rows, one column per condition label.
        label: a disease, or a readability label, whose finding is 0.
    """
    values = index[label.name]
    shown = index[(values >= 0) & (values != label.default)]
    others = sum((shown[other.name] != other.default).astype(int) for other in LABELS if other is not label)
    shown = shown.assign(others=others).sort_values(["others", "idx"])
    # One row of each value first, then further rows.
    shown = shown.assign(turn=shown.groupby(label.name).cumcount()).sort_values("turn", kind="stable")
    return shown.head(IMAGES).sort_values([label.name, "idx"])


def picture_table(folder: BuildFolder[GenerationRecord]) -> str:
    """Returns one line per finding with its picture."""
    lines = []
    for label in (*DISEASES, *READABILITY):
        file = picture_file(folder, label)
        if file.is_file():
            name = f"not: {label.full_name}" if label in READABILITY else label.full_name
            place = file.relative_to(folder.path).as_posix()
            lines.append(f"| `{label.name}` | {name} | ![{name}]({place}) |")
    return "\n".join(lines)


def _write(path: Path, images: list[Image.Image]) -> None:
    strip = Image.new("RGB", (len(images) * (SIDE + GAP) - GAP, SIDE), "white")
    for number, image in enumerate(images):
        factor = SIDE / max(image.size)
        size = (round(image.width * factor), round(image.height * factor))
        strip.paste(image.convert("RGB").resize(size, Image.Resampling.LANCZOS), (number * (SIDE + GAP), 0))
    save_png(strip, path, SYNTHETIC)
