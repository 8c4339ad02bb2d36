"""Uploads a folder to a Hub repository in few commits, with retries.

Every round compares the folder with the Hub and commits the next missing files. An interrupted push can therefore be
resumed: committed files are not sent again, and of an unfinished commit only the files that had not arrived are sent.
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
# Files sent together: the most that a lost connection can cost, and the step of the progress bar.
FILES_A_BATCH = 16
# The Hub creates these itself.
KEPT = (".gitattributes",)
CARD = "README.md"


@dataclass(frozen=True)
class Content:
    """A file to publish: its path in the repository, and its content as a local file or bytes."""

    name: str
    source: Path | bytes

    @property
    def size(self) -> int:
        """Size in bytes."""
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the content, which identifies large files on the Hub. The file is read once."""
        if isinstance(self.source, bytes):
            return hashlib.sha256(self.source).hexdigest()
        with self.source.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def is_at(self, remote: RepoFile | None) -> bool:
        """Whether the Hub already has this content."""
        if remote is None or remote.size != self.size:
            return False
        if remote.lfs is not None:
            return remote.lfs.sha256 == self.sha256
        content = self.source if isinstance(self.source, bytes) else self.source.read_bytes()
        return remote.blob_id == git_hash(content)

    def operation(self) -> CommitOperationAdd:
        """Returns a new operation; one from a failed commit may hold an outdated state of the Hub."""
        source = self.source if isinstance(self.source, bytes) else str(self.source)
        operation = CommitOperationAdd(self.name, source)
        if "sha256" in self.__dict__:
            operation.upload_info.sha256 = bytes.fromhex(self.sha256)  # avoids computing it again
        return operation


@dataclass(frozen=True)
class Target:
    """A repository and its intended content."""

    kind: str
    repo_id: str
    contents: list[Content]


@dataclass(frozen=True)
class Plan:
    """The difference between a repository and its intended content.

    Attributes:
        head: the commit on the Hub that was compared; None if the repository does not exist.
        commits: the files to add, grouped by commit.
        deletions: paths on the Hub that are no longer in the folder; deleted in the last commit.
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
        """Upper limit of the bytes to send."""
        return sum(content.size for commit in self.commits for content in commit)

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.commits or self.deletions)


def make_plan(api: HfApi, target: Target, revision: str = "main") -> Plan:
    """Compares a revision of a repository with its intended content."""
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
    """Divides files into commits, in order; the card is last because it describes the other files."""
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
    """Commits until the repository has its intended content; returns the final commit.

    Raises:
        Exception: from huggingface_hub, if retries did not help.
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
                        f"{target.repo_id} accepted a commit, but still lacks {', '.join(sorted(before)[:5])}"
                    )
                patience.reset()
            except Exception as error:
                patience.wait(error)
                plan = retry(lambda: make_plan(api, target), patience.what)
            progress.n = (progress.total or 0) - plan.size
            progress.refresh()
    assert plan.head is not None  # an empty plan was compared with a commit
    return plan.head


def _commit_next(api: HfApi, target: Target, plan: Plan, message: str, progress: tqdm) -> None:
    """Sends the files of the next commit and creates it, only if the branch is still at the compared commit."""
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
