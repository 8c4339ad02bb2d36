"""Edits whose effects are measured: which findings are changed, in which photographs, and in which way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from evaluation.data.photographs import Photographs, equalise
from evaluation.measures.classifier import QUESTIONS
from pipeline_synfundus import SynFundusPipeline
from pipeline_synfundus.labels import CONDITION_NAMES, UNKNOWN, UNKNOWN_CONDITION, contradicted_values
from synfundus.images import to_images, to_tensor

BATCH = 16
RECONSTRUCTION, NOISE, INVERSION, SCRATCH = "reconstruction", "noise", "inversion", "from scratch"


@dataclass(frozen=True)
class Change:
    """A finding to add or to remove.

    Attributes:
        label: name of the condition label.
        before: its value in the photographs to edit, or the least value for a grade.
        after: the requested value.
    """

    label: str
    before: int
    after: int

    @property
    def name(self) -> str:
        """For tables and figures."""
        verb = "add" if self.after else "remove"
        return f"{verb} {self.label}" + (f" {self.after}" if self.after > 1 else "")

    @property
    def question(self) -> int:
        """The column of the judge's answers that the change concerns."""
        return QUESTIONS.index((self.label, max(self.before, self.after)))

    def applies_to(self, photographs: Photographs) -> np.ndarray:
        """Mask of the readable photographs that can be changed, shape (N,)."""
        values = photographs.label(self.label)
        return photographs.readable() & (values >= self.before if self.before else values == 0)


CHANGES = (
    Change("dr_grade", 0, 3),
    Change("is_amd", 0, 1),
    Change("is_gc", 0, 1),
    Change("is_pm", 0, 1),
    Change("is_rvo", 0, 1),
    Change("is_amd", 1, 0),
    Change("is_gc", 1, 0),
    Change("dr_grade", 2, 0),
)


@dataclass(frozen=True)
class Way:
    """A way to make the edited image: `RECONSTRUCTION`, `NOISE`, `INVERSION` or `SCRATCH`, and the strength."""

    kind: str
    strength: float = 1.0

    @property
    def name(self) -> str:
        """For tables and figures."""
        return f"{self.kind}, strength {self.strength:g}" if self.kind in (NOISE, INVERSION) else self.kind


def list_ways(strengths: Sequence[float]) -> list[Way]:
    """The autoencoder alone (the least that an edit changes), both kinds of edit, and a new eye (the most)."""
    edits = [Way(kind, strength) for kind in (NOISE, INVERSION) for strength in strengths]
    return [Way(RECONSTRUCTION), *edits, Way(SCRATCH)]


class Editor:
    """Edits photographs with a pipeline.

    Args:
        pipeline: the model.
    """

    def __init__(self, pipeline: SynFundusPipeline) -> None:
        self.pipeline = pipeline

    def __call__(self, images: np.ndarray, codes: np.ndarray, change: Change, way: Way) -> np.ndarray:
        """Edits images.

        Args:
            images: uint8, shape (N, S, S, 3), with the side of the model's images.
            codes: their labels, shape (N, 16), -1 unknown.
            change: the finding.
            way: how.

        Returns:
            Equalised uint8 images of the same shape.
        """
        edited = [
            self._edit(images[start : start + BATCH], codes[start : start + BATCH], change, way, start)
            for start in range(0, len(images), BATCH)
        ]
        return np.concatenate(edited)

    def _edit(self, images: np.ndarray, codes: np.ndarray, change: Change, way: Way, start: int) -> np.ndarray:
        sources = [_known(row) for row in codes.tolist()]
        requests = [_request(source, change) for source in sources]
        options: dict[str, Any] = {"generator": list(range(start, start + len(images)))}
        if way.kind == RECONSTRUCTION:
            with torch.no_grad():
                pixels = to_tensor(images, self.pipeline.device)
                decoded = to_images(self.pipeline.decode_latents(self.pipeline.encode_images(pixels)))
            return np.stack([equalise(Image.fromarray(image), len(image)) for image in decoded])
        if way.kind == SCRATCH:
            pairs = zip(sources, requests, strict=True)
            conditions = [{**UNKNOWN_CONDITION, **source, **request} for source, request in pairs]
            made: Any = self.pipeline(conditions, **options)
        else:
            options |= {"image": list(images), "strength": way.strength, "inversion": way.kind == INVERSION}
            made = self.pipeline(requests, source_conditions=sources, **options)
        return np.stack([equalise(image, images.shape[1]) for image in made.images])


def _known(codes: list[int]) -> dict[str, int]:
    return {name: code for name, code in zip(CONDITION_NAMES, codes, strict=True) if code != UNKNOWN}


def _request(source: dict[str, int], change: Change) -> dict[str, int]:
    """The change, and known labels that it excludes: without retinopathy there is no diabetic macular edema."""
    wanted = {change.label: change.after}
    return wanted | contradicted_values({**UNKNOWN_CONDITION, **source, **wanted})
