"""Reads a visitor's photograph in memory and checks what to change. Nothing here writes to disk or to the log."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from generator.model import Model
from generator.settings import MOST_SEED, Settings, SettingsError, check_guidance, check_whole
from pipeline_synfundus.photograph import FIELD_THRESHOLD, PhotographError, read_photograph

MOST_BYTES = 20_000_000
# The measured strength at which inversion changes findings; below 0.8 hardly any changes (docs/experiments.md).
LEAST_STRENGTH, MOST_STRENGTH, DEFAULT_STRENGTH = 0.1, 0.95, 0.95
# Side of the copy on which `shows_fundus` measures colours.
_MEASURED_SIDE = 96


@dataclass(frozen=True)
class EditSettings(Settings):
    """The checked settings of an edit.

    Attributes:
        photograph: the square that the model changes, RGB, at its size.
        source: known labels of the photograph.
        strength: how much to change, in (0, 1].
        inversion: whether to stay closer to the photograph, see the pipeline.
    """

    previews: ClassVar[bool] = False
    photograph: Image.Image = field(default_factory=lambda: Image.new("RGB", (1, 1)), repr=False)
    source: Mapping[str, int] = field(default_factory=dict)
    strength: float = DEFAULT_STRENGTH
    inversion: bool = False

    def arguments(self) -> dict[str, Any]:
        """Returns the arguments of the pipeline. It runs its default number of steps, whatever the strength."""
        return super().arguments() | {
            "num_inference_steps": None,
            "image": self.photograph,
            "source_conditions": dict(self.source),
            "strength": self.strength,
            "inversion": self.inversion,
        }


def read_upload(model: Model, data_uri: Any) -> Image.Image:
    """Returns an uploaded photograph as the square that the model sees.

    Args:
        model: the generator.
        data_uri: the file as a data URI, `data:TYPE;base64,DATA`, as the page sends it.

    Raises:
        SettingsError: if there is no photograph, or it is too large, unreadable, or shows no fundus.
    """
    if not isinstance(data_uri, str) or not data_uri:
        raise SettingsError("Choose a photograph first")
    if len(data_uri) > MOST_BYTES * 4 / 3 + 200:
        raise SettingsError(f"The file is too large. The limit is {MOST_BYTES / 1e6:g} MB")
    try:
        content = base64.b64decode(data_uri.partition(";base64,")[2], validate=True)
        square = read_photograph(content, model.width)
    except (binascii.Error, PhotographError):
        raise SettingsError(
            "The file cannot be read as an image. It may be damaged, or of an unsupported type. Supported are JPEG, "
            "PNG, TIFF and WebP"
        ) from None
    if not shows_fundus(square):
        raise SettingsError(
            "The image does not look like a colour fundus photograph: a round, reddish field of view on a dark surround"
        )
    return square


def shows_fundus(square: Image.Image) -> bool:
    """Whether a square looks like a colour fundus photograph, by the colour and the shape of its field of view.

    Colours must be ordered red, green, blue; and the field must be round, or clearly orange if it fills the square.
    """
    pixels = np.asarray(square.resize((_MEASURED_SIDE, _MEASURED_SIDE)), dtype=float)
    inside = pixels.max(axis=-1) > FIELD_THRESHOLD
    if inside.mean() < 0.3 or np.ptp(pixels[inside].mean(axis=-1)) < 20:  # dark, or one flat colour
        return False
    red, green, blue = np.maximum(pixels[inside].mean(axis=0), 1)
    centre = (_MEASURED_SIDE - 1) / 2
    rows, columns = np.mgrid[:_MEASURED_SIDE, :_MEASURED_SIDE]
    corners = (rows - centre) ** 2 + (columns - centre) ** 2 > (1.02 * centre) ** 2
    round_field = inside[corners].mean() < 0.25
    orange = red >= 1.5 * green and green >= 1.2 * blue
    return bool(red >= 0.95 * green and green >= blue and (round_field or orange))


def check_edit(
    model: Model,
    data_uri: Any,
    changes: Any,
    known: Any,
    strength: Any = DEFAULT_STRENGTH,
    inversion: Any = True,
    guidance_scale: Any = None,
    seed: Any = 0,
) -> EditSettings:
    """Returns the settings of an edit.

    Args:
        model: the generator.
        data_uri: see `read_upload`.
        changes: label names to the values that the result should show; others stay as they are.
        known: label names to the known values of the photograph; others are unknown.
        strength, inversion, guidance_scale, seed: as in the pipeline.

    Raises:
        SettingsError: if a setting is invalid.
    """
    if not changes:
        raise SettingsError("Choose at least one change")
    number = isinstance(strength, (int, float)) and not isinstance(strength, bool)
    if not number or not LEAST_STRENGTH <= strength <= MOST_STRENGTH:
        raise SettingsError(f"strength is {strength!r}, but must be a number from {LEAST_STRENGTH} to {MOST_STRENGTH}")
    labels = model.labels
    try:
        source = labels.complete_condition(known, labels.UNKNOWN_CONDITION)
        target = labels.complete_condition(changes, source)
    except labels.ConditionError as error:
        raise SettingsError(str(error)) from None
    return EditSettings(
        (target,),
        (check_whole("seed", seed, 0, MOST_SEED),),
        model.default_steps,
        check_guidance(model.default_guidance if guidance_scale is None else guidance_scale),
        read_upload(model, data_uri),
        source,
        float(strength),
        bool(inversion),
    )
