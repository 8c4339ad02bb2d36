"""The image files of the published release: found in folders and zip files, read without unpacking.

Only the directory of a zip is read once; an image is then read at its offset. So nothing is unpacked, workers do not
read the directory of a large zip again, and forked workers share no open file.
"""

from __future__ import annotations

import os
import re
import struct
import zipfile
import zlib
from typing import BinaryIO, NamedTuple

from tqdm import tqdm

from .image_content import SUFFIXES, ImageError, check_image

# The fixed part of the header of a file in a zip: its signature, and the lengths of its name and extra field
# (PKWARE's APPNOTE.TXT, 4.3.7).
LOCAL_HEADER = struct.Struct("<4s22xHH")
METHODS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflated"}
ENCRYPTED = 0x1  # flag of a file in a zip


class Member(NamedTuple):
    """The location of an image in a zip, from the directory of the zip.

    Attributes:
        offset: offset of its local header in bytes.
        compressed_size: its size in the zip in bytes.
        method: its compression method, one of `METHODS`.
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
        size: size of the image file in bytes.
        member: its location in the zip; None for an image outside of zips.
    """

    name: str
    path: str
    size: int
    member: Member | None = None

    @property
    def unpacked_name(self) -> str:
        """Its name after unpacking the zip into a folder with the name of the zip."""
        return re.sub(r"\.zip/", "/", self.name, flags=re.IGNORECASE)

    def read(self) -> bytes:
        """Returns the bytes of the image file after checking them, see `check_image`.

        Raises:
            ImageError: if it cannot be used or read.
        """
        try:
            with open(self.path, "rb") as file:
                data = file.read() if self.member is None else _read_member(file, self.member, self.size)
        except OSError as error:
            raise ImageError(f"cannot be read: {error.strerror or error}") from None
        check_image(data)
        return data


def find_images(folder: str) -> tuple[list[ImageFile], dict[str, str]]:
    """Finds the PNG and JPEG files in a folder, its subfolders and their zip files, except hidden ones.

    Returns:
        The images, in a deterministic order, and the unreadable folders and zips: path to reason.
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
                if _is_hidden(name) or suffix not in (*SUFFIXES, ".zip"):
                    continue
                below = os.path.relpath(path, folder).replace(os.sep, "/")
                try:
                    found = (
                        [ImageFile(below, path, os.path.getsize(path))] if suffix != ".zip" else _in_zip(path, below)
                    )
                except (OSError, ImageError, zipfile.BadZipFile, NotImplementedError) as error:
                    unreadable[path] = str(error)
                    continue
                images.extend(found)
                progress.update(len(found))
    return images, unreadable


def _in_zip(path: str, below: str) -> list[ImageFile]:
    """Returns the images in a zip, sorted by name."""
    images = []
    with zipfile.ZipFile(path) as file:
        for info in sorted(file.infolist(), key=lambda info: info.filename):
            if not info.filename.lower().endswith(SUFFIXES) or any(map(_is_hidden, info.filename.split("/"))):
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
        raise ImageError("is not at the offset in the zip's directory; the zip is truncated or was changed")
    _, name_length, extra_length = LOCAL_HEADER.unpack(header)
    file.seek(name_length + extra_length, os.SEEK_CUR)
    data = file.read(member.compressed_size)
    try:
        if member.method == zipfile.ZIP_DEFLATED:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size)
    except zlib.error as error:
        raise ImageError(f"cannot be unpacked: {error}") from None
    if zlib.crc32(data) != member.crc:
        raise ImageError("is damaged: its checksum differs from that in the zip's directory")
    return data


def _is_hidden(name: str) -> bool:
    """Returns whether this is a file or folder that operating systems create by themselves."""
    return name.startswith(".") or name == "__MACOSX"
