"""The repositories of the loopback Hub, in a folder: commits are JSON, contents lie under their checksums."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Tree = dict[str, dict[str, Any]]  # path -> {"oid", "size"} and, for a large file, "lfs"
GIT_ATTRIBUTES = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n*.parquet filter=lfs diff=lfs merge=lfs -text\n"


class NoRevision(KeyError):
    """There is no such branch, tag or commit."""


class Conflict(Exception):
    """The branch is no longer where the committer believes it to be."""


def git_sha1(content: bytes) -> str:
    """Returns the name that git gives to a blob."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file that is whole or not there, whichever thread asks first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{threading.get_ident()}")
    temporary.write_bytes(content)
    os.replace(temporary, path)


@dataclass
class Changes:
    """What a commit does: small files by content, large ones by checksum and size, paths that go."""

    summary: str
    parent: str | None = None
    small: dict[str, bytes] = field(default_factory=dict)
    large: dict[str, tuple[str, int]] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)


class Repository:
    """One repository: `refs.json`, `commits/`, `blobs/`, and what was said when it was created."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def refs(self) -> dict[str, dict[str, str]]:
        """Commits of the branches and of the tags."""
        return json.loads((self.folder / "refs.json").read_text())

    @property
    def settings(self) -> dict[str, Any]:
        """What `repos/create` was sent."""
        return json.loads((self.folder / "settings.json").read_text())

    def find(self, revision: str) -> str:
        """Returns the commit of a branch, a tag or itself."""
        refs = self.refs
        commit = refs["branches"].get(revision) or refs["tags"].get(revision) or revision
        if not (self.folder / "commits" / f"{commit}.json").is_file():
            raise NoRevision(revision)
        return commit

    def log(self, revision: str = "main") -> list[dict[str, Any]]:
        """Returns the commits that lead to a revision, the newest first, each with `oid`, `summary`, `tree`."""
        entries, commit = [], self.find(revision)
        while commit:
            entry = json.loads((self.folder / "commits" / f"{commit}.json").read_text())
            entries.append({"oid": commit, **entry})
            commit = entry["parent"]
        return entries

    def tree(self, revision: str = "main") -> Tree:
        """Returns the files of a revision."""
        return json.loads((self.folder / "commits" / f"{self.find(revision)}.json").read_text())["tree"]

    def write_refs(self, refs: dict[str, dict[str, str]]) -> None:
        """Moves branches and tags."""
        write_atomically(self.folder / "refs.json", json.dumps(refs).encode())


class Store:
    """All repositories, and the large objects that they share."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lock = threading.RLock()

    def repository(self, kind: str, repo_id: str) -> Repository | None:
        """Returns a repository of a kind ("model", "dataset", "space"), if there is one."""
        folder = self.root / f"{kind}s" / repo_id
        return Repository(folder) if (folder / "refs.json").is_file() else None

    def create(self, kind: str, repo_id: str, settings: dict[str, Any]) -> None:
        """Creates a repository with the Hub's first commit."""
        repository = Repository(self.root / f"{kind}s" / repo_id)
        write_atomically(repository.folder / "settings.json", json.dumps(settings).encode())
        repository.write_refs({"branches": {}, "tags": {}})
        self.commit(repository, Changes("initial commit", small={".gitattributes": GIT_ATTRIBUTES}))

    def large_object(self, sha256: str) -> Path:
        """Where a large object lies, or will lie."""
        return self.root / "lfs" / sha256[:2] / sha256

    def content(self, repository: Repository, entry: dict[str, Any]) -> Path:
        """Returns the file that holds the content of a tree's entry."""
        if entry.get("lfs"):
            return self.large_object(entry["lfs"]["oid"])
        return repository.folder / "blobs" / entry["oid"]

    def commit(self, repository: Repository, changes: Changes) -> str:
        """Adds a commit to `main` and returns its name.

        Raises:
            Conflict: if `main` is not at the parent that was named.
            FileNotFoundError: if a large object was never uploaded.
        """
        with self.lock:
            refs = repository.refs
            head = refs["branches"].get("main")
            if changes.parent not in (None, head):
                raise Conflict(head)
            tree = repository.tree(head) if head else {}
            tree = {path: entry for path, entry in tree.items() if path not in changes.deleted}
            tree |= self._entries(repository, changes)
            body = json.dumps({"parent": head, "summary": changes.summary, "tree": tree}, sort_keys=True).encode()
            commit = hashlib.sha1(body).hexdigest()
            write_atomically(repository.folder / "commits" / f"{commit}.json", body)
            refs["branches"]["main"] = commit
            repository.write_refs(refs)
            return commit

    def _entries(self, repository: Repository, changes: Changes) -> Tree:
        entries: Tree = {}
        for path, content in changes.small.items():
            oid = git_sha1(content)
            write_atomically(repository.folder / "blobs" / oid, content)
            entries[path] = {"oid": oid, "size": len(content)}
        for path, (sha256, size) in changes.large.items():
            if self.large_object(sha256).stat().st_size != size:
                raise FileNotFoundError(sha256)
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
            lfs = {"oid": sha256, "size": size, "pointerSize": len(pointer)}
            entries[path] = {"oid": git_sha1(pointer), "size": size, "lfs": lfs}
        return entries
