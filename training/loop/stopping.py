"""How a run ends early: SIGTERM and SIGINT, and steps that are not finite."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# `torchrun` passes a Ctrl-C on to processes that have received it from the terminal already.
_SAME_SIGNAL_SECONDS = 2.0


class TrainingStopped(RuntimeError):
    """The training ended before its last image; the message says why and how to continue.

    Attributes:
        status: the exit status of the process, not 0.
    """

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


class StopSignals:
    """Turns the first SIGTERM or SIGINT into a request that the training loop reads; the second ends the process.

    Use it as a context manager, in the main thread; the previous handlers come back at its end.

    Attributes:
        requested: the signal received, or 0.
    """

    def __init__(self) -> None:
        self.requested = 0
        self._received_at = 0.0
        self._immediate = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._receive) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if not self.requested:
            self.requested, self._received_at = number, time.monotonic()
            if self._immediate:
                raise self.stopped()
        elif time.monotonic() - self._received_at > _SAME_SIGNAL_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    @contextlib.contextmanager
    def immediately(self) -> Iterator[None]:
        """In this block a signal stops the training at once: the caller has saved a checkpoint before.

        Raises:
            TrainingStopped: on a signal.
        """
        self._immediate = True
        try:
            if self.requested:
                raise self.stopped()
            yield
        finally:
            self._immediate = False

    def stopped(self, number: int = 0) -> TrainingStopped:
        """The error to raise for the signal received, or for one that another process received."""
        number = number or self.requested
        name = signal.Signals(number).name
        message = f"stopped by {name} after writing a checkpoint; the same command resumes from it"
        return TrainingStopped(message, status=128 + number)
