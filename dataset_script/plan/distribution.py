"""The distribution of strata and labels of a plan, as text and as a chart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tqdm import tqdm

from pipeline_synfundus.labels import CONDITION_LABELS, DISEASES, READABILITY, UNKNOWN, Label, to_codes
from synfundus.files import atomic_file

from .condition_plan import ConditionPlan

ROWS_AT_ONCE = 10_000
COMPRESS_LEVEL = 3  # the default, 6, makes the chart 1 % larger and takes twice as long


def draw_codes(plan: ConditionPlan, num_rows: int) -> np.ndarray:
    """Returns the labels of the first rows of a plan: integers of shape (rows, condition labels), -1 for unknown."""
    quiet = num_rows <= ROWS_AT_ONCE  # these take less than a second
    firsts = tqdm(range(0, num_rows, ROWS_AT_ONCE), "Drawing", unit=f"{ROWS_AT_ONCE:,} rows", disable=quiet)
    parts = (plan.rows(range(first, min(first + ROWS_AT_ONCE, num_rows))) for first in firsts)
    return np.concatenate([np.array([to_codes(row.condition) for row in part]) for part in parts])


def stratum_table(plan: ConditionPlan, num_rows: int) -> str:
    """Returns the number of rows of each stratum among the first rows, as text."""
    counts = plan.stratum_counts(num_rows)
    width = max(map(len, counts))
    return "\n".join(f"{name:<{width}}  {count:>9,}  {count / num_rows:7.2%}" for name, count in counts.items())


def label_table(codes: np.ndarray) -> str:
    """Returns the number of rows with each value of each label, as text."""
    lines = []
    for column, label in enumerate(CONDITION_LABELS):
        for value, count in zip(*np.unique(codes[:, column], return_counts=True), strict=True):
            name = "unknown" if value == UNKNOWN else label.values[value]
            lines.append(f"{label.name:<27} {value:>2} {name:<16} {count:>9,}  {count / len(codes):7.2%}")
    return "\n".join(lines)


def combination_table(codes: np.ndarray, most: int = 12) -> str:
    """Returns the most frequent combinations of two or more diseases, as text."""
    shown = _findings(codes)
    together = shown[shown.sum(axis=1) > 1]
    if not len(together):
        return "none: no row has two findings"
    sets, counts = np.unique(together, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:most]
    names = np.array([label.full_name for label in DISEASES])
    return "\n".join(
        f"{count:>9,}  {count / len(codes):7.2%}  {' + '.join(names[present])}"
        for present, count in zip(sets[order], counts[order], strict=True)
    )


def co_occurrence(codes: np.ndarray) -> np.ndarray:
    """Returns the share of rows with both of two diseases (on the diagonal: with one); shape (diseases, diseases)."""
    shown = _findings(codes).astype(float)
    return shown.T @ shown / len(codes)


def plot(plan: ConditionPlan, codes: np.ndarray, num_rows: int, path: Path, description: str = "") -> None:
    """Draws the distribution of strata and labels, and the co-occurrence of diseases.

    Args:
        plan: the plan.
        codes: labels of rows, see `draw_codes`.
        num_rows: number of rows for which strata are counted.
        path: PNG file to write.
        description: text in the metadata of the file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(17, 9), dpi=110, layout="constrained")
    strata, labels, pairs = figure.subplots(1, 3, width_ratios=(1, 1, 1.25))
    counts = plan.stratum_counts(num_rows)
    strata.barh(list(counts), list(counts.values()), color="#4c72b0")
    strata.invert_yaxis()
    strata.set_title(f"rows of each stratum, of {num_rows:,}")
    names, shares = zip(*_label_shares(codes), strict=True)
    labels.barh(names, shares, color="#c44e52")
    labels.invert_yaxis()
    labels.set_title("rows with each finding, %")
    together = 100 * co_occurrence(codes)
    diseases = [label.name for label in DISEASES]
    pairs.imshow(np.sqrt(together), cmap="Blues")
    pairs.set_xticks(range(len(diseases)), diseases, rotation=90)
    pairs.set_yticks(range(len(diseases)), diseases)
    for (row, column), share in np.ndenumerate(together):
        if share:
            pairs.text(
                column,
                row,
                f"{share:.2g}",
                ha="center",
                va="center",
                fontsize=8,
                color="white" if share > 15 else "black",
            )
    pairs.set_title("rows with both diseases, %")
    with atomic_file(path) as file:
        # Not `savefig`, which draws everything twice, because other formats than PNG can need it.
        compression = {"compress_level": COMPRESS_LEVEL}
        FigureCanvasAgg(figure).print_png(file, metadata={"Description": description}, pil_kwargs=compression)


def _findings(codes: np.ndarray) -> np.ndarray:
    """Returns the diseases of each row; booleans of shape (rows, diseases)."""
    return codes[:, : len(DISEASES)] > 0


def _label_shares(codes: np.ndarray) -> list[tuple[str, float]]:
    """Returns the share of rows, in percent, with each value other than the healthy or readable one."""
    shares = []
    for column, label in enumerate((*DISEASES, *READABILITY)):
        for value in range(label.cardinality):
            if value != label.default:
                shares.append((_value_name(label, value), 100 * float((codes[:, column] == value).mean())))
    return shares


def _value_name(label: Label, value: int) -> str:
    return (
        label.full_name if label in DISEASES and label.cardinality == 2 else f"{label.full_name}: {label.values[value]}"
    )
