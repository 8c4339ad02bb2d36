"""Atomic writes (a file or folder is complete or absent) and file locks that end with the process that holds them."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Opens a file for writing that takes its name only when all of it is on the disk.

    Until then it has a hidden name in the same folder, always the same one: what a killed process leaves behind is
    overwritten by the next, and no reader of `*.parquet` sees it. Another process that writes the same file waits.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    descriptor = _lock(temporary, wait=True)
    assert descriptor is not None  # it has waited
    with open(descriptor, "wb") as file:  # locked until it is closed
        try:
            file.truncate()
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    _sync_folder(path.parent)


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Lets `write` fill a temporary file, syncs it and renames it to `path`: for libraries that want a path.

    Args:
        path: the file to create or replace; its folder is created.
        write: called with the temporary path, which has the suffix of `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        write(temporary)
        _sync_file(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yields an empty temporary folder that replaces `path` when the block ends without an error.

    The previous folder at `path` stays in place until the new one is complete on the disk. Another process that writes
    the same folder waits.
    """
    with locked(path.with_name(f".{path.name}.tmp.lock")):
        yield from _replace_folder(path)


def _replace_folder(path: Path) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name}.tmp")
    previous = path.with_name(f".{path.name}.previous.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        for entry in temporary.rglob("*"):
            if entry.is_dir():
                _sync_folder(entry)
            else:
                _sync_file(entry)
        if path.exists():
            shutil.rmtree(previous, ignore_errors=True)
            os.replace(path, previous)  # no system call swaps two folders portably: a reader may see neither briefly
        os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    shutil.rmtree(previous, ignore_errors=True)
    _sync_folder(path.parent)


@contextlib.contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[bool]:
    """Holds the lock of this name; yields whether it is held.

    Not `filelock`: that leaves its files behind, and a published dataset would have one per shard.

    The operating system lets go of it when the process ends, however it ends: a file that a dead process left behind
    locks nothing. The file goes with the lock.

    Args:
        path: the lock's file.
        wait: whether to wait for another holder; otherwise yields False when there is one.
    """
    descriptor = _lock(path, wait)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            path.unlink(missing_ok=True)
            os.close(descriptor)


def _lock(path: Path, wait: bool) -> int | None:
    """Returns the descriptor of the locked file, which is created if there is none; None if another holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            # An earlier holder may have removed the file between our opening and locking it: that locks nothing.
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
            os.close(descriptor)
        except FileNotFoundError:
            os.close(descriptor)
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                return None
            raise


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically."""
    with atomic_file(path) as file:
        file.write(text.encode("utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file atomically."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def file_sha256(path: Path) -> str:
    """Returns the checksum of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_file(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Makes a rename last through a power failure; other systems than POSIX cannot open a folder."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
