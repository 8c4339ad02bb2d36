"""The card of a converted copy of the published release, from the template `published_release.md`."""

from __future__ import annotations

from pathlib import Path
from string import Template

from synfundus.files import write_text

from ..build.folder import BuildFolder
from ..build.record import ConversionRecord
from .metadata import card_metadata, dataset_name
from .tables import Counts, label_table, unknown_text

TEMPLATE = Path(__file__).with_suffix(".md")


def write_release_card(folder: BuildFolder[ConversionRecord], counted: Counts) -> None:
    """Writes the card of a folder whose shards are all complete.

    Args:
        folder: the folder.
        counted: the number of rows of each label value, see `tables.count_labels`.
    """
    body = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        name=dataset_name(folder),
        num_rows=f"{folder.record.num_rows:,}",
        label_table=label_table(counted),
        unknown=unknown_text(counted),
    )
    write_text(folder.card, f"---\n{card_metadata(folder)}\n---\n\n{body}")
