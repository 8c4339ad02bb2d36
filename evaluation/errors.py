"""Errors of the evaluation: bad input, and numbers that the data does not support."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from synfundus.interrupts import interrupts_kept


class EvaluationError(ValueError):
    """Input that cannot be used; the message names the field, what was given and what is allowed."""


class NotMeasurable(Exception):
    """A number that this data does not support; the report prints the reason in its place."""


@contextmanager
def one_line_errors(*more: type[Exception]) -> Iterator[None]:
    """Ends a command with one line for bad input (exit code 2) and for an interrupt (130).

    Args:
        more: further errors that mean bad input, beside `EvaluationError` and `OSError`.
    """
    bad_input: tuple[type[Exception], ...] = (EvaluationError, OSError, *more)
    try:
        with interrupts_kept():
            yield
    except bad_input as error:
        print(f"error: {error}")
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("interrupted; run the same command again to resume")
        raise SystemExit(130) from None
