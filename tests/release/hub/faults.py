"""What goes wrong on the loopback Hub, on request."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import Literal


@dataclass
class Fault:
    """Something that goes wrong with the next requests that match.

    Attributes:
        match: a regular expression, searched for in "METHOD path".
        what: "status" answers with `status`; "refuse" cuts the connection before the request is acted on, "lose" after,
            in place of the answer; "cut" and "slow" cut or slow down the answer's body.
        times: for so many requests; a negative number means all.
        after: as many matching requests go well first.
        status, headers: of the answer of "status".
    """

    match: str
    what: Literal["status", "refuse", "lose", "cut", "slow"] = "status"
    times: int = 1
    after: int = 0
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)


class Faults:
    """The faults that are still to come."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Plans a fault."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Forgets all faults."""
        with self._lock:
            self._faults.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """Returns the fault of this request, if it has one, and counts it."""
        with self._lock:
            for fault in self._faults:
                if not fault.times or not re.search(fault.match, f"{method} {path}"):
                    continue
                if fault.after:
                    fault.after -= 1
                    continue
                fault.times -= 1
                return fault
        return None
