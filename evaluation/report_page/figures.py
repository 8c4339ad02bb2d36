"""Figures of the report. Those with real photographs go to `photographs/`, because they may not be publishable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # no display
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from evaluation.measures.statistics import Interval
from synfundus.files import write_whole

# Colours that are distinguishable with colour blindness (Okabe and Ito).
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
PUBLIC, PRIVATE = "figures", "photographs"
TILE, GAP = 128, 12  # pixels


def pairs(folder: Path, name: str, above: np.ndarray, below: np.ndarray, titles: Sequence[str] = ()) -> str:
    """Draws synthetic images above real ones.

    Args:
        folder: the report's.
        name: of the file.
        above: uint8 synthetic images, shape (N, S, S, 3).
        below: uint8 real images of the same shape.
        titles: one for each column, or none.

    Returns:
        The file, relative to the report's folder.
    """
    rows = {"synthetic": above, "real": below}
    return grid(folder, name, rows, titles, PRIVATE)


def grid(folder: Path, name: str, rows: Mapping[str, np.ndarray], titles: Sequence[str], kind: str) -> str:
    """Draws rows of images with a name before each row and a title above each column; returns the file."""
    count, step = max(map(len, rows.values())), TILE + GAP
    # One picture: axes for each image would take four times as long.
    picture = np.full((len(rows) * step - GAP, count * step - GAP, 3), 255, dtype=np.uint8)
    for line, images in enumerate(rows.values()):
        for column, image in enumerate(images):
            top, left = line * step, column * step
            picture[top : top + TILE, left : left + TILE] = np.asarray(Image.fromarray(image).resize((TILE, TILE)))
    figure, axis = plt.subplots(figsize=(1.3 * count + 0.8, 1.45 * len(rows) + 0.3))
    axis.imshow(picture)
    axis.set_frame_on(False)
    axis.tick_params(length=0, bottom=False, labelbottom=False, labeltop=True)
    middles = np.arange(max(count, len(rows))) * step + TILE / 2
    axis.set_xticks(middles[: len(titles)], titles, fontsize=7)
    axis.set_yticks(middles[: len(rows)], list(rows), fontsize=8, rotation=90, va="center")
    return _save(folder, figure, kind, name)


def distributions(folder: Path, name: str, values: Mapping[str, np.ndarray], threshold: float) -> str:
    """Draws cumulative distributions and a dashed line at the threshold; returns the file."""
    figure, axis = plt.subplots(figsize=(6, 3.5))
    for colour, (label, numbers) in zip(COLOURS, values.items(), strict=False):
        axis.plot(np.sort(numbers), np.linspace(0, 1, len(numbers)), label=label, color=colour)
    axis.axvline(threshold, color="black", linestyle="--", linewidth=1)
    axis.set(xlabel="distance to the nearest photograph", ylabel="share of the images")
    axis.legend(frameon=False)
    return _save(folder, figure, PUBLIC, name)


def intervals(folder: Path, name: str, groups: Mapping[str, Mapping[str, Interval]], label: str, chance: float) -> str:
    """Draws estimates with their intervals.

    Args:
        folder: the report's.
        name: of the file.
        groups: for each kind, its estimates by name.
        label: of the axis.
        chance: position of the line of chance.

    Returns:
        The file, relative to the report's folder.
    """
    fullest_first = sorted(groups.values(), key=len, reverse=True)
    names = list(dict.fromkeys(name for estimates in fullest_first for name in estimates))
    figure, axis = plt.subplots(figsize=(6.5, 0.45 * len(names) + 1.2))
    for number, (group, estimates) in enumerate(groups.items()):
        shift = (number - (len(groups) - 1) / 2) * 0.2
        places = [names.index(item) + shift for item in estimates]
        found = list(estimates.values())
        axis.errorbar(
            [item.value for item in found],
            places,
            xerr=np.abs([[item.value - item.low for item in found], [item.high - item.value for item in found]]),
            fmt="o",
            markersize=4,
            color=COLOURS[number % len(COLOURS)],
            label=group,
        )
    axis.axvline(chance, color="black", linestyle="--", linewidth=1)
    axis.set(yticks=range(len(names)), yticklabels=names, xlabel=label)
    axis.invert_yaxis()
    axis.legend(frameon=False, fontsize=8)
    return _save(folder, figure, PUBLIC, name)


def curves(
    folder: Path, name: str, lines: Mapping[str, tuple[Sequence[float], np.ndarray]], axes: tuple[str, str]
) -> str:
    """Draws means with the range over seeds.

    Args:
        folder: the report's.
        name: of the file.
        lines: by name: the x values, and y values of shape (seeds, number of x values).
        axes: labels of x and y.

    Returns:
        The file, relative to the report's folder.
    """
    figure, axis = plt.subplots(figsize=(6.5, 4))
    for number, (label, (x, y)) in enumerate(lines.items()):
        colour, style = COLOURS[number % len(COLOURS)], "-" if number < len(COLOURS) else "--"
        axis.plot(x, y.mean(axis=0), style, marker="o", markersize=3, color=colour, label=label)
        axis.fill_between(x, y.min(axis=0), y.max(axis=0), color=colour, alpha=0.15, linewidth=0)
    axis.set(xlabel=axes[0], ylabel=axes[1])
    axis.legend(frameon=False, fontsize=8)
    return _save(folder, figure, PUBLIC, name)


def _save(folder: Path, figure: plt.Figure, kind: str, name: str) -> str:
    path = Path(kind) / f"{name}.png"
    write_whole(folder / path, lambda temporary: figure.savefig(temporary, dpi=130, bbox_inches="tight"))
    plt.close(figure)
    return path.as_posix()
