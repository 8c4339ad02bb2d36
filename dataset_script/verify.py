"""Checks a dataset: `python -m dataset_script.verify synfundus-1m`.

It compares every shard with its manifest and every label with the plan, and decodes every image. `--sample 200` checks
the sizes of all shards, the numbers and labels of all rows, and 200 images.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from tqdm import tqdm

from synfundus.interrupts import interrupts_kept

from .arguments import positive_integer
from .build.folder import BuildFolder, read_record
from .build.record import GenerationRecord
from .errors import BuildError
from .plan.condition_plan import ConditionPlan, load_plan
from .plan.plan_file import PlanError
from .verification.checks import Check, Checks
from .verification.files import check_folder, check_samples, check_shard_files
from .verification.images import ImageChecker, choose_sample
from .verification.rows import check_index, check_rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0 sound, 1 problems found, 2 not a dataset, 130 interrupted."""
    options = _parse(arguments)
    try:
        with interrupts_kept():
            folder, plan = open_dataset(options.folder)
            checks = verify(folder, plan, options.sample)
    except (BuildError, PlanError) as error:
        print(f"verify: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted. Nothing was changed.", file=sys.stderr)
        return 130
    problems = sum(check.problems for check in checks)
    print(table(checks))
    print(f"{options.folder}: {f'{problems:,} problems' if problems else 'sound'}.")
    return 1 if problems else 0


def open_dataset(path: Path) -> tuple[BuildFolder[GenerationRecord], ConditionPlan]:
    """Returns a dataset that `dataset_script.generate` built, and its plan.

    Raises:
        BuildError: if the folder holds no dataset.
        PlanError: if its plan cannot be read.
    """
    content = read_record(path)
    if content is None:
        raise BuildError(f"{path} holds no dataset of dataset_script.generate: it has no .build/build.json")
    try:
        folder = BuildFolder(path, GenerationRecord(**content))
    except TypeError as error:
        raise BuildError(f"{path} holds no dataset of this version of dataset_script.generate: {error}") from None
    return folder, load_plan(folder.plan)


def verify(folder: BuildFolder[GenerationRecord], plan: ConditionPlan, sample: int | None = None) -> list[Check]:
    """Checks a dataset, with a progress bar.

    Args:
        folder: the dataset.
        plan: its plan.
        sample: number of images to check; then no checksums are computed. None for all images.

    Returns:
        The checks, in the order of the report.
    """
    checks = Checks()
    check_folder(folder, plan, checks)
    images = ImageChecker(folder, checks)
    chosen = None if sample is None else choose_sample(folder, sample)
    with tqdm(total=folder.record.num_rows, unit="row", desc="Verifying") as progress:
        for shard in folder.record.shards:
            if check_shard_files(folder, shard, checks, checksums=sample is None):
                idx = check_rows(folder, shard, plan, checks)
                images.check_shard(shard, idx, None if chosen is None else chosen.get(shard, []))
                if sample is None and idx is not None:
                    check_index(folder, shard, checks)
            progress.update(shard.rows)
    images.check_identical()
    if sample is None:
        check_samples(folder, plan, checks, checksums=True)
    else:
        for check in (checks.checksums, checks.index, checks.samples):
            check.skipped = "not with --sample"
    return checks.all()


def table(checks: Iterable[Check]) -> str:
    """Returns the checks as a table, with examples of problems below it."""
    lines = [("check", "checked", "problems"), *(_line(check) for check in checks)]
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    text = [f"{name:<{widths[0]}}  {checked:>{widths[1]}}  {wrong:>{widths[2]}}" for name, checked, wrong in lines]
    for check in checks:
        if check.problems:
            text += ["", f"{check.name}:", *(f"  {example}" for example in check.examples)]
            more = check.problems - len(check.examples)
            text += [f"  and {more:,} more"] if more else []
    return "\n".join(text)


def _line(check: Check) -> tuple[str, str, str]:
    return check.name, check.skipped or f"{check.checked:,} {check.unit}", "-" if check.skipped else str(check.problems)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m dataset_script.verify", description="Checks a dataset that dataset_script.generate built."
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of the dataset")
    parser.add_argument("--sample", type=positive_integer, metavar="N", help="check N images only, and no checksums")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
