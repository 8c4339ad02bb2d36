"""The tab that edits a visitor's photograph. Photograph and result stay in memory: no file is written for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr
from components.form import in_full_names
from components.upload import build_upload
from components.view import INTERNAL, RunBar, explain_failure, figures, note, progress, title
from generator.model import Model
from generator.photograph import DEFAULT_STRENGTH, LEAST_STRENGTH, MOST_STRENGTH, EditSettings, check_edit
from generator.sampling import Sampler
from generator.settings import MOST_GUIDANCE, MOST_SEED, SettingsError
from PIL import Image
from results.difference import show_difference
from results.export import EDITED, add_visible_mark, encode_png, to_data_uri

ABOUT = (
    "Change a finding in a photograph and keep the eye. Research only: the result is synthetic and shows no finding of "
    "this person. The photograph is processed in memory, never stored, and gone when you close the page. Use only "
    "photographs that you may use."
)


class PhotographTab:
    """Builds the tab and connects it."""

    def __init__(self, model: Model, sample: Sampler) -> None:
        """Adds the tab to the page and connects it."""
        self._model, self._sample = model, sample
        gr.HTML(title("Your photograph", ABOUT))
        with gr.Row(elem_classes="edit"):
            with gr.Column(scale=5, min_width=300):
                upload = build_upload()
                choices = self._choices()
                changes = gr.Dropdown(choices, multiselect=True, label="Change to", elem_id="edit-changes")
                known = gr.Dropdown(choices, multiselect=True, label="Known of the photograph (optional)")
            with gr.Column(scale=5, min_width=300):
                strength = gr.Slider(
                    LEAST_STRENGTH,
                    MOST_STRENGTH,
                    DEFAULT_STRENGTH,
                    step=0.05,
                    label="Strength of the change",
                    buttons=[],
                    elem_id="edit-strength",
                )
                inversion = gr.Checkbox(True, label="Stay close to the photograph (inversion, slower)")
                guidance = gr.Slider(
                    0, MOST_GUIDANCE, model.default_guidance, step=0.5, label="Guidance scale", buttons=[]
                )
                seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=MOST_SEED)
                mark = gr.Checkbox(False, label='Write "synthetic" on the result', elem_id="edit-mark")
        bar = RunBar("Edit the photograph", "edit")
        result = gr.HTML(elem_id="edit-result")
        bar.connect(self._run, [upload, changes, known, strength, inversion, guidance, seed, mark], [result], {})
        upload.input(lambda: "", None, result, queue=False, show_progress="hidden", **INTERNAL)

    def _choices(self) -> list[tuple[str, str]]:
        """All values of all findings and readability labels, in words, as `name=value`."""
        labels = self._model.labels.LABELS
        return [
            (f"{label.full_name}: {text}", f"{label.name}={value}")
            for label in labels
            for value, text in enumerate(label.values)
        ]

    def _run(
        self,
        data_uri: Any,
        changes: Sequence[str],
        known: Sequence[str],
        strength: Any,
        inversion: Any,
        guidance: Any,
        seed: Any,
        mark: bool,
    ) -> Iterator[tuple]:
        """Yields status and result."""
        try:
            chosen, given = self._to_condition(changes), self._to_condition(known)
            settings = check_edit(self._model, data_uri, chosen, given, strength, inversion, guidance, seed)
        except SettingsError as error:
            yield note(in_full_names(self._model, f"{error}."), "error"), ""
            return
        try:
            yield note("Preparing the photograph ..."), ""
            for frame in self._sample(settings):
                if not frame.done:
                    yield progress(frame), gr.skip()
        except Exception as error:  # any error of model or device; the page keeps working
            yield explain_failure(error), gr.skip()
            return
        yield note("Edited. The result is synthetic."), self._show(settings, frame.images[0], chosen, mark)

    def _to_condition(self, choices: Sequence[str] | None) -> dict[str, int]:
        condition: dict[str, int] = {}
        for choice in choices or ():
            name, _, value = choice.partition("=")
            if name in condition:
                full_name = self._model.labels.get_label(name).full_name
                raise SettingsError(f"{full_name} is chosen twice, with different values")
            condition[name] = int(value)
        return condition

    def _show(self, settings: EditSettings, edited: Image.Image, changes: dict[str, int], mark: bool) -> str:
        """Original, edit and difference side by side, and a download link; no file is written on the server."""
        difference, share = show_difference(settings.photograph, edited)
        details = {"edit": changes, "strength": settings.strength, "inversion": settings.inversion}
        details |= {"seed": settings.seeds[0], "guidance_scale": settings.guidance_scale}
        result, marked = (add_visible_mark(image) if mark else image for image in (edited, difference))
        files = [encode_png(self._model, image, details, EDITED) for image in (result, marked)]
        names = ", ".join(
            f"{label.full_name}: {label.value_name(changes[label.name])}"
            for label in self._model.labels.LABELS
            if label.name in changes
        )
        original = encode_png(self._model, settings.photograph, {}, None)
        trio = figures(
            [
                (to_data_uri(original), "Your photograph"),
                (to_data_uri(files[0]), f"Synthetic edit: {names}"),
                (to_data_uri(files[1]), f"Where it changed: {share:.0%} of the image"),
            ]
        )
        link = f'<a class="download" download="synthetic-edit.png" href="{to_data_uri(files[0])}">'
        return f"{trio}<p>{link}Download the edit (PNG)</a></p>"
