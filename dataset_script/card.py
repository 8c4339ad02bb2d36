"""The dataset card: `README.md`, from the template `card.md` and the data that was written."""

from __future__ import annotations

from pathlib import Path
from string import Template

import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import DatasetInfo, SplitDict, SplitInfo
from datasets.info import DatasetInfosDict
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCardData

from pipeline_synfundus.labels import CONDITION_LABELS, UNKNOWN, Label, get_label

from .build_folder import FOLDERS, BuildFolder
from .conditions import Plan
from synfundus.files import write_text
from .image_format import FORMATS
from .schema import features

TEMPLATE = Path(__file__).parent / "card.md"
SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
)
TAGS = ["medical", "ophthalmology", "fundus", "retina", "synthetic", "diffusion"]


def write_card(folder: BuildFolder, plan: Plan) -> None:
    """Writes the card of a folder whose shards are all complete."""
    write_text(folder.card, f"---\n{_metadata(folder)}\n---\n\n{_body(folder, plan)}")


def size_category(num_rows: int) -> str:
    """Returns the Hub's name for a dataset of this size."""
    return next((name for bound, name in SIZES if num_rows < bound), "100M<n<1B")


def _metadata(folder: BuildFolder) -> DatasetCardData:
    data = DatasetCardData(
        license="cc-by-nc-sa-4.0",
        pretty_name=_name(folder),
        task_categories=["image-classification"],
        size_categories=[size_category(folder.record.num_rows)],
        tags=TAGS,
        annotations_creators=["machine-generated"],
        source_datasets=["original"],
    )
    configs = {config: {"data_files": f"{subfolder}/*.parquet"} for config, subfolder in FOLDERS.items()}
    MetadataConfigs({**configs, "default": {**configs["default"], "default": True}}).to_dataset_card_data(data)
    DatasetInfosDict({config: _info(folder, config) for config in FOLDERS}).to_dataset_card_data(data)
    return data


def _info(folder: BuildFolder, config: str) -> DatasetInfo:
    manifests = [folder.manifest(shard) or {} for shard in range(folder.record.num_shards)]
    size = sum(manifest[config]["arrow_bytes"] for manifest in manifests)
    return DatasetInfo(
        features=features(images=config == "default"),
        splits=SplitDict({"train": SplitInfo("train", num_bytes=size, num_examples=folder.record.num_rows)}),
        download_size=sum(manifest[config]["bytes"] for manifest in manifests),
        dataset_size=size,
    )


def _body(folder: BuildFolder, plan: Plan) -> str:
    record = folder.record
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        name=_name(folder),
        num_rows=f"{record.num_rows:,}",
        num_rows_plain=record.num_rows,
        shard_rows=record.shard_rows,
        format=FORMATS[record.image_format].title,
        image_format=record.image_format,
        dtype=record.dtype,
        size="x".join(map(str, folder.read_manifest(0)["files"]["default"]["image_size"])),
        dr_grades=list(get_label("dr_grade").values),
        label_table=_label_table(folder),
        stratum_table=_stratum_table(plan, record.num_rows),
        generator=record.generator,
        revision=record.generator_revision,
        steps=record.num_inference_steps,
        guidance=record.guidance_scale,
        plan_hash=plan.hash,
        seed=plan.seed,
    )


def _name(folder: BuildFolder) -> str:
    return folder.path.resolve().name


def _label_table(folder: BuildFolder) -> str:
    """One line a label, with the number of rows of each value, counted in the files."""
    lines = []
    for label in CONDITION_LABELS:
        column = pq.read_table(folder.path / FOLDERS["labels"], columns=[label.name])[label.name]  # one: they are large
        counts = {item["values"]: item["counts"] for item in pc.value_counts(column).to_pylist()}
        values = "<br>".join(
            f"{value} {_value_name(label, value)} ({counts.get(value, 0):,})"
            for value in sorted({*counts, *range(label.cardinality)})
        )
        lines.append(f"| `{label.name}` | {label.full_name} | {label.explanation} | {values} |")
    return "\n".join(lines)


def _value_name(label: Label, value: int) -> str:
    return "unknown" if value == UNKNOWN else label.values[value]


def _stratum_table(plan: Plan, num_rows: int) -> str:
    counts = plan.stratum_counts(num_rows)
    return "\n".join(f"| {stratum.name} | {stratum.share:.2%} | {counts[stratum.name]:,} |" for stratum in plan.strata)
