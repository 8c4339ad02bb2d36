"""What of a folder belongs into its Hub repository."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

KINDS = ("model", "dataset", "space")
# What each repository may hold. Anything else in a folder is refused rather than uploaded or silently left out.
ALLOWED = {
    "model": r"README\.md|LICENSE(\.\w+)?|[\w-]+\.(json|py|png)|[\w-]+/[\w-]+\.(json|py)|[\w-]+/[\w.-]+\.safetensors",
    "dataset": r"README\.md|LICENSE(\.\w+)?|plan\.yaml|[\w-]+\.(json|png)|pictures/\w+\.png"
    r"|(data|labels|index|sample-\w+)/[\w.-]+\.parquet",
    "space": r"README\.md|LICENSE(\.\w+)?|requirements\.txt|packages\.txt|([\w-]+/)?[\w-]+\.(py|css|js|json|png)",
}
# What work leaves behind in any folder, and nobody misses: hidden files and folders, caches, temporary files.
LEFT_BEHIND = re.compile(r"(.*/)?(\.[^/]*|__pycache__|[^/]+\.egg-info|[^/]+\.tmp)(/.*)?")
PICKLED = (".bin", ".ckpt", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth")


class ReleaseError(Exception):
    """Something that must not, or cannot, be published; the message says why and what to do."""


@dataclass(frozen=True)
class Folder:
    """A folder that is to become a Hub repository.

    Attributes:
        kind: "model", "dataset" or "space".
        path: where it is.
        repo_id: owner and name of the repository.
    """

    kind: str
    path: Path
    repo_id: str

    @property
    def card(self) -> Path:
        """The card."""
        return self.path / "README.md"

    def files(self) -> dict[str, Path]:
        """Returns the files to publish, by their path in the repository, in order.

        Raises:
            ReleaseError: for a folder that is none, or one with files that do not belong into the repository.
        """
        if not self.path.is_dir():
            raise ReleaseError(f"the {self.kind}'s folder {self.path} is not there")
        found = {path.relative_to(self.path).as_posix(): path for path in _walk(self.path)}
        strange = [name for name in found if not re.fullmatch(ALLOWED[self.kind], name)]
        if self.kind == "model":
            strange += [name for name in _loose_weights(self.path, list(found)) if name not in strange]
        if strange:
            raise ReleaseError(
                f"{self.path} holds what does not belong into a {self.kind} repository: {_name(strange)}"
            )
        if "README.md" not in found:
            raise ReleaseError(f"{self.path} holds no README.md, so the {self.kind} has no card")
        return found


def _walk(folder: Path) -> Iterator[Path]:
    """All files, links followed, but for what work left behind."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not LEFT_BEHIND.fullmatch(path.relative_to(folder).as_posix()):
            yield path


def _loose_weights(folder: Path, names: list[str]) -> list[str]:
    """Weights that belong to no component that `model_index.json` names, such as the state of an optimizer."""
    try:
        index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReleaseError(f"{folder} is no diffusers pipeline: model_index.json cannot be read ({error})") from None
    components = {name for name in index if not name.startswith("_")}
    return [name for name in names if name.endswith(".safetensors") and name.partition("/")[0] not in components]


def _name(names: list[str]) -> str:
    """The first few names, with a word on why where there is one."""
    shown = [
        f"{name} (weights are published as safetensors only)" if name.endswith(PICKLED) else name for name in names
    ]
    rest = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
    return ", ".join(shown[:5]) + rest + ". Move them elsewhere, or delete them"
