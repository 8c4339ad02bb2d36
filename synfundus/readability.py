"""Synthetic degradation of photographs with known readability labels, which few public sets have.

Each degradation affects one region (macula, optic disc, the rest of the retina, or the whole image) and implies the
readability labels of that region. The regions are estimated from the photograph: the optic disc is the brightest spot
of the middle band, and the macula is two and a half disc diameters from it towards the middle, slightly below.

Readable photographs are those that are sharp and well exposed, see `is_clear`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from pipeline_synfundus.labels import CONDITION_NAMES, UNKNOWN
from pipeline_synfundus.photograph import FIELD_THRESHOLD, erode

EYE_SIDE_INDEX = CONDITION_NAMES.index("eye_side")
FUNDUS, MACULA, DISC, RETINA = (
    CONDITION_NAMES.index(name)
    for name in ("is_fundus", "is_macular_readable", "is_optic_disc_readable", "is_retinal_region_readable")
)
READABILITY_COLUMNS = slice(FUNDUS, RETINA + 1)
# Kinds of degradation and their shares. Unusable photographs are rarer than a local loss.
KINDS = ("macula", "disc", "retina", "all", "unusable")
SHARES = (0.22, 0.22, 0.22, 0.17, 0.17)


# A photograph at 128 pixels is clear when the green channel's Laplacian, over its mean, has at least this standard
# deviation within the field, and its mean is in this range. Two thirds of the real photographs pass.
CLEAR_SHARPNESS = 0.08
CLEAR_BRIGHTNESS = (45.0, 190.0)
MEASURED_SIZE = 128


@dataclass(frozen=True)
class Anatomy:
    """Positions in one photograph: centres of disc and macula as (row, column) in pixels, and the field of view."""

    disc: tuple[float, float]
    macula: tuple[float, float]
    field: np.ndarray


def sharpness_and_brightness(image: np.ndarray) -> tuple[float, float]:
    """Measures a uint8 photograph of shape (S, S, 3) at 128 pixels.

    Returns:
        The standard deviation of the green channel's Laplacian within the field of view over the channel's mean, and
        that mean (0-255). (0, 0) for a picture with no field of view.
    """
    small = np.asarray(Image.fromarray(image).resize((MEASURED_SIZE, MEASURED_SIZE), Image.Resampling.BOX))
    field = erode(small.max(axis=2) > FIELD_THRESHOLD, 4)
    inside = field[1:-1, 1:-1]  # without the rim, whose edge is not a detail of the retina
    green = small[..., 1].astype(np.float32)
    laplacian = green[:-2, 1:-1] + green[2:, 1:-1] + green[1:-1, :-2] + green[1:-1, 2:] - 4 * green[1:-1, 1:-1]
    mean = float(green[1:-1, 1:-1][inside].mean()) if inside.any() else 0.0
    return (float(laplacian[inside].std()) / mean, mean) if mean > 0 else (0.0, 0.0)


def is_clear(image: np.ndarray) -> bool:
    """Whether a photograph is sharp and well exposed, so that disc, macula and retina are assumed to be readable."""
    sharpness, brightness = sharpness_and_brightness(image)
    return sharpness >= CLEAR_SHARPNESS and CLEAR_BRIGHTNESS[0] <= brightness <= CLEAR_BRIGHTNESS[1]


def label_clear(codes: np.ndarray, clear: np.ndarray) -> np.ndarray:
    """A copy of the labels in which clear photographs are readable where it was unknown.

    Args:
        codes: integers of shape (N, 16), -1 unknown.
        clear: which photographs are clear, booleans of shape (N,), see `is_clear`.
    """
    labelled = codes.copy()
    readability = labelled[:, READABILITY_COLUMNS]  # a view
    readability[clear[:, None] & (readability == UNKNOWN)] = 1
    return labelled


def find_anatomy(image: np.ndarray, eye_side: int = UNKNOWN) -> Anatomy | None:
    """Finds disc and macula in a uint8 photograph of shape (S, S, 3).

    Args:
        image: the photograph.
        eye_side: 0 right (disc on the right of the image), 1 left, -1 unknown (either side).

    Returns:
        The anatomy, or None if no disc stands out on its side (a dark, blurred or disc-centred image).
    """
    size = len(image)
    field = image.max(axis=2) > FIELD_THRESHOLD
    down, right = np.mgrid[:size, :size] / size - 0.5
    outwards = {0: right, 1: -right}.get(eye_side, np.abs(right))
    # Without the rim: stray light there is often brighter than the disc.
    searched = field & (np.abs(down) < 0.15) & (outwards > 0.1) & (np.hypot(down, right) < 0.43)
    green = Image.fromarray(np.ascontiguousarray(image[..., 1]))
    # Illumination changes slowly, so a disc is bright relative to its surroundings.
    fine, coarse = (
        np.asarray(green.filter(ImageFilter.GaussianBlur(size * share)), dtype=np.float32) for share in (0.03, 0.12)
    )
    contrast = np.where(searched, fine - coarse, -np.inf)
    disc = np.unravel_index(np.argmax(contrast), contrast.shape)
    if contrast[disc] < 0.12 * coarse[field].mean():
        return None
    towards_middle = 1 if right[disc] < 0 else -1
    macula = (disc[0] + 0.03 * size, disc[1] + towards_middle * 0.32 * size)
    return Anatomy((float(disc[0]), float(disc[1])), macula, field)


def _spot(size: int, centre: tuple[float, float], radius: float) -> np.ndarray:
    """A soft disc of height 1 around `centre`; radius as a share of the side; float32, shape (S, S, 1)."""
    rows, columns = np.mgrid[:size, :size]
    distance = np.hypot(rows - centre[0], columns - centre[1]) / size
    return (1 / (1 + np.exp((distance - radius) / (0.18 * radius))))[..., None].astype(np.float32)


def _blur(image: np.ndarray, radius: float) -> np.ndarray:
    """Defocus; the radius is a share of the side."""
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius * len(image))), dtype=np.float32)


def _shadow(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shadow, as of an eyelash, a small pupil or uneven illumination."""
    return _blur(image, 0.02) * rng.uniform(0.03, 0.15)


