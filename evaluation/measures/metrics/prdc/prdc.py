"""Precision, recall, density and coverage of feature vectors, as an `evaluate` metric that needs no network."""

from __future__ import annotations

from typing import Any

import datasets
import evaluate
import numpy as np
from scipy.spatial.distance import cdist

_DESCRIPTION = """\
Four numbers from balls that reach to the k-th neighbour: precision (share of generated images within a ball about a
real one), recall (share of real images within a ball about a generated one), density (precision, counting how many
balls; robust to outliers) and coverage (share of the balls about real images that hold a generated one).
"""
_CITATION = """\
@inproceedings{naeem2020reliable,
  title={Reliable Fidelity and Diversity Metrics for Generative Models},
  author={Naeem, Muhammad Ferjad and Oh, Seong Joon and Uh, Youngjung and Choi, Yunjey and Yoo, Jaejun},
  booktitle={International Conference on Machine Learning}, year={2020}}
@inproceedings{kynkaanniemi2019improved,
  title={Improved Precision and Recall Metric for Assessing Generative Models},
  author={Kynk{\\"a}{\\"a}nniemi, Tuomas and Karras, Tero and Laine, Samuli and Lehtinen, Jaakko and Aila, Timo},
  booktitle={Advances in Neural Information Processing Systems}, year={2019}}
"""
_KWARGS_DESCRIPTION = """
Args:
    predictions: feature vectors of the generated images, shape (N, D).
    references: feature vectors of the real images, shape (M, D); M need not be N.
    nearest_k: a ball reaches to the neighbour of this number, 5 if not given.
Returns:
    precision, recall, coverage: float, 0 to 1.
    density: float, 0 or more; 1 on average for equal distributions.
Examples:
    >>> metric = evaluate.load("evaluation/measures/metrics/prdc")
    >>> metric.compute(predictions=[[0.5], [9.0]], references=[[0.0], [1.0]], nearest_k=1)
    {'precision': 0.5, 'recall': 1.0, 'density': 1.0, 'coverage': 1.0}
"""


def prdc(predictions: np.ndarray, references: np.ndarray, nearest_k: int = 5) -> dict[str, float]:
    """Computes the four numbers.

    Args:
        predictions: shape (N, D).
        references: shape (M, D).
        nearest_k: the number of the neighbour that a ball reaches to.

    Raises:
        ValueError: for too few vectors, other shapes, or numbers that are not finite.
    """
    first, second = (np.asarray(vectors, dtype=np.float64) for vectors in (predictions, references))
    for name, vectors in (("predictions", first), ("references", second)):
        if vectors.ndim != 2 or len(vectors) <= nearest_k or not np.isfinite(vectors).all():
            raise ValueError(
                f"{name} has shape {vectors.shape}; needed are more than nearest_k={nearest_k} finite vectors"
            )
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"predictions have {first.shape[1]} features, references {second.shape[1]}; allowed: the same")
    between = cdist(second, first)  # (M, N)
    generated_radii, real_radii = _radii(first, nearest_k), _radii(second, nearest_k)
    in_real_ball = between <= real_radii[:, None]
    return {
        "precision": float(in_real_ball.any(axis=0).mean()),
        "recall": float((between <= generated_radii[None, :]).any(axis=1).mean()),
        "density": float(in_real_ball.sum(axis=0).mean() / nearest_k),
        "coverage": float(in_real_ball.any(axis=1).mean()),
    }


def _radii(vectors: np.ndarray, nearest_k: int) -> np.ndarray:
    """Distance of each vector to its k-th neighbour, itself not counted."""
    return np.partition(cdist(vectors, vectors), nearest_k, axis=1)[:, nearest_k]


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class PrecisionRecallDensityCoverage(evaluate.Metric):
    """The metric; see `prdc`."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features({"predictions": datasets.Sequence(datasets.Value("float32"))}),
        )

    def compute(self, *, predictions: Any = None, references: Any = None, **kwargs: Any) -> dict[str, float] | None:
        """Computes the metric. `references` is no input column, because those must be of one length."""
        return super().compute(predictions=predictions, reference_vectors=references, **kwargs)

    def _compute(self, predictions: Any, reference_vectors: Any, nearest_k: int = 5) -> dict[str, float]:
        return prdc(np.stack(predictions), np.asarray(reference_vectors), nearest_k)
