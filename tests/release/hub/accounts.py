"""Who may read and write what on the loopback Hub."""

from __future__ import annotations

from dataclasses import dataclass, field

from .messages import Answer, Request, error


@dataclass
class Accounts:
    """Tokens and rights.

    Attributes:
        users: token -> user name.
        members: organisation -> users who may write there; a user may always write under the own name.
        gated: (kind, repository) -> users who were let in; a repository that is not named here is open.
    """

    users: dict[str, str] = field(default_factory=dict)
    members: dict[str, set[str]] = field(default_factory=dict)
    gated: dict[tuple[str, str], set[str]] = field(default_factory=dict)

    def user(self, request: Request) -> str | None:
        """Returns the user whose token the request carries; None without a token, or with one that is not valid."""
        return self.users.get(request.token or "")

    def check_token(self, request: Request) -> Answer | None:
        """Refuses a token that the Hub does not know, as the Hub does everywhere."""
        if request.token is not None and request.token not in self.users:
            return error(401, "Invalid credentials in Authorization header")
        return None

    def may_write(self, request: Request, repo_id: str) -> bool:
        """Whether the request may write to what belongs to the repository's owner."""
        user, owner = self.user(request), repo_id.partition("/")[0]
        return user is not None and (user == owner or user in self.members.get(owner, ()))

    def check_write(self, request: Request, repo_id: str) -> Answer | None:
        """Refuses a writer without rights."""
        if self.user(request) is None:
            return error(401, "Invalid username or password.")
        if not self.may_write(request, repo_id):
            owner = repo_id.partition("/")[0]
            return error(403, f'You don\'t have the rights to create or write under the namespace "{owner}"')
        return None

    def check_private(self, request: Request, repo_id: str, private: bool) -> Answer | None:
        """A private repository is, for others, none at all."""
        if private and not self.may_write(request, repo_id):
            return error(404 if self.user(request) else 401, "Repository not found", "RepoNotFound")
        return None

    def check_gate(self, request: Request, kind: str, repo_id: str) -> Answer | None:
        """Refuses the files of a gated repository to who was not let in."""
        let_in = self.gated.get((kind, repo_id))
        user = self.user(request)
        if let_in is None or user in let_in or self.may_write(request, repo_id):
            return None
        kind_in_address = "" if kind == "model" else f"{kind}s/"
        page = f"{request.endpoint}/{kind_in_address}{repo_id}"
        if user is None:
            return error(401, f"Access to {kind} {repo_id} is restricted. You must be authenticated.", "GatedRepo")
        return error(
            403,
            f"Access to {kind} {repo_id} is restricted and you are not in the authorized list. Visit {page} to ask for "
            "access.",
            "GatedRepo",
        )
