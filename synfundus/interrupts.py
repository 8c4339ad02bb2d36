"""Ctrl-C that is never lost."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_AGAIN_SECONDS = 0.01


@contextlib.contextmanager
def interrupts_kept() -> Iterator[None]:
    """In this block Ctrl-C raises a KeyboardInterrupt, also when it arrives while an object is finalized.

    Python drops what is raised in `__del__`, so an interrupt that arrives there would do nothing: it is sent again. In
    other threads than the main one, which receive no signals, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, _receive)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _receive(number: int, frame: FrameType | None) -> None:
    if _in_finalizer(frame):
        threading.Timer(_AGAIN_SECONDS, os.kill, (os.getpid(), number)).start()
    else:
        raise KeyboardInterrupt


def _in_finalizer(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_name != "__del__":
        frame = frame.f_back
    return frame is not None
