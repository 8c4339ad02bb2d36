"""Compares the spoiled copies that training makes with photographs that human graders rejected.

    python -m evaluation.quality_labels --source harmonized --out agreement.json
    python -m evaluation.quality_labels --source ../shared/fundus --column quality_hint \\
        --good "EyeQ good" "DRIMDB good" --bad "EyeQ reject" "DRIMDB bad" --out agreement.json

Training teaches unreadability with copies of clear photographs, spoiled in known ways (`synfundus.readability`). Two
questions decide whether that is like real loss of quality: does the rule for clear photographs agree with the
graders, and does a classifier that has learned from one side recognise the other?
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from evaluation.errors import EvaluationError
from evaluation.measures.features import imagenet_space
from evaluation.measures.statistics import Interval, bootstrap, bootstrap_auc
from pipeline_synfundus.labels import CONDITION_NAMES, UNKNOWN
from pipeline_synfundus.photograph import PhotographError, read_photograph
from synfundus.files import write_json
from synfundus.photographs import read_many
from synfundus.readability import EYE_SIDE_INDEX, READABILITY_COLUMNS, degrade, is_clear

# The kinds of spoiled copies, told from the readability labels that `degrade` sets.
KIND_OF_LABELS: dict[tuple[int, ...], str] = {
    (0, 0, 0, 0): "unusable",
    (1, 0, 0, 0): "all regions",
    (1, 0, 1, 1): "macula",
    (1, 1, 0, 1): "optic disc",
    (1, 1, 1, 0): "rest of the retina",
}


@dataclass(frozen=True)
class Graded:
    """Photographs with the value of the quality column as text.

    Attributes:
        images: uint8, shape (N, size, size, 3).
        quality: strings, shape (N,).
        patients: strings, shape (N,).
        eye_sides: int8, shape (N,), -1 unknown.
    """

    images: np.ndarray
    quality: np.ndarray
    patients: np.ndarray
    eye_sides: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> Graded:
        return Graded(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def load_graded(source: str, column: str, size: int, others: int, named: Sequence[str], seed: int) -> Graded:
    """Reads the photographs whose quality is one of `named`, and `others` more at random.

    Raises:
        EvaluationError: if the source lacks the column, or has no photograph of one of the `named` values.
    """
    import datasets  # here, not above: the import takes a second

    table = datasets.concatenate_datasets([*datasets.load_dataset(source).values()])
    if column not in table.column_names:
        raise EvaluationError(f"--column is {column!r}, but {source!r} has {', '.join(table.column_names)}")
    quality = np.array([str(value) for value in table[column]])
    for value in named:
        if value not in quality:
            found = ", ".join(map(repr, np.unique(quality).tolist()))
            raise EvaluationError(f"no photograph has {column} {value!r}; found are {found}")
    graded = np.isin(quality, named)
    rest = np.random.default_rng([seed, 1]).permutation(np.flatnonzero(~graded))[:others]
    rows = np.sort(np.concatenate([np.flatnonzero(graded), rest]))
    table = table.select(rows).cast_column("image", datasets.Image(decode=False))
    cells = [cell["bytes"] or cell["path"] for cell in table["image"]]
    images = []
    for image in read_many(lambda cell: read_photograph(cell, size), cells, "reading photographs"):
        if isinstance(image, PhotographError):
            raise EvaluationError(f"{source!r}: {image}")
        images.append(np.asarray(image))
    names = table.column_names
    patients = table["patient"] if "patient" in names else range(len(rows))
    sides = table["eye_side"] if "eye_side" in names else [UNKNOWN] * len(rows)
    return Graded(np.stack(images), quality[rows], np.array([*map(str, patients)]), np.array(sides, dtype=np.int8))


def spoil(clear: Graded, seed: int) -> Graded:
    """Spoiled copies of clear photographs, as training makes them; their `quality` is the kind of loss."""
    rng = np.random.default_rng([seed, 2])
    rows, images, kinds = [], [], []
    for row, image in enumerate(clear.images):
        codes = np.full(len(CONDITION_NAMES), UNKNOWN, dtype=np.int8)
        codes[EYE_SIDE_INDEX] = clear.eye_sides[row]
        spoiled = degrade(image, codes, rng)
        if spoiled is not None:
            rows.append(row)
            images.append(spoiled[0])
            kinds.append(KIND_OF_LABELS[tuple(int(value) for value in spoiled[1][READABILITY_COLUMNS])])
    copies = clear[np.array(rows)]
    return Graded(np.stack(images), np.array(kinds), copies.patients, copies.eye_sides)


def compare(graded: Graded, good: Sequence[str], bad: Sequence[str], seed: int) -> dict[str, object]:
    """Measures both questions.

    Args:
        graded: the photographs; those of other quality are the source of clear ones and of spoiled copies.
        good: values of the quality that mean readable, one for each set of graders.
        bad: values of the same sets that mean not readable.
        seed: decides on the copies and the bootstrap.

    Returns:
        `clear_shares`: the share of photographs that `is_clear` accepts, by quality. `spoiled_to_graders`: AUC, within
        each set, of a classifier of clear photographs and spoiled copies. `graders_to_spoiled`: AUC, for each kind of
        loss, of a classifier of what the graders accepted and rejected. With 95 % intervals, bootstrap by patient.
    """
    is_named = np.isin(graded.quality, [*good, *bad])
    real, rest = graded[is_named], graded[~is_named]
    clear = rest[_accepted(rest)]
    copies = spoil(clear, seed)
    with tempfile.TemporaryDirectory() as cache:
        features = imagenet_space(Path(cache))
        of_real, of_clear, of_copies = (features(side.images) for side in (real, clear, copies))
    is_bad = np.isin(real.quality, bad).astype(int)
    of_synthetic = np.concatenate([of_clear, of_copies])
    spoiled = np.repeat([0, 1], [len(of_clear), len(of_copies)])
    patients = np.concatenate([clear.patients, copies.patients])
    kinds = np.concatenate([np.full(len(of_clear), ""), copies.quality])
    to_spoiled = _learn(of_real, is_bad).decision_function(of_synthetic)
    to_graders = _learn(of_synthetic, spoiled).decision_function(of_real)
    return {
        "photographs": {value: int((real.quality == value).sum()) for value in (*good, *bad)},
        "clear": len(clear.images),
        "spoiled": len(copies.images),
        "clear_shares": {value: _clear_share(real[real.quality == value], seed) for value in (*good, *bad)},
        "spoiled_to_graders": {
            f"{accepted} / {rejected}": _auc_within(
                np.isin(real.quality, [accepted, rejected]), is_bad, to_graders, real.patients, seed
            )
            for accepted, rejected in zip(good, bad, strict=True)
        },
        "graders_to_spoiled": {
            kind: _auc_within(np.isin(kinds, ["", kind]), spoiled, to_spoiled, patients, seed)
            for kind in KIND_OF_LABELS.values()
        },
    }


def _accepted(graded: Graded) -> np.ndarray:
    return np.array([is_clear(image) for image in graded.images], dtype=bool)


def _clear_share(graded: Graded, seed: int) -> dict[str, float]:
    accepted = _accepted(graded)
    return _as_dict(bootstrap(lambda rows: float(accepted[rows].mean()), graded.patients, seed))


def _auc_within(
    rows: np.ndarray, truth: np.ndarray, scores: np.ndarray, patients: np.ndarray, seed: int
) -> dict[str, float]:
    return _as_dict(bootstrap_auc(truth[rows], scores[rows], patients[rows], seed))


def _learn(features: np.ndarray, truth: np.ndarray) -> LogisticRegression:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=2000))
    return model.fit(features, truth)


def _as_dict(estimate: Interval) -> dict[str, float]:
    return {name: round(getattr(estimate, name), 4) for name in ("value", "low", "high")}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--source", required=True, help="a folder or Hub id that datasets loads")
    parser.add_argument("--column", default="is_fundus", help="the column with the graders' quality")
    parser.add_argument("--good", nargs="+", default=["1"], help="its values that mean readable, one per set")
    parser.add_argument("--bad", nargs="+", default=["0"], help="its values that mean not readable, in the same order")
    parser.add_argument("--others", type=int, default=800, help="photographs of other quality to draw at random")
    parser.add_argument("--size", type=int, default=128, help="side of the compared images in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="JSON file")
    options = parser.parse_args()
    named = [*options.good, *options.bad]
    try:
        if len(options.good) != len(options.bad):
            raise EvaluationError(f"--good has {len(options.good)} values and --bad {len(options.bad)}; give pairs")
        graded = load_graded(options.source, options.column, options.size, options.others, named, options.seed)
        result = compare(graded, options.good, options.bad, options.seed)
    except EvaluationError as error:
        raise SystemExit(f"error: {error}") from None
    write_json(options.out, result)
    print(options.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
