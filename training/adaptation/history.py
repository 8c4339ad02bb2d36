"""The evaluations of an adaptation: which weights are the best, and when to stop."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from synfundus.files import write_json
from training.adaptation.near_copies import MAX_NEAR_SHARE, Memorisation
from training.adaptation.settings import AdaptationSettings
from training.loop.checkpoint import require_same


@dataclass(frozen=True)
class Evaluation:
    """The averaged weights after one round, measured.

    Attributes:
        images_seen: images seen in all rounds; 0 for the generator that the adaptation starts from.
        validation_loss: the loss on photographs of patients who are not trained on.
        memorisation: the search for copies of training photographs.
        seconds: time that the round and the evaluation took.
    """

    images_seen: int
    validation_loss: float
    memorisation: Memorisation
    seconds: float

    def describe(self) -> str:
        """One line for the terminal."""
        found = self.memorisation
        return (
            f"{self.images_seen:,} images: validation loss {self.validation_loss:.4f}, {found.near_copies} near copies "
            f"and {found.copies} copies in {found.samples} samples (nearest {found.nearest:.3f}, "
            f"floor {found.floor:.3f})"
        )


class History:
    """All evaluations of a run so far, in a file.

    Args:
        path: the JSON file; continued if it exists.
        fingerprint: the settings that shape the weights.

    Raises:
        CheckpointError: if the file was written with other settings; the message names them.
    """

    def __init__(self, path: Path, fingerprint: dict[str, Any]) -> None:
        self.path, self._fingerprint = path, fingerprint
        self.evaluations: list[Evaluation] = []
        if path.exists():
            content = json.loads(path.read_text(encoding="utf-8"))
            require_same(content["fingerprint"], fingerprint, path)
            self.evaluations = [
                Evaluation(**entry | {"memorisation": Memorisation(**entry["memorisation"])})
                for entry in content["evaluations"]
            ]

    def add(self, evaluation: Evaluation) -> None:
        """Adds an evaluation and writes the file."""
        self.evaluations.append(evaluation)
        entries = [asdict(entry) for entry in self.evaluations]
        write_json(self.path, {"fingerprint": self._fingerprint, "evaluations": entries})

    @property
    def start(self) -> Evaluation:
        """The evaluation of the generator that the adaptation starts from."""
        return self.evaluations[0]

    @property
    def best(self) -> Evaluation:
        """The evaluation with the lowest validation loss, of those whose samples are no copies."""
        allowed = [entry for entry in self.evaluations[1:] if not entry.memorisation.found]
        return min([self.start, *allowed], key=lambda entry: entry.validation_loss)

    def reason_to_stop(self, settings: AdaptationSettings) -> str | None:
        """Why no further round is to be trained, as a clause; None if one is."""
        if not self.evaluations:
            return None
        last, seen = self.evaluations[-1], self.evaluations[-1].images_seen
        if seen and last.memorisation.found:
            found = last.memorisation
            return (
                f"it began to memorise: of {found.samples} samples, {found.near_copies} were near copies of training "
                f"photographs and {found.copies} copies (allowed are {MAX_NEAR_SHARE:.0%} and none)"
            )
        without_gain = len(self.evaluations) - 1 - self.evaluations.index(self.best)
        if without_gain >= settings.patience:
            return f"the validation loss had not fallen for {without_gain} evaluations"
        if sum(entry.seconds for entry in self.evaluations) >= 60 * settings.minutes:
            return f"the {settings.minutes:g} minutes were over"
        if seen >= settings.images:
            return f"all {settings.images:,} images were seen"
        return None
