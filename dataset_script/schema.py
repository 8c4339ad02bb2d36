"""The row of the dataset: its columns, its Parquet tables, and the metadata inside each image."""

from __future__ import annotations

import io
from collections.abc import Sequence

import datasets
import pyarrow as pa
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pipeline_synfundus.labels import CONDITION_LABELS

from .conditions import Row

SYNTHETIC = "Synthetic retinal fundus image, made by a diffusion model. Not a photograph, not for diagnosis."


def features(images: bool = True) -> datasets.Features:
    """Returns the columns: `image` (unless left out), `idx`, the fifteen labels, `eye_side`."""
    columns: dict[str, object] = {"image": datasets.Image()} if images else {}
    columns["idx"] = datasets.Value("int64")
    for label in CONDITION_LABELS:
        columns[label.name] = datasets.ClassLabel(names=list(label.values))
    return datasets.Features(columns)


def label_table(rows: Sequence[Row]) -> pa.Table:
    """Returns the rows without images: the columns of the config `labels`."""
    records = [{"idx": row.idx, **row.condition} for row in rows]
    return pa.Table.from_pylist(records, schema=features(images=False).arrow_schema)


def image_table(rows: Sequence[Row], images: Sequence[bytes]) -> pa.Table:
    """Returns the rows with their encoded images: the columns of the config `default`.

    The schema carries the features, so that the names of the label values are read back from the Parquet file alone.
    """
    records = [
        {"image": {"bytes": image, "path": f"{row.idx:07d}.png"}, "idx": row.idx, **row.condition}
        for row, image in zip(rows, images, strict=True)
    ]
    return pa.Table.from_pylist(records, schema=features().arrow_schema)


def encode_png(image: Image.Image, idx: int, generator: str, revision: str, plan_hash: str) -> bytes:
    """Returns the image as PNG, whose text says that it is synthetic and what made it.

    Args:
        image: an RGB image.
        idx: its row.
        generator: name of the generator.
        revision: revision of the generator.
        plan_hash: hash of the plan.
    """
    text = PngInfo()
    text.add_text("Description", SYNTHETIC)
    text.add_text("Software", f"SynFundus, generator {generator}, revision {revision}")
    text.add_text("SynFundus-Synthetic", "true")
    text.add_text("SynFundus-Generator", generator)
    text.add_text("SynFundus-Revision", revision)
    text.add_text("SynFundus-Plan", plan_hash)
    text.add_text("SynFundus-Row", str(idx))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=text)
    return buffer.getvalue()
