"""The SynFundus Space: ask for an eye with these findings, and see it.

Run it with `python app.py`. The environment variable SYNFUNDUS_MODEL names another model folder or Hub id.
"""

import importlib
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr
import torch
from diffusers import DiffusionPipeline
from PIL import Image

IN_CLONE = Path(__file__).resolve().parent.parent / "pipeline_synfundus"
MODEL = os.environ.get("SYNFUNDUS_MODEL") or (str(IN_CLONE) if IN_CLONE.is_dir() else "synfundus/synfundus-generator")
MOST_IMAGES, MOST_STEPS = 8, 50
NOTICE = (
    "Every picture here is synthetic: it shows no person's eye. **For research only. Not for diagnosis, nor for any "
    "decision about a patient.**"
)


def load_model() -> tuple[Any, Any]:
    """Loads the pipeline as a user would, and the labels that came with it: the Space needs no package of ours."""
    pipeline = DiffusionPipeline.from_pretrained(MODEL, trust_remote_code=True)
    pipeline.to("cuda" if torch.cuda.is_available() else "cpu")
    pipeline.set_progress_bar_config(disable=True)
    labels = importlib.import_module(type(pipeline).__module__.rpartition(".")[0] + ".labels")
    return pipeline, labels


PIPELINE, LABELS = load_model()
DR_GRADE, *FINDINGS = LABELS.DISEASES


def read_condition(dr_grade: int, findings: list[str], unreadable: list[str], eye_side: int) -> dict[str, int]:
    """The complete condition of what was chosen.

    Raises:
        gr.Error: if the choices contradict each other; the message says which and what is allowed.
    """
    chosen = dict.fromkeys(findings, 1) | dict.fromkeys(unreadable, 0)
    try:
        return LABELS.complete_condition({"dr_grade": dr_grade, "eye_side": eye_side} | chosen)
    except LABELS.ConditionError as error:
        raise gr.Error(str(error)) from None


def generate(
    dr_grade: int,
    findings: list[str],
    unreadable: list[str],
    eye_side: int,
    num_images: float,
    seed: float,
    num_inference_steps: float,
    guidance_scale: float,
    progress: gr.Progress = gr.Progress(),  # noqa: B008  gradio finds it by this default
) -> list[tuple[Image.Image, str]]:
    """Generates images and their captions; image k has the noise of seed + k.

    The numbers are checked by the page's own inputs, also when they come through the API.

    Raises:
        gr.Error: for choices that contradict each other.
    """
    condition = read_condition(dr_grade, findings, unreadable, eye_side)
    steps, seeds = int(num_inference_steps), [int(seed) + number for number in range(int(num_images))]

    def report(pipeline: Any, step: int, timestep: int, tensors: dict) -> dict:
        progress((step + 1, steps), unit="steps")
        return tensors

    images = PIPELINE(
        condition,
        num_images_per_condition=len(seeds),
        generator=seeds,
        num_inference_steps=steps,
        guidance_scale=guidance_scale,
        callback_on_step_end=report,
    ).images
    caption = LABELS.describe(condition)
    return [(image, f"{caption}, seed {number}") for image, number in zip(images, seeds, strict=True)]


def build_app() -> gr.Blocks:
    """The page."""

    def choices(labels: list[Any]) -> list[tuple[str, str]]:
        return [(label.full_name, label.name) for label in labels]

    with gr.Blocks(title="SynFundus", analytics_enabled=False) as app:
        gr.Markdown(f"# SynFundus\nRetinal fundus photographs to order. {NOTICE}")
        with gr.Row():
            with gr.Column():
                grades = [(f"{value} {name}", value) for value, name in enumerate(DR_GRADE.values)]
                sides = [("either", LABELS.UNKNOWN), *((n, v) for v, n in enumerate(LABELS.EYE_SIDE.values))]
                inputs = [
                    gr.Dropdown(grades, value=0, label=DR_GRADE.full_name.capitalize()),
                    gr.CheckboxGroup(choices(FINDINGS), label="Other findings", value=[]),
                    gr.CheckboxGroup(
                        [(f"not a {LABELS.READABILITY[0].full_name}", LABELS.READABILITY[0].name)]
                        + [
                            (label.full_name.replace("readable", "unreadable"), label.name)
                            for label in LABELS.READABILITY[1:]
                        ],
                        label="What cannot be read",
                        value=[],
                    ),
                    gr.Radio(sides, value=LABELS.UNKNOWN, label="Eye"),
                    gr.Slider(1, MOST_IMAGES, value=4, step=1, label="Images"),
                    gr.Number(0, label="Seed", precision=0, minimum=0),
                    gr.Slider(1, MOST_STEPS, value=12, step=1, label="Denoising steps"),
                    gr.Slider(1, 8, value=2, step=0.5, label="Guidance scale"),
                ]
                button = gr.Button("Generate", variant="primary")
            with gr.Column(scale=2):
                gallery = gr.Gallery(label="Synthetic images", columns=2, format="png", height="auto")
        button.click(generate, inputs, gallery, api_name="generate", concurrency_limit=1)
    return app


if __name__ == "__main__":
    build_app().queue(max_size=20).launch()
