"""A Python that has imported the large libraries already: commands start in it within milliseconds, not seconds.

`WarmPython(environment).path` is an executable that runs `-m MODULE`, `-c CODE`, a script, or `-` (code on its standard
input) as `python` does. A server process imports the libraries once and forks for each command. It gives the fork the
command's arguments, folder, environment and open files, and forwards signals to it. Variables that libraries read when
they are imported are those of the server, so one server serves one environment.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import runpy
import select
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

LIBRARIES = (
    "torch",
    "datasets",
    "accelerate",
    "transformers",
    "scipy.stats",
    "pandas",
    "pyarrow.parquet",
    "matplotlib",
)
DIFFUSERS = ("UNet2DModel", "AutoencoderKL", "DiffusionPipeline", "DDPMScheduler")  # imported when they are asked for
CLIENT = """#!{python} -ISE
import json, os, signal, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    call = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [len(call).to_bytes(8, "big")], [0, 1, 2])
    server.sendall(call)
    command = int.from_bytes(server.recv(8), "big")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os.kill(command, number))
    code = int.from_bytes(server.recv(8), "big", signed=True)
if code < 0:
    if -code != signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


class WarmPython:
    """Starts the server; `close` ends it.

    Args:
        environment: of the server.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="warm-")
        address = f"{self._folder.name}/socket"
        self.path = Path(self._folder.name) / "python"
        self.path.write_text(CLIENT.format(python=sys.executable, address=address))
        self.path.chmod(self.path.stat().st_mode | stat.S_IXUSR)
        command = [sys.executable, __file__, address]
        self._process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def close(self) -> None:
        """Ends the server."""
        self._process.terminate()
        self._process.wait()
        self._folder.cleanup()


def serve(address: str) -> None:
    """Imports the libraries, then runs the commands of the clients, also several at a time."""
    for name in LIBRARIES:
        __import__(name)
    diffusers = __import__("diffusers")
    for name in DIFFUSERS:
        getattr(diffusers, name)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the processes that wait for a command
        print("ready", flush=True)
        while True:
            client, _ = server.accept()
            with client:
                length, files, _, _ = socket.recv_fds(client, 8, 3)
                call = client.makefile("rb").read(int.from_bytes(length, "big"))
                if not os.fork():  # the process that waits for the command, while the server accepts the next client
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    if not (command := os.fork()):
                        server.close()
                        client.close()
                        os._exit(run(*json.loads(call), files))
                    wait(client, command)
                    os._exit(0)
                for file in files:
                    os.close(file)


def wait(client: socket.socket, command: int) -> None:
    """Tells the client the process id of its command and then the exit status; kills the command of a killed client."""
    client.sendall(command.to_bytes(8, "big"))
    ended = os.pidfd_open(command)
    if ended not in select.select([client, ended], [], [])[0]:
        os.kill(command, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
    with contextlib.suppress(BrokenPipeError):
        client.sendall(code.to_bytes(8, "big", signed=True))


def run(arguments: list[str], folder: str, environment: dict[str, str], files: list[int]) -> int:
    """Runs a command in this process; returns its exit status."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[0] = ""
    sys.path[1:1] = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    status = 0
    try:
        execute(arguments)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def execute(arguments: list[str]) -> None:
    """Runs what the arguments name, as `__main__`."""
    kind, *rest = arguments
    if kind == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif kind in ("-c", "-"):
        sys.argv = [kind, *rest[kind == "-c" :]]
        exec(compile(rest[0] if kind == "-c" else sys.stdin.read(), "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = arguments
        sys.path[0] = str(Path(kind).parent)
        runpy.run_path(kind, run_name="__main__")


if __name__ == "__main__":
    serve(sys.argv[1])
