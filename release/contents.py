"""What must never be published: secrets, and photographs of real eyes."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image, UnidentifiedImageError

from .folders import ReleaseError

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
# Every image that the project makes says so in its own metadata (dataset_script, space).
SYNTHETIC = "synthetic"


def check_contents(files: dict[str, Path | bytes]) -> None:
    """Looks through the files that are to be published, by path in the repository.

    A Parquet file's images are judged by the first one: a build makes all of them alike.

    Raises:
        ReleaseError: with the file and what is in it.
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
                        "eye. Take it out, or let the generator make it again"
                    )


def _check_secrets(name: str, content: bytes) -> None:
    for what, pattern in SECRETS.items():
        if found := re.search(pattern, content):
            line = content[: found.start()].count(b"\n") + 1
            raise ReleaseError(f"{name}, line {line}, holds {what}. Take it out, and revoke it if it was ever shared")


def _images(name: str, path: Path) -> Iterator[tuple[str, bytes]]:
    """The images in a file to look at, with what to call them."""
    if path.suffix.lower() in IMAGES:
        yield name, path.read_bytes()
    elif path.suffix == ".parquet":
        with pq.ParquetFile(path) as file:
            if "image" in file.schema_arrow.names and file.metadata.num_rows:
                first = next(file.iter_batches(batch_size=1, columns=["image"]))
                yield f"the first image of {name}", first.column(0)[0].as_py()["bytes"]


def _says_synthetic(name: str, content: bytes) -> bool:
    """Whether the metadata of an image (PNG text, EXIF, XMP, comment) says that it is synthetic."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            said = repr(image.info) + repr(dict(image.getexif()))
    except (UnidentifiedImageError, OSError) as error:
        raise ReleaseError(f"{name} is no image that can be read: {error}") from None
    return SYNTHETIC in said.lower()
