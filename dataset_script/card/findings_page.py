"""The page of findings: the first images of each finding at full size, one line per finding."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from pipeline_synfundus.labels import DEFAULT_CONDITION, describe

from .sheet import BACKGROUND, CAPTION_SIZE, INK, LINE_HEIGHT, each_finding, save_sheet

Line = tuple[str, list[int]]


def choose_first(labels: pd.DataFrame, count: int) -> list[Line]:
    """Returns each grade and disease in words, with the positions of the first rows that have it.

    The rows may have other findings, too: they are the first ones and not the best ones.

    Args:
        labels: the labels of the rows, one column per condition label.
        count: largest number of rows for each.
    """
    lines = []
    for finding in each_finding():
        fitting = (labels[list(finding)] == pd.Series(finding)).all(axis=1)
        lines.append((describe({**DEFAULT_CONDITION, **finding}), np.flatnonzero(fitting)[:count].tolist()))
    return lines


def write_page(path: Path, lines: Sequence[tuple[str, Sequence[Image.Image]]]) -> None:
    """Writes a page with the images of each line side by side, not resized, below its title.

    Args:
        path: the file, `.png` or `.jpg`.
        lines: title and images of each line.
    """
    heights = [max((image.height for image in images), default=0) + 2 * LINE_HEIGHT for _, images in lines]
    width = max(sum(image.width for image in images) for _, images in lines)
    page = Image.new("RGB", (width, sum(heights)), BACKGROUND)
    draw = ImageDraw.Draw(page)
    top = 0
    for (title, images), height in zip(lines, heights, strict=True):
        left = 0
        draw.text((6, top + LINE_HEIGHT // 2), title, INK, ImageFont.load_default(CAPTION_SIZE))
        for image in images:
            page.paste(image.convert("RGB"), (left, top + 2 * LINE_HEIGHT))
            left += image.width
        top += height
    save_sheet(page, path)
