"""The checks of a dataset and their results."""

from __future__ import annotations

from dataclasses import dataclass, field

EXAMPLES = 5


@dataclass
class Check:
    """One check: how many items were checked, and which problems were found.

    Attributes:
        name: the property that must hold.
        unit: the items that are counted.
        checked: number of items checked.
        problems: number of problems found.
        examples: the first problems.
        skipped: why the check was not run; empty if it was.
    """

    name: str
    unit: str
    checked: int = 0
    problems: int = 0
    examples: list[str] = field(default_factory=list)
    skipped: str = ""

    def add(self, *problems: str, checked: int = 0) -> None:
        """Adds checked items and problems."""
        self.checked += checked
        self.problems += len(problems)
        self.examples += problems[: EXAMPLES - len(self.examples)]


class Checks:
    """All checks."""

    def __init__(self) -> None:
        self.folder = Check("card, plan and no other files exist", "files")
        self.shards = Check("shards match their manifests", "shards")
        self.checksums = Check("checksums match the manifests", "files")
        self.columns = Check("columns and their types", "files")
        self.idx = Check("idx is 0 to N-1, no gaps or duplicates", "rows")
        self.ranges = Check("labels are in range", "rows")
        self.labels = Check("labels match the plan", "rows")
        self.index = Check("the index finds every image", "images")
        self.samples = Check("samples hold the first rows", "files")
        self.images = Check("images decode at the stated size", "images")
        self.facts = Check("images name their generator and row", "images")
        self.identical = Check("no two images are identical", "images")

    def all(self) -> list[Check]:
        """Returns all checks, in the order of the report."""
        return list(vars(self).values())
