"""Exports a dataset to WebDataset tars: `python -m dataset_script.export synfundus-1m --out synfundus-tars`.

Each Parquet file of the dataset becomes a tar of the same name, for example `train-00000.tar`. A sample has two files:
`0000042.png`, the image file without any change, and `0000042.json`, its `idx`, labels and `eye_side` (-1: unknown).

    dataset = webdataset.WebDataset("synfundus-tars/train-{00000..00007}.tar", shardshuffle=100)
    dataset = dataset.shuffle(1000).decode("pil").to_tuple("png", "json")

A tar gets its name only when it is complete. Run the same command again to continue an interrupted export; it replaces
tars whose Parquet file has changed since.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from synfundus.files import atomic_file, write_json
from synfundus.interrupts import interrupts_kept

from .errors import BuildError
from .schema import FOLDERS, ROW_GROUP, SPLITS

# For each tar that is complete, the Parquet file that it was made of.
STATE = ".export.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0 done, 1 failed, 2 not a dataset, 130 interrupted."""
    options = _parse(arguments)
    try:
        with interrupts_kept():
            for line in export(options.dataset, options.out):
                print(line)
    except BuildError as error:
        print(f"export: error: {error}", file=sys.stderr)
        return 2
    except (OSError, pa.ArrowException) as error:
        print(
            f"export: error: {error}. Complete tars are kept. Run the same command again to continue", file=sys.stderr
        )
        return 1
    except KeyboardInterrupt:
        print(f"\nInterrupted. Run the same command again to continue {options.out}.", file=sys.stderr)
        return 130
    return 0


def export(dataset: Path, out: Path) -> list[str]:
    """Exports all splits of a dataset.

    Args:
        dataset: folder of a complete dataset, built or converted.
        out: folder of the tars.

    Returns:
        For each split a line with the names of its tars, as WebDataset takes them, and its number of samples.

    Raises:
        BuildError: if the folder holds no complete dataset, or `out` holds other files.
    """
    files = sorted((dataset / FOLDERS["default"]).glob("*.parquet"))
    if not files or not (dataset / "README.md").is_file():
        raise BuildError(f"{dataset} holds no complete dataset; it must have a README.md and data/*.parquet")
    state = _read_state(out)
    rows = {file: pq.read_metadata(file).num_rows for file in files}
    write_json(out / STATE, state)  # before the first tar: it marks the folder as an export
    with tqdm(total=sum(rows.values()), unit="image", desc="Exporting") as progress:
        for file in files:
            tar, source = out / f"{file.stem}.tar", _fingerprint(file)
            if state.get(tar.name) != source or not tar.is_file():
                with atomic_file(tar) as raw:
                    _write_tar(file, raw, progress)
                state[tar.name] = source
                write_json(out / STATE, state)
            else:
                progress.update(rows[file])
    return [line for split in SPLITS for line in _describe(out, split, rows)]


def _write_tar(file: Path, raw: BinaryIO, progress: tqdm) -> None:
    """Writes the rows of a Parquet file as the samples of a tar."""
    with pq.ParquetFile(file) as parquet, tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for batch in parquet.iter_batches(ROW_GROUP):
            for row in batch.to_pylist():
                image = row.pop("image")
                key, suffix = f"{row['idx']:07d}", Path(image["path"]).suffix
                _add(tar, f"{key}{suffix}", image["bytes"])
                _add(tar, f"{key}.json", json.dumps(row).encode())
            progress.update(len(batch))


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Adds a file. Its time and owner are always the same, so that the same dataset gives the same tars."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _read_state(out: Path) -> dict[str, Any]:
    try:
        return json.loads((out / STATE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        if out.is_dir() and any(out.iterdir()):
            raise BuildError(f"{out} holds other files; give --out a new or empty folder") from None
        return {}
    except (OSError, ValueError) as error:
        raise BuildError(f"{out / STATE} cannot be read ({error}); give --out a new folder") from None


def _fingerprint(file: Path) -> list[int]:
    status = file.stat()
    return [status.st_size, status.st_mtime_ns]


def _describe(out: Path, split: str, rows: Mapping[Path, int]) -> Iterator[str]:
    names = [file.stem for file in rows if file.stem.startswith(f"{split}-")]
    if names:
        first, last = (name.rpartition("-")[2] for name in (names[0], names[-1]))
        numbers = first if len(names) == 1 else f"{{{first}..{last}}}"
        samples = sum(number for file, number in rows.items() if file.stem in names)
        yield f"{out}/{split}-{numbers}.tar: {samples:,} samples in {len(names)} tars"


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m dataset_script.export", description="Exports a dataset to WebDataset tars."
    )
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="folder of a built or converted dataset")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder of the tars")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
