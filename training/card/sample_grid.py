"""A labelled grid of samples: one row per condition, the same noise down every column."""

from __future__ import annotations

from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import gather_object
from PIL import Image, ImageDraw, ImageFont

from pipeline_synfundus import SynFundusPipeline
from pipeline_synfundus.labels import DISEASES, READABILITY, complete_condition, describe
from synfundus.files import atomic_file

COLUMNS = 6
LARGEST_TILE = 256  # pixels: a sheet of larger ones takes longer to write than a GPU trains between two of them
CAPTION_WIDTH = 230


def grid_conditions() -> list[dict[str, int]]:
    """A healthy eye, every DR grade, every other disease, and every loss of readability."""
    dr_grade, *others = DISEASES
    conditions = [{"dr_grade": grade} for grade in range(dr_grade.cardinality)]
    conditions += [{label.name: 1} | ({"dr_grade": 2} if label.name == "is_dme" else {}) for label in others]
    conditions += [{label.name: 0} for label in READABILITY]
    return [complete_condition(condition | {"eye_side": 0}) for condition in conditions]


def draw_sample_grid(pipeline: SynFundusPipeline, path: Path, accelerator: Accelerator) -> None:
    """Samples the grid at the pipeline's defaults and writes it as a PNG, atomically.

    Every process calls this and samples a share of the rows; the main process writes.
    """
    conditions = grid_conditions()
    pipeline.set_progress_bar_config(desc="sample grid", leave=False, disable=not accelerator.is_main_process)
    images: list[Image.Image] = []
    with accelerator.split_between_processes(conditions) as share:
        if share:
            noise = list(range(COLUMNS)) * len(share)
            images = pipeline(share, COLUMNS, generator=noise, return_dict=False)[0]
    images = gather_object(images)
    if accelerator.is_main_process:
        _write_sheet(conditions, images, path)


def _write_sheet(conditions: list[dict[str, int]], images: list[Image.Image], path: Path) -> None:
    size = min(images[0].width, LARGEST_TILE)
    sheet = Image.new("RGB", (CAPTION_WIDTH + COLUMNS * size, len(conditions) * size), "black")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13)
    for row, condition in enumerate(conditions):
        caption = describe(condition | {"eye_side": -1}).replace(" (", "\n(").replace(", ", "\n")
        draw.multiline_text((6, row * size + 6), caption, fill="white", font=font)
        for column in range(COLUMNS):
            tile = images[row * COLUMNS + column].resize((size, size), Image.Resampling.BOX)
            sheet.paste(tile, (CAPTION_WIDTH + column * size, row * size))
    with atomic_file(path) as file:
        sheet.save(file, format="PNG")
