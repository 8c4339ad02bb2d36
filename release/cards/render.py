"""Renders the published cards, with the names and revisions of the three repositories and the access gate."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import DatasetCard, ModelCard, RepoCard, SpaceCard

from ..folders import KINDS, Folder, ReleaseError

GATE = Path(__file__).with_name("gate.yaml")
CARDS: dict[str, type[RepoCard]] = {"model": ModelCard, "dataset": DatasetCard, "space": SpaceCard}
HEADING = "## Release"
# Calls in the cards' examples whose first argument is the name of the model or the dataset.
LOAD_MODEL = re.compile(r'(from_pretrained\(\s*)"[^"]*"(?:, revision="[^"]*")?')
LOAD_DATASET = re.compile(r'(load_dataset\(\s*)"[^"]*"')


@dataclass(frozen=True)
class Published:
    """A repository of this release.

    Attributes:
        kind: "model", "dataset" or "space".
        repo_id: owner and name.
        commit: the tagged commit; None before it exists.
    """

    kind: str
    repo_id: str
    commit: str | None = None


@dataclass(frozen=True)
class Release:
    """The three repositories that belong together.

    Attributes:
        tag: the tag on all of them.
        endpoint: address of the Hub.
        repositories: the published repositories by kind.
    """

    tag: str
    endpoint: str
    repositories: dict[str, Published]

    def with_repository(self, published: Published) -> Release:
        """Returns a copy of the release in which this repository is added or replaced."""
        return replace(self, repositories={**self.repositories, published.kind: published})

    def revision(self, published: Published, reader: str) -> str:
        """Returns the revision of a repository to write into the card of the kind `reader`.

        Repositories are published in the order model, dataset, Space. Earlier ones are named by commit. Later ones and
        the reader itself are named by tag, because their commits do not exist yet.
        """
        earlier = KINDS.index(published.kind) < KINDS.index(reader)
        return published.commit if earlier and published.commit else self.tag


def render_pin(release: Release) -> bytes:
    """Returns `generator.json`, which tells the Space its model: Hub id and commit."""
    model = release.repositories["model"]
    return (
        json.dumps({"repo_id": model.repo_id, "revision": release.revision(model, "space")}, indent=2) + "\n"
    ).encode()


def read_card(kind: str, text: str) -> RepoCard:
    """Reads a card and keeps its metadata unchanged; the card classes of the kinds would add and convert fields.

    Raises:
        ReleaseError: if its metadata is missing or invalid for its kind.
    """
    try:
        card = RepoCard(text)
        CARDS[kind](text)
    except (ValueError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise ReleaseError(f"the {kind}'s card has invalid metadata: {error}") from None
    if not card.data.to_dict():
        raise ReleaseError(f"the {kind}'s card has no metadata between --- lines at its top")
    return card


def render_card(folder: Folder, release: Release) -> bytes:
    """Returns a folder's card in its published form."""
    card = read_card(folder.kind, folder.card.read_text(encoding="utf-8"))
    for key, value in _metadata(folder.kind, release).items():
        card.data[key] = value
    card.text = _with_names(card.text, folder.kind, release).partition(f"\n{HEADING} ")[0].rstrip() + "\n"
    card.text += "\n" + _release_section(folder.kind, release)
    return str(card).encode("utf-8")


def _metadata(kind: str, release: Release) -> dict[str, Any]:
    if kind != "space":
        return yaml.safe_load(GATE.read_text(encoding="utf-8"))
    others = {"models": "model", "datasets": "dataset"}
    there = release.repositories
    return {key: [there[other].repo_id] for key, other in others.items() if other in there}


def _with_names(text: str, kind: str, release: Release) -> str:
    """Writes the published names and the model's revision into the examples."""
    model, dataset = release.repositories.get("model"), release.repositories.get("dataset")
    if model is not None:
        text = LOAD_MODEL.sub(rf'\1"{model.repo_id}", revision="{release.revision(model, kind)}"', text)
    if dataset is not None:
        text = LOAD_DATASET.sub(rf'\1"{dataset.repo_id}"', text)
    return text


def _release_section(kind: str, release: Release) -> str:
    """The table of the release's repositories."""
    lines = [f"{HEADING} {release.tag}", "", "| | repository | revision |", "| --- | --- | --- |"]
    for other in KINDS:
        published = release.repositories.get(other)
        if published is not None:
            page = f"{release.endpoint}/{'' if other == 'model' else other + 's/'}{published.repo_id}"
            revision = release.revision(published, kind)
            lines.append(f"| {other} | [{published.repo_id}]({page}) | [`{revision}`]({page}/tree/{revision}) |")
    return "\n".join(lines) + "\n"
