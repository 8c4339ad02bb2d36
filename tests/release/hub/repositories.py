"""Accounts, repositories, refs and cards: the small endpoints of the loopback Hub's API."""

from __future__ import annotations

from typing import Any

import yaml
from huggingface_hub.repocard import REGEX_YAML_BLOCK

from .accounts import Accounts
from .messages import Answer, Request, answer_json, error
from .store import Repository, Store

TIME = "2026-01-01T00:00:00.000Z"
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}


class Repositories:
    """Creates repositories, and says what is in them."""

    def __init__(self, store: Store, accounts: Accounts) -> None:
        self.store, self.accounts = store, accounts
        self.routes = [
            ("GET", r"/api/whoami-v2", self.whoami),
            ("POST", r"/api/validate-yaml", self.validate_yaml),
            ("POST", r"/api/repos/create", self.create),
            ("GET", r"/api/(?P<kind>model|dataset|space)s/(?P<repo_id>[^/]+/[^/]+)", self.info),
            (
                "GET",
                r"/api/(?P<kind>model|dataset|space)s/(?P<repo_id>[^/]+/[^/]+)/revision/(?P<revision>[^/]+)",
                self.info,
            ),
            ("GET", r"/api/(?P<kind>model|dataset|space)s/(?P<repo_id>[^/]+/[^/]+)/refs", self.refs),
            ("POST", r"/api/(?P<kind>model|dataset|space)s/(?P<repo_id>[^/]+/[^/]+)/tag/(?P<revision>[^/]+)", self.tag),
        ]

    def open(self, request: Request, kind: str, repo_id: str, write: bool = False) -> Repository | Answer:
        """Returns a repository, or why the request may not have it."""
        repository = self.store.repository(kind, repo_id)
        refused = self.accounts.check_token(request)
        if repository is None:
            return refused or error(404 if request.token else 401, "Repository not found", "RepoNotFound")
        private = repository.settings.get("visibility") == "private"
        refused = refused or self.accounts.check_private(request, repo_id, private)
        if write:
            refused = refused or self.accounts.check_write(request, repo_id)
        return refused or repository

    def whoami(self, request: Request) -> Answer:
        """The user of a token, and the organisations that the user may write to."""
        user = self.accounts.user(request)
        if user is None:
            return error(401, "Invalid credentials in Authorization header")
        organisations = [{"name": name} for name, members in self.accounts.members.items() if user in members]
        return answer_json({"type": "user", "name": user, "orgs": organisations, "auth": {"accessToken": {}}})

    def create(self, request: Request) -> Answer:
        """Creates a repository; 409 if it is there."""
        asked = request.json
        user, kind = self.accounts.user(request), asked.get("type", "model")
        repo_id = f"{asked.get('organization') or user}/{asked['name']}"
        refused = self.accounts.check_token(request) or self.accounts.check_write(request, repo_id)
        if refused:
            return refused
        if kind == "space" and not asked.get("sdk"):
            return error(400, "sdk is required")
        address = {"url": f"{request.endpoint}/{'' if kind == 'model' else kind + 's/'}{repo_id}", "name": repo_id}
        with self.store.lock:
            if self.store.repository(kind, repo_id):
                return answer_json({"error": f"You already created this {kind} repo", **address}, 409)
            self.store.create(kind, repo_id, asked)
        return answer_json(address)

    def info(self, request: Request, kind: str, repo_id: str, revision: str = "main") -> Answer:
        """What `model_info`, `dataset_info` and `space_info` read."""
        repository = self.open(request, kind, repo_id)
        if isinstance(repository, Answer):
            return repository
        tree = repository.tree(revision)
        info: dict[str, Any] = {
            "id": repo_id,
            "author": repo_id.partition("/")[0],
            "sha": repository.find(revision),
            "lastModified": TIME,
            "createdAt": TIME,
            "private": repository.settings.get("visibility") == "private",
            "gated": "manual" if (kind, repo_id) in self.accounts.gated else False,
            "disabled": False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "siblings": [{"rfilename": path} for path in sorted(tree)],
        }
        return answer_json(info)

    def refs(self, request: Request, kind: str, repo_id: str) -> Answer:
        """Branches and tags."""
        repository = self.open(request, kind, repo_id)
        if isinstance(repository, Answer):
            return repository
        refs = repository.refs
        listed = {
            name: [
                {"name": ref, "ref": f"refs/{folder}/{ref}", "targetCommit": commit}
                for ref, commit in refs[name].items()
            ]
            for name, folder in (("branches", "heads"), ("tags", "tags"))
        }
        return answer_json({**listed, "converts": []})

    def tag(self, request: Request, kind: str, repo_id: str, revision: str) -> Answer:
        """Makes a tag; 409 if it is there."""
        repository = self.open(request, kind, repo_id, write=True)
        if isinstance(repository, Answer):
            return repository
        with self.store.lock:
            refs, name = repository.refs, request.json["tag"]
            if name in refs["tags"]:
                return error(409, "Tag reference exists already")
            refs["tags"][name] = repository.find(revision)
            repository.write_refs(refs)
        return answer_json({}, 201)

    def validate_yaml(self, request: Request) -> Answer:
        """The Hub's check of a card's metadata, as far as its rules are published."""
        asked = request.json
        errors = check_metadata(asked["content"], asked["repoType"])
        answer = {"errors": [{"message": message} for message in errors], "warnings": []}
        return answer_json(answer, 400 if errors else 200)


def check_metadata(content: str, kind: str) -> list[str]:
    """Returns what the Hub would say of a card's metadata."""
    block = REGEX_YAML_BLOCK.search(content)
    if block is None:
        return ["empty or missing yaml metadata in repo card"]
    try:
        metadata = yaml.safe_load(block[2])
    except yaml.YAMLError as problem:
        return [f"Invalid YAML: {problem}"]
    errors = []
    if kind == "space":
        errors += [f'"{name}" is required' for name in ("sdk", "title", "emoji") if name not in metadata]
        errors += [
            f'"{name}" must be one of {sorted(COLOURS)}'
            for name in ("colorFrom", "colorTo")
            if metadata.get(name, "red") not in COLOURS
        ]
        if len(str(metadata.get("short_description", ""))) > 60:
            errors.append('"short_description" length must be less than or equal to 60 characters long')
    return errors
