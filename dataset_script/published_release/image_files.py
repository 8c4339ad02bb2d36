"""The image files of the published release: found in folders and zip files, read from where they lie.

Of a zip only its directory is kept, and an image is read at its place in the zip. So nothing is unpacked, a worker need
not read the directory of a large zip again, and forked workers share no open file.
"""

from __future__ import annotations

import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from tqdm import tqdm

SIZE = (512, 512)  # pixels, width and height of every image of the release
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# The fixed part of what stands before a file in a zip: its signature, and the lengths of its name and extra field
# (PKWARE's APPNOTE.TXT, 4.3.7).
LOCAL_HEADER = struct.Struct("<4s22xHH")
METHODS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflated"}
ENCRYPTED = 0x1  # in the flags of a file in a zip


class ImageError(ValueError):
    """An image that cannot be used; the message says why, without the image's name."""


class Member(NamedTuple):
    """Where an image lies in a zip, as the zip's directory says.

    Attributes:
        offset: of its local header, in bytes.
        compressed_size: bytes in the zip.
        method: one of `METHODS`.
        crc: CRC-32 of the image file.
    """

    offset: int
    compressed_size: int
    method: int
    crc: int


class ImageFile(NamedTuple):
    """An image file that was found.

    Attributes:
        name: its path below the release's folder, with `/`; a zip counts as a folder.
        path: the file to open: the image, or the zip.
        size: of the image file, in bytes.
        member: where it lies in the zip; None for an image outside zips.
    """

    name: str
    path: str
    size: int
    member: Member | None = None

    @property
    def unpacked_name(self) -> str:
        """The name it has when a zip is unpacked into a folder of the zip's name."""
        return re.sub(r"\.zip/", "/", self.name, flags=re.IGNORECASE)

    def read(self) -> bytes:
        """Returns the image file's bytes, checked to be a whole PNG file of 512x512 pixels, but not decoded.

        Raises:
            ImageError: if it is not, or cannot be read.
        """
        try:
            with open(self.path, "rb") as file:
                data = file.read() if self.member is None else _read_member(file, self.member, self.size)
        except OSError as error:
            raise ImageError(f"cannot be read: {error.strerror or error}") from None
        size = png_size(data)
        if size != SIZE:
            raise ImageError(f"has {size[0]}x{size[1]} pixels; allowed are {SIZE[0]}x{SIZE[1]}")
        return data


def find_images(folder: str) -> tuple[list[ImageFile], dict[str, str]]:
    """Finds the PNG files in a folder, its subfolders and their zip files; hidden ones are passed over.

    Returns:
        The images, always in the same order, and what could not be looked into: path to reason.
    """
    images: list[ImageFile] = []
    unreadable: dict[str, str] = {}

    def note(error: OSError) -> None:
        unreadable[str(error.filename)] = error.strerror or str(error)

    with tqdm(desc="Looking for images", unit=" images", disable=None) as progress:
        for place, folders, names in os.walk(folder, onerror=note, followlinks=True):
            folders[:] = sorted(name for name in folders if not _is_hidden(name))
            for name in sorted(names):
                path = os.path.join(place, name)
                suffix = os.path.splitext(name)[1].lower()
                if _is_hidden(name) or suffix not in (".png", ".zip"):
                    continue
                below = os.path.relpath(path, folder).replace(os.sep, "/")
                try:
                    found = (
                        [ImageFile(below, path, os.path.getsize(path))] if suffix == ".png" else _in_zip(path, below)
                    )
                except (OSError, ImageError, zipfile.BadZipFile, NotImplementedError) as error:
                    unreadable[path] = str(error)
                    continue
                images.extend(found)
                progress.update(len(found))
    return images, unreadable


def png_size(data: bytes) -> tuple[int, int]:
    """Returns width and height of a PNG file, in pixels.

    Walks through all its chunks with their checksums, so that a cut or damaged file is noticed; decodes no pixel. See
    the PNG specification, https://www.w3.org/TR/png/, 5.

    Raises:
        ImageError: if it is no whole PNG file.
    """
    if not data.startswith(PNG_SIGNATURE):
        raise ImageError("is empty" if not data else "is no PNG file")
    size = (0, 0)
    for kind, content, crc in _chunks(memoryview(data)):
        if zlib.crc32(content, zlib.crc32(kind)) != crc:
            raise ImageError(f"is damaged: wrong checksum in its chunk {kind!r}")
        if kind == b"IHDR" and len(content) == 13:
            size = struct.unpack_from(">II", content)
        if kind == b"IEND":
            return size
    raise ImageError("is cut off")


def _chunks(data: memoryview) -> Iterator[tuple[bytes, memoryview, int]]:
    """Yields type, content and checksum of each whole chunk of a PNG file."""
    start = len(PNG_SIGNATURE)
    while start + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, start)
        end = start + 12 + length
        if end > len(data):
            return
        yield kind, data[start + 8 : end - 4], struct.unpack_from(">I", data, end - 4)[0]
        start = end


def _in_zip(path: str, below: str) -> list[ImageFile]:
    """Returns the images in a zip, in the order of their names."""
    images = []
    with zipfile.ZipFile(path) as file:
        for info in sorted(file.infolist(), key=lambda info: info.filename):
            if not info.filename.lower().endswith(".png") or any(map(_is_hidden, info.filename.split("/"))):
                continue
            if info.flag_bits & ENCRYPTED:
                raise ImageError(f"holds an encrypted image, {info.filename}")
            if info.compress_type not in METHODS:
                allowed = " and ".join(METHODS.values())
                raise ImageError(
                    f"holds {info.filename}, compressed by method {info.compress_type}; allowed: {allowed}"
                )
            member = Member(info.header_offset, info.compress_size, info.compress_type, info.CRC)
            images.append(ImageFile(f"{below}/{info.filename}", path, info.file_size, member))
    return images


def _read_member(file: BinaryIO, member: Member, size: int) -> bytes:
    file.seek(member.offset)
    header = file.read(LOCAL_HEADER.size)
    if len(header) < LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
        raise ImageError("is not where the zip's directory says; the zip is cut off, or was changed meanwhile")
    _, name_length, extra_length = LOCAL_HEADER.unpack(header)
    file.seek(name_length + extra_length, os.SEEK_CUR)
    data = file.read(member.compressed_size)
    try:
        if member.method == zipfile.ZIP_DEFLATED:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size)
    except zlib.error as error:
        raise ImageError(f"cannot be unpacked: {error}") from None
    if zlib.crc32(data) != member.crc:
        raise ImageError("is damaged: it has not the checksum of the zip's directory")
    return data


def _is_hidden(name: str) -> bool:
    """Whether this is a file or folder that systems add by themselves."""
    return name.startswith(".") or name == "__MACOSX"
