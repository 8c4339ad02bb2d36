"""The card of a dataset that `dataset_script.generate` built, from the template `built_dataset.md`."""

from __future__ import annotations

from pathlib import Path
from string import Template

from pipeline_synfundus.labels import get_label
from synfundus.files import write_text

from ..build.folder import BuildFolder
from ..build.image_format import FORMATS
from ..build.record import GenerationRecord
from ..plan.condition_plan import ConditionPlan
from .metadata import card_metadata, dataset_name
from .tables import count_labels, label_table, stratum_table

TEMPLATE = Path(__file__).with_suffix(".md")


def write_built_card(folder: BuildFolder[GenerationRecord], plan: ConditionPlan) -> None:
    """Writes the card of a folder whose shards are all complete."""
    write_text(folder.card, f"---\n{card_metadata(folder, samples=True)}\n---\n\n{_body(folder, plan)}")


def _body(folder: BuildFolder[GenerationRecord], plan: ConditionPlan) -> str:
    record = folder.record
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        name=dataset_name(folder),
        num_rows=f"{record.num_rows:,}",
        num_rows_plain=record.num_rows,
        shard_rows=record.shard_rows,
        format=FORMATS[record.image_format].title,
        image_format=record.image_format,
        dtype=record.dtype,
        size="x".join(map(str, folder.read_manifest(folder.record.shards[0])["files"]["default"]["image_size"])),
        dr_grades=list(get_label("dr_grade").values),
        label_table=label_table(count_labels(folder)),
        stratum_table=stratum_table(plan, record.num_rows),
        generator=record.generator,
        revision=record.generator_revision,
        steps=record.num_inference_steps,
        guidance=record.guidance_scale,
        plan_hash=plan.hash,
        seed=plan.seed,
    )
