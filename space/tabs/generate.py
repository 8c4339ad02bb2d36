"""The tab that generates images of one condition."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import gradio as gr
from components.form import build_form, check_form, fill_form, in_full_names, read_form
from components.view import INTERNAL, RunBar, explain_failure, note, progress, show_gallery
from generator.model import Model
from generator.sampling import Sampler
from generator.settings import (
    DEFAULT_IMAGES,
    MOST_GUIDANCE,
    MOST_IMAGES,
    MOST_SEED,
    MOST_STEPS,
    SettingsError,
    check_one,
)
from results import links
from results.export import describe_images, save_downloads

from tabs.presets import EXAMPLES, PRESETS

# The address bar always has the link to the images shown.
SHOW_LINK = """(query) => {
  if (!query) return '';
  const url = new URL(window.location.href);
  url.search = query;
  window.history.replaceState(null, '', url);
  return url.href;
}"""
RUN_LINK = "(query) => { if (query) document.querySelector('#generate-start').click(); }"
RUN_NOW = "() => document.querySelector('#generate-start').click()"
# Until a preset has filled in the form, Generate would read the choices from before.
HOLD_START = "(name) => { document.querySelector('#generate-start').disabled = true; return name; }"
RELEASE_START = "() => { document.querySelector('#generate-start').disabled = false; }"


class GenerateTab:
    """Builds the tab and connects it."""

    def __init__(self, page: gr.Blocks, model: Model, sample: Sampler) -> None:
        """Adds the tab's components to the page."""
        self._model, self._sample = model, sample
        with gr.Row(elem_classes="workbench"):
            with gr.Column(scale=5, min_width=340):
                self._build_controls()
            with gr.Column(scale=7, min_width=340, elem_classes="results"):
                self._build_results()
        self._connect(page)

    def _build_controls(self) -> None:
        gr.HTML('<h2 id="presets">Presets</h2>', apply_default_css=False)
        with gr.Row(elem_classes="chips"):
            self.presets = [gr.Button(name, size="sm", min_width=0) for name in PRESETS]
        self.form = build_form(self._model)
        self.contradiction = gr.HTML(elem_id="contradiction")
        with gr.Group():
            with gr.Row():
                self.images = gr.Slider(1, MOST_IMAGES, DEFAULT_IMAGES, step=1, label="Images", buttons=[])
                self.seed = gr.Number(0, label="Seed of the first image", precision=0, minimum=0, maximum=MOST_SEED)
            with gr.Row():
                self.steps = gr.Slider(
                    1, MOST_STEPS, self._model.default_steps, step=1, label="Denoising steps", buttons=[]
                )
                self.guidance = gr.Slider(
                    0, MOST_GUIDANCE, self._model.default_guidance, step=0.5, label="Guidance scale", buttons=[]
                )
        gr.HTML("<h2>Examples: whole requests</h2>", apply_default_css=False)
        with gr.Row(elem_classes="chips"):
            self.examples = [gr.Button(name, size="sm", min_width=0) for name in EXAMPLES]

    def _build_results(self) -> None:
        self.bar = RunBar("Generate", "generate")
        gr.HTML('<div class="placeholder"><p>Choose findings, then press Generate.</p></div>', apply_default_css=False)
        self.gallery = gr.Gallery(
            label="Synthetic images",
            show_label=False,
            columns=2,
            height="auto",
            object_fit="contain",
            format="png",
            interactive=False,
            buttons=["download", "fullscreen"],
            visible=False,
            elem_id="gallery",
        )
        with gr.Row(elem_classes="chips"):
            self.archive = gr.DownloadButton("Images and labels (ZIP)", size="sm", interactive=False, elem_id="zip")
            self.csv = gr.DownloadButton("Labels (CSV)", size="sm", interactive=False, elem_id="csv")
            self.parquet = gr.DownloadButton("Labels (Parquet)", size="sm", interactive=False, elem_id="parquet")
        with gr.Row(elem_classes="link"):
            # Gradio's copy button would hide the label.
            self.link = gr.Textbox(label="Link to these images", interactive=False, max_lines=1, elem_id="link")
            copy = gr.Button("Copy link", size="sm", min_width=0)
        copy.click(None, self.link, js="(link) => navigator.clipboard.writeText(link)")
        self.query = gr.Textbox(visible="hidden")

    def _connect(self, page: gr.Blocks) -> None:
        numbers = [self.images, self.seed, self.steps, self.guidance]
        checked = [self.form, self.contradiction, self.bar.start]
        quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", **INTERNAL}
        self.form.input(self._explain, self.form, checked, **quick)
        for button in self.presets:
            filled = button.click(self._apply_preset, button, checked, js=HOLD_START, **quick)
            filled.then(None, js=RELEASE_START)
        for button in self.examples:
            button.click(self._apply_example, button, [*checked, *numbers], **quick).then(None, js=RUN_NOW)
        self.bar.connect(
            self._run,
            [self.form, *numbers],
            [self.gallery, self.archive, self.csv, self.parquet, self.query, self.link],
            {"fn": None, "inputs": self.query, "outputs": self.link, "js": SHOW_LINK},
        )
        restored = page.load(self._restore, None, [self.query, *checked, *numbers], **quick)
        restored.then(None, self.query, js=RUN_LINK)

    def _explain(self, value: Mapping[str, Any]) -> tuple[Any, str, gr.Button]:
        """Fills in labels that follow from a choice, or explains a contradiction."""
        try:
            complete, locked = check_form(self._model, value)
        except SettingsError as error:
            return (
                gr.skip(),
                note(f"These findings exclude each other: {error}.", "error"),
                gr.Button(interactive=False),
            )
        labels = [label for label in self._model.labels.READABILITY if label.name in locked]
        follows = ", ".join(f"{label.full_name} ({label.value_name(complete[label.name])})" for label in labels)
        text = f"Determined by your other choices: {follows}." if locked else ""
        return fill_form(complete, locked), note(text), gr.Button(interactive=True)

    def _apply_preset(self, name: str) -> tuple[Any, str, gr.Button]:
        return self._explain(self._model.labels.complete_condition(PRESETS[name]))

    def _apply_example(self, name: str) -> tuple:
        return self._fill(**EXAMPLES[name])

    def _restore(self, request: gr.Request) -> tuple:
        """Fills in the controls from the link that was opened."""
        unchanged = (gr.skip(),) * 7
        try:
            settings = links.from_query(self._model, request.query_params)
        except SettingsError as error:
            reason = in_full_names(self._model, str(error))
            return "", gr.skip(), note(f"This link cannot be used: {reason}.", "error"), *unchanged[2:]
        if settings is None:
            return "", *unchanged
        filled = self._fill(
            settings.conditions[0],
            len(settings.seeds),
            settings.seeds[0],
            settings.num_inference_steps,
            settings.guidance_scale,
        )
        return links.to_query(self._model, settings), *filled

    def _fill(
        self,
        condition: Mapping[str, int],
        num_images: int,
        seed: int,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
    ) -> tuple:
        steps = self._model.default_steps if num_inference_steps is None else num_inference_steps
        guidance = self._model.default_guidance if guidance_scale is None else guidance_scale
        return (*self._explain(self._model.labels.complete_condition(condition)), num_images, seed, steps, guidance)

    def _run(self, value: Mapping[str, Any], images: Any, seed: Any, steps: Any, guidance: Any) -> Iterator[tuple]:
        """Yields status, gallery, the three downloads, the link's query, and the link (empty until it is known)."""
        unchanged = (gr.skip(),) * 6
        try:
            settings = check_one(self._model, read_form(self._model, value), images, seed, steps, guidance)
        except SettingsError as error:
            yield note(in_full_names(self._model, str(error)), "error"), *unchanged
            return
        captions = describe_images(self._model, settings)
        began = time.monotonic()
        try:
            for frame in self._sample(settings):
                if not frame.done:  # downloads and link of the previous run
                    none = [gr.DownloadButton(interactive=False) for _ in range(3)]
                    yield progress(frame), show_gallery(frame.images, captions), *none, "", ""
        except Exception as error:  # any error of model or device; the page keeps working
            yield explain_failure(error), *unchanged
            return
        files = save_downloads(self._model, settings, frame.images)
        count = "1 synthetic image" if len(files.images) == 1 else f"{len(files.images)} synthetic images"
        done = f"{count} in {time.monotonic() - began:.1f} s."
        buttons = [
            gr.DownloadButton(value=path, interactive=True) for path in (files.archive, files.csv, files.parquet)
        ]
        query = links.to_query(self._model, settings)
        yield note(done), show_gallery(files.images, files.captions), *buttons, query, gr.skip()
