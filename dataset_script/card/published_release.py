"""The card of a converted copy of the published release, from the template `published_release.md`."""

from __future__ import annotations

from pathlib import Path
from string import Template

from synfundus.files import write_text

from ..build.folder import BuildFolder
from ..build.record import ConversionRecord
from .metadata import card_metadata, dataset_name
from .tables import label_table

TEMPLATE = Path(__file__).with_suffix(".md")


def write_release_card(folder: BuildFolder[ConversionRecord]) -> None:
    """Writes the card of a folder whose shards are all complete."""
    body = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        name=dataset_name(folder), num_rows=f"{folder.record.num_rows:,}", label_table=label_table(folder)
    )
    write_text(folder.card, f"---\n{card_metadata(folder)}\n---\n\n{body}")
