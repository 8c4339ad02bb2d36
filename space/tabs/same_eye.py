"""The tabs that show one eye (one seed) with several conditions."""

from __future__ import annotations

import random
from collections.abc import Iterator
from html import escape
from typing import Any

import gradio as gr
from components.view import INTERNAL, RunBar, explain_failure, figures, note, progress, show_gallery, title
from generator.model import Model
from generator.sampling import Frame, Sampler
from generator.settings import MOST_GUIDANCE, MOST_SEED, Settings, SettingsError, check_same_eye
from PIL import Image
from results.difference import show_difference
from results.export import describe_images, encode_png, save_images, to_data_uri

from tabs.presets import PRESETS, SAME_EYE

# Switches between images that are already in the page, without a request to the server.
SLIDE = """
element.addEventListener('input', (event) => {
  const { value } = event.target;
  for (const grade of element.querySelectorAll('[data-grade]')) grade.hidden = grade.dataset.grade !== value;
  event.target.setAttribute('aria-valuetext', element.querySelector('[data-grade]:not([hidden])').dataset.name);
});
"""


def add_eye(model: Model, name: str) -> list[gr.components.Component]:
    """Adds the controls of an eye: seed, a button for another seed, side, and guidance scale."""
    sides = [(text, value) for value, text in enumerate(model.labels.EYE_SIDE.values)]
    with gr.Row(elem_classes="eye"):
        seed = gr.Number(
            12,
            label="Seed: which eye",
            precision=0,
            minimum=0,
            maximum=MOST_SEED,
            elem_id=f"{name}-seed",
            min_width=120,
        )
        side = gr.Radio(sides, value=0, label="Side", elem_id=f"{name}-side", min_width=120)
        guidance = gr.Slider(
            0, MOST_GUIDANCE, model.default_guidance, step=0.5, label="Guidance scale", buttons=[], min_width=200
        )
        another = gr.Button("Another eye", min_width=0)
    another.click(lambda: random.randrange(10_000), None, seed, queue=False, show_progress="hidden", **INTERNAL)
    return [seed, side, guidance]


def compare(model: Model, reference: Image.Image, other: Image.Image, first: str, second: str) -> str:
    """Returns the two images and their difference, side by side."""
    marked, share = show_difference(reference, other)
    trio = (
        (reference, first),
        (other, second),
        (marked, f"Where it changed: {share:.0%} of the image"),
    )
    return figures([(to_data_uri(encode_png(model, image, {"shows": caption})), caption) for image, caption in trio])


class RowTab:
    """Same eye, different disease: a row of conditions, and where each changed the image."""

    def __init__(self, model: Model, sample: Sampler) -> None:
        """Adds the tab to the page and connects it."""
        self._model, self._sample = model, sample
        gr.HTML(
            title("Same eye, different disease", "All images start from the same noise and differ in the condition.")
        )
        conditions = gr.CheckboxGroup(list(PRESETS), value=list(SAME_EYE), label="Conditions", elem_id="row-conditions")
        eye = add_eye(model, "row")
        bar = RunBar("Generate this eye", "row")
        self.gallery = gr.Gallery(
            label="The same eye",
            show_label=False,
            columns=4,
            height="auto",
            object_fit="contain",
            format="png",
            interactive=False,
            type="pil",
            allow_preview=False,
            buttons=[],
            visible=False,
            elem_id="row-gallery",
        )
        changed = gr.HTML(elem_id="row-difference")
        bar.connect(self._run, [conditions, *eye], [self.gallery, changed], {})
        self.gallery.select(self._compare, self.gallery, changed, queue=False, show_progress="hidden", **INTERNAL)

    def _run(self, names: list[str], seed: Any, side: int, guidance: Any) -> Iterator[tuple]:
        try:
            settings = check_same_eye(
                self._model, [PRESETS[name] | {"eye_side": side} for name in names], seed, None, guidance
            )
        except SettingsError as error:
            yield note(str(error), "error"), gr.skip(), gr.skip()
            return
        try:
            for frame in self._sample(settings):
                if not frame.done:
                    yield progress(frame), show_gallery(frame.images, names), ""
        except Exception as error:  # any error of model or device; the page keeps working
            yield explain_failure(error), gr.skip(), gr.skip()
            return
        files = save_images(self._model, settings, frame.images)
        last = len(names) - 1
        shown = compare(self._model, frame.images[0], frame.images[last], names[0], names[last]) if last else ""
        said = "Select an image to see where it differs from the first." if last else ""
        yield note(said), show_gallery(files, names), shown

    def _compare(self, pairs: list[tuple[Image.Image, str]], chosen: gr.SelectData) -> str:
        (reference, first), (other, second) = pairs[0], pairs[chosen.index]
        return compare(self._model, reference, other, first, second)


class GradesTab:
    """A slider over the grades of diabetic retinopathy, for one eye."""

    def __init__(self, model: Model, sample: Sampler) -> None:
        """Adds the tab to the page and connects it."""
        self._model, self._sample = model, sample
        self._grade = model.labels.DISEASES[0]
        gr.HTML(title("From no retinopathy to proliferative", "One eye at all five grades: move the slider."))
        eye = add_eye(model, "grades")
        bar = RunBar("Generate all grades", "grades")
        slider = gr.HTML(js_on_load=SLIDE, elem_id="grades-slider")
        bar.connect(self._run, eye, [slider], {})

    def _run(self, seed: Any, side: int, guidance: Any) -> Iterator[tuple]:
        conditions = [{self._grade.name: value, "eye_side": side} for value in range(self._grade.cardinality)]
        try:
            settings = check_same_eye(self._model, conditions, seed, None, guidance)
        except SettingsError as error:
            yield note(str(error), "error"), gr.skip()
            return
        try:
            for frame in self._sample(settings):
                if not frame.done:
                    yield progress(frame), self._previews(settings, frame) if frame.images else gr.skip()
            yield note(""), self._slider(settings, frame)
        except Exception as error:  # any error of model or device; the page keeps working
            yield explain_failure(error), gr.skip()

    def _previews(self, settings: Settings, frame: Frame) -> str:
        captions = describe_images(self._model, settings)
        return figures(
            [
                (to_data_uri(encode_png(self._model, image, {"preview": frame.step})), caption)
                for image, caption in zip(frame.images, captions, strict=True)
            ]
        )

    def _slider(self, settings: Settings, frame: Frame) -> str:
        """The slider, and for each grade the reference, the image and the difference; only one grade is visible."""
        names = [f"{value} {name}" for value, name in enumerate(self._grade.values)]
        panels = []
        for value, (image, name) in enumerate(zip(frame.images, names, strict=True)):
            trio = compare(self._model, frame.images[0], image, f"Grade {names[0]}", f"Grade {name}")
            panels.append(
                f'<div data-grade="{value}" data-name="{escape(name)}" {"hidden" if value else ""}>{trio}</div>'
            )
        ticks = "".join(f"<span>{escape(name)}</span>" for name in names)
        heading = escape(self._grade.full_name.capitalize())
        return (
            f'<div class="grades"><label>{heading}, seed {settings.seeds[0]}'
            f'<input type="range" min="0" max="{len(names) - 1}" value="0" aria-valuetext="{escape(names[0])}">'
            f'</label><div class="ticks" aria-hidden="true">{ticks}</div>{"".join(panels)}</div>'
        )
