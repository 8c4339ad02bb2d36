"""The settings of a request, their limits and their checks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from generator.model import Model

MOST_IMAGES = 8
MOST_STEPS = 50
MOST_GUIDANCE = 10.0
MOST_SEED = 2**32 - 1
MOST_PIXELS = 8 * 512 * 512
DEFAULT_IMAGES = 4


class SettingsError(ValueError):
    """An invalid setting; the message names the setting, the value and what is allowed."""


@dataclass(frozen=True)
class Settings:
    """The checked settings of one request.

    Attributes:
        conditions: complete conditions, one per image.
        seeds: the seed of each image's noise.
        num_inference_steps: denoising steps.
        guidance_scale: weight of classifier-free guidance; 1 means none.
    """

    conditions: tuple[dict[str, int], ...]
    seeds: tuple[int, ...]
    previews: ClassVar[bool] = True  # whether the page shows images between the steps
    num_inference_steps: int
    guidance_scale: float

    def arguments(self) -> dict[str, Any]:
        """Returns the arguments of the pipeline."""
        return {
            "conditions": list(self.conditions),
            "generator": list(self.seeds),
            "num_inference_steps": self.num_inference_steps,
            "guidance_scale": self.guidance_scale,
        }


def check_whole(name: str, value: Any, least: int, most: int) -> int:
    """Returns a whole number as an integer; browsers send 4.0 for 4.

    Raises:
        SettingsError: if it is not a whole number or out of range.
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not number or value != int(value) or not least <= value <= most:
        raise SettingsError(f"{name} is {value!r}, but must be a whole number from {least} to {most}")
    return int(value)


def check_images(model: Model, name: str, value: Any) -> int:
    """Returns the number of images of one request.

    Raises:
        SettingsError: if it is not a whole number, or above the limit of images or pixels per request.
    """
    most = min(MOST_IMAGES, max(1, MOST_PIXELS // (model.width * model.height)))
    return check_whole(name, value, 1, most)


def check_guidance(value: Any) -> float:
    """Returns the guidance scale.

    Raises:
        SettingsError: if it is not a number or out of range.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= MOST_GUIDANCE:
        raise SettingsError(f"guidance_scale is {value!r}, but must be a number from 0 to {MOST_GUIDANCE:g}")
    return float(value)


def check_condition(model: Model, condition: Any) -> dict[str, int]:
    """Returns the complete condition. Labels left out are healthy and readable; None or -1 is unspecified.

    Raises:
        SettingsError: for an unknown label, an invalid value, or contradicting labels.
    """
    try:
        return model.labels.complete_condition(condition)
    except model.labels.ConditionError as error:
        raise SettingsError(str(error)) from None


def check_one(
    model: Model,
    condition: Mapping[str, Any],
    num_images: Any = 1,
    seed: Any = 0,
    num_inference_steps: Any = None,
    guidance_scale: Any = None,
) -> Settings:
    """Returns the settings of several images of one condition; image k uses `seed + k`.

    Raises:
        SettingsError: if a setting is invalid.
    """
    complete = check_condition(model, condition)
    count = check_images(model, "num_images", num_images)
    first = check_whole("seed", seed, 0, MOST_SEED)
    return Settings(
        (complete,) * count,
        tuple(range(first, first + count)),
        *_check_sampling(model, num_inference_steps, guidance_scale),
    )


def check_same_eye(
    model: Model,
    conditions: Any,
    seed: Any = 0,
    num_inference_steps: Any = None,
    guidance_scale: Any = None,
) -> Settings:
    """Returns the settings of one eye (one seed) with several conditions.

    Raises:
        SettingsError: if a setting is invalid; the message has the number of an invalid condition.
    """
    if not isinstance(conditions, Sequence) or isinstance(conditions, str):
        raise SettingsError(f"conditions is {conditions!r}, but must be a list of mappings from label names to values")
    check_images(model, "the number of conditions", len(conditions))
    complete = []
    for number, condition in enumerate(conditions):
        try:
            complete.append(check_condition(model, condition))
        except SettingsError as error:
            raise SettingsError(f"conditions[{number}]: {error}") from None
    seeds = (check_whole("seed", seed, 0, MOST_SEED),) * len(complete)
    return Settings(tuple(complete), seeds, *_check_sampling(model, num_inference_steps, guidance_scale))


def _check_sampling(model: Model, steps: Any, guidance: Any) -> tuple[int, float]:
    steps = model.default_steps if steps is None else steps
    guidance = model.default_guidance if guidance is None else guidance
    return check_whole("num_inference_steps", steps, 1, MOST_STEPS), check_guidance(guidance)
