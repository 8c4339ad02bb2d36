"""What the commands of training print and return when they end early: one line, never a traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from synfundus.interrupts import interrupts_kept
from training.configuration.config import ConfigError
from training.loop.checkpoint import CheckpointError
from training.loop.stopping import TrainingStopped


@contextmanager
def one_line_errors(interrupted: str, *more: type[Exception]) -> Iterator[None]:
    """Ends a command with one line for errors, a stopped training and an interrupt.

    Args:
        interrupted: when an interrupt reaches this far, for its line.
        more: further errors to print, beside `ConfigError` and `CheckpointError`.
    """
    errors: tuple[type[Exception], ...] = (ConfigError, CheckpointError, *more)
    try:
        with interrupts_kept():
            yield
    except errors as error:
        raise SystemExit(f"error: {error}") from None
    except TrainingStopped as stopped:
        print(stopped, file=sys.stderr)
        raise SystemExit(stopped.status) from None
    except KeyboardInterrupt:
        print(f"interrupted {interrupted}; the same command continues", file=sys.stderr)
        raise SystemExit(130) from None
