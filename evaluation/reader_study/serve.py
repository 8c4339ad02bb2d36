"""The page on which annotators answer, one image at a time."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr

from evaluation.errors import EvaluationError

from .answers import REAL, SYNTHETIC, Answers
from .blend import Item, image_file, load_key

# Small images are enlarged. The keys R and S press the buttons, unless somebody is typing a name.
HEAD = """
<style>#image img { width: 480px; max-width: 100%; }</style>
<script>
document.addEventListener("keydown", (event) => {
  if (["INPUT", "TEXTAREA"].includes(event.target.tagName) || event.repeat || event.ctrlKey || event.metaKey) return;
  const name = {r: "real", s: "synthetic"}[event.key.toLowerCase()];
  if (name) document.getElementById(name)?.click();
});
</script>
"""
WELCOME = (
    "# Real or synthetic?\n"
    "Half of these fundus images are photographs, half were made by a machine. Say of each which it is, with the "
    "buttons or the keys **R** and **S**. Every answer is saved at once: you may close the page, and go on later under "
    "the same name."
)


def build_page(folder: Path) -> gr.Blocks:
    """Builds the page of a study.

    Args:
        folder: the study's.

    Raises:
        EvaluationError: if the folder holds no study.
    """
    items = load_key(folder)
    with gr.Blocks(title="Real or synthetic?") as page:
        gr.Markdown(WELCOME)
        shown = gr.State(None)  # annotator, item and since when
        with gr.Row() as entrance:
            name = gr.Textbox(label="Your name", elem_id="name", max_length=40, autofocus=True)
            start = gr.Button("Start", elem_id="start", variant="primary")
        progress = gr.Markdown(elem_id="progress")
        image = gr.Image(
            visible=False, interactive=False, show_label=False, height=480, elem_id="image", buttons=["fullscreen"]
        )
        with gr.Row(visible=False) as choice:
            real = gr.Button("Real (R)", elem_id="real")
            synthetic = gr.Button("Synthetic (S)", elem_id="synthetic")

        def view(answers: Answers) -> dict[Any, Any]:
            return _view(folder, items, answers, (shown, entrance, progress, image, choice))

        def enter(annotator: str) -> dict[Any, Any]:
            try:
                return view(Answers(folder, annotator))
            except EvaluationError as error:
                raise gr.Error(str(error)) from None

        def answer(state: dict[str, Any], value: int) -> dict[Any, Any]:
            answers = Answers(folder, state["annotator"])
            answers.record(state["item"], value, time.time() - state["since"])
            return view(answers)

        outputs = [shown, entrance, progress, image, choice]
        for event in (start.click, name.submit):
            event(enter, name, outputs, show_progress="hidden")
        for button, value in ((real, REAL), (synthetic, SYNTHETIC)):
            button.click(lambda state, value=value: answer(state, value), shown, outputs, show_progress="hidden")
    return page


def _view(folder: Path, items: list[Item], answers: Answers, parts: tuple[Any, ...]) -> dict[Any, Any]:
    """What is seen next: an image, or thanks."""
    shown, entrance, progress, image, choice = parts
    item = answers.next_item(items)
    done = len(answers.read())
    count = f"**{done} of {len(items)}** answered by {answers.annotator}"
    if item is None:
        thanks = f"{count}. Thank you, that was the last one."
        return {
            shown: None,
            entrance: gr.update(visible=False),
            progress: thanks,
            image: gr.update(visible=False, value=None),
            choice: gr.update(visible=False),
        }
    return {
        shown: {"annotator": answers.annotator, "item": item.name, "since": time.time()},
        entrance: gr.update(visible=False),
        progress: count,
        image: gr.update(visible=True, value=str(image_file(folder, item.name))),
        choice: gr.update(visible=True),
    }


def serve(folder: Path, host: str, port: int | None) -> None:
    """Serves a study until it is interrupted.

    Args:
        folder: the study's.
        host: address to listen on.
        port: port, or None for Gradio's choice.
    """
    images = str((folder / "images").resolve())
    build_page(folder.resolve()).launch(
        server_name=host,
        server_port=port,
        head=HEAD,
        allowed_paths=[images],
        ssr_mode=False,
        footer_links=[],
        theme=gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
    )
