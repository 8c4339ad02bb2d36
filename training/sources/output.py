"""Writes the result of `training.harmonize`: one Parquet file per split, a README that `datasets` reads, the report."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from pipeline_synfundus.labels import CONDITION_LABELS
from synfundus.files import atomic_folder
from training.sources.record import Photograph, SourceError
from training.sources.report import build_report, format_table

SPLITS = ("train", "validation", "test")
# A hash of the patient, as a number in [0, 1), decides the split: below the first bound test, below the second
# validation.
TEST_BELOW, VALIDATION_BELOW = 0.10, 0.15
REPORT = "report.json"
# Rows in memory at a time; with their photographs, a few hundred megabytes.
ROWS = 100


@dataclass(frozen=True)
class Harmonized:
    """All photographs of some sets.

    Attributes:
        titles: the sets' full names.
        photographs: each once, in the order of the sets.
        left_out: listed photographs that are missing or cannot be decoded, with the reason.
    """

    titles: list[str]
    photographs: list[Photograph]
    left_out: list[str]


def choose_split(photograph: Photograph) -> str:
    """Returns the split of a photograph's patient.

    It depends only on the set and the patient, so it stays the same when other sets are added and on every machine.
    """
    digest = hashlib.sha256(patient_of(photograph).encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    return "test" if position < TEST_BELOW else "validation" if position < VALIDATION_BELOW else "train"


def patient_of(photograph: Photograph) -> str:
    """Returns the patient, unique over all sets."""
    return f"{photograph.source}/{photograph.patient}"


def write_dataset(harmonized: Harmonized, out: Path, copy: bool = False) -> dict[str, Any]:
    """Writes the folder that `datasets` loads, atomically. The result of an earlier run is replaced.

    Args:
        harmonized: what to write.
        out: the folder to create.
        copy: whether to store the photographs in the Parquet files instead of their paths.

    Returns:
        The report, see `build_report`.

    Raises:
        SourceError: if `out` exists and is not such a result.
    """
    check_out(out)
    report = build_report({split: _of_split(harmonized.photographs, split) for split in SPLITS}, harmonized.left_out)
    with atomic_folder(out) as folder:
        (folder / "data").mkdir()
        files = {
            split: _write_parquet(_of_split(harmonized.photographs, split), split, folder / "data", copy)
            for split in report["splits"]
        }
        (folder / "README.md").write_text(_readme(harmonized.titles, report, files), encoding="utf-8")
        (folder / REPORT).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report


def check_out(out: Path) -> None:
    """Raises a `SourceError` if `out` exists and is not the result of an earlier run."""
    if out.exists() and not (out / REPORT).is_file():
        raise SourceError(f"--out {out} already exists and was not created by this command; choose another folder")


def _of_split(photographs: Iterable[Photograph], split: str) -> list[Photograph]:
    return [photograph for photograph in photographs if choose_split(photograph) == split]


def _write_parquet(photographs: Sequence[Photograph], split: str, folder: Path, copy: bool) -> str:
    """Writes one split and returns the file's name.

    The file name contains a checksum: `datasets` caches by the last part of the folder's path and the names of the
    files, and would otherwise return the rows of an earlier result of the same name.
    """
    import datasets  # here, not above: the import takes seconds, which --help and errors do not need

    features = datasets.Features(
        image=datasets.Image(),
        **{label.name: datasets.ClassLabel(names=list(label.values)) for label in CONDITION_LABELS},
        **{name: datasets.Value("string") for name in ("patient", "source", "split")},
        native_px=datasets.Value("int32"),
    )
    schema = features.arrow_schema
    path = folder / f"{split}.parquet"
    starts = range(0, len(photographs), ROWS)
    with pq.ParquetWriter(path, schema) as writer:
        for start in tqdm(starts, desc=f"writing {split}", unit=f"{ROWS} images"):
            rows = [_row(photograph, split, copy) for photograph in photographs[start : start + ROWS]]
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
    with path.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    return path.rename(folder / f"{split}-{checksum}.parquet").name


def _row(photograph: Photograph, split: str, copy: bool) -> dict[str, Any]:
    path = photograph.path
    return {
        "image": {"bytes": path.read_bytes(), "path": path.name} if copy else {"bytes": None, "path": str(path)},
        **photograph.labels,
        "eye_side": photograph.eye_side,
        "patient": patient_of(photograph),
        "source": photograph.source,
        "split": split,
        "native_px": photograph.native_px,
    }


def _readme(titles: Iterable[str], report: Mapping, names: Mapping[str, str]) -> str:
    """The configuration for `datasets`, the sources and the counts."""
    files = "".join(f"  - split: {split}\n    path: data/{name}\n" for split, name in names.items())
    sources = "".join(f"- {title}\n" for title in titles)
    return (
        f"---\nconfigs:\n- config_name: default\n  data_files:\n{files}---\n# Harmonized fundus photographs\n\n"
        f"Made by `training.harmonize` from:\n\n{sources}\nThe sets' own terms apply. -1 means unknown; "
        f"without `--copy`, `image` holds paths of the machine that created this folder.\n\n"
        f"```\n{format_table(report)}\n```\n"
    )
