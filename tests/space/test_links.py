from typing import Any
from urllib.parse import parse_qsl

import pytest
from generator.settings import SettingsError, check_one
from results.links import from_query, to_query


@pytest.mark.parametrize(
    "condition", [{}, {"dr_grade": 2, "is_dme": 1}, {"dr_grade": None, "eye_side": 0}, {"is_fundus": 0}]
)
def test_a_link_gives_its_request_back(model: Any, condition: dict) -> None:
    settings = check_one(model, condition, 3, 41, 9, 2.5)
    assert from_query(model, dict(parse_qsl(to_query(model, settings)))) == settings


def test_a_link_holds_what_was_asked_and_all_numbers(model: Any) -> None:
    assert to_query(model, check_one(model, {"is_gc": 1}, 1, 7)) == "is_gc=1&images=1&seed=7&steps=12&guidance=2.5"


def test_an_address_without_a_request_asks_for_nothing(model: Any) -> None:
    assert from_query(model, {}) is None
    assert from_query(model, {"__theme": "dark"}) is None


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"dr_grade": "severe"}, "dr_grade is 'severe' in the link, but must be a number"),
        ({"dr_grade": "7"}, "dr_grade is 7; allowed are 0 to 4"),
        ({"colour": "1"}, "unknown label 'colour'"),
        ({"images": "100"}, "num_images is 100"),
        ({"is_dme": "1"}, "is_dme is 1, but dr_grade was left out"),
    ],
)
def test_a_wrong_link_is_refused_with_the_reason(model: Any, query: dict, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        from_query(model, query)
