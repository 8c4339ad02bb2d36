"""What is published of a folder, and whether it may be: checked before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError

from .card_check import check_card, check_card_on_hub
from .cards import Published, Release, render_card, render_pin
from .contents import check_contents
from .croissant import render_croissant
from .folders import Folder, ReleaseError
from .generator import find_generator
from .retry import retry
from .upload import CARD, Content, Target, make_plan

PIN = "generator.json"
CROISSANT = "croissant.json"


@dataclass(frozen=True)
class Folders:
    """The folders of the three repositories, by kind, whether they are published this time or not."""

    by_kind: dict[str, Folder]

    def release(self, api: HfApi, tag: str, kinds: list[str]) -> Release:
        """Returns the release as it will be: what has the tag already, and what is published this time.

        Raises:
            ReleaseError: if the dataset or the Space is to be published, and the model was not.
        """
        found = Release(tag, api.endpoint, {})
        for kind, folder in self.by_kind.items():
            commit = find_tag(api, kind, folder.repo_id, tag)
            if commit or kind in kinds:
                found = found.with_repository(Published(kind, folder.repo_id, commit))
        if "model" not in found.repositories:
            raise ReleaseError(
                f"{self.by_kind['model'].repo_id} has no {tag}, which the {' and the '.join(kinds)} would name. "
                "Publish the model first, or all"
            )
        return found

    def stage(self, api: HfApi, kind: str, release: Release) -> Target:
        """Returns what a repository is to hold: the folder as it stands, and the card with the release's names."""
        folder = self.by_kind[kind]
        if kind == "dataset":
            model = release.repositories["model"]
            release = release.with_repository(find_generator(folder, self.by_kind["model"], model, api))
        sources: dict[str, Path | bytes] = {**folder.files(), CARD: render_card(folder, release)}
        if kind == "dataset":
            sources[CROISSANT] = render_croissant(folder, release)
        if kind == "space":
            sources[PIN] = render_pin(release)
        return Target(kind, folder.repo_id, [Content(name, source) for name, source in sorted(sources.items())])

    def check(self, api: HfApi, kind: str, release: Release) -> bool:
        """Refuses what must not be published, as far as that is seen without long work.

        Returns:
            Whether the folder is published already: then it was checked, and no long work is needed.

        Raises:
            ReleaseError: with the reason.
        """
        folder = self.by_kind[kind]
        target = self.stage(api, kind, release)
        sources = {content.name: content.source for content in target.contents}
        card = sources[CARD]
        assert isinstance(card, bytes)  # as stage made it
        check_card(folder, card)
        check_contents(sources)
        if not check_card_on_hub(kind, card, api):
            print(f"{kind}: the Hub's own validator could not be asked about the card.")
        return self._check_tag(api, target, release)

    def check_published(self, api: HfApi, release: Release) -> None:
        """Refuses to name a published model that is not the one in the folder: its commit would be the wrong one.

        Raises:
            ReleaseError: with the files that differ.
        """
        target = self.stage(api, "model", release)
        self._check_tag(api, target, release)

    def _check_tag(self, api: HfApi, target: Target, release: Release) -> bool:
        """A tag never moves: what has it must be what is published now, but for the card. Returns whether any has."""
        if release.repositories[target.kind].commit is None:
            return False
        changed = sorted(make_plan(api, target, release.tag).names - {CARD})
        if changed:
            raise ReleaseError(
                f"{target.repo_id} has a {release.tag} already, with other content ({', '.join(changed[:5])}). Give "
                "--version a new number"
            )
        return True


def find_tag(api: HfApi, kind: str, repo_id: str, tag: str) -> str | None:
    """Returns the commit of a tag; None if there is none, or no repository."""
    try:
        refs = retry(lambda: api.list_repo_refs(repo_id, repo_type=kind), f"asking for {repo_id}")
    except RepositoryNotFoundError:
        return None
    return next((ref.target_commit for ref in refs.tags if ref.name == tag), None)