def _glare(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Overexposure or lens flare: a bright veil that hides everything."""
    veil = np.array([255, 246, rng.uniform(190, 235)], dtype=np.float32)
    return _blur(image, 0.04) * 0.12 + veil * rng.uniform(0.78, 0.88)


def _defocus(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _blur(image, rng.uniform(0.045, 0.08))


def _haze(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cloudy media: a grey-brown veil reduces contrast."""
    blurred = _blur(image, rng.uniform(0.03, 0.05))
    veil = blurred.mean(axis=(0, 1)) + rng.uniform(10, 50)
    return blurred * 0.3 + veil * 0.7


Effect = Callable[[np.ndarray, np.random.Generator], np.ndarray]
# Effects by region. Glare on the macula alone is rare; glare on the disc (overexposure) is common.
_EFFECTS: dict[str, tuple[Effect, ...]] = {
    "macula": (_shadow, _shadow, _defocus, _haze),
    "disc": (_glare, _glare, _shadow, _defocus),
    "retina": (_shadow, _defocus, _haze),
    "all": (_defocus, _haze),
}


def _unusable(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """No visible fundus: too dark, overexposed, or a flat blur."""
    kind = rng.integers(3)
    flat = _blur(image, 0.18)
    if kind == 0:
        return flat * rng.uniform(0.02, 0.12)
    if kind == 1:
        return flat * 0.1 + np.array([250, 245, rng.uniform(200, 240)]) * rng.uniform(0.8, 0.95)
    level = rng.uniform(40, 140) * np.array([1.0, rng.uniform(0.6, 1.0), rng.uniform(0.4, 1.0)])
    return flat * 0.25 + level * 0.75


def degrade(image: np.ndarray, codes: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray] | None:
    """Degrades a clear photograph in one way and sets the readability labels accordingly.

    Args:
        image: uint8 photograph, shape (S, S, 3).
        codes: int8 labels, shape (16,), in the order of `CONDITION_NAMES`.
        rng: chooses the kind and the strength.

    Returns:
        The degraded image and its labels, or None if disc and macula cannot be found. If nothing is readable, the
        diseases become unknown, because the image no longer shows them.
    """
    anatomy = find_anatomy(image, int(codes[EYE_SIDE_INDEX]))
    if anatomy is None:
        return None
    kind = KINDS[rng.choice(len(KINDS), p=SHARES)]
    labels = codes.copy()
    labels[[FUNDUS, MACULA, DISC, RETINA]] = 1
    size = len(image)
    if kind == "unusable":
        spoiled, mask = _unusable(image, rng), np.ones((size, size, 1), dtype=np.float32)
        labels[[FUNDUS, MACULA, DISC, RETINA]] = 0
    else:
        effects = _EFFECTS[kind]
        spoiled = effects[rng.integers(len(effects))](image, rng)
        macula = _spot(size, anatomy.macula, rng.uniform(0.15, 0.2))
        disc = _spot(size, anatomy.disc, rng.uniform(0.13, 0.18))
        mask = {"macula": macula, "disc": disc, "retina": (1 - macula) * (1 - disc), "all": np.ones_like(macula)}[kind]
        hidden = {"macula": [MACULA], "disc": [DISC], "retina": [RETINA], "all": [MACULA, DISC, RETINA]}[kind]
        labels[hidden] = 0
    if kind in ("all", "unusable"):
        labels[:FUNDUS] = UNKNOWN
    result = image * (1 - mask) + spoiled * mask
    result = np.where(anatomy.field[..., None], result, image)
    return result.clip(0, 255).round().astype(np.uint8), labels
