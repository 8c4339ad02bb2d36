"""A photograph from a file or the camera, sent with each request and kept in memory only.

Gradio's own image component writes uploads to a temporary folder. This one reads the file in the browser, and its value
is a data URI.
"""

from __future__ import annotations

import gradio as gr
from generator.photograph import MOST_BYTES

TEMPLATE = """<div class="upload">
<label>Choose a photograph<input type="file" accept="image/*" data-source="file"></label>
<label>Use the camera<input type="file" accept="image/*" capture="environment" data-source="camera"></label>
<p role="status"></p></div>"""
SCRIPT = (
    """
const said = element.querySelector('[role=status]');
element.addEventListener('change', (event) => {
  event.stopPropagation();
  const file = event.target.files[0];
  if (!file) return;
  event.target.value = '';  // the same file can be chosen again
  if (file.size > LIMIT) {
    props.value = '';
    said.textContent = `The file is too large: ${(file.size / 1e6).toFixed(1)} MB. The limit is ${LIMIT / 1e6} MB.`;
    return;
  }
  const reader = new FileReader();
  reader.onload = () => {
    props.value = reader.result;
    said.textContent = `${file.name} is ready.`;
    trigger('input');
  };
  reader.readAsDataURL(file);
});
"""
).replace("LIMIT", str(MOST_BYTES))


def build_upload() -> gr.HTML:
    """Returns the component. Its value is the file as a data URI, empty without a photograph."""
    return gr.HTML("", html_template=TEMPLATE, js_on_load=SCRIPT, apply_default_css=False, elem_id="photograph")
