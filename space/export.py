"""The files a visitor takes home: images that say they are synthetic, and tables of their labels."""

from __future__ import annotations

import base64
import io
import json
import secrets
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from gradio.utils import get_upload_folder
from model import Model
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from settings import Settings

SYNTHETIC = "Synthetic retinal fundus image, made by a diffusion model. Not a photograph, not for diagnosis."


@dataclass(frozen=True)
class Downloads:
    """The files of one request, in a folder that Gradio serves and clears.

    Attributes:
        images: the PNG files, in the order of the request.
        captions: what was asked for, one an image.
        csv, parquet: the table of file names, the fifteen labels, `eye_side` and how each image was made.
        archive: a ZIP of the images and the CSV; unpacked, a folder that datasets' `imagefolder` reads.
    """

    images: list[Path]
    captions: list[str]
    csv: Path
    parquet: Path
    archive: Path


def encode_png(model: Model, image: Image.Image, details: Mapping[Any, object]) -> bytes:
    """Returns the image as PNG, whose text says that it is synthetic, what made it, and how.

    Args:
        model: what made it.
        image: an RGB image.
        details: how it was made: names to values that JSON knows.
    """
    text = PngInfo()
    text.add_text("Description", SYNTHETIC)
    text.add_text("Software", f"SynFundus, generator {model.name}, revision {model.revision}")
    text.add_text("SynFundus-Synthetic", "true")
    text.add_text("SynFundus-Generator", model.name)
    text.add_text("SynFundus-Revision", model.revision)
    text.add_text("SynFundus-Request", json.dumps(dict(details)))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=text)
    return buffer.getvalue()


def to_data_uri(png: bytes) -> str:
    """Returns a PNG as the address of an `<img>`, so that no file is needed."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def describe_images(model: Model, settings: Settings) -> list[str]:
    """Returns one caption an image: what was asked for, and the seed."""
    pairs = zip(settings.conditions, settings.seeds, strict=True)
    return [f"{model.labels.describe(condition)}, seed {seed}" for condition, seed in pairs]


def tabulate(model: Model, settings: Settings) -> pd.DataFrame:
    """Returns one row an image: `file_name`, the fifteen labels and `eye_side` (-1 is unknown), and how it was made."""
    how = {
        "num_inference_steps": settings.num_inference_steps,
        "guidance_scale": settings.guidance_scale,
        "generator": model.name,
        "revision": model.revision,
    }
    rows = enumerate(zip(settings.conditions, settings.seeds, strict=True))
    return pd.DataFrame(
        [
            {"file_name": f"synfundus-{number}-seed-{seed}.png", **condition, "seed": seed, **how}
            for number, (condition, seed) in rows
        ]
    )


def save_images(model: Model, settings: Settings, images: list[Image.Image]) -> list[Path]:
    """Writes the images of one request in a folder of their own, which Gradio serves; returns their files."""
    folder = Path(get_upload_folder()) / secrets.token_hex(16)
    folder.mkdir(parents=True)
    paths = []
    for image, row in zip(images, tabulate(model, settings).to_dict("records"), strict=True):
        paths.append(folder / row["file_name"])
        paths[-1].write_bytes(encode_png(model, image, row))
    return paths


def save_downloads(model: Model, settings: Settings, images: list[Image.Image]) -> Downloads:
    """Writes all the files of one request."""
    paths, table = save_images(model, settings, images), tabulate(model, settings)
    csv, parquet, archive = (paths[0].with_name(name) for name in ("metadata.csv", "metadata.parquet", "synfundus.zip"))
    table.to_csv(csv, index=False)
    table.to_parquet(parquet, index=False)
    with zipfile.ZipFile(archive, "w") as packed:
        for path in (*paths, csv):
            packed.write(path, path.name)
    return Downloads(paths, describe_images(model, settings), csv, parquet, archive)
