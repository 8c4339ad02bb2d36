"""Writes `docs/scale.md`: the cost of a million rows, computed from the rates that `scale_rates` measured.

`python -m benchmarks.scale_guide benchmarks/results/scale-*.json --out docs/scale.md`

Rows are independent, so throughput grows linearly with the number of devices. Nothing is measured here.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from dataset_script.build.shard_size import choose_shard_rows
from release.hub.upload import BYTES_A_COMMIT, FILES_A_BATCH, FILES_A_COMMIT, group

TEMPLATE = Path(__file__).with_suffix(".md")
ROWS = 1_000_000
DEVICES = (1, 8, 64)
BANDWIDTHS = {"100 Mbit/s": 12.5e6, "1 Gbit/s": 125e6, "10 Gbit/s": 1.25e9}
# https://huggingface.co/docs/hub/storage-limits and https://huggingface.co/docs/hub/rate-limits, read in November 2026.
MOST_FILES, MOST_ENTRIES, MOST_FILES_A_COMMIT, MOST_FILE_BYTES = 100_000, 10_000, 100, 20 * 10**9
MOST_REQUESTS = 1_000  # of a free account, in five minutes


@dataclass(frozen=True)
class PlannedFile:
    """A file that does not exist yet, with what `release.hub.upload.group` needs to know."""

    name: str
    size: int


@dataclass(frozen=True)
class Upload:
    """The upload of a dataset of a given size.

    Attributes:
        bytes: total size.
        files: in the repository, including `.gitattributes`.
        entries: in its largest folder.
        largest: bytes of the largest file.
        commits: of a push.
        files_a_commit: files in the largest commit.
        requests: lower bound of the requests to the Hub's API; the uploads themselves go to its storage.
    """

    bytes: int
    files: int
    entries: int
    largest: int
    commits: int
    files_a_commit: int
    requests: int


def plan_upload(rows: int, bytes_per_image: float, bytes_per_label_row: float) -> Upload:
    """Computes the upload of a dataset, with the push's own division into commits."""
    shard_rows = choose_shard_rows(rows, bytes_per_image)
    shards = math.ceil(rows / shard_rows)
    names = [f"train-{shard:05d}-of-{shards:05d}.parquet" for shard in range(shards)]
    files = [PlannedFile(f"data/{name}", round(shard_rows * bytes_per_image)) for name in names]
    files += [PlannedFile(f"labels/{name}", round(shard_rows * bytes_per_label_row)) for name in names]
    files += [PlannedFile(name, 10_000) for name in ("croissant.json", "plan.yaml", "README.md")]
    commits = group(files)  # type: ignore[arg-type]
    batches = sum(math.ceil(len(commit) / FILES_A_BATCH) for commit in commits)
    return Upload(
        bytes=sum(file.size for file in files),
        files=len(files) + 1,
        entries=shards,
        largest=max(file.size for file in files),
        commits=len(commits),
        files_a_commit=max(map(len, commits)),
        # Per commit: two to compare, one to validate the card, one to commit. Per batch: its upload mode and address.
        requests=4 * len(commits) + 2 * batches,
    )


def write_guide(measured: list[dict[str, Any]], price: float) -> str:
    """Returns the guide's text.

    Args:
        measured: the output of `scale_rates`, one entry per machine.
        price: dollars per GPU hour; an assumption, marked as such in the text.
    """
    files = measured[0]["files"]
    label_row = measured[0]["bytes_per_label_row"]
    uploads = {name: plan_upload(ROWS, values["bytes_per_image"], label_row) for name, values in files.items()}
    first, chosen = next(iter(uploads.items()))
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        rows=f"{ROWS:,}",
        resolution=measured[0]["resolution"],
        price=f"{price:g}",
        machines="\n".join(map(_machine, measured)),
        generation_table="\n".join(_generation(rates, devices, price) for rates in measured for devices in DEVICES),
        encoding_table="\n".join(_encoding(rates) for rates in measured),
        file_table="\n".join(_files(name, files[name], upload) for name, upload in uploads.items()),
        pictures=measured[0]["pictures"],
        bandwidth_head=" | ".join(BANDWIDTHS),
        bandwidth_rule=" | ".join("---:" for _ in BANDWIDTHS),
        upload_table="\n".join(_transfer(name, upload) for name, upload in uploads.items()),
        limit_table="\n".join(_limits(chosen)),
        hashing=_hours(chosen.bytes / measured[0]["sha256_bytes_per_second"] / 3600),
        files_a_commit=FILES_A_COMMIT,
        gigabytes_a_commit=BYTES_A_COMMIT // 10**9,
        commits=chosen.commits,
        first=first,
        encoding_head=" | ".join(files),
        encoding_rule=" | ".join("---:" for _ in files),
        missing="" if any("CPU" not in rates["machine"] for rates in measured) else _NO_GPU,
    )


