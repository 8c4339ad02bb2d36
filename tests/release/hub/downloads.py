"""How files come from the loopback Hub: trees, paths, and contents."""

from __future__ import annotations

from urllib.parse import unquote

from .messages import Answer, Request, answer_json, error
from .repositories import Repositories
from .store import Tree


class Downloads:
    """The endpoints behind `hf_hub_download`, `snapshot_download` and `HfFileSystem`."""

    def __init__(self, repositories: Repositories) -> None:
        self.store, self.accounts, self.open = repositories.store, repositories.accounts, repositories.open
        kinds = r"(?P<kind>model|dataset|space)s/(?P<repo_id>[^/]+/[^/]+)"
        read = r"/(?:(?P<folder>datasets|spaces)/)?(?P<repo_id>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)"
        self.routes = [
            ("GET", rf"/api/{kinds}/tree/(?P<revision>[^/]+)(?:/(?P<path>.+))?", self.tree),
            ("POST", rf"/api/{kinds}/paths-info/(?P<revision>[^/]+)", self.paths_info),
            ("HEAD", read, self.resolve),
            ("GET", read, self.resolve),
            ("HEAD", r"/lfs/(?P<sha256>[0-9a-f]{64})", self.large_object),
            ("GET", r"/lfs/(?P<sha256>[0-9a-f]{64})", self.large_object),
        ]

    def tree(self, request: Request, kind: str, repo_id: str, revision: str, path: str | None = None) -> Answer:
        """Lists a folder, with all that is below it on request."""
        repository = self.open(request, kind, repo_id)
        if isinstance(repository, Answer):
            return repository
        tree = repository.tree(unquote(revision))
        recursive = request.parameters.get("recursive", "false").lower() == "true"
        entries = list_folder(tree, unquote(path or ""), recursive)
        if not entries and path:
            return error(404, f"{unquote(path)} does not exist on {revision}", "EntryNotFound")
        return answer_json(entries)

    def paths_info(self, request: Request, kind: str, repo_id: str, revision: str) -> Answer:
        """Describes the paths that exist among those named."""
        repository = self.open(request, kind, repo_id)
        if isinstance(repository, Answer):
            return repository
        form = request.form if "form" in request.headers.get("content-type", "") else request.json
        tree, found = repository.tree(unquote(revision)), []
        for path in form["paths"]:
            if path in tree:
                found.append({"type": "file", "path": path, **tree[path]})
            elif any(name.startswith(f"{path}/") for name in tree):
                found.append({"type": "directory", "path": path, "oid": "0" * 40, "size": 0})
        return answer_json(found)

    def resolve(self, request: Request, repo_id: str, revision: str, path: str, folder: str | None = None) -> Answer:
        """Gives a small file; sends on to a large one, as the Hub does to its storage."""
        kind = (folder or "models")[:-1]
        repository = self.open(request, kind, repo_id)
        refused = repository if isinstance(repository, Answer) else self.accounts.check_gate(request, kind, repo_id)
        if refused or isinstance(repository, Answer):
            return refused or repository
        commit = repository.find(unquote(revision))
        entry = repository.tree(commit).get(unquote(path))
        if entry is None:
            missing = error(404, "Entry not found", "EntryNotFound")
            return Answer(404, missing.body, {**missing.headers, "X-Repo-Commit": commit})
        headers = {"X-Repo-Commit": commit, "ETag": f'"{entry["oid"]}"', "Accept-Ranges": "bytes"}
        if not entry.get("lfs"):
            return Answer(200, self.store.content(repository, entry), headers)
        sha256 = entry["lfs"]["oid"]
        headers |= {"X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(entry["size"])}
        # The storage has another name than the Hub, as in reality: clients then take what they need to know from here.
        storage = request.endpoint.replace("127.0.0.1", "localhost")
        return Answer(302, b"", {**headers, "Location": f"{storage}/lfs/{sha256}"})

    def large_object(self, request: Request, sha256: str) -> Answer:
        """The storage behind the Hub; its addresses are secrets in themselves, and ask for no token."""
        path = self.store.large_object(sha256)
        if not path.is_file():
            return error(404, "no such object")
        return Answer(200, path, {"ETag": f'"{sha256}"', "Accept-Ranges": "bytes"})


def list_folder(tree: Tree, folder: str, recursive: bool) -> list[dict]:
    """Returns the entries below a folder of a tree, in order."""
    prefix = f"{folder}/" if folder else ""
    found: dict[str, dict] = {}
    for path in sorted(tree):
        if not path.startswith(prefix):
            continue
        parts = path[len(prefix) :].split("/")
        for depth in range(1, len(parts) if recursive else min(2, len(parts))):
            name = prefix + "/".join(parts[:depth])
            found[name] = {"type": "directory", "path": name, "oid": "0" * 40, "size": 0}
        if recursive or len(parts) == 1:
            found[path] = {"type": "file", "path": path, **tree[path]}
    return list(found.values())
