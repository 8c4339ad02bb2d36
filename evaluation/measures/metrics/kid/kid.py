"""Kernel inception distance of two sets of feature vectors, as an `evaluate` metric that needs no network."""

from __future__ import annotations

from typing import Any

import datasets
import evaluate
import numpy as np

_DESCRIPTION = """\
The kernel inception distance: the unbiased squared maximum mean discrepancy with the kernel (x'y / D + 1)^3. Unlike
the Frechet distance it does not depend on the number of vectors; it is 0 on average for equal distributions, and may
be slightly negative.
"""
_CITATION = """\
@inproceedings{binkowski2018demystifying,
  title={Demystifying {MMD} {GANs}},
  author={Bi{\\'n}kowski, Miko{\\l}aj and Sutherland, Danica J. and Arbel, Michael and Gretton, Arthur},
  booktitle={International Conference on Learning Representations}, year={2018}}
"""
_KWARGS_DESCRIPTION = """
Args:
    predictions: feature vectors of the generated images, shape (N, D).
    references: feature vectors of the real images, shape (M, D); M need not be N.
Returns:
    kid: float.
Examples:
    >>> metric = evaluate.load("evaluation/measures/metrics/kid")
    >>> metric.compute(predictions=[[0.0], [0.0]], references=[[1.0], [1.0]])
    {'kid': 7.0}
"""


def kid(predictions: np.ndarray, references: np.ndarray) -> float:
    """Computes the unbiased estimate over all pairs.

    Args:
        predictions: shape (N, D).
        references: shape (M, D).

    Raises:
        ValueError: for fewer than two vectors, other shapes, or numbers that are not finite.
    """
    first, second = (np.asarray(vectors, dtype=np.float64) for vectors in (predictions, references))
    for name, vectors in (("predictions", first), ("references", second)):
        if vectors.ndim != 2 or len(vectors) < 2 or not np.isfinite(vectors).all():
            raise ValueError(f"{name} has shape {vectors.shape}; needed are two or more finite vectors, shape (N, D)")
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"predictions have {first.shape[1]} features, references {second.shape[1]}; allowed: the same")
    within = [_mean_of_pairs(_kernel(vectors, vectors)) for vectors in (first, second)]
    return float(sum(within) - 2 * _kernel(first, second).mean())


def _kernel(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return (left @ right.T / left.shape[1] + 1) ** 3


def _mean_of_pairs(kernel: np.ndarray) -> float:
    """Mean over the pairs of different vectors: a vector is not compared with itself."""
    return float((kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1)))


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class KernelInceptionDistance(evaluate.Metric):
    """The metric; see `kid`."""

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

    def _compute(self, predictions: Any, reference_vectors: Any) -> dict[str, float]:
        return {"kid": kid(np.stack(predictions), np.asarray(reference_vectors))}
