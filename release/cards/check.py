"""Checks that a card's metadata is complete, valid and consistent with its folder."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from datasets.data_files import DataFilesPatternsDict
from datasets.info import DatasetInfosDict
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import HfApi, RepoCard
from huggingface_hub.errors import HTTPError, OfflineModeIsEnabled

from ..folders import Folder, ReleaseError
from .render import read_card

REQUIRED = {
    "model": ("license", "library_name", "pipeline_tag", "tags", "extra_gated_prompt", "extra_gated_fields"),
    "dataset": (
        "license",
        "pretty_name",
        "task_categories",
        "size_categories",
        "tags",
        "configs",
        "dataset_info",
        "extra_gated_prompt",
        "extra_gated_fields",
    ),
    "space": ("title", "emoji", "sdk", "sdk_version", "python_version", "app_file", "license", "models"),
}
LISTS = ("tags", "task_categories", "size_categories", "models", "datasets", "configs")
# https://huggingface.co/docs/hub/datasets-gated: text, country, date_picker, checkbox, or a choice.
FIELD_TYPES = ("text", "country", "date_picker", "checkbox")
REPO_ID = re.compile(r"[\w.-]+/[\w.-]+")


def check_card(folder: Folder, content: bytes) -> None:
    """Checks a card in its published form.

    Raises:
        ReleaseError: with the field, its value and what is allowed.
    """
    card = read_card(folder.kind, content.decode("utf-8"))
    data = card.data.to_dict()
    missing = [name for name in REQUIRED[folder.kind] if data.get(name) in (None, "", [], {})]
    if missing:
        _refuse(folder, f"lacks {', '.join(missing)}")
    for name in LISTS:
        if name in data and not (isinstance(data[name], list) and data[name]):
            _refuse(folder, f"has {name}: {data[name]!r}, but it must be a list")
    if folder.kind == "space":
        _check_space(folder, data)
        return
    _check_gate(folder, data["extra_gated_fields"])
    if folder.kind == "dataset":
        _check_dataset(folder, card)
    elif data["library_name"] != "diffusers":
        _refuse(folder, f"has library_name: {data['library_name']!r}, but the folder is a pipeline of diffusers")


def check_card_on_hub(kind: str, content: bytes, api: HfApi) -> bool:
    """Validates a card with the Hub's own validator; returns False if the Hub cannot be reached.

    Raises:
        ReleaseError: with the validator's message.
    """
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            api._validate_yaml(content.decode("utf-8"), repo_type=kind)  # create_commit makes the same call
    except (HTTPError, OfflineModeIsEnabled):
        return False
    except ValueError as error:
        raise ReleaseError(f"the Hub refuses the {kind}'s card: {error}") from None
    for warning in caught:
        print(f"{kind}: {warning.message}")
    return True


def _refuse(folder: Folder, reason: str) -> None:
    raise ReleaseError(f"the {folder.kind}'s card {folder.card} {reason}")


def _check_gate(folder: Folder, fields: Any) -> None:
    """Checks the form that users fill in to request access."""
    if not isinstance(fields, dict):
        _refuse(folder, f"has extra_gated_fields: {fields!r}, but it must map names to types")
    for name, field in fields.items():
        choice = isinstance(field, dict) and field.get("type") == "select" and isinstance(field.get("options"), list)
        if not choice and field not in FIELD_TYPES:
            _refuse(
                folder, f"has extra_gated_fields: {name}: {field!r}; allowed are {', '.join(FIELD_TYPES)}, or a select"
            )


def _check_dataset(folder: Folder, card: RepoCard) -> None:
    """Reads the configs and features with `datasets` and compares them with the Parquet files."""
    try:
        configs = MetadataConfigs.from_dataset_card_data(card.data)
        infos = DatasetInfosDict.from_dataset_card_data(card.data)
    except (ValueError, TypeError, KeyError) as error:
        _refuse(folder, f"cannot be read by datasets: {error}")
    if set(configs) != set(infos):
        _refuse(folder, f"has configs {sorted(configs)}, but dataset_info of {sorted(infos)}")
    for name, config in configs.items():
        if "data_files" not in config:
            _refuse(folder, f"has no data_files of the config {name}")
        patterns = DataFilesPatternsDict.from_patterns(_as_patterns(config["data_files"]))
        files = [Path(file) for split in patterns.resolve(str(folder.path)).values() for file in split]
        counted = sum(pq.read_metadata(file).num_rows for file in files)
        stated = sum(split.num_examples for split in (infos[name].splits or {}).values())
        if counted != stated:
            _refuse(folder, f"says {stated} rows of the config {name}, but its {len(files)} files hold {counted}")
        schema = pq.read_schema(files[0])
        if schema.names != list(infos[name].features or {}):
            _refuse(folder, f"has other columns of the config {name} than its files, which have {schema.names}")


def _as_patterns(data_files: Any) -> dict[str, list[str]]:
    """A config's `data_files` in the long form: a list of patterns for each split."""
    if isinstance(data_files, list):
        return {item["split"]: _as_list(item["path"]) for item in data_files}
    return {"train": _as_list(data_files)}


def _as_list(value: str | Iterable[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _check_space(folder: Folder, data: dict[str, Any]) -> None:
    """Checks that the files named in the card exist, and that its versions match requirements.txt."""
    app = folder.path / data["app_file"]
    if not app.is_file():
        _refuse(folder, f"has app_file: {data['app_file']}, which is not in the folder")
    wrong = [name for key in ("models", "datasets") for name in data.get(key, ()) if not REPO_ID.fullmatch(name)]
    if wrong:
        _refuse(folder, f"names {', '.join(wrong)}, but a repository id is OWNER/NAME")
    requirements = folder.path / "requirements.txt"
    if not requirements.is_file():
        raise ReleaseError(f"{folder.path} has no requirements.txt, so the Space cannot be installed")
    pinned = re.search(r"^gradio\s*==\s*([\w.]+)", requirements.read_text(encoding="utf-8"), re.MULTILINE)
    if pinned and pinned[1] != str(data["sdk_version"]):
        _refuse(folder, f"has sdk_version: {data['sdk_version']}, but requirements.txt has gradio=={pinned[1]}")
