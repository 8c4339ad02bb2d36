import importlib
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import evaluate
import numpy as np
import pytest
import scipy.linalg
import torch

from evaluation.measures.metrics.frechet_distance.frechet_distance import frechet_distance
from evaluation.measures.metrics.kid.kid import kid
from evaluation.measures.metrics.prdc.prdc import prdc

METRICS = Path(__file__).parents[3] / "evaluation" / "measures" / "metrics"


@pytest.fixture
def vectors() -> tuple[np.ndarray, np.ndarray]:
    """Two correlated sets of different sizes and distributions, as features are: not negative, many small."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(24, 24)) / 5
    first = np.abs(rng.normal(size=(160, 24)) @ mixing)
    second = np.abs(rng.normal(0.3, 1.2, size=(120, 24)) @ mixing)
    return first.astype(np.float32), second.astype(np.float32)


class _AnyName(types.ModuleType):
    """Stands for torchvision while torch-fidelity is imported: every name in it is an empty class."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


@pytest.fixture
def fidelity(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.SimpleNamespace]:
    """torch-fidelity's own metric functions.

    Its package imports torchvision for its feature extractors and data sets, which these functions do not use. Where
    torchvision does not load (PyPI's does not beside a CPU build of torch), an empty one stands in during the import.
    """
    try:
        importlib.import_module("torchvision")
    except Exception:
        for name in (
            "torchvision",
            "torchvision.datasets",
            "torchvision.transforms",
            "torchvision.transforms.functional",
        ):
            monkeypatch.setitem(sys.modules, name, _AnyName(name))
            parent, _, child = name.rpartition(".")
            if parent:
                setattr(sys.modules[parent], child, sys.modules[name])
    try:
        yield types.SimpleNamespace(
            **{name: importlib.import_module(f"torch_fidelity.metric_{name}") for name in ("fid", "kid", "prc")}
        )
    except ModuleNotFoundError as error:
        pytest.skip(f"torch-fidelity, with which values are compared, does not load: {error}")
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torch_fidelity"]:
            del sys.modules[name]


def test_the_frechet_distance_agrees_with_torch_fidelity(
    fidelity: types.SimpleNamespace, vectors: tuple[np.ndarray, np.ndarray]
) -> None:
    statistics = [fidelity.fid.fid_features_to_statistics(torch.from_numpy(side)) for side in vectors]
    theirs = fidelity.fid.fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(*vectors) == pytest.approx(theirs, rel=1e-3)


def test_the_kernel_distance_agrees_with_torch_fidelity(
    fidelity: types.SimpleNamespace, vectors: tuple[np.ndarray, np.ndarray]
) -> None:
    first, second = (torch.from_numpy(side[:120]) for side in vectors)
    # One subset of everything: the mean over random subsets has no value to agree with.
    theirs = fidelity.kid.kid_features_to_metric(
        first, second, kid_subsets=1, kid_subset_size=120, verbose=False, rng_seed=0
    )["kernel_inception_distance_mean"]
    assert kid(first.numpy(), second.numpy()) == pytest.approx(theirs, rel=1e-3)


def test_precision_and_recall_agree_with_torch_fidelity(
    fidelity: types.SimpleNamespace, vectors: tuple[np.ndarray, np.ndarray]
) -> None:
    first, second = (torch.from_numpy(side).double() for side in vectors)
    theirs = fidelity.prc.prc_features_to_metric(
        first, second, prc_neighborhood=3, prc_batch_size=64, save_cpu_ram=False, verbose=False
    )
    ours = prdc(*vectors, nearest_k=3)
    assert ours["precision"] < 1 and ours["recall"] < 1
    assert (ours["precision"], ours["recall"]) == pytest.approx((theirs["precision"], theirs["recall"]), rel=1e-3)


def test_values_are_those_that_torch_fidelity_gave(vectors: tuple[np.ndarray, np.ndarray]) -> None:
    """The three tests above, as recorded with torch-fidelity 0.4.0, for machines where it does not load."""
    ours = prdc(*vectors, nearest_k=3)
    assert frechet_distance(*vectors) == pytest.approx(3.2117537, rel=1e-3)
    assert kid(vectors[0][:120], vectors[1]) == pytest.approx(1.1100092, rel=1e-3)
    assert (ours["precision"], ours["recall"]) == pytest.approx((0.9625, 0.4333333), rel=1e-3)


def test_the_frechet_distance_of_gaussians_with_fewer_vectors_than_features_is_right() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(6, 40)), rng.normal(2, 1, size=(9, 40))
    covariances = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = np.square(first.mean(axis=0) - second.mean(axis=0)).sum() + np.trace(sum(covariances) - 2 * root)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-3)


def test_density_and_coverage_count_balls_as_published() -> None:
    # Real points 0, 1 and 10 with balls to the nearest neighbour: radii 1, 1 and 9.
    real = np.array([[0.0], [1.0], [10.0]])
    generated = np.array([[0.5], [30.0], [40.0]])
    result = prdc(generated, real, nearest_k=1)
    # 0.5 is in the balls about 0 and 1, not in that about 10; 30 and 40 are in none.
    assert result["density"] == pytest.approx(2 / 3)
    assert result["coverage"] == pytest.approx(2 / 3)
    assert result["precision"] == pytest.approx(1 / 3)
    assert result["recall"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("frechet_distance", {}, {"frechet_distance": (4.75 - 4 / 3) ** 2 + (36.125**0.5 - (7 / 3) ** 0.5) ** 2}),
        ("kid", {}, {"kid": 5.5**3 + (1 + 1 + 4**3) / 3 - 2 * (1 + 1.5**3 + 2.5**3 + 1 + 10**3 + 28**3) / 6}),
        ("prdc", {"nearest_k": 1}, {"precision": 0.5, "recall": 1.0, "density": 1.0, "coverage": 2 / 3}),
    ],
)
def test_metrics_load_offline_and_take_sides_of_different_length(
    name: str, arguments: dict, expected: dict, tmp_path: Path
) -> None:
    metric = evaluate.load(str(METRICS / name), cache_dir=str(tmp_path))
    result = metric.compute(predictions=[[0.5], [9.0]], references=[[0.0], [1.0], [3.0]], **arguments)
    assert result == pytest.approx(expected)


@pytest.mark.parametrize("metric", [frechet_distance, kid, prdc])
def test_vectors_that_cannot_be_measured_are_named(metric: Callable) -> None:
    good = np.random.default_rng(0).normal(size=(8, 3))
    with pytest.raises(ValueError, match=r"references has shape \(1, 3\)"):
        metric(good, good[:1])
    with pytest.raises(ValueError, match="predictions have 3 features, references 2"):
        metric(good, good[:, :2])
    with pytest.raises(ValueError, match="predictions has shape"):
        metric(np.full((8, 3), np.nan), good)
