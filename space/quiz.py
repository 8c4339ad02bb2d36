"""Real or synthetic? The rounds of a small blind quiz, and what its result means."""

from __future__ import annotations

import io
import math
import os
import random
from dataclasses import dataclass
from pathlib import Path

from export import encode_png
from model import Model, StartError
from PIL import Image, ImageOps
from presets import PRESETS
from sampling import Sampler
from settings import check_one

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
        truth: what both are, in words.
    """

    pictures: tuple[bytes, bytes]
    answer: int
    truth: str


def find_photographs() -> list[Path]:
    """Returns the real photographs to ask about: the images in the folder that SYNFUNDUS_REAL_IMAGES names, or none.

    Raises:
        StartError: if the folder is not there, or holds no image.
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
    """Returns a question: a photograph against a generated image, or without photographs a generated image against
    one that was denoised in too few steps."""
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
    """Returns the probability of at least this many right answers by guessing between two."""
    return sum(math.comb(asked, count) for count in range(right, asked + 1)) / 2**asked


def _draw(model: Model, sample: Sampler, preset: str, rng: random.Random, steps: int) -> bytes:
    settings = check_one(model, PRESETS[preset], 1, rng.randrange(2**32), steps)
    *_, last = sample(settings)
    return encode_png(model, last.images[0], {"condition": settings.conditions[0], "seed": settings.seeds[0]})


def _fit(photograph: Path, model: Model) -> bytes:
    """The middle of a photograph at the model's size, which must not give the answer away; not marked as synthetic."""
    upright = ImageOps.exif_transpose(Image.open(photograph)).convert("RGB")
    buffer = io.BytesIO()
    ImageOps.fit(upright, (model.width, model.height), Image.Resampling.LANCZOS).save(buffer, "PNG")
    return buffer.getvalue()
