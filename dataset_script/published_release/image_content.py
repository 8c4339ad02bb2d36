"""Checks image files without decoding them: PNG or JPEG, intact, and of the size of the release."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

SIZE = (512, 512)  # pixels, width and height of every image of the release
SUFFIXES = (".png", ".jpg", ".jpeg")
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
# Markers of JPEG's frame headers, which have the size of the image: SOF0 to SOF15 without DHT, JPG and DAC.
FRAME_MARKERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


class ImageError(ValueError):
    """An image cannot be used. The message says why, without the name of the image."""


def check_image(data: bytes) -> None:
    """Checks that an image file is an intact PNG or JPEG file of 512x512 pixels. The pixels are not decoded.

    Raises:
        ImageError: if it is not.
    """
    if data.startswith(JPEG_START):
        size = jpeg_size(data)
    elif data.startswith(PNG_SIGNATURE):
        size = png_size(data)
    else:
        raise ImageError("is neither a PNG nor a JPEG file" if data else "is empty")
    if size != SIZE:
        raise ImageError(f"has {size[0]}x{size[1]} pixels; allowed are {SIZE[0]}x{SIZE[1]}")


def png_size(data: bytes) -> tuple[int, int]:
    """Returns width and height of a PNG file, in pixels.

    Verifies the checksums of all chunks, so that truncated and damaged files are found. See section 5 of the PNG
    specification, https://www.w3.org/TR/png/.

    Raises:
        ImageError: if the file is not intact.
    """
    size = (0, 0)
    for kind, content, crc in _chunks(memoryview(data)):
        if zlib.crc32(content, zlib.crc32(kind)) != crc:
            raise ImageError(f"is damaged: wrong checksum in its chunk {kind!r}")
        if kind == b"IHDR" and len(content) == 13:
            size = struct.unpack_from(">II", content)
        if kind == b"IEND":
            return size
    raise ImageError("is truncated")


def jpeg_size(data: bytes) -> tuple[int, int]:
    """Returns width and height of a JPEG file, in pixels.

    A JPEG file has no checksums: only truncated files and damaged headers are found. See ITU-T T.81, annex B.

    Raises:
        ImageError: if the file has no frame header, or does not end with its end marker.
    """
    if not data.rstrip(b"\0").endswith(JPEG_END):
        raise ImageError("is truncated")
    position = len(JPEG_START)
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker, length = struct.unpack_from(">xBH", data, position)
        if marker in FRAME_MARKERS:
            height, width = struct.unpack_from(">HH", data, position + 5)
            return width, height
        position += 2 + length
    raise ImageError("is damaged: it has no frame header")


def _chunks(data: memoryview) -> Iterator[tuple[bytes, memoryview, int]]:
    """Yields type, content and checksum of each complete chunk of a PNG file."""
    start = len(PNG_SIGNATURE)
    while start + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, start)
        end = start + 12 + length
        if end > len(data):
            return
        yield kind, data[start + 8 : end - 4], struct.unpack_from(">I", data, end - 4)[0]
        start = end
