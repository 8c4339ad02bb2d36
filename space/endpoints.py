"""The named endpoints of the API, for `gradio_client` and plain HTTP; README.md shows how to call them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr
from components.view import ONE_AT_A_TIME
from generator.model import Model
from generator.sampling import Sampler
from generator.settings import Settings, SettingsError, check_one, check_same_eye
from gradio.data_classes import FileData
from results.export import describe_images, save_images


def add_endpoints(app: gr.Blocks, model: Model, sample: Sampler) -> None:
    """Adds `/generate`, `/generate_live`, `/same_eye` and `/labels` to the page under construction."""

    def run(settings: Settings) -> Iterator[dict]:
        for frame in sample(settings):
            images = _to_answer(app, model, settings, frame.images) if frame.done else []
            yield {"step": frame.step, "steps": frame.steps, "images": images}

    def generate(
        condition: dict,
        num_images: int = 1,
        seed: int = 0,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
    ) -> list[dict]:
        """Generates images of one condition; image k uses seed + k."""
        *_, last = run(_check(check_one, model, condition, num_images, seed, num_inference_steps, guidance_scale))
        return last["images"]

    def generate_live(
        condition: dict,
        num_images: int = 1,
        seed: int = 0,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
    ) -> Iterator[dict]:
        """As generate, but reports each step and can be cancelled; the last answer contains the images."""
        yield from run(_check(check_one, model, condition, num_images, seed, num_inference_steps, guidance_scale))

    def same_eye(
        conditions: list[dict],
        seed: int = 0,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
    ) -> list[dict]:
        """Generates one eye (one seed) with each of several conditions."""
        *_, last = run(_check(check_same_eye, model, conditions, seed, num_inference_steps, guidance_scale))
        return last["images"]

    def labels() -> list[dict]:
        """Lists the labels of a condition: name, full name, explanation, the names of the values 0, 1, ..., default."""
        return [
            {
                "name": label.name,
                "full_name": label.full_name,
                "explanation": label.explanation,
                "values": list(label.values),
                "default": label.default,
            }
            for label in model.labels.CONDITION_LABELS
        ]

    for endpoint in (generate, generate_live, same_eye):
        gr.api(endpoint, **ONE_AT_A_TIME)
    gr.api(labels, queue=False)


def _check(check: Any, *arguments: Any) -> Settings:
    """Returns checked settings; a problem reaches the caller as the text of the error."""
    try:
        return check(*arguments)
    except SettingsError as error:
        raise gr.Error(str(error), title="422 Unprocessable request", print_exception=False) from None


def _to_answer(app: gr.Blocks, model: Model, settings: Settings, images: list[Any]) -> list[dict]:
    paths = save_images(model, settings, images)
    app.upload_file_set.update(map(str, paths))  # Gradio deletes only the files that it knows
    rows = zip(paths, describe_images(model, settings), settings.conditions, settings.seeds, strict=True)
    return [
        {
            "image": FileData(path=str(path), mime_type="image/png").model_dump(),
            "caption": caption,
            "labels": condition,
            "seed": seed,
        }
        for path, caption, condition, seed in rows
    ]
