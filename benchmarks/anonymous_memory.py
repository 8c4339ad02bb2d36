"""Peak of the memory that no file backs: pages of mapped files are not part of it, unlike in the resident memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def anonymous_memory() -> int:
    """The memory of this process that no file backs, in bytes (Linux)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(status.split("RssAnon:")[1].split()[0])


@contextmanager
def watch_memory(seconds: float = 0.01) -> Iterator[list[int]]:
    """Measures the anonymous memory of this process at the start and every few `seconds`; yields all sizes."""
    sizes, ended = [anonymous_memory()], threading.Event()

    def watch() -> None:
        while not ended.wait(seconds):
            sizes.append(anonymous_memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield sizes
    finally:
        ended.set()
        watcher.join()
