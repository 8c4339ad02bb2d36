"""Collects the content of each repository and checks it before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError

from .cards.check import check_card, check_card_on_hub
from .cards.croissant import render_croissant
from .cards.render import Published, Release, render_card, render_pin
from .checks.contents import check_contents
from .dataset_origin import find_generator
from .folders import Folder, ReleaseError
from .hub.retry import retry
from .hub.upload import CARD, Content, Target, make_plan

PIN = "generator.json"
CROISSANT = "croissant.json"
PACKAGE = Path(__file__).parents[1] / "pipeline_synfundus"


@dataclass(frozen=True)
class Folders:
    """The folders of the three repositories by kind, including those that are not published this time."""

    by_kind: dict[str, Folder]

    def release(self, api: HfApi, tag: str, kinds: list[str]) -> Release:
        """Returns the release after this push: repositories that already have the tag, and those published this time.

        Raises:
            ReleaseError: if the dataset or the Space is to be published before the model.
        """
        found = Release(tag, api.endpoint, {})
        for kind, folder in self.by_kind.items():
            commit = find_tag(api, kind, folder.repo_id, tag)
            if commit or kind in kinds:
                found = found.with_repository(Published(kind, folder.repo_id, commit))
        if "model" not in found.repositories:
            raise ReleaseError(
                f"{self.by_kind['model'].repo_id} has no tag {tag}, which the cards of the "
                f"{' and the '.join(kinds)} would name. Publish the model first, or everything"
            )
        return found

    def stage(self, api: HfApi, kind: str, release: Release) -> Target:
        """Returns the content of a repository: the folder as it is, and the card with the names of the release.

        The Space also gets the commit of its model and a copy of the package `pipeline_synfundus`. With these classes
        it loads the weights of that commit without running code from the model repository, and needs no package that
        is published elsewhere.
        """
        folder = self.by_kind[kind]
        if kind == "dataset":
            model = release.repositories["model"]
            release = release.with_repository(find_generator(folder, self.by_kind["model"], model, api))
        sources: dict[str, Path | bytes] = {**folder.files(), CARD: render_card(folder, release)}
        if kind == "dataset":
            sources[CROISSANT] = render_croissant(folder, release)
        if kind == "space":
            sources |= {PIN: render_pin(release), **package_code()}
        return Target(kind, folder.repo_id, [Content(name, source) for name, source in sorted(sources.items())])

    def check(self, api: HfApi, kind: str, release: Release) -> bool:
        """Runs the fast checks of what must not be published.

        Returns:
            Whether the folder is already published, and needs no slow checks.

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
            print(f"{kind}: the Hub's validator could not be reached; the card was checked locally only.")
        return self._check_tag(api, target, release)

    def check_published(self, api: HfApi, release: Release) -> None:
        """Checks that the published model equals the folder; otherwise the cards would name the wrong commit.

        Raises:
            ReleaseError: with the names of the files that differ.
        """
        target = self.stage(api, "model", release)
        self._check_tag(api, target, release)

    def _check_tag(self, api: HfApi, target: Target, release: Release) -> bool:
        """Returns whether the tag exists. Its content must then equal the content to publish, except the card."""
        if release.repositories[target.kind].commit is None:
            return False
        changed = sorted(make_plan(api, target, release.tag).names - {CARD})
        if changed:
            raise ReleaseError(
                f"{target.repo_id} already has {release.tag} with other content ({', '.join(changed[:5])}). Give "
                "--version a new number"
            )
        return True


def package_code() -> dict[str, Path | bytes]:
    """Returns the code of the package `pipeline_synfundus`, by path in the Space."""
    return {
        f"{PACKAGE.name}/{path.relative_to(PACKAGE).as_posix()}": path
        for path in sorted(PACKAGE.rglob("*.py"))
        if "__pycache__" not in path.parts
    }


def find_tag(api: HfApi, kind: str, repo_id: str, tag: str) -> str | None:
    """Returns the commit of a tag; None if there is no such tag or repository."""
    try:
        refs = retry(lambda: api.list_repo_refs(repo_id, repo_type=kind), f"asking for {repo_id}")
    except RepositoryNotFoundError:
        return None
    return next((ref.target_commit for ref in refs.tags if ref.name == tag), None)
