"""A Python that has imported the large libraries already: commands start in it within milliseconds, not seconds.

`WarmPython(environment, libraries).path` is an executable that runs `-m MODULE`, `-c CODE`, a script, or `-` (code on
its standard input) as `python` does; of options before these it heeds `-I` only. A server process imports the libraries
once and forks for each command. It gives the fork the command's arguments, folder, environment and open files, and
forwards signals to it. What a command starts with `sys.executable`, also through `multiprocessing`, is started in the
same way. Of the variables that libraries read when they are imported, those of STAND_INS and SWITCHES are the command's
own, so one server serves commands with any Hub and any cache; others are the server's.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import json
import multiprocessing
import os
import pkgutil
import runpy
import select
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

Place = tuple[dict[str, Any], str, Any]  # a namespace, a name, and the value that the server has there

DIFFUSERS = (
    "torch._dynamo",
    "scipy.stats",
    "sklearn.linear_model",
    "pandas",
    "pyarrow.parquet",
    "matplotlib.pyplot",
    "transformers",
    "diffusers.UNet2DModel",
    "diffusers.AutoencoderKL",
    "diffusers.DiffusionPipeline",
    "diffusers.DDPMScheduler",
)
DATASETS = ("datasets", "accelerate", "aiohttp")
FOLDERS = ("HF_MODULES_CACHE", "HF_DATASETS_CACHE", "HF_ASSETS_CACHE")
# The variables' values when a server imports its libraries; in each command, those of the command take their place.
# huggingface_hub also keeps the host in a set of hosts that may get a token, so it is the host of the tests' Hubs.
STAND_INS = {name: f"/stand-in/{name}" for name in ("HF_HOME", *FOLDERS)}
STAND_INS["HF_ENDPOINT"] = "http://127.0.0.1/stand-in/HF_ENDPOINT"
SWITCHES = ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_TELEMETRY")  # also the names of attributes
# A fork of a process with threads can hang. NumPy's library starts some for each core, Arrow's allocator one.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
MOST_FILES = 253  # that the system sends at a time
CLIENT = """#!{python} -ISE
import json, os, signal, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    inherited = [number for number in map(int, os.listdir("/dev/fd")) if number != server.fileno()]
    files = [number for number in inherited if os.path.exists(f"/dev/fd/{{number}}")]  # not that of the listed folder
    call = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ), files]).encode()
    socket.send_fds(server, [len(call).to_bytes(8, "big")], files)
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
        libraries: modules to import, and names that a module imports when they are asked for.
        python: runs the server; another warm Python gives it the libraries that it has.
    """

    def __init__(
        self, environment: dict[str, str], libraries: Sequence[str], python: Path = Path(sys.executable)
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="warm-")
        address = f"{self._folder.name}/socket"
        self.path = Path(self._folder.name) / "python"
        self.path.write_text(CLIENT.format(python=sys.executable, address=address))
        self.path.chmod(self.path.stat().st_mode | stat.S_IXUSR)
        with socket.socket(socket.AF_UNIX) as listener:  # commands wait in its queue until the libraries are imported
            listener.bind(address)
            listener.listen()
            command = [python, __file__, *libraries]
            # Where to import from is up to each command.
            variables = environment | {"PYTHONPATH": ""} | ONE_THREAD | STAND_INS
            self._process = subprocess.Popen(command, env=variables, stdin=listener)

    def close(self) -> None:
        """Ends the server."""
        self._process.terminate()
        self._process.wait()
        self._folder.cleanup()


def serve(*libraries: str) -> None:
    """Imports the libraries, then runs the commands of the clients, also several at a time."""
    gc.disable()
    for name in libraries:
        pkgutil.resolve_name(name)
    if "datasets" in sys.modules:  # it waits for five seconds after each stream in random order
        sys.modules["datasets"].config.SLEEP_TIME_ON_THREADS_SHUTDOWN = 0.5
    assert len(os.listdir("/proc/self/task")) == 1, "one of the libraries has started a thread"
    gc.unfreeze()  # what the warm Python that runs this server has frozen: clients of the Hub are found among it
    places = find_places()
    gc.freeze()  # no command looks for garbage among the libraries, which would also copy their memory
    gc.enable()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the processes that wait for a command
    with socket.socket(fileno=sys.stdin.fileno()) as server:
        sys.executable = str(Path(server.getsockname()).with_name("python"))
        multiprocessing.set_executable(sys.executable)
        while True:
            client, _ = server.accept()
            with client:
                length, files, _, _ = socket.recv_fds(client, 8, MOST_FILES)
                call = client.makefile("rb").read(int.from_bytes(length, "big"))
                if not os.fork():  # the process that waits for the command, while the server accepts the next client
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    if not (command := os.fork()):
                        server.close()
                        client.close()
                        os._exit(run(*json.loads(call), files, places))
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


def run(
    arguments: list[str],
    folder: str,
    environment: dict[str, str],
    numbers: list[int],
    files: list[int],
    places: Sequence[Place],
) -> int:
    """Runs a command in this process; returns its exit status."""
    apart = [fcntl.fcntl(file, fcntl.F_DUPFD, 1000) for file in files]  # from the numbers that they get
    for file in files:
        os.close(file)
    for number, file in zip(numbers, apart, strict=True):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    set_variables(environment, places)
    options = []
    while arguments[0][0] == "-" and arguments[0] not in ("-m", "-c", "-"):
        options.append(arguments.pop(0))
    if "-I" in options:  # isolated
        del sys.path[0]
    else:
        first = "" if arguments[0] in ("-m", "-c", "-") else str(Path(arguments[0]).parent)
        sys.path[:1] = [first, *(path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path)]
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
    for stream in (sys.stdout, sys.stderr):
        if not stream.closed:
            stream.flush()
    return status


def find_places() -> list[Place]:
    """Where imported libraries keep what they have read from the variables of STAND_INS and SWITCHES."""
    keepers = [vars(module) for module in list(sys.modules.values()) if isinstance(module, ModuleType)]
    if hub := sys.modules.get("huggingface_hub"):  # modules of it also keep clients
        keepers += [vars(client) for client in gc.get_objects() if type(client) in (hub.HfApi, hub.HfFileSystem)]
    return [
        (keeper, name, value)
        for keeper in keepers
        for name, value in keeper.items()
        if name in SWITCHES or (issubclass(type(value), str | Path) and "/stand-in/" in str(value))
    ]


def set_variables(environment: Mapping[str, str], places: Sequence[Place]) -> None:
    """Tells libraries that are imported already what they would have read from the environment."""
    tempfile.tempdir = None
    cache = environment.get("XDG_CACHE_HOME", Path("~/.cache").expanduser())
    home = environment.get("HF_HOME", f"{cache}/huggingface")
    defaults = {"HF_ENDPOINT": "https://huggingface.co", "HF_HOME": home}
    defaults |= {name: f"{home}/{name.split('_')[1].lower()}" for name in FOLDERS}
    for keeper, attribute, value in places:
        if attribute in SWITCHES:
            keeper[attribute] = environment.get(attribute, "").upper() in ("1", "ON", "YES", "TRUE")
        else:
            text = str(value)
            for name, stand_in in STAND_INS.items():
                text = text.replace(stand_in, environment.get(name, defaults[name]))
            keeper[attribute] = type(value)(text)


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
        runpy.run_path(kind, run_name="__main__")


if __name__ == "__main__":
    serve(*sys.argv[1:])
