"""Pushing to a loopback Hub, as a user does: what the tests of this folder share beside fixtures."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hub import HubServer

from release.folders import KINDS

ROOT = Path(__file__).parents[2]
TOKEN = "hf_of_ada"
NAMESPACE = "lab"
MODEL, DATASET, SPACE = "lab/synfundus-generator", "lab/synfundus-1m", "lab/synfundus"
REPOSITORIES = dict(zip(KINDS, (MODEL, DATASET, SPACE), strict=True))


def start_hub(folder: Path) -> HubServer:
    """A Hub with a user, Ada, who may write for the organisation "lab", and one, Bob, who may not."""
    hub = HubServer(folder)
    hub.accounts.users = {TOKEN: "ada", "hf_of_bob": "bob"}
    hub.accounts.members = {NAMESPACE: {"ada"}}
    return hub


def clean_environment(hub: HubServer, cache: Path, token: str | None = TOKEN) -> dict[str, str]:
    """The environment of a process that knows this Hub and an empty cache, and nothing of this clone."""
    hidden = ("HF_", "PYTHONPATH", "SYNFUNDUS_", "GRADIO_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1"}
    environment |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return environment | ({"HF_TOKEN": token} if token else {})


def run_push(
    python: Path, hub: HubServer, cache: Path, *arguments: str, token: str | None = TOKEN
) -> subprocess.CompletedProcess:
    """Runs `python -m release.push` for real; its check of the model compiles nothing, which takes long."""
    command = [python, "-m", "release.push", "--namespace", NAMESPACE, *map(str, arguments)]
    environment = clean_environment(hub, cache, token) | {"SYNFUNDUS_CPU_BACKEND": "torch"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


@dataclass(frozen=True)
class Push:
    """The Hub after a push, the arguments of the push, and what it said."""

    hub: HubServer
    arguments: list[str]
    output: str

    def commit(self, kind: str) -> str:
        """The commit of the tag."""
        return self.hub.store.repository(kind, REPOSITORIES[kind]).find("v1.0.0")

    def card(self, kind: str) -> str:
        """The card on `main`."""
        repository = self.hub.store.repository(kind, REPOSITORIES[kind])
        return self.hub.store.content(repository, repository.tree()["README.md"]).read_text()
