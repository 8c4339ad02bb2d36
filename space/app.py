"""The SynFundus Space: choose findings and generate fundus images that show them.

Run it with `python app.py`. README.md lists the environment variables that configure it.
"""

import logging
import os
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr
from generator.model import StartError, find_model_name, load_model
from generator.sampling import build_sampler
from page import build_error_page, build_page
from tabs.quiz_rounds import find_photographs

MOST_WAITING = 30


def build_app() -> gr.Blocks:
    """Returns the page; if it cannot start, a page that gives the reason."""
    try:
        photographs = find_photographs()
        model = load_model(find_model_name())
    except StartError as error:
        logging.getLogger(__name__).exception("the Space cannot start")
        return build_error_page(str(error))
    return build_page(model, build_sampler(model), photographs)


def build_theme() -> gr.themes.Base:
    """Returns the theme: system fonts, so that nothing is downloaded, and buttons with sufficient contrast."""
    fonts: dict[str, list] = {"font": ["system-ui", "sans-serif"], "font_mono": ["monospace"]}
    return gr.themes.Base(primary_hue="cyan", neutral_hue="slate", **fonts).set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
    )


if __name__ == "__main__":
    build_app().queue(max_size=MOST_WAITING).launch(
        theme=build_theme(),
        css_paths=Path(__file__).with_name("style.css"),
        footer_links=["api", "settings"],
        ssr_mode=False,
    )
