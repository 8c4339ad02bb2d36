from typing import Any

import pytest
from components.form import build_form, check_form, read_form
from generator.settings import SettingsError

from pipeline_synfundus.labels import CONDITION_LABELS, complete_condition


def test_the_form_has_every_label_with_its_full_name_explanation_and_all_values(model: Any) -> None:
    html = build_form(model).html_template
    assert html.count("<fieldset") == len(CONDITION_LABELS)
    for label in CONDITION_LABELS:
        assert f"<legend>{label.full_name.capitalize()}</legend><p>{label.explanation}</p>" in html
        for value in (*range(label.cardinality), -1):
            assert f'name="{label.name}" value="{value}"' in html


def test_an_untouched_form_is_a_healthy_readable_eye(model: Any) -> None:
    assert check_form(model, complete_condition({})) == (complete_condition({}), [])


def test_an_unusable_photograph_settles_the_other_readability(model: Any) -> None:
    complete, locked = check_form(model, complete_condition({}) | {"is_fundus": 0})
    assert complete == complete_condition({"is_fundus": 0})
    assert locked == ["is_macular_readable", "is_optic_disc_readable", "is_retinal_region_readable"]


def test_what_was_settled_is_free_again_when_the_form_leaves_it_out(model: Any) -> None:
    """The page does not send what was locked."""
    value = {name: number for name, number in complete_condition({}).items() if "_readable" not in name}
    assert check_form(model, value) == (complete_condition({}), [])


def test_an_unreadable_macula_that_was_chosen_stays_free(model: Any) -> None:
    complete, locked = check_form(model, complete_condition({}) | {"is_macular_readable": 0})
    assert complete["is_macular_readable"] == 0
    assert locked == []


def test_a_contradiction_is_explained_in_full_names(model: Any) -> None:
    value = complete_condition({}) | {"is_dme": 1}
    with pytest.raises(
        SettingsError, match=r"diabetic macular edema is 1, but diabetic retinopathy grade is 0; .*unspec"
    ):
        check_form(model, value)
    assert read_form(model, value | {"dr_grade": -1})["is_dme"] == 1
