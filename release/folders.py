"""Which files of a folder belong to its Hub repository."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

KINDS = ("model", "dataset", "space")
# The files that each repository may contain. Any other file is an error: neither uploaded nor silently left out.
ALLOWED = {
    "model": r"README\.md|LICENSE(\.\w+)?|[\w-]+\.(json|py|png)|[\w-]+/[\w-]+\.(json|py)|[\w-]+/[\w.-]+\.safetensors",
    "dataset": r"README\.md|LICENSE(\.\w+)?|plan\.yaml|[\w-]+\.(json|png)|pictures/\w+\.png"
    r"|(data|labels|index|sample-\w+)/[\w.-]+\.parquet",
    "space": r"README\.md|LICENSE(\.\w+)?|requirements\.txt|packages\.txt|([\w-]+/)?[\w-]+\.(py|css|js|json|png)",
}
# Ignored by-products of work: hidden files and folders, caches, temporary files.
LEFT_BEHIND = re.compile(r"(.*/)?(\.[^/]*|__pycache__|[^/]+\.egg-info|[^/]+\.tmp)(/.*)?")
PICKLED = (".bin", ".ckpt", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth")


class ReleaseError(Exception):
    """Content that must not or cannot be published; the message says why and what to do."""


@dataclass(frozen=True)
class Folder:
    """A folder to publish as a Hub repository.

    Attributes:
        kind: "model", "dataset" or "space".
        path: the local folder.
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
            ReleaseError: if the folder does not exist, has no card, or has files that do not belong to the repository.
        """
        if not self.path.is_dir():
            raise ReleaseError(f"the {self.kind}'s folder {self.path} does not exist")
        found = {path.relative_to(self.path).as_posix(): path for path in _walk(self.path)}
        strange = [name for name in found if not re.fullmatch(ALLOWED[self.kind], name)]
        if self.kind == "model":
            strange += [name for name in _loose_weights(self.path, list(found)) if name not in strange]
        if strange:
            raise ReleaseError(
                f"{self.path} has a file that does not belong into a {self.kind} repository: {_name(strange)}"
            )
        if "README.md" not in found:
            raise ReleaseError(f"{self.path} has no README.md, so the {self.kind} has no card")
        return found


def _walk(folder: Path) -> Iterator[Path]:
    """All files, without by-products of work. Links to files are followed; links to folders are refused.

    A link to a folder could form a loop or include files from elsewhere.
    """
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if LEFT_BEHIND.fullmatch(name):
            continue
        if path.is_symlink() and path.is_dir():
            raise ReleaseError(f"{folder}/{name} is a symbolic link to a folder. Replace it by the files themselves")
        if path.is_file():
            yield path


def _loose_weights(folder: Path, names: list[str]) -> list[str]:
    """Weights of no component in `model_index.json`, such as the state of an optimizer."""
    try:
        index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReleaseError(f"{folder} is not a diffusers pipeline: model_index.json cannot be read ({error})") from None
    components = {name for name in index if not name.startswith("_")}
    return [name for name in names if name.endswith(".safetensors") and name.partition("/")[0] not in components]


def _name(names: list[str]) -> str:
    """The first few names, with the reason if there is one."""
    shown = [
        f"{name} (weights are published as safetensors only)" if name.endswith(PICKLED) else name for name in names
    ]
    rest = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
    return ", ".join(shown[:5]) + rest + ". Move or delete them"
