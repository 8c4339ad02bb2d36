"""Requests and answers of the loopback Hub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        method, path, query: the request line; the path is not unquoted.
        headers: names in lower case.
        body: a file with what was sent.
        endpoint: the address under which the client reached the Hub.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: Path
    endpoint: str

    @property
    def token(self) -> str | None:
        """The bearer token, if there is one."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token if scheme == "Bearer" else None

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body.read_bytes())

    @property
    def form(self) -> dict[str, list[str]]:
        """The body, read as a form."""
        return parse_qs(self.body.read_text())

    @property
    def parameters(self) -> dict[str, str]:
        """The query's parameters."""
        return {name: values[-1] for name, values in parse_qs(self.query).items()}


@dataclass(frozen=True)
class Answer:
    """One answer; a body that is a path is the file's content."""

    status: int = 200
    body: bytes | Path = b""
    headers: dict[str, str] = field(default_factory=dict)


def answer_json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Returns JSON."""
    return Answer(status, json.dumps(content).encode(), {"Content-Type": "application/json", **(headers or {})})


def error(status: int, message: str, code: str | None = None) -> Answer:
    """Returns an error as the Hub does: in the body, and in two headers."""
    headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
    return answer_json({"error": message}, status, headers)
