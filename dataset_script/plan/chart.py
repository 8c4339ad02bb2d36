"""Bars and a table of shares, drawn with Pillow: five times as fast as with Matplotlib, and every build draws them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

HEIGHT, BAR_LENGTH, CELL = 990, 330, 36  # pixels
MARGIN, GAP = 10, 8
TITLE_SIZE, TEXT_SIZE, CELL_TEXT_SIZE = 19, 15, 13
BLUES = ("#f7fbff", "#deebf7", "#c6dbef", "#9ecae1", "#6baed6", "#4292c6", "#2171b5", "#08519c", "#08306b")


def bars(title: str, names: Sequence[str], values: Sequence[float], texts: Sequence[str], colour: str) -> Image.Image:
    """Draws a horizontal bar for each value.

    Args:
        title: above the bars.
        names: to the left of the bars, from top to bottom.
        values: lengths of the bars, relative to the longest.
        texts: to the right of the bars.
        colour: of the bars.
    """
    font, top = ImageFont.load_default(TEXT_SIZE), MARGIN + 2 * TITLE_SIZE
    left = MARGIN + _widest(font, names) + GAP
    width = left + max(BAR_LENGTH + GAP + _widest(font, texts), _widest(ImageFont.load_default(TITLE_SIZE), [title]))
    image, draw = _canvas(width + MARGIN)
    draw.text((left, MARGIN), title, "black", ImageFont.load_default(TITLE_SIZE))
    step = (HEIGHT - MARGIN - top) / len(names)
    for number, (name, value, text) in enumerate(zip(names, values, texts, strict=True)):
        middle = top + (number + 0.5) * step
        right = left + BAR_LENGTH * value / (max(values) or 1)
        draw.text((left - GAP, middle), name, "black", font, "rm")
        draw.rectangle((left, middle - 0.4 * step, right, middle + 0.4 * step), colour)
        draw.text((right + GAP, middle), text, "black", font, "lm")
    return image


def table(title: str, names: Sequence[str], shares: np.ndarray) -> Image.Image:
    """Draws a square of cells, darker for a greater share.

    Args:
        title: above the cells.
        names: of the rows, and of the columns.
        shares: in percent, shape (names, names); a share of 0 has no text.
    """
    font, small = ImageFont.load_default(TEXT_SIZE), ImageFont.load_default(CELL_TEXT_SIZE)
    upright = ImageFont.TransposedFont(font, Image.Transpose.ROTATE_90)
    left, side = MARGIN + _widest(font, names) + GAP, CELL * len(names)
    image, draw = _canvas(left + side + MARGIN)
    top = (HEIGHT - side) // 2
    draw.text((left, top - GAP), title, "black", ImageFont.load_default(TITLE_SIZE), "lb")
    for number, name in enumerate(names):
        middle = (number + 0.5) * CELL
        draw.text((left - GAP, top + middle), name, "black", font, "rm")
        draw.text((left + middle - TEXT_SIZE / 2, top + side + GAP), name, "black", upright)
    darkness = np.sqrt(shares / (shares.max() or 1))
    for (row, column), share in np.ndenumerate(shares):
        x, y, dark = left + column * CELL, top + row * CELL, darkness[row, column]
        draw.rectangle((x, y, x + CELL - 1, y + CELL - 1), _blue(float(dark)))
        if share:
            ink = "white" if dark > 0.6 else "black"
            draw.text((x + CELL / 2, y + CELL / 2), percent(share), ink, small, "mm")
    return image


def beside(images: Sequence[Image.Image]) -> Image.Image:
    """Joins pictures of the same height, from left to right."""
    return Image.fromarray(np.concatenate([np.asarray(image) for image in images], axis=1))


def percent(share: float) -> str:
    """Writes a share, in percent, with two digits."""
    return f"{share:.2g}" if share < 99.5 else "100"


def _canvas(width: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (width, HEIGHT), "white")
    return image, ImageDraw.Draw(image)


def _widest(font: ImageFont.FreeTypeFont | ImageFont.ImageFont, texts: Sequence[str]) -> int:
    return round(max(map(font.getlength, texts)))


def _blue(darkness: float) -> tuple[int, ...]:
    """Returns a colour between the lightest (0) and the darkest (1) of `BLUES`."""
    channels = np.array([[int(colour[place : place + 2], 16) for place in (1, 3, 5)] for colour in BLUES]).T
    stops = np.linspace(0, 1, len(BLUES))
    return tuple(round(float(np.interp(darkness, stops, channel))) for channel in channels)
