"""Links that reproduce a request: all its settings in the address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from generator.model import Model
from generator.settings import DEFAULT_IMAGES, Settings, SettingsError, check_one

NUMBERS = {"images": "num_images", "seed": "seed", "steps": "num_inference_steps", "guidance": "guidance_scale"}


def to_query(model: Model, settings: Settings) -> str:
    """Returns the query string of a request of one condition: labels that differ from the default, and all numbers."""
    condition = settings.conditions[0]
    named: dict[str, Any] = {
        label.name: condition[label.name]
        for label in model.labels.CONDITION_LABELS
        if condition[label.name] != label.default
    }
    named |= {
        "images": len(settings.seeds),
        "seed": settings.seeds[0],
        "steps": settings.num_inference_steps,
        "guidance": f"{settings.guidance_scale:g}",
    }
    return urlencode(named)


def from_query(model: Model, query: Mapping[str, str]) -> Settings | None:
    """Returns the request in a query string; None if there is none.

    Names that start with two underscores belong to Gradio and are ignored.

    Raises:
        SettingsError: if a name or value is invalid.
    """
    asked = {name: value for name, value in query.items() if not name.startswith("__")}
    if not asked:
        return None
    condition: dict[str, Any] = {}
    numbers: dict[str, Any] = {"num_images": DEFAULT_IMAGES}
    for name, text in asked.items():
        try:
            value = float(text)
        except ValueError:
            raise SettingsError(f"{name} is {text!r} in the link, but must be a number") from None
        if name in NUMBERS:
            numbers[NUMBERS[name]] = value
        else:
            condition[name] = value
    return check_one(model, condition, **numbers)
