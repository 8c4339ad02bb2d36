"""Brings a Hub repository to the content of a folder, in few commits, and as often as it takes.

Every round compares the folder with what the Hub has, and makes the next commit of what is missing. So an interrupted
push goes on where the Hub stands: committed files are not sent again, and of a commit that was not made, only the
files that had not arrived.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils.sha import git_hash
from tqdm import tqdm

from .retry import NotThereYet, Patience, retry

# The Hub advises fewer than 100 files a commit (https://huggingface.co/docs/hub/storage-limits).
FILES_A_COMMIT = 99
BYTES_A_COMMIT = 50 * 10**9
# Files sent at once: what a connection that is lost can cost, at most, and the step of the progress bar.
FILES_A_BATCH = 16
# The Hub's own, which no folder holds.
KEPT = (".gitattributes",)
CARD = "README.md"


@dataclass(frozen=True)
class Content:
    """A file to publish: its path in the repository, and a file on the disk, or bytes."""

    name: str
    source: Path | bytes

    @property
    def size(self) -> int:
        """Size in bytes."""
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size

    @cached_property
    def sha256(self) -> str:
        """The name of a large file at the Hub; reads the file once."""
        if isinstance(self.source, bytes):
            return hashlib.sha256(self.source).hexdigest()
        with self.source.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def is_at(self, remote: RepoFile | None) -> bool:
        """Whether the Hub has this content already."""
        if remote is None or remote.size != self.size:
            return False
        if remote.lfs is not None:
            return remote.lfs.sha256 == self.sha256
        content = self.source if isinstance(self.source, bytes) else self.source.read_bytes()
        return remote.blob_id == git_hash(content)

    def operation(self) -> CommitOperationAdd:
        """A fresh operation; one that took part in a commit that failed cannot be trusted to know what the Hub has."""
        source = self.source if isinstance(self.source, bytes) else str(self.source)
        operation = CommitOperationAdd(self.name, source)
        if "sha256" in self.__dict__:
            operation.upload_info.sha256 = bytes.fromhex(self.sha256)  # not to be computed again
        return operation


@dataclass(frozen=True)
class Target:
    """A repository and what it is to hold."""

    kind: str
    repo_id: str
    contents: list[Content]


@dataclass(frozen=True)
class Plan:
    """What is missing at the Hub.

    Attributes:
        head: the commit that was compared with; None if there is no repository.
        commits: the files to add, commit by commit.
        deletions: paths that are at the Hub and no longer in the folder; they go with the last commit.
    """

    head: str | None
    commits: list[list[Content]] = field(default_factory=list)
    deletions: list[str] = field(default_factory=list)

    @classmethod
    def of_new(cls, target: Target) -> Plan:
        """Returns the plan for a repository that does not exist."""
        return cls(None, group(target.contents))

    @property
    def names(self) -> set[str]:
        """The paths that change."""
        return {content.name for commit in self.commits for content in commit} | set(self.deletions)

    @property
    def size(self) -> int:
        """Bytes to send, at most."""
        return sum(content.size for commit in self.commits for content in commit)

    def __bool__(self) -> bool:
        """Whether anything is to be done."""
        return bool(self.commits or self.deletions)


def make_plan(api: HfApi, target: Target, revision: str = "main") -> Plan:
    """Compares a revision of a repository with what it is to hold."""
    try:
        head = api.repo_info(target.repo_id, repo_type=target.kind, revision=revision).sha
    except RepositoryNotFoundError:
        return Plan.of_new(target)
    entries = api.list_repo_tree(target.repo_id, repo_type=target.kind, recursive=True, revision=head)
    remote = {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}
    missing = [content for content in target.contents if not content.is_at(remote.get(content.name))]
    names = {content.name for content in target.contents}
    return Plan(head, group(missing), sorted(remote.keys() - names - set(KEPT)))


def group(contents: list[Content]) -> list[list[Content]]:
    """Divides files into commits, in order, the card last: it describes what is there by then."""
    commits: list[list[Content]] = []
    room = 0
    for content in sorted(contents, key=lambda content: content.name == CARD):
        if not commits or len(commits[-1]) == FILES_A_COMMIT or content.size > room:
            commits.append([])
            room = BYTES_A_COMMIT
        commits[-1].append(content)
        room -= content.size
    return commits


def upload(api: HfApi, target: Target, message: str) -> str:
    """Makes commits until the repository holds what it is to hold; returns the commit that does.

    Raises:
        Exception: of huggingface_hub, when waiting did not help.
    """
    patience = Patience(f"{target.kind} {target.repo_id}")
    plan = retry(lambda: make_plan(api, target), patience.what)
    with tqdm(total=plan.size, unit="B", unit_scale=True, desc=target.repo_id, disable=not plan) as progress:
        while plan:
            before = plan.names
            try:
                _commit_next(api, target, plan, message, progress)
                plan = make_plan(api, target)
                if plan.names == before:
                    raise NotThereYet(
                        f"{target.repo_id} took a commit, and still lacks {', '.join(sorted(before)[:5])}"
                    )
                patience.reset()
            except Exception as error:
                patience.wait(error)
                plan = retry(lambda: make_plan(api, target), patience.what)
            progress.n = (progress.total or 0) - plan.size
            progress.refresh()
    assert plan.head is not None  # a plan that asks for nothing was compared with a commit
    return plan.head


def _commit_next(api: HfApi, target: Target, plan: Plan, message: str, progress: tqdm) -> None:
    """Sends the files of the next commit, and makes it; on top of the commit compared with, or not at all."""
    files = plan.commits[0] if plan.commits else []
    last = len(plan.commits) <= 1
    where: dict[str, Any] = {"repo_id": target.repo_id, "repo_type": target.kind}
    operations: list[CommitOperationAdd | CommitOperationDelete] = []
    for first in range(0, len(files), FILES_A_BATCH):
        batch = [content.operation() for content in files[first : first + FILES_A_BATCH]]
        api.preupload_lfs_files(additions=batch, free_memory=False, **where)
        progress.update(sum(content.size for content in files[first : first + FILES_A_BATCH]))
        operations += batch
    if last:
        operations += [CommitOperationDelete(path, is_folder=False) for path in plan.deletions]
    title = message if last else f"{message}, {len(plan.commits)} commits to come"
    api.create_commit(operations=operations, commit_message=title, parent_commit=plan.head, **where)
