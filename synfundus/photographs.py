"""Reads many photographs in threads, and reports all that cannot be read together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tqdm.auto import tqdm

from pipeline_synfundus.photograph import PhotographError
from synfundus.cores import available_cores

# More lines than this are counted, not printed.
LISTED = 50
# Results held in memory at a time, per thread.
_AHEAD = 8

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_many(
    read: Callable[[Item], Result], items: Sequence[Item], description: str
) -> Iterator[Result | PhotographError]:
    """Yields `read(item)` for each item, in order, or the `PhotographError` that it raised.

    Args:
        read: decodes or checks one photograph. Pillow decodes outside Python's global lock, so threads run in parallel.
        items: what to read.
        description: the text of the progress bar.
    """

    def attempt(item: Item) -> Result | PhotographError:
        try:
            return read(item)
        except PhotographError as error:
            return error

    threads = available_cores()
    parts = range(0, len(items), _AHEAD * threads)
    with ThreadPoolExecutor(threads) as pool, tqdm(total=len(items), desc=description, unit="image") as bar:
        for start in parts:
            for result in pool.map(attempt, items[start : start + _AHEAD * threads]):
                yield result
                bar.update()


def list_problems(problems: Sequence[str]) -> str:
    """Returns the problems as indented lines; after the first 50, only their number."""
    lines = [f"  {problem}" for problem in problems[:LISTED]]
    if len(problems) > LISTED:
        lines.append(f"  and {len(problems) - LISTED} more")
    return "\n".join(lines)
