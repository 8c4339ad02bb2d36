"""Which commit of the published model made a dataset."""

from __future__ import annotations

import re

from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

from dataset_script.build.image_generator import find_model

from .cards import Published
from .checks import read_record
from .folders import Folder, ReleaseError
from .retry import retry

COMMIT = re.compile(r"[0-9a-f]{40}")


def find_generator(dataset: Folder, model_folder: Folder, model: Published, api: HfApi) -> Published:
    """Returns the model with the commit that made a dataset.

    A dataset that was built from a folder is traced by the checksum in its record: the folder must be the one that is
    published. One that was built from the Hub names its commit itself.

    Args:
        dataset: the built dataset.
        model_folder: the folder that was, or is to be, published as `model`.
        model: the published model.
        api: the Hub.

    Raises:
        ReleaseError: if another model made the dataset.
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
            f"{model_folder.path} has the revision {folder_revision}. Name the model that made it by --model, or build "
            "the dataset again"
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
