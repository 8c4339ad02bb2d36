"""The form for a condition: each label with its full name, explanation and values.

Gradio's radio buttons have no group name for screen readers and no arrow-key navigation. This component has both, and
its value is a condition of the pipeline.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import Any

import gradio as gr
from generator.model import Model
from generator.settings import SettingsError, check_condition

# `props.locked` names the labels whose values follow from others. They are shown but cannot be chosen, and their values
# are not sent, so that they are unlocked as soon as the labels that determine them change.
SCRIPT = """
const show = () => {
  for (const input of element.querySelectorAll('input')) {
    input.checked = String(props.value[input.name]) === input.value;
    input.disabled = (props.locked || []).includes(input.name);
  }
};
element.addEventListener('change', (event) => {
  event.stopPropagation();
  const chosen = Object.entries(props.value).filter(([name]) => !(props.locked || []).includes(name));
  props.value = {...Object.fromEntries(chosen), [event.target.name]: Number(event.target.value)};
  trigger('input');
});
watch(['value', 'locked'], show);
show();
"""


def build_form(model: Model) -> gr.HTML:
    """Returns the form, set to a healthy, readable eye. Its value maps label names to values; -1 is unspecified."""
    labels = model.labels
    grade, *findings = labels.DISEASES
    parts = [
        _field(labels, grade, "wide"),
        _section("Other findings", [_field(labels, label) for label in findings]),
        _section("Readability and eye side", [_field(labels, lb) for lb in (*labels.READABILITY, labels.EYE_SIDE)]),
    ]
    return gr.HTML(
        labels.complete_condition({}),
        html_template=f'<div class="condition-form">{"".join(parts)}</div>',
        js_on_load=SCRIPT,
        apply_default_css=False,
        locked=[],
        elem_id="condition",
    )


def read_form(model: Model, value: Mapping[str, Any]) -> dict[str, int]:
    """Returns the complete condition of a form. Unchanged readability labels follow from the other labels.

    Raises:
        SettingsError: if choices contradict each other.
    """
    untouched = {label.name: label.default for label in model.labels.READABILITY}.items()
    return check_condition(model, dict(value.items() - untouched))


def check_form(model: Model, value: Mapping[str, Any]) -> tuple[dict[str, int], list[str]]:
    """Returns the complete condition of a form, and the names of the labels that follow from the others.

    Raises:
        SettingsError: if choices contradict each other; the message has full names.
    """
    try:
        complete = read_form(model, value)
    except SettingsError as error:
        raise SettingsError(in_full_names(model, str(error))) from None
    freed = {}
    for label in model.labels.READABILITY:
        without = {name: number for name, number in complete.items() if name != label.name}
        freed[label.name] = check_condition(model, without)[label.name]
    return complete, [label.name for label in model.labels.READABILITY if freed[label.name] != label.default]


def fill_form(condition: Mapping[str, int], locked: list[str]) -> gr.HTML:
    """Returns the update that shows a complete condition."""
    return gr.HTML(value=dict(condition), locked=locked)


def in_full_names(model: Model, message: str) -> str:
    """Returns a message about labels with their full names in place of their column names."""
    names = {label.name: label.full_name for label in model.labels.CONDITION_LABELS}
    message = re.sub(r"None (or -1 )?for unknown", "unspecified", message)
    return re.sub(r"\w+", lambda found: names.get(found[0], found[0]), message)


def _section(title: str, fields: list[str]) -> str:
    return f"<details open><summary>{escape(title)}</summary>{''.join(fields)}</details>"


def _field(labels: Any, label: Any, kind: str = "") -> str:
    values = list(enumerate(label.values))
    if label is labels.EYE_SIDE:
        values.append((labels.UNKNOWN, "either"))
    else:
        values.append((labels.UNKNOWN, "unspecified"))
    options = "".join(
        f'<label><input type="radio" name="{label.name}" value="{value}"><span>{escape(name)}</span></label>'
        for value, name in values
    )
    return (
        f'<fieldset class="{kind}"><legend>{escape(label.full_name.capitalize())}</legend>'
        f'<p>{escape(label.explanation)}</p><div class="options">{options}</div></fieldset>'
    )
