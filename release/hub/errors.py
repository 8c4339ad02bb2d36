"""Explains errors of the Hub: the cause and what to do."""

from __future__ import annotations

from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from .retry import PASSING, root_cause

LOG_IN = "Log in with `hf auth login`, or set HF_TOKEN to a token with the role write"
RESUME = "Files already on the Hub are kept. Run the same command again to resume"


def explain(error: Exception) -> str | None:
    """Returns the message for an error of the Hub or of the connection to it; None for any other error."""
    cause = root_cause(error)
    if isinstance(cause, LocalTokenNotFoundError):
        return f"no token was found. {LOG_IN}"
    if isinstance(cause, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, so the Hub cannot be reached. Unset it"
    if isinstance(cause, HfHubHTTPError):
        return _explain_answer(cause)
    if isinstance(cause, HTTPError):
        return f"the Hub cannot be reached ({cause}). {RESUME}"
    return None


def _explain_answer(error: HfHubHTTPError) -> str:
    status, address = error.response.status_code, error.response.url
    said = error.response.headers.get("X-Error-Message") or f"status {status}"
    if isinstance(error, GatedRepoError):
        return f"{said}. Request access on the repository's page, or publish under another --namespace"
    if status == 401 and not isinstance(error, RepositoryNotFoundError):
        return f"the Hub does not accept the token; it may have expired or been revoked ({said}). {LOG_IN}"
    if isinstance(error, RepositoryNotFoundError):
        return f"{address} does not exist, or this token has no access to it. {LOG_IN}"
    if status == 403:
        return f"the token has no write access: {said}. {LOG_IN}, and check that you are a member of the organisation"
    if status in PASSING:
        return f"the Hub still answers with status {status} ({said}) after several attempts. {RESUME}"
    return f"the Hub refused {error.response.request.method} {address}: {said}"
