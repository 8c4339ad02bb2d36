"""Fixtures for the tests of the evaluation."""

from collections.abc import Iterator

import pytest
import torch

from evaluation.measures import statistics


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Networks this small gain nothing from a second thread, and on a shared machine threads wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def few_resamples() -> Iterator[None]:
    """For modules that look at results but not at the width of their intervals: bootstraps of 100 draws."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "RESAMPLES", 100)
        yield
