"""Shows the rows of a plan: `python -m dataset_script.conditions PLAN --out plot.png`. Nothing is generated."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .arguments import positive_integer
from .plan.condition_plan import DEFAULT_PLAN, load_plan
from .plan.distribution import combination_table, draw_codes, label_table, plot, stratum_table
from .plan.plan_file import PlanError

# Rows that are drawn by default: one cycle of a plan of shares.
DEFAULT_ROWS = 10_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0 done, 2 invalid plan."""
    options = _parse(arguments)
    try:
        plan = load_plan(options.plan)
    except PlanError as error:
        print(f"conditions: error: {error}", file=sys.stderr)
        return 2
    planned = plan.num_rows or DEFAULT_ROWS
    codes = draw_codes(plan, min(options.num_rows, planned))
    print(f"Plan {plan.hash}, seed {plan.seed}: {planned:,} rows in {len(plan.strata)} strata.\n")
    print(stratum_table(plan, planned))
    print(f"\nLabels of the first {len(codes):,} rows:\n\n{label_table(codes)}")
    print(f"\nMost frequent combinations of findings:\n\n{combination_table(codes)}")
    if options.out:
        plot(plan, codes, planned, options.out)
        print(f"\nThe distribution is drawn in {options.out}.")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m dataset_script.conditions", description="Shows the rows of a plan. Nothing is generated."
    )
    add = parser.add_argument
    add("plan", type=Path, nargs="?", default=DEFAULT_PLAN, metavar="PLAN", help="plan file (synfundus-1m.yaml)")
    add("--out", type=Path, metavar="FILE", help="PNG file to draw the distribution in")
    add(
        "--num-rows",
        type=positive_integer,
        default=DEFAULT_ROWS,
        metavar="N",
        help="rows whose labels are drawn (%(default)s)",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
