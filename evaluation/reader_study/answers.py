"""Answers on disk: one line each, on the disk before the next image is shown."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from pathlib import Path

import numpy as np

from evaluation.errors import EvaluationError

from .blend import Item

REAL, SYNTHETIC = 0, 1
_WRITING = threading.Lock()


class Answers:
    """The answers of one annotator.

    Args:
        folder: the study's.
        annotator: a name: letters, digits, spaces, dots, dashes or underscores.

    Raises:
        EvaluationError: for another name.
    """

    def __init__(self, folder: Path, annotator: str) -> None:
        name = annotator.strip()
        if not re.fullmatch(r"\w[\w .-]{0,39}", name):
            raise EvaluationError(
                f"the annotator's name is {annotator!r}; allowed are 1 to 40 letters, digits, spaces, dots, dashes"
            )
        self.annotator = name
        self.file = folder / "answers" / f"{name}.jsonl"

    def read(self) -> dict[str, int]:
        """The answers by item: 0 real, 1 synthetic. A line cut off by a power failure does not count."""
        if not self.file.exists():
            return {}
        lines = self.file.read_text(encoding="utf-8").split("\n")[:-1]
        return {answer["item"]: answer["answer"] for answer in map(json.loads, lines)}

    def record(self, item: str, answer: int, seconds: float) -> None:
        """Appends an answer and waits until it is on the disk. A second answer to the same item is ignored.

        Args:
            item: the item's name.
            answer: 0 real, 1 synthetic.
            seconds: how long the image was shown.
        """
        with _WRITING:
            if item in self.read():
                return
            self.file.parent.mkdir(parents=True, exist_ok=True)
            line = {"item": item, "answer": answer, "seconds": round(seconds, 2), "time": round(time.time(), 2)}
            with open(self.file, "ab") as file:
                file.truncate(self._complete_bytes())
                file.write(json.dumps(line).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())

    def _complete_bytes(self) -> int:
        return self.file.read_bytes().rfind(b"\n") + 1

    def next_item(self, items: list[Item]) -> Item | None:
        """The first unanswered item in the annotator's own order; None if all are answered."""
        answered = self.read()
        # From the bytes of the name, not hash(): the order is the same after a restart.
        order = np.random.default_rng(list(self.annotator.encode())).permutation(len(items))
        return next((items[number] for number in order if items[number].name not in answered), None)


def all_answers(folder: Path) -> dict[str, dict[str, int]]:
    """Annotators and their answers.

    Raises:
        EvaluationError: if there are no answers.
    """
    found = {file.stem: Answers(folder, file.stem).read() for file in sorted((folder / "answers").glob("*.jsonl"))}
    found = {annotator: answers for annotator, answers in found.items() if answers}
    if not found:
        raise EvaluationError(f"there are no answers in {str(folder)!r} yet")
    return found
