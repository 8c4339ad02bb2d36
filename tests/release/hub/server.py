"""HTTP for the loopback Hub: reads requests, asks the endpoints, sends answers, and goes wrong on request."""

from __future__ import annotations

import re
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from .accounts import Accounts
from .downloads import Downloads
from .faults import Fault, Faults
from .messages import Answer, Request, error
from .repositories import Repositories
from .store import NoRevision, Store
from .uploads import Uploads

PIECE = 1 << 16
SLOW_PIECE, PAUSE = 1 << 12, 0.02


@dataclass(frozen=True)
class Entry:
    """One line of the record: what was asked, with how many bytes, and the answer's status (0 for none)."""

    method: str
    path: str
    received: int
    status: int


class HubServer:
    """A Hub on the loopback interface.

    Use it as a context. `url` is its address, `requests` the record of what was asked, `bytes_sent` the number of bytes
    in all answers; `store`, `accounts` and
    `faults` can be changed while it runs.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.store, self.accounts, self.faults = Store(root), Accounts(), Faults()
        self.requests: list[Entry] = []
        self.bytes_sent = 0
        self.uploads_folder = root / "incoming"
        self.uploads_folder.mkdir(exist_ok=True)
        repositories = Repositories(self.store, self.accounts)
        routes = repositories.routes + Uploads(repositories).routes + Downloads(repositories).routes
        self.routes = [(method, re.compile(pattern), function) for method, pattern, function in routes]
        hub = self

        class Handler(_Handler):
            server_hub = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> HubServer:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, request: Request) -> Answer:
        """Finds the endpoint of a request, and asks it."""
        for method, pattern, function in self.routes:
            if method == request.method and (found := pattern.fullmatch(request.path)):
                try:
                    return function(request, **{key: value for key, value in found.groupdict().items() if value})
                except NoRevision as problem:
                    return error(404, f"Invalid rev id: {problem}", "RevisionNotFound")
        return error(404, f"no such endpoint: {request.method} {request.path}")

    def sent(self, pattern: str) -> list[Entry]:
        """Returns the requests whose "METHOD path" a regular expression finds."""
        return [entry for entry in self.requests if re.search(pattern, f"{entry.method} {entry.path}")]


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # the head of an answer and its body are sent apart: the body would wait for 40 ms
    server_hub: HubServer

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_GET

    def log_message(self, *arguments: object) -> None:
        """The record is kept by the Hub."""

    def _serve(self) -> None:
        hub, address = self.server_hub, urlsplit(self.path)
        with tempfile.NamedTemporaryFile(dir=hub.uploads_folder, delete=False) as body:
            received = self._receive(body.write)
        path = Path(body.name)
        try:
            fault = hub.faults.take(self.command, address.path)
            status = 0
            if fault is None or fault.what not in ("refuse", "status"):
                headers = {name.lower(): value for name, value in self.headers.items()}
                answer = hub.answer(Request(self.command, address.path, address.query, headers, path, hub.url))
            elif fault.what == "status":
                injected = error(fault.status, "a fault that was asked for")
                answer = Answer(fault.status, injected.body, {**injected.headers, **fault.headers})
            if fault is None or fault.what not in ("refuse", "lose"):
                status = answer.status
            hub.requests.append(Entry(self.command, self.path, received, status))
            if status:
                self._send(answer, fault)
            else:
                self.close_connection = True
        finally:
            path.unlink(missing_ok=True)

    def _receive(self, write: Callable[[bytes], object]) -> int:
        """Reads the body, and returns its length."""
        received = 0
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                write(self.rfile.read(size))
                self.rfile.readline()
                received += size
            self.rfile.readline()
            return received
        left = int(self.headers.get("Content-Length", 0))
        while left and (piece := self.rfile.read(min(PIECE, left))):
            write(piece)
            received += len(piece)
            left -= len(piece)
        return received

    def _send(self, answer: Answer, fault: Fault | None) -> None:
        content = answer.body.read_bytes() if isinstance(answer.body, Path) else answer.body
        status, headers = answer.status, dict(answer.headers)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked and status == 200:
            first, last = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            status, content = 206, content[first : last + 1]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.server_hub.bytes_sent += len(content)
        if fault and fault.what == "cut":
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
        elif fault and fault.what == "slow":
            for first in range(0, len(content), SLOW_PIECE):
                self.wfile.write(content[first : first + SLOW_PIECE])
                time.sleep(PAUSE)
        else:
            self.wfile.write(content)
