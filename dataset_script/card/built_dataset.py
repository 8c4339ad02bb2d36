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
from ..schema import sample_configs
from .evaluation import evaluation_text
from .metadata import card_metadata, dataset_name
from .pictures import picture_table
from .tables import count_labels, label_table, stratum_table

TEMPLATE = Path(__file__).with_suffix(".md")


def write_built_card(
    folder: BuildFolder[GenerationRecord], plan: ConditionPlan, model_card: Path | None = None
) -> None:
    """Writes the card of a folder whose shards, samples and pictures are all complete.

    Args:
        folder: the folder.
        plan: its plan.
        model_card: the card of its generator, for the evaluation results in it.
    """
    body = _body(folder, plan, model_card)
    write_text(folder.card, f"---\n{card_metadata(folder, samples=True)}\n---\n\n{body}")


def _body(folder: BuildFolder[GenerationRecord], plan: ConditionPlan, model_card: Path | None) -> str:
    record = folder.record
    samples = sample_configs(record.num_rows)
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        name=dataset_name(folder),
        num_rows=f"{record.num_rows:,}",
        num_rows_plain=record.num_rows,
        shard_rows=record.shard_rows,
        format=FORMATS[record.image_format].title,
        image_format=record.image_format,
        dtype=record.dtype,
        backend=record.backend,
        size="x".join(map(str, folder.read_manifest(folder.record.shards[0])["files"]["default"]["image_size"])),
        dr_grades=list(get_label("dr_grade").values),
        label_table=label_table(count_labels(folder)),
        stratum_table=stratum_table(plan, record.num_rows),
        picture_table=picture_table(folder),
        splits=", ".join(f"{split} ({rows:,} rows)" for split, rows in record.splits.items()),
        samples=", ".join(f"`{config}`" for config in samples) or "none, because the dataset is small",
        evaluation=evaluation_text(model_card),
        generator=record.generator,
        revision=record.generator_revision,
        steps=record.num_inference_steps,
        guidance=record.guidance_scale,
        plan_hash=plan.hash,
        seed=plan.seed,
    )