_NO_GPU = (
    "\n**No GPU has been measured yet.** The figures are those of the machines above. On a GPU, the first command at "
    "the end of this page measures its rates, and the second updates the page.\n"
)


def _machine(rates: dict[str, Any]) -> str:
    generator = rates["generator"]
    best = max(generator["images_per_second_by_batch"].items(), key=lambda item: item[1])
    return (
        f"- {rates['machine']}: {generator['images_per_second']:.3g} images/s with the preset `{rates['preset']}` in "
        f"{rates['dtype']}, {generator['num_inference_steps']} steps, guidance {generator['guidance_scale']:g}, "
        f"batches of {best[0]}"
    )


def _generation(rates: dict[str, Any], devices: int, price: float) -> str:
    seconds = ROWS / rates["generator"]["images_per_second"]
    cost = "" if "CPU" in rates["machine"] else f"{seconds / 3600 * price:,.0f}"
    return _row(rates["machine"], devices, _hours(seconds / devices / 3600), _hours(seconds / 3600), cost)


def _encoding(rates: dict[str, Any]) -> str:
    """The number of cores that encode as fast as one device generates."""
    speed = rates["generator"]["images_per_second"]
    cores = [speed / values["images_per_second_and_core"] for values in rates["files"].values()]
    return _row(rates["machine"], *(f"{number:.2f}" if number >= 0.01 else "under 0.01" for number in cores))


def _files(name: str, measured: dict[str, float], upload: Upload) -> str:
    size, speed = measured["bytes_per_image"], measured["images_per_second_and_core"]
    gigabytes = f"{upload.bytes / 1e9:,.0f}"
    return _row(name, f"{size / 1e3:,.0f}", gigabytes, upload.entries, upload.commits, f"{speed:,.0f}")


def _transfer(name: str, upload: Upload) -> str:
    return _row(name, *(_hours(upload.bytes / rate / 3600) for rate in BANDWIDTHS.values()))


def _limits(upload: Upload) -> list[str]:
    rows = [
        ("files in the repository", upload.files, MOST_FILES),
        ("files in a folder", upload.entries, MOST_ENTRIES),
        ("largest file, MB", upload.largest // 10**6, MOST_FILE_BYTES // 10**6),
        ("files in a commit", upload.files_a_commit, MOST_FILES_A_COMMIT),
        ("requests of the whole push, and those allowed in five minutes", upload.requests, MOST_REQUESTS),
    ]
    return [_row(what, f"{number:,}", f"{most:,}") for what, number, most in rows]


def _hours(hours: float) -> str:
    if hours < 1:
        return f"{hours * 60:.0f} min"
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:,.0f} days"


def _row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale_guide", description=__doc__.splitlines()[0])
    parser.add_argument("rates", type=Path, nargs="+", help="output files of scale_rates")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the guide")
    parser.add_argument("--price", type=float, default=3.0, metavar="DOLLARS", help="of a GPU's hour (%(default)s)")
    options = parser.parse_args(arguments)
    measured = [json.loads(path.read_text(encoding="utf-8")) for path in options.rates]
    options.out.write_text(write_guide(measured, options.price), encoding="utf-8")


if __name__ == "__main__":
    main()
