"""Renders the dataset's Croissant metadata: columns from the card, everything else from `croissant.yaml`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import yaml
from datasets.info import DatasetInfosDict
from datasets.utils.metadata import MetadataConfigs

from ..folders import Folder
from .render import Release, read_card

TEMPLATE = Path(__file__).with_suffix(".yaml")
REPOSITORY = "repository"
# A folder has no checksum; the Hub's own Croissant points at the same place.
NO_CHECKSUM = "https://github.com/mlcommons/croissant/issues/80"


def render_croissant(folder: Folder, release: Release) -> bytes:
    """Returns `croissant.json` of a dataset, as JSON-LD."""
    card = read_card(folder.kind, folder.card.read_text(encoding="utf-8"))
    configs = MetadataConfigs.from_dataset_card_data(card.data)
    infos = DatasetInfosDict.from_dataset_card_data(card.data)
    page = f"{release.endpoint}/datasets/{folder.repo_id}"
    model = release.repositories["model"]
    generator = f"{release.endpoint}/{model.repo_id}/tree/{release.revision(model, 'dataset')}"
    described = yaml.safe_load(TEMPLATE.read_text(encoding="utf-8")) | {
        "name": str(card.data["pretty_name"]),
        "url": page,
        "version": release.tag.removeprefix("v"),
        "keywords": card.data["tags"],
        "rai:machineAnnotationTools": [generator],
        "distribution": [
            _repository(f"{page}/tree/{release.tag}"),
            *(_file_set(name, config["data_files"]) for name, config in configs.items()),
        ],
        "recordSet": [_record_set(name, info.features or {}) for name, info in infos.items()],
    }
    return (json.dumps(described, indent=2, ensure_ascii=False) + "\n").encode("utf-8")


def _repository(address: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": REPOSITORY,
        "name": REPOSITORY,
        "contentUrl": address,
        "encodingFormat": "git+https",
        "sha256": NO_CHECKSUM,
    }


def _file_set(config: str, data_files: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"files-{config}",
        "name": f"files-{config}",
        "containedIn": {"@id": REPOSITORY},
        "encodingFormat": "application/x-parquet",
        "includes": [item["path"] for item in data_files],
    }


def _record_set(config: str, features: dict[str, Any]) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": config,
        "name": config,
        "field": [_field(config, name, feature) for name, feature in features.items()],
    }


def _field(config: str, name: str, feature: Any) -> dict[str, Any]:
    """A column: an image or an integer, with the names of its values if it has any."""
    source: dict[str, Any] = {"fileSet": {"@id": f"files-{config}"}, "extract": {"column": name}}
    field: dict[str, Any] = {"@type": "cr:Field", "@id": f"{config}/{name}", "name": name, "source": source}
    if isinstance(feature, datasets.Image):
        source["transform"] = {"jsonPath": "bytes"}
        return field | {"dataType": "sc:ImageObject"}
    if isinstance(feature, datasets.ClassLabel):
        field["description"] = ", ".join(f"{value} {text}" for value, text in enumerate(feature.names)) + ", -1 unknown"
    text = isinstance(feature, datasets.Value) and feature.dtype == "string"
    return field | {"dataType": "sc:Text" if text else "sc:Integer"}
