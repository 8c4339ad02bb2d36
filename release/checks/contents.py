"""Finds content that must never be published: secrets and photographs of real eyes."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image, UnidentifiedImageError

from ..folders import ReleaseError

SECRETS = {
    "a Hugging Face token": rb"\bhf_[A-Za-z]{30,}\b",
    "a private key": rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----",
    "an AWS access key": rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a GitHub token": rb"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{60,})\b",
    "an API key": rb"\bsk-[A-Za-z0-9_-]{32,}\b",
    "a password in an address": rb"\b[a-z]+://[^\s:/@\"']+:[^\s:/@\"']{6,}@",
}
IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
WITHOUT_SECRETS = (".parquet", ".safetensors", *IMAGES)
# Every image that this project generates contains this word in its own metadata.
SYNTHETIC = "synthetic"
# Rows of a Parquet file in memory together.
ROWS_AT_ONCE = 64


def check_contents(files: dict[str, Path | bytes]) -> None:
    """Checks files before they are published: no secrets, and only images whose metadata says that they are synthetic.

    The metadata of every image is read, also of each image in a Parquet file.

    Args:
        files: local files or contents, by path in the repository.

    Raises:
        ReleaseError: with the file and the problem.
    """
    for name, content in files.items():
        suffix = Path(name).suffix.lower()
        if suffix not in WITHOUT_SECRETS:
            _check_secrets(name, content if isinstance(content, bytes) else content.read_bytes())
        elif isinstance(content, Path):
            for where, image in _images(name, content):
                if not _says_synthetic(where, image):
                    raise ReleaseError(
                        f"{where} does not say in its metadata that it is synthetic, and may be a photograph of a real "
                        "eye. Remove it, or generate it again"
                    )


def _check_secrets(name: str, content: bytes) -> None:
    for what, pattern in SECRETS.items():
        if found := re.search(pattern, content):
            line = content[: found.start()].count(b"\n") + 1
            raise ReleaseError(f"{name}, line {line}, holds {what}. Remove it, and revoke it if it was ever shared")


def _images(name: str, path: Path) -> Iterator[tuple[str, bytes]]:
    """The images of a file, each with a name for messages."""
    if path.suffix.lower() in IMAGES:
        yield name, path.read_bytes()
    elif path.suffix == ".parquet":
        with pq.ParquetFile(path) as file:
            if "image" not in file.schema_arrow.names:
                return
            number = 0
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=["image"]):
                for image in batch.column(0):
                    where = f"image {number} of {name}"
                    content = (image.as_py() or {}).get("bytes")
                    if content is None:
                        raise ReleaseError(f"{where} is stored as a path or missing; store the bytes of its file")
                    yield where, content
                    number += 1


def _says_synthetic(name: str, content: bytes) -> bool:
    """Whether the metadata of an image (PNG text, EXIF, XMP, comment) says that it is synthetic."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            if _mentions_synthetic(image):
                return True
            image.load()  # PNG text may follow the pixels
            return _mentions_synthetic(image)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ReleaseError(f"{name} cannot be read as an image: {error}") from None


def _mentions_synthetic(image: Image.Image) -> bool:
    return SYNTHETIC in (repr(image.info) + repr(dict(image.getexif()))).lower()
