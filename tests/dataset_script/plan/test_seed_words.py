import numpy as np
import pytest

from dataset_script.plan.seed_words import seed_words


@pytest.mark.parametrize("seed", [0, 20231, 2**32, 2**64 - 1, 2**127 + 5, 2**200 + 2**33])
def test_the_words_are_those_of_numpys_seed_sequence(seed: int) -> None:
    keys = np.array([0, 1, 77, 10**6, 2**32 - 1, 2**32, 2**32 + 1, 2**63 - 1])
    expected = [np.random.SeedSequence(seed, spawn_key=(int(key),)).generate_state(18, np.uint64) for key in keys]
    assert np.array_equal(seed_words(seed, keys, 18), expected)
