"""Decides which failures of the Hub are temporary, and waits before the next attempt."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import parse_ratelimit_headers
from tqdm import tqdm

from ..folders import ReleaseError

Result = TypeVar("Result")

# Too early, a concurrent commit, too many requests, and server errors.
PASSING = frozenset({408, 412, 425, 429, 500, 502, 503, 504})
# The Hub's rate limits apply to windows of five minutes.
LONGEST_WAIT = 300.0
PATIENCE = 8


class NotThereYet(ReleaseError):
    """The Hub accepted a commit but does not list its files yet."""


class Patience:
    """Counts consecutive failures and waits longer after each: 1 s, 2 s, 4 s, ..., or as long as the Hub requests.

    Args:
        failures: number of consecutive failures to wait for; the next one is raised.
        what: description of the work, for messages.
    """

    def __init__(self, what: str, failures: int = PATIENCE) -> None:
        self.what = what
        self.failures = failures
        self.count = 0

    def wait(self, error: Exception) -> None:
        """Waits after a temporary failure.

        Raises:
            Exception: the error itself, if it is not temporary or failed too often.
        """
        seconds = waiting_time(error, self.count)
        self.count += 1
        if seconds is None or self.count > self.failures:
            raise error
        reason = (str(root_cause(error)) or repr(error)).strip().splitlines()[0]
        tqdm.write(f"{self.what}: {reason} Trying again in {seconds:.0f} s ({self.count} of {self.failures}).")
        time.sleep(seconds)

    def reset(self) -> None:
        """Resets the count after a success."""
        self.count = 0


def retry(step: Callable[[], Result], what: str, failures: int = PATIENCE) -> Result:
    """Runs a repeatable step until it succeeds and returns its result; waits after temporary failures."""
    patience = Patience(what, failures)
    while True:
        try:
            return step()
        except Exception as error:
            patience.wait(error)


def root_cause(error: BaseException) -> BaseException:
    """Returns the HTTP error that caused an error (uploads wrap theirs), or the error itself if there is none."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, HTTPError):
        cause = cause.__cause__
    return cause or error


def waiting_time(error: BaseException, failures: int) -> float | None:
    """Returns the seconds to wait before the next attempt; None if the error is not temporary.

    Args:
        error: as raised by huggingface_hub.
        failures: consecutive failures before this one.
    """
    cause = root_cause(error)
    backoff = min(2.0**failures, LONGEST_WAIT)
    if isinstance(error, NotThereYet):
        return backoff
    if isinstance(cause, OfflineModeIsEnabled) or not isinstance(cause, HTTPError):
        return None
    if not isinstance(cause, HfHubHTTPError):
        return backoff  # the connection: refused, cut, timed out
    if cause.response.status_code not in PASSING:
        return None
    limit = parse_ratelimit_headers(cause.response.headers)
    if limit is not None and limit.remaining == 0:
        return min(max(backoff, limit.reset_in_seconds + 1), LONGEST_WAIT)
    asked = cause.response.headers.get("Retry-After", "")
    return min(max(backoff, float(asked)), LONGEST_WAIT) if asked.isdecimal() else backoff
