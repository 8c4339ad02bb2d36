"""Small parts of the page: notes, progress, figures, and the bar that starts and cancels a run."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from html import escape
from typing import Any

import gradio as gr
from generator.sampling import Frame
from PIL import Image
from results.export import SYNTHETIC

# Events of one concurrency group run one at a time; visitors see their place in the queue.
ONE_AT_A_TIME: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}
# Events of the page are not part of the API, which has named endpoints.
INTERNAL: dict[str, Any] = {"api_visibility": "private"}


def note(text: str, kind: str = "info") -> str:
    """Returns a message that screen readers announce; kind is `info` or `error`."""
    role = "alert" if kind == "error" else "status"
    return f'<p class="note {kind}" role="{role}">{escape(text)}</p>' if text else ""


def title(heading: str, explanation: str) -> str:
    """Returns the heading of a tab."""
    return f'<div class="title"><h2>{escape(heading)}</h2><p>{escape(explanation)}</p></div>'


def progress(frame: Frame) -> str:
    """Returns a progress bar with the step as text."""
    text = f"Denoising, step {frame.step} of {frame.steps}"
    return (
        f'<div class="note info" role="status"><progress max="{frame.steps}" value="{frame.step}" '
        f'aria-label="denoising"></progress> <span>{text}</span></div>'
    )


def figure(source: str, caption: str) -> str:
    """Returns an image with its caption, which is also its alternative text."""
    return f'<figure><img src="{source}" alt="{escape(caption)}"><figcaption>{escape(caption)}</figcaption></figure>'


def figures(pairs: Sequence[tuple[str, str]]) -> str:
    """Returns images with their captions in a row that wraps."""
    return f'<div class="figures">{"".join(figure(source, caption) for source, caption in pairs)}</div>'


class RunBar:
    """A button that starts a run, one that cancels it, and the status line.

    A cancelled run ends itself at its next row. Gradio's own `cancels` is not used: where it meets an update that is on
    its way, the page shows "Error" (gradio 6.31).
    """

    def __init__(self, start: str, name: str) -> None:
        """Adds the three to the page; `name` is the prefix of their ids."""
        with gr.Row(elem_classes="runbar"):
            self.start = gr.Button(start, variant="primary", elem_id=f"{name}-start")
            self.cancel = gr.Button("Cancel", variant="stop", interactive=False, elem_id=f"{name}-cancel")
        self.status = gr.HTML(elem_id=f"{name}-status", elem_classes="status", min_height=48)
        self._stop = gr.State()  # the `threading.Event` that cancels the current run
        # On a phone the images are below the button.
        self._scroll = (
            f"() => {{ if (window.innerWidth < 700) document.querySelector('#{name}-status').scrollIntoView(); }}"
        )

    def connect(
        self, run: Callable[..., Iterator[tuple]], inputs: list[Any], outputs: list[Any], after: dict[str, Any]
    ) -> None:
        """Connects the start button to a generator of rows of outputs, the status line first.

        Args:
            run: called with the inputs; closed at the next row after Cancel.
            inputs, outputs: components.
            after: keyword arguments of an event that follows each run, including cancelled ones.
        """
        buttons = [self.start, self.cancel]
        quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", **INTERNAL}

        def run_until_cancelled(stop: threading.Event, *values: Any) -> Iterator[tuple]:
            with closing(run(*values)) as rows:  # type: ignore[type-var]
                for row in rows:
                    if stop.is_set():
                        yield note("Cancelled."), *[gr.skip() for _ in outputs]
                        return
                    yield row

        # Sequential, so that the updates of the buttons arrive in this order.
        begun = self.start.click(
            lambda: (threading.Event(), *_buttons(running=True)), None, [self._stop, *buttons], js=self._scroll, **quick
        )
        running = begun.then(
            run_until_cancelled,
            [self._stop, *inputs],
            [self.status, *outputs],
            show_progress_on=self.status,
            **ONE_AT_A_TIME,
            **INTERNAL,
        )
        ended = running.then(lambda: _buttons(running=False), None, buttons, **quick)
        if after:
            ended.then(**after, **quick)
        self.cancel.click(_request_stop, self._stop, self.cancel, **quick)


def show_gallery(images: Sequence[Any], captions: Sequence[str]) -> Any:
    """Returns the gallery's update with images, files or previews; no update without images."""
    for image in images:
        if isinstance(image, Image.Image):
            image.info["Description"] = SYNTHETIC  # Gradio writes it into its file
    return gr.Gallery(list(zip(images, captions, strict=True)), visible=True) if images else gr.skip()


def explain_failure(error: Exception) -> str:
    """Returns a note about an error during sampling; the log has the traceback."""
    logging.getLogger(__name__).error("sampling failed", exc_info=error)
    return note(f"The images could not be generated: {error}", "error")


def _request_stop(stop: threading.Event) -> gr.Button:
    stop.set()
    return gr.Button(interactive=False)


def _buttons(running: bool) -> tuple[gr.Button, gr.Button]:
    return gr.Button(interactive=not running), gr.Button(interactive=running)
