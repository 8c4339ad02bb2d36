"""How files come onto the loopback Hub: preupload, LFS batch, LFS content, commit."""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import json
import os
from urllib.parse import unquote

from .messages import Answer, Request, answer_json, error
from .repositories import Repositories
from .store import Changes, Conflict

LARGE = ("*.parquet", "*.safetensors", "*.png", "*.bin")
LARGEST_SMALL_FILE = 10_000_000
# The Hub advises no more than 100 files a commit, and refuses commits that are far over it.
MOST_FILES_A_COMMIT = 100


class Uploads:
    """The endpoints behind `preupload_lfs_files` and `create_commit`."""

    def __init__(self, repositories: Repositories) -> None:
        self.store, self.open = repositories.store, repositories.open
        kinds = r"(?P<kind>model|dataset|space)s/(?P<repo_id>[^/]+/[^/]+)"
        self.routes = [
            ("POST", rf"/api/{kinds}/preupload/(?P<revision>[^/]+)", self.preupload),
            (
                "POST",
                r"/(?:(?P<folder>datasets|spaces)/)?(?P<repo_id>[^/]+/[^/]+)\.git/info/lfs/objects/batch",
                self.batch,
            ),
            ("PUT", r"/lfs/(?P<sha256>[0-9a-f]{64})", self.put),
            ("POST", rf"/api/{kinds}/commit/(?P<revision>[^/]+)", self.commit),
        ]

    def preupload(self, request: Request, kind: str, repo_id: str, revision: str) -> Answer:
        """Says of each file whether it is large, and what lies under its name now."""
        repository = self.open(request, kind, repo_id, write=True)
        if isinstance(repository, Answer):
            return repository
        tree, files = repository.tree(unquote(revision)), []
        for file in request.json["files"]:
            large = file["size"] > LARGEST_SMALL_FILE or any(fnmatch.fnmatch(file["path"], name) for name in LARGE)
            there = tree.get(file["path"])
            oid = there and (there["lfs"]["oid"] if there.get("lfs") else there["oid"])
            mode = "lfs" if large else "regular"
            files.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return answer_json({"files": files})

    def batch(self, request: Request, repo_id: str, folder: str | None = None) -> Answer:
        """Says where to send which large objects; those that are there need no sending."""
        repository = self.open(request, (folder or "models")[:-1], repo_id, write=True)
        if isinstance(repository, Answer):
            return repository
        objects = []
        for asked in request.json["objects"]:
            answer = {"oid": asked["oid"], "size": asked["size"]}
            if not self.store.large_object(asked["oid"]).is_file():
                answer["actions"] = {"upload": {"href": f"{request.endpoint}/lfs/{asked['oid']}"}}
            objects.append(answer)
        return answer_json({"transfer": "basic", "objects": objects})

    def put(self, request: Request, sha256: str) -> Answer:
        """Takes a large object, if it is what it should be."""
        with open(request.body, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256:
            return error(400, f"checksum mismatch: {found}")
        target = self.store.large_object(sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(request.body, target)
        return Answer()

    def commit(self, request: Request, kind: str, repo_id: str, revision: str) -> Answer:
        """Makes a commit of lines of JSON."""
        repository = self.open(request, kind, repo_id, write=True)
        if isinstance(repository, Answer):
            return repository
        changes = read_changes(request.body.read_text().splitlines())
        if len(changes.small) + len(changes.large) > MOST_FILES_A_COMMIT:
            return error(413, f"more than {MOST_FILES_A_COMMIT} files in one commit")
        try:
            commit = self.store.commit(repository, changes)
        except Conflict:
            return error(412, "A commit has happened since. Please refresh and try again.")
        except FileNotFoundError as problem:
            return error(400, f"LFS pointer pointed to a file that does not exist: {problem}")
        prefix = "" if kind == "model" else f"{kind}s/"
        address = f"{request.endpoint}/{prefix}{repo_id}/commit/{commit}"
        return answer_json({"success": True, "commitOid": commit, "commitUrl": address, "hookOutput": ""})


def read_changes(lines: list[str]) -> Changes:
    """Reads the body of a commit request."""
    changes = Changes("")
    for line in filter(None, lines):
        item = json.loads(line)
        key, value = item["key"], item["value"]
        if key == "header":
            changes.summary, changes.parent = value["summary"], value.get("parentCommit")
        elif key == "file":
            changes.small[value["path"]] = base64.b64decode(value["content"])
        elif key == "lfsFile":
            changes.large[value["path"]] = (value["oid"], value["size"])
        elif key == "deletedFile":
            changes.deleted.append(value["path"])
        else:
            raise ValueError(f"unknown operation {key!r}")
    return changes
