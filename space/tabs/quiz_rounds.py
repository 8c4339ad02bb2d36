"""The rounds of a small blind quiz (real or synthetic?) and the significance of its score."""

from __future__ import annotations

import io
import math
import os
import random
from dataclasses import dataclass
from pathlib import Path

from generator.model import Model, StartError
from generator.sampling import Sampler
from generator.settings import check_one
from results.export import encode_png

from pipeline_synfundus.photograph import read_photograph
from tabs.presets import PRESETS

ROUNDS = 6
POOR_STEPS = 3
SETTING = "SYNFUNDUS_REAL_IMAGES"
SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"}


@dataclass(frozen=True)
class Round:
    """One question.

    Attributes:
        pictures: two PNG files, one of which is the answer.
        answer: its position, 0 or 1.
        truth: the explanation of both, in words.
    """

    pictures: tuple[bytes, bytes]
    answer: int
    truth: str


def find_photographs() -> list[Path]:
    """Returns the real photographs of the quiz: the images in the folder SYNFUNDUS_REAL_IMAGES, or none.

    Raises:
        StartError: if the folder does not exist or has no image.
    """
    setting = os.environ.get(SETTING)
    if not setting:
        return []
    folder = Path(setting)
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    if not found:
        raise StartError(f"{SETTING} is {setting!r}, but must be a folder that holds images ({', '.join(SUFFIXES)})")
    return found


def make_round(model: Model, sample: Sampler, photographs: list[Path], rng: random.Random) -> Round:
    """Returns a question.

    A photograph beside a generated image; without photographs, a generated image beside one with too few steps.
    """
    name = rng.choice(list(PRESETS))
    generated = _draw(model, sample, name, rng, model.default_steps)
    if photographs:
        best = _fit(rng.choice(photographs), model)
        other, truth = generated, f"The other was generated: {name.lower()}."
    else:
        best, other = generated, _draw(model, sample, name, rng, POOR_STEPS)
        truth = f"It was denoised in {model.default_steps} steps, the other in {POOR_STEPS}. Both are synthetic."
    answer = rng.randrange(2)
    return Round((best, other) if answer == 0 else (other, best), answer, truth)


def chance_of(right: int, asked: int) -> float:
    """Returns the probability of at least this many right answers when guessing between two."""
    return sum(math.comb(asked, count) for count in range(right, asked + 1)) / 2**asked


def _draw(model: Model, sample: Sampler, preset: str, rng: random.Random, steps: int) -> bytes:
    settings = check_one(model, PRESETS[preset], 1, rng.randrange(2**32), steps)
    *_, last = sample(settings)
    return encode_png(model, last.images[0], {"condition": settings.conditions[0], "seed": settings.seeds[0]})


def _fit(photograph: Path, model: Model) -> bytes:
    """The field of view of a photograph at the model's size, as the model's own images; not marked as synthetic."""
    buffer = io.BytesIO()
    read_photograph(photograph, model.width).save(buffer, "PNG")
    return buffer.getvalue()
