"""Finds the commit of the published model that generated a dataset."""

from __future__ import annotations

import re

from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

from dataset_script.build.image_generator import find_model

from .cards.render import Published
from .checks.folder import read_record
from .folders import Folder, ReleaseError
from .hub.retry import retry

COMMIT = re.compile(r"[0-9a-f]{40}")


def find_generator(dataset: Folder, model_folder: Folder, model: Published, api: HfApi) -> Published:
    """Returns the model with the commit that generated a dataset.

    The record of a dataset built from a local folder has a checksum, which must be that of the published folder. The
    record of a dataset built from a Hub model has its commit.

    Args:
        dataset: the built dataset.
        model_folder: the folder published as `model`, now or earlier.
        model: the published model.
        api: client of the Hub.

    Raises:
        ReleaseError: if another model generated the dataset.
    """
    record = read_record(dataset)
    name, revision = record["generator"], record["generator_revision"]
    if COMMIT.fullmatch(revision):
        _check_commit(dataset, name, revision, model, api)
        return Published("model", name, revision)
    folder_revision = find_model(str(model_folder.path)).revision
    if revision != folder_revision:
        raise ReleaseError(
            f"the dataset {dataset.path} was made by the generator {name}, revision {revision}, but the model "
            f"{model_folder.path} has the revision {folder_revision}. Give the model that generated it "
            "with --model, or build the dataset again"
        )
    return model


def _check_commit(dataset: Folder, name: str, revision: str, model: Published, api: HfApi) -> None:
    if name != model.repo_id:
        raise ReleaseError(f"the dataset {dataset.path} was made by {name}, but this release publishes {model.repo_id}")
    try:
        retry(lambda: api.model_info(name, revision=revision), f"asking for {name}")
    except (RepositoryNotFoundError, RevisionNotFoundError):
        raise ReleaseError(
            f"the dataset {dataset.path} was made by {name}, commit {revision}, which is not on the Hub"
        ) from None
