"""Frechet distance of two sets of feature vectors, as an `evaluate` metric that needs no network."""

from __future__ import annotations

from typing import Any

import datasets
import evaluate
import numpy as np

_DESCRIPTION = """\
The squared Frechet distance of two Gaussians fitted to feature vectors: with Inception-v3 features, the FID. 0 for
equal distributions, no upper bound. It falls with the number of vectors: compare only values from equal numbers.
"""
_CITATION = """\
@inproceedings{heusel2017gans,
  title={{GANs} Trained by a Two Time-Scale Update Rule Converge to a Local {Nash} Equilibrium},
  author={Heusel, Martin and Ramsauer, Hubert and Unterthiner, Thomas and Nessler, Bernhard and Hochreiter, Sepp},
  booktitle={Advances in Neural Information Processing Systems}, year={2017}}
"""
_KWARGS_DESCRIPTION = """
Args:
    predictions: feature vectors of the generated images, shape (N, D).
    references: feature vectors of the real images, shape (M, D); M need not be N.
Returns:
    frechet_distance: float, 0 or more.
Examples:
    >>> metric = evaluate.load("evaluation/measures/metrics/frechet_distance")
    >>> metric.compute(predictions=[[0.0, 0.0], [2.0, 0.0]], references=[[3.0, 0.0], [5.0, 0.0]])
    {'frechet_distance': 9.0}
"""


def frechet_distance(predictions: np.ndarray, references: np.ndarray) -> float:
    """Computes |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) of the means and covariances.

    With the centred vectors as rows of A and B, S1 = A'A and S2 = B'B up to their scale, and the trace of the root is
    the sum of the singular values of A B'. That needs no root of a matrix, which fails where a covariance is singular.

    Args:
        predictions: shape (N, D).
        references: shape (M, D).

    Returns:
        The distance, 0 or more.

    Raises:
        ValueError: for fewer than two vectors, other shapes, or numbers that are not finite.
    """
    first, second = (np.asarray(vectors, dtype=np.float64) for vectors in (predictions, references))
    for name, vectors in (("predictions", first), ("references", second)):
        if vectors.ndim != 2 or len(vectors) < 2 or not np.isfinite(vectors).all():
            raise ValueError(f"{name} has shape {vectors.shape}; needed are two or more finite vectors, shape (N, D)")
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"predictions have {first.shape[1]} features, references {second.shape[1]}; allowed: the same")
    means = first.mean(axis=0), second.mean(axis=0)
    roots = [_square_root(vectors - mean) for vectors, mean in zip((first, second), means, strict=True)]
    trace = (
        sum(np.square(root).sum() for root in roots) - 2 * np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    )
    return max(0.0, float(np.square(means[0] - means[1]).sum() + trace))


def _square_root(centred: np.ndarray) -> np.ndarray:
    """A matrix R with R'R = covariance and as few rows as possible: at most D, however many vectors there are."""
    scaled = centred / np.sqrt(len(centred) - 1)
    return np.asarray(np.linalg.qr(scaled, mode="r")) if len(scaled) > scaled.shape[1] else scaled


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class FrechetDistance(evaluate.Metric):
    """The metric; see `frechet_distance`."""

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
        return {"frechet_distance": frechet_distance(np.stack(predictions), np.asarray(reference_vectors))}
