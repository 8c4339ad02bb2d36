"""The contact sheet: samples that together show every label, each above its labels in words."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from pipeline_synfundus.labels import DISEASES, EYE_SIDE, LABELS, READABILITY, UNKNOWN, describe
from synfundus.files import atomic_file

from ..build.image_format import SYNTHETIC

COLUMNS = 5
TILE = 224  # pixels of an image's longer side
GAP = 20
MARGIN = 36
CAPTION_SIZE, NOTE_SIZE, TITLE_SIZE = 16, 13, 30
LINE_HEIGHT = 20
CAPTION_WIDTH = 29  # characters of CAPTION_SIZE that fit a tile
BACKGROUND, INK, FAINT = "white", "#1f2328", "#6b7280"

Wanted = Mapping[str, int]


def choose_rows(labels: pd.DataFrame) -> tuple[list[int], list[Wanted]]:
    """Returns positions of rows that together show everything, and what no row shows.

    For each thing to show it takes, of the rows not taken yet, one in which the least else is wrong.

    Args:
        labels: the rows' labels and eye sides, in columns of their names.
    """
    healthy = pd.Series({label.name: label.default for label in LABELS})
    findings = labels[list(healthy.index)].ne(healthy).sum(axis=1).to_numpy()
    chosen: list[int] = []
    missing: list[Wanted] = []
    for wanted in _things_to_show():
        fitting = (labels[list(wanted)] == pd.Series(wanted)).all(axis=1)
        candidates = np.flatnonzero(fitting & ~labels.index.isin(chosen))
        if candidates.size:
            chosen.append(int(candidates[findings[candidates].argmin()]))
        else:
            missing.append(wanted)
    return chosen, missing


def _things_to_show() -> list[Wanted]:
    """A healthy eye of each side, each grade and disease, and each kind of picture that cannot be read."""
    healthy = {label.name: label.default for label in LABELS}
    sides: list[Wanted] = [{**healthy, EYE_SIDE.name: side} for side in range(EYE_SIDE.cardinality)]
    diseases: list[Wanted] = [{label.name: value} for label in DISEASES for value in range(1, label.cardinality)]
    return [*sides, *diseases, *({label.name: 0} for label in READABILITY)]


def write_sheet(path: Path, rows: Sequence[Mapping[str, Any]], title: str) -> None:
    """Writes a sheet with each image above its labels in words, as a PNG that says that it is synthetic.

    Args:
        path: where to.
        rows: `image` (of Pillow), `idx`, labels and eye side of each.
        title: what stands above.
    """
    text = PngInfo()
    text.add_text("Description", SYNTHETIC)
    with atomic_file(path) as file:
        _draw_sheet(rows, title).save(file, "PNG", pnginfo=text)


def _draw_sheet(rows: Sequence[Mapping[str, Any]], title: str) -> Image.Image:
    captions = [_caption(row) for row in rows]
    lines = [captions[first : first + COLUMNS] for first in range(0, len(captions), COLUMNS)]
    heights = [TILE + (max(map(len, line)) + 1) * LINE_HEIGHT + 2 * GAP for line in lines]
    top = MARGIN + TITLE_SIZE + 2 * GAP + LINE_HEIGHT
    width = 2 * MARGIN + COLUMNS * TILE + (COLUMNS - 1) * GAP
    sheet = Image.new("RGB", (width, top + sum(heights) + MARGIN - GAP), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN - 8), title, INK, ImageFont.load_default(TITLE_SIZE))
    note = "Synthetic images, made by a diffusion model from the labels below them. No photographs; not for diagnosis."
    draw.text((MARGIN, MARGIN + TITLE_SIZE + 4), note, FAINT, ImageFont.load_default(CAPTION_SIZE))
    for number, row in enumerate(rows):
        line, column = divmod(number, COLUMNS)
        corner = (MARGIN + column * (TILE + GAP), top + sum(heights[:line]))
        _draw_tile(sheet, corner, row["image"], captions[number], f"{_side(row)}row {row['idx']}")
    return sheet


def _draw_tile(sheet: Image.Image, corner: tuple[int, int], image: Image.Image, caption: list[str], note: str) -> None:
    left, top = corner
    factor = TILE / max(image.size)
    size = (round(image.width * factor), round(image.height * factor))
    sheet.paste(image.convert("RGB").resize(size, Image.Resampling.LANCZOS), corner)
    draw = ImageDraw.Draw(sheet)
    top += TILE + 8
    for line in caption:
        draw.text((left, top), line, INK, ImageFont.load_default(CAPTION_SIZE))
        top += LINE_HEIGHT
    draw.text((left, top + 1), note, FAINT, ImageFont.load_default(NOTE_SIZE))


def _caption(row: Mapping[str, int]) -> list[str]:
    """The labels in words, in lines that fit a tile; the eye side stands in the note below."""
    text = describe({**row, EYE_SIDE.name: UNKNOWN})
    return textwrap.wrap(text[0].upper() + text[1:], CAPTION_WIDTH)


def _side(row: Mapping[str, int]) -> str:
    side = row[EYE_SIDE.name]
    return "" if side == UNKNOWN else f"{EYE_SIDE.values[side]} eye, "
