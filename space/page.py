"""The page: its frame, its tabs, and what it says when there is no model."""

from __future__ import annotations

from html import escape
from pathlib import Path

import gradio as gr
from endpoints import add_endpoints
from generate_tab import GenerateTab
from model import Model
from quiz_tab import QuizTab
from same_eye_tab import GradesTab, RowTab
from sampling import Sampler

# Files of past requests are looked over every ten minutes, and deleted after an hour.
CLEAR_EVERY, CLEAR_AFTER = 600, 3600
HEADER = """<header><h1>SynFundus</h1><p>Retinal fundus photographs to order, drawn by a diffusion model.</p>
<p class="notice"><strong>Research only. Not for diagnosis, nor for any decision about a patient.</strong>
Every picture is synthetic: it shows no person's eye.</p></header>"""


def build_page(model: Model, sample: Sampler, photographs: list[Path]) -> gr.Blocks:
    """Returns the page and the API."""
    with _blocks() as app:
        gr.HTML(HEADER, apply_default_css=False)
        with gr.Tabs():
            with gr.Tab("Generate"):
                GenerateTab(app, model, sample)
            with gr.Tab("Same eye"):
                RowTab(model, sample)
            with gr.Tab("Grades"):
                GradesTab(model, sample)
            with gr.Tab("Quiz"):
                QuizTab(model, sample, photographs)
        add_endpoints(app, model, sample)
        gr.HTML(
            f"<footer>Generator {model.name}, revision {model.revision}, {model.width}x{model.height} pixels, on "
            f"{model.pipeline.device.type.upper()}. CC BY-NC-SA 4.0.</footer>",
            apply_default_css=False,
        )
    return app


def build_error_page(reason: str) -> gr.Blocks:
    """Returns the page of a Space that cannot work, which says why."""
    with _blocks() as app:
        gr.HTML(HEADER, apply_default_css=False)
        gr.HTML(
            f'<div class="note error" role="alert"><h2>This Space could not start</h2><p>{escape(reason)}</p></div>',
            elem_id="start-error",
        )
    return app


def _blocks() -> gr.Blocks:
    return gr.Blocks(
        title="SynFundus", analytics_enabled=False, fill_width=True, delete_cache=(CLEAR_EVERY, CLEAR_AFTER)
    )
