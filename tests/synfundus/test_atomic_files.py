import threading
import time
from collections.abc import Callable
from pathlib import Path

from synfundus.files import atomic_file, atomic_folder


def run_at_once(write: Callable[[bytes], None]) -> None:
    """Calls it twice at the same time, with other bytes; a lock of a file counts for threads as for processes."""
    threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_file_that_is_written_twice_at_once_is_whole(tmp_path: Path) -> None:
    path, written = tmp_path / "new" / "features.npy", []

    def write(letter: bytes) -> None:
        with atomic_file(path) as file:
            for _ in range(20):
                file.write(letter * 1000)
                file.flush()
                time.sleep(0.001)
        written.append(letter)

    run_at_once(write)
    assert sorted(written) == [b"a", b"b"]
    assert path.read_bytes() == written[-1] * 20_000
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_folder_that_is_written_twice_at_once_is_whole(tmp_path: Path) -> None:
    path, written = tmp_path / "photographs", []

    def write(letter: bytes) -> None:
        with atomic_folder(path) as folder:
            for number in range(20):
                (folder / str(number)).write_bytes(letter)
                time.sleep(0.001)
        written.append(letter)

    run_at_once(write)
    assert sorted(written) == [b"a", b"b"]
    assert {file.read_bytes() for file in path.iterdir()} == {written[-1]}
    assert len(list(path.iterdir())) == 20
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
