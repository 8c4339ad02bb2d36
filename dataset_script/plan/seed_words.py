"""The random words of many rows at once, equal to those of NumPy's `SeedSequence` for each of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

# The constants of `numpy.random.SeedSequence`, which NumPy keeps stable.
_POOL = 4
_FIRST_A, _TIMES_A = 0x43B0D7E5, 0x931E8875
_FIRST_B, _TIMES_B = 0x8B51F9DD, 0x58F38DED
_LEFT, _RIGHT = np.uint32(0xCA01F9DD), np.uint32(0x4973F715)
_WORD = 2**32
_SHIFT = np.uint32(16)


def seed_words(seed: int, keys: np.ndarray, count: int) -> np.ndarray:
    """Returns `SeedSequence(seed, spawn_key=(key,)).generate_state(count, np.uint64)` for each key.

    Creating a `SeedSequence` for each row took a third of the time of drawing it.

    Args:
        seed: 0 or more.
        keys: int64 of shape (rows,), 0 or more.
        count: words per row.

    Returns:
        uint64 of shape (rows, count).
    """
    keys = np.asarray(keys, np.uint64)
    entropy = [seed % _WORD]
    while seed := seed // _WORD:
        entropy.append(seed % _WORD)
    entropy += [0] * (_POOL - len(entropy))
    constants = _constants(_FIRST_A, _TIMES_A)
    pool = [_hash(np.full(len(keys), word, np.uint32), constants) for word in entropy[:_POOL]]
    for source in range(_POOL):
        for target in range(_POOL):
            if source != target:
                pool[target] = _mix(pool[target], _hash(pool[source], constants))
    for word in entropy[_POOL:]:
        pool = [_mix(part, _hash(np.full(len(keys), word, np.uint32), constants)) for part in pool]
    pool = [_mix(part, _hash((keys % _WORD).astype(np.uint32), constants)) for part in pool]
    high = (keys // _WORD).astype(np.uint32)  # SeedSequence has no second word for a key below 2**32
    pool = [np.where(high > 0, _mix(part, _hash(high, constants)), part) for part in pool]
    constants = _constants(_FIRST_B, _TIMES_B)
    halves = [_hash(pool[number % _POOL], constants).astype(np.uint64) for number in range(2 * count)]
    return np.stack([low | (high << np.uint64(32)) for low, high in zip(halves[::2], halves[1::2], strict=True)], 1)


def _constants(first: int, times: int) -> Iterator[tuple[np.uint32, np.uint32]]:
    """Yields the two constants of each hash in turn; they depend on the number of earlier hashes only."""
    while True:
        second = first * times % _WORD
        yield np.uint32(first), np.uint32(second)
        first = second


def _hash(values: np.ndarray, constants: Iterator[tuple[np.uint32, np.uint32]]) -> np.ndarray:
    first, second = next(constants)
    values = (values ^ first) * second
    return values ^ (values >> _SHIFT)


def _mix(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    mixed: np.ndarray = _LEFT * left - _RIGHT * right
    return mixed ^ (mixed >> _SHIFT)
