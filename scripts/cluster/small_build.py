"""The small dataset that the scripts of this folder build, and its comparison with a build by one process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from dataset_script.build.folder import BuildFolder
from dataset_script.build.record import GenerationRecord
from dataset_script.cluster import begun_build
from synfundus.files import file_sha256

MODEL = Path(__file__).parents[2] / "pipeline_synfundus"
# Few images, so that it takes minutes. torch in float32: the same bytes in every process of a machine.
OPTIONS = ["--num-rows", "36", "--shard-rows", "6", "--num-inference-steps", "2"]
OPTIONS += ["--cpu-backend", "torch", "--dtype", "float32", "--device", "cpu", "--model", str(MODEL)]


def say(text: str) -> None:
    """Prints a line of the transcript."""
    print(f"-- {text}", flush=True)


def generate(out: Path, *options: str) -> None:
    """Runs `dataset_script.generate`; raises `CalledProcessError` if it fails."""
    subprocess.run([sys.executable, "-m", "dataset_script.generate", *OPTIONS, "--out", str(out), *options], check=True)


def prepare(folder: Path, name: str) -> tuple[Path, Path]:
    """Builds the dataset in `folder`/alone with one process, and begins it in `folder`/`name`; returns both folders."""
    alone, cluster = folder / "alone" / "synfundus-1m", folder / name / "synfundus-1m"
    say("one process builds the dataset, to compare with")
    generate(alone)
    generate(cluster, "--begin-only")
    return alone, cluster


def states(out: Path) -> tuple[list[str], list[str]]:
    """Returns the names of the complete shards, and of those that a process is building."""
    build = begun_build(out)
    complete = [shard.name for shard in build.record.shards if build.manifest(shard) is not None]
    return complete, sorted(path.stem for path in (out / ".build").glob("*-*.lock"))


def finish(alone: Path, cluster: Path) -> None:
    """Completes the dataset, verifies it, and compares all its Parquet files with those of the other build.

    Raises:
        SystemExit: if files differ, or one build has files that the other has not.
    """
    say("the same generate command writes the card")
    generate(cluster)
    subprocess.run([sys.executable, "-m", "dataset_script.verify", str(cluster)], check=True)
    sums = [_checksums(begun_build(out)) for out in (alone, cluster)]
    say("SHA-256 of the shards: one process, cluster")
    for name in sorted(sums[0] | sums[1]):
        one, other = (part.get(name, "missing")[:16] for part in sums)
        print(f"{name:<32} {one} {other} {'same' if one == other else 'DIFFERENT'}")
    if sums[0] != sums[1]:
        sys.exit("the builds differ")
    say(f"all {len(sums[0])} files are byte-identical")


def _checksums(build: BuildFolder[GenerationRecord]) -> dict[str, str]:
    files = sorted(path for path in build.path.rglob("*") if path.is_file() and path.suffix in (".parquet", ".tmp"))
    return {str(path.relative_to(build.path)): file_sha256(path) for path in files}
